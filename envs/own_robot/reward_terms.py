"""Reward, termination and success of a robot from YAML: a shape laid over a signal, times a weight.

    reward:
      forward: {signal: body_velocity, of: torso, axes: x, weight: 1.0}
      effort: {signal: action, shape: square, weight: -0.05}
      speed: {signal: body_velocity, of: torso, axes: x, shape: exp_squared, target: speed, tolerance: 0.5, weight: 1.0}
      stepping: {signal: landing_air_time, of: [left, right], threshold: 0.2, weight: 1.0,
                 times: [{signal: command, commands: forward, shape: above, target: 0.1}]}
    termination:
      fallen: {signal: body_upright, of: torso, below: 0.5, reward: -5}
    success:
      there: {signal: distance, from: torso, to: goal, shape: within, tolerance: 0.1}

A term is `weight * shape(signal - target)`, times the shapes under `times`. A target is a number or the name of a
parameter of the task or of a command, one for all numbers of the signal or a list of one each. All is paid per
environment step, the reward of a termination once. A task is solved in a step in which all conditions hold.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar

import numpy as np
from pydantic import ConfigDict, ValidationInfo, WrapValidator, field_validator

from ..arrays import Array, constant, flag, full, namespace, squares
from ..simulator import Simulator
from .entries import NOTHING, Choice, Named, Names, Number, OneOf, Positive, mistaken, option
from .signal_table import entries
from .signals import RENAMED as SIGNALS_RENAMED
from .signals import Built, Sense, Signal, SignalEntry, field_of

Shape = Callable[[Any], Any]
_sum: Shape = lambda x: namespace(x).sum(x, axis=1)  # noqa: E731
_norm: Shape = lambda x: namespace(x).sqrt(squares(x))  # noqa: E731
SHAPES: dict[str, tuple[Shape, str, str]] = {  # of numbers (N, k) less their targets, over the tolerance
    "linear": (_sum, "Σ (s - target)", "the numbers themselves, summed"),
    "absolute": (lambda x: _sum(abs(x)), "Σ \\|s - target\\|", "linear cost"),
    "square": (squares, "Σ (s - target)²", "quadratic cost"),
    "norm": (_norm, "√Σ (s - target)²", "a distance"),
    "exp_squared": (lambda x: namespace(x).exp(-squares(x)), "exp(-Σ ((s - target) / tolerance)²)",
                    "1 at the target, 1/e at `tolerance` from it"),
    "exp": (lambda x: namespace(x).exp(-_norm(x)), "exp(-√Σ ((s - target) / tolerance)²)",
            "1 at the target, 1/e at `tolerance` from it, with a slope at the target"),
    "tanh": (lambda x: 1 - namespace(x).tanh(_norm(x)), "1 - tanh √Σ ((s - target) / tolerance)²",
             "1 at the target, 0.24 at `tolerance` from it"),
    "within": (lambda x: flag(squares(x) <= 1.0, x), "1 if √Σ (s - target)² ≤ tolerance, else 0",
               "sparse: reached or not"),
    "beyond": (lambda x: flag(squares(x) > 1.0, x), "1 if √Σ (s - target)² > tolerance, else 0",
               "a gate: told to move, too far away"),
    "above": (lambda x: flag(namespace(x).all(x > 0, axis=1), x), "1 if all s > target, else 0", "a threshold"),
    "below": (lambda x: flag(namespace(x).all(x < 0, axis=1), x), "1 if all s < target, else 0", "a threshold"),
}  # fmt: skip
WITH_TOLERANCE = ("exp_squared", "exp", "tanh", "within", "beyond")
CONDITIONS = ("within", "beyond", "above", "below")
RENAMED = {"near": "exp_squared"}


_TOLD = Named("parameters or commands", many=False)


def _target(value: Any, handler: Any, info: ValidationInfo[Names]) -> float | str:
    if isinstance(value, str):
        return _TOLD.check(value, info)
    if isinstance(value, list):
        raise ValueError("a number or the name of a parameter or command, or a list of one for each number")
    return handler(value)


def _targets(value: Any, handler: Any) -> list[float | str]:
    return handler(value if isinstance(value, list) and value else [value])


_Target = Annotated[Number, WrapValidator(_target, json_schema_input_type=float | str)]


class Factor(SignalEntry):
    """What a factor of a reward term has besides its signal."""

    model_config = ConfigDict(json_schema_extra={
        "if": {"properties": {"shape": {"enum": list(WITH_TOLERANCE)}}, "required": ["shape"]},
        "then": {"required": ["tolerance"]}, "else": {"properties": {"tolerance": False}},
    })  # fmt: skip
    observed: ClassVar[bool] = False
    shape: Annotated[str, Choice(SHAPES, RENAMED)] = option("linear", "What is made of the numbers of the signal.")
    target: Annotated[
        list[_Target], WrapValidator(_targets, json_schema_input_type=float | str | list[float | str])
    ] = option([0.0], "Subtracted, in the unit of the signal: a number, a parameter or a command; one, or one each.")
    tolerance: Positive = option(NOTHING, "Width, in the unit of the signal.")

    @field_validator("tolerance", mode="wrap")
    @classmethod
    def _of_the_shape(cls, value: Any, handler: Any, info: ValidationInfo[Names]) -> float:
        shape = info.data.get("shape")  # None after a mistake
        if value is not NOTHING and shape not in (None, *WITH_TOLERANCE):
            raise ValueError(f"no such key: it belongs to the shapes {' and '.join(WITH_TOLERANCE)}")
        return handler(value) if value is not NOTHING or shape in WITH_TOLERANCE else 1.0

    def shaped(self, built: Built) -> "Shaped":
        """The factor; ValueError if the signal has not as many numbers as there are targets."""
        signal = self.build(built)
        targets = self.target * len(signal.names) if len(self.target) == 1 else self.target
        if len(targets) != len(signal.names):
            raise ValueError(f"got {len(targets)} values, expected 1 or {len(signal.names)}")
        numbers = np.array([0.0 if isinstance(t, str) else t for t in targets])
        named = [(i, t) for i, t in enumerate(targets) if isinstance(t, str)]
        told = tuple((i, built.space.names.index(t)) for i, t in named if t in built.space.names)
        columns, commands = built.course.command_columns(False), [*built.commands]
        commanded = tuple((i, int(columns[commands.index(t)])) for i, t in named if t in commands)
        changes = self.kind.where == "reward" and signal.field == "ctrl"
        return Shaped(signal, self.shape, numbers, told, commanded, self.tolerance, changes)


FACTORS = entries("reward", Factor, "factor")
_Factor = Annotated[Factor, OneOf("signal", FACTORS, renamed=SIGNALS_RENAMED)]


class RewardPart(Factor):
    """What a reward term has besides its signal."""

    weight: Number = option(..., "Factor of the term; negative for a cost.")
    times: list[_Factor] = option([], "Signals with a shape that the term is multiplied by.")

    def senses(self) -> list[Sense]:
        return [*super().senses(), *(sense for factor in self.times for sense in factor.senses())]

    def tracked(self) -> list[Sense]:
        return [*super().tracked(), *(sense for factor in self.times for sense in factor.tracked())]

    def term(self, built: Built) -> "RewardTerm":
        """The term of the reward; ValueError as of `shaped`."""
        return RewardTerm(self.weight, (self.shaped(built), *(factor.shaped(built) for factor in self.times)))


class SuccessPart(Factor):
    """What a condition of success has besides its signal."""

    shape: Annotated[str, Choice(CONDITIONS)] = option(..., "When it holds.")


class TerminationPart(SignalEntry):
    """What a termination has besides its signal."""

    model_config = ConfigDict(json_schema_extra={"anyOf": [{"required": ["below"]}, {"required": ["above"]}]})
    observed: ClassVar[bool] = False
    below: Number = option(None, "Least value, in the unit of the signal.")
    above: Number = option(NOTHING, "Greatest value, in the unit of the signal.")
    reward: Number = option(0.0, "Paid once, in the step that ends the episode by it; negative for a cost.")

    @field_validator("above", mode="wrap")
    @classmethod
    def _a_bound(cls, value: Any, handler: Any, info: ValidationInfo[Names]) -> float:
        if value is NOTHING and info.data.get("below", 0.0) is None:
            raise mistaken("got no bound, expected below, above or both")
        return math.inf if value is NOTHING else handler(value)

    def term(self, built: Built) -> "TerminationTerm":
        least = -math.inf if self.below is None else self.below
        return TerminationTerm(self.build(built), least, self.above, self.reward)


@dataclass(frozen=True)
class Shaped:
    """A shape laid over a signal.

    Attributes:
        targets: what is subtracted from the k numbers of the signal, (k,).
        told: which of them are parameters instead: (index of the number, column of the tasks' values).
        commanded: which of them are commands: (index of the number, column of userdata).
        changes: whether the signal's change over the step is meant.
    """

    signal: Signal
    shape: str
    targets: np.ndarray
    told: tuple[tuple[int, int], ...] = ()
    commanded: tuple[tuple[int, int], ...] = ()
    tolerance: float = 1.0
    changes: bool = False

    def value(self, sim: Simulator, ctrl_before: Array, values: Array) -> Array:
        """The shape's value after a step, (N,); controls before it (N, A), tasks values (N, D)."""
        numbers = self.signal.read(sim)
        xp = namespace(numbers)
        if self.changes and self.signal.compute:
            numbers = numbers - self.signal.compute(ctrl_before)
        if self.told or self.commanded:
            targets = [full(numbers, float(target)) for target in self.targets]
            for index, column in self.told:
                targets[index] = values[:, column]
            for index, column in self.commanded:
                targets[index] = field_of(sim, "userdata")[:, column]
            numbers = numbers - xp.stack(targets, axis=1)
        elif self.targets.any():
            numbers = numbers - constant(self.targets, numbers)
        if self.signal.turns:
            numbers = numbers - 2 * math.pi * xp.round(numbers / (2 * math.pi))
        if self.tolerance != 1.0:
            numbers = numbers / self.tolerance
        return SHAPES[self.shape][0](numbers)


@dataclass(frozen=True)
class RewardTerm:
    """One term of the reward: a weight times the product of its factors."""

    weight: float
    factors: tuple[Shaped, ...]

    @property
    def signals(self) -> list[Signal]:
        return [factor.signal for factor in self.factors]

    def value(self, sim: Simulator, ctrl_before: Array, values: Array) -> Array:
        """What the term pays for the step, (N,); controls before it (N, A), tasks values (N, D)."""
        paid = self.weight * self.factors[0].value(sim, ctrl_before, values)
        for factor in self.factors[1:]:
            paid = paid * factor.value(sim, ctrl_before, values)
        return paid


@dataclass(frozen=True)
class TerminationTerm:
    """Ends an episode when any number of the signal leaves its bounds; `reward` is what that pays."""

    signal: Signal
    below: float
    above: float
    reward: float = 0.0

    @property
    def signals(self) -> list[Signal]:
        return [self.signal]

    def ended(self, sim: Simulator) -> Array:
        """Which simulations have ended, (N,) bool."""
        numbers = self.signal.read(sim)
        return namespace(numbers).any((numbers < self.below) | (numbers > self.above), axis=1)


def table() -> str:
    """The shapes, as the Markdown table of docs/reference/robot_yaml.md."""
    rows = ["| shape | of the numbers s | meaning |", "|---|---|---|"]
    rows += [f"| `{name}` | {formula} | {meaning} |" for name, (_, formula, meaning) in SHAPES.items()]
    return "\n".join(rows)
