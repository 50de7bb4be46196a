"""A policy with a memory, whose weights and state are values.

At each step it is given what a robot knows of itself: the observation, the action and the reward of the step before,
and whether an episode begins (Duan et al. 2016, sec. 2.2). Without memory ("none") action and reward are zeros: from
them alone a policy may know its task.

    policy = RecurrentPolicy(observation_dim=20, action_dim=6, cell="gru")
    params = policy.init(np.random.default_rng(0))
    xs = policy.inputs(observations, previous_actions, previous_rewards, starts)     # (T, N, O + A + 2)
    state, ys = policy.recall(params, policy.memory.start(N), xs)                    # (T, N, H)
    mean, std, values = policy(params, ys, xs)                                       # in one pass

With a hypernetwork (Beck et al. 2022, arXiv:2210.11348) the memory is no input of the two perceptrons but makes their
weights: a latent z of it goes into a linear map, w = w_0 + z W. At the start W is zero and w_0 what the weights would
have been without (their Bias-HyperInit), so that at first all memories act alike.

With `predictions` a third perceptron says from the memory what is hidden (the task, as RMA, Kumar et al. 2021) or what
comes next (as VariBAD, Zintgraf et al. 2020); its error is one more thing to learn from, and nothing acts on it.

Only the names of the weights tell the parts apart: "memory.<name>", "policy.<name>", "value.<name>",
"prediction.<name>", "latent.<name>" and "log_std".
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
import torch

from metarl.util.onnx_graph import Graph

from .memory.base import Memory, State
from .memory.registry import make_memory
from .nn import perceptron
from .nn.activation import ACTIVATIONS, ONNX
from .nn.initialization import glorot
from .nn.params import Params, part
from .policy import DiagonalGaussian, onnx_sample, sample

SMALL = 0.01
"""Scale of the last layer of the mean at the start: the first actions are noise around nothing."""


class Output(NamedTuple):
    """Mean (..., A) and standard deviation (A,) of the actions, and values (..., V) in units of their own."""

    mean: torch.Tensor
    std: torch.Tensor
    values: torch.Tensor


@dataclass(frozen=True)
class RecurrentPolicy:
    """A memory, and behind it one multilayer perceptron for the actions and one for the value.

    Both are given the memory's output and the present input; with a hypernetwork, the input alone.

    Attributes:
        observation_dim, action_dim: sizes O and A.
        cell: name of the memory, one of `metarl.util.plugins.MEMORIES`.
        size: units of the memory.
        hidden: units of the hidden layers of either perceptron.
        activation: "tanh" or "relu".
        init_std: standard deviation at the start, in the environment's action units.
        min_std: floor of the standard deviation.
        memory_options: of that memory, such as the heads of a transformer.
        hypernetwork: size of the latent that makes the perceptrons' weights; 0: there is none.
        predictions: numbers that are predicted; 0: nothing is.
        predict_from_action: whether the present action is known to the prediction.
        values: V, one for each category of tasks whose returns have units of their own.
    """

    observation_dim: int
    action_dim: int
    cell: str = "gru"
    size: int = 128
    hidden: tuple[int, ...] = (64, 64)
    activation: str = "tanh"
    init_std: float = 1.0
    min_std: float = 1e-6
    memory_options: Mapping[str, Any] = field(default_factory=dict)
    hypernetwork: int = 0
    predictions: int = 0
    predict_from_action: bool = False
    values: int = 1

    @property
    def input_dim(self) -> int:
        return self.observation_dim + self.action_dim + 2

    @cached_property
    def memory(self) -> Memory:
        return make_memory(self.cell, self.input_dim, self.size, self.memory_options, self.observation_dim)

    def init(self, rng: np.random.Generator) -> Params:
        params = {f"memory.{name}": value for name, value in self.memory.init(rng).items()}

        def add(head: str, inputs: int, outputs: int, scale: float = 1.0) -> None:
            made = perceptron.init(rng, (inputs, *self.hidden, outputs), scale)
            params.update({f"{head}.{name}": value for name, value in made.items()})

        inputs = self.input_dim + (0 if self.hypernetwork else self.size)
        add("policy", inputs, self.action_dim, SMALL)
        add("value", inputs, self.values)
        params["log_std"] = torch.full((self.action_dim,), math.log(self.init_std))
        if self.hypernetwork:
            count = self.hypernetwork
            made = {name: value for name, value in params.items() if name.startswith(("policy.", "value."))}
            params |= {f"latent.{name}": torch.zeros(count, *value.shape) for name, value in made.items()}
            params |= {"latent.w": glorot(rng, self.size, count), "latent.b": torch.zeros(count)}
        if self.predictions:
            add("prediction", self.size + self.action_dim * self.predict_from_action, self.predictions)
        return params

    def inputs(
        self, observations: torch.Tensor, actions: torch.Tensor, rewards: torch.Tensor, starts: torch.Tensor
    ) -> torch.Tensor:
        """(..., O) observations, of the step before (..., A) actions and (...) rewards, (...) starts -> (..., X)."""
        if not self.memory.sees_last_step:
            actions, rewards = torch.zeros_like(actions), torch.zeros_like(rewards)
        return torch.cat([observations, actions, rewards.unsqueeze(-1), starts.unsqueeze(-1)], dim=-1)

    def remember(self, params: Params, state: State, x: torch.Tensor) -> tuple[State, torch.Tensor]:
        """One step of the memory: (N, X) -> the state after it and its output (N, H)."""
        return self.memory.step(part(params, "memory."), state, x)

    def recall(
        self, params: Params, state: State, xs: torch.Tensor, resets: torch.Tensor | None = None
    ) -> tuple[State, torch.Tensor]:
        """The memory along (T, N, X) inputs -> the state after them and its outputs (T, N, H)."""
        return self.memory.sequence(part(params, "memory."), state, xs, resets)

    def recall_errors(
        self, params: Params, state: State, xs: torch.Tensor, resets: torch.Tensor | None = None
    ) -> tuple[State, torch.Tensor, torch.Tensor]:
        """`recall`, and (T, N) squared errors of the memory's own predictions, of one that fits a model."""
        return self.memory.errors(part(params, "memory."), state, xs, resets)

    def act(self, params: Params, ys: torch.Tensor, xs: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Mean (..., A) and standard deviation (A,) of the actions."""
        return self._head(params, "policy", ys, xs, self._latent(params, ys)), self.std(params)

    def decide(
        self, params: Params, ys: torch.Tensor, xs: torch.Tensor, rng: np.random.Generator | None
    ) -> torch.Tensor:
        """(..., A) actions; without a noise source, the mean ones."""
        return sample(*self.act(params, ys, xs), rng)

    def __call__(self, params: Params, ys: torch.Tensor, xs: torch.Tensor) -> Output:
        """All that the policy puts out, of memory outputs (..., H) and inputs (..., X)."""
        latent = self._latent(params, ys)
        mean, values = (self._head(params, head, ys, xs, latent) for head in ("policy", "value"))
        return Output(mean, self.std(params), values)

    def predict(self, params: Params, ys: torch.Tensor, actions: torch.Tensor) -> torch.Tensor:
        """(..., predictions) from memory outputs (..., H) and, where they are to be known, actions (..., A)."""
        known = torch.cat([ys, actions], -1) if self.predict_from_action else ys
        return perceptron.run(params, known, self.activation, "prediction.")

    @staticmethod
    def distribution(mean: torch.Tensor, std: torch.Tensor) -> DiagonalGaussian:
        return DiagonalGaussian(mean, std)

    def std(self, params: Params) -> torch.Tensor:
        """(A,) standard deviation of the actions."""
        return params["log_std"].clamp(min=math.log(self.min_std)).exp()

    def onnx(self, graph: Graph, params: Params, x: str) -> str:
        """One step in a graph: the mean (N, A) at the inputs x (N, X); the memory's state is declared there."""
        return self.onnx_act(graph, params, self.memory.onnx(graph, part(params, "memory."), x), x)

    def onnx_decide(self, graph: Graph, params: Params, x: str, noise: bool) -> str:
        """`decide` in a graph: one step, at the inputs x (N, X), with an input "noise" if there is to be any."""
        mean = self.onnx(graph, params, x)
        return onnx_sample(graph, mean, self.std(params)) if noise else mean

    def onnx_act(self, graph: Graph, params: Params, y: str, x: str) -> str:
        """The mean (N, A) of a memory's output y (N, H) and the inputs x (N, X)."""
        if self.hypernetwork:
            z = graph.op("Tanh", graph.linear(y, params["latent.w"], params["latent.b"]))
            row = graph.unsqueeze(z, 1)  # (N, 1, K)
        else:
            x = graph.op("Concat", y, x, axis=-1)
        for i in range(len(self.hidden) + 1):
            after = graph.linear(x, params[f"policy.w{i}"], params[f"policy.b{i}"])
            if self.hypernetwork:  # sum_k z_k (x W_k), as in _layer
                weights, biases = params[f"latent.policy.w{i}"], params[f"latent.policy.b{i}"]
                each = graph.op("MatMul", x, graph.constant(weights.permute(1, 0, 2).flatten(1)))
                change = graph.squeeze(graph.op("MatMul", row, graph.reshape(each, 0, *biases.shape)), 1)
                change = graph.op("Add", change, graph.op("MatMul", z, graph.constant(biases)))
                after = graph.op("Add", after, change)
            x = graph.op(ONNX[self.activation], after) if i < len(self.hidden) else after
        return x

    def _latent(self, params: Params, ys: torch.Tensor) -> torch.Tensor | None:
        """(rows, latent), of all steps one below the other."""
        if not self.hypernetwork:
            return None
        return torch.tanh(torch.addmm(params["latent.b"], ys.flatten(0, -2), params["latent.w"]))

    def _head(
        self, params: Params, head: str, ys: torch.Tensor, xs: torch.Tensor, latent: torch.Tensor | None
    ) -> torch.Tensor:
        inputs = xs.flatten(0, -2)
        if latent is None:
            # the first layer sees (ys, xs) side by side; in two products, what need not be copied together is not
            of_memory, of_input = params[f"{head}.w0"].split([self.size, self.input_dim])
            x = torch.addmm(params[f"{head}.b0"], ys.flatten(0, -2), of_memory) + inputs @ of_input
            x = perceptron.run(params, x, self.activation, f"{head}.", first=1)
        else:
            x = inputs
            for i in range(len(self.hidden) + 1):
                x = _layer(params, head, i, ACTIVATIONS[self.activation](x) if i else x, latent)
        return x.reshape(*ys.shape[:-1], -1)


def _layer(params: Params, head: str, i: int, x: torch.Tensor, latent: torch.Tensor) -> torch.Tensor:
    """Layer i of a perceptron at (rows, fan_in), each row with weights of its own, by its latent (rows, K)."""
    y = torch.addmm(params[f"{head}.b{i}"], x, params[f"{head}.w{i}"])
    weights, biases = params[f"latent.{head}.w{i}"], params[f"latent.{head}.b{i}"]  # (K, fan_in, fan_out), (K, fan_out)
    # sum_k z_k (x W_k), in an order in which no row's weights are ever written down
    each = (x @ weights.permute(1, 0, 2).flatten(1)).unflatten(1, biases.shape)  # (rows, K, fan_out)
    return y + latent @ biases + (latent.unsqueeze(1) @ each).squeeze(1)
