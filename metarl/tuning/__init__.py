"""Search for a learning strategy: which settings of the inner and outer loop adapt best to tasks set aside for it."""
