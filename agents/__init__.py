"""What learns inside one task: policies, inner learners, and the record of their experience.

This package knows nothing of environments. Everything is batched over tasks (M), steps (T) and episodes (K).
"""

from .adapter import Adapter, Decision
from .baseline import fit_values
from .inner_loop import InnerLoop, Samples
from .memory.base import Memory, option
from .memory.registry import make_memory
from .nn.params import Params
from .normalizer import Normalizer
from .policy import GaussianMLP
from .policy_gradient import GradientAdapter, PolicyGradientInner
from .recurrent_adapter import RecurrentAdapter
from .recurrent_policy import RecurrentPolicy
from .returns import discounted_returns, generalized_advantages, normalize_advantages
from .rollout import Rollout

__all__ = [
    "Adapter",
    "Decision",
    "GaussianMLP",
    "GradientAdapter",
    "InnerLoop",
    "Memory",
    "Normalizer",
    "Params",
    "PolicyGradientInner",
    "RecurrentAdapter",
    "RecurrentPolicy",
    "Rollout",
    "Samples",
    "discounted_returns",
    "fit_values",
    "generalized_advantages",
    "make_memory",
    "normalize_advantages",
    "option",
]
