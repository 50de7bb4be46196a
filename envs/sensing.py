"""What becomes of what a family observes on its way to a policy: noise, delay and dropout, limits, scale, history.

    sensing = Sensing((("observation_noise", 0.1, (0, 1)),), low, high, scale, *stacked([(2, 4), (1, 1)]))

In this order, as in Isaac Lab and mjlab: noise is added (by `SensorActuatorModel`, with what the task varies), an entry
may arrive late or not at all, then it is limited and scaled, and the last ones are handed over together, oldest first.
At the start of an episode all of a history is what was first observed.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from metarl.util.arrays import zeros

from .arrays import Array, constant, index, namespace


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

    @property
    def size(self) -> int:
        """O."""
        return len(self.columns)


class History:
    """The last observations of N simulations, limited and scaled; arrays of the kind of `observations` (N, R)."""

    def __init__(self, sensing: Sensing, observations: Array):
        n, size = observations.shape
        self._last = zeros((n, int(sensing.lags.max(initial=0)) + 1, size), observations)  # by age
        self._low, self._high, self._scale = (
            constant(values, observations) for values in (sensing.low, sensing.high, sensing.scale)
        )
        self._lags, self._columns = index(sensing.lags, observations), index(sensing.columns, observations)

    def start(self, ids: Array, observation: Array) -> None:
        """Episodes of simulations ids (n,) begin with numbers (n, R)."""
        self._last[ids] = self._finished(observation)[:, None]

    def step(self, ids: Array, observation: Array) -> None:
        """Simulations ids (n,) have observed numbers (n, R)."""
        self._last[ids, 1:] = self._last[ids, :-1]
        self._last[ids, 0] = self._finished(observation)

    def read(self) -> Array:
        """What is handed over (N, O), a new array."""
        return self._last[:, self._lags, self._columns]

    def _finished(self, observation: Array) -> Array:
        xp = namespace(observation)
        return self._scale * xp.minimum(xp.maximum(observation, self._low), self._high)


def stacked(groups: Sequence[tuple[int, int]]) -> tuple[np.ndarray, np.ndarray]:
    """Lags and columns of groups of numbers, (how many, how many steps of them) each: the oldest step first."""
    lags, columns, first = [], [], 0
    for count, steps in groups:
        lags.append(np.repeat(np.arange(steps)[::-1], count))
        columns.append(np.tile(first + np.arange(count), steps))
        first += count
    return np.concatenate(lags), np.concatenate(columns)
