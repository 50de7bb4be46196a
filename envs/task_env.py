"""What environments with a task for each simulation share, whoever steps them: tasks, random streams, episode ends.

    class MyEnv(TaskVectorEnv):
        def _begin(self, ids): ...                       # puts simulations at the start of an episode
        def _simulate(self, actions, stepped): ...       # one step of them, as a Transition

`BatchEnv` steps in `mujoco.batch.Batch`, `MixedEnv` in one for each of several models. Steps and resets are those of
`Autoreset`, what an episode's end means.
"""

import os
from typing import Any

import gymnasium
import mujoco
import numpy as np
from gymnasium.vector import AutoresetMode
from gymnasium.vector.utils import batch_space

from metarl.util.rng import Seed, streams

from .autoreset import Autoreset, reset_mask
from .family import Family
from .task import Tasks, TaskSpace


class TaskVectorEnv(Autoreset):
    """See the module; arguments as for `BatchEnv`."""

    family: Family
    single_observation_space: gymnasium.spaces.Box
    single_action_space: gymnasium.spaces.Box
    dt: float
    """Seconds per environment step."""
    device: str = "cpu"
    """Where actions and observations are."""
    first: int = 0
    """Number of simulation 0 in the whole that these are a part of, where several processes share one."""
    whole: int | None = None
    """Simulations of that whole; None: these are all."""

    def __init__(
        self,
        family: Family,
        num_envs: int,
        horizon: int | None,
        action_scale: float,
        autoreset_mode: AutoresetMode | str,
        num_threads: int,
    ):
        if not isinstance(family, Family):
            raise TypeError(f"{type(self).__name__} needs a Family, got {family!r}; metarl.envs.make takes a name")
        if num_envs < 1 or num_threads < 0:
            raise ValueError(f"need num_envs >= 1 and num_threads >= 0, got {num_envs} and {num_threads}")
        if not (np.isfinite(action_scale) and action_scale > 0):
            raise ValueError(f"action_scale must be positive, got {action_scale}")
        if horizon is not None and horizon < 1:
            raise ValueError(f"horizon must be at least 1 step, got {horizon}")
        super().__init__(num_envs, family.horizon if horizon is None else int(horizon), AutoresetMode(autoreset_mode))
        self.family = family
        self._values = np.repeat(family.space.default().values, num_envs, axis=0)  # (N, D), of the present episode
        self._next_values = self._values.copy()  # (N, D), from each simulation's next reset on
        self._rngs: list[np.random.Generator | None] = [None] * num_envs
        self._process = os.getpid()

    def _set_spaces(self, bound: np.ndarray, low: float | np.ndarray, high: float | np.ndarray, size: int) -> None:
        """Actions within +-bound (A,), observations of a size within bounds; and what depends on dt."""
        self.single_action_space = gymnasium.spaces.Box(-bound, bound, dtype=np.float32)
        self.single_observation_space = gymnasium.spaces.Box(low, high, (size,), np.float64)
        self.action_space = batch_space(self.single_action_space, self.num_envs)
        self.observation_space = batch_space(self.single_observation_space, self.num_envs)
        self.metadata = {"autoreset_mode": self.autoreset_mode, "render_fps": max(1, round(1 / self.dt))}

    @property
    def space(self) -> TaskSpace:
        return self.family.space

    @property
    def tasks(self) -> Tasks:
        """The tasks of the present episodes, one per simulation."""
        return Tasks(self.space, self._values)

    @property
    def parameters(self) -> np.ndarray:
        """Task values active at this step (N, D), a copy."""
        return self._values.copy()

    @property
    def begun(self) -> np.ndarray:
        """Which parameters are active at this step (N, D) bool, a copy."""
        return np.ones(self._values.shape, bool)

    def model_of(self, i: int, model: mujoco.MjModel | None = None) -> mujoco.MjModel:
        """The model with simulation i's task in it, written into model, one that this returned before, if it fits."""
        raise NotImplementedError

    def data_of(self, i: int) -> mujoco.MjData:
        """Simulation i's state as an MjData; mj_forward with model_of(i) computes what derives from it."""
        raise NotImplementedError

    def shown_model(self, i: int) -> mujoco.MjModel:
        """model_of(i) as a new copy, with its mocap bodies where they are: for pictures of its positions alone."""
        model, data = self.model_of(i), self.data_of(i)
        for body in np.flatnonzero(model.body_mocapid >= 0):
            model.body_pos[body] = data.mocap_pos[model.body_mocapid[body]]
            model.body_quat[body] = data.mocap_quat[model.body_mocapid[body]]
        return model

    def set_tasks(self, tasks: Tasks) -> None:
        """Give simulation i the task tasks[i] from its next reset on.

        Raises:
            ValueError: tasks of another family, another number of them, or such as this environment cannot have.
        """
        if tasks.space.family != self.space.family or tasks.names != self.space.names:
            raise ValueError(f"tasks are of family {tasks.space.family!r}, this environment is {self.space.family!r}")
        if len(tasks) != self.num_envs:
            raise ValueError(
                f"need one task per simulation, {self.num_envs}, got {len(tasks)}; use tasks.repeat(episodes)"
            )
        if tasks.space is not self.space and tasks.space != self.space:
            tasks = Tasks(self.space, tasks.values)  # the ranges of two spaces of a family may differ
        self.space.check(tasks)
        self._next_values = tasks.values

    @property
    def random_streams(self) -> tuple[np.random.Generator | None, ...]:
        """The generator of each simulation, which draws its resets; None before the first reset."""
        return tuple(self._rngs)

    def _chosen(self, seed: Seed, options: dict[str, Any] | None) -> np.ndarray:
        """The simulations (n,), sorted, that a reset's arguments mean, with their tasks and streams set."""
        options = dict(options or {})
        tasks, mask = options.pop("tasks", None), options.pop("reset_mask", None)
        if options:
            raise ValueError(f"unknown reset options {sorted(options)}; known are 'tasks' and 'reset_mask'")
        if tasks is not None:
            self.set_tasks(tasks)
        ids = np.flatnonzero(reset_mask(mask, self.num_envs, self._observation is not None))
        if seed is not None or self._rngs[0] is None:
            for i, stream in zip(ids, streams(seed, ids, self.num_envs, self.first), strict=True):
                self._rngs[i] = stream
            self._seeded(ids, seed)
        return ids

    def _seeded(self, ids: np.ndarray, seed: Seed) -> None:
        """Simulations ids have new streams."""

    def _describe(self, i: int) -> str:
        return f"simulation {i} ({self.family.name}, task {self.tasks.describe(i)})"

    def _usable(self) -> None:
        """RuntimeError if this is not the process that the environment was made in, or if it was closed."""
        if self.closed:
            raise RuntimeError(f"this {type(self).__name__} is closed")
        if os.getpid() != self._process:
            raise RuntimeError(
                f"this {type(self).__name__} was made in another process and would hang in this one; make it here"
            )
