"""The only loop over an episode, of all simulations in step; needs no PyTorch.

    observations, _ = env.reset(seed=0)
    for step in episode(env, adapter, adapter.start(len(tasks)), num_episodes, observations, noise):
        step.rewards                                                       # (M, K)
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from metarl.envs import BatchEnv
from metarl.util.arrays import Array, namespace

if TYPE_CHECKING:
    from metarl.agents import Adapter, Decision


class Step(NamedTuple):
    """One step of K episodes in each of M tasks; see :func:`episode`. Arrays are the environment's.

    Attributes:
        number: t, counted from 0.
        observations: (M, K, O) raw, that the actions were chosen for.
        decision: of the adapter; its `state` is the one before the rewards were seen.
        rewards: (M, K).
        terminated, truncated, diverged: (M, K) bool, of episodes that were running.
        running: (M, K) bool, the episodes that had not ended before this step.
        following: (M, K, O) raw observations after it.
        info: of the environment.
        state: the adapter's, after the rewards were seen.
    """

    number: int
    observations: Array
    decision: Decision
    rewards: Array
    terminated: Array
    truncated: Array
    diverged: Array
    running: Array
    following: Array
    info: dict[str, Any]
    state: Any


def episode(
    env: BatchEnv,
    adapter: Adapter,
    state: Any,
    num_episodes: int,
    observations: Array,
    noise: np.random.Generator | None,
) -> Iterator[Step]:
    """One episode in every simulation of ``env``, step by step, until the last one ends: the only loop over an episode.

    A step is taken when it is asked for, so whoever asks sees ``env`` as the last one left it, and may change tasks or
    stop in between.

    Args:
        env: M * K simulations with their tasks set, autoreset disabled; number ``m * K + k`` is episode k of task m.
        adapter, state: who acts, and what it knows of the M tasks.
        num_episodes: K.
        observations: (M * K, O), of the reset that the episodes begin with.
        noise: of the actions; None takes mean actions.
    """
    shape = (env.num_envs // num_episodes, num_episodes)
    xp = namespace(observations)
    running = xp.ones_like(observations[:, 0], dtype=xp.bool).reshape(shape)

    def by_task(x: Array) -> Array:  # (M * K, ...) -> (M, K, ...)
        return x.reshape(*shape, *x.shape[1:])

    observations = by_task(observations)
    for number in range(env.horizon):
        decision = adapter.act(state, observations, noise)
        following, rewards, terminated, truncated, info = env.step(decision.actions.reshape(env.num_envs, -1))
        following, rewards = by_task(following), by_task(rewards)
        terminated, truncated = by_task(terminated) & running, by_task(truncated) & running
        diverged = by_task(info["diverged"]) & running
        ended = terminated | truncated
        state = adapter.observe(decision.state, rewards, ended)
        yield Step(
            number, observations, decision, rewards, terminated, truncated, diverged, running, following, info, state
        )
        running = running & ~ended
        if not running.any():
            return
        observations = following
