"""Return after 0, 1, 2, ... adaptation steps in tasks that were never trained on.

The protocol of the MAML and ProMP papers: in each task, K fresh episodes with the policy adapted s times are both the
measurement of its return after s steps and the experience that step s + 1 learns from. An adapter with a memory lives
K lives in each task instead, and a step is an episode of each. Returns are undiscounted, actions are sampled. Nothing
here changes the adapter, and every random draw comes from the "evaluation" streams of the seed, which training never
uses.

    from metarl.evaluation.adaptation_curve import evaluate
    result = evaluate(adapter, lambda n: make_env(config, n), tasks, steps=3, episodes=20, seed=0)
    result.returns                    # (S + 1, M, K): adaptation steps, tasks, episodes; NaN where the physics diverged
    result.curve[1].summary           # 212 [190, 230] (95 % interval, 40 tasks)

Where the environment says whether a task was done, the share of all started episodes in which it was is measured with
it. `rates` shows what happened within the episodes: a memory may have adapted after two seconds of its first one.

Averages and intervals are over tasks (`metarl.evaluation.statistics`), and always recomputed from the returns of the
episodes. Words and tables of it are in `metarl.evaluation.tables`, its file in `metarl.evaluation.store`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

from metarl.agents import Adapter, Rollout
from metarl.algorithms.sampling import collect
from metarl.config.schema import EnvConfig
from metarl.envs import BatchEnv, Tasks
from metarl.evaluation.statistics import METHOD, METHOD_GROUPED, Summary, bootstrap_interval, summarize
from metarl.util.rng import stream

EPISODES, RESAMPLING = 0, 1  # the two kinds of "evaluation" streams
PARTS = 20  # of the horizon, of which `rates` knows the average rewards
MAX_SIMULATIONS = 1600
"""Simulations stepped at once: more tasks are measured in chunks, which bounds memory."""


@dataclass(frozen=True)
class Point:
    """One row of the table: what `episodes` of experience in each task (in each life, if not pooled) are worth."""

    step: int
    episodes: int  # of experience before this measurement
    seconds: float  # the same experience as simulated time, mean over tasks
    summary: Summary | None  # of the mean return of each task; None when every episode diverged
    worst: float | None  # mean return in the worst task
    diverged: int  # episodes left out because the physics broke down
    success: float | None  # share of all started episodes in which the task was done; None: nobody says


@dataclass(frozen=True)
class Evaluation:
    """What was measured, and all that is needed to compute it again.

    Attributes:
        env: settings of the environment.
        returns: (S + 1, M, K) undiscounted return of each episode after s steps; NaN where the physics diverged.
        env_steps: (S + 1, M) environment steps in each task that step s + 1 learns from; of the last, those measured.
        dt: seconds in an environment step.
        split: "held_out", "extrapolation" or "train", or the name of the file that the tasks came from.
        disjoint: whether none of the tasks was trained on, and why (not).
        pooled: whether the K episodes of a step are one experience (`metarl.agents.Adapter`).
        origin: the checkpoint (iteration, digest), versions and commit, where known.
        successes: (S + 1, M, K) 1 where the task was done, 0 where not or the physics diverged; None: nobody says.
        rates: (S + 1, M, B) reward per second in each of B equal parts of the horizon, over the K episodes, those that
            ended before and not those that diverged included; NaN where all did. None: not kept (older files).
    """

    env: EnvConfig
    tasks: Tasks
    returns: np.ndarray
    env_steps: np.ndarray
    dt: float
    seed: int
    deterministic: bool = False
    split: str = "held_out"
    disjoint: bool = True
    disjoint_reason: str = ""
    confidence: float = 0.95
    pooled: bool = True
    origin: Mapping[str, Any] = field(default_factory=dict)
    successes: np.ndarray | None = None
    rates: np.ndarray | None = None

    @property
    def steps(self) -> int:
        return self.returns.shape[0] - 1

    @property
    def episodes(self) -> int:
        return self.returns.shape[2]

    @cached_property
    def per_task(self) -> np.ndarray:
        """(S + 1, M) mean return of each task; NaN where all of its episodes diverged."""
        finite = np.isfinite(self.returns)
        sums, counts = np.where(finite, self.returns, 0.0).sum(-1), finite.sum(-1)
        return np.divide(sums, counts, out=np.full(sums.shape, np.nan), where=counts > 0)

    @property
    def lives(self) -> int:
        """In each task: 1, or K for an adapter with a memory."""
        return 1 if self.pooled else self.episodes

    @property
    def episodes_before(self) -> np.ndarray:
        """(S + 1,) episodes of experience in a life before each measurement."""
        return np.arange(self.steps + 1) * (self.episodes // self.lives)

    @property
    def env_steps_before(self) -> np.ndarray:
        """(S + 1, M) environment steps of experience in a life before each measurement."""
        return (np.cumsum(self.env_steps, axis=0) - self.env_steps) / self.lives

    @cached_property
    def curve(self) -> tuple[Point, ...]:
        """A point for each number of adaptation steps."""
        points = []
        for s, scores in enumerate(self.per_task):
            known = np.isfinite(scores)
            options = {"confidence": self.confidence, "groups": self._groups(known)}
            points.append(
                Point(
                    step=s,
                    episodes=int(self.episodes_before[s]),
                    seconds=float(self.env_steps_before[s].mean() * self.dt),
                    summary=summarize(scores[known], self._resampling(s), **options) if known.any() else None,
                    worst=float(scores[known].min()) if known.any() else None,
                    diverged=int(np.isnan(self.returns[s]).sum()),
                    success=None if self.successes is None else float(self.successes[s].mean()),
                )
            )
        return tuple(points)

    def gain(self, step: int) -> tuple[float, tuple[float, float] | None] | None:
        """Mean over tasks of the return after `step` steps less that before any, paired by task, and its interval."""
        gains = self.per_task[step] - self.per_task[0]
        known = np.isfinite(gains)
        if not known.any():
            return None
        interval = bootstrap_interval(
            gains[known],
            self._resampling(self.steps + step),
            confidence=self.confidence,
            groups=self._groups(known),
        )
        return float(gains[known].mean()), interval

    @property
    def method(self) -> str:
        """How the intervals are computed."""
        return (METHOD_GROUPED if self.tasks.space.exhaustive else METHOD).format(unit="task")

    def _groups(self, known: np.ndarray) -> np.ndarray | None:
        """Where all tasks that there are were measured, each several times, chance is only within each of them."""
        return np.array(self.tasks.digests)[known] if self.tasks.space.exhaustive else None

    def _resampling(self, position: int) -> np.random.Generator:
        return np.random.default_rng(stream(self.seed, "evaluation", RESAMPLING, position))


def evaluate(
    adapter: Adapter,
    make_env: Callable[[int], BatchEnv],
    tasks: Tasks,
    *,
    steps: int,
    episodes: int,
    seed: int,
    deterministic: bool = False,
    max_simulations: int = MAX_SIMULATIONS,
    progress: Callable[[int, int], None] | None = None,
    **labels,
) -> Evaluation:
    """Measure the return in each of the tasks after 0, 1, ..., `steps` adaptation steps.

    Args:
        adapter: whoever was trained; its state is a value, so it comes out as it went in.
        make_env: from a number of simulations to an environment with autoreset disabled.
        tasks: M tasks.
        steps: S, adaptation steps.
        episodes: K, in each task for each number of steps.
        seed: of initial states, actions and bootstrap samples.
        deterministic: measure mean actions instead of sampled ones. A pooled adapter still adapts to sampled ones, as
            many episodes; one with a memory lives by its mean actions.
        max_simulations: tasks are taken in chunks of at most so many episodes at once (but one task at least).
        progress: called with (rounds of episodes done, rounds in all).
        labels: `env`, `split`, `disjoint`, `disjoint_reason`, `origin` of the Evaluation.
    """
    size = max(1, max_simulations // episodes)
    starts = range(0, len(tasks), size)
    returns = np.empty((steps + 1, len(tasks), episodes))
    env_steps = np.empty((steps + 1, len(tasks)), np.int64)
    successes, rates = np.empty_like(returns), []
    env = None
    for number, first in enumerate(starts):
        part = tasks[first : first + size]
        rows = slice(first, first + len(part))
        if env is None or env.num_envs != len(part) * episodes:
            env = make_env(len(part) * episodes)
        env.set_tasks(part.repeat(episodes))
        state = adapter.start(len(part))
        rates.append([])
        for step in range(steps + 1):
            draws = stream(seed, "evaluation", EPISODES, step, number)
            rollout = collect(env, adapter, state, episodes, draws, deterministic=deterministic)
            returns[step, rows] = rollout.returns
            successes[step, rows] = rollout.successes
            rates[-1].append(_rates(rollout) / env.dt)
            # mean actions try nothing that could be learned from
            if step < steps and deterministic and adapter.shares_experience:
                rollout = collect(env, adapter, state, episodes, draws)
            env_steps[step, rows] = rollout.valid.sum((1, 2))
            if step < steps:
                state = adapter.adapt(state, rollout)
            if progress:
                progress(number * (steps + 1) + step + 1, len(starts) * (steps + 1))
    labels.setdefault("env", EnvConfig(family=tasks.space.family))
    return Evaluation(
        tasks=tasks,
        returns=returns,
        env_steps=env_steps,
        dt=env.dt,
        seed=seed,
        deterministic=deterministic,
        pooled=adapter.shares_experience,
        successes=None if np.isnan(successes).any() else successes,
        rates=np.concatenate([np.stack(of_chunk) for of_chunk in rates], axis=1),
        **labels,
    )


def _rates(rollout: Rollout) -> np.ndarray:
    """(M, B) reward per step in equal parts of the horizon; rewards after the end of an episode are zero."""
    rewards = rollout.rewards.sum(2)  # (M, T), without episodes that diverged
    starts = np.linspace(0, rewards.shape[1], min(PARTS, rewards.shape[1]), endpoint=False).astype(int)
    lengths = np.diff(np.append(starts, rewards.shape[1]))
    lived = (~rollout.diverged).sum(1)[:, None]
    sums = np.add.reduceat(rewards, starts, axis=1) / lengths
    return np.divide(sums, lived, out=np.full(sums.shape, np.nan), where=lived > 0)
