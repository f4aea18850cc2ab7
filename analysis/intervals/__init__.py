"""An estimate with its interval: over seeds and test patients, both random (crossed_effects.py), or by resampling."""
