"""A memory of one step: what the policy is given of the step before, and nothing else."""

import numpy as np
import torch

from metarl.util.onnx_graph import Graph

from ..nn.initialization import glorot
from ..nn.params import Params
from .base import Memory, State


class OneStep(Memory):
    """A tanh layer over the observation and the last action and reward. State: nothing.

    It adapts wherever one step says what the task is: a reward that is a hidden sign times the action tells the sign.
    """

    name = "one_step"

    def init(self, rng: np.random.Generator) -> Params:
        return {"w_input": glorot(rng, self.size, self.input_dim), "b_input": torch.zeros(self.size)}

    def start(self, batch: int, dtype: torch.dtype = torch.float32) -> State:
        return ()

    def run(self, params: Params, state: State, xs: torch.Tensor) -> tuple[State, torch.Tensor]:
        return (), torch.tanh(torch.nn.functional.linear(xs, params["w_input"], params["b_input"]))

    def onnx(self, graph: Graph, params: Params, x: str) -> str:
        return graph.op("Tanh", graph.linear(x, params["w_input"].T, params["b_input"]))
