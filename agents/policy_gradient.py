"""Adaptation by policy gradients: a policy, its baseline and advantages, and gradient steps in all tasks at once.

    inner = PolicyGradientInner(InnerLoop(policy), lr=0.1, steps=1, discount=0.99, gae_lambda=1.0)
    meta = inner.init(np.random.default_rng(0))
    adapter = inner.adapter(meta, normalizer)
    state = adapter.adapt(adapter.start(40), rollout)
    state.params                                       # each with a leading task axis

Meta-parameters are one flat dict: "params.<name>", and "step_sizes.<name>" when they are learned: one for each weight
(Meta-SGD, Li et al. 2017) in each inner step (MAML++, Antoniou et al. 2019).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch

from metarl.util.arrays import Array, namespace
from metarl.util.onnx_graph import Graph

from .adapter import Adapter, Decision
from .baseline import Baseline, fit_values
from .inner_loop import Initial, InnerLoop, Samples, StepSizes, per_task
from .nn.arrays import given_as, tensor
from .nn.params import Params, part
from .normalizer import Normalizer
from .policy import GaussianStatistics, onnx_sample, sample
from .returns import discounted_returns, generalized_advantages, normalize_advantages
from .rollout import Rollout


@dataclass(frozen=True)
class PolicyGradientInner:
    """See the module.

    Attributes:
        inner_loop: the adaptation rule and its policy.
        lr: step size, of all weights in all steps; where it is learned, that at the start.
        steps: of adaptation that training takes.
        discount, gae_lambda: of the advantages.
        learn_lr: whether the step sizes are meta-parameters.
        bootstrap_at_horizon: whether a value follows the last step of the time limit.
        baseline: the values that advantages are taken over.
    """

    inner_loop: InnerLoop
    lr: float
    steps: int
    discount: float
    gae_lambda: float
    learn_lr: bool = False
    bootstrap_at_horizon: bool = False
    baseline: Baseline = fit_values

    def init(self, rng: np.random.Generator) -> Params:
        """Meta-parameters at the start of training."""
        params = self.inner_loop.policy.init(rng)
        meta = {f"params.{name}": value for name, value in params.items()}
        if self.learn_lr:
            for name, value in params.items():
                meta[f"step_sizes.{name}"] = torch.full((self.steps, *value.shape), self.lr)
        return meta

    def split(self, meta: Params) -> tuple[Params, Sequence[StepSizes]]:
        """(policy weights, step sizes of each inner step, at least one) of a dict of meta-parameters."""
        params = part(meta, "params.")
        if self.learn_lr:
            sizes = part(meta, "step_sizes.")
            return params, [{name: value[k] for name, value in sizes.items()} for k in range(self.steps)]
        return params, [dict.fromkeys(params, self.lr)] * max(1, self.steps)

    def adapter(self, meta: Params, normalizer: Normalizer) -> "GradientAdapter":
        """Adapts from these meta-parameters, which stay its own."""
        return GradientAdapter(self, *self.split(meta), normalizer)

    @torch.no_grad()
    def prepare(self, rollout: Rollout, params: Params) -> tuple[Samples, GaussianStatistics]:
        """Samples with advantages, normalized in each task, over the linear feature baseline.

        Args:
            rollout: fresh experience.
            params: the weights that collected it, each with a leading task axis.

        Returns:
            The samples, whose log-probabilities are those of ``params``, so that the first likelihood ratios are one to
            the last bit; and what the policy puts out at their observations.
        """
        valid, discount, xp = rollout.valid, self.discount, namespace(rollout.valid)
        values, bootstrap = self.baseline(rollout, discounted_returns(rollout.rewards, valid, discount))
        if not self.bootstrap_at_horizon:
            bootstrap = xp.zeros_like(bootstrap)
        advantages = generalized_advantages(
            rollout.rewards, values, bootstrap, rollout.terminated, valid, discount, self.gae_lambda
        )
        weights = valid / xp.clip(valid.sum(axis=(1, 2), keepdims=True), 1, None)
        beside = next(iter(params.values()))

        def rows(x: Array) -> torch.Tensor:  # (M, T, K, ...) -> (M, T * K, ...)
            return tensor(xp.astype(x.reshape(x.shape[0], -1, *x.shape[3:]), xp.float32, copy=False), beside)

        observations, actions = rows(rollout.observations), rows(rollout.actions)
        policy = self.inner_loop.policy
        statistics = policy(params, observations)
        log_probs = policy.distribution(statistics).log_prob(actions)
        advantages = rows(normalize_advantages(advantages, valid))
        return Samples(observations, actions, log_probs, advantages, rows(weights)), statistics


class Adapted(NamedTuple):
    """The state of a GradientAdapter: weights, each with a leading task axis, and the steps taken so far."""

    params: Params
    steps: int


class GradientAdapter(Adapter):
    """Adapts by gradient steps from a meta-learned initialization (MAML, ProMP and their relatives).

    Args:
        inner: what adapts.
        params: the initialization.
        step_sizes: of each inner step, see :meth:`InnerLoop.adapt`; the last ones also for every further step.
        normalizer: of the observations.
    """

    def __init__(
        self, inner: PolicyGradientInner, params: Initial, step_sizes: Sequence[StepSizes], normalizer: Normalizer
    ):
        self.inner = inner
        self.policy = inner.inner_loop.policy
        self.params = params
        self.step_sizes = step_sizes
        self.normalizer = normalizer

    def start(self, num_tasks: int) -> Adapted:
        return Adapted(per_task(self.params, num_tasks), 0)

    @torch.no_grad()
    def act(self, state: Adapted, observations: Array, rng: np.random.Generator | None) -> Decision:
        seen = self.normalize(observations)
        statistics = self.policy(state.params, tensor(seen, next(iter(state.params.values()))))
        return Decision(given_as(sample(*statistics, rng), observations), seen, state)

    def adapt(self, state: Adapted, rollout: Rollout) -> Adapted:
        return self.step(state, self.inner.prepare(rollout, state.params)[0])

    @torch.no_grad()
    def step(self, state: Adapted, samples: Samples) -> Adapted:
        """One inner step on prepared samples."""
        sizes = self.step_sizes[min(state.steps, len(self.step_sizes) - 1)]
        return Adapted(self.inner.inner_loop.adapt(state.params, sizes, samples)[0], state.steps + 1)

    def normalize(self, observations: Array) -> Array:
        return self.normalizer(observations)

    def onnx(self, graph: Graph, state: Adapted, noise: bool) -> str:
        params = {name: value[0] for name, value in state.params.items()}
        seen = self.normalizer.onnx(graph, graph.input("observation", self.policy.observation_dim, np.float64))
        mean = self.policy.onnx(graph, params, seen)
        return onnx_sample(graph, mean, self.policy.std(params)) if noise else mean
