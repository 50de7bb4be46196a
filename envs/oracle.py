"""An environment that tells which task it is, for references that need not find out.

    env = OracleEnv(make("HalfCheetahMass", 400))
    observation, _ = env.reset(seed=0)          # (400, 20 + 1): the last column is mass_scale, from -1 to 1

Behind the observation stands each parameter of the task as it is active at that step (a fault that has not happened yet
is not given away), on a scale on which the training range is [-1, 1]: logarithmic where it is drawn so.
"""

from typing import Any

import gymnasium
import numpy as np
from gymnasium.vector import AutoresetMode, VectorWrapper
from gymnasium.vector.utils import batch_space

from .task import TaskSpace
from .task_env import TaskVectorEnv


class OracleEnv(VectorWrapper):
    """The environment `env`, whose observations end with the task's parameters; all else is as there."""

    env: TaskVectorEnv

    def __init__(self, env: TaskVectorEnv):
        super().__init__(env)
        if env.autoreset_mode is AutoresetMode.SAME_STEP:
            raise ValueError("OracleEnv needs autoreset_mode DISABLED or NEXT_STEP, got SAME_STEP")
        box, bound = env.single_observation_space, np.full(env.space.dim, np.inf)
        low, high = np.concatenate([box.low, -bound]), np.concatenate([box.high, bound])
        self.single_observation_space = gymnasium.spaces.Box(low, high, dtype=np.float64)
        self.observation_space = batch_space(self.single_observation_space, env.num_envs)

    def __getattr__(self, name: str) -> Any:
        if name == "env":  # not there yet
            raise AttributeError(name)
        return getattr(self.env, name)

    def reset(self, **kwargs):
        observation, info = self.env.reset(**kwargs)
        return self._reveal(observation), info

    def step(self, actions):
        observation, *rest = self.env.step(actions)
        return self._reveal(observation), *rest

    def _reveal(self, observation: np.ndarray) -> np.ndarray:
        return np.concatenate([observation, scaled(self.env.space, self.env.parameters)], axis=1)


def scaled(space: TaskSpace, values: np.ndarray) -> np.ndarray:
    """(N, D) parameters -> (N, D), the training range of each being [-1, 1]."""
    columns = []
    for column, p in zip(values.T, space.parameters, strict=True):
        low, high = (p.low, p.high) if p.continuous else (min(p.choices), max(p.choices))
        if p.distribution == "log_uniform":
            column, low, high = np.log(column), np.log(low), np.log(high)
        columns.append((2 * column - low - high) / (high - low if high > low else 1.0))
    return np.stack(columns, axis=1)
