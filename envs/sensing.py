"""What becomes of what a family observes on its way to a policy: noise, delay and dropout, limits, scale, history.

    sensing = Sensing((("observation_noise", 0.1, (0, 1)),), low, high, scale, *stacked([(2, 4), (1, 1)]))

In this order, as in Isaac Lab and mjlab: noise is added (by `SensorActuatorModel`, with what the task varies), an entry
may arrive late or not at all, then it is limited and scaled, and the last ones are handed over together, oldest first.
At the start of an episode all of a history is what was first observed.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from .arrays import Array, constant, namespace


@dataclass(frozen=True)
class Sensing:
    """Of the R numbers that a family observes.

    Attributes:
        fixed: (quantity, value, entries) of kind "sensor", as parameters write them, in all tasks.
        low, high: limits (R,), in the unit of the number.
        scale: factors (R,) behind that.
        lags, columns: of each of the O numbers that are handed over, how many steps old it is, and which number.
    """

    fixed: tuple[tuple[str, float, tuple[int, ...]], ...]
    low: np.ndarray
    high: np.ndarray
    scale: np.ndarray
    lags: np.ndarray
    columns: np.ndarray

    def finish(self, observation: Array) -> Array:
        """Numbers (N, R) limited and scaled."""
        xp = namespace(observation)
        low, high, scale = (constant(values, observation) for values in (self.low, self.high, self.scale))
        return scale * xp.minimum(xp.maximum(observation, low), high)

    @property
    def size(self) -> int:
        """O."""
        return len(self.columns)


class History:
    """The last observations of N simulations."""

    def __init__(self, sensing: Sensing, num_envs: int):
        self._sensing = sensing
        self._last = np.zeros((num_envs, int(sensing.lags.max(initial=0)) + 1, len(sensing.scale)))  # by age

    def start(self, ids: np.ndarray, observation: np.ndarray) -> None:
        """Episodes of simulations ids (n,) begin with numbers (n, R)."""
        self._last[ids] = observation[:, None]

    def step(self, ids: np.ndarray, observation: np.ndarray) -> None:
        """Simulations ids (n,) have observed numbers (n, R)."""
        self._last[ids, 1:] = self._last[ids, :-1]
        self._last[ids, 0] = observation

    def read(self) -> np.ndarray:
        """What is handed over (N, O), a new array."""
        return self._last[:, self._sensing.lags, self._sensing.columns]


def stacked(groups: Sequence[tuple[int, int]]) -> tuple[np.ndarray, np.ndarray]:
    """Lags and columns of groups of numbers, (how many, how many steps of them) each: the oldest step first."""
    lags, columns, first = [], [], 0
    for count, steps in groups:
        lags.append(np.repeat(np.arange(steps)[::-1], count))
        columns.append(np.tile(first + np.arange(count), steps))
        first += count
    return np.concatenate(lags), np.concatenate(columns)
