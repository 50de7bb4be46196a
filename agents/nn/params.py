"""Weights as a value: tensors by name, shared by all tasks or with a leading task axis."""

import torch

Params = dict[str, torch.Tensor]


def part(params: Params, prefix: str) -> Params:
    """Those whose names begin so, by the rest of their names."""
    return {name.removeprefix(prefix): value for name, value in params.items() if name.startswith(prefix)}


def flatten(params: Params, lead: int = 0) -> torch.Tensor:
    """All numbers in one vector, (..., P), in the order of the names; each has ``lead`` axes that all share."""
    return torch.cat([value.reshape(*value.shape[:lead], -1) for value in params.values()], dim=-1)


def unflatten(vector: torch.Tensor, like: Params) -> Params:
    """(..., P) as parameters of the names and shapes of ``like``, with the leading axes of the vector; views of it."""
    parts = vector.split([value.numel() for value in like.values()], dim=-1)
    return {
        name: part.unflatten(-1, value.shape) if value.dim() else part.squeeze(-1)
        for (name, value), part in zip(like.items(), parts, strict=True)
    }
