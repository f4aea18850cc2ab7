"""The findings in words: points (answer.py) that conclusions.py puts together, caveats, and the paper's claims."""
