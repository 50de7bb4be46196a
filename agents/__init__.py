"""What learns inside one task: policies, inner learners, and the record of what they lived through.

This package knows nothing of environments. Everything is batched over tasks (M), steps (T) and episodes (K).
"""

from .adapter import Adapter, Decision, GradientAdapter
from .baseline import fit_values
from .inner_loop import InnerLoop, Samples
from .memory import Memory
from .normaliser import Normaliser
from .policy import GaussianMLP, Params
from .recurrent_adapter import RecurrentAdapter
from .recurrent_policy import MEMORIES, RecurrentPolicy
from .returns import discounted_returns, generalised_advantages, normalise_advantages
from .rollout import Rollout

__all__ = [
    "Adapter",
    "Decision",
    "GaussianMLP",
    "GradientAdapter",
    "InnerLoop",
    "MEMORIES",
    "Memory",
    "Normaliser",
    "Params",
    "RecurrentAdapter",
    "RecurrentPolicy",
    "Rollout",
    "Samples",
    "discounted_returns",
    "fit_values",
    "generalised_advantages",
    "normalise_advantages",
]
