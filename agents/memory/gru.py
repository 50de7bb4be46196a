"""Gated recurrent units."""

import numpy as np
import torch

from metarl.util.onnx_graph import Graph

from ..nn.params import Params
from .base import Memory, State
from .gates import gate_weights, init_gates


class GRU(Memory):
    """Gated recurrent units (Cho et al. 2014), by PyTorch's fused kernels. State: (N, H)."""

    name = "gru"

    def init(self, rng: np.random.Generator) -> Params:
        return init_gates(rng, self.input_dim, self.size, 3)

    def start(self, batch: int, dtype: torch.dtype = torch.float32) -> State:
        return (torch.zeros(batch, self.size, dtype=dtype),)

    def step(self, params: Params, state: State, x: torch.Tensor) -> tuple[State, torch.Tensor]:
        h = torch.gru_cell(x, state[0], *gate_weights(params))
        return (h,), h

    def run(self, params: Params, state: State, xs: torch.Tensor) -> tuple[State, torch.Tensor]:
        ys, h = torch.gru(xs, state[0].unsqueeze(0), gate_weights(params), True, 1, 0.0, True, False, False)
        return (h[0],), ys

    def onnx(self, graph: Graph, params: Params, x: str) -> str:
        """r, z = sigmoid(...);  n = tanh(W x + b + r (U h + c));  h' = (1 - z) n + z h."""
        h = graph.state("memory", self.size)
        of_x = graph.split(graph.linear(x, params["w_input"].T, params["b_input"]), 3, self.size)
        of_h = graph.split(graph.linear(h, params["w_memory"].T, params["b_memory"]), 3, self.size)
        r, z = (graph.op("Sigmoid", graph.op("Add", of_x[i], of_h[i])) for i in range(2))
        n = graph.op("Tanh", graph.op("Add", of_x[2], graph.op("Mul", r, of_h[2])))
        h = graph.op("Add", n, graph.op("Mul", z, graph.op("Sub", h, n)))
        graph.next_state("memory", h, self.size)
        return h
