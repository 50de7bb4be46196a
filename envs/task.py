"""Tasks: what may vary about a robot or its goal, as named numbers with units, ranges and splits.

A `TaskSpace` declares the parameters of one family; `Tasks` holds M points of it as one read-only array.

    space = TaskSpace("HalfCheetahVel", (Parameter("velocity", "m/s", "target speed", 1.5, "uniform", 0.0, 3.0),))
    tasks = space.sample(40, "train", np.random.default_rng(0))
    tasks.values                       # (40, 1) float64
    tasks.digests[0]                   # content digest, the same in every process
    Tasks.from_json(tasks.to_json(), space) == tasks

A task belongs to its split by what it is, not by when it was drawn, so that no seed, worker or resume can ever train on
a task of another split:

    "train"          what learners see
    "validation"     what settings are chosen by, at the end of a training and in a search
    "held_out"       the test set: what results are claimed on
    "extrapolation"  outside the ranges

Outside the ranges is extrapolation, and a reserved choice is held out. The ranges of the continuous parameters are cut
into cells (`CELLS` for each parameter, equal on its scale), of which whole ones are reserved: one of five for testing
and one of ten for validation. So a test task is not only new, but apart from all training tasks: see `apart`. Choices
alone have no cells: of 20 combinations or more a tenth is for validation; of fewer, validation means the training tasks
in new episodes. A space of finitely many tasks with none reserved, such as two directions, is `exhaustive`: there every
split but extrapolation has all tasks.

Values are drawn with `DIGITS` significant digits, and digests and cells see no more of any value: a last digit that
depends on the processor, or that a file has lost, changes neither a task set nor a split.
"""

import hashlib
import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from metarl.util.rng import splitmix64
from metarl.util.text import nearest

from .parameter import Parameter, rounded

SPLITS = ("train", "held_out", "extrapolation", "validation")
_TRAIN, _HELD_OUT, _EXTRAPOLATION, _VALIDATION = range(4)
VERSION = 2
"""Of the splits: 1 drew values to the last bit and held out a fifth of all digests, without validation tasks."""
CELLS = {1: 20, 2: 12, 3: 8}
"""Cells of each continuous parameter, by how many of those there are; `_FEWEST_CELLS` of more than three."""
_FEWEST_CELLS = 4
_STRATUM = 5  # cells in a row of which one is for testing; of two such rows, one more is for validation
_ENOUGH_CHOICES = 20  # training combinations of which a tenth can be spared for validation
_MOST_COMBINATIONS = 100_000  # of choices that are listed one by one
_ROUNDS = 100  # of rejection sampling; one or two do unless the ranges hold hardly any numbers
_DRAWN_FOR_ONE = {"train": 2, "held_out": 6, "validation": 12, "extrapolation": 2}


