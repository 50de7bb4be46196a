"""The training loop: iterate, measure, save; progress, signals, Weights & Biases."""
