"""Meta-World's ML1, ML10 and ML45 behind the interface of BatchEnv, stepped in worker processes.

    env = make("MetaWorldML1", num_envs=40, env_name="push-v3")              # needs pip install '.[metaworld]'
    env.set_tasks(env.space.sample(2, "train", np.random.default_rng(0)).repeat(20))
    observation, _ = env.reset(seed=0)                                       # (40, 39), the goal's three numbers 0
    observation, reward, terminated, truncated, info = env.step(actions)     # actions (40, 4)
    info["success"]                                                          # (40,): solved at any step so far

Meta-World is Python around MuJoCo, so it cannot run in `mujoco.batch.Batch`: a few processes (`envs/workers.py`) step
many simulations each, with actions and observations in shared memory. Results do not depend on how many there are.

Every episode lasts its whole horizon, solved or not, and info["success"] is there for each: an average over simulations
at the end of the episodes counts every one that was started. (Meta-World's own evaluation ends an episode that succeeds
and stops at a number of finished ones, so it counts more of the fast, which are the successful.)

Nothing is random but the task: Meta-World starts each episode of a task in the same state.
"""

import os
from typing import Any

import gymnasium
import mujoco
import numpy as np
from gymnasium.vector import AutoresetMode

from metarl.util.optional import Extra
from metarl.util.rng import Seed
from metarl.util.workers import Workers

from ..family import Family
from ..task import Tasks
from ..task_env import TaskVectorEnv
from .tasks import NAMES, GoalSpace, environment_of, ml1, ml10, ml45

CAMERA = "corner2"
METAWORLD = Extra("metaworld", "metaworld")
STEP, RESET = 1, 2  # what a simulation is told to do; 0 for nothing
_ACTIONS, _OBJECT = 4, 14
FIELDS: dict[str, tuple[tuple[int, ...], str]] = {
    "todo": ((), "u1"),
    "task": ((1 + len(NAMES),), "f8"),
    "action": ((_ACTIONS,), "f4"),
    "observation": ((39,), "f8"),
    "reward": ((), "f8"),
    "success": ((), "?"),
    "diverged": ((), "?"),
}
"""What simulations and this process share of each: shape and type. todo, task and action are written here."""

# of hand (m) and gripper opening, of the object's position and rotation
_LOW = np.array([-0.525, 0.348, -0.0525, -1.0, *[-np.inf] * _OBJECT])
_HIGH = np.array([0.525, 1.025, 0.7, 1.0, *[np.inf] * _OBJECT])


class MetaWorld(Family):
    """What the benchmarks have in common; see MetaWorldEnv for how they are stepped."""

    space: GoalSpace
    extra = METAWORLD
    frame_skip = 5
    horizon = 500
    camera = CAMERA

    def build(self) -> mujoco.MjModel:
        raise TypeError(f"{self.name} is stepped in worker processes: use metarl.envs.make({self.name!r}, num_envs)")


class MetaWorldML1(MetaWorld):
    """One environment of Meta-World, a hidden goal; 50 goals to train on, 50 others to test."""

    name = "MetaWorldML1"

    def __init__(self, env_name: str = "reach-v3", goal_seed: int = 0):
        self.space = ml1(env_name, goal_seed)


class MetaWorldML10(MetaWorld):
    """Ten environments of Meta-World with 50 hidden goals each to train on, five others to test."""

    name = "MetaWorldML10"

    def __init__(self, goal_seed: int = 0):
        self.space = ml10(goal_seed)


class MetaWorldML45(MetaWorld):
    """Forty-five environments of Meta-World with 50 hidden goals each to train on, five others to test."""

    name = "MetaWorldML45"

    def __init__(self, goal_seed: int = 0):
        self.space = ml45(goal_seed)


