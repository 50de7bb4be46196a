"""Long short-term memory."""

import numpy as np
import torch

from metarl.util.onnx_graph import Graph

from ..nn.params import Params
from .base import Memory, State
from .gates import gate_weights, init_gates


class LSTM(Memory):
    """Long short-term memory (Hochreiter and Schmidhuber 1997), by PyTorch's fused kernels. State: (N, H) twice."""

    name = "lstm"

    def init(self, rng: np.random.Generator) -> Params:
        params = init_gates(rng, self.input_dim, self.size, 4)
        params["b_input"][self.size : 2 * self.size] = 1.0  # remember at first (Jozefowicz et al. 2015)
        return params

    def start(self, batch: int, dtype: torch.dtype = torch.float32) -> State:
        return torch.zeros(batch, self.size, dtype=dtype), torch.zeros(batch, self.size, dtype=dtype)

    def step(self, params: Params, state: State, x: torch.Tensor) -> tuple[State, torch.Tensor]:
        h, c = torch.lstm_cell(x, list(state), *gate_weights(params))
        return (h, c), h

    def run(self, params: Params, state: State, xs: torch.Tensor) -> tuple[State, torch.Tensor]:
        initial = [x.unsqueeze(0) for x in state]
        ys, h, c = torch.lstm(xs, initial, gate_weights(params), True, 1, 0.0, True, False, False)
        return (h[0], c[0]), ys

    def onnx(self, graph: Graph, params: Params, x: str) -> str:
        """i, f, o = sigmoid(...);  g = tanh(...);  c' = f c + i g;  h' = o tanh(c')."""
        h, c = graph.state("memory", self.size), graph.state("cell", self.size)
        of_x = graph.linear(x, params["w_input"].T, params["b_input"])
        of_h = graph.linear(h, params["w_memory"].T, params["b_memory"])
        i, f, g, o = graph.split(graph.op("Add", of_x, of_h), 4, self.size)
        i, f, o = (graph.op("Sigmoid", gate) for gate in (i, f, o))
        c = graph.op("Add", graph.op("Mul", f, c), graph.op("Mul", i, graph.op("Tanh", g)))
        h = graph.op("Mul", o, graph.op("Tanh", c))
        graph.next_state("cell", c, self.size)
        graph.next_state("memory", h, self.size)
        return h
