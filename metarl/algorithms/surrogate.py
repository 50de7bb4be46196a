"""The clipped surrogate of proximal policy optimization, which ProMP and RL² share."""

import math

import torch

MAX_RATIO = 20.0


def likelihood_ratio(change: torch.Tensor) -> torch.Tensor:
    """exp(change), but a constant above ``MAX_RATIO``; any shape.

    Where an advantage is negative, nothing bounds r A from below: after one step too long, a single action of
    likelihood ratio 1e30 makes the gradient overflow, or fills Adam's second moments for a thousand steps. So
    large a ratio says only that the action tells nothing any more (Ye et al. 2020, arXiv:1912.09729, eq. 5).

    Args:
        change: logarithm of an action's likelihood now, less that at collection.
    """
    return change.clamp(max=math.log(MAX_RATIO)).exp()


def clipped_surrogate(ratio: torch.Tensor, advantages: torch.Tensor, clip: float) -> torch.Tensor:
    """min(r A, clip(r) A) for each action (Schulman et al. 2017, arXiv:1707.06347, eq. 7); any shape.

    Args:
        clip: ratios are cut to [1 - clip, 1 + clip].
    """
    return torch.minimum(ratio * advantages, ratio.clamp(1 - clip, 1 + clip) * advantages)
