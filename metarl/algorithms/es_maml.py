"""ES-MAML (Song et al. 2020; arXiv:1910.01215): evolution strategies over initializations that adapt without gradients.

Their algorithm 3, batched over tasks. The objective is the mean over tasks T of the return f^T after adaptation U,
smoothed by a Gaussian, and its gradient is estimated from values of it alone, in opposite pairs:

    J(theta) = E_T E_g f^T(U(theta + sigma g, T))
    theta <- theta + beta * 1/(2 n sigma) sum_i (v_i+ - v_i-) g_i,      v_i+- = f^{T_i}(U(theta +- sigma g_i, T_i))

U is one of two, by the returns of K weights that are tried in the task (`metarl.agents.search_adapter`): a step along
the estimated gradient of the smoothed return (their algorithm 2), or hill climbing in batches of K, with which Song et
al. 2020 (arXiv:2003.01239) adapted a legged robot. Nothing is differentiated, so the policy may be deterministic, and
is unless `action_noise` is set, and linear (`policy.hidden: []`).
What is added: ranks or standard deviations for returns, and Adam for the outer step (Salimans et al. 2017); a policy
that does almost nothing at first (Mania et al. 2018 start linear ones at zero). Both of a pair adapt with the same
initial states and perturbations, so that they differ in their initialization alone. In hill climbing the present
weights are one of the K, and tried again in each batch: a lucky episode is not believed for long.
"""

import time
from typing import cast

import numpy as np
import torch

from metarl.agents import GaussianMLP, Normalizer, Params, Rollout
from metarl.agents.nn.params import flatten, unflatten
from metarl.agents.normalizer import merged
from metarl.agents.search_adapter import Search, SearchAdapter
from metarl.algorithms.base import Spec
from metarl.algorithms.es_maml_config import ESMAMLConfig
from metarl.algorithms.evolution import EvolutionStrategy
from metarl.algorithms.sampling import collect
from metarl.algorithms.state import check_state, normalizer_state, restored
from metarl.config import Config
from metarl.envs import BatchEnv
from metarl.util.ranks import current
from metarl.util.rng import stream

LAST_LAYER = 0.01  # factor of its first weights


class ESMAML:
    """See the module; settings are :class:`metarl.algorithms.es_maml_config.ESMAMLConfig`.

    Args:
        config: of the run.
        spec: of its environment.
    """

    def __init__(self, config: Config, spec: Spec):
        self.config, self.spec = config, spec
        settings, policy = self.settings, config.policy
        self.policy = GaussianMLP(
            spec.observation_dim, spec.action_dim, policy.hidden, policy.activation, policy.init_std, policy.min_std
        )
        self.like = self.policy.init(np.random.default_rng(stream(config.seed, "init")))  # names and shapes
        if not settings.action_noise:
            del self.like["log_std"]
        self.like[f"w{len(policy.hidden)}"] *= LAST_LAYER
        self.strategy = EvolutionStrategy(flatten(self.like), settings.sigma, settings.lr, settings.shaping)
        self.search = Search(settings.operator, settings.inner_sigma, config.inner.lr, settings.shaping)
        self.normalizer = Normalizer.identity(spec.observation_dim, policy.normalize_observations)

    @property
    def settings(self) -> ESMAMLConfig:
        return cast(ESMAMLConfig, self.config.algorithm)

    @property
    def params(self) -> Params:
        """The initialization."""
        return unflatten(self.strategy.mean, self.like)

    def adapter(self, exploring: bool = True) -> SearchAdapter:
        """Adapts from the present initialization."""
        return SearchAdapter(self.policy, self.params, self.normalizer, self.search, exploring)

    def iterate(self, env: BatchEnv, iteration: int) -> dict[str, float]:
        """One iteration of algorithm 3; returns its metrics."""
        config, settings, ranks = self.config, self.settings, current()
        start, own = time.perf_counter(), ranks.share(config.meta_batch)
        rng = np.random.default_rng(stream(config.seed, "tasks", iteration))
        env.set_tasks(env.space.sample(config.meta_batch, "train", rng)[own].repeat(config.episodes))
        if settings.anneal:
            self.strategy.set_lr(settings.lr * (1 - iteration / config.iterations))

        # theta + sigma g_i of each task, then theta - sigma g_i
        rng = np.random.default_rng(stream(config.seed, "perturbations", iteration))
        points = self.strategy.ask(rng, 2 * config.meta_batch)
        values, returns, moments, steps, diverged = [], [], [], 0, 0
        for side in np.split(points, 2):
            rollouts = self.adapt(env, torch.from_numpy(side[own]), iteration)
            values.append(ranks.rows(_means(rollouts[-1].returns), config.meta_batch))
            returns.append([ranks.mean(rollout.returns) for rollout in rollouts])
            moments += [each for rollout in rollouts for each in ranks.each(rollout.raw_moments)]
            steps += sum(rollout.num_steps for rollout in rollouts)
            diverged += sum(int(rollout.diverged.sum()) for rollout in rollouts)
        sampled = time.perf_counter()
        before = self.strategy.mean
        self.strategy.tell(points, np.concatenate(values))
        self.normalizer = self.normalizer.update(merged(moments))  # for the next iteration: this one is all collected
        metrics = {f"return_{k}": value for k, value in enumerate(np.mean(returns, axis=0))}
        return metrics | {
            "env_steps": int(ranks.total(steps)),
            "diverged": int(ranks.total(diverged)),
            "moved": float((self.strategy.mean - before).norm()),
            "seconds_sampling": sampled - start,
            "seconds_update": time.perf_counter() - sampled,
        }

    def adapt(self, env: BatchEnv, points: torch.Tensor, iteration: int) -> list[Rollout]:
        """The rollouts of adaptation from (M, P), each in its own task, the last of them of the adapted weights."""
        config = self.config
        adapter = self.adapter()
        state = adapter.start(len(points))._replace(params=points)
        rollouts = []
        for k in range(config.inner.steps):
            seed = stream(config.seed, "rollouts", iteration, k)
            rollouts.append(collect(env, adapter, state, config.episodes, seed))
            state = adapter.adapt(state, rollouts[-1])
        seed = stream(config.seed, "rollouts", iteration, config.inner.steps)
        return [*rollouts, collect(env, self.adapter(exploring=False), state, config.episodes, seed)]

    # ---- resuming

    def state_dict(self) -> dict[str, torch.Tensor]:
        """Everything a bit-identical resume needs, as flat tensors."""
        return self.strategy.state_dict() | normalizer_state("normalizer", self.normalizer)

    def load_state_dict(self, state: dict[str, torch.Tensor]) -> None:
        """Restore :meth:`state_dict`; ValueError names a tensor that is missing, unexpected or of another shape."""
        check_state(self.state_dict(), state)
        self.strategy.load_state_dict(state)
        self.normalizer = restored("normalizer", self.normalizer, state)


def _means(returns: np.ndarray) -> np.ndarray:
    """(M,) mean over the episodes (M, K) that did not diverge; NaN where all did."""
    lived = np.isfinite(returns)
    sums = np.where(lived, returns, 0.0).sum(1)
    return np.divide(sums, lived.sum(1), out=np.full(len(returns), np.nan), where=lived.any(1))
