"""One file per claim on speed: ratios measured side by side in one run, never timed tests."""
