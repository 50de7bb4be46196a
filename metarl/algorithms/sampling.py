"""Collecting experience: K episodes in each of M tasks, all simulations in step.

    env.set_tasks(tasks.repeat(num_episodes))
    rollout = collect(env, adapter, adapter.start(len(tasks)), num_episodes, seed=stream(0, "rollouts", 0))

Step by step it is `metarl.algorithms.episode.episode`.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from metarl.agents import Adapter, Rollout
from metarl.agents.normalizer import moments_of
from metarl.algorithms.episode import Step, episode
from metarl.config import Config
from metarl.envs import BatchEnv
from metarl.util.arrays import Array, as_numpy, zeros
from metarl.util.ranks import current
from metarl.util.rng import stream
from metarl.util.torch_runtime import torch_threads


@torch_threads(1)  # idle threads of PyTorch's would spin on the cores that the physics needs
def collect(
    env: BatchEnv,
    adapter: Adapter,
    state: Any,
    num_episodes: int,
    seed: np.random.SeedSequence,
    *,
    deterministic: bool = False,
    on_step: Callable[[Step], None] | None = None,
) -> Rollout:
    """The record of one :func:`episode` in every simulation of ``env``.

    Args:
        env, adapter, state, num_episodes: as there.
        seed: of the initial states and the action noise.
        deterministic: take mean actions.
        on_step: is called with each step.
    """
    reset_seed, noise_seed = np.random.SeedSequence(seed.entropy, spawn_key=seed.spawn_key).spawn(2)
    observations, _ = env.reset(seed=reset_seed)
    noise = None
    if not deterministic:
        noise = current().noise(noise_seed, env.first, env.num_envs, env.whole or env.num_envs)

    def empty(dtype: str | None, *shape: int) -> Array:
        return zeros(shape, observations, dtype)

    each = (env.num_envs // num_episodes, num_episodes)
    shape, size = (each[0], env.horizon, num_episodes), observations.shape[1]
    raw, seen = empty(None, *shape, size), empty("float32", *shape, size)
    actions, rewards = empty("float32", *shape, env.single_action_space.shape[0]), empty("float64", *shape)
    terminated, truncated, valid = (empty("bool", *shape) for _ in range(3))
    diverged, success, last = empty("bool", *each), None, observations
    for step in episode(env, adapter, state, num_episodes, observations, noise):
        t, decision = step.number, step.decision
        raw[:, t] = step.observations
        seen[:, t], actions[:, t] = decision.observations, decision.actions
        rewards[:, t], valid[:, t] = step.rewards, step.running
        terminated[:, t], truncated[:, t] = step.terminated, step.truncated
        diverged |= step.diverged
        if "success" in step.info:
            now = step.info["success"].reshape(each) & step.running
            success = now if success is None else success | now
        last, state = step.following, step.state  # of an episode that is over, as its last step left it
        if on_step:
            on_step(step)

    taken = valid.sum(1)
    valid &= ~diverged[:, None, :]
    for array in (raw, seen, actions, rewards):
        array[~valid] = 0.0  # after its end, or diverged: a weight of zero does not make a NaN harmless
    successes = np.full(each, np.nan) if success is None else as_numpy(success & ~diverged) * 1.0
    return Rollout(
        observations=seen,
        raw_moments=moments_of(raw[valid]),
        actions=actions,
        rewards=rewards,
        terminated=terminated,
        truncated=truncated,
        valid=valid,
        diverged=diverged,
        last_observations=adapter.normalize(last),
        state=state,
        steps=taken,
        successes=successes,
    )


def collect_trials(
    env: BatchEnv,
    adapter: Adapter,
    config: Config,
    num_episodes: int,
    iteration: int,
    on_step: Sequence[Callable[[Step], None] | None] = (),
) -> tuple[list[Rollout], dict[str, float]]:
    """The episodes of a trial in every simulation, in new training tasks, which an iteration begins with; metrics.

    Args:
        env: ``meta_batch * episodes`` simulations of the config; tasks are set here.
        adapter: acts, and takes what it knows from one episode to the next.
        num_episodes: of a trial.
        on_step: of each episode, is called with each of its steps.
    """
    ranks = current()
    rng = np.random.default_rng(stream(config.seed, "tasks", iteration))
    tasks = env.space.sample(config.meta_batch, "train", rng)[ranks.share(config.meta_batch)]
    env.set_tasks(tasks.repeat(config.episodes))
    state, rollouts = adapter.start(len(tasks)), []
    for e, watch in enumerate(on_step or [None] * num_episodes):
        seed = stream(config.seed, "rollouts", iteration, e)
        rollout = collect(env, adapter, state, config.episodes, seed, on_step=watch)
        state = adapter.adapt(state, rollout)
        rollouts.append(rollout)
    metrics = {f"return_{e}": ranks.mean(rollout.returns) for e, rollout in enumerate(rollouts)}
    metrics["env_steps"] = int(ranks.total(sum(rollout.num_steps for rollout in rollouts)))
    metrics["diverged"] = int(ranks.total(sum(int(rollout.diverged.sum()) for rollout in rollouts)))
    return rollouts, metrics
