"""One number that varies between tasks: its unit, range, distribution, and what is kept for testing.

    speed = Parameter("velocity", "m/s", "target speed", 1.5, "uniform", 0.0, 3.0, extrapolation=((3.0, 4.5),))
    speed.draw(5, "train", np.random.default_rng(0))       # (5,) in [0, 3)
    speed.draw(5, "extrapolation", np.random.default_rng(0))  # (5,) in [3, 4.5)
"""

import difflib
import math
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

DISTRIBUTIONS = ("uniform", "log_uniform", "choice")


def did_you_mean(name: str, choices: Iterable[str]) -> str:
    """' (did you mean ...?)' for a near match of name, else the list of choices."""
    choices = list(choices)
    close = difflib.get_close_matches(str(name), choices, n=1)
    return f" (did you mean {close[0]!r}?)" if close else f" (choices: {', '.join(choices)})"


@dataclass(frozen=True)
class Parameter:
    """One number that varies between tasks.

    Attributes:
        name: identifier, the key in JSON.
        unit: unit of the number, "1" for a pure ratio.
        description: one line for people.
        default: the value of the unmodified robot or goal.
        distribution: "uniform" or "log_uniform" over [low, high], or "choice" among choices.
        low, high: range of the training tasks.
        choices: the values of a "choice".
        extrapolation: intervals (low, high) outside the range, or further choices; empty if there are none.
        held_out: choices kept for testing.
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

    def __post_init__(self):
        if self.distribution not in DISTRIBUTIONS:
            raise ValueError(
                f"parameter {self.name}: unknown distribution {self.distribution!r}"
                + did_you_mean(self.distribution, DISTRIBUTIONS)
            )
        if self.distribution == "choice":
            if not set(self.held_out) < set(self.choices):
                raise ValueError(
                    f"parameter {self.name}: held_out {self.held_out} must be among the choices {self.choices}"
                    " and leave at least one for training"
                )
        elif not (math.isfinite(self.low) and math.isfinite(self.high) and self.low < self.high):
            raise ValueError(f"parameter {self.name}: need finite low < high, got {self.low}, {self.high}")
        elif self.distribution == "log_uniform" and self.low <= 0:
            raise ValueError(f"parameter {self.name}: log_uniform needs low > 0, got {self.low}")
        if not self.allows(np.array([self.default])).all():
            raise ValueError(f"parameter {self.name}: default {self.default} is outside its own ranges")

    @property
    def continuous(self) -> bool:
        return self.distribution != "choice"

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

    def draw(self, n: int, split: str, rng: np.random.Generator) -> np.ndarray:
        """n values for a split, (n,); a continuous one knows nothing of held_out (see TaskSpace.sample)."""
        beyond = split == "extrapolation" and self.extrapolation
        if not self.continuous:
            pool = [c for c in self.choices if c not in self.held_out]
            if split == "held_out" and self.held_out:
                pool = list(self.held_out)
            return rng.choice(np.array(self.extrapolation if beyond else pool, np.float64), size=n)
        log = self.distribution == "log_uniform"
        bounds = np.array(self.extrapolation if beyond else [(self.low, self.high)], np.float64)
        scaled = np.log(bounds) if log else bounds
        width = scaled[:, 1] - scaled[:, 0]
        pick = rng.choice(len(bounds), size=n, p=width / width.sum())
        values = scaled[pick, 0] + width[pick] * rng.random(n)
        # exp(log(x)) may leave the interval by a rounding error
        return np.clip(np.exp(values), bounds[pick, 0], bounds[pick, 1]) if log else values
