"""The trajectory record: what one round of experience in a batch of tasks left behind.

Axes, here and nowhere else decided: task M, step T, episode K, then the feature axis. Simulation ``m * K + k`` of the
environment is episode ``k`` of task ``m``. Every episode begins at step 0; one that ends early is padded, and
``valid`` marks the steps that were taken. An episode whose physics diverged is not valid at any step: it is counted
in ``diverged`` and nothing learns from it.

    rollout.returns               # (M, K) sum of rewards of each episode
    rollout.rewards[m, :, k]      # (T,) rewards of one episode

Arrays are those of the environment: NumPy's, or tensors on the device of its physics.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from metarl.util.arrays import Array, namespace


@dataclass(frozen=True)
class Rollout:
    """K episodes in each of M tasks, at most T steps long.

    Attributes:
        observations: (M, T, K, O) float32, as the policy saw them (normalized, if it normalizes).
        raw_moments: (3, O) float64: count, mean and summed squared deviations of the raw observations of valid steps.
        actions: (M, T, K, A) float32, in the environment's action units.
        rewards: (M, T, K) float64.
        terminated: (M, T, K) bool, the step ended the episode in a terminal state (no value follows it).
        truncated: (M, T, K) bool, the step was the last of the time limit (a value follows it).
        valid: (M, T, K) bool.
        diverged: (M, K) bool, the simulation broke down and the episode was discarded.
        last_observations: (M, K, O) float32, the observation after the last step.
        state: the adapter's state after the last step.
        steps: (M, K) that were taken, those of an episode that diverged included: they cost experience.
        successes: (M, K) 1 where the environment said at any step that the task is done, 0 where not, an episode that
            diverged included; NaN where it does not say. None: not recorded.
    """

    observations: Array
    raw_moments: np.ndarray
    actions: Array
    rewards: Array
    terminated: Array
    truncated: Array
    valid: Array
    diverged: Array
    last_observations: Array
    state: Any = None
    steps: Array | None = None
    successes: Array | None = None

    @property
    def shape(self) -> tuple[int, int, int]:
        """(M, T, K)."""
        return self.rewards.shape

    @property
    def returns(self) -> Array:
        """(M, K) undiscounted return of each episode; NaN where the physics diverged."""
        xp = namespace(self.rewards)
        returns = xp.where(self.valid, self.rewards, 0.0).sum(axis=1)
        return xp.where(self.diverged, np.nan, returns)

    @property
    def num_steps(self) -> int:
        """Environment steps that were taken, those of episodes that diverged included."""
        return int((self.valid if self.steps is None else self.steps).sum())
