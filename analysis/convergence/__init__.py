"""How soon runs reach a target (survival.py, time_to_target.py), and what their curves look like on the way."""
