"""Meta-World's benchmarks: the environment, its tasks, and what steps its simulations in worker processes."""
