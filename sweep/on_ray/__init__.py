"""A run on Ray: what stages and cells are given of a cluster, how Tune gets its trials, and what Ray's errors say."""
