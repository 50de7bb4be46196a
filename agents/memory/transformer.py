"""A causal Transformer as a memory: it attends to the last steps of its life, which it keeps as keys and values.

    memory = Transformer(input_dim=28, size=64, context=64)
    state, ys = memory.sequence(params, memory.start(100), xs)

Layers are normalized before, not after (Xiong et al. 2020); how much a step counts depends on what it holds and on how
long ago it was, by a learned bias for each distance (as T5, Raffel et al. 2020), so that no step needs a number and a
life may last for ever. The state is the window: for each layer keys and values of the last ``context - 1`` steps
(N, C - 1, 2 H), and which of them there are (N, C - 1). With L layers a step can know of L (C - 1) steps before it.
"""

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch.nn import functional as F

from ..policy import Params
from .base import Memory

WIDER = 2  # hidden units of the perceptrons, in units of the memory's size
SMALL = 0.1  # scale of what each layer adds, at the start


@dataclass(frozen=True)
class Transformer(Memory):
    """See the module.

    Attributes:
        context: C, steps attended to, the present one among them.
        layers: L.
        heads: of attention; they divide ``size``.
    """

    context: int = 64
    layers: int = 2
    heads: int = 4

    def __post_init__(self):
        if self.size % self.heads:
            raise ValueError(f"a transformer needs a size that its heads divide, got {self.size} and {self.heads}")

    @property
    def footprint(self) -> int:
        return self.layers * (16 * self.size + 8 * self.heads * self.context)

    def init(self, rng):
        def glorot(rows: int, columns: int, scale: float = 1.0) -> torch.Tensor:
            bound = scale * math.sqrt(6.0 / (rows + columns))
            return torch.from_numpy(rng.uniform(-bound, bound, (rows, columns)).astype(np.float32))

        size, wide = self.size, WIDER * self.size
        params = {"w_input": glorot(size, self.input_dim), "b_input": torch.zeros(size)}
        for i in range(self.layers):
            params |= {
                f"{i}.gain_attention": torch.ones(size), f"{i}.b_attention": torch.zeros(size),
                f"{i}.w_query": glorot(size, size), f"{i}.w_key_value": glorot(2 * size, size),
                f"{i}.distance": torch.zeros(self.heads, self.context), f"{i}.w_attended": glorot(size, size, SMALL),
                f"{i}.gain_wide": torch.ones(size), f"{i}.b_wide": torch.zeros(size),
                f"{i}.w_up": glorot(wide, size), f"{i}.b_up": torch.zeros(wide),
                f"{i}.w_down": glorot(size, wide, SMALL), f"{i}.b_down": torch.zeros(size),
            }  # fmt: skip
        return params | {"gain": torch.ones(size), "b": torch.zeros(size)}

    def start(self, batch, dtype=torch.float32):
        empty = torch.zeros(batch, self.context - 1, 2 * self.size, dtype=dtype)
        return *(empty for _ in range(self.layers)), torch.zeros(batch, self.context - 1, dtype=dtype)

    def run(self, params, state, xs):
        *windows, there = state
        steps = len(xs)
        x = F.linear(xs.transpose(0, 1), params["w_input"], params["b_input"])  # (N, T, H)
        if not there.any():  # a life begins: there is nothing to attend to but the steps themselves
            known = windows[0][:, :0]
            allowed = None
        else:
            known = windows[0]
            allowed = None if there.all() else torch.cat([there, there.new_ones(len(x), steps)], dim=1) > 0
        old = known.shape[1]
        kept = []
        for i, window in enumerate(windows):
            weights = {name[2:]: value for name, value in params.items() if name.startswith(f"{i}.")}
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

    def _attend(
        self, weights: Params, seen: torch.Tensor, key_value: torch.Tensor, allowed: torch.Tensor | None
    ) -> torch.Tensor:
        """(N, T, H) steps attend to (N, old + T, 2 H) keys and values, the last T of which are their own."""
        steps, total = seen.shape[1], key_value.shape[1]

        def by_head(x: torch.Tensor) -> torch.Tensor:  # (N, T, H) -> (N, heads, T, H / heads)
            return x.unflatten(-1, (self.heads, -1)).transpose(1, 2)

        ago = torch.arange(total - steps, total).unsqueeze(1) - torch.arange(total)  # (T, old + T)
        bias = weights["distance"][:, ago.clamp(0, self.context - 1)]
        bias = bias.masked_fill((ago < 0) | (ago >= self.context), -math.inf)  # (heads, T, old + T)
        if allowed is not None:
            bias = bias.masked_fill(~allowed[:, None, None], -math.inf)  # (N, heads, T, old + T)
        key, value = key_value.split(self.size, dim=-1)
        query = by_head(F.linear(seen, weights["w_query"]))
        attended = F.scaled_dot_product_attention(query, by_head(key), by_head(value), attn_mask=bias)
        return F.linear(attended.transpose(1, 2).flatten(2), weights["w_attended"])
