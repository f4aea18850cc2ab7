"""What is run: from a preset to a grid of fine-tunings and the pretraining that they need.

experiment.py   a preset or file plus overrides becomes a typed Experiment
grid.py         its axes become unique cells
inputs.py       data and weights are read and checked once, before anything is trained
plan.py         cells and inputs become jobs: what is finished, what is missing, which stages it needs
launch_ray.py   runs the jobs on Ray (launch_serial.py: in this process); scoreboard.py and progress.py say how far
it is
costs/          what the plan costs, before and after; views/: how a run shows itself
"""
