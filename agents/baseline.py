"""The linear feature baseline of Duan et al. (2016), fitted for all tasks at once.

Features of step t in observation s: [s, s^2, t/100, (t/100)^2, (t/100)^3, 1], with s clipped to [-10, 10]. A ridge
regression on the discounted reward to go gives every task its own weights, from its own episodes, at each round:

    values, bootstrap = fit_values(rollout, targets)      # (M, T, K), (M, K)

Features are standardized in each task, and the ridge is their number F: the best one where they explain half of the
variance, which are F weights of variance 1/F against noise of variance 1. So it is small beside many steps, and strong
where features outnumber them; rllab's 1e-5 follows the noise there, and what it took for value is missing from the
advantages. docs/results/promp_and_maml.md has the agreement of gradients with this ridge and others.
"""

from collections.abc import Callable

import numpy as np
import torch

from metarl.util.arrays import Array, constant, namespace, zeros

from .nn.arrays import given_as, tensor
from .rollout import Rollout

RIDGE = 1e-5  # of `fit_unscaled`

Baseline = Callable[[Rollout, Array], tuple[Array, Array]]


def fit_values(rollout: Rollout, targets: Array) -> tuple[Array, Array]:
    """Fit V on each task's own steps and return it where it is needed.

    Args:
        rollout: the episodes.
        targets: (M, T, K) regression targets, the discounted rewards to go.

    Returns:
        (M, T, K) values of the observations and (M, K) values of the observations after the last valid step.

    Raises:
        ValueError: observations or targets are not finite.
    """
    features, behind = _features_of(rollout)  # (M, N, F), (M, K, F), N steps of each task
    valid = tensor(rollout.valid.reshape(len(features), -1, 1))
    wanted = tensor(targets.reshape(valid.shape))
    count = valid.sum(1, keepdim=True).clamp(min=1)  # (M, 1, 1)
    mean, offset = ((x * valid).sum(1, keepdim=True) / count for x in (features, wanted))
    std = (((features - mean) * valid).square().sum(1, keepdim=True) / count).sqrt()

    def standardized(x: torch.Tensor) -> torch.Tensor:
        return torch.where(std > 1e-8, (x - mean) / std.clamp(min=1e-8), 0.0)

    z = standardized(features)
    transposed, num = (z * valid).mT, z.shape[-1]
    gram = transposed @ z + num * torch.eye(num, dtype=z.dtype, device=z.device)
    weights = torch.linalg.solve_ex(gram, transposed @ (wanted - offset))[0]  # (M, F, 1)

    values = (z @ weights + offset).reshape(rollout.shape)
    bootstrap = (standardized(behind) @ weights + offset)[..., 0]
    if not ((values.isfinite() | ~tensor(rollout.valid)).all() and bootstrap.isfinite().all()):
        raise ValueError("the baseline cannot be fitted: are the observations and rewards finite?")
    return given_as(values, targets), given_as(bootstrap, targets)


def fit_unscaled(rollout: Rollout, targets: Array) -> tuple[Array, Array]:
    """rllab's fit, and that of runs of before: features as they are, and a ridge of 1e-5."""
    features, behind = (_with_constant(x) for x in _features_of(rollout))
    valid = tensor(rollout.valid.reshape(len(features), -1, 1))
    transposed = (features if valid.all() else features * valid).transpose(1, 2)
    gram = transposed @ features
    moment = transposed @ tensor(targets.reshape(len(features), -1, 1))
    weights = _solve(gram, moment)  # (M, F, 1)
    values = (features @ weights).reshape(rollout.shape)
    return given_as(values, targets), given_as((behind @ weights)[..., 0], targets)


def _features_of(rollout: Rollout) -> tuple[torch.Tensor, torch.Tensor]:
    """Features of all steps (M, T * K, F), and of the observations after the last ones (M, K, F)."""
    xp, lengths = namespace(rollout.valid), rollout.valid.sum(axis=1)  # (M, K), the step index after the last one
    steps = constant(np.arange(rollout.shape[1]), lengths)
    steps = xp.broadcast_to(steps[None, :, None], rollout.shape)
    return _features(rollout.observations, steps).flatten(1, 2), _features(rollout.last_observations, lengths)


def _features(observations: Array, steps: Array) -> torch.Tensor:
    """(..., O) observations and their step indices (...) -> (..., 2 O + 3) float64."""
    xp, num = namespace(observations), observations.shape[-1]
    features = zeros((*observations.shape[:-1], 2 * num + 3), observations, "float64")
    features[..., :num] = xp.clip(observations, -10.0, 10.0)
    features[..., num : 2 * num] = xp.square(features[..., :num])
    time = xp.astype(steps, xp.float64) / 100.0
    for power in (1, 2, 3):
        features[..., 2 * num + power - 1] = time**power
    return tensor(features)


def _with_constant(features: torch.Tensor) -> torch.Tensor:
    return torch.cat([features, torch.ones_like(features[..., :1])], dim=-1)


def _solve(gram: torch.Tensor, moment: torch.Tensor) -> torch.Tensor:
    """Solve the ridge systems; singular ones are met with ten times the ridge, up to 1e5 times (rllab's remedy)."""
    identity = torch.eye(gram.shape[-1], dtype=gram.dtype, device=gram.device)
    for power in range(6):
        solution, info = torch.linalg.solve_ex(gram + RIDGE * 10**power * identity, moment)
        if not info.any() and torch.isfinite(solution).all():
            return solution
    raise ValueError("the baseline's normal equations cannot be solved: are the observations and rewards finite?")
