"""Collecting experience: K episodes in each of M tasks, all simulations in step.

    env.set_tasks(tasks.repeat(num_episodes))
    rollout = collect(env, adapter, adapter.start(len(tasks)), num_episodes, seed=stream(0, "rollouts", 0))
"""

import numpy as np

from metarl.agents import Adapter, Rollout
from metarl.envs import BatchEnv
from metarl.util.torch_runtime import torch_threads


@torch_threads(1)  # idle threads of PyTorch's would spin on the cores that the physics needs
def collect(
    env: BatchEnv,
    adapter: Adapter,
    state,
    num_episodes: int,
    seed: np.random.SeedSequence,
    *,
    deterministic: bool = False,
) -> Rollout:
    """One episode in every simulation of ``env``, from reset to its horizon.

    Args:
        env: M * K simulations with their tasks set, autoreset disabled; number ``m * K + k`` is episode k of task m.
        adapter, state: who acts, and what it knows of the M tasks.
        num_episodes: K.
        seed: of the initial states and the action noise.
        deterministic: take mean actions.
    """
    num_tasks, steps = env.num_envs // num_episodes, env.horizon
    reset_seed, noise_seed = np.random.SeedSequence(seed.entropy, spawn_key=seed.spawn_key).spawn(2)
    noise = None if deterministic else np.random.default_rng(noise_seed)
    observation, _ = env.reset(seed=reset_seed)

    def tasks_first(x: np.ndarray) -> np.ndarray:
        return x.reshape(num_tasks, num_episodes, *x.shape[1:])

    shape = (num_tasks, steps, num_episodes)
    raw = np.empty((*shape, observation.shape[-1]), np.float32)
    seen = np.empty_like(raw)
    actions = np.empty((*shape, env.single_action_space.shape[0]), np.float32)
    log_probs = np.empty(shape, np.float32)
    rewards = np.empty(shape)
    terminated, truncated, valid = (np.zeros(shape, bool) for _ in range(3))
    diverged = np.zeros((num_tasks, num_episodes), bool)
    running = np.ones((num_tasks, num_episodes), bool)
    successes = np.full((num_tasks, num_episodes), np.nan)
    last = np.zeros((num_tasks, num_episodes, observation.shape[-1]))

    for t in range(steps):
        raw[:, t] = tasks_first(observation)
        decision = adapter.act(state, tasks_first(observation), noise)
        seen[:, t], actions[:, t], log_probs[:, t] = decision.observations, decision.actions, decision.log_probs
        observation, reward, done, cut, info = env.step(decision.actions.reshape(env.num_envs, -1))
        rewards[:, t], valid[:, t] = tasks_first(reward), running
        terminated[:, t] = tasks_first(done) & running
        truncated[:, t] = tasks_first(cut) & running
        diverged |= tasks_first(info["diverged"]) & running
        if "success" in info:
            successes = np.fmax(successes, tasks_first(info["success"]) & running)
        ended = terminated[:, t] | truncated[:, t]
        state = adapter.observe(decision.state, tasks_first(reward), ended)
        if ended.any():
            last[ended] = tasks_first(observation)[ended]
            running = running & ~ended
            if not running.any():
                break

    taken = valid.sum(1)
    valid &= ~diverged[:, None, :]
    for array in (raw, seen, actions, log_probs, rewards):
        array[~valid] = 0.0  # never lived, or diverged: a weight of zero does not make a NaN harmless
    return Rollout(
        observations=seen,
        raw_moments=_moments(raw, valid),
        actions=actions,
        log_probs=log_probs,
        rewards=rewards,
        terminated=terminated,
        truncated=truncated,
        valid=valid,
        diverged=diverged,
        last_observations=adapter.act(state, last, None).observations,
        state=state,
        steps=taken,
        successes=np.where(diverged & ~np.isnan(successes), 0.0, successes),
    )


def _moments(observations: np.ndarray, valid: np.ndarray) -> np.ndarray:
    """(3, O) count, sum and sum of squares of the valid steps of (M, T, K, O) observations."""
    flat = observations.reshape(-1, observations.shape[-1])
    if not valid.all():
        flat = flat[valid.reshape(-1)]
    return np.stack([
        np.full(flat.shape[-1], len(flat), np.float64),
        flat.sum(0, dtype=np.float64),
        np.square(flat).sum(0, dtype=np.float64),
    ])
