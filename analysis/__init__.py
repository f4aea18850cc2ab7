"""What the results mean: reads a results folder, never trains, never imports torch or ray.

load -> uncertainty -> convergence, sample_efficiency, label_equivalence, saturation, overlap -> findings ->
conclusions -> figures, tables -> report.
"""
