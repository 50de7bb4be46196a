"""Running mean and standard deviation of observations, as a value.

The statistics are fixed while a meta-iteration runs, so that every policy in it sees the same inputs, and are updated
between iterations with the moments that the rollouts carry:

    normalizer = Normalizer.identity(17)
    seen = normalizer(observations)                     # float32, clipped to +-10
    normalizer = normalizer.update(rollout.raw_moments)

Moments are centred, and in float64: a height of 5000 m that varies by 0.05 m has that deviation. They are NumPy's;
observations may be tensors, and what is seen of them is on their device.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch

from metarl.util.arrays import Array, as_numpy, namespace
from metarl.util.onnx_graph import Graph

CLIP = 10.0


def moments_of(numbers: Array) -> np.ndarray:
    """(3, O) count, mean and summed squared deviations from it of numbers (n, O), float64."""
    xp = namespace(numbers)
    numbers = xp.asarray(numbers, dtype=xp.float64)
    count = np.full(numbers.shape[1], float(len(numbers)))
    if not len(numbers):
        return np.zeros((3, numbers.shape[1]))
    mean = numbers.mean(axis=0)
    deviations = xp.square(numbers - mean).sum(axis=0)
    return np.stack([count, as_numpy(mean), as_numpy(deviations)])


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

    def __call__(self, observations: Array) -> Array:
        """(..., O) raw -> (..., O) float32, what the policy sees."""
        xp = namespace(observations)
        if self.enabled:
            mean, std = self._beside(observations)
            observations = xp.clip((observations - mean) / std, -CLIP, CLIP)
        return xp.astype(observations, xp.float32)

    def _beside(self, observations: Array) -> tuple[Array, Array]:
        """Mean and standard deviation where observations are; on another device they are kept for the next ones."""
        if isinstance(observations, np.ndarray):
            return self.mean, self.std
        device = observations.device
        if device not in self._moved:
            self._moved[device] = torch.from_numpy(self.mean).to(device), torch.from_numpy(self.std).to(device)
        return self._moved[device]

    @cached_property
    def _moved(self) -> dict[torch.device, tuple[torch.Tensor, torch.Tensor]]:
        return {}

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
