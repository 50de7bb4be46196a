"""What a robot from YAML is told in the course of an episode: the section `commands`.

    commands:
      resampling_time: [4, 6]                             # s; without it, once an episode
      zero: 0.1                                           # in a tenth of the draws it is to stand
      values:
        forward: {unit: m/s, low: -0.5, high: 1.0}
        turn: {unit: rad/s, low: -0.7, high: 0.7}

A command is not of the task: it is drawn at the start of each episode and again in its course, all values together. The
signal `command` observes it, a `target` follows it. The reward of a step is of the command that was observed before it.
"""

from dataclasses import dataclass
from typing import Annotated

import numpy as np
from pydantic import BeforeValidator, Field, ValidationInfo, model_validator

from ..arrays import Array, namespace
from .entries import Entry, Expected, Names, Number, Text, Word, mistaken, option
from .ranges import Seconds, printable, within

_Share = Annotated[float, Field(ge=0, le=1), Expected("a number from 0 to 1")]


class CommandEntry(Entry):
    """One number of the command."""

    unit: Text = option("1", "Unit of the number.")
    description: Text = option("", "One line for people.")
    low: Number = option(..., "Least value.")
    high: Number = option(..., "Greatest value.")

    @model_validator(mode="after")
    def _ordered(self) -> "CommandEntry":
        if not self.low < self.high:
            raise mistaken(f"got {self.low:g} and {self.high:g}, expected low < high", "high")
        return self


class CommandsEntry(Entry):
    """What the robot is told, drawn anew in the course of an episode."""

    resampling_time: Seconds = option(None, "s after which a new command is drawn, or a range [low, high] of them.")
    zero: _Share = option(0.0, "Share of the draws in which all values are 0: to stand.")
    values: Annotated[dict[Word, CommandEntry], Field(min_length=1), BeforeValidator(printable)] = option(
        ..., "The numbers of the command, by name."
    )

    @model_validator(mode="after")
    def _other_names(self, info: ValidationInfo[Names]) -> "CommandsEntry":
        both = sorted({*self.values} & {*(info.context.parameters or {}).values()})
        if both:
            raise mistaken(f"names that are no parameters ({', '.join(both)})", "values", got=[*self.values])
        return self


@dataclass(frozen=True)
class Commands:
    """The commands of N simulations; their memory is (now, next, step at which it is drawn again).

    Attributes:
        ranges: (C, 2).
        zero: share of draws of nothing but 0.
        steps: range of the time to the next draw, environment steps; None for never.
    """

    ranges: np.ndarray
    zero: float
    steps: np.ndarray | None

    @staticmethod
    def of(entry: CommandsEntry, dt: float) -> "Commands":
        ranges = np.array([[value.low, value.high] for value in entry.values.values()])
        time = entry.resampling_time
        return Commands(ranges, entry.zero, None if time is None else np.array([time]) / dt)

    @property
    def size(self) -> int:
        """Numbers in memory."""
        return 2 * len(self.ranges) + 1

    @property
    def draws(self) -> int:
        """Uniform numbers of a draw: is it zero, when is the next, and the values."""
        return 2 + len(self.ranges)

    def begin(self, memory: np.ndarray, draws: np.ndarray) -> None:
        """The start of an episode: memory (n, size), draws (n, draws) in [0, 1)."""
        memory[:] = self.before(self.draw(memory, draws, np.zeros(len(memory))))

    def before(self, memory: Array) -> Array:
        """Memory (n, size) where what was observed is in force."""
        count = len(self.ranges)
        return namespace(memory).concat([memory[:, count:-1], memory[:, count:]], axis=1)

    def due(self, memory: Array, step: Array) -> Array:
        """Which simulations (N,) have a new command after environment steps (N,)."""
        return memory[:, -1] == step

    def draw(self, memory: Array, draws: Array, step: Array) -> Array:
        """Memory (n, size) with a new command after environment steps (n,)."""
        xp, values = namespace(draws), within(self.ranges, draws[:, 2:])
        values = xp.where(draws[:, :1] < self.zero, xp.zeros_like(values), values)
        again = xp.full_like(step, np.inf) if self.steps is None else step + later(self.steps, draws[:, 1])
        return xp.concat([memory[:, : len(self.ranges)], values, again[:, None]], axis=1)


def later(steps: np.ndarray, draws: Array) -> Array:
    """Whole steps (n,) of a range (1, 2), at least 1, at draws (n,) in [0, 1)."""
    xp, drawn = namespace(draws), within(steps, draws[:, None])[:, 0]
    return xp.where(drawn < 1, xp.ones_like(drawn), xp.round(drawn))
