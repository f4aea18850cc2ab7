"""A run as others see it: people (live_view.py), machines (event_log.py), experiment trackers (tracked_runs.py).

progress.py shows and reports the scoreboard while the launcher changes it.
"""
