"""Training runs: the folder of a run, its checkpoints, locks and logs, and the loop that survives being stopped."""
