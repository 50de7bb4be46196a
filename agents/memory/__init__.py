"""Memory cells: what a policy carries from step to step, one cell a file; `base` says what a cell is."""
