"""Reptile (Nichol, Achiam and Schulman 2018; arXiv:1803.02999), batched over tasks, for reinforcement learning.

Their algorithm 2. In each iteration, n tasks are sampled, the inner learner adapts the weights phi to each of them in
k steps, U_tau^k(phi), and phi moves toward the average of what came out:

    phi <- phi + epsilon * (1/n) sum_i (phi_i - phi),        phi_i = U_i^k(phi)

No derivative goes through the adaptation, so the inner learner may be anything with weights: gradient steps, or an
algorithm of Stable-Baselines3 (`metarl.algorithms.inner_learners`). With epsilon = 1 it is the averaging of the
adapted models.
What is added to the paper: momentum of the outer step, v <- mu v + (the average), phi <- phi + epsilon v (their sec. 6
names it); and a moving average of phi over the iterations, which is then what the adapter starts from.
"""

import time
from typing import cast

import numpy as np
import torch

from metarl.agents import Adapter, Normalizer, Params
from metarl.agents.normalizer import merged
from metarl.algorithms.base import Spec
from metarl.algorithms.inner_learners import make_inner
from metarl.algorithms.reptile_config import ReptileConfig
from metarl.algorithms.sampling import collect
from metarl.algorithms.state import check_state, normalizer_state, restored
from metarl.config import Config
from metarl.envs import BatchEnv
from metarl.util.ranks import current
from metarl.util.rng import stream


class Reptile:
    """See the module; settings are :class:`metarl.algorithms.reptile_config.ReptileConfig`.

    Args:
        config: of the run.
        spec: of its environment.
    """

    def __init__(self, config: Config, spec: Spec):
        self.config, self.spec = config, spec
        self.inner = make_inner(config, spec)
        self.params = self.inner.draw(stream(config.seed, "init"))
        self.velocity = {name: torch.zeros_like(value) for name, value in self.params.items()}
        self.average = {name: value.clone() for name, value in self.params.items()}
        self.normalizer = Normalizer.identity(spec.observation_dim, config.policy.normalize_observations)

    @property
    def settings(self) -> ReptileConfig:
        return cast(ReptileConfig, self.config.algorithm)

    def adapter(self) -> Adapter:
        """Adapts from the present weights, or from their moving average if there is one."""
        params = self.average if self.settings.average else self.params
        return self.inner.adapter(params, self.normalizer, stream(self.config.seed, "minibatches"))

    def iterate(self, env: BatchEnv, iteration: int) -> dict[str, float]:
        """One iteration of algorithm 2; returns its metrics."""
        config, ranks = self.config, current()
        metrics: dict[str, float] = {"env_steps": 0, "diverged": 0}
        start, sampling, moments = time.perf_counter(), 0.0, []
        rng = np.random.default_rng(stream(config.seed, "tasks", iteration))
        tasks = env.space.sample(config.meta_batch, "train", rng)[ranks.share(config.meta_batch)]
        env.set_tasks(tasks.repeat(config.episodes))

        adapter = self.inner.adapter(self.params, self.normalizer, stream(config.seed, "minibatches", iteration))
        state = adapter.start(len(tasks))
        for k in range(config.inner.steps):  # U^k, in all tasks
            began = time.perf_counter()
            seed = stream(config.seed, "rollouts", iteration, k)
            rollout = collect(env, adapter, state, config.episodes, seed)
            sampling += time.perf_counter() - began
            state = adapter.adapt(state, rollout)
            metrics[f"return_{k}"] = ranks.mean(rollout.returns)
            metrics["env_steps"] += int(ranks.total(rollout.num_steps))
            metrics["diverged"] += int(ranks.total(rollout.diverged.sum()))
            moments += ranks.each(rollout.raw_moments)

        metrics["moved"] = self.step(state.params, iteration)
        self.normalizer = self.normalizer.update(merged(moments))  # for the next iteration: this one is all collected
        metrics |= {"seconds_sampling": sampling, "seconds_update": time.perf_counter() - start - sampling}
        return metrics

    def step(self, adapted: Params, iteration: int) -> float:
        """Move toward the average of adapted weights, each (M, ...), over all ranks; returns the distance."""
        settings, ranks = self.settings, current()
        step_size = settings.lr
        if settings.anneal:
            step_size *= 1 - iteration / self.config.iterations
        # a mean of all weights at first, then one that forgets
        keep = min(settings.average, iteration / (iteration + 1))
        moves = {name: adapted[name] - value for name, value in self.params.items()}
        if ranks.size == 1:
            toward = {name: move.mean(0) for name, move in moves.items()}
        else:
            toward, _ = ranks.sum_all({name: move.sum(0) / self.config.meta_batch for name, move in moves.items()})
        self.velocity = {name: settings.momentum * v + toward[name] for name, v in self.velocity.items()}
        self.params = {name: value + step_size * self.velocity[name] for name, value in self.params.items()}
        self.average = {name: keep * mean + (1 - keep) * self.params[name] for name, mean in self.average.items()}
        return step_size * float(sum(v.square().sum() for v in self.velocity.values())) ** 0.5

    # ---- resuming

    def state_dict(self) -> dict[str, torch.Tensor]:
        """Everything a bit-identical resume needs, as flat tensors."""
        kinds = {"params": self.params, "velocity": self.velocity, "average": self.average}
        tensors = {f"{kind}.{name}": value.clone() for kind, part in kinds.items() for name, value in part.items()}
        return tensors | normalizer_state("normalizer", self.normalizer)

    def load_state_dict(self, state: dict[str, torch.Tensor]) -> None:
        """Restore :meth:`state_dict`; ValueError names a tensor that is missing, unexpected or of another shape."""
        check_state(self.state_dict(), state)
        for kind in ("params", "velocity", "average"):
            setattr(self, kind, {name: state[f"{kind}.{name}"].clone() for name in self.params})
        self.normalizer = restored("normalizer", self.normalizer, state)
