"""A policy with a memory whose actions are squashed: a = b tanh(u), where u is Gaussian with a mean and a deviation of
its own at each step (Haarnoja et al. 2018, arXiv:1801.01290, appendix C).

    policy = SquashedPolicy(observation_dim=20, action_dim=6, bound=1.0, cell="gru")
    mean, std = policy.act(params, ys, xs)                           # of u, (..., A) each
    actions, log_probs = squash(mean, std, noise)                    # tanh(u) (..., A), log pi of it (...)
"""

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch.nn import functional as F

from metarl.util.onnx_graph import Graph

from .nn import perceptron
from .nn.params import Params
from .policy import sample
from .recurrent_policy import SMALL, RecurrentPolicy

LOG_STD = (-5.0, 2.0)
"""Range of the logarithm of the deviation of u."""


def squash(mean: torch.Tensor, std: torch.Tensor, noise: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """tanh(mean + std * noise) (..., A), and the logarithm of its density (...).

    log pi(a) = log N(u) - sum log(1 - tanh(u)^2), and 1 - tanh(u)^2 = 4 / (e^u + e^-u)^2, without cancellation.
    """
    u = mean + std * noise
    slope = 2.0 * (math.log(2.0) - u - F.softplus(-2.0 * u))
    density = -0.5 * noise.square() - std.log() - 0.5 * math.log(2.0 * math.pi)
    return torch.tanh(u), (density - slope).sum(-1)


@dataclass(frozen=True)
class SquashedPolicy(RecurrentPolicy):
    """See the module. The memory and the perceptron for the actions are those of a RecurrentPolicy; there is no value.

    Attributes:
        bound: b, of the environment's actions.
    """

    bound: float = 1.0

    def init(self, rng: np.random.Generator) -> Params:
        params = {f"memory.{name}": value for name, value in self.memory.init(rng).items()}
        made = perceptron.init(rng, (self.input_dim + self.size, *self.hidden, 2 * self.action_dim), SMALL)
        made[f"b{len(self.hidden)}"][self.action_dim :] = math.log(self.init_std)
        return params | {f"policy.{name}": value for name, value in made.items()}

    def act(self, params: Params, ys: torch.Tensor, xs: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Mean and standard deviation of u, (..., A) each."""
        mean, log_std = self._head(params, "policy", ys, xs, None).chunk(2, dim=-1)
        return mean, log_std.clamp(*LOG_STD).exp()

    def decide(
        self, params: Params, ys: torch.Tensor, xs: torch.Tensor, rng: np.random.Generator | None
    ) -> torch.Tensor:
        return self.bound * torch.tanh(sample(*self.act(params, ys, xs), rng))

    def onnx_decide(self, graph: Graph, params: Params, x: str, noise: bool) -> str:
        mean, log_std = graph.split(self.onnx(graph, params, x), 2, self.action_dim)
        if noise:
            std = graph.op("Exp", graph.clip(log_std, *map(np.float32, LOG_STD)))
            mean = graph.op("Add", mean, graph.op("Mul", std, graph.input("noise", self.action_dim)))
        return graph.op("Mul", graph.op("Tanh", mean), graph.constant(np.float32(self.bound)))
