"""An environment that tells which task it is, for references that need not find out.

    env = OracleEnv(make("HalfCheetahMass", 400))
    observation, _ = env.reset(seed=0)          # (400, 20 + 1): the last column is mass_scale, from -1 to 1

Behind the observation stands each parameter of the task as it is active at that step: a fault that has not happened yet
is not given away, nor is when it will happen. A number is on a scale on which the training range is [-1, 1],
logarithmic where it is drawn so. A category has a column for each choice of training, one in the present one's and zero
in the others; choices that training never has are zeros throughout, because no weight could have learned of them.
"""

from typing import Any

import gymnasium
import numpy as np
from gymnasium.vector import AutoresetMode, VectorWrapper
from gymnasium.vector.utils import batch_space

from .arrays import Array, constant, namespace
from .parameter import Parameter
from .task import TaskSpace
from .task_env import TaskVectorEnv


class OracleEnv(VectorWrapper):
    """The environment `env`, whose observations end with the task's parameters; all else is as there.

    Args:
        env: with autoreset DISABLED or NEXT_STEP.
        revision: 2; 1 is that of older runs, where a category is one number and onsets are known from the start.
    """

    env: TaskVectorEnv

    def __init__(self, env: TaskVectorEnv, revision: int = 2):
        super().__init__(env)
        if env.autoreset_mode is AutoresetMode.SAME_STEP:
            raise ValueError("OracleEnv needs autoreset_mode DISABLED or NEXT_STEP, got SAME_STEP")
        self.revision = revision
        box, bound = env.single_observation_space, np.full(len(told_names(env.space, revision)), np.inf)
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

    def _reveal(self, observation: Array) -> Array:
        columns = told(self.env.space, self.env.parameters, self.env.begun, self.revision)
        return namespace(observation).concat([observation, constant(columns, observation)], axis=1)


def told(space: TaskSpace, values: np.ndarray, begun: np.ndarray | None = None, revision: int = 2) -> np.ndarray:
    """What an oracle observes of a task, (N, C), with the names of :func:`told_names`.

    Args:
        values: (N, D) parameters.
        begun: (N, D) bool, which of them are active; the onset of one that is not is hidden, as zeros. None: all are.
        revision: see OracleEnv.
    """
    columns = []
    for value, p in zip(values.T, space.parameters, strict=True):
        one = p.continuous or revision == 1
        new = scaled(p, value)[:, None] if one else (value[:, None] == _choices(p)).astype(np.float64)
        if begun is not None and revision > 1:
            waiting = [i for i, other in enumerate(space.parameters) if other.onset == p.name]
            new = np.where(begun[:, waiting].all(axis=1, keepdims=True), new, 0.0)
        columns.append(new)
    return np.concatenate(columns, axis=1)


def told_names(space: TaskSpace, revision: int = 2) -> tuple[str, ...]:
    """A name for each of the columns of :func:`told`: a parameter's, or "joint=2" for a choice."""
    names = []
    for p in space.parameters:
        names += [p.name] if p.continuous or revision == 1 else [f"{p.name}={choice:g}" for choice in _choices(p)]
    return tuple(names)


def scaled(parameter: Parameter, values: np.ndarray) -> np.ndarray:
    """(N,) values of a parameter -> (N,), its training range being [-1, 1]."""
    p = parameter
    low, high = (p.low, p.high) if p.continuous else (min(p.choices), max(p.choices))
    if p.distribution == "log_uniform":
        values, low, high = np.log(values), np.log(low), np.log(high)
    return (2 * values - low - high) / (high - low if high > low else 1.0)


def _choices(parameter: Parameter) -> np.ndarray:
    """Those of training."""
    return np.array([choice for choice in parameter.choices if choice not in parameter.held_out])