class MetaWorldEnv(TaskVectorEnv):
    """A Gymnasium VectorEnv of Meta-World with a task per simulation.

    Args:
        family: a MetaWorld, or the name of one with its options in family_options.
        num_envs: number of simulations N.
        horizon: episode length in steps; Meta-World's 500 if None.
        action_scale: actions in [-action_scale, action_scale] are Meta-World's [-1, 1], and are clipped there.
        autoreset_mode: as for BatchEnv.
        num_threads: worker processes, 0 for as many as cores. One simulation alone is stepped in this process.

    Attributes:
        dt: seconds per environment step.
        workers: the simulations.
    """

    dt = 0.0125

    def __init__(
        self,
        family: str | MetaWorld,
        num_envs: int = 1,
        *,
        horizon: int | None = None,
        action_scale: float = 1.0,
        autoreset_mode: AutoresetMode | str = AutoresetMode.NEXT_STEP,
        num_threads: int = 0,
        **family_options: Any,
    ):
        super().__init__(family, num_envs, horizon, action_scale, autoreset_mode, num_threads, family_options)
        METAWORLD.require(self.family.name)
        self._scale = action_scale
        self._process = os.getpid()
        self._seed: Seed = None
        self._success = np.zeros(num_envs, bool)
        count = min(num_threads or len(os.sched_getaffinity(0)), num_envs) if num_envs > 1 else 0
        self.workers = Workers(f"{__package__}.sim:Simulations", FIELDS, num_envs, count, self._words)

        low, high = (np.concatenate([limit, limit, np.zeros(3)]) for limit in (_LOW, _HIGH))  # the goal is hidden
        self._set_spaces(np.full(_ACTIONS, action_scale, np.float32), low, high, len(low))

    @property
    def parameters(self) -> np.ndarray:
        """(N, D), the tasks as they stand at this step. A copy."""
        return self._values.copy()

    def _check(self, tasks: Tasks) -> None:
        self.space.check(tasks)

    @property
    def model(self) -> mujoco.MjModel:
        """The model of simulation 0, a copy; the environments of ML10 and ML45 have different ones."""
        return self.model_of(0)

    def state(self) -> np.ndarray:
        """Positions and behind them velocities of each simulation, (N, S); zeros at the end where others have more."""
        parts = self._call("state")
        out = np.empty((self.num_envs, parts[0].shape[1]))
        for worker, part in enumerate(parts):
            out[worker :: len(parts)] = part
        return out

    def model_of(self, i: int, model: mujoco.MjModel | None = None) -> mujoco.MjModel:
        """The model with simulation i's task in it, written into model, one that this returned before, if it fits."""
        fresh = self._ask(i, "model")
        if model is None or (model.nbody, model.nq, model.nmeshvert) != (fresh.nbody, fresh.nq, fresh.nmeshvert):
            return fresh
        model.body_pos[:], model.site_pos[:] = fresh.body_pos, fresh.site_pos
        return model

    def data_of(self, i: int) -> mujoco.MjData:
        """Simulation i's state as an MjData; mj_forward with model_of(i) computes what derives from it."""
        data = mujoco.MjData(self.model_of(i))
        for name, value in self._ask(i, "data").items():
            getattr(data, name)[:] = value
        return data

    def reset(self, *, seed: Seed = None, options: dict[str, Any] | None = None) -> tuple[np.ndarray, dict[str, Any]]:
        """Start new episodes.

        Args:
            seed: of the random streams, which nothing is drawn from; named in errors.
            options: "tasks": as set_tasks; "reset_mask": (N,) bool, the simulations to reset.
        """
        mask = np.zeros(self.num_envs, bool)
        mask[self._resets(seed, options)] = True
        self._restart(mask)
        self._run(np.where(mask, RESET, 0))
        self._ended[mask] = False
        self._observation = self.workers.arrays["observation"].copy()
        return self._observation.copy(), {}

    def _seeded(self, ids: np.ndarray, seed: Seed) -> None:
        self._seed = seed

    def step(self, actions: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, dict[str, Any]]:
        """One environment step of every simulation; actions (N, 4): hand x, y, z, and closing the gripper."""
        if self._observation is None:
            raise gymnasium.error.ResetNeeded("call reset() before step()")
        actions = np.asarray(actions, np.float64)
        if actions.shape != (self.num_envs, _ACTIONS):
            raise ValueError(f"actions must have shape ({self.num_envs}, {_ACTIONS}), got {actions.shape}")
        restart = self._ended if self.autoreset_mode is AutoresetMode.NEXT_STEP else np.zeros(self.num_envs, bool)
        stepped = ~restart
        unknown = np.isnan(actions).any(axis=1)
        arrays = self.workers.arrays
        arrays["action"][:] = np.where(unknown[:, None], 0.0, np.clip(actions / self._scale, -1.0, 1.0))
        self._restart(restart)
        self._run(np.where(restart, RESET, STEP))
        self._elapsed += stepped

        diverged = (arrays["diverged"] | unknown) & stepped
        counted = stepped & ~diverged
        observation = np.where(diverged[:, None], self._observation, arrays["observation"])
        reward = np.where(counted, arrays["reward"], 0.0)
        self._success |= arrays["success"] & counted
        terminated = diverged
        truncated = (self._elapsed >= self.horizon) & counted
        ended = terminated | truncated
        info = self._info(reward, diverged, stepped)
        if self.autoreset_mode is AutoresetMode.SAME_STEP and ended.any():
            final = np.full(self.num_envs, None, object)
            for i in np.flatnonzero(ended):
                final[i] = observation[i].copy()
            final_info = self._info(np.where(ended, reward, 0.0), diverged & ended, ended)
            info |= {"final_obs": final, "_final_obs": ended, "final_info": final_info, "_final_info": ended}
            self._restart(ended)
            self._run(np.where(ended, RESET, 0))
            observation = np.where(ended[:, None], arrays["observation"], observation)
        self._ended = ended
        self._observation = observation
        return observation.copy(), reward, terminated.copy(), truncated, info

    def close_extras(self, **kwargs: Any) -> None:
        self.workers.close()
        self._observation = None

    def _info(self, reward: np.ndarray, diverged: np.ndarray, mask: np.ndarray) -> dict[str, Any]:
        """Gymnasium's vector info: each key with a mask _key of the simulations it holds for."""
        terms = {"metaworld": reward, "_metaworld": mask}
        info = {"reward_terms": terms, "success": self._success & mask, "diverged": diverged}
        return info | {f"_{name}": mask for name in info}

    def _restart(self, mask: np.ndarray) -> None:
        """Prepare the simulations in the mask for the start of an episode of their next task."""
        self._values[mask] = self._next_values[mask]
        self.workers.arrays["task"][mask, : self.space.dim] = self._values[mask]
        self._elapsed[mask] = 0
        self._success[mask] = False

    def _run(self, todo: np.ndarray) -> None:
        self.workers.arrays["todo"][:] = todo
        self._call("run")

    def _ask(self, i: int, method: str) -> Any:
        """The answer of the one worker that has simulation i."""
        worker, row = self.workers.place(i)
        return self._call(method, row, worker=worker)[0]

    def _call(self, method: str, *arguments: Any, worker: int | None = None) -> list[Any]:
        if os.getpid() != self._process:
            raise RuntimeError("this MetaWorldEnv was made in another process and would hang in this one; make it here")
        return self.workers.call(method, *arguments, worker=worker)

    def _words(self, i: int) -> str:
        """Simulation i in words."""
        name = environment_of(self._values[i])[0]
        return f"simulation {i}: {name}, task {self.tasks.describe(i)}, seed {self._seed}"
