"""A window of the last steps, and a convolution as long as it: a memory of which it is known what it holds.

    memory = Window(input_dim=28, size=64, context=50)
    state, ys = memory.sequence(params, memory.start(100), xs)      # state: the last 49 inputs (100, 49, 28)

Each step is embedded on its own, and all of the window's go into one layer:

    e_t = tanh(U x_t + b),   y_t = tanh(sum_c W_c e_{t - c} + d),   c = 0 ... C - 1

Steps before the trial's first are inputs of zeros. RMA's adaptation module (Kumar et al. 2021, sec. III-B) is such a
window of 50 steps, with three convolutions in the place of the one.
"""

from dataclasses import dataclass

import numpy as np
import torch
from torch.nn import functional as F

from metarl.util.onnx_graph import Graph

from ..nn.initialization import glorot
from ..nn.params import Params
from .base import Memory, State, option


@dataclass(frozen=True)
class Window(Memory):
    """See the module. State: the inputs of the last C - 1 steps (N, C - 1, X).

    Attributes:
        context: C, steps in the window, the present one among them.
        units: that a step is embedded in.
    """

    name = "window"
    context: int = option(50, "Steps in the window.", low=2, high=10_000)
    units: int = option(32, "Units that each step is embedded in.", low=1, high=10_000)

    def init(self, rng: np.random.Generator) -> Params:
        window = glorot(rng, self.size, self.units * self.context)
        return {
            "w_step": glorot(rng, self.units, self.input_dim), "b_step": torch.zeros(self.units),
            "w_window": window.reshape(self.size, self.units, self.context), "b_window": torch.zeros(self.size),
        }  # fmt: skip

    def start(self, batch: int, dtype: torch.dtype = torch.float32) -> State:
        return (torch.zeros(batch, self.context - 1, self.input_dim, dtype=dtype),)

    def run(self, params: Params, state: State, xs: torch.Tensor) -> tuple[State, torch.Tensor]:
        seen = torch.cat([state[0], xs.transpose(0, 1)], dim=1)  # (N, C - 1 + T, X)
        steps = torch.tanh(F.linear(seen, params["w_step"], params["b_step"]))
        ys = torch.tanh(F.conv1d(steps.transpose(1, 2), params["w_window"], params["b_window"]))  # (N, H, T)
        return (seen[:, len(xs) :],), ys.permute(2, 0, 1)

    def onnx(self, graph: Graph, params: Params, x: str) -> str:
        context, kept = self.context, (self.context - 1) * self.input_dim
        window = graph.op("Concat", graph.state("window", kept), x, axis=-1)  # (N, C * X), the oldest step first
        graph.next_state("window", graph.columns(window, self.input_dim, self.input_dim + kept), kept)
        steps = graph.reshape(window, 0, context, self.input_dim)
        steps = graph.op("Tanh", graph.linear(steps, params["w_step"].T, params["b_step"]))
        weights = params["w_window"].permute(2, 1, 0).flatten(0, 1)  # (C * units, H)
        steps = graph.reshape(steps, 0, context * self.units)
        return graph.op("Tanh", graph.linear(steps, weights, params["b_window"]))
