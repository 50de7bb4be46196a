"""The inner loop: differentiable policy-gradient steps in all tasks at once.

One step of adaptation (Finn et al. 2017, eq. 4), with the sampling distribution differentiated through the likelihood
ratio to the policy that collected the data (Rothfuss et al. 2019, eq. 11; Al-Shedivat et al. 2018):

    theta'_m = theta_m - alpha * grad  -sum_n w_n  pi_theta(a_n | s_n) / pi_old(a_n | s_n)  A_n

At theta = theta_old its gradient is the policy gradient, whose own derivative the log-probability surrogate gets
wrong. With the ratio it is right: exactly so where an episode is one decision; in longer episodes the terms that couple
an action with the likelihood of later ones are left out, which is ProMP's low-variance curvature estimator (sec. 5
there: little bias, without the variance of likelihood ratios of whole trajectories).

    loop = InnerLoop(policy, first_order=False)
    adapted, _ = loop.adapt(params, step_sizes, samples)    # every parameter gets a leading task axis M
"""

from collections.abc import Callable, Mapping
from typing import NamedTuple

import torch

from .nn.params import Params
from .policy import GaussianMLP, GaussianStatistics

StepSizes = Mapping[str, torch.Tensor | float]
"""For each parameter a scalar, or a tensor of its shape (Meta-SGD, Li et al. 2017)."""

Initial = Params | Callable[[int], Params]
"""Weights to start from in any task, without a task axis; or from M to those of M tasks, (M, ...)."""


class Samples(NamedTuple):
    """Steps of M tasks as tensors, with what the losses need.

    Attributes:
        observations: (M, N, O).
        actions: (M, N, A).
        log_probs: (M, N) of the actions under the policy that collected them.
        advantages: (M, N).
        weights: (M, N), adding up to one in each task; zero where a step is padding.
    """

    observations: torch.Tensor
    actions: torch.Tensor
    log_probs: torch.Tensor
    advantages: torch.Tensor
    weights: torch.Tensor

    def tasks(self, part: slice) -> "Samples":
        """The samples of some of the tasks."""
        return Samples(*(x[part] for x in self))

    @property
    def num_tasks(self) -> int:
        return self.weights.shape[0]


class InnerLoop:
    """Gradient adaptation of a policy's weights.

    Args:
        policy: ``policy(params, observations)`` gives statistics, ``policy.distribution(statistics)`` a distribution;
            ``policy.head`` names the parameters of its last layer.
        head_only: adapt the head alone and keep the body (ANIL, Raghu et al. 2020).
        first_order: treat the inner gradient as a constant in the outer one (FOMAML, Finn et al. 2017, sec. 5.2).
    """

    def __init__(self, policy: GaussianMLP, head_only: bool = False, first_order: bool = False):
        self.policy = policy
        self.head_only = head_only
        self.first_order = first_order

    def loss(self, statistics: GaussianStatistics, samples: Samples) -> torch.Tensor:
        """(M,) negative likelihood-ratio objective of each task, for the policy's output at its observations."""
        log_probs = self.policy.distribution(statistics).log_prob(samples.actions)
        ratio = torch.exp(log_probs - samples.log_probs)
        return -(samples.weights * ratio * samples.advantages).sum(-1)

    def adapt(self, params: Params, step_sizes: StepSizes, samples: Samples) -> tuple[Params, GaussianStatistics]:
        """One gradient step in each task.

        Args:
            params: weights, each with a leading task axis M (see :func:`per_task`).
            step_sizes: of the step.
            samples: fresh experience collected with ``params``.

        Returns:
            The adapted weights, each with a leading task axis, and the policy's output before the step.
        """
        kept = {name: p for name, p in params.items() if self.head_only and name not in self.policy.head}
        adapting = {name: p for name, p in params.items() if name not in kept}

        def loss(p: Params):
            statistics = self.policy({**kept, **p}, samples.observations)
            return self.loss(statistics, samples).sum(), statistics

        # tasks do not share adapting weights, so the gradient of the sum is each task's own
        gradients, statistics = torch.func.grad(loss, has_aux=True)(adapting)
        if self.first_order:
            gradients = {name: g.detach() for name, g in gradients.items()}
        return {**kept, **{name: p - step_sizes[name] * gradients[name] for name, p in adapting.items()}}, statistics


def per_task(params: Initial, num_tasks: int) -> Params:
    """Give shared weights a leading task axis M, without copying; or ask for those of M tasks."""
    if callable(params):
        return params(num_tasks)
    return {name: p.expand(num_tasks, *p.shape) for name, p in params.items()}
