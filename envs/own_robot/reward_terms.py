"""Reward and termination of a robot from YAML: a shape laid over a signal, times a weight.

    reward:
      forward: {signal: body_velocity, of: torso, axes: x, weight: 1.0}
      effort: {signal: action, shape: square, weight: -0.05}
      speed: {signal: body_velocity, of: torso, axes: x, shape: near, target: speed, tolerance: 0.5, weight: 1.0}
    termination:
      fallen: {signal: body_upright, of: torso, below: 0.5}

A term is `weight * shape(signal - target)`. A target is a number or the name of a parameter of the task, one for all
numbers of the signal or a list of one each. All is paid per environment step.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from mujoco.batch import Batch

from .signals import Signal


def _linear(x: np.ndarray) -> np.ndarray:
    return x.sum(axis=1)


def _absolute(x: np.ndarray) -> np.ndarray:
    return np.abs(x).sum(axis=1)


def _square(x: np.ndarray) -> np.ndarray:
    return np.square(x).sum(axis=1)


def _norm(x: np.ndarray) -> np.ndarray:
    return np.sqrt(_square(x))


def _near(x: np.ndarray) -> np.ndarray:
    return np.exp(-_square(x))


def _within(x: np.ndarray) -> np.ndarray:
    return (_square(x) <= 1.0) * 1.0


def _above(x: np.ndarray) -> np.ndarray:
    return (x > 0).all(axis=1) * 1.0


def _below(x: np.ndarray) -> np.ndarray:
    return (x < 0).all(axis=1) * 1.0


SHAPES: dict[str, tuple[Callable[[np.ndarray], np.ndarray], str, str]] = {
    "linear": (_linear, "Σ (s - target)", "the numbers themselves, summed"),
    "absolute": (_absolute, "Σ \\|s - target\\|", "a cost that pulls equally far and near"),
    "square": (_square, "Σ (s - target)²", "a cost that hardly minds small differences"),
    "norm": (_norm, "√Σ (s - target)²", "a distance"),
    "near": (_near, "exp(-Σ ((s - target) / tolerance)²)", "1 at the target, 1/e at `tolerance` from it"),
    "within": (_within, "1 if √Σ (s - target)² ≤ tolerance, else 0", "sparse: reached or not"),
    "above": (_above, "1 if all s > target, else 0", "a threshold"),
    "below": (_below, "1 if all s < target, else 0", "a threshold"),
}
WITH_TOLERANCE = ("near", "within")


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
