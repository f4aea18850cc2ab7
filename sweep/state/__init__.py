"""What has happened so far in a run, and what can start next (scoreboard.py): neither Ray nor torch is imported."""
