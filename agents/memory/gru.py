"""Gated recurrent units."""

import torch

from .base import Memory
from .gates import gate_weights, init_gates


class GRU(Memory):
    """Gated recurrent units (Cho et al. 2014), by PyTorch's fused kernels. State: (N, H)."""

    def init(self, rng):
        return init_gates(rng, self.input_dim, self.size, 3)

    def start(self, batch, dtype=torch.float32):
        return (torch.zeros(batch, self.size, dtype=dtype),)

    def step(self, params, state, x):
        h = torch.gru_cell(x, state[0], *gate_weights(params))
        return (h,), h

    def run(self, params, state, xs):
        ys, h = torch.gru(xs, state[0].unsqueeze(0), gate_weights(params), True, 1, 0.0, False, False, False)
        return (h[0],), ys
