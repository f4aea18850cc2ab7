"""What has happened so far in a run, and what can start next: told to a launcher by scoreboard.py, without Ray."""
