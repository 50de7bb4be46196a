"""Weights as a value: tensors by name, shared by all tasks or with a leading task axis."""

import torch

Params = dict[str, torch.Tensor]


def part(params: Params, prefix: str) -> Params:
    """Those whose names begin so, by the rest of their names."""
    return {name.removeprefix(prefix): value for name, value in params.items() if name.startswith(prefix)}
