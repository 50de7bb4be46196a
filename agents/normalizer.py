"""Running mean and standard deviation of observations, as a value.

The statistics are fixed while a meta-iteration runs, so that every policy in it sees the same inputs, and are updated
between iterations with the moments that the rollouts carry:

    normalizer = Normalizer.identity(17)
    seen = normalizer(observations)                     # float32, clipped to +-10
    normalizer = normalizer.update(rollout.raw_moments)

Moments are centred, and in float64: a height of 5000 m that varies by 0.05 m has that deviation.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from metarl.util.onnx_graph import Graph

CLIP = 10.0


def moments_of(numbers: np.ndarray) -> np.ndarray:
    """(3, O) count, mean and summed squared deviations from it of numbers (n, O), float64."""
    numbers = np.asarray(numbers, np.float64)
    count = np.full(numbers.shape[1], float(len(numbers)))
    if not len(numbers):
        return np.zeros((3, numbers.shape[1]))
    mean = numbers.mean(axis=0)
    return np.stack([count, mean, np.square(numbers - mean).sum(axis=0)])


def merged(parts: Iterable[np.ndarray]) -> np.ndarray:
    """Moments (3, O) of the numbers of several parts together (Chan et al. 1979)."""
    count, mean, m2 = np.zeros(3)
    for n, part, deviations in parts:
        total = np.maximum(count + n, 1.0)
        delta = part - mean
        m2 = m2 + deviations + delta**2 * count * n / total
        mean = mean + delta * n / total
        count = count + n
    return np.stack([count, mean, m2])


@dataclass(frozen=True)
class Normalizer:
    """Moments of the raw observations: count (), mean (O,), m2 (O,) summed squared deviations."""

    count: float
    mean: np.ndarray
    m2: np.ndarray
    enabled: bool = True

    @classmethod
    def identity(cls, observation_dim: int, enabled: bool = True) -> "Normalizer":
        return cls(0.0, np.zeros(observation_dim), np.zeros(observation_dim), enabled)

    @property
    def std(self) -> np.ndarray:
        """(O,), one before the first update; an observation that never changes is only centered."""
        if self.count == 0:
            return np.ones_like(self.mean)
        return np.maximum(np.sqrt(self.m2 / self.count), 1e-2)

    def __call__(self, observations: np.ndarray) -> np.ndarray:
        """(..., O) raw -> (..., O) float32, what the policy sees."""
        if not self.enabled:
            return observations.astype(np.float32)
        return np.clip((observations - self.mean) / self.std, -CLIP, CLIP).astype(np.float32)

    def onnx(self, graph: Graph, x: str) -> str:
        """The same in a graph: (N, O) float64 -> (N, O) float32."""
        if self.enabled:
            x = graph.op("Div", graph.op("Sub", x, graph.constant(self.mean)), graph.constant(self.std))
            x = graph.clip(x, -CLIP, CLIP)
        return graph.cast(x, np.float32)

    def update(self, moments: np.ndarray) -> "Normalizer":
        """With moments (3, O) of new observations."""
        if not self.enabled or moments[0, 0] == 0:
            return self
        before = np.stack([np.full_like(self.mean, self.count), self.mean, self.m2])
        count, mean, m2 = merged([before, moments])
        return Normalizer(float(count[0]), mean, m2)
