"""A causal Transformer as a memory: it attends to the last steps of its trial, kept as keys and values.

    memory = Transformer(input_dim=28, size=64, context=64)
    state, ys = memory.sequence(params, memory.start(100), xs)

Layers are normalized before, not after (Xiong et al. 2020); how much a step counts depends on what it holds and on how
long ago it was, by a learned bias for each distance (as T5, Raffel et al. 2020), so that no step needs a number and a
trial may last for ever. The state is the window: for each layer keys and values of the last ``context - 1`` steps
(N, C - 1, 2 H), and which of them there are (N, C - 1). With L layers a step can know of L (C - 1) steps before it.
"""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch.nn import functional as F

from metarl.util.onnx_graph import Graph

from ..nn.arrays import some
from ..nn.initialization import glorot
from ..nn.params import Params, part
from .base import Memory, State, option

WIDER = 2  # hidden units of the perceptrons, in units of the memory's size
SMALL = 0.1  # scale of what each layer adds, at the start
FAR = np.float32(1e30)  # taken from the score of a step that is not there, exp(-1e30) = 0


@dataclass(frozen=True)
class Transformer(Memory):
    """See the module.

    Attributes:
        context: C, steps attended to, the present one among them.
        layers: L.
        heads: of attention; they divide ``size``.
    """

    name = "transformer"
    context: int = option(64, "Steps that each layer attends to.", low=1, high=10_000)
    layers: int = option(2, "Layers.", low=1, high=100)
    heads: int = option(4, "Attention heads; they divide the memory's size.", low=1, high=1000)

    @classmethod
    def problems(cls, size: int, options: Mapping[str, Any]) -> Iterator[tuple[str, Any, str]]:
        found = list(super().problems(size, options))
        yield from found
        heads = options.get("heads", cls.heads)
        if "heads" not in (name for name, *_ in found) and size % heads:
            yield "heads", heads, f"a divisor of {size}"

    @property
    def footprint(self) -> int:
        return self.layers * (16 * self.size + 8 * self.heads * self.context)

    def init(self, rng: np.random.Generator) -> Params:
        size, wide = self.size, WIDER * self.size
        params = {"w_input": glorot(rng, size, self.input_dim), "b_input": torch.zeros(size)}
        for i in range(self.layers):
            params |= {
                f"{i}.gain_attention": torch.ones(size), f"{i}.b_attention": torch.zeros(size),
                f"{i}.w_query": glorot(rng, size, size), f"{i}.w_key_value": glorot(rng, 2 * size, size),
                f"{i}.distance": torch.zeros(self.heads, self.context),
                f"{i}.w_attended": glorot(rng, size, size, scale=SMALL),
                f"{i}.gain_wide": torch.ones(size), f"{i}.b_wide": torch.zeros(size),
                f"{i}.w_up": glorot(rng, wide, size), f"{i}.b_up": torch.zeros(wide),
                f"{i}.w_down": glorot(rng, size, wide, scale=SMALL), f"{i}.b_down": torch.zeros(size),
            }  # fmt: skip
        return params | {"gain": torch.ones(size), "b": torch.zeros(size)}

    def start(self, batch: int, dtype: torch.dtype = torch.float32) -> State:
        empty = torch.zeros(batch, self.context - 1, 2 * self.size, dtype=dtype)
        return *(empty for _ in range(self.layers)), torch.zeros(batch, self.context - 1, dtype=dtype)

    def run(self, params: Params, state: State, xs: torch.Tensor) -> tuple[State, torch.Tensor]:
        *windows, there = state
        steps = len(xs)
        x = F.linear(xs.transpose(0, 1), params["w_input"], params["b_input"])  # (N, T, H)
        if not some(there):  # a trial begins: there is nothing to attend to but the steps themselves
            known = windows[0][:, :0]
            allowed = None
        else:
            known = windows[0]
            allowed = None if not some(there == 0) else torch.cat([there, there.new_ones(len(x), steps)], dim=1) > 0
        old = known.shape[1]
        kept = []
        for i, window in enumerate(windows):
            weights = part(params, f"{i}.")
            seen = F.layer_norm(x, (self.size,), weights["gain_attention"], weights["b_attention"])
            new = F.linear(seen, weights["w_key_value"])
            x = x + self._attend(weights, seen, torch.cat([window[:, window.shape[1] - old :], new], dim=1), allowed)
            seen = F.layer_norm(x, (self.size,), weights["gain_wide"], weights["b_wide"])
            wide = F.gelu(F.linear(seen, weights["w_up"], weights["b_up"]))
            x = x + F.linear(wide, weights["w_down"], weights["b_down"])
            kept.append(torch.cat([window, new], dim=1)[:, steps:])
        there = torch.cat([there, there.new_ones(len(x), steps)], dim=1)[:, steps:]
        ys = F.layer_norm(x, (self.size,), params["gain"], params["b"])
        return (*kept, there), ys.transpose(0, 1)

    def onnx(self, graph: Graph, params: Params, x: str) -> str:
        size, context, heads = self.size, self.context, self.heads
        row = 2 * size  # a step's key and value
        there = graph.state("there", context - 1)
        shape = graph.op("Concat", graph.op("Shape", x, start=0, end=1), graph.constant([1]), axis=0)
        present = graph.op("Concat", there, graph.op("ConstantOfShape", shape, value=np.ones(1, np.float32)), axis=-1)
        absent = graph.op("Sub", present, graph.constant(np.float32(1.0)))  # (N, C)
        absent = graph.reshape(graph.op("Mul", absent, graph.constant(FAR)), 0, 1, 1, context)
        x = graph.linear(x, params["w_input"].T, params["b_input"])
        for i in range(self.layers):
            weights = part(params, f"{i}.")
            seen = _onnx_norm(graph, x, weights["gain_attention"], weights["b_attention"])
            new = graph.op("MatMul", seen, graph.constant(weights["w_key_value"].T))
            window = graph.op("Concat", graph.state(f"window_{i}", (context - 1) * row), new, axis=-1)  # (N, C * 2 H)
            graph.next_state(f"window_{i}", graph.columns(window, row, context * row), (context - 1) * row)
            # both as (N, heads, C, H / heads), a single query, and a bias for how long ago a step was
            by_head = graph.reshape(window, 0, context, 2 * heads, size // heads)
            by_head = graph.op("Transpose", by_head, perm=[0, 2, 1, 3])
            key, value = graph.several("Split", 2, by_head, graph.constant([heads, heads]), axis=1)
            query = graph.op("MatMul", seen, graph.constant(weights["w_query"].T / math.sqrt(size // heads)))
            query = graph.reshape(query, 0, heads, 1, size // heads)
            score = graph.op("MatMul", query, graph.op("Transpose", key, perm=[0, 1, 3, 2]))  # (N, heads, 1, C)
            score = graph.op("Add", score, graph.constant(weights["distance"].flip(1).unsqueeze(1)))
            attended = graph.op("MatMul", graph.op("Softmax", graph.op("Add", score, absent), axis=-1), value)
            attended = graph.op("MatMul", graph.reshape(attended, 0, size), graph.constant(weights["w_attended"].T))
            x = graph.op("Add", x, attended)
            seen = _onnx_norm(graph, x, weights["gain_wide"], weights["b_wide"])
            wide = _onnx_gelu(graph, graph.linear(seen, weights["w_up"].T, weights["b_up"]))
            x = graph.op("Add", x, graph.linear(wide, weights["w_down"].T, weights["b_down"]))
        graph.next_state("there", graph.columns(present, 1, context), context - 1)
        return _onnx_norm(graph, x, params["gain"], params["b"])

    def _attend(
        self, weights: Params, seen: torch.Tensor, key_value: torch.Tensor, allowed: torch.Tensor | None
    ) -> torch.Tensor:
        """(N, T, H) steps attend to (N, old + T, 2 H) keys and values, the last T of which are their own."""
        steps, total = seen.shape[1], key_value.shape[1]

        def by_head(x: torch.Tensor) -> torch.Tensor:  # (N, T, H) -> (N, heads, T, H / heads)
            return x.unflatten(-1, (self.heads, -1)).transpose(1, 2)

        now = torch.arange(total, device=seen.device)
        ago = now[total - steps :].unsqueeze(1) - now  # (T, old + T)
        bias = weights["distance"][:, ago.clamp(0, self.context - 1)]
        bias = bias.masked_fill((ago < 0) | (ago >= self.context), -math.inf)  # (heads, T, old + T)
        if allowed is not None:
            bias = bias.masked_fill(~allowed[:, None, None], -math.inf)  # (N, heads, T, old + T)
        key, value = key_value.split(self.size, dim=-1)
        query = by_head(F.linear(seen, weights["w_query"]))
        attended = F.scaled_dot_product_attention(query, by_head(key), by_head(value), attn_mask=bias)
        return F.linear(attended.transpose(1, 2).flatten(2), weights["w_attended"])


def _onnx_norm(graph: Graph, x: str, gain: torch.Tensor, bias: torch.Tensor) -> str:
    return graph.op("LayerNormalization", x, graph.constant(gain), graph.constant(bias), epsilon=1e-5)


def _onnx_gelu(graph: Graph, x: str) -> str:
    """x (1 + erf(x / sqrt(2))) / 2."""
    erf = graph.op("Erf", graph.op("Mul", x, graph.constant(np.float32(math.sqrt(0.5)))))
    half = graph.op("Mul", x, graph.constant(np.float32(0.5)))
    return graph.op("Mul", half, graph.op("Add", erf, graph.constant(np.float32(1.0))))
