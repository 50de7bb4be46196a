"""What the gradient-based meta-learners share: meta-parameters, the inner loops of an iteration, and their data.

An iteration samples a meta-batch of tasks and, in all of them at once, alternates between collecting episodes and
taking an inner gradient step. Round k holds the episodes of the k-times adapted policies; the outer update then
differentiates through the same chain of adaptations as a function of the meta-parameters:

    rounds, metrics = learner.inner_loops(env, iteration) # inner_steps + 1 rounds
    outputs = learner.outputs(meta, rounds)               # of theta_0, ..., theta_K, differentiable in meta

Meta-parameters are one flat dict of leaf tensors, see `metarl.agents.policy_gradient`.
"""

import time
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import torch
from torch.distributions import kl_divergence

from metarl.agents import GaussianMLP, GradientAdapter, Normalizer, Params, Samples
from metarl.agents.inner_loop import per_task
from metarl.agents.normalizer import merged
from metarl.agents.policy import GaussianStatistics
from metarl.algorithms.base import Spec
from metarl.algorithms.inner_learners import policy_gradient_inner
from metarl.algorithms.sampling import collect
from metarl.algorithms.state import check_state, normalizer_state, on_processor, restored
from metarl.config import Config
from metarl.envs import BatchEnv
from metarl.util.ranks import current
from metarl.util.rng import stream

CHUNK_NUMBERS = 2**21  # hidden units times steps that are differentiated at once: more leave the processor's cache


class Round(NamedTuple):
    """Experience of M tasks, collected with the k-times adapted policies, and what those policies put out."""

    samples: Samples
    statistics: GaussianStatistics

    def tasks(self, part: slice) -> "Round":
        """Some of the tasks."""
        return Round(self.samples.tasks(part), type(self.statistics)(*(x[part] for x in self.statistics)))


