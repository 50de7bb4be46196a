"""The gradient of a loss over windows of trials, in parts that fit in memory and run side by side."""

from collections.abc import Callable
from typing import Any, Protocol, TypeVar, cast

import torch

from metarl.agents import Params
from metarl.util.ranks import current
from metarl.util.torch_runtime import ONE_BY_ONE, Work

CHUNK_NUMBERS = 2**25  # what a memory keeps for the gradient at once


class Sequences(Protocol):
    """R rows of W steps with weights, a NamedTuple of tensors (..., R, ...), or of tuples of (R, ...), of a memory."""

    @property
    def weights(self) -> torch.Tensor: ...


S = TypeVar("S", bound=Sequences)


def rows(batch: S, index: torch.Tensor | slice) -> S:
    """Some of the rows."""

    def chosen(x: Any) -> Any:
        return tuple(part[index] for part in x) if isinstance(x, tuple) else x[:, index]

    return type(batch)(*map(chosen, cast(tuple, batch)))


def muted(batch: S) -> S:
    """The same rows with zeros in all places, weights included: their losses and gradients are zero."""

    def zeros(x: Any) -> Any:
        return tuple(map(zeros, x)) if isinstance(x, tuple) else torch.zeros_like(x)

    return type(batch)(*map(zeros, cast(tuple, batch)))


def mean_gradient(
    loss: Callable[[Params, S], tuple[torch.Tensor, dict[str, torch.Tensor]]],
    params: Params,
    batch: S,
    footprint: int,
    work: Work = ONE_BY_ONE,
    chunk: int = CHUNK_NUMBERS,
    steps: float | None = None,
) -> tuple[Params, dict[str, float]]:
    """Gradient of a loss that is a sum over steps, as their weighted mean over all ranks, and such means of the rest.

    Args:
        loss: of weights and some rows -> the sum over their steps, and other such sums.
        footprint: numbers that a step of the memory keeps for the gradient.
        work, chunk: parts at a time, and numbers that are kept at once.
        steps: the weights of all ranks' rows together, if these are not all.

    Raises:
        FloatingPointError: names the first gradient that is not finite, before it reaches the weights.
    """
    count = batch.weights.shape[1]
    total = max(float(batch.weights.sum()) if steps is None else steps, 1.0)
    most = max(1, chunk // (footprint * len(batch.weights)))

    def part(chosen: slice) -> tuple[tuple[torch.Tensor, ...], dict[str, torch.Tensor]]:
        value, measured = loss(params, rows(batch, chosen))
        # zeros, for weights that only later steps see: a plastic memory's rule, in windows of one step
        return torch.autograd.grad(value / total, list(params.values()), materialize_grads=True), measured

    gradients = {name: torch.zeros_like(value, requires_grad=False) for name, value in params.items()}
    sums: dict[str, float] = {}
    size = min(most, -(-count // work.count))
    for parts, measured in work.map(part, [slice(i, i + size) for i in range(0, count, size)]):
        for name, g in zip(gradients, parts):
            gradients[name] += g
        for name, value in measured.items():
            sums[name] = sums.get(name, 0.0) + float(value.detach()) / total
    gradients, sums = current().sum_all(gradients, sums)
    for name, gradient in gradients.items():
        if not torch.isfinite(gradient).all():
            raise FloatingPointError(f"the gradient of {name} is not finite; the weights are unchanged")
    return gradients, sums
