"""MAML with a trust-region outer step (Finn, Abbeel and Levine, ICML 2017; arXiv:1703.03400), Algorithm 3.

Lines 3-8 sample tasks, episodes, adapt, and sample episodes of the adapted policies. Line 10 improves

    L(theta) = mean over tasks of  E[ pi_theta'(a | s) / pi_old'(a | s) * A ],     theta' = adapted(theta)

by one TRPO step (Schulman et al. 2015), the KL being that of the adapted policies, mean_m KL(pi_old',
pi_theta'(theta)).

Deviations: the inner gradient is taken of the likelihood ratio, whose derivative is right (see
`metarl.agents.inner_loop`), where the original differentiates the log-probability a second time. The curvature is the
Gauss-Newton matrix J^T M J, with J the Jacobian from meta-parameters through the adaptation to the parameters of the
action distributions, and M the Fisher information of these: at the expansion point it equals the Hessian of the KL.
Its products use the first ``curvature_fraction`` of each task's episodes; gradient and line search use all.
"""

import math
import time
from typing import cast

import torch
from torch.nn.utils import parameters_to_vector

from metarl.agents import Params, Samples
from metarl.algorithms.maml_config import MAMLConfig
from metarl.algorithms.meta_gradient import MetaGradientLearner, Round
from metarl.algorithms.trust_region import line_search, natural_step
from metarl.envs import BatchEnv
from metarl.util.ranks import current


class MAML(MetaGradientLearner):
    """See the module; settings are :class:`metarl.algorithms.maml_config.MAMLConfig`."""

    @property
    def settings(self) -> MAMLConfig:
        return cast(MAMLConfig, self.config.algorithm)

    def iterate(self, env: BatchEnv, iteration: int) -> dict[str, float]:
        """One iteration of Algorithm 3; returns its metrics."""
        settings = self.settings
        rounds, metrics = self.inner_loops(env, iteration)  # lines 3-8
        start = time.perf_counter()

        gradients, before = self.meta_gradient(rounds)  # line 10
        products = [self.curvature(part) for part in self.chunks([self.thin(r) for r in rounds])]
        ranks = current()
        num_tasks = int(ranks.total(rounds[0].samples.num_tasks))

        def curvature_product(vector: torch.Tensor) -> torch.Tensor:
            total = ranks.sum(cast(torch.Tensor, sum(product(vector) for product in products)))
            return total / num_tasks + settings.damping * vector

        gradient = parameters_to_vector(gradients.values())
        step = natural_step(curvature_product, gradient, settings.max_kl, settings.cg_iterations)
        fraction, after, kl = line_search(
            lambda displacement: self.evaluate(self.displaced(displacement), rounds),
            step, before, settings.max_kl, settings.backtracks, settings.backtrack_ratio,
        )
        if fraction:  # else the step may not be finite
            with torch.no_grad():
                for name, value in self.displaced(fraction * step).items():
                    self.meta[name].copy_(value)
        metrics |= {"objective_before": -before, "objective": -after, "kl": kl, "step_fraction": fraction}
        metrics["seconds_update"] = time.perf_counter() - start
        return metrics

    # ---- the objective

    def loss(self, meta: Params, rounds: list[Round]) -> torch.Tensor:
        """Negative surrogate, summed over tasks."""
        return self.surrogate_and_kl(meta, rounds)[0]

    def surrogate_and_kl(self, meta: Params, rounds: list[Round]) -> tuple[torch.Tensor, torch.Tensor]:
        """Negative surrogate and KL of the adapted policies, each summed over tasks."""
        samples, statistics = rounds[-1].samples, self.outputs(meta, rounds)[-1]
        ratio = torch.exp(self.policy.distribution(statistics).log_prob(samples.actions) - samples.log_probs)
        return -(samples.weights * ratio * samples.advantages).sum(), self.kl(rounds[-1], statistics).sum()

    @torch.no_grad()
    def evaluate(self, meta: Params, rounds: list[Round]) -> tuple[float, float]:
        """Mean loss and mean KL over the tasks of all ranks."""
        parts = [torch.stack(self.surrogate_and_kl(meta, part)) for part in self.chunks(rounds)]
        ranks = current()
        sums = ranks.sum(torch.stack(parts).sum(0))
        loss, kl = (sums / int(ranks.total(rounds[0].samples.num_tasks))).tolist()
        return loss, kl

    # ---- its curvature

    def thin(self, round: Round) -> Round:
        """The first ``curvature_fraction`` of the episodes of a round; their weights add up to one again."""
        steps, episodes = self.spec.horizon, self.config.episodes
        kept = max(1, math.ceil(self.settings.curvature_fraction * episodes))

        def thinned(x: torch.Tensor) -> torch.Tensor:  # (M, T * K, ...) -> (M, T * kept, ...)
            return x.unflatten(1, (steps, episodes))[:, :, :kept].flatten(1, 2)

        samples = Samples(*(thinned(x) for x in round.samples))
        weights = samples.weights / samples.weights.sum(-1, keepdim=True).clamp(min=1e-12)
        return Round(samples._replace(weights=weights), round.statistics._replace(mean=thinned(round.statistics.mean)))

    def curvature(self, rounds: list[Round]):
        """v (P,) -> J^T M J v (P,), summed over the tasks of ``rounds``."""
        weights, variance = rounds[-1].samples.weights.unsqueeze(-1), rounds[-1].statistics.std ** 2
        names = list(self.meta)

        def statistics(*values: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
            mean, std = self.outputs(dict(zip(names, values)), rounds)[-1]
            return mean, std.log()

        values = tuple(value.detach() for value in self.meta.values())
        pull_back = torch.func.vjp(statistics, *values)[1]

        def product(vector: torch.Tensor) -> torch.Tensor:
            mean, log_std = torch.func.jvp(statistics, values, tuple(self._unflatten(vector)))[1]
            # Fisher information of a Gaussian: 1 / sigma^2 for the mean, 2 for the logarithm of sigma
            tangent = pull_back((weights * mean / variance, 2 * weights.sum(1, keepdim=True) * log_std))
            return parameters_to_vector(tangent)

        return product

    # ---- meta-parameters as one vector

    def displaced(self, displacement: torch.Tensor) -> Params:
        """The meta-parameters moved by (P,)."""
        return {
            name: value.detach() + d for (name, value), d in zip(self.meta.items(), self._unflatten(displacement))
        }

    def _unflatten(self, vector: torch.Tensor) -> list[torch.Tensor]:
        parts = vector.split([value.numel() for value in self.meta.values()])
        return [part.view_as(value) for part, value in zip(parts, self.meta.values())]
