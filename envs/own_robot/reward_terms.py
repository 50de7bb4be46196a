"""Reward and termination of a robot from YAML: a shape laid over a signal, times a weight.

    reward:
      forward: {signal: body_velocity, of: torso, axes: x, weight: 1.0}
      effort: {signal: action, shape: square, weight: -0.05}
      speed: {signal: body_velocity, of: torso, axes: x, shape: exp_squared, target: speed, tolerance: 0.5, weight: 1.0}
    termination:
      fallen: {signal: body_upright, of: torso, below: 0.5}

A term is `weight * shape(signal - target)`. A target is a number or the name of a parameter of the task, one for all
numbers of the signal or a list of one each. All is paid per environment step.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any

import numpy as np
from mujoco.batch import Batch
from pydantic import (
    ConfigDict,
    Field,
    PlainValidator,
    TypeAdapter,
    ValidationError,
    ValidationInfo,
    ValidatorFunctionWrapHandler,
    WithJsonSchema,
    field_validator,
)

from .entries import NOTHING, Choice, Named, Number, Positive, mistake, mistakes
from .signals import Built, Signal, SignalEntry


def _linear(x: np.ndarray) -> np.ndarray:
    return x.sum(axis=1)


def _absolute(x: np.ndarray) -> np.ndarray:
    return np.abs(x).sum(axis=1)


def _square(x: np.ndarray) -> np.ndarray:
    return np.square(x).sum(axis=1)


def _norm(x: np.ndarray) -> np.ndarray:
    return np.sqrt(_square(x))


def _exp_squared(x: np.ndarray) -> np.ndarray:
    return np.exp(-_square(x))


def _within(x: np.ndarray) -> np.ndarray:
    return (_square(x) <= 1.0) * 1.0


def _above(x: np.ndarray) -> np.ndarray:
    return (x > 0).all(axis=1) * 1.0


def _below(x: np.ndarray) -> np.ndarray:
    return (x < 0).all(axis=1) * 1.0


SHAPES: dict[str, tuple[Callable[[np.ndarray], np.ndarray], str, str]] = {
    "linear": (_linear, "Σ (s - target)", "the numbers themselves, summed"),
    "absolute": (_absolute, "Σ \\|s - target\\|", "linear cost"),
    "square": (_square, "Σ (s - target)²", "quadratic cost"),
    "norm": (_norm, "√Σ (s - target)²", "a distance"),
    "exp_squared": (_exp_squared, "exp(-Σ ((s - target) / tolerance)²)", "1 at the target, 1/e at `tolerance` from it"),
    "within": (_within, "1 if √Σ (s - target)² ≤ tolerance, else 0", "sparse: reached or not"),
    "above": (_above, "1 if all s > target, else 0", "a threshold"),
    "below": (_below, "1 if all s < target, else 0", "a threshold"),
}
WITH_TOLERANCE = ("exp_squared", "within")
RENAMED = {"near": "exp_squared"}


_NUMBER, _PARAMETER = TypeAdapter(Number), Named("parameters", many=False)
_ONE_TARGET = {"type": ["number", "string"]}
_TOLERANT = {"properties": {"shape": {"enum": list(WITH_TOLERANCE)}}, "required": ["shape"]}


def _targets(value: Any, info: ValidationInfo) -> tuple[float | str, ...]:
    found = []
    for one in value if isinstance(value, list) and value else [value]:
        try:
            found.append(_PARAMETER.check(one, info) if isinstance(one, str) else _NUMBER.validate_python(one))
        except ValidationError as error:
            raise ValueError("a number or the name of a parameter, or a list of one for each number") from error
    return tuple(found)


class RewardPart(SignalEntry):
    """What a reward term has besides its signal."""

    model_config = ConfigDict(
        json_schema_extra={
            "if": _TOLERANT,
            "then": {"required": ["tolerance"]},
            "else": {"properties": {"tolerance": False}},
        }
    )
    weight: Number = Field(description="Factor of the term; negative for a cost.")
    shape: Annotated[str, Choice(SHAPES, RENAMED)] = Field("linear", description="What is made of the numbers.")
    target: Annotated[
        tuple[float | str, ...],
        PlainValidator(_targets),
        WithJsonSchema({"anyOf": [_ONE_TARGET, {"type": "array", "items": _ONE_TARGET, "minItems": 1}]}),
    ] = Field(
        (0.0,), description="Subtracted, in the signal's unit: a number or the name of a parameter; one, or a list."
    )
    tolerance: Positive = Field(
        default_factory=lambda: NOTHING, validate_default=True, description="Width, in the unit of the signal."
    )

    @field_validator("tolerance", mode="wrap")
    @classmethod
    def _of_the_shape(cls, value: Any, handler: ValidatorFunctionWrapHandler, info: ValidationInfo) -> float:
        shape = info.data.get("shape")  # None after a mistake
        if shape in WITH_TOLERANCE or (shape is None and value is not NOTHING):
            return handler(value)
        if value is not NOTHING:
            raise ValueError(f"none: it belongs to the shapes {' and '.join(WITH_TOLERANCE)}")
        return 1.0

    def term(self, built: Built) -> "RewardTerm":
        """The term of the reward; ValueError if the signal has not as many numbers as there are targets."""
        signal = self.build(built)
        targets = self.target * len(signal.names) if len(self.target) == 1 else self.target
        if len(targets) != len(signal.names):
            raise ValueError(f"got {len(targets)} values, expected 1 or {len(signal.names)}")
        numbers = np.array([0.0 if isinstance(t, str) else t for t in targets])
        columns = tuple((i, built.space.names.index(t)) for i, t in enumerate(targets) if isinstance(t, str))
        changes = self.kind.where == "reward"
        return RewardTerm(signal, self.shape, self.weight, Target(numbers, columns), self.tolerance, changes)


class TerminationPart(SignalEntry):
    """What a termination has besides its signal."""

    model_config = ConfigDict(json_schema_extra={"anyOf": [{"required": ["below"]}, {"required": ["above"]}]})
    below: Number = Field(None, description="Least value, in the unit of the signal.")
    above: Number = Field(
        default_factory=lambda: NOTHING, validate_default=True, description="Greatest value, in the unit of the signal."
    )

    @field_validator("above", mode="wrap")
    @classmethod
    def _bound(cls, value: Any, handler: ValidatorFunctionWrapHandler, info: ValidationInfo) -> float | None:
        if value is NOTHING and info.data.get("below", 0.0) is None:
            raise mistakes([mistake("got no bound, expected below, above or both")])
        return None if value is NOTHING else handler(value)

    def term(self, built: Built) -> "TerminationTerm":
        below, above = (
            (-math.inf if self.below is None else self.below),
            (math.inf if self.above is None else self.above),
        )
        return TerminationTerm(self.build(built), below, above)


@dataclass(frozen=True)
class Target:
    """What is subtracted from a signal of k numbers: numbers (k,), and which of them are parameters of the task."""

    numbers: np.ndarray
    parameters: tuple[tuple[int, int], ...] = ()  # (index of the number, column of the tasks' values)

    def of(self, values: np.ndarray) -> np.ndarray:
        """Targets (k,) of all simulations or (N, k) of each, of tasks values (N, D)."""
        if not self.parameters:
            return self.numbers
        targets = np.tile(self.numbers, (len(values), 1))
        for index, column in self.parameters:
            targets[:, index] = values[:, column]
        return targets


@dataclass(frozen=True)
class RewardTerm:
    """One term of the reward; of `changes`, the signal's change over the step is meant."""

    signal: Signal
    shape: str
    weight: float
    target: Target
    tolerance: float = 1.0
    changes: bool = False

    def value(self, batch: Batch, ctrl_before: np.ndarray, values: np.ndarray) -> np.ndarray:
        """What the term pays for the step, (N,); controls before it (N, A), tasks values (N, D)."""
        numbers = self.signal.read(batch)
        if self.changes:
            numbers = numbers - self.signal.compute(ctrl_before)
        if self.target.parameters or self.target.numbers.any():
            numbers = numbers - self.target.of(values)
        if self.tolerance != 1.0:
            numbers = numbers / self.tolerance
        return self.weight * SHAPES[self.shape][0](numbers)


@dataclass(frozen=True)
class TerminationTerm:
    """Ends an episode when any number of the signal leaves its bounds."""

    signal: Signal
    below: float
    above: float

    def ended(self, batch: Batch) -> np.ndarray:
        """Which simulations have ended, (N,) bool."""
        numbers = self.signal.read(batch)
        return ((numbers < self.below) | (numbers > self.above)).any(axis=1)


def table() -> str:
    """The shapes, as the Markdown table of docs/own_robot.md."""
    rows = ["| shape | of the numbers s | meaning |", "|---|---|---|"]
    rows += [f"| `{name}` | {formula} | {meaning} |" for name, (_, formula, meaning) in SHAPES.items()]
    return "\n".join(rows)
