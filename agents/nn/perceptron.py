"""Multilayer perceptrons whose weights are a value, "w0", "b0", "w1", ... (in, out), behind a prefix if there is one.

    params = init(np.random.default_rng(0), (17, 64, 6))
    y = run(params, x, "tanh")                           # (..., 17) -> (..., 6)
"""

from collections.abc import Callable, Iterator
from itertools import count, pairwise

import numpy as np
import torch

from metarl.util.onnx_graph import Graph

from .activation import ACTIVATIONS, ONNX
from .initialization import glorot
from .params import Params

Affine = Callable[[torch.Tensor, torch.Tensor, torch.Tensor], torch.Tensor]
"""x, weight and bias -> x weight + bias."""


def init(rng: np.random.Generator, sizes: tuple[int, ...], scale: float = 1.0) -> Params:
    """Glorot-uniform weights, those of the last layer times ``scale``, and zero biases."""
    params = {}
    for i, (fan_in, fan_out) in enumerate(pairwise(sizes)):
        weight = glorot(rng, fan_in, fan_out)
        params |= {f"w{i}": weight * scale if i == len(sizes) - 2 else weight, f"b{i}": torch.zeros(fan_out)}
    return params


def fused(x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor) -> torch.Tensor:
    """(..., in) by (in, out) and (out,), in one operation."""
    return torch.nn.functional.linear(x, weight.T, bias)


def run(
    params: Params, x: torch.Tensor, activation: str, prefix: str = "", first: int = 0, affine: Affine = fused
) -> torch.Tensor:
    """The layers from ``first`` on; x is what the layer before it puts out, or the input."""
    for i, weight, bias in _layers(params, prefix, first):
        x = affine(ACTIVATIONS[activation](x) if i else x, weight, bias)
    return x


def onnx(graph: Graph, params: Params, x: str, activation: str, prefix: str = "") -> str:
    """`run` in a graph."""
    for i, weight, bias in _layers(params, prefix):
        x = graph.linear(graph.op(ONNX[activation], x) if i else x, weight, bias)
    return x


def _layers(params: Params, prefix: str, first: int = 0) -> Iterator[tuple[int, torch.Tensor, torch.Tensor]]:
    for i in count(first):
        if f"{prefix}w{i}" not in params:
            return
        yield i, params[f"{prefix}w{i}"], params[f"{prefix}b{i}"]
