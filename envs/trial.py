"""Trials as Gymnasium environments: several episodes of one task, for whoever learns with a memory.

    env = TrialEnv(gymnasium.make("metarl.envs:metarl/HalfCheetahMass-v0"), episodes=2)
    observation, info = env.reset(seed=0)          # a task is drawn; (20 + 6 + 2,)
    observation, reward, terminated, truncated, info = env.step(env.action_space.sample())

    env = TrialVectorEnv(make("HalfCheetahMass", 400, autoreset_mode="Disabled"), episodes=2)

One trial is one episode of these environments, so that a recurrent policy of any library is trained over trials by
keeping its state until the episode ends (Duan et al. 2016). Where an episode inside the trial ends, the step returns
the first observation of the next one. An observation is [observation, action of the step before, its reward, whether an
episode begins], flattened by Gymnasium's rules (a discrete action becomes one-hot); the first of a trial has zeros for
action and reward, so that nothing of the trial before is known.

What an episode earned stands in info["episode_return"] at its last step; info["episode_returns"] has them all at the
end of the trial.
"""

from collections.abc import Callable
from typing import Any

import gymnasium
import numpy as np
from gymnasium.spaces.utils import flatdim, flatten, flatten_space
from gymnasium.utils import RecordConstructorArgs
from gymnasium.vector import AutoresetMode, VectorEnv, VectorWrapper
from gymnasium.vector.utils import batch_space

from .autoreset import reset_mask
from .task import Tasks

_TASKS = 1  # which child of the seed draws tasks


class TrialEnv(gymnasium.Wrapper, RecordConstructorArgs):
    """Several episodes of one task as one.

    Args:
        env: an environment whose episodes end.
        episodes: E, in a trial.
        draw: called with the environment and a generator before each trial, to give it a task from its next reset on;
            None draws from ``env.unwrapped.space`` and calls ``env.unwrapped.set_task``, as metarl's environments have
            it.
        split: of the tasks, where ``draw`` is None.
    """

    env: Any  # with `space` and `set_task`, unless `draw` is given

    def __init__(
        self,
        env: gymnasium.Env,
        episodes: int = 2,
        *,
        draw: Callable[[gymnasium.Env, np.random.Generator], None] | None = None,
        split: str = "train",
    ):
        RecordConstructorArgs.__init__(self, episodes=episodes, draw=draw, split=split)
        gymnasium.Wrapper.__init__(self, env)
        self.episodes, self._draw, self._split = _at_least_one(episodes), draw, split
        if draw is None:
            _need(env.unwrapped, "space", "set_task")
        self.observation_space = trial_space(env.observation_space, env.action_space)
        self._tasks_rng = np.random.default_rng()
        self._returns: list[float] | None = None

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None):
        """A new trial, of a new task."""
        if seed is not None:
            self._tasks_rng = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(_TASKS,)))
        if self._draw is not None:
            self._draw(self.env, self._tasks_rng)
        else:
            env = self.env.unwrapped
            env.set_task(env.space.sample(1, self._split, self._tasks_rng))
        observation, info = self.env.reset(seed=seed, options=options)
        self._returns, self._return = [], 0.0
        return self._observation(observation, None, 0.0, True), info

    def step(self, action):
        """One step; an episode that ends is followed by the next one of the trial."""
        if self._returns is None:
            raise gymnasium.error.ResetNeeded("call reset() before step()")
        observation, reward, terminated, truncated, info = self.env.step(action)
        self._return += float(reward)
        starts = False
        if terminated or truncated:
            self._returns.append(self._return)
            info = info | {"episode_return": self._return}
            if len(self._returns) == self.episodes:
                info["episode_returns"] = np.array(self._returns)
                self._returns = None
            else:
                observation, _ = self.env.reset()
                self._return, starts, terminated, truncated = 0.0, True, False, False
        return self._observation(observation, action, float(reward), starts), reward, terminated, truncated, info

    def _observation(self, observation, action, reward: float, starts: bool) -> np.ndarray:
        size = flatdim(self.env.action_space)
        known = np.zeros(size) if action is None else np.asarray(flatten(self.env.action_space, action))
        parts = (np.asarray(flatten(self.env.observation_space, observation)), known, [reward, float(starts)])
        return np.concatenate(parts).astype(self.observation_space.dtype)


