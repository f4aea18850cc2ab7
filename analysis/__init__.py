"""What it means: Parquet results in, a report out. Reads files alone; neither torch, ray nor the sweep is imported.

loading/        a results folder as data frames, and which of its cells belong together
intervals/      an estimate with its interval: the statistics that everything below rests on
scores/         Dice, distances, volumes and errors from the counts of test cases
comparisons/    differences and ratios between arms
convergence/    how soon runs reach a target
labels/         error against labels: laws, labels needed, where the best arm changes
pretraining/    what pretraining epochs bring and what an arm costs
findings.py     every statistic on one sweep
answers/        these in words, no more than the intervals allow
figures/        these as pictures
tables/         these as CSV files
planning/       what to run next
page/           all of it on one page
report.py       the command line; beside it compare.py (with compare_arms.py), next_run.py and early_stopping.py

A folder imports from those above it (tests/test_architecture.py).
"""
