"""A network whose weights are made by a rule while it acts (Najarro and Risi 2020; arXiv:2007.02686).

After every step each weight changes by what the cells on both sides of it did, with five numbers of its own (or shared
by a group), which are all that evolution looks for; the weights start anew in every trial:

    w_ij <- w_ij + eta_ij (A_ij o_i o_j + B_ij o_i + C_ij o_j + D_ij)
    w    <- w / max |w|, in each layer                                   with normalize_weights

    network = PlasticNetwork((28, 16, 6), share="connection")
    rules = network.init(np.random.default_rng(0), scale=0.1)        # {"rule0": (5, 28, 16), "rule1": (5, 16, 6)}
    weights, outputs = network.step(rules, weights, inputs)          # inputs (N, K, 28), weights (N, K, 28, 16), ...

The rules of K genomes have an axis for it, (K, 5, 28, 16): genome k lives in row k of each of N tasks.
"""

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch

from metarl.util.onnx_graph import Graph

from .nn.params import Params

Weights = tuple[torch.Tensor, ...]
"""Of each layer, (N, K, from, to)."""
SMALLEST = 1e-8  # what max |w| is taken for at least


@dataclass(frozen=True)
class PlasticNetwork:
    """See the module. All cells are tanh.

    Attributes:
        sizes: cells of each layer, the inputs first.
        share: what has one rule: "connection", "neuron" (all connections to a cell) or "layer".
        normalize_weights: divide the weights of each layer by the largest of them after each step.
    """

    sizes: tuple[int, ...]
    share: str = "connection"
    normalize_weights: bool = True

    def init(self, rng: np.random.Generator, scale: float) -> Params:
        """Rules (A, B, C, D, eta), normally distributed with this standard deviation."""
        return {
            f"rule{i}": torch.from_numpy(scale * rng.standard_normal((5, *shape), np.float32))
            for i, shape in enumerate(self._rule_shapes())
        }

    def _rule_shapes(self) -> list[tuple[int, int]]:
        shared = {"connection": lambda a, b: (a, b), "neuron": lambda a, b: (1, b), "layer": lambda a, b: (1, 1)}
        return [shared[self.share](a, b) for a, b in pairwise(self.sizes)]

    def weights(self, rng: np.random.Generator | None, shape: tuple[int, ...]) -> Weights:
        """Where trials of a shape (N, K) start: evenly from -1 to 1, as the paper's; zeros without a generator."""
        sizes = [(*shape, *pair) for pair in pairwise(self.sizes)]
        if rng is None:
            return tuple(torch.zeros(size) for size in sizes)
        return tuple(torch.from_numpy(2 * rng.random(size, np.float32) - 1) for size in sizes)

    def step(self, rules: Params, weights: Weights, inputs: torch.Tensor) -> tuple[Weights, torch.Tensor]:
        """Outputs (N, K, to) at the inputs (N, K, from), and the weights after it."""
        after, x = [], inputs
        for i, w in enumerate(weights):
            y = torch.matmul(x.unsqueeze(-2), w).squeeze(-2).tanh_()
            after.append(self._learn(rules[f"rule{i}"], w, x.unsqueeze(-1), y.unsqueeze(-2)))
            x = y
        return tuple(after), x

    @staticmethod
    def scaled(rule: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """eta A, eta B, eta C, eta D of a rule (..., 5, from, to)."""
        return (rule[..., :4, :, :] * rule[..., 4:, :, :]).unbind(-3)

    def _learn(self, rule: torch.Tensor, w: torch.Tensor, before: torch.Tensor, after: torch.Tensor) -> torch.Tensor:
        """w + before (a after + b) + c after + d: (N, K, from, to), of before (N, K, from, 1), after (N, K, 1, to)."""
        a, b, c, d = self.scaled(rule)
        slope = torch.addcmul(b, a, after)
        w = torch.addcmul(w, before, slope).add_(torch.addcmul(d, c, after))
        if not self.normalize_weights:
            return w
        low, high = w.flatten(-2).aminmax(dim=-1)
        return w.div_(torch.maximum(high, -low).clamp_(min=SMALLEST)[..., None, None])

    def onnx(self, graph: Graph, rules: Params, start: Weights, x: str) -> str:
        """One step (N, from) -> (N, to); states are how far the weights (from, to) of a layer are from ``start``."""
        for i, (fan_in, fan_out) in enumerate(pairwise(self.sizes)):
            a, b, c, d = (graph.constant(part) for part in self.scaled(rules[f"rule{i}"]))
            first, name, size = graph.constant(start[i]), f"weights{i}", fan_in * fan_out
            w = graph.op("Add", graph.reshape(graph.state(name, size), 0, fan_in, fan_out), first)
            before = graph.unsqueeze(x, 1)  # (N, 1, from)
            after = graph.op("Tanh", graph.op("MatMul", before, w))  # (N, 1, to)
            slope = graph.op("Add", graph.op("Mul", after, a), b)
            w = graph.op("Add", w, graph.op("Mul", graph.unsqueeze(x, 2), slope))
            w = graph.op("Add", w, graph.op("Add", graph.op("Mul", after, c), d))
            if self.normalize_weights:
                largest = graph.op("ReduceMax", graph.op("Abs", w), axes=[1, 2], keepdims=1)
                w = graph.op("Div", w, graph.op("Max", largest, graph.constant(np.float32(SMALLEST))))
            graph.next_state(name, graph.reshape(graph.op("Sub", w, first), 0, size), size)
            x = graph.squeeze(after, 1)
        return x