class TrialVectorEnv(VectorWrapper):
    """The same for a vector of simulations, each at its own place in its own trial.

    A trial that ends is followed at once by the next (Gymnasium's SAME_STEP autoreset: there is no step whose action is
    ignored). What it ended with is in info["final_obs"] and info["final_info"].

    Args:
        env: a vector environment with autoreset_mode DISABLED.
        episodes, split: as for TrialEnv.
        draw: called with the environment, a mask (N,) of the simulations whose trial begins, and a generator; None
            draws from ``env.space`` and calls ``env.set_tasks``.
    """

    env: Any  # with `space` and `set_tasks`, unless `draw` is given

    def __init__(
        self,
        env: VectorEnv,
        episodes: int = 2,
        *,
        draw: Callable[[VectorEnv, np.ndarray, np.random.Generator], None] | None = None,
        split: str = "train",
    ):
        super().__init__(env)
        mode = env.metadata.get("autoreset_mode")
        if mode is not AutoresetMode.DISABLED:
            raise ValueError(f"TrialVectorEnv needs an environment with autoreset_mode DISABLED, got {mode}")
        self.episodes, self._draw, self._split = _at_least_one(episodes), draw, split
        if draw is None:
            _need(env, "space", "set_tasks")
        self.single_observation_space = trial_space(env.single_observation_space, env.single_action_space)
        self.observation_space = batch_space(self.single_observation_space, env.num_envs)
        self.metadata = {**env.metadata, "autoreset_mode": AutoresetMode.SAME_STEP}
        self._tasks_rng = np.random.default_rng()
        self._returns: np.ndarray | None = None
        self._seen: np.ndarray | None = None  # (N, O), the present observations

    def reset(self, *, seed: Any = None, options: dict[str, Any] | None = None):
        """A new trial in every simulation, or in those of options["reset_mask"] (N,) bool; the others go on."""
        mask = reset_mask((options or {}).get("reset_mask"), self.num_envs, self._returns is not None)
        if seed is not None:
            numbers = seed if isinstance(seed, int | np.random.SeedSequence) else [s for s in seed if s is not None]
            sequence = numbers if isinstance(numbers, np.random.SeedSequence) else np.random.SeedSequence(numbers)
            self._tasks_rng = np.random.default_rng(
                np.random.SeedSequence(sequence.entropy, spawn_key=(*sequence.spawn_key, 2**32 - 1, _TASKS))
            )
        self._begin(mask)
        observation, info = self.env.reset(seed=seed, options=options)
        first = self._observation(observation, None, np.zeros(self.num_envs), mask)
        self._seen = first if self._seen is None else np.where(mask[:, None], first, self._seen)
        return self._seen.copy(), info

    def step(self, actions):
        """One step of every simulation."""
        if self._returns is None:
            raise gymnasium.error.ResetNeeded("call reset() before step()")
        observation, reward, terminated, truncated, info = self.env.step(actions)
        at = (np.arange(self.num_envs), self._episode)
        self._returns[at] += reward
        ended = terminated | truncated
        over = ended & (self._episode == self.episodes - 1)  # the trial
        starts = ended & ~over
        info = info | {"episode_return": np.where(ended, self._returns[at], 0.0), "_episode_return": ended}
        self._episode = self._episode + starts
        if over.any():
            final = self._observation(observation, actions, reward, np.zeros(self.num_envs, bool))
            final_obs = np.full(self.num_envs, None, object)
            for i in np.flatnonzero(over):
                final_obs[i] = final[i]
            info |= {"episode_returns": self._returns * over[:, None], "_episode_returns": over}
            info = info | {"final_obs": final_obs, "_final_obs": over, "final_info": info, "_final_info": over}
            self._begin(over)
        if ended.any():
            observation, _ = self.env.reset(options={"reset_mask": ended})
        result = self._observation(observation, actions, reward, ended)
        if over.any():
            known = flatdim(self.env.single_observation_space)
            result[over, known:-1] = 0.0  # of the trial before nothing is known
        self._seen = result.copy()
        return result, reward, terminated & over, truncated & over, info

    def _begin(self, mask: np.ndarray) -> None:
        """New trials in some simulations: their tasks, from the next reset on, and what they earned."""
        if mask.all() or self._returns is None:
            self._returns = np.zeros((self.num_envs, self.episodes))
            self._episode = np.zeros(self.num_envs, np.int64)
        else:
            self._returns[mask], self._episode = 0.0, np.where(mask, 0, self._episode)
        if self._draw is not None:
            self._draw(self.env, mask, self._tasks_rng)
            return
        values = self.env.tasks.values.copy()
        values[mask] = self.env.space.sample(int(mask.sum()), self._split, self._tasks_rng).values
        self.env.set_tasks(Tasks(self.env.space, values))

    def _observation(self, observation, actions, reward, starts) -> np.ndarray:
        actions_space = self.env.single_action_space
        known = np.zeros((self.num_envs, flatdim(actions_space)))
        if actions is not None:
            known = _rows(actions_space, actions)
        columns = (_rows(self.env.single_observation_space, observation), known, reward[:, None], starts[:, None])
        return np.concatenate(columns, axis=1).astype(self.single_observation_space.dtype)


def trial_space(observations: gymnasium.Space, actions: gymnasium.Space) -> gymnasium.spaces.Box:
    """The observations of a trial; an action may be beyond its bounds, and so may the one that is remembered."""
    flat, size = flatten_space(observations), flatdim(actions) + 1
    if not isinstance(flat, gymnasium.spaces.Box):
        raise ValueError(f"trials need observations of fixed size, got {observations}")
    beyond = np.full(size, np.inf)
    low, high = np.concatenate([flat.low, -beyond, [0.0]]), np.concatenate([flat.high, beyond, [1.0]])
    dtype = np.float32 if flat.dtype == np.float32 else np.float64
    return gymnasium.spaces.Box(low.astype(dtype), high.astype(dtype), dtype=dtype)


def _rows(space: gymnasium.Space, values: Any) -> np.ndarray:
    """A value of `space` for each simulation -> (N, size)."""
    if isinstance(space, gymnasium.spaces.Box):
        return np.asarray(values).reshape(len(values), -1)
    return np.array([flatten(space, value) for value in values])


def _at_least_one(episodes: int) -> int:
    if isinstance(episodes, bool) or not isinstance(episodes, int | np.integer) or episodes < 1:
        raise ValueError(f"a trial needs at least 1 episode, got {episodes!r}")
    return int(episodes)


def _need(env: Any, *names: str) -> None:
    missing = [name for name in names if not hasattr(env, name)]
    if missing:
        name = type(env).__name__
        raise TypeError(f"{name} has no {missing[0]!r}: pass draw=, which gives it a task before each trial")
