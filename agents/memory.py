"""Memories: what a policy carries from step to step, as values.

A memory has no state of its own. Weights and state go in, the state comes out; a state is a tuple of tensors whose
first axis is the sequence. `step` serves acting, `sequence` learning, and both give the same numbers:

    memory = GRU(input_dim=28, size=128)
    params = memory.init(np.random.default_rng(0))
    state = memory.start(400)                                   # of 400 sequences
    state, y = memory.step(params, state, x)                    # x (400, 28) -> y (400, 128)
    state, ys = memory.sequence(params, state, xs, resets)      # xs (T, 400, 28) -> ys (T, 400, 128)

`resets` (T, 400) says before which steps the memory is cleared: where another life begins inside a row. Others are in
`agents.plastic` and `agents.transformer`.
"""

import math
from dataclasses import dataclass

import numpy as np
import torch

from .policy import Params

State = tuple[torch.Tensor, ...]


@dataclass(frozen=True)
class Memory:
    """What all memories share. Subclasses give `init`, `start` and `run`.

    Attributes:
        input_dim: size X of the input.
        size: units H of the output.
    """

    input_dim: int
    size: int

    @property
    def footprint(self) -> int:
        """Numbers that a step keeps for the gradient, roughly."""
        return 8 * self.size

    def init(self, rng: np.random.Generator) -> Params:
        """Weights at the start of training."""
        raise NotImplementedError

    def start(self, batch: int, dtype: torch.dtype = torch.float32) -> State:
        """The state of `batch` sequences before their first step."""
        raise NotImplementedError

    def run(self, params: Params, state: State, xs: torch.Tensor) -> tuple[State, torch.Tensor]:
        """(T, N, X) inputs without a reset -> the state after them and (T, N, H) outputs."""
        raise NotImplementedError

    def step(self, params: Params, state: State, x: torch.Tensor) -> tuple[State, torch.Tensor]:
        """One step: (N, X) -> the state after it and (N, H)."""
        state, ys = self.run(params, state, x.unsqueeze(0))
        return state, ys[0]

    def sequence(
        self, params: Params, state: State, xs: torch.Tensor, resets: torch.Tensor | None = None
    ) -> tuple[State, torch.Tensor]:
        """(T, N, X) inputs -> the state after them and (T, N, H) outputs.

        Args:
            resets: (T, N) bool, the memory of sequence n is cleared before step t; None: nowhere.
        """
        if resets is None or not resets.any():
            return self.run(params, state, xs)
        fresh = self.start(xs.shape[1], xs.dtype)
        cuts = [t for t in resets.any(1).nonzero().flatten().tolist() if t > 0]
        outputs = []
        for first, end in zip([0, *cuts], [*cuts, len(xs)]):
            state = choose(resets[first], fresh, state)
            state, ys = self.run(params, state, xs[first:end])
            outputs.append(ys)
        return state, torch.cat(outputs)


def choose(mask: torch.Tensor, a: State, b: State) -> State:
    """The states `a` where mask (N,) is true, `b` elsewhere."""
    return tuple(torch.where(mask.reshape(-1, *[1] * (x.dim() - 1)), x, y) for x, y in zip(a, b))


def _gates(rng: np.random.Generator, input_dim: int, size: int, gates: int) -> Params:
    """Glorot-uniform weights of the input, an orthogonal matrix of the memory for each gate, zero biases."""
    bound = math.sqrt(6.0 / (input_dim + size))
    recurrent = [np.linalg.qr(rng.standard_normal((size, size)))[0] for _ in range(gates)]
    return {
        "w_input": torch.from_numpy(rng.uniform(-bound, bound, (gates * size, input_dim)).astype(np.float32)),
        "w_memory": torch.from_numpy(np.concatenate(recurrent).astype(np.float32)),
        "b_input": torch.zeros(gates * size),
        "b_memory": torch.zeros(gates * size),
    }


def _weights(params: Params) -> list[torch.Tensor]:
    """In the order of PyTorch's fused kernels."""
    return [params[name] for name in ("w_input", "w_memory", "b_input", "b_memory")]


class GRU(Memory):
    """Gated recurrent units (Cho et al. 2014), by PyTorch's fused kernels. State: (N, H)."""

    def init(self, rng):
        return _gates(rng, self.input_dim, self.size, 3)

    def start(self, batch, dtype=torch.float32):
        return (torch.zeros(batch, self.size, dtype=dtype),)

    def step(self, params, state, x):
        h = torch.gru_cell(x, state[0], *_weights(params))
        return (h,), h

    def run(self, params, state, xs):
        ys, h = torch.gru(xs, state[0].unsqueeze(0), _weights(params), True, 1, 0.0, False, False, False)
        return (h[0],), ys


class LSTM(Memory):
    """Long short-term memory (Hochreiter and Schmidhuber 1997), by PyTorch's fused kernels. State: (N, H) twice."""

    def init(self, rng):
        params = _gates(rng, self.input_dim, self.size, 4)
        params["b_input"][self.size : 2 * self.size] = 1.0  # remember at first (Jozefowicz et al. 2015)
        return params

    def start(self, batch, dtype=torch.float32):
        return torch.zeros(batch, self.size, dtype=dtype), torch.zeros(batch, self.size, dtype=dtype)

    def step(self, params, state, x):
        h, c = torch.lstm_cell(x, list(state), *_weights(params))
        return (h, c), h

    def run(self, params, state, xs):
        initial = [x.unsqueeze(0) for x in state]
        ys, h, c = torch.lstm(xs, initial, _weights(params), True, 1, 0.0, False, False, False)
        return (h[0], c[0]), ys


class NoMemory(Memory):
    """A tanh layer in the place of a memory: the reference that cannot adapt. State: nothing."""

    def init(self, rng):
        bound = math.sqrt(6.0 / (self.input_dim + self.size))
        weight = rng.uniform(-bound, bound, (self.size, self.input_dim)).astype(np.float32)
        return {"w_input": torch.from_numpy(weight), "b_input": torch.zeros(self.size)}

    def start(self, batch, dtype=torch.float32):
        return ()

    def run(self, params, state, xs):
        return (), torch.tanh(torch.nn.functional.linear(xs, params["w_input"], params["b_input"]))
