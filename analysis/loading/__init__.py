"""A results folder as data frames (load.py, side_files.py), and which of its cells belong together (selection.py)."""
