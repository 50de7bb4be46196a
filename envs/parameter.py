"""One number that varies between tasks: its unit, range, distribution, what is kept for testing, and what it writes.

    speed = Parameter("velocity", "m/s", "target speed", 1.5, "uniform", 0.0, 3.0, extrapolation=((3.0, 4.5),))
    speed.draw(5, "train", np.random.default_rng(0))       # (5,) in [0, 3)
    speed.draw(5, "extrapolation", np.random.default_rng(0))  # (5,) in [3, 4.5)

    Parameter("knee", "1", "strength of the knee", 1.0, "uniform", 0.2, 1.0, writes=Write("strength", "knee_motor"))

A parameter with `writes` is applied by the environment; one without is a goal, which the family's reward reads.
"""

import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields
from typing import Any

import numpy as np

from metarl.util.text import nearest

DISTRIBUTIONS = ("uniform", "log_uniform", "normal", "choice")
DIGITS = 8
"""Significant digits of what is drawn: far more than any robot is built to, and the same with every processor's exp."""
MOST_SHOWN = 12
"""Choices that are listed one by one."""
_LEAST_SHARE = 0.01  # of a normal inside its range, so that redrawing what falls outside comes to an end
_RANGES = ("uniform", "log_uniform", "normal")
_HAVE = {"low": _RANGES, "high": _RANGES, "mean": ("normal",), "std": ("normal",), "choices": ("choice",),
         "held_out": ("choice",)}  # fmt: skip
_WORDS = ("name", "unit", "description", "distribution")
_NUMBERS = ("default", "low", "high", "mean", "std", "choices", "extrapolation", "held_out")


