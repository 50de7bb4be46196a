"""First-order MAML, a minimal gated unit and a cart on a slope: how to add a method, a memory and a robot to metarl."""
