"""What the results mean: reads a results folder, never trains, never imports torch or ray.

load -> error_curve -> crossed_effects -> comparison, law_fit, labels_needed, convergence, saturation -> findings ->
conclusions -> figures, tables -> report.
"""
