"""The linear feature baseline of Duan et al. (2016), fitted for all tasks at once.

Features of step t in observation s: [s, s^2, t/100, (t/100)^2, (t/100)^3, 1], with s clipped to [-10, 10]. A ridge
regression on the discounted reward to go gives every task its own weights, from its own episodes, at each round:

    values, bootstrap = fit_values(rollout, targets)      # (M, T, K), (M, K)
"""

import numpy as np
import torch

from .rollout import Rollout

RIDGE = 1e-5


def _features(observations: np.ndarray, steps: np.ndarray) -> torch.Tensor:
    """(M, ..., O) observations and their step indices (M, ...) -> (M, N, 2 O + 4) float64, N steps of each task."""
    num = observations.shape[-1]
    features = np.empty((*observations.shape[:-1], 2 * num + 4))
    np.clip(observations, -10.0, 10.0, out=features[..., :num])
    np.square(features[..., :num], out=features[..., num : 2 * num])
    time = steps / 100.0
    for power in (1, 2, 3):
        features[..., 2 * num + power - 1] = time**power
    features[..., -1] = 1.0
    return torch.from_numpy(features.reshape(len(features), -1, features.shape[-1]))


def fit_values(rollout: Rollout, targets: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Fit V on each task's own steps and return it where it is needed.

    Args:
        rollout: the episodes.
        targets: (M, T, K) regression targets, the discounted rewards to go.

    Returns:
        (M, T, K) values of the observations and (M, K) values of the observations after the last valid step.
    """
    num_tasks, num_steps, num_episodes = rollout.shape
    steps = np.broadcast_to(np.arange(num_steps)[None, :, None], rollout.shape)
    features = _features(rollout.observations, steps)  # (M, T * K, F)
    valid = torch.from_numpy(rollout.valid.reshape(num_tasks, -1, 1))
    transposed = (features if valid.all() else features * valid).transpose(1, 2)
    gram = transposed @ features
    moment = transposed @ torch.from_numpy(targets.reshape(num_tasks, -1, 1))
    weights = _solve(gram, moment)  # (M, F, 1)

    values = (features @ weights).reshape(rollout.shape).numpy()
    lengths = rollout.valid.sum(axis=1)  # (M, K), the step index after the last one
    bootstrap = _features(rollout.last_observations, lengths) @ weights
    return values, bootstrap.reshape(num_tasks, num_episodes).numpy()


def _solve(gram: torch.Tensor, moment: torch.Tensor) -> torch.Tensor:
    """Solve the ridge systems; singular ones are met with ten times the ridge, up to 1e5 times (rllab's remedy)."""
    identity = torch.eye(gram.shape[-1], dtype=gram.dtype)
    for power in range(6):
        solution, info = torch.linalg.solve_ex(gram + RIDGE * 10**power * identity, moment)
        if not info.any() and torch.isfinite(solution).all():
            return solution
    raise ValueError("the baseline's normal equations cannot be solved: are the observations and rewards finite?")
