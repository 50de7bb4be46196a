"""Tasks: what may vary about a robot or its goal, as named numbers with units, ranges and splits.

A `TaskSpace` declares the parameters of one family; `Tasks` holds M points of it as one read-only array.

    space = TaskSpace("HalfCheetahVel", (Parameter("velocity", "m/s", "target speed", 1.5, "uniform", 0.0, 3.0),))
    tasks = space.sample(40, "train", np.random.default_rng(0))
    tasks.values                       # (40, 1) float64
    tasks.digests[0]                   # content digest, the same in every process
    Tasks.from_json(tasks.to_json(), space) == tasks

A task belongs to its split by what it is, not by when it was drawn: outside the ranges is "extrapolation"; a reserved
choice is "held_out"; of the rest a fixed fifth of all content digests is "held_out" and the others are "train". So no
seed, worker or resume can ever train on a held-out task. Only a space of finitely many tasks with none reserved, such
as two directions, is `exhaustive`: there held_out means the same tasks in new episodes.
"""

import hashlib
import itertools
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from metarl.util.rng import splitmix64
from metarl.util.text import nearest

from .parameter import Parameter

SPLITS = ("train", "held_out", "extrapolation")
_HELD_OUT_FIFTH = np.uint64(5)
_ROUNDS = 100  # of rejection sampling; one or two do unless the ranges hold hardly any numbers


