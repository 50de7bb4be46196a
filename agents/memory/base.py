"""Memories: what a policy carries from step to step, as values.

A memory has no state of its own. Weights and state go in, the state comes out; a state is a tuple of tensors whose
first axis is the sequence. `step` serves acting, `sequence` learning, and both give the same numbers:

    memory = GRU(input_dim=28, size=128)
    params = memory.init(np.random.default_rng(0))
    state = memory.start(400)                                   # of 400 sequences
    state, y = memory.step(params, state, x)                    # x (400, 28) -> y (400, 128)
    state, ys = memory.sequence(params, state, xs, resets)      # xs (T, 400, 28) -> ys (T, 400, 128)

`resets` (T, 400) says before which steps the memory is cleared: where another trial begins inside a row. The
cells stand beside this file, one a file.
"""

from dataclasses import dataclass

import numpy as np
import torch

from ..policy import Params

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
