"""Evolved plasticity (Najarro and Risi 2020; arXiv:2007.02686): a genome that says how to learn, not what to do.

The genome is the rules of a network whose weights, random or zero at the start of every trial, change after each step
(`metarl.agents.plasticity`). In each iteration a population of genomes is drawn around the present one, each lives a
trial of several episodes in each of the iteration's tasks, and the present one moves by what they earned:

    F_k = mean over tasks of the return of the whole trial of genome k
    genome <- strategy(genomes, F)                          # `metarl.algorithms.evolution`: ES, or CMA-ES

All genomes live in all tasks at once, a trial in each simulation.
Deviations from the paper: opposite pairs and Adam, where it has the plain estimate and a decaying step size; rules may
be shared by the connections to a neuron or of a layer; an input of one as a bias and, with `feedback`, the action and
the reward of the step before, without which a goal could not be told from another.
"""

import time
from typing import cast

import numpy as np
import torch

from metarl.agents import Normalizer, Rollout
from metarl.agents.nn.params import flatten, unflatten
from metarl.agents.normalizer import moments_of
from metarl.agents.plastic_adapter import PlasticAdapter
from metarl.agents.plasticity import PlasticNetwork
from metarl.algorithms.base import Spec
from metarl.algorithms.evolution import CMA, EvolutionStrategy
from metarl.algorithms.plasticity_config import PlasticityConfig
from metarl.algorithms.sampling import collect
from metarl.algorithms.state import check_state, load_normalizers, normalizers_state
from metarl.config import Config
from metarl.envs import BatchEnv
from metarl.util.ranks import current
from metarl.util.rng import stream


class Plasticity:
    """See the module; settings are :class:`metarl.algorithms.plasticity_config.PlasticityConfig`.

    Args:
        config: of the run. In an iteration `episodes` genomes live a trial each in each of `meta_batch` tasks.
        spec: of its environment.
    """

    def __init__(self, config: Config, spec: Spec):
        self.config, self.spec = config, spec
        settings = self.settings
        inputs = spec.observation_dim + 1 + (spec.action_dim + 1 if settings.feedback else 0)
        sizes = (inputs, *config.policy.hidden, spec.action_dim)
        self.network = PlasticNetwork(sizes, settings.share, settings.normalize_weights)
        rng = np.random.default_rng(stream(config.seed, "init"))
        self.like = self.network.init(rng, settings.init_scale)  # names and shapes
        genome = flatten(self.like)
        self.strategy: EvolutionStrategy | CMA
        if settings.strategy == "cma":
            self.strategy = CMA(genome, settings.sigma, config.episodes)
        else:
            self.strategy = EvolutionStrategy(genome, settings.sigma, settings.lr, settings.shaping)
        self.normalizer = Normalizer.identity(spec.observation_dim, config.policy.normalize_observations)
        self.reward_normalizer = Normalizer.identity(1)

    @property
    def settings(self) -> PlasticityConfig:
        return cast(PlasticityConfig, self.config.algorithm)

    def adapter(self) -> PlasticAdapter:
        """Lives by the present genome."""
        return self._adapter(self.strategy.mean, stream(self.config.seed, "weights"))

    def _adapter(self, genomes: torch.Tensor, seed: np.random.SeedSequence) -> PlasticAdapter:
        """Lives by (P,), or (K, P) of K genomes."""
        return PlasticAdapter(
            self.network,
            unflatten(genomes, self.like),
            self.spec.action_space.high,
            self.normalizer,
            self.reward_normalizer if self.settings.feedback else None,
            seed if self.settings.start == "random" else None,
        )

    def iterate(self, env: BatchEnv, iteration: int) -> dict[str, float]:
        """A generation; returns its metrics."""
        config, settings, ranks = self.config, self.settings, current()
        start, own = time.perf_counter(), ranks.share(config.meta_batch)
        rng = np.random.default_rng(stream(config.seed, "tasks", iteration))
        env.set_tasks(env.space.sample(config.meta_batch, "train", rng)[own].repeat(config.episodes))
        if settings.anneal:
            cast(EvolutionStrategy, self.strategy).set_lr(settings.lr * (1 - iteration / config.iterations))

        rng = np.random.default_rng(stream(config.seed, "perturbations", iteration))
        genomes = self.strategy.ask(rng, config.episodes)
        adapter = self._adapter(torch.from_numpy(genomes), stream(config.seed, "weights", iteration))
        adapter.generator = lambda seed: ranks.noise(seed, env.first, env.num_envs, env.whole or env.num_envs)
        state, rollouts = adapter.start(env.num_envs // config.episodes), []
        for e in range(settings.trial_episodes):
            seed = stream(config.seed, "rollouts", iteration, e)
            rollouts.append(collect(env, adapter, state, config.episodes, seed))
            state = adapter.adapt(state, rollouts[-1])
        sampled = time.perf_counter()
        before = self.strategy.mean
        self.strategy.tell(genomes, ranks.rows(trial_returns(rollouts), config.meta_batch).mean(0))
        for rollout in rollouts:  # for the next iteration: this one is all collected
            for moments in ranks.each(rollout.raw_moments):
                self.normalizer = self.normalizer.update(moments)
            for moments in ranks.each(moments_of(rollout.rewards[rollout.valid][:, None])):
                self.reward_normalizer = self.reward_normalizer.update(moments)
        metrics = {f"return_{e}": ranks.mean(rollout.returns) for e, rollout in enumerate(rollouts)}
        return metrics | {
            "env_steps": int(ranks.total(sum(rollout.num_steps for rollout in rollouts))),
            "diverged": int(ranks.total(sum(int(rollout.diverged.sum()) for rollout in rollouts))),
            "moved": float((self.strategy.mean - before).norm()),
            "sigma": float(self.strategy.sigma),
            "seconds_sampling": sampled - start,
            "seconds_update": time.perf_counter() - sampled,
        }

    # ---- resuming

    def state_dict(self) -> dict[str, torch.Tensor]:
        """Everything a bit-identical resume needs, as flat tensors."""
        return self.strategy.state_dict() | normalizers_state(self, _NORMALIZERS)

    def load_state_dict(self, state: dict[str, torch.Tensor]) -> None:
        """Restore :meth:`state_dict`; ValueError names a tensor that is missing, unexpected or of another shape."""
        check_state(self.state_dict(), state)
        self.strategy.load_state_dict(state)
        load_normalizers(self, _NORMALIZERS, state)


_NORMALIZERS = ("normalizer", "reward_normalizer")


def trial_returns(rollouts: list[Rollout]) -> np.ndarray:
    """(M, K) return of each trial over its episodes; NaN where the physics diverged in one of them."""
    return np.sum([rollout.returns for rollout in rollouts], axis=0)
