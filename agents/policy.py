"""A Gaussian policy whose weights are a value, batched over tasks.

The module has no state: weights go in with every call, either shared by all tasks or with a leading task axis, one
adapted set each. Nothing is ever put into a module and taken out again.

    policy = GaussianMLP(observation_dim=17, action_dim=6)
    params = policy.init(np.random.default_rng(0))            # {"w0": (17, 64), "b0": (64,), ..., "log_std": (6,)}
    statistics = policy(params, observations)                 # observations (M, N, 17), weights shared by all tasks
    statistics = policy(adapted, observations)                # weights (M, 17, 64), ...: task m acts with row m
    pi = policy.distribution(statistics)                      # a torch distribution, batch (M, N), event (6,)
"""

import math
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from torch.distributions import Distribution, register_kl

from metarl.util.onnx_graph import Graph

from .nn import perceptron
from .nn.params import Params


class GaussianStatistics(NamedTuple):
    """What describes the action distributions: mean (M, N, A) and standard deviation (M or 1, 1, A)."""

    mean: torch.Tensor
    std: torch.Tensor


class DiagonalGaussian(Distribution):
    """A Gaussian of independent components: batch shape (M, N), event shape (A,).

    What torch's ``Independent(Normal(mean, std), 1)`` is, but the logarithm of a standard deviation that all steps
    share is not taken, and not differentiated twice, at each of them.
    """

    def __init__(self, mean: torch.Tensor, std: torch.Tensor):
        self.loc, self.scale = mean, std
        super().__init__(mean.shape[:-1], mean.shape[-1:], validate_args=False)

    def log_prob(self, value: torch.Tensor) -> torch.Tensor:
        scaled = (value - self.loc) / self.scale
        return -0.5 * (scaled * scaled).sum(-1) - (self.scale.log() + 0.5 * math.log(2 * math.pi)).sum(-1)


@register_kl(DiagonalGaussian, DiagonalGaussian)
def _kl(p: DiagonalGaussian, q: DiagonalGaussian) -> torch.Tensor:
    ratio, distance = p.scale / q.scale, (p.loc - q.loc) / q.scale
    return 0.5 * (distance * distance).sum(-1) + (0.5 * (ratio * ratio - 1) - ratio.log()).sum(-1)


def standard_normal(like: torch.Tensor, rng: np.random.Generator) -> torch.Tensor:
    """Float32 noise of the shape and on the device of another tensor."""
    return torch.from_numpy(rng.standard_normal(tuple(like.shape), np.float32)).to(like.device)


def sample(mean: torch.Tensor, std: torch.Tensor, rng: np.random.Generator | None) -> torch.Tensor:
    """Gaussian actions; without a noise source, their mean."""
    return mean if rng is None else mean + std * standard_normal(mean, rng)


def onnx_sample(graph: Graph, mean: str, std: torch.Tensor) -> str:
    """The same in a graph, with an input "noise" of standard normal numbers; std (A,)."""
    noise = graph.input("noise", len(std))
    return graph.op("Add", mean, graph.op("Mul", noise, graph.constant(std)))


NARROW = 16  # columns


def _affine(x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor) -> torch.Tensor:
    """x weight + bias: (M, N, O) by (O, U) or (M, O, U), and (U,) or (M, U).

    A product of few columns, and its derivatives, take a quarter of the time when they are asked for transposed.
    """
    bias = bias.unsqueeze(-2)
    if weight.dim() == 2:
        return x @ weight + bias
    if weight.shape[-1] < NARROW:
        return torch.baddbmm(bias.mT, weight.mT, x.mT).mT.contiguous()
    return torch.baddbmm(bias, x, weight)


@dataclass(frozen=True)
class GaussianMLP:
    """Mean by a multilayer perceptron, log standard deviation a free parameter of its own.

    Attributes:
        observation_dim, action_dim: sizes O and A.
        hidden: units of the hidden layers.
        activation: "tanh" or "relu".
        init_std: standard deviation at the start, in the environment's action units.
        min_std: floor of the standard deviation.
    """

    observation_dim: int
    action_dim: int
    hidden: tuple[int, ...] = (64, 64)
    activation: str = "tanh"
    init_std: float = 1.0
    min_std: float = 1e-6

    def init(self, rng: np.random.Generator) -> Params:
        """Glorot-uniform weights, zero biases."""
        params = perceptron.init(rng, (self.observation_dim, *self.hidden, self.action_dim))
        return params | {"log_std": torch.full((self.action_dim,), math.log(self.init_std))}

    @property
    def head(self) -> frozenset[str]:
        """Names of the last layer's parameters, those that ANIL adapts."""
        last = len(self.hidden)
        return frozenset((f"w{last}", f"b{last}", "log_std"))

    def __call__(self, params: Params, observations: torch.Tensor) -> GaussianStatistics:
        """The action statistics at (M, N, O) observations; each of the weights is shared or has a task axis M."""
        return GaussianStatistics(self.mean(params, observations), self.std(params).unsqueeze(-2))

    def mean(self, params: Params, observations: torch.Tensor) -> torch.Tensor:
        """The mean actions (M, N, A) alone; "log_std" may be missing."""
        return perceptron.run(params, observations, self.activation, affine=_affine)

    def std(self, params: Params) -> torch.Tensor:
        """(..., A) standard deviation."""
        return params["log_std"].clamp(min=math.log(self.min_std)).exp()

    def onnx(self, graph: Graph, params: Params, x: str) -> str:
        """The mean (N, A) at the observations x (N, O), of weights without a task axis."""
        return perceptron.onnx(graph, params, x, self.activation)

    @staticmethod
    def distribution(statistics: GaussianStatistics) -> DiagonalGaussian:
        """The action distributions: batch shape (M, N), event shape (A,)."""
        return DiagonalGaussian(*statistics)
