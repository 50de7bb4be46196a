"""Meta-World's benchmarks: their families, their tasks, and the definitions of their 50 environments."""
