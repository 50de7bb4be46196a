"""Hebbian plasticity (differentiable plasticity, Miconi et al. 2018, eqs. 1-2).

Beside its fixed weight w each connection has a trace that grows where the cells on both sides are active together, and
a coefficient alpha that says how much of the trace counts. Weights, coefficients and the rate of change eta are what
training learns; the trace is the memory, and is empty at the start of every trial:

    h_t = tanh(U x_t + b + (w + alpha * trace_t) h_{t-1})
    trace_{t+1} = (1 - eta) trace_t + eta h_t h_{t-1}^T

    memory = Hebbian(input_dim=28, size=64)
    state, ys = memory.sequence(params, memory.start(100), xs)      # state: h (100, 64), trace (100, 64, 64)

Gradients run through the traces.
"""

import math

import numpy as np
import torch

from metarl.util.onnx_graph import Graph

from ..nn.initialization import glorot, orthogonal
from ..nn.params import Params
from .base import Memory, State

ALPHA = 0.01  # scale of the coefficients at the start
RATE = 0.1  # of change of the trace, at the start


class Hebbian(Memory):
    """See the module. State: activities (N, H) and traces (N, H, H). Subclasses may learn by another rule."""

    name = "hebbian"

    @property
    def footprint(self) -> int:
        return 4 * self.size**2

    def init(self, rng: np.random.Generator) -> Params:
        params = {"w_input": glorot(rng, self.size, self.input_dim), "w_memory": orthogonal(rng, self.size)}
        alpha = ALPHA * rng.standard_normal((self.size, self.size))
        params |= {"alpha": torch.from_numpy(alpha.astype(np.float32)), "b": torch.zeros(self.size)}
        return params | self.init_rule(rng)

    def start(self, batch: int, dtype: torch.dtype = torch.float32) -> State:
        return torch.zeros(batch, self.size, dtype=dtype), torch.zeros(batch, self.size, self.size, dtype=dtype)

    def run(self, params: Params, state: State, xs: torch.Tensor) -> tuple[State, torch.Tensor]:
        h, trace = state
        drive = torch.nn.functional.linear(xs, params["w_input"], params["b"])
        ys = []
        for x in drive:
            weights = torch.addcmul(params["w_memory"], params["alpha"], trace)  # (N, to H, from H)
            before = h
            h = torch.tanh(torch.baddbmm(x.unsqueeze(-1), weights, before.unsqueeze(-1))).squeeze(-1)
            trace = self.learn(params, trace, before, h)
            ys.append(h)
        return (h, trace), torch.stack(ys)

    def onnx(self, graph: Graph, params: Params, x: str) -> str:
        size = self.size
        h = graph.state("memory", size)
        trace = graph.reshape(graph.state("trace", size * size), 0, size, size)
        weights = graph.op("Mul", trace, graph.constant(params["alpha"]))
        weights = graph.op("Add", weights, graph.constant(params["w_memory"]))
        drive = graph.unsqueeze(graph.linear(x, params["w_input"].T, params["b"]), 2)
        after = graph.op("Tanh", graph.op("Add", drive, graph.op("MatMul", weights, graph.unsqueeze(h, 2))))
        trace = self.onnx_learn(graph, params, trace, graph.unsqueeze(h, 1), after)
        graph.next_state("trace", graph.reshape(trace, 0, size * size), size * size)
        h = graph.squeeze(after, 2)
        graph.next_state("memory", h, size)
        return h

    # ---- the learning rule

    def init_rule(self, rng: np.random.Generator) -> Params:
        """Its weights at the start of training."""
        return {"eta": torch.tensor([math.log(RATE / (1 - RATE))])}  # as a logit, so that it stays between 0 and 1

    def learn(self, params: Params, trace: torch.Tensor, before: torch.Tensor, after: torch.Tensor) -> torch.Tensor:
        """(N, H, H) traces after activities ``before`` (N, H) led to ``after`` (N, H)."""
        eta = torch.sigmoid(params["eta"])
        return torch.lerp(trace, after.unsqueeze(2) * before.unsqueeze(1), eta)

    def onnx_learn(self, graph: Graph, params: Params, trace: str, before: str, after: str) -> str:
        """The same in a graph, of activities ``before`` (N, 1, H) and ``after`` (N, H, 1)."""
        change = graph.op("Sub", graph.op("Mul", after, before), trace)
        return graph.op("Add", trace, graph.op("Mul", change, graph.constant(torch.sigmoid(params["eta"]))))