@dataclass(frozen=True)
class TaskSpace:
    """All tasks of one family: the parameters, in the order of the columns of `Tasks.values`."""

    family: str
    parameters: tuple[Parameter, ...]

    def __post_init__(self):
        if len(set(self.names)) != len(self.names) or not self.parameters:
            raise ValueError(f"task space {self.family}: need parameters with different names, got {self.names}")

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(p.name for p in self.parameters)

    @property
    def dim(self) -> int:
        return len(self.parameters)

    @property
    def exhaustive(self) -> bool:
        """Whether training sees every task there is, so that held_out can only mean new episodes."""
        return not any(p.continuous or p.held_out for p in self.parameters)

    def default(self) -> "Tasks":
        """The unmodified robot, as Tasks of length 1."""
        return Tasks(self, np.array([[p.default for p in self.parameters]]))

    def tasks(self, **values) -> "Tasks":
        """Tasks by name: space.tasks(velocity=[0.5, 1.0]); what is not named stays at its default."""
        for name in values:
            if name not in self.names:
                raise ValueError(f"{self.family} has no parameter {name!r}" + nearest(name, self.names))
        columns = [np.atleast_1d(np.asarray(values.get(p.name, p.default), np.float64)) for p in self.parameters]
        return Tasks(self, np.stack(np.broadcast_arrays(*columns), axis=1))

    def sample(self, n: int, split: str, rng: np.random.Generator) -> "Tasks":
        """Draw n tasks of a split.

        The held_out tasks of an exhaustive space are all its tasks in turn, in random order, each as often as the
        others (to within one): an evaluation then weighs every task the same.
        """
        self._check_split(split)
        if n < 0:
            raise ValueError(f"the number of tasks must not be negative, got {n}")
        if split == "held_out" and self.exhaustive:
            every = np.array(list(itertools.product(*(p.choices for p in self.parameters))), np.float64)
            rounds = [every[rng.permutation(len(every))] for _ in range(-(-n // len(every)))]
            return Tasks(self, np.concatenate(rounds)[:n] if rounds else every[:0])
        kept = np.empty((0, self.dim))
        by_digest = split == "held_out" and not any(p.held_out for p in self.parameters)
        for _ in range(_ROUNDS):
            if len(kept) >= n:
                return Tasks(self, kept[:n])
            # a fifth of the digests is held out: draw enough for one round to do in nearly every case
            size = (n - len(kept)) * (6 if by_digest else 2) + 32
            values = np.stack([p.draw(size, split, rng) for p in self.parameters], axis=1)
            kept = np.concatenate([kept, values[self._split_index(values) == SPLITS.index(split)]])
        raise ValueError(f"{self.family}: the ranges hold too few numbers to find {n} {split} tasks; widen them")

    def split_of(self, tasks: "Tasks") -> np.ndarray:
        """The split each task belongs to, (M,) array of names; "train" throughout in an exhaustive space."""
        return np.array(SPLITS)[self._split_index(tasks.values)]

    def assert_disjoint(self, train: "Tasks", test: "Tasks") -> None:
        """Raise ValueError, naming digests, if a task is in both. Nothing to assert in an exhaustive space."""
        common = sorted(set(train.digests) & set(test.digests))
        if common and not self.exhaustive:
            shown = ", ".join(common[:3]) + (", ..." if len(common) > 3 else "")
            raise ValueError(
                f"{self.family}: {len(common)} tasks are both in the training and in the test set (digests {shown});"
                " draw them from different splits"
            )

    def check(self, tasks: "Tasks") -> None:
        """Raise ValueError for tasks within the ranges that no environment can have; none if not overridden."""

    def to_json(self) -> dict[str, Any]:
        """{"family", "parameters"}: plain data, without what the parameters write in a robot."""
        return {"family": self.family, "parameters": [p.to_json() for p in self.parameters]}

    @staticmethod
    def from_json(data: Mapping[str, Any]) -> "TaskSpace":
        """What `to_json` wrote: tasks can be drawn of it and read with it, but not be written into a robot."""
        return TaskSpace(str(data["family"]), tuple(Parameter.from_json(p) for p in data["parameters"]))

    def _check_split(self, split: str) -> None:
        if split not in SPLITS:
            raise ValueError(f"unknown split {split!r}" + nearest(split, SPLITS))
        if split == "extrapolation" and not any(p.extrapolation for p in self.parameters):
            raise ValueError(f"{self.family} declares no extrapolation tasks; use split 'held_out' instead")

    def _split_index(self, values: np.ndarray) -> np.ndarray:
        """Index into SPLITS of each task, (M,); values (M, D)."""
        outside = np.zeros(len(values), bool)
        reserved = np.zeros(len(values), bool)
        for column, p in zip(values.T, self.parameters, strict=True):
            outside |= ~p.inside(column)
            reserved |= np.isin(column, p.held_out)
        if any(p.continuous for p in self.parameters):
            reserved |= self._keys(values) % _HELD_OUT_FIFTH == 0
        return np.where(outside, 2, np.where(reserved, 1, 0))

    def _keys(self, values: np.ndarray) -> np.ndarray:
        """64-bit content digest of each task, (M,) uint64: splitmix64 over the bits of the values."""
        name = hashlib.sha256("\0".join((self.family, *self.names)).encode()).digest()
        key = np.full(len(values), int.from_bytes(name[:8], "little"), np.uint64)
        bits = np.ascontiguousarray(values + 0.0).view(np.uint64)  # + 0.0: -0.0 and 0.0 are the same task
        for column in bits.T:
            key = splitmix64(key ^ column)
        return key


@dataclass(frozen=True, eq=False)
class Tasks:
    """M tasks of one space; values (M, D) float64, read-only, columns in the order of space.parameters."""

    space: TaskSpace = field(repr=False)
    values: np.ndarray

    def __post_init__(self):
        values = np.array(self.values, np.float64)
        if values.ndim != 2 or values.shape[1] != self.space.dim:
            expected = f"(M, {self.space.dim})"
            raise ValueError(f"{self.space.family} tasks need values of shape {expected}, got {values.shape}")
        for column, p in zip(values.T, self.space.parameters, strict=True):
            ok = p.allows(column)
            if not ok.all():
                allowed = f"{p.low:g} to {p.high:g} {p.unit}" if p.continuous else f"one of {p.choices}"
                also = f", or for extrapolation {p.extrapolation}" if p.extrapolation else ""
                i = int(np.flatnonzero(~ok)[0])
                raise ValueError(f"{self.space.family} task {i}: {p.name} is {column[i]:g}; expected {allowed}{also}")
        values.flags.writeable = False
        object.__setattr__(self, "values", values)

    def __len__(self) -> int:
        return len(self.values)

    def __getitem__(self, index) -> "Tasks":
        """Tasks at an int, slice or array; always Tasks, of length 1 for an int."""
        if isinstance(index, (int, np.integer)):
            index = [int(index)]
        return self._part(self.values[index])

    def __eq__(self, other: object) -> bool:
        """The same tasks in the same order, of whatever ranges they were drawn."""
        if not isinstance(other, Tasks):
            return NotImplemented
        same_kind = (self.space.family, self.names) == (other.space.family, other.names)
        return same_kind and np.array_equal(self.values, other.values)

    def __hash__(self) -> int:
        return hash((self.space.family, self.digests))

    @property
    def names(self) -> tuple[str, ...]:
        return self.space.names

    @property
    def digests(self) -> tuple[str, ...]:
        """Content digest of each task, 16 hexadecimal digits; depends on family, parameter names and values only."""
        return tuple(f"{int(key):016x}" for key in self.space._keys(self.values))

    def repeat(self, times: int) -> "Tasks":
        """Each task `times` times in a row: the tasks of simulations i = m * times + k."""
        return self._part(np.repeat(self.values, times, axis=0))

    def _part(self, values: np.ndarray) -> "Tasks":
        """Some of these tasks, whose values are known to be valid."""
        if values.ndim != 2:
            raise IndexError(f"tasks are indexed by their number, a slice or an array of numbers; got {values.shape}")
        tasks = object.__new__(Tasks)
        values.flags.writeable = False
        object.__setattr__(tasks, "space", self.space)
        object.__setattr__(tasks, "values", values)
        return tasks

    def describe(self, i: int) -> str:
        """One task in words: 'velocity=1.37 m/s'."""
        parts = []
        for value, p in zip(self.values[i], self.space.parameters, strict=True):
            sign = "+" if min(p.choices or (p.low,)) < 0 else ""
            parts.append(f"{p.name}={value:{sign}.4g}" + (f" {p.unit}" if p.unit != "1" else ""))
        return ", ".join(parts)

    def to_json(self) -> dict[str, Any]:
        """{"family", "tasks": [{name: value}, ...]}; json.dumps of it keeps every bit of the values."""
        rows = [dict(zip(self.names, map(float, row), strict=True)) for row in self.values]
        return {"family": self.space.family, "tasks": rows}

    @staticmethod
    def from_json(data: Mapping[str, Any], space: TaskSpace) -> "Tasks":
        """The tasks that to_json wrote, checked against a space; a parameter left out has its default."""
        if not isinstance(data, Mapping) or not isinstance(data.get("tasks"), list):
            raise ValueError('a task file must be {"family": name, "tasks": [{parameter: value}, ...]}')
        if data.get("family") != space.family:
            raise ValueError(f"tasks are of family {data.get('family')!r}, expected {space.family!r}")
        values = np.empty((len(data["tasks"]), space.dim))
        for i, row in enumerate(data["tasks"]):
            if not isinstance(row, Mapping):
                raise ValueError(f"task {i}: expected an object of parameters, got {row!r}")
            for name, value in row.items():
                if name not in space.names:
                    hint = nearest(name, space.names)
                    raise ValueError(f"task {i}: {space.family} has no parameter {name!r}{hint}")
                if isinstance(value, bool) or not isinstance(value, (int, float)):
                    raise ValueError(f"task {i}: {name} must be a number, got {value!r}")
            values[i] = [row.get(p.name, p.default) for p in space.parameters]
        return Tasks(space, values)
