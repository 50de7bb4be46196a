"""Memories: what a policy carries from step to step, as values.

A memory has no state of its own. Weights and state go in, the state comes out; a state is a tuple of tensors whose
first axis is the sequence. `step` serves acting, `sequence` learning, and both give the same numbers:

    memory = GRU(input_dim=28, size=128)
    params = memory.init(np.random.default_rng(0))
    state = memory.start(400)                                   # of 400 sequences
    state, y = memory.step(params, state, x)                    # x (400, 28) -> y (400, 128)
    state, ys = memory.sequence(params, state, xs, resets)      # xs (T, 400, 28) -> ys (T, 400, 128)

`resets` (T, 400) says before which steps the memory is cleared: where another trial begins inside a row. `onnx` is
`step` as a graph. The cells stand beside this file, one a file; `metarl.agents.memory.registry` finds them by name.
"""

import dataclasses
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import torch

from metarl.util.onnx_graph import Graph
from metarl.util.text import nearest

from ..nn.params import Params

State = tuple[torch.Tensor, ...]


@dataclass(frozen=True)
class Memory:
    """What all memories share. Subclasses give `init`, `start`, `run` and, to be exported, `onnx`.

    One with options is a frozen dataclass of its own, whose further fields they are, each made by :func:`option`.

    Attributes:
        name: under which it is registered.
        fits: whether it predicts what comes next, and has `errors` of that (see alpaca).
        sees_last_step: whether its policy is given the action and the reward of the step before; else zeros.
        input_dim: size X of the input.
        size: units H of the output.

    Raises:
        ValueError: an option is wrong; a line for each.
    """

    name: ClassVar[str]
    fits: ClassVar[bool] = False
    sees_last_step: ClassVar[bool] = True
    input_dim: int
    size: int

    def __post_init__(self):
        self.check(self.size, {field.name: getattr(self, field.name) for field in self.options()})

    @classmethod
    def options(cls) -> tuple[dataclasses.Field[Any], ...]:
        """The fields beyond input_dim and size; `metadata` has "help", "low" and "high"."""
        return dataclasses.fields(cls)[2:]

    @classmethod
    def problems(cls, size: int, options: Mapping[str, Any]) -> Iterator[tuple[str, Any, str]]:
        """(name, what was got, what was expected) of each option that a memory of ``size`` units does not take."""
        known = {field.name: field for field in cls.options()}
        for name, value in options.items():
            if name not in known:
                hint = nearest(name, known) if known else f"; {cls.name} has none"
                yield name, value, f"no such option{hint}"
                continue
            kind, bounds = type(known[name].default), known[name].metadata
            if type(value) is not kind and not (kind is float and type(value) is int):
                yield name, value, _KINDS.get(kind, kind.__name__)
            elif not bounds.get("low", value) <= value <= bounds.get("high", value):
                yield name, value, f"{bounds.get('low', '-inf')} to {bounds.get('high', 'inf')}"

    @classmethod
    def check(cls, size: int, options: Mapping[str, Any]) -> None:
        """ValueError, with a line for each of :meth:`problems`, if there are any."""
        lines = [f"{name}: got {got!r}, expected {want}" for name, got, want in cls.problems(size, options)]
        if lines:
            raise ValueError("\n".join(lines))

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

    def start_beside(self, like: torch.Tensor, batch: int) -> State:
        """`start`, of the type and on the device of a tensor."""
        if like.device.type == "cpu":
            return self.start(batch, like.dtype)
        with like.device:
            return self.start(batch, like.dtype)

    def run(self, params: Params, state: State, xs: torch.Tensor) -> tuple[State, torch.Tensor]:
        """(T, N, X) inputs without a reset -> the state after them and (T, N, H) outputs."""
        raise NotImplementedError

    def step(self, params: Params, state: State, x: torch.Tensor) -> tuple[State, torch.Tensor]:
        """One step: (N, X) -> the state after it and (N, H)."""
        state, ys = self.run(params, state, x.unsqueeze(0))
        return state, ys[0]

    def onnx(self, graph: Graph, params: Params, x: str) -> str:
        """`step` in a graph: the value (N, H) of an input (N, X). The states are declared there, zeros at the start."""
        raise NotImplementedError(f"the memory {self.name} has no ONNX graph")

    def errors(
        self, params: Params, state: State, xs: torch.Tensor, resets: torch.Tensor | None
    ) -> tuple[State, torch.Tensor, torch.Tensor]:
        """`sequence`, and (T, N) squared errors of the prediction of each step, of a memory that fits."""
        raise NotImplementedError(f"the memory {self.name} predicts nothing")

    def sequence(
        self,
        params: Params,
        state: State,
        xs: torch.Tensor,
        resets: torch.Tensor | None = None,
        run: Callable[[Params, State, torch.Tensor], tuple[State, torch.Tensor]] | None = None,
    ) -> tuple[State, torch.Tensor]:
        """(T, N, X) inputs -> the state after them and (T, N, H) outputs.

        Args:
            resets: (T, N) bool, on the processor; the memory of sequence n is cleared before step t; None: nowhere.
            run: in the place of the memory's own.
        """
        run = run or self.run
        if resets is None or not resets.any():
            return run(params, state, xs)
        fresh = self.start_beside(xs, xs.shape[1])
        cuts = [t for t in resets.any(1).nonzero().flatten().tolist() if t > 0]
        outputs = []
        for first, end in zip([0, *cuts], [*cuts, len(xs)]):
            state = choose(resets[first].to(xs.device), fresh, state)
            state, ys = run(params, state, xs[first:end])
            outputs.append(ys)
        return state, torch.cat(outputs)


_KINDS = {int: "a whole number", float: "a number", bool: "true or false", str: "a text"}


def option(default: Any, help: str, *, low: float | None = None, high: float | None = None) -> Any:
    """A field of a cell that is an option of it, of the type of its default."""
    bounds = {name: bound for name, bound in (("low", low), ("high", high)) if bound is not None}
    return dataclasses.field(default=default, metadata={"help": help, **bounds})


def choose(mask: torch.Tensor, a: State, b: State) -> State:
    """The states `a` where mask (N,) is true, `b` elsewhere."""
    return tuple(torch.where(mask.reshape(-1, *[1] * (x.dim() - 1)), x, y) for x, y in zip(a, b))
