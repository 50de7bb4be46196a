"""A policy with a memory, whose weights and state are values.

At each step it is given what a robot knows of itself: the observation, the action and the reward of the step before,
and whether an episode begins (Duan et al. 2016, sec. 2.2).

    policy = RecurrentPolicy(observation_dim=20, action_dim=6, cell="gru")
    params = policy.init(np.random.default_rng(0))
    xs = policy.inputs(observations, previous_actions, previous_rewards, starts)     # (T, N, O + A + 2)
    state, ys = policy.recall(params, policy.memory.start(N), xs)                    # (T, N, H)
    mean, std, value = policy(params, ys, xs)                                        # in one pass

Only the names of the weights tell the parts apart: "memory.<name>", "policy.<name>", "value.<name>" and "log_std".
"""

import math
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np
import torch

from .memory import GRU, LSTM, Memory, NoMemory, State
from .plastic import Hebbian, NeuromodulatedHebbian
from .policy import ACTIVATIONS, DiagonalGaussian, Params
from .transformer import Transformer

MEMORIES: dict[str, type[Memory]] = {
    "gru": GRU,
    "lstm": LSTM,
    "transformer": Transformer,
    "hebbian": Hebbian,
    "neuromodulated": NeuromodulatedHebbian,
    "none": NoMemory,
}
SMALL = 0.01
"""Scale of the last layer of the mean at the start: the first actions are noise around nothing."""


class Output(NamedTuple):
    """Mean (..., A) and standard deviation (A,) of the actions, and value (...) in units of its own."""

    mean: torch.Tensor
    std: torch.Tensor
    value: torch.Tensor


@dataclass(frozen=True)
class RecurrentPolicy:
    """A memory, and behind it one multilayer perceptron for the actions and one for the value.

    Both are given the memory's output and the present input.

    Attributes:
        observation_dim, action_dim: sizes O and A.
        cell: name of the memory, one of MEMORIES.
        size: units of the memory.
        hidden: units of the hidden layers of either perceptron.
        activation: "tanh" or "relu".
        init_std: standard deviation at the start, in the environment's action units.
        min_std: floor of the standard deviation.
        context, layers, heads: of a transformer.
    """

    observation_dim: int
    action_dim: int
    cell: str = "gru"
    size: int = 128
    hidden: tuple[int, ...] = (64, 64)
    activation: str = "tanh"
    init_std: float = 1.0
    min_std: float = 1e-6
    context: int = 64
    layers: int = 2
    heads: int = 4

    @property
    def input_dim(self) -> int:
        return self.observation_dim + self.action_dim + 2

    @cached_property
    def memory(self) -> Memory:
        options = (self.context, self.layers, self.heads) if self.cell == "transformer" else ()
        return MEMORIES[self.cell](self.input_dim, self.size, *options)

    def init(self, rng: np.random.Generator) -> Params:
        params = {f"memory.{name}": value for name, value in self.memory.init(rng).items()}
        for head, outputs, scale in (("policy", self.action_dim, SMALL), ("value", 1, 1.0)):
            sizes = (self.size + self.input_dim, *self.hidden, outputs)
            for i, (fan_in, fan_out) in enumerate(zip(sizes, sizes[1:])):
                bound = math.sqrt(6.0 / (fan_in + fan_out)) * (scale if i == len(self.hidden) else 1.0)
                weight = rng.uniform(-bound, bound, (fan_in, fan_out)).astype(np.float32)
                params[f"{head}.w{i}"], params[f"{head}.b{i}"] = torch.from_numpy(weight), torch.zeros(fan_out)
        params["log_std"] = torch.full((self.action_dim,), math.log(self.init_std))
        return params

    def inputs(self, observations, actions, rewards, starts) -> torch.Tensor:
        """(..., O) observations, of the step before (..., A) actions and (...) rewards, (...) starts -> (..., X)."""
        return torch.cat([observations, actions, rewards.unsqueeze(-1), starts.unsqueeze(-1)], dim=-1)

    def remember(self, params: Params, state: State, x: torch.Tensor) -> tuple[State, torch.Tensor]:
        """One step of the memory: (N, X) -> the state after it and its output (N, H)."""
        return self.memory.step(_part(params, "memory."), state, x)

    def recall(
        self, params: Params, state: State, xs: torch.Tensor, resets: torch.Tensor | None = None
    ) -> tuple[State, torch.Tensor]:
        """The memory along (T, N, X) inputs -> the state after them and its outputs (T, N, H)."""
        return self.memory.sequence(_part(params, "memory."), state, xs, resets)

    def act(self, params: Params, ys: torch.Tensor, xs: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Mean (..., A) and standard deviation (A,) of the actions."""
        return self._perceptron(params, "policy", ys, xs), self._std(params)

    def __call__(self, params: Params, ys: torch.Tensor, xs: torch.Tensor) -> Output:
        """All that the policy puts out, of memory outputs (..., H) and inputs (..., X)."""
        mean, value = (self._perceptron(params, head, ys, xs) for head in ("policy", "value"))
        return Output(mean, self._std(params), value.squeeze(-1))

    @staticmethod
    def distribution(mean: torch.Tensor, std: torch.Tensor) -> DiagonalGaussian:
        return DiagonalGaussian(mean, std)

    def _std(self, params: Params) -> torch.Tensor:
        return params["log_std"].clamp(min=math.log(self.min_std)).exp()

    def _perceptron(self, params: Params, head: str, ys: torch.Tensor, xs: torch.Tensor) -> torch.Tensor:
        activation = ACTIVATIONS[self.activation]
        # the first layer sees (ys, xs) side by side; in two products, what need not be copied together is not
        of_memory, of_input = params[f"{head}.w0"].split([self.size, self.input_dim])
        x = torch.addmm(params[f"{head}.b0"], ys.flatten(0, -2), of_memory) + xs.flatten(0, -2) @ of_input
        for i in range(1, len(self.hidden) + 1):
            x = torch.addmm(params[f"{head}.b{i}"], activation(x), params[f"{head}.w{i}"])
        return x.reshape(*ys.shape[:-1], -1)


def _part(params: Params, prefix: str) -> Params:
    return {name[len(prefix) :]: value for name, value in params.items() if name.startswith(prefix)}
