"""An ensemble of critics Q_i(h, x, a) with one memory: N perceptrons in one batched product, no loop over them.

    critics = Critics(input_dim=28, action_dim=6, count=2)
    params = critics.init(np.random.default_rng(0))
    ys = critics.recall(params, xs)                       # (T, R, X) inputs of whole rows -> (T, R, H)
    seen = critics.see(params, ys, xs)                    # what of the first layer the actions do not change
    q = critics.values(params, seen, actions)             # (N, T, R)

The memory is the critics' own, apart from the actor's (Ni et al. 2022, sec. 4.3): what is worth remembering differs,
and so does the scale of the gradients.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from itertools import pairwise
from typing import Any

import numpy as np
import torch

from .memory.base import Memory
from .memory.registry import make_memory
from .nn import perceptron
from .nn.initialization import glorot
from .nn.params import Params, part
from .two_hot import TwoHot


@dataclass(frozen=True)
class Critics:
    """See the module.

    Attributes:
        input_dim: X, of an input of the policy; its first ``observed`` numbers are the observation.
        action_dim: A.
        count: N.
        cell, size, memory_options: of the memory, and its units H; without a cell, H numbers that come from elsewhere.
        hidden, activation: of each perceptron.
        coding: of what it puts out; without one, the value itself.
    """

    input_dim: int
    action_dim: int
    count: int = 2
    cell: str | None = "gru"
    size: int = 128
    hidden: tuple[int, ...] = (256, 256)
    activation: str = "relu"
    memory_options: Mapping[str, Any] = field(default_factory=dict)
    observed: int = 0
    coding: TwoHot | None = None

    @cached_property
    def memory(self) -> Memory:
        assert self.cell is not None
        return make_memory(self.cell, self.input_dim, self.size, self.memory_options, self.observed)

    def init(self, rng: np.random.Generator) -> Params:
        """The first layer is "w0" (in, N, units), one product for all critics; the others are (N, in, units)."""
        remembered = {} if self.cell is None else self.memory.init(rng)
        params = {f"memory.{name}": value for name, value in remembered.items()}
        sizes = (self.size + self.input_dim + self.action_dim, *self.hidden, self.coding.bins if self.coding else 1)
        for i, (fan_in, fan_out) in enumerate(pairwise(sizes)):
            each = [glorot(rng, fan_in, fan_out) for _ in range(self.count)]
            params[f"w{i}"] = torch.stack(each, dim=0 if i else 1)
            params[f"b{i}"] = torch.zeros(self.count, 1, fan_out) if i else torch.zeros(self.count, fan_out)
        if self.coding:  # all bins alike: a value of zero, however far the outermost are
            params[f"w{len(self.hidden)}"].zero_()
        return params

    def recall(self, params: Params, xs: torch.Tensor) -> torch.Tensor:
        """The memory along rows that begin with nothing remembered: (T, R, X) -> (T, R, H)."""
        state = self.memory.start(xs.shape[1], xs.dtype)
        return self.memory.sequence(part(params, "memory."), state, xs)[1]

    def see(self, params: Params, ys: torch.Tensor, xs: torch.Tensor) -> torch.Tensor:
        """(rows, N * units): the first layer's part of memory outputs (rows, H) and inputs (rows, X)."""
        of_memory, of_input, _ = self._first(params)
        return torch.addmm(params["b0"].flatten(), ys, of_memory) + xs @ of_input

    def values(self, params: Params, seen: torch.Tensor, actions: torch.Tensor) -> torch.Tensor:
        """(N, rows) of what `see` gave and actions (rows, A)."""
        return self.decoded(self.outputs(params, seen, actions))

    def decoded(self, outputs: torch.Tensor) -> torch.Tensor:
        """(N, rows) values of `outputs`."""
        return self.coding.mean(outputs) if self.coding else outputs.squeeze(-1)

    def outputs(self, params: Params, seen: torch.Tensor, actions: torch.Tensor) -> torch.Tensor:
        """(N, rows, K): values with K = 1, or logits of K bins."""
        x = torch.addmm(seen, actions, self._first(params)[2]).unflatten(1, (self.count, -1)).transpose(0, 1)
        return perceptron.run(params, x, self.activation, first=1, affine=_affine)

    def _first(self, params: Params) -> tuple[torch.Tensor, ...]:
        """The first layer's weights of memory, input and action, (..., N * units) each."""
        return params["w0"].flatten(1).split([self.size, self.input_dim, self.action_dim])


def _affine(x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor) -> torch.Tensor:
    return torch.baddbmm(bias, x, weight)
