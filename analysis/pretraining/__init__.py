"""What pretraining epochs bring to an arm (saturation.py, epochs_study.py), and what its chain of stages costs."""
