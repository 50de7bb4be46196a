"""Many simulations of one robot, one task each, in `mujoco.batch.Batch`, or in another `Simulator`.

    env = BatchEnv(make_family("HalfCheetahDir"), num_envs=800)
    env.set_tasks(env.space.sample(40, "train", np.random.default_rng(0)).repeat(20))
    observation, _ = env.reset(seed=0)                                       # (800, 17)
    observation, reward, terminated, truncated, info = env.step(actions)     # actions (800, 6)
    info["reward_terms"]["forward"], info["diverged"]                        # (800,) each

A Batch is bit-identical to a loop over single simulations at any number of threads. A `Family` is one robot with its
reward, as functions over arrays with a leading simulation axis; this module adds what all share: action scaling, the
tasks' writes, and the handling of diverged physics. Tasks and random streams are those of `TaskVectorEnv`, episodes and
their ends those of `Autoreset`.

Parameters of a family may start mid-episode (`Schedule`) or be delays and noise between policy and robot
(`SensorActuatorModel`): both cost nothing where no parameter asks for them.

Physics has diverged where MuJoCo silently resets a simulation, a state is beyond the family's limit, or an action is
NaN.
"""

from typing import Any

import mujoco
import numpy as np
from gymnasium.vector import AutoresetMode
from mujoco.batch import Batch

from metarl.util.arrays import zeros
from metarl.util.rng import Seed

from .actuators import controls, fix_muscle_forces
from .arrays import Array, as_numpy, constant
from .autoreset import Transition
from .divergence import BAD_STATE, beyond, quiet
from .family import Family
from .latency_noise import SensorActuatorModel
from .schedule import Schedule
from .sensing import History
from .simulator import Physics
from .task import Tasks
from .task_env import TaskVectorEnv
from .writer import Writer