@dataclass(frozen=True)
class Parameter:
    """One number that varies between tasks.

    Attributes:
        name: identifier, the key in JSON.
        unit: unit of the number, "1" for a pure ratio.
        description: one line for people.
        default: the value of the unmodified robot or goal.
        distribution: "uniform" or "log_uniform" over [low, high], "normal" cut off there, or "choice" among choices.
        low, high: range of the training tasks.
        mean, std: of a "normal", before it is cut off.
        choices: the values of a "choice", all equally likely.
        extrapolation: intervals (low, high) outside the range, or further choices; empty if there are none. Over
            intervals a "normal" is uniform.
        held_out: choices kept for testing.
        writes: what the number changes in the robot, one `Write` or several; none for a goal.
        onset: environment step from which the number is active, the default being so before: a number, or the name of
            the parameter that holds it. None for the whole episode.
    """

    name: str
    unit: str
    description: str
    default: float
    distribution: str
    low: float = math.nan
    high: float = math.nan
    choices: tuple[float, ...] = ()
    extrapolation: tuple = ()
    held_out: tuple[float, ...] = ()
    mean: float = math.nan
    std: float = math.nan
    writes: Any = ()  # a tuple from here on
    onset: int | str | None = None

    def __post_init__(self):
        for name in ("choices", "extrapolation", "held_out", "writes"):
            value = getattr(self, name)
            object.__setattr__(self, name, tuple(value) if isinstance(value, tuple | list) else (value,))
        if self.distribution not in DISTRIBUTIONS:
            raise ValueError(
                f"parameter {self.name}: unknown distribution {self.distribution!r}"
                + nearest(self.distribution, DISTRIBUTIONS)
            )
        self._refuse_unused()
        if self.distribution == "choice":
            if not set(self.held_out) < set(self.choices):
                raise ValueError(
                    f"parameter {self.name}: held_out {self.held_out} must be among the choices {self.choices}"
                    " and leave at least one for training"
                )
        elif not (math.isfinite(self.low) and math.isfinite(self.high) and self.low < self.high):
            raise ValueError(f"parameter {self.name}: need finite low < high, got {self.low}, {self.high}")
        elif self.distribution == "log_uniform" and self.lowest <= 0:
            where = "" if self.low <= 0 else " of extrapolation"
            raise ValueError(f"parameter {self.name}: log_uniform needs low > 0, got {self.lowest}{where}")
        elif self.distribution == "normal" and not self._share_in_range() >= _LEAST_SHARE:
            raise ValueError(
                f"parameter {self.name}: normal needs a mean and std > 0 with at least {_LEAST_SHARE:.0%} of it between"
                f" low and high, got mean {self.mean}, std {self.std} for {self.low} to {self.high}"
            )
        if isinstance(self.onset, bool) or not isinstance(self.onset, int | str | None) or self.onset == self.name:
            raise ValueError(f"parameter {self.name}: onset must be a step or another parameter, got {self.onset!r}")
        if not self.allows(np.array([self.default])).all():
            raise ValueError(f"parameter {self.name}: default {self.default} is outside its own ranges")

    def _refuse_unused(self) -> None:
        """ValueError for what other distributions have, and this one would ignore."""
        for key, distributions in _HAVE.items():
            value = getattr(self, key)
            if self.distribution not in distributions and value != () and value == value:  # NaN: not given
                raise ValueError(f"parameter {self.name}: got {key} with distribution {self.distribution!r}, expected"
                                 f" it with {' or '.join(distributions)}; leave it out")  # fmt: skip

    def to_json(self) -> dict[str, Any]:
        """Plain data without what it writes; numbers that are not there are left out."""
        plain = {f.name: getattr(self, f.name) for f in fields(self) if f.name != "writes"}
        kept = {key: value for key, value in plain.items() if value not in ((), None) and value == value}
        return json.loads(json.dumps(kept))

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> "Parameter":
        """What `to_json` wrote; TypeError or ValueError if it is something else."""
        for key, value in data.items():
            if key in _WORDS and not (isinstance(value, str) and value.isprintable()):
                raise ValueError(f"{key} is {value!r}, expected words")
            if key in _NUMBERS and not all(abs(number) < math.inf for number in _numbers(value)):
                raise ValueError(f"{key} is {value!r}, expected finite numbers")
        tuples = {key: tuple(tuple(x) if isinstance(x, list) else x for x in value)
                  for key, value in data.items() if isinstance(value, list)}  # fmt: skip
        return cls(**{**data, **tuples})

    @property
    def continuous(self) -> bool:
        return self.distribution != "choice"

    @property
    def lowest(self) -> float:
        """The least value that it may take, extrapolation included."""
        if self.continuous:
            return min((self.low, *(low for low, _ in self.extrapolation)))
        return min((*self.choices, *self.extrapolation))

    @property
    def in_training(self) -> str:
        """What it is in training tasks, in words."""
        if not self.continuous:
            trained = [choice for choice in self.choices if choice not in self.held_out]
            if len(trained) > MOST_SHOWN:
                return f"one of {len(trained)} from {min(trained):g} to {max(trained):g}"
            return "one of " + ", ".join(f"{choice:g}" for choice in trained)
        shapes = {"log_uniform": " (log-uniform)", "normal": f" (normal, {self.mean:g} ± {self.std:g})"}
        return f"{self.low:g} to {self.high:g}{shapes.get(self.distribution, '')}"

    @property
    def in_extrapolation(self) -> str:
        """What it is in extrapolation tasks, in words; "-" if there are none."""
        if not self.continuous:
            return ", ".join(f"{choice:g}" for choice in self.extrapolation) or "-"
        return ", ".join(f"{low:g} to {high:g}" for low, high in self.extrapolation) or "-"

    def inside(self, values: np.ndarray) -> np.ndarray:
        """Whether each value is in the range (or among the choices) of training and held-out tasks."""
        if self.continuous:
            return (values >= self.low) & (values <= self.high)
        return np.isin(values, self.choices)

    def allows(self, values: np.ndarray) -> np.ndarray:
        """Whether each value is one that this parameter may take at all, extrapolation included."""
        ok = self.inside(values)
        if self.continuous:
            for low, high in self.extrapolation:
                ok |= (values >= low) & (values <= high)
            return ok
        return ok | np.isin(values, self.extrapolation)

    def edges(self, cells: int) -> np.ndarray:
        """The inner edges (cells - 1,) of so many cells of the range, equal on its scale; with DIGITS digits."""
        share = np.arange(1, cells) / cells
        if self.distribution == "log_uniform":
            return rounded(self.low * (self.high / self.low) ** share)
        return rounded(self.low + (self.high - self.low) * share)

    def place(self, values: np.ndarray) -> np.ndarray:
        """Where in its range each value is, on its scale: 0 at low, 1 at high."""
        if self.distribution == "log_uniform":
            return np.log(values / self.low) / math.log(self.high / self.low)
        return (values - self.low) / (self.high - self.low)

    def draw(self, n: int, split: str, rng: np.random.Generator, exact: bool = False) -> np.ndarray:
        """n values for a split, (n,), with DIGITS digits unless exact.

        A continuous parameter knows nothing of splits within its range: see TaskSpace.sample.
        """
        beyond = split == "extrapolation" and self.extrapolation
        if not self.continuous:
            pool = [c for c in self.choices if c not in self.held_out]
            if split == "held_out" and self.held_out:
                pool = list(self.held_out)
            return rng.choice(np.array(self.extrapolation if beyond else pool, np.float64), size=n)
        bounds = np.array(self.extrapolation if beyond else [(self.low, self.high)], np.float64)
        if self.distribution == "normal" and not beyond:
            pick, values = np.zeros(n, int), self._draw_normal(n, rng)
        else:
            log = self.distribution == "log_uniform"
            scaled = np.log(bounds) if log else bounds
            width = scaled[:, 1] - scaled[:, 0]
            pick = rng.choice(len(bounds), size=n, p=width / width.sum())
            values = scaled[pick, 0] + width[pick] * rng.random(n)
            values = np.exp(values) if log else values
        # exp(log(x)), and rounding, may leave the interval
        return np.clip(values if exact else rounded(values), bounds[pick, 0], bounds[pick, 1])

    def _draw_normal(self, n: int, rng: np.random.Generator) -> np.ndarray:
        values = rng.normal(self.mean, self.std, n)
        while len(outside := np.flatnonzero(~self.inside(values))):
            values[outside] = rng.normal(self.mean, self.std, len(outside))
        return values

    def _share_in_range(self) -> float:
        """Probability of the normal between low and high; NaN without a mean and a positive std."""
        if not self.std > 0:
            return math.nan
        z = [(bound - self.mean) / (self.std * math.sqrt(2)) for bound in (self.low, self.high)]
        return 0.5 * (math.erf(z[1]) - math.erf(z[0]))


def rounded(values: np.ndarray) -> np.ndarray:
    """The nearest numbers with DIGITS significant decimal digits, of the same shape; exact with every processor."""
    return np.array([float(f"{value:.{DIGITS - 1}e}") for value in values.flat], np.float64).reshape(values.shape)


def _numbers(value: Any) -> Iterator[float]:
    """All numbers in nested lists of nothing else."""
    if isinstance(value, list):
        for item in value:
            yield from _numbers(item)
    elif isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError(f"got {value!r}, expected numbers")
    else:
        yield float(value)