@dataclass(frozen=True)
class TaskSpace:
    """All tasks of one family: the parameters, in the order of the columns of `Tasks.values`.

    `version` is that of the splits: runs of before keep theirs.
    """

    family: str
    parameters: tuple[Parameter, ...]
    version: int = field(default=VERSION, kw_only=True)

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
    def stratum(self) -> int | None:
        """Column of a choice called `environment`, such as Meta-World's: its few values are given, not drawn."""
        return self.names.index("environment") if "environment" in self.names else None

    @property
    def exhaustive(self) -> bool:
        """Whether training sees every task there is, so that held_out can only mean new episodes."""
        return not any(p.continuous or p.held_out for p in self.parameters)

    @property
    def splits(self) -> tuple[str, ...]:
        """The splits that tasks can be drawn of."""
        beyond = any(p.extrapolation for p in self.parameters)
        there = {"extrapolation": beyond, "validation": self.version > 1}
        return tuple(split for split in SPLITS if there.get(split, True))

    @property
    def validates_on_training(self) -> bool:
        """Whether validation tasks are training tasks in new episodes, there being too few to spare any."""
        return self.version > 1 and not self._continuous and len(self._combinations("validation", own=True)) == 0

    def fold(self, name: str, folds: Sequence[Sequence[float]], which: int) -> "TaskSpace":
        """This space with the choices folds[which] of a parameter kept for testing; over all folds, each of them is.

        Raises:
            ValueError: there is no such fold.
        """
        if isinstance(which, bool) or not isinstance(which, int) or not 0 <= which < len(folds):
            kept = ", ".join(f"{i}: {name} {', '.join(f'{c:g}' for c in fold)}" for i, fold in enumerate(folds))
            raise ValueError(f"{self.family}: got fold {which!r}, expected what is kept for testing ({kept})")
        held_out = tuple(map(float, folds[which]))
        parameters = (replace(p, held_out=held_out) if p.name == name else p for p in self.parameters)
        return replace(self, parameters=tuple(parameters))

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

        Where all parameters are choices, those of a split other than train are all its tasks in turn, in random order,
        each as often as the others (to within one), and so are reserved choices beside continuous parameters: an
        evaluation then weighs every task the same.
        """
        self._check_split(split)
        if n < 0:
            raise ValueError(f"the number of tasks must not be negative, got {n}")
        listed = self.exhaustive if self.version == 1 else not self._continuous
        if listed and split in ("held_out", "validation"):
            every = self._combinations(split)
            return Tasks(self, every[_in_turn(len(every), n, rng)])
        reserved = split == "held_out" and any(p.held_out for p in self.parameters)
        kept = np.empty((0, self.dim))
        for _ in range(_ROUNDS):
            if len(kept) >= n:
                return Tasks(self, kept[:n])
            # cells are few: draw enough for one round to do in nearly every case
            size = (n - len(kept)) * (2 if reserved else _DRAWN_FOR_ONE[split]) + 32
            values = np.stack([p.draw(size, split, rng, exact=self.version == 1) for p in self.parameters], axis=1)
            if reserved and self.version > 1:
                for column, p in zip(values.T, self.parameters, strict=True):
                    if p.held_out:
                        column[:] = np.array(p.held_out)[_in_turn(len(p.held_out), size, rng)]
            kept = np.concatenate([kept, values[self._split_index(values) == SPLITS.index(split)]])
        raise ValueError(f"{self.family}: the ranges hold too few numbers to find {n} {split} tasks; widen them")

    def apart(self, count: int = 2000) -> float | None:
        """How far held-out tasks are from all training tasks: the median over so many of the least difference.

        As a share of the range of the parameter in which they are closest (of its logarithm where that is uniform), at
        the least. None without continuous parameters, and where choices are reserved.
        """
        columns = self._continuous
        if not columns or self.version == 1 or any(p.held_out for p in self.parameters):
            return None
        values = self.sample(count, "held_out", np.random.default_rng(0)).values
        cells, least = self._cells_each, np.full(count, np.inf)
        for j in columns:
            place = self.parameters[j].place(values[:, j]) * cells
            below, above = np.floor(place), np.ceil(place)
            # beyond the ends of the range nobody trains
            least = np.minimum(least, np.where(below > 0, place - below, np.inf))
            least = np.minimum(least, np.where(above < cells, above - place, np.inf))
        return float(np.median(least)) / cells

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
        """{"family", "parameters", "version"}: plain data, without what the parameters write in a robot."""
        return {"family": self.family, "parameters": [p.to_json() for p in self.parameters], "version": self.version}

    @staticmethod
    def from_json(data: Mapping[str, Any]) -> "TaskSpace":
        """What `to_json` wrote: tasks can be drawn of it and read with it, but not be written into a robot."""
        parameters = tuple(Parameter.from_json(p) for p in data["parameters"])
        return TaskSpace(str(data["family"]), parameters, version=int(data.get("version", 1)))

    def _check_split(self, split: str) -> None:
        if split not in SPLITS:
            raise ValueError(f"unknown split {split!r}" + nearest(split, SPLITS))
        if split not in self.splits:
            what = "no extrapolation tasks" if split == "extrapolation" else "no validation tasks, being of before"
            raise ValueError(f"{self.family} declares {what}; use split 'held_out' instead")

    def _split_index(self, values: np.ndarray) -> np.ndarray:
        """Index into SPLITS of each task, (M,); values (M, D)."""
        outside = np.zeros(len(values), bool)
        reserved = np.zeros(len(values), bool)
        for column, p in zip(values.T, self.parameters, strict=True):
            outside |= ~p.inside(column)
            reserved |= np.isin(column, p.held_out)
        if self.version == 1:
            if self._continuous:
                reserved |= self._keys(values) % np.uint64(5) == 0
            found = np.where(reserved, _HELD_OUT, _TRAIN)
        else:
            found = np.where(reserved, _HELD_OUT, self._reserved_part(values))
        return np.where(outside, _EXTRAPOLATION, found)

    def _reserved_part(self, values: np.ndarray) -> np.ndarray:
        """_TRAIN, _HELD_OUT or _VALIDATION (M,) by the cell of each task, or without cells by its choices."""
        if self._continuous:
            # in rows of ten cells, of which the first five and the others have a test cell each
            cell = self._cell(values)
            row, place = cell // (2 * _STRATUM), cell % (2 * _STRATUM)
            test = [self._key_of(2 * row + half) % _STRATUM + half * _STRATUM for half in (0, 1)]
            free = self._key_of(-1 - row) % (2 * _STRATUM - 2)  # of the eight that are not for testing
            free += free >= test[0]
            free += free >= test[1]
            tested = (place == test[0]) | (place == test[1])
            return np.where(tested, _HELD_OUT, np.where(place == free, _VALIDATION, _TRAIN))
        if self.exhaustive or math.prod(len(p.choices) - len(p.held_out) for p in self.parameters) < _ENOUGH_CHOICES:
            return np.full(len(values), _TRAIN)
        return np.where(self._keys(values) % np.uint64(10) == 0, _VALIDATION, _TRAIN)

    @property
    def _continuous(self) -> list[int]:
        """Columns of the continuous parameters."""
        return [j for j, p in enumerate(self.parameters) if p.continuous]

    @property
    def _cells_each(self) -> int:
        return CELLS.get(len(self._continuous), _FEWEST_CELLS)

    def _cell(self, values: np.ndarray) -> np.ndarray:
        """Number of the cell of each task, (M,) int64, the last continuous parameter counting fastest."""
        number = np.zeros(len(values), np.int64)
        for j in self._continuous:
            edges = self.parameters[j].edges(self._cells_each)
            number = number * self._cells_each + np.searchsorted(edges, rounded(values[:, j]), side="right")
        return number

    def _combinations(self, split: str, own: bool = False) -> np.ndarray:
        """All tasks (M, D) of a split of choices; of validation those of training unless it has its `own`."""
        count = math.prod(len(p.choices) for p in self.parameters)
        if count > _MOST_COMBINATIONS:
            raise ValueError(f"{self.family}: {count} combinations of choices are too many; expected at most"
                             f" {_MOST_COMBINATIONS}")  # fmt: skip
        every = np.array(list(itertools.product(*(p.choices for p in self.parameters))), np.float64)
        if self.exhaustive:
            return every[:0] if own else every
        index = self._split_index(every)
        found = every[index == SPLITS.index(split)]
        return every[index == _TRAIN] if split == "validation" and not len(found) and not own else found

    @property
    def _name_key(self) -> int:
        return int.from_bytes(hashlib.sha256("\0".join((self.family, *self.names)).encode()).digest()[:8], "little")

    def _key_of(self, numbers: np.ndarray) -> np.ndarray:
        """A fixed random number from 0 to 2^31 - 1 for each whole number, (M,) int64."""
        mixed = splitmix64(np.uint64(self._name_key) ^ numbers.astype(np.int64).view(np.uint64))
        return (mixed >> np.uint64(33)).astype(np.int64)

    def _keys(self, values: np.ndarray) -> np.ndarray:
        """64-bit content digest of each task, (M,) uint64: splitmix64 over the bits of the values."""
        key = np.full(len(values), self._name_key, np.uint64)
        values = values if self.version == 1 else rounded(values)
        bits = np.ascontiguousarray(values + 0.0).view(np.uint64)  # + 0.0: -0.0 and 0.0 are the same task
        for column in bits.T:
            key = splitmix64(key ^ column)
        return key


def _in_turn(count: int, n: int, rng: np.random.Generator) -> np.ndarray:
    """n of the numbers below count, all of them in random order, again and again."""
    rounds = [rng.permutation(count) for _ in range(-(-n // count))]
    return np.concatenate(rounds)[:n] if rounds else np.empty(0, int)


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
