"""Meta-World's benchmarks, stepped in worker processes: the environment, its tasks, and the processes."""
