"""Return after 0, 1, 2, ... adaptation steps in tasks that were never trained on.

The protocol of the MAML and ProMP papers: in each task, K fresh episodes with the policy adapted s times are both the
measurement of its return after s steps and the experience that step s + 1 learns from. A recurrent adapter instead runs
K independent trials per task; adaptation step s is episode s of each trial. Returns are undiscounted, actions are
sampled. Nothing here changes the adapter, and every random draw comes from the "evaluation" streams of the seed, which
training never uses.

    from metarl.evaluation import measure
    result = measure(adapter, lambda n: make_env(config, n), tasks, steps=3, episodes=20, seed=0)
    result.returns                    # (S + 1, M, K): adaptation steps, tasks, episodes; NaN where the physics diverged
    print(result.curve[1].mean)       # 212 [190, 230], an interval over tasks

Where the environment reports success, the success rate is measured with it. `rates` shows what happened within the
episodes: a memory may have adapted after two seconds of its first one.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from metarl.agents import Adapter, Rollout
from metarl.algorithms.sampling import collect
from metarl.config.schema import EnvConfig
from metarl.envs import BatchEnv, Tasks
from metarl.evaluation.result import Evaluation
from metarl.util.errors import UserError
from metarl.util.rng import stream

EPISODES = 0  # the "evaluation" streams of initial states and actions
PARTS = 20  # of the horizon, of which `rates` knows the average rewards
MAX_SIMULATIONS = 1600
"""Simulations stepped at once: more tasks are measured in chunks, which bounds memory."""


def measure(
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
            many episodes; a recurrent one acts by its mean actions throughout.
        max_simulations: tasks are taken in chunks of at most so many episodes at once (but one task at least).
        progress: called with (rounds of episodes done, rounds in all).
        labels: `env`, `split`, `disjoint`, `disjoint_reason`, `origin` of the Evaluation.
    """
    if steps and episodes < adapter.fewest_episodes:
        expected = f"at least {adapter.fewest_episodes}, which adaptation compares, or no steps"
        raise UserError(f"episodes in each task: got {episodes}, expected {expected}")
    size = max(1, max_simulations // episodes)
    starts = range(0, len(tasks), size)
    returns = np.empty((steps + 1, len(tasks), episodes))
    env_steps = np.empty((steps + 1, len(tasks)), np.int64)
    successes, rates = np.empty_like(returns), []
    env = make_env(min(size, len(tasks)) * episodes)
    for number, first in enumerate(starts):
        part = tasks[first : first + size]
        rows = slice(first, first + len(part))
        if env.num_envs != len(part) * episodes:
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
            env_steps[step, rows] = np.asarray(rollout.steps).sum(1)
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
