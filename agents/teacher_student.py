"""The two policies of RMA (Kumar et al. 2021), which differ in where the latent of the task comes from.

    teacher = TeacherPolicy(observation_dim=20 + 1, action_dim=6, size=8, told=1)     # z = mu(e), e in the last column
    student = StudentPolicy(observation_dim=20, action_dim=6, size=8, memory_size=128)       # z = phi(what was so far)

Both are recurrent policies with a latent for the memory's output: the teacher's "memory" is an encoder without state,
the student's ends in a linear layer. So the perceptrons of one fit the other.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch

from metarl.util.onnx_graph import Graph

from .memory.base import Memory, State, option
from .memory.registry import make_memory
from .nn import perceptron
from .nn.initialization import glorot
from .nn.params import Params, part
from .recurrent_policy import Output, RecurrentPolicy


@dataclass(frozen=True)
class Encoder(Memory):
    """mu: a perceptron in a memory's place. State: nothing.

    Attributes:
        hidden: units of its hidden layers.
        activation: "tanh" or "relu".
    """

    name = "encoder"
    hidden: tuple[int, ...] = option((64,), "Units of the hidden layers.")
    activation: str = option("tanh", "Of the hidden layers.")

    def init(self, rng: np.random.Generator) -> Params:
        return perceptron.init(rng, (self.input_dim, *self.hidden, self.size))

    def start(self, batch: int, dtype: torch.dtype = torch.float32) -> State:
        return ()

    def run(self, params: Params, state: State, xs: torch.Tensor) -> tuple[State, torch.Tensor]:
        return (), perceptron.run(params, xs, self.activation, affine=lambda x, weight, bias: x @ weight + bias)

    def onnx(self, graph: Graph, params: Params, x: str) -> str:
        return perceptron.onnx(graph, params, x, self.activation)


@dataclass(frozen=True)
class Estimator(Memory):
    """phi: a memory cell, and a linear layer from its output to the latent. State: the cell's."""

    name = "estimator"
    cell: Memory

    def __post_init__(self):  # the cell has checked its options
        pass

    @property
    def footprint(self) -> int:
        return self.cell.footprint + self.size

    def init(self, rng: np.random.Generator) -> Params:
        params = {f"cell.{name}": value for name, value in self.cell.init(rng).items()}
        return params | {"w": glorot(rng, self.size, self.cell.size), "b": torch.zeros(self.size)}

    def start(self, batch: int, dtype: torch.dtype = torch.float32) -> State:
        return self.cell.start(batch, dtype)

    def step(self, params: Params, state: State, x: torch.Tensor) -> tuple[State, torch.Tensor]:
        state, y = self.cell.step(part(params, "cell."), state, x)
        return state, torch.nn.functional.linear(y, params["w"], params["b"])

    def run(self, params: Params, state: State, xs: torch.Tensor) -> tuple[State, torch.Tensor]:
        state, ys = self.cell.run(part(params, "cell."), state, xs)
        return state, torch.nn.functional.linear(ys, params["w"], params["b"])

    def onnx(self, graph: Graph, params: Params, x: str) -> str:
        return graph.linear(self.cell.onnx(graph, part(params, "cell."), x), params["w"].T, params["b"])


@dataclass(frozen=True)
class TeacherPolicy(RecurrentPolicy):
    """pi(x, mu(e)): its observations end with e, which only the encoder sees. Its inputs are (x, e).

    Attributes:
        size: of the latent.
        told: size D of e, which is counted in ``observation_dim``.
        encoder: units of the encoder's hidden layers.
    """

    told: int = 0
    encoder: tuple[int, ...] = (64,)

    @property
    def input_dim(self) -> int:
        """Of x."""
        return super().input_dim - self.told

    @cached_property
    def memory(self) -> Memory:
        return Encoder(self.told, self.size, self.encoder, self.activation)

    def inputs(
        self, observations: torch.Tensor, actions: torch.Tensor, rewards: torch.Tensor, starts: torch.Tensor
    ) -> torch.Tensor:
        own, told = observations.split([self.observation_dim - self.told, self.told], dim=-1)
        return torch.cat([super().inputs(own, actions, rewards, starts), told], dim=-1)

    def remember(self, params: Params, state: State, x: torch.Tensor) -> tuple[State, torch.Tensor]:
        return super().remember(params, state, x[..., self.input_dim :])

    def recall(
        self, params: Params, state: State, xs: torch.Tensor, resets: torch.Tensor | None = None
    ) -> tuple[State, torch.Tensor]:
        return super().recall(params, state, xs[..., self.input_dim :], resets)

    def act(self, params: Params, ys: torch.Tensor, xs: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return super().act(params, ys, xs[..., : self.input_dim])

    def __call__(self, params: Params, ys: torch.Tensor, xs: torch.Tensor) -> Output:
        return super().__call__(params, ys, xs[..., : self.input_dim])

    def onnx(self, graph: Graph, params: Params, x: str) -> str:
        """Of what the adapter gives: e stands behind the observation."""
        own, end = self.observation_dim - self.told, self.observation_dim
        z = self.memory.onnx(graph, part(params, "memory."), graph.columns(x, own, end))
        rest = graph.columns(x, end, end + self.action_dim + 2)
        return self.onnx_act(graph, params, z, graph.op("Concat", graph.columns(x, 0, own), rest, axis=-1))


@dataclass(frozen=True)
class StudentPolicy(RecurrentPolicy):
    """pi(x, phi(x_0 ... x_t)).

    Attributes:
        size: of the latent.
        memory_size: units of the memory ``cell``.
    """

    memory_size: int = 128

    @cached_property
    def memory(self) -> Memory:
        cell = make_memory(self.cell, self.input_dim, self.memory_size, self.memory_options, self.observation_dim)
        return Estimator(self.input_dim, self.size, cell)
