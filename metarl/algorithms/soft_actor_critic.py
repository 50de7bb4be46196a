"""The losses of soft actor-critic (Haarnoja et al. 2018, arXiv:1812.05905), as functions of numbers of each step.

All are sums over steps with weights w, one at a step that counts and zero at padding. alpha is the temperature.
"""

import torch

from metarl.agents.two_hot import TwoHot


def critic_targets(
    rewards: torch.Tensor,
    follows: torch.Tensor,
    next_values: torch.Tensor,
    next_log_probs: torch.Tensor,
    temperature: torch.Tensor,
    discount: float,
) -> torch.Tensor:
    """r + gamma f (min_i Q_i(s', a') - alpha log pi(a' | s')), eqs. 3 and 8: (...) of rewards (...).

    Args:
        follows: f (...), one where a value follows, zero after a terminal state; a time limit is none.
        next_values: (M, ...), of the target critics at an action of the policy.
        next_log_probs: (...), of that action.
    """
    return rewards + discount * follows * (next_values.amin(0) - temperature * next_log_probs)


def critic_loss(values: torch.Tensor, targets: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
    """sum_i w (Q_i - y)^2 / 2, eq. 5: values (N, ...) of all critics, targets and weights (...)."""
    return 0.5 * (weights * (values - targets).square()).sum()


def classification_loss(
    logits: torch.Tensor, coding: TwoHot, targets: torch.Tensor, weights: torch.Tensor
) -> torch.Tensor:
    """sum_i w H(y, Q_i), in eq. 5's place: logits (N, ..., K) of the bins of Q_i, of which y is to be the mean."""
    return (weights * coding.loss(logits, targets)).sum()


def actor_loss(
    values: torch.Tensor, log_probs: torch.Tensor, temperature: torch.Tensor, weights: torch.Tensor
) -> torch.Tensor:
    """w (alpha log pi(a) - min_i Q_i(a)), eq. 7: values (M, ...) at actions of the policy, the rest (...)."""
    return (weights * (temperature * log_probs - values.amin(0))).sum()


def temperature_loss(
    log_temperature: torch.Tensor, log_probs: torch.Tensor, target_entropy: float, weights: torch.Tensor
) -> torch.Tensor:
    """-w log alpha (log pi + H), eq. 18 with log alpha in alpha's place: alpha falls where the entropy is above H."""
    return -(weights * log_temperature * (log_probs.detach() + target_entropy)).sum()
