"""A Gaussian policy whose weights are a value, batched over tasks.

The module has no state: weights go in with every call, either shared by all tasks or with a leading task axis, one
adapted set each. Nothing is ever put into a module and taken out again.

    policy = GaussianMLP(observation_dim=17, action_dim=6)
    params = policy.init(np.random.default_rng(0))            # {"w0": (17, 64), "b0": (64,), ..., "log_std": (6,)}
    pi = policy.distribution(params, observations)            # observations (M, N, 17), weights shared
    pi = policy.distribution(adapted, observations)           # weights (M, 17, 64), ...: task m acts with row m
"""

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch.distributions import Independent, Normal

Params = dict[str, torch.Tensor]
_ACTIVATIONS = {"tanh": torch.tanh, "relu": torch.relu}


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
        """Glorot-uniform weights (Glorot and Bengio 2010), zero biases."""
        sizes = (self.observation_dim, *self.hidden, self.action_dim)
        params = {}
        for i, (fan_in, fan_out) in enumerate(zip(sizes, sizes[1:])):
            bound = math.sqrt(6.0 / (fan_in + fan_out))
            weight = rng.uniform(-bound, bound, (fan_in, fan_out)).astype(np.float32)
            params[f"w{i}"] = torch.from_numpy(weight)
            params[f"b{i}"] = torch.zeros(fan_out)
        params["log_std"] = torch.full((self.action_dim,), math.log(self.init_std))
        return params

    @property
    def head(self) -> frozenset[str]:
        """Names of the last layer's parameters, those that ANIL adapts."""
        last = len(self.hidden)
        return frozenset((f"w{last}", f"b{last}", "log_std"))

    def distribution(self, params: Params, observations: torch.Tensor) -> Independent:
        """The action distribution at each observation.

        Args:
            params: weights, each shared or with a leading task axis M.
            observations: (M, N, O).

        Returns:
            Independent Normal with batch shape (M, N) and event shape (A,).
        """
        activation = _ACTIVATIONS[self.activation]
        x = observations
        for i in range(len(self.hidden) + 1):
            weight, bias = params[f"w{i}"], params[f"b{i}"]
            x = x @ weight + bias.unsqueeze(-2)  # (M, N, units)
            if i < len(self.hidden):
                x = activation(x)
        log_std = params["log_std"].clamp(min=math.log(self.min_std)).unsqueeze(-2)
        normal = Normal(x, log_std.exp().expand_as(x), validate_args=False)
        return Independent(normal, 1, validate_args=False)
