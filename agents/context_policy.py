"""A policy that is given a latent of its task, and the encoder that infers one from experience (PEARL, Rakelly et al.
2019, arXiv:1903.08254).

    policy = ContextPolicy(observation_dim=20, action_dim=6, latent=5)
    params = policy.init(np.random.default_rng(0))
    mean, variance = policy.encode(params, transitions)          # a Gaussian for each, (..., L)
    mean, variance = posterior(mean, variance)                   # their product, over the first axis
    mean, std = policy.act(params, latent, observations)         # of u; the action is b tanh(u)

A transition is [observation, action, reward, next observation]. The order of transitions says nothing of the task, so
each has a factor of its own, and what is known is their product with the prior (sec. 4.1).
"""

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch.nn import functional as F

from metarl.util.onnx_graph import Graph

from .nn import perceptron
from .nn.params import Params
from .recurrent_policy import SMALL
from .squashed_policy import LOG_STD

LEAST_VARIANCE = 1e-4
"""Of a factor: no single transition says all."""


def posterior(
    mean: torch.Tensor, variance: torch.Tensor, told: torch.Tensor | float = 1.0
) -> tuple[torch.Tensor, torch.Tensor]:
    """Mean and variance (...) of the product of Gaussians (C, ...) and the prior N(0, 1).

    Args:
        told: one where a factor counts, zero where it does not; C may be zero as well.
    """
    precision = told / variance
    total = 1.0 + precision.sum(0)
    return (precision * mean).sum(0) / total, 1.0 / total


def kl_from_prior(mean: torch.Tensor, variance: torch.Tensor) -> torch.Tensor:
    """KL(N(mean, variance) || N(0, 1)) (...), summed over the last axis, in nats."""
    return 0.5 * (variance + mean.square() - 1.0 - variance.log()).sum(-1)


@dataclass(frozen=True)
class ContextPolicy:
    """See the module. Weights: "encoder.<name>" and "policy.<name>".

    Attributes:
        observation_dim, action_dim: O and A.
        latent: L.
        hidden, encoder_hidden: units of the hidden layers of policy and encoder.
        activation: "tanh" or "relu".
        init_std: deviation of u at the start.
        bound: b, of the environment's actions.
    """

    observation_dim: int
    action_dim: int
    latent: int = 5
    hidden: tuple[int, ...] = (64, 64)
    encoder_hidden: tuple[int, ...] = (64, 64)
    activation: str = "relu"
    init_std: float = 1.0
    bound: float = 1.0

    @property
    def transition_dim(self) -> int:
        return 2 * self.observation_dim + self.action_dim + 1

    def init(self, rng: np.random.Generator) -> Params:
        encoder = perceptron.init(rng, (self.transition_dim, *self.encoder_hidden, 2 * self.latent), 0.1)
        policy = perceptron.init(rng, (self.latent + self.observation_dim, *self.hidden, 2 * self.action_dim), SMALL)
        policy[f"b{len(self.hidden)}"][self.action_dim :] = math.log(self.init_std)
        # softplus(1.9) is 2: a factor says little, and hundreds of them something
        encoder[f"b{len(self.encoder_hidden)}"][self.latent :] = 1.9
        parts = {"encoder": encoder, "policy": policy}
        return {f"{whose}.{name}": value for whose, made in parts.items() for name, value in made.items()}

    def encode(self, params: Params, transitions: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Mean and variance (..., L) of the factor of each transition (..., 2 O + A + 1)."""
        mean, raw = perceptron.run(params, transitions, self.activation, "encoder.").chunk(2, dim=-1)
        return mean, F.softplus(raw) + LEAST_VARIANCE

    def act(
        self, params: Params, latent: torch.Tensor, observations: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Mean and standard deviation of u (..., A), of latents (..., L) and observations (..., O)."""
        x = torch.cat([latent, observations], dim=-1)
        mean, log_std = perceptron.run(params, x, self.activation, "policy.").chunk(2, dim=-1)
        return mean, log_std.clamp(*LOG_STD).exp()

    def onnx_encode(self, graph: Graph, params: Params, transition: str) -> tuple[str, str]:
        """`encode` in a graph."""
        both = perceptron.onnx(graph, params, transition, self.activation, "encoder.")
        mean, raw = graph.split(both, 2, self.latent)
        return mean, graph.op("Add", graph.op("Softplus", raw), graph.constant(np.float32(LEAST_VARIANCE)))

    def onnx_act(self, graph: Graph, params: Params, latent: str, observation: str) -> str:
        """b tanh(mean) in a graph."""
        x = graph.op("Concat", latent, observation, axis=-1)
        both = perceptron.onnx(graph, params, x, self.activation, "policy.")
        mean, _ = graph.split(both, 2, self.action_dim)
        return graph.op("Mul", graph.op("Tanh", mean), graph.constant(np.float32(self.bound)))