class BatchEnv(TaskVectorEnv):
    """A Gymnasium VectorEnv of one family with a task per simulation.

    Args:
        family: a Family; metarl.envs.make takes the name of one.
        num_envs: number of simulations N.
        horizon: episode length in steps; the family's own if None.
        action_scale: actions in [-action_scale, action_scale] map linearly to the family's control_range, by default
            that of the actuators, and are clipped to its control_limits, by default the same.
        autoreset_mode: Gymnasium's; with DISABLED a finished simulation is not stepped, see `Autoreset`.
        num_threads: physics threads, 0 for all cores. Results do not depend on it.
        physics: what makes the simulator, such as a `metarl.envs.warp.Warp`; a mujoco.batch.Batch if None.

    Attributes:
        batch: the simulations, a mujoco.batch.Batch unless `physics` says otherwise; to read, or to replay recorded
            states in.
        model: the model of the default task.
        dt: seconds per environment step.

    Raises:
        ValueError: settings out of range, or a family that does not fit its model.
    """

    def __init__(
        self,
        family: Family,
        num_envs: int = 1,
        *,
        horizon: int | None = None,
        action_scale: float = 1.0,
        autoreset_mode: AutoresetMode | str = AutoresetMode.NEXT_STEP,
        num_threads: int = 0,
        physics: Physics | None = None,
    ):
        super().__init__(family, num_envs, horizon, action_scale, autoreset_mode, num_threads)
        self.model = family.build()
        fix_muscle_forces(self.model)
        # what sleeps is not in the state of a simulation
        persistent = family.persistent or bool(self.model.opt.enableflags & int(mujoco.mjtEnableBit.mjENBL_SLEEP))
        if physics is None:
            self.batch: Any = Batch(self.model, num_envs, 1 if num_envs == 1 else num_threads, persistent)
        else:
            self.batch = physics(family.name, self.model, num_envs)
        self.dt = self.model.opt.timestep * family.frame_skip
        self._qpos, self._qvel = self.batch.bind("qpos"), self.batch.bind("qvel")
        self._warnings = self.batch.warning[:, BAD_STATE, 1]
        low, high = family.control_range(self.model)
        if not (low < high).all():
            empty = low >= high
            names = [name for (_, name), none in zip(controls(self.model), empty, strict=True) if none]
            raise ValueError(f"{family.name}: actuators {names} have no ctrlrange for actions to be mapped to")
        self._start = family.start_controls(self.model)
        self._gain, self._bias = 0.5 * (high - low) / action_scale, 0.5 * (high + low)
        self._low, self._high = family.control_limits(self.model)
        self._active = self._values.copy()  # (N, D), the tasks with what is not active yet at its default
        self._tasks: Array = self._active  # as an array of this environment
        self._begun = np.ones(self._values.shape, bool)
        self._schedule = Schedule(self.space)
        self._writer = Writer(self.space, self.model)  # refuses what the model does not have, before the first task
        simple = [self.model.body(i).name or i for i in self._writer.moved_inertias if self.model.body_simple[i]]
        if simple:
            raise ValueError(f"{family.name}: tasks move the centre of mass of {simple}, bodies that MuJoCo compiled as"
                             " simple; give them simple='false' in the MJCF")  # fmt: skip
        if family.keyframe >= 0:
            placed, places = self._writer.mocap, self.model.key_mpos[family.keyframe].reshape(-1, 3)
            apart = (places[self.model.body_mocapid[placed]] != self.model.body_pos[placed]).any(axis=1)
            if apart.any():
                names = [self.model.body(i).name or i for i in placed[apart]]
                raise ValueError(f"{family.name}: tasks write the position of {names}, which its keyframe puts"
                                 " elsewhere than the MJCF; leave out mpos, or make it their pos")  # fmt: skip

        seen, sensing = self._observe(), family.sensing
        fixed = sensing.fixed if sensing else ()
        needed = SensorActuatorModel.needed(self.space) or bool(fixed)
        self._latency_noise = SensorActuatorModel(self.space, seen, self.model.nu, fixed) if needed else None
        self._arrived = zeros(seen.shape, seen)  # what was last observed, before it is limited and scaled
        self._history = History(sensing, seen) if sensing else None
        size = sensing.size if sensing else seen.shape[1]
        # more is divergence, and never observed
        limit = float(mujoco.mjMAXVAL)
        self._set_spaces(np.full(len(self._low), action_scale, np.float32), -limit, limit, size)

    @property
    def parameters(self) -> np.ndarray:
        """Task values active at this step (N, D), a copy; a parameter that starts later is still at its default."""
        return self._active.copy()

    @property
    def begun(self) -> np.ndarray:
        """Which parameters are active at this step (N, D) bool, a copy."""
        return self._begun.copy()

    def change_tasks(self, tasks: Tasks) -> None:
        """Give simulation i the task tasks[i] at once, in mid-episode, and from its next resets on.

        Positions and velocities stay as they are; a parameter that starts at a step does so if that step has come.
        """
        self.set_tasks(tasks)
        if self._observation is not None:
            self._values = self._next_values.copy()
            self._apply_active(np.arange(self.num_envs))

    def state(self) -> np.ndarray:
        """Positions and velocities of all simulations, (N, nq + nv), a copy."""
        return np.concatenate([as_numpy(self._qpos), as_numpy(self._qvel)], axis=1)

    def model_of(self, i: int, model: mujoco.MjModel | None = None) -> mujoco.MjModel:
        """The model with simulation i's task in it, to render it or to pass it to any MuJoCo function.

        Written into model, one that this returned before, or into a new copy.
        """
        return self.batch.get_model(i, model)

    def data_of(self, i: int) -> mujoco.MjData:
        """Simulation i's state as an MjData; mj_forward with model_of(i) computes what derives from it."""
        return self.batch.get_data(i)

    def _seeded(self, ids: np.ndarray, seed: Seed) -> None:
        if self._latency_noise:
            self._latency_noise.seed(ids, [self._rngs[i] for i in ids])

    def _simulate(self, actions: np.ndarray, stepped: np.ndarray, restart: np.ndarray) -> Transition:
        ctrl = np.clip(actions * self._gain + self._bias, self._low, self._high)
        diverged = np.isnan(ctrl).any(axis=1) if np.isnan(ctrl.sum()) else None
        if self._schedule:
            self._apply_active(np.flatnonzero(self._schedule.due(self._values, self._elapsed) & stepped))
        if self._latency_noise:
            ctrl = self._latency_noise.command(ctrl, self._elapsed, self._active)
        sent, active = constant(ctrl, self._qpos), constant(self._active, self._qpos)
        before = self.family.before(self.batch)
        ids = None if stepped is self._everyone else np.flatnonzero(stepped)
        if ids is None or len(ids):
            with quiet():
                self.family.advance(self.batch, sent, ids)
        if restart is not self._nobody:
            self._restart(np.flatnonzero(restart))

        derived = self.family.derive(self.batch)
        observation = as_numpy(self.family.observe(self.batch, derived))
        rewards = self.family.reward_terms(self.batch, derived, before, sent, active)
        terms = {name: as_numpy(term) for name, term in rewards.items()}
        terminated = as_numpy(self.family.terminated(self.batch, active))
        solved = as_numpy(self.family.solved(self.batch, derived, active))
        limit = self.family.state_limit
        bad = beyond((observation, mujoco.mjMAXVAL), (as_numpy(self._qpos), limit), (as_numpy(self._qvel), limit))
        if diverged is not None or bad is not None or self._warnings.any():
            found = (mask for mask in (diverged, bad) if mask is not None)
            diverged = np.logical_or.reduce([self._warnings.any(axis=1), *found])
        if self._latency_noise:
            observation = self._latency_noise.step(observation, self._active, stepped, restart, self._arrived)
        if self._latency_noise or self._history:
            observation = self._arrive(observation, np.flatnonzero(stepped), np.flatnonzero(restart))
        return Transition(observation, terms, terminated, diverged, solved)

    def _discard(self, ids: np.ndarray) -> None:
        self.batch.reset(ids)

    def _begin(self, ids: np.ndarray) -> None:
        self._values[ids] = self._next_values[ids]
        self._apply_active(ids)
        self.batch.reset(ids, self.family.keyframe, int(mujoco.mjtStage.mjSTAGE_NONE))
        self._writer.place_mocap(self.batch, ids)
        if self._start is not None:
            self.batch.bind("ctrl")[ids] = self._start
        qpos, qvel = as_numpy(self._qpos[ids]), as_numpy(self._qvel[ids])
        self.family.reset_state([self._rngs[i] for i in ids], qpos, qvel)
        self._qpos[ids], self._qvel[ids] = qpos, qvel
        self.family.start_course(self.batch, ids, [self._rngs[i] for i in ids])
        if self._latency_noise:
            self._latency_noise.start(ids, self._taken(self.batch.bind("ctrl")[ids]))
        self.family.begin(self.batch, ids, self._active[ids])

    def _first(self, ids: np.ndarray) -> Array:
        observation = self._observe()
        if self._latency_noise:
            observation[ids] = self._latency_noise.observe(observation[ids], self._tasks, ids, None)
        if self._latency_noise or self._history:
            observation = self._arrive(observation, ids[:0], ids)
        return observation

    def _arrive(self, observation: Array, stepped: Array, begun: Array) -> Array:
        """What a policy sees (N, O) of observations (N, R) of simulations that made a step, or began an episode."""
        for ids in (stepped, begun):
            self._arrived[ids] = observation[ids]
        if self._history is None:
            return observation
        self._history.step(stepped, observation[stepped])
        self._history.start(begun, observation[begun])
        return self._history.read()

    def _apply_active(self, ids: np.ndarray) -> None:
        """Write what is active of the tasks of simulations ids (sorted) at their present step, where it is new."""
        self._begun[ids] = self._schedule.begun(self._values[ids], self._elapsed[ids])
        values = self._schedule.active(self._values[ids], self._begun[ids])
        new = (values != self._active[ids]).any(axis=1)
        if new.any():
            self._active[ids[new]] = values[new]
            self._writer.write(self.batch, ids[new], values[new])
            self.family.write(self.batch, ids[new], values[new])

    def _observe(self) -> Array:
        return self._taken(self.family.observe(self.batch, self.family.derive(self.batch)))

    @staticmethod
    def _taken(x: Array) -> Array:
        """An array of the simulator's as this environment has them."""
        return as_numpy(x)
