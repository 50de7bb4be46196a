"""The clipped surrogate of proximal policy optimisation, which ProMP and RL² share."""

import math

import torch

MAX_RATIO = 20.0


def clipped_surrogate(change: torch.Tensor, advantages: torch.Tensor, clip: float) -> torch.Tensor:
    """min(r A, clip(r) A) for each action (Schulman et al. 2017, arXiv:1707.06347, eq. 7), r = exp(change).

    Where A < 0 nothing bounds r A from below: after one step too long, a single action of likelihood ratio 1e30 makes
    the gradient overflow, or fills Adam's second moments for a thousand steps. A ratio above ``MAX_RATIO`` says only
    that the action tells nothing any more, so it counts as a constant (Ye et al. 2020, arXiv:1912.09729, eq. 5).

    Args:
        change: logarithm of an action's likelihood now, less that at collection; any shape.
        advantages: of the same shape.
        clip: ratios are cut to [1 - clip, 1 + clip].
    """
    ratio = change.clamp(max=math.log(MAX_RATIO)).exp()
    return torch.minimum(ratio * advantages, ratio.clamp(1 - clip, 1 + clip) * advantages)
