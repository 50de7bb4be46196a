"""Running mean and standard deviation of observations, as a value.

The statistics are fixed while a meta-iteration runs, so that every policy in it sees the same inputs, and are updated
between iterations with the moments that the rollouts carry:

    normalizer = Normalizer.identity(17)
    seen = normalizer(observations)                     # float32, clipped to +-10
    normalizer = normalizer.update(rollout.raw_moments)
"""

from dataclasses import dataclass

import numpy as np

from metarl.util.onnx_graph import Graph

CLIP = 10.0


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
        """Merge (3, O) moments (count, sum, sum of squares) of new observations (Chan et al. 1979)."""
        count = float(moments[0, 0])
        if not self.enabled or count == 0:
            return self
        mean = moments[1] / count
        m2 = np.maximum(moments[2] - count * mean**2, 0.0)
        total = self.count + count
        delta = mean - self.mean
        return Normalizer(
            total,
            self.mean + delta * count / total,
            self.m2 + m2 + delta**2 * self.count * count / total,
        )
