"""ProMP: proximal meta-policy search (Rothfuss, Lee, Clavera, Asfour and Abbeel, ICLR 2019; arXiv:1810.06784).

Algorithm 1 of the paper, batched over tasks. Lines 4-8 sample tasks, pre-adaptation episodes, adapt, and sample
post-adaptation episodes; line 9 takes several Adam steps on

    J(theta) = mean over tasks of  J_clip(theta'(theta)) - eta * mean_k KL(pi_old_k, pi_theta_k)          (eq. 13)

where theta'(theta) is the inner update with the low-variance curvature estimator (eq. 11), recomputed from the same
episodes at every step. Any number of inner steps; each has its own episodes and its own KL term.
"""

import time
from typing import cast

import torch

from metarl.agents import Params
from metarl.algorithms.base import Spec
from metarl.algorithms.meta_gradient import MetaGradientLearner, Round
from metarl.algorithms.promp_config import ProMPConfig
from metarl.algorithms.state import adam_state, load_adam_state
from metarl.algorithms.surrogate import clipped_surrogate, likelihood_ratio
from metarl.config import Config
from metarl.envs import BatchEnv


class ProMP(MetaGradientLearner):
    """See the module; settings are :class:`metarl.algorithms.promp_config.ProMPConfig`."""

    def __init__(self, config: Config, spec: Spec):
        super().__init__(config, spec)
        self.optimizer = torch.optim.Adam(self.meta.values(), lr=self.settings.lr)

    @property
    def settings(self) -> ProMPConfig:
        return cast(ProMPConfig, self.config.algorithm)

    def iterate(self, env: BatchEnv, iteration: int) -> dict[str, float]:
        """One iteration of Algorithm 1; returns its metrics."""
        rounds, metrics = self.inner_loops(env, iteration)  # lines 4-8
        start = time.perf_counter()
        settings = self.settings
        if settings.anneal:
            self.optimizer.param_groups[0]["lr"] = settings.lr * (1 - iteration / self.config.iterations)
        for _ in range(settings.epochs):  # lines 9-11
            gradients, loss = self.meta_gradient(rounds)
            for name, value in self.meta.items():
                value.grad = gradients[name]
            metrics.setdefault("objective_before", -loss)
            metrics["objective"] = -loss
            self.optimizer.step()
        metrics["seconds_update"] = time.perf_counter() - start
        return metrics

    def loss(self, meta: Params, rounds: list[Round]) -> torch.Tensor:
        """Negative of eq. 13, summed over tasks."""
        settings = self.settings
        outputs = self.outputs(meta, rounds)

        # clipped surrogate on the episodes of the adapted policy
        samples = rounds[-1].samples
        change = self.policy.distribution(outputs[-1]).log_prob(samples.actions) - samples.log_probs
        ratio = likelihood_ratio(change)
        surrogate = (samples.weights * clipped_surrogate(ratio, samples.advantages, settings.clip_range)).sum()

        # the policies that collected the earlier rounds may not move far either
        penalty = 0.0
        if len(rounds) > 1 and settings.inner_kl_coef:
            kls = [self.kl(r, statistics).sum() for r, statistics in zip(rounds[:-1], outputs)]
            penalty = settings.inner_kl_coef * sum(kls) / len(kls)
        return penalty - surrogate

    def state_dict(self):
        return super().state_dict() | adam_state(self.optimizer, self.meta)

    def load_state_dict(self, state):
        super().load_state_dict(state)
        load_adam_state(self.optimizer, self.meta, state)
