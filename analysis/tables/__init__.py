"""The findings as data frames, one a CSV file (all_tables.py), and as text, Markdown and LaTeX (readable.py)."""
