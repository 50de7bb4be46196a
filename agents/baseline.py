"""The linear feature baseline of Duan et al. (2016), fitted for all tasks at once.

Features of step t in observation s: [s, s^2, t/100, (t/100)^2, (t/100)^3, 1], with s clipped to [-10, 10]. A ridge
regression on the discounted reward to go gives every task its own weights, from its own episodes, at each round:

    values, bootstrap = fit_values(rollout, targets)      # (M, T, K), (M, K)
"""

import numpy as np

from .rollout import Rollout

RIDGE = 1e-5


def _features(observations: np.ndarray, steps: np.ndarray) -> np.ndarray:
    """(..., O) observations and their step indices (...) -> (..., 2 O + 4) float32."""
    num = observations.shape[-1]
    features = np.empty((*observations.shape[:-1], 2 * num + 4), np.float32)
    np.clip(observations, -10.0, 10.0, out=features[..., :num])
    np.square(features[..., :num], out=features[..., num : 2 * num])
    time = steps / 100.0
    for power in (1, 2, 3):
        features[..., 2 * num + power - 1] = time**power
    features[..., -1] = 1.0
    return features


def fit_values(rollout: Rollout, targets: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Fit V on each task's own steps and return it where it is needed.

    Args:
        rollout: the episodes.
        targets: (M, T, K) regression targets, the discounted rewards to go.

    Returns:
        (M, T, K) values of the observations and (M, K) values of the observations after the last valid step.
    """
    num_tasks, num_steps, num_episodes = rollout.shape
    steps = np.broadcast_to(np.arange(num_steps, dtype=np.float32)[None, :, None], rollout.shape)
    features = _features(rollout.observations, steps)  # (M, T, K, F)
    flat = features.reshape(num_tasks, num_steps * num_episodes, -1)
    valid = rollout.valid.reshape(num_tasks, -1, 1)
    weighted = flat if valid.all() else flat * valid
    # normal equations, accumulated in float32 products and solved in float64
    gram = np.matmul(weighted.transpose(0, 2, 1), flat).astype(np.float64)
    moment = np.matmul(weighted.transpose(0, 2, 1), targets.reshape(num_tasks, -1, 1).astype(np.float32))
    ridge = RIDGE * np.eye(gram.shape[-1])
    weights = _solve(gram, ridge, moment.astype(np.float64)).astype(np.float32)  # (M, F, 1)

    values = np.matmul(flat, weights).reshape(rollout.shape).astype(np.float64)
    lengths = rollout.valid.sum(axis=1).astype(np.float32)  # (M, K), the step index after the last one
    last = _features(rollout.last_observations, lengths)
    return values, np.matmul(last, weights)[..., 0].astype(np.float64)


def _solve(gram: np.ndarray, ridge: np.ndarray, moment: np.ndarray) -> np.ndarray:
    """Solve the ridge systems; a singular one is met with ten times the ridge, up to 1e5 times (rllab's remedy)."""
    for _ in range(6):
        try:
            solution = np.linalg.solve(gram + ridge, moment)
        except np.linalg.LinAlgError:
            solution = None
        if solution is not None and np.isfinite(solution).all():
            return solution
        ridge = ridge * 10.0
    raise ValueError("the baseline's normal equations cannot be solved: are the observations and rewards finite?")