class MetaGradientLearner:
    """Base of MAML and ProMP: a policy initialization trained so that inner gradient steps improve it.

    Args:
        config: of the run.
        spec: of its environment.
    """

    def __init__(self, config: Config, spec: Spec):
        self.config, self.spec = config, spec
        self.inner = policy_gradient_inner(config, spec)
        meta = self.inner.init(np.random.default_rng(stream(config.seed, "init")))
        self.meta = {name: value.to(spec.device).requires_grad_(True) for name, value in meta.items()}
        self.normalizer = Normalizer.identity(spec.observation_dim, config.policy.normalize_observations)

    # ---- the meta-parameters

    @property
    def policy(self) -> GaussianMLP:
        return self.inner.inner_loop.policy

    def outputs(self, meta: Params, rounds: list[Round]) -> list[GaussianStatistics]:
        """What theta_0, theta_1, ... put out at the observations of round 0, 1, ..., as functions of ``meta``.

        theta_0 is the initialization, theta_{k+1} comes from theta_k by an inner step on the samples of round k.
        """
        params, step_sizes = self.inner.split(meta)
        params = per_task(params, rounds[0].samples.num_tasks)
        outputs = []
        for r, sizes in zip(rounds[:-1], step_sizes):
            params, statistics = self.inner.inner_loop.adapt(params, sizes, r.samples)
            outputs.append(statistics)
        return [*outputs, self.policy(params, rounds[-1].samples.observations)]

    def kl(self, old: Round, statistics: GaussianStatistics) -> torch.Tensor:
        """(M,) mean KL from the policies that collected a round to what ``statistics`` describe at its observations."""
        before, after = self.policy.distribution(old.statistics), self.policy.distribution(statistics)
        return (old.samples.weights * kl_divergence(before, after)).sum(-1)

    def adapter(self) -> GradientAdapter:
        """Adapts from the present meta-parameters."""
        return self.inner.adapter({name: value.detach().clone() for name, value in self.meta.items()}, self.normalizer)

    # ---- experience

    def inner_loops(self, env: BatchEnv, iteration: int) -> tuple[list[Round], dict[str, float]]:
        """Sample tasks; collect episodes and adapt in all of them, ``inner.steps`` times; collect once more."""
        config, ranks = self.config, current()
        start = time.perf_counter()
        rng = np.random.default_rng(stream(config.seed, "tasks", iteration))
        tasks = env.space.sample(config.meta_batch, "train", rng)[ranks.share(config.meta_batch)]
        env.set_tasks(tasks.repeat(config.episodes))

        adapter = self.adapter()
        state, rounds = adapter.start(len(tasks)), []
        metrics: dict[str, float] = {"env_steps": 0, "diverged": 0}
        moments = []
        for k in range(config.inner.steps + 1):
            seed = stream(config.seed, "rollouts", iteration, k)
            rollout = collect(env, adapter, state, config.episodes, seed)
            rounds.append(Round(*self.inner.prepare(rollout, state.params)))
            if k < config.inner.steps:
                state = adapter.step(state, rounds[-1].samples)
            metrics[f"return_{k}"] = ranks.mean(rollout.returns)
            metrics["env_steps"] += int(ranks.total(rollout.num_steps))
            metrics["diverged"] += int(ranks.total(int(rollout.diverged.sum())))
            moments += ranks.each(rollout.raw_moments)
        self.normalizer = self.normalizer.update(merged(moments))  # for the next iteration: this one is all collected
        metrics["std"] = float(self.meta["params.log_std"].detach().exp().mean())
        metrics["seconds_sampling"] = time.perf_counter() - start
        return rounds, metrics

    def chunks(self, rounds: list[Round]) -> Iterator[list[Round]]:
        """The rounds, a few tasks at a time."""
        num_tasks, num_rows = rounds[0].samples.weights.shape
        size = max(1, CHUNK_NUMBERS // (num_rows * max(1, sum(self.config.policy.hidden))))
        for first in range(0, num_tasks, size):
            yield [r.tasks(slice(first, first + size)) for r in rounds]

    # ---- the outer gradient

    def loss(self, meta: Params, rounds: list[Round]) -> torch.Tensor:
        """What the outer update lowers, summed over tasks; each learner has its own."""
        raise NotImplementedError

    def meta_gradient(self, rounds: list[Round]) -> tuple[Params, float]:
        """Gradient of the mean loss over the tasks of all ranks, through their adaptation, and its value.

        FloatingPointError names the first gradient that is not finite, before it reaches the weights.
        """
        ranks, total = current(), 0.0
        num_tasks = int(ranks.total(rounds[0].samples.num_tasks))
        gradients = {name: torch.zeros_like(value, requires_grad=False) for name, value in self.meta.items()}
        for part in self.chunks(rounds):
            gradient, loss = torch.func.grad_and_value(self.loss)(self.meta, part)
            total += float(loss.detach())
            for name, g in gradient.items():
                gradients[name] += g.detach() / num_tasks
        gradients, sums = ranks.sum_all(gradients, {"loss": total})
        for name, gradient in gradients.items():
            if not torch.isfinite(gradient).all():
                raise FloatingPointError(f"the meta-gradient of {name} is not finite; the weights are unchanged")
        return gradients, sums["loss"] / num_tasks

    # ---- resuming

    def state_dict(self) -> dict[str, torch.Tensor]:
        """Everything a bit-identical resume needs, as flat tensors."""
        meta = on_processor({f"meta.{name}": value for name, value in self.meta.items()})
        return meta | normalizer_state("normalizer", self.normalizer)

    def load_state_dict(self, state: dict[str, torch.Tensor]) -> None:
        """Restore :meth:`state_dict`; ValueError names a tensor that is missing, unexpected or of another shape."""
        check_state(self.state_dict(), state)
        with torch.no_grad():
            for name, value in self.meta.items():
                value.copy_(state[f"meta.{name}"])
        self.normalizer = restored("normalizer", self.normalizer, state)
