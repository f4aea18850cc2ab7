"""The findings as pictures: the home of matplotlib and seaborn. all_figures.py says which the page shows."""
