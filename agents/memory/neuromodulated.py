"""Neuromodulated Hebbian plasticity (backpropamine, Miconi et al. 2019, eqs. 1-3, simple neuromodulation).

The network itself decides when to learn: m_t is a signal that it puts out, as dopamine is, with a gain for each cell:

    trace_{t+1} = clip(trace_t + m_t h_t h_{t-1}^T, -1, 1)
"""

import math

import numpy as np
import torch

from metarl.util.onnx_graph import Graph

from ..nn.params import Params
from .hebbian import RATE, Hebbian


class NeuromodulatedHebbian(Hebbian):
    """See the module. State as for Hebbian."""

    name = "neuromodulated"

    def init_rule(self, rng: np.random.Generator) -> Params:
        weight = rng.standard_normal((1, self.size)) / math.sqrt(self.size)
        return {
            "w_signal": torch.from_numpy(weight.astype(np.float32)),
            "b_signal": torch.zeros(1),
            "gain": torch.full((self.size,), RATE),
        }

    def learn(self, params: Params, trace: torch.Tensor, before: torch.Tensor, after: torch.Tensor) -> torch.Tensor:
        signal = torch.tanh(torch.nn.functional.linear(after, params["w_signal"], params["b_signal"]))  # (N, 1)
        change = (signal * params["gain"] * after).unsqueeze(2) * before.unsqueeze(1)
        return (trace + change).clamp(-1.0, 1.0)

    def onnx_learn(self, graph: Graph, params: Params, trace: str, before: str, after: str) -> str:
        signal = graph.linear(graph.squeeze(after, 2), params["w_signal"].T, params["b_signal"])
        signal = graph.op("Mul", graph.op("Tanh", signal), graph.constant(params["gain"]))
        change = graph.op("Mul", graph.op("Mul", graph.unsqueeze(signal, 2), after), before)
        return graph.clip(graph.op("Add", trace, change), np.float32(-1), np.float32(1))
