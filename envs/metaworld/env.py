"""Meta-World's ML1, ML10 and ML45 behind the interface of BatchEnv, stepped in worker processes.

    env = make("MetaWorldML1", num_envs=40, env_name="push-v3")              # needs pip install '.[metaworld]'
    env.set_tasks(env.space.sample(2, "train", np.random.default_rng(0)).repeat(20))
    observation, _ = env.reset(seed=0)                                       # (40, 39), the goal's three numbers 0
    observation, reward, terminated, truncated, info = env.step(actions)     # actions (40, 4)
    info["success"]                                                          # (40,): solved at any step so far

Meta-World is Python around MuJoCo, so it cannot run in `mujoco.batch.Batch`: a few processes (`metarl.util.workers`)
step many simulations each, with actions and observations in shared memory. Results do not depend on how many there are.

Every episode lasts its whole horizon, solved or not, and info["success"] is there for each: an average over simulations
at the end of the episodes counts every one that was started. (Meta-World's own evaluation ends an episode that succeeds
and stops at a number of finished ones, so it counts more of the fast, which are the successful.)

Nothing is random but the task: Meta-World starts each episode of a task in the same state.
"""

from typing import Any, cast

import mujoco
import numpy as np
from gymnasium.vector import AutoresetMode

from metarl.util.machine import available_threads
from metarl.util.optional import Extra
from metarl.util.rng import Seed
from metarl.util.workers import Workers

from ..autoreset import Transition
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
    batched = False
    extra = METAWORLD
    frame_skip = 5
    horizon = 500
    camera = CAMERA

    def build(self) -> mujoco.MjModel:
        raise TypeError(f"{self.name} is stepped in worker processes: use metarl.envs.make({self.name!r}, num_envs)")

    def make_env(self, num_envs: int, **settings: Any) -> "MetaWorldEnv":
        return MetaWorldEnv(self, num_envs, **settings)


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
        family: a MetaWorld.
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
        family: MetaWorld,
        num_envs: int = 1,
        *,
        horizon: int | None = None,
        action_scale: float = 1.0,
        autoreset_mode: AutoresetMode | str = AutoresetMode.NEXT_STEP,
        num_threads: int = 0,
    ):
        super().__init__(family, num_envs, horizon, action_scale, autoreset_mode, num_threads)
        METAWORLD.require(self.family.name)
        self._scale = action_scale
        self._seed: Seed = None
        self._success = np.zeros(num_envs, bool)
        count = min(num_threads or available_threads(), num_envs) if num_envs > 1 else 0
        self.workers = Workers(f"{__package__}.sim:Simulations", FIELDS, num_envs, count, self._describe)

        low, high = (np.concatenate([limit, limit, np.zeros(3)]) for limit in (_LOW, _HIGH))  # the goal is hidden
        self._set_spaces(np.full(_ACTIONS, action_scale, np.float32), low, high, len(low))

    def _check(self, tasks: Tasks) -> None:
        cast(GoalSpace, self.space).check(tasks)

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

    def _seeded(self, ids: np.ndarray, seed: Seed) -> None:
        self._seed = seed  # nothing is drawn from it; named in errors

    def _simulate(self, actions: np.ndarray, stepped: np.ndarray, restart: np.ndarray) -> Transition:
        unknown = np.logical_or.reduce(np.isnan(actions), axis=1)
        arrays = self.workers.arrays
        arrays["action"][:] = np.where(unknown[:, None], 0.0, np.clip(actions / self._scale, -1.0, 1.0))
        arrays["todo"][stepped] = STEP
        self._restart(np.flatnonzero(restart))
        self._run()
        diverged = arrays["diverged"] | unknown
        self._success |= arrays["success"] & stepped & ~diverged
        return Transition(arrays["observation"].copy(), {"metaworld": arrays["reward"].copy()}, diverged=diverged)

    def _begin(self, ids: np.ndarray) -> None:
        self._values[ids] = self._next_values[ids]
        arrays = self.workers.arrays
        arrays["task"][ids, : self.space.dim] = self._values[ids]
        arrays["todo"][ids] = RESET
        self._success[ids] = False

    def _first(self, ids: np.ndarray) -> np.ndarray:
        self._run()
        return self.workers.arrays["observation"].copy()

    def _flags(self, mask: np.ndarray) -> dict[str, np.ndarray]:
        return {"success": self._success & mask}

    def close_extras(self, **kwargs: Any) -> None:
        self.workers.close()

    def _run(self) -> None:
        """What todo says, and then nothing more to do."""
        self._call("run")
        self.workers.arrays["todo"][:] = 0

    def _ask(self, i: int, method: str) -> Any:
        """The answer of the one worker that has simulation i."""
        worker, row = self.workers.place(i)
        return self._call(method, row, worker=worker)[0]

    def _call(self, method: str, *arguments: Any, worker: int | None = None) -> list[Any]:
        self._usable()
        return self.workers.call(method, *arguments, worker=worker)

    def _describe(self, i: int) -> str:
        name = environment_of(self._values[i])[0]
        return f"simulation {i}: {name}, task {self.tasks.describe(i)}, seed {self._seed}"
