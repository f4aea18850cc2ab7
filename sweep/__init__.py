"""What is run: from a preset to a grid of fine-tunings and the pretraining that they need.

experiment.py   a preset or file plus overrides becomes a typed Experiment
grid.py         its axes become unique cells
inputs.py       data and weights are read and checked once, before anything is trained
plan.py         cells and inputs become jobs: what is finished, what is missing, which stages it needs
costs/          what the plan costs, before, while and after it runs
state/          what has happened so far, and what can start next
launch_ray.py   runs the jobs on Ray, by what lies in on_ray/; launch_serial.py: in this process
views/          how a run shows itself
run.py          all of this in turn; data_efficiency.py is the command line

Beside it status.py, compact.py, mirror.py, export.py and tensorboard.py are programs on a results folder.
"""
