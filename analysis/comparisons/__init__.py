"""Arms against one another: paired within a sweep (comparison.py, ranking.py), between two sweeps (unpaired.py)."""
