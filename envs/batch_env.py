"""Many simulations of one robot, one task each: the only stepping code of the environments.

    env = BatchEnv(HalfCheetahDir(), num_envs=800)                           # or make("HalfCheetahDir", 800)
    env.set_tasks(env.space.sample(40, "train", np.random.default_rng(0)).repeat(20))
    observation, _ = env.reset(seed=0)                                       # (800, 17)
    observation, reward, terminated, truncated, info = env.step(actions)     # actions (800, 6)
    info["reward_terms"]["forward"], info["diverged"]                        # (800,) each

Simulations run in `mujoco.batch.Batch`: bit-identical to a loop over single ones at any number of threads. A
`Family` is one robot with its reward, as functions over arrays with a leading simulation axis; this module adds what
all share: tasks, random streams, action scaling, horizons, autoreset, and the handling of diverged physics.

Parameters of a family may become active mid-episode (`Parameter.onset`) or lie between policy and robot
(`SensorActuatorModel`): both cost nothing where no parameter asks for them.

Diverged physics (MuJoCo silently resets such a simulation; or a state beyond the family's limit; or a NaN action) ends
that episode: terminated and info["diverged"] are true, the reward is 0, the observation is the last good one, and the
simulation is reset. The others do not notice.
"""

import os
from typing import Any

import gymnasium
import mujoco
import numpy as np
from gymnasium.vector import AutoresetMode
from mujoco.batch import Batch

from metarl.util.rng import Seed

from .autoreset import final_info, who_steps
from .divergence import BAD_STATE, without_lines
from .family import Family
from .task import Tasks
from .task_env import TaskVectorEnv
from .variation.latency_noise import SensorActuatorModel
from .variation.schedule import Schedule


class BatchEnv(TaskVectorEnv):
    """A Gymnasium VectorEnv of one family with a task per simulation.

    Args:
        family: the robot, what varies about it and its reward.
        num_envs: number of simulations N.
        horizon: episode length in steps; the family's own if None.
        action_scale: actions in [-action_scale, action_scale] map linearly to the family's control_range, by default
            that of the actuators, and are clipped there.
        autoreset_mode: Gymnasium's (`metarl.envs.autoreset`); with DISABLED a finished simulation rests until reset.
        num_threads: physics threads, 0 for all cores. Results do not depend on it.
        step_finished: with DISABLED, step finished simulations on instead, for comparisons past the end of an episode.

    Attributes:
        batch: the simulations, a mujoco.batch.Batch; to read, or to replay recorded states in.
        model: the model of the default task.
        dt: seconds per environment step.
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
        step_finished: bool = False,
    ):
        super().__init__(family, num_envs, horizon, action_scale, autoreset_mode, num_threads)
        self.model = family.build()
        self.batch = Batch(self.model, num_envs, 1 if num_envs == 1 else num_threads, family.persistent)
        self._process = os.getpid()
        self.dt = self.model.opt.timestep * family.frame_skip
        self._qpos, self._qvel = self.batch.bind("qpos"), self.batch.bind("qvel")
        self._warnings = self.batch.warning[:, BAD_STATE, 1]
        self._low, self._high = family.control_range(self.model)
        if not (self._low < self._high).all():
            names = [self.model.actuator(int(i)).name for i in np.flatnonzero(self._low >= self._high)]
            raise ValueError(f"{family.name}: actuators {names} have no ctrlrange for actions to be mapped to")
        self._gain = 0.5 * (self._high - self._low) / action_scale
        self._bias = 0.5 * (self._high + self._low)
        self._written = self._values.copy()  # (N, D), what is not active yet at its default
        self._schedule = Schedule(self.space)
        family.writer(self.model)  # refuses what the model does not have, before the first task
        self._step_finished = step_finished

        size = self._observe().shape[1]
        idle = np.clip(self._bias, self._low, self._high)
        self._channel = None
        if SensorActuatorModel.needed(self.space):
            self._channel = SensorActuatorModel(self.space, size, idle, num_envs)
        # more is divergence, and never observed
        limit = float(mujoco.mjMAXVAL)
        self._set_spaces(np.full(self.model.nu, action_scale, np.float32), -limit, limit, size)

    @property
    def parameters(self) -> np.ndarray:
        """(N, D), the tasks as they stand at this step: what becomes active later is still at its default. A copy."""
        return self._written.copy()

    def change_tasks(self, tasks: Tasks) -> None:
        """Give simulation i the task tasks[i] at once, in mid-episode, and from its next resets on.

        Positions and velocities stay as they are; a parameter that becomes active at a step is, if that step has come.
        """
        self.set_tasks(tasks)
        if self._observation is not None:
            self._values = self._next_values.copy()
            self._apply_active(np.arange(self.num_envs))

    def state(self) -> np.ndarray:
        """Positions and velocities of all simulations, (N, nq + nv), a copy."""
        return np.concatenate([self._qpos, self._qvel], axis=1)

    def model_of(self, i: int, model: mujoco.MjModel | None = None) -> mujoco.MjModel:
        """The model with simulation i's task in it, to render it or to pass it to any MuJoCo function.

        Written into model, one that this returned before, or into a new copy.
        """
        return self.batch.get_model(i, model)

    def data_of(self, i: int) -> mujoco.MjData:
        """Simulation i's state as an MjData; mj_forward with model_of(i) computes what derives from it."""
        return self.batch.get_data(i)

    def reset(
        self,
        *,
        seed: Seed = None,
        options: dict[str, Any] | None = None,
    ) -> tuple[np.ndarray, dict[str, Any]]:
        """Start new episodes.

        Args:
            seed: new random streams, see `streams`; None goes on with the present ones.
            options: "tasks": as set_tasks; "reset_mask": (N,) bool, the simulations to reset.
        """
        ids = self._resets(seed, options)
        self._restart(ids)
        self._ended[ids] = False
        fresh = self._first_observation(self._observe(), ids)
        if len(ids) < self.num_envs:
            self._observation[ids] = fresh[ids]
        else:
            self._observation = fresh
        return self._observation.copy(), {}

    def _seeded(self, ids: np.ndarray, seed: Seed) -> None:
        if self._channel:
            self._channel.seed(ids, [self._rngs[i] for i in ids])

    def step(self, actions: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, dict[str, Any]]:
        """One environment step of every simulation; actions (N, A)."""
        if self._observation is None:
            raise gymnasium.error.ResetNeeded("call reset() before step()")
        if os.getpid() != self._process:
            raise RuntimeError("this BatchEnv was made in another process and would hang in this one; make it here")
        actions = np.asarray(actions, np.float64)
        if actions.shape != (self.num_envs, self.model.nu):
            raise ValueError(f"actions must have shape ({self.num_envs}, {self.model.nu}), got {actions.shape}")
        ctrl = np.clip(actions * self._gain + self._bias, self._low, self._high)
        diverged = np.isnan(ctrl).any(axis=1) if np.isnan(ctrl.sum()) else np.zeros(self.num_envs, bool)

        ended_before = np.zeros_like(self._ended) if self._step_finished else self._ended
        stepped, restart = who_steps(self.autoreset_mode, ended_before)
        if self._schedule:
            self._apply_active(np.flatnonzero(self._schedule.due(self._values, self._elapsed) & stepped))
        if self._channel:
            ctrl = self._channel.command(ctrl, self._elapsed, self._written)
        before = self.family.before(self.batch)
        if stepped.any():
            with without_lines():
                self.family.advance(self.batch, ctrl, None if stepped.all() else np.flatnonzero(stepped))
        if restart.any():
            self._restart(np.flatnonzero(restart))
        self._elapsed += stepped

        derived = self.family.derive(self.batch)
        observation = self.family.observe(self.batch, derived)
        terms = self.family.reward_terms(self.batch, derived, before, ctrl, self._written)
        terminated = self.family.terminated(self.batch, self._written)
        terminated = np.zeros(self.num_envs, bool) if terminated is None else terminated & stepped
        truncated = (self._elapsed >= self.horizon) & stepped
        if self._warnings.any():
            diverged |= self._warnings.any(axis=1)
        limit = self.family.state_limit
        for array, bound in ((observation, mujoco.mjMAXVAL), (self._qpos, limit), (self._qvel, limit)):
            if not np.abs(array).max() <= bound:  # NaN is not
                diverged |= ~(np.abs(array).max(axis=1) <= bound)
        diverged &= stepped
        if self._channel:
            observation = self._pass_on(observation, stepped, restart)
        resting = ~(stepped | restart)
        if diverged.any() or resting.any():
            observation[diverged | resting] = self._observation[diverged | resting]
        if diverged.any():
            terminated, truncated = terminated | diverged, truncated & ~diverged
            self.batch.reset(np.flatnonzero(diverged))
        counted = stepped & ~diverged
        if not counted.all():
            terms = _only(terms, counted)
        reward = sum(terms.values())
        if not np.isfinite(reward.sum()):
            self._refuse_reward(terms)

        ended = terminated | truncated
        info = self._info(terms, diverged, stepped)
        if self.autoreset_mode is AutoresetMode.SAME_STEP and ended.any():
            info |= final_info(observation, lambda mask: self._info(_only(terms, mask), diverged & mask, mask), ended)
            restarted = np.flatnonzero(ended)
            self._restart(restarted)
            observation = np.where(ended[:, None], self._first_observation(self._observe(), restarted), observation)
        self._ended = ended | resting
        self._observation = observation
        return observation.copy(), reward, terminated, truncated, info

    def _restart(self, ids: np.ndarray) -> None:
        """Put simulations ids (sorted) at the start of an episode of their next task."""
        self._values[ids] = self._next_values[ids]
        self._elapsed[ids] = 0
        self._apply_active(ids)
        if self._channel:
            self._channel.start(ids)
        self.batch.reset(ids, self.family.keyframe, int(mujoco.mjtStage.mjSTAGE_NONE))
        qpos, qvel = self._qpos[ids], self._qvel[ids]
        self.family.reset_state([self._rngs[i] for i in ids], qpos, qvel)
        self._qpos[ids], self._qvel[ids] = qpos, qvel
        if self.family.reset_stage:
            self.batch.forward(ids, self.family.reset_stage)

    def _apply_active(self, ids: np.ndarray) -> None:
        """Write what is in force of the tasks of simulations ids (sorted) at their present step, where it is new."""
        values = self._schedule.active(self._values[ids], self._elapsed[ids])
        new = (values != self._written[ids]).any(axis=1)
        if new.any():
            self._written[ids[new]] = values[new]
            self.family.write(self.batch, ids[new], values[new])

    def _first_observation(self, observation: np.ndarray, ids: np.ndarray) -> np.ndarray:
        """Observations (N, O) of which those of simulations ids, which begin an episode, pass through the channel."""
        if self._channel:
            observation[ids] = self._channel.observe(observation[ids], self._written, ids, None)
        return observation

    def _pass_on(self, observation: np.ndarray, stepped: np.ndarray, restarted: np.ndarray) -> np.ndarray:
        """The observations (N, O) of this step through the channel."""
        ids = np.flatnonzero(stepped)
        observation[ids] = self._channel.observe(observation[ids], self._written, ids, self._observation[ids])
        return self._first_observation(observation, np.flatnonzero(restarted))

    def _observe(self) -> np.ndarray:
        return self.family.observe(self.batch, self.family.derive(self.batch))

    def _info(self, terms: dict[str, np.ndarray], diverged: np.ndarray, mask: np.ndarray) -> dict[str, Any]:
        """Gymnasium's vector info: each key with a mask _key of the simulations it holds for."""
        nested = dict(terms) | {f"_{name}": mask for name in terms}
        return {"reward_terms": nested, "_reward_terms": mask, "diverged": diverged, "_diverged": mask}

    def _refuse_reward(self, terms: dict[str, np.ndarray]) -> None:
        for name, term in terms.items():
            if not np.isfinite(term).all():
                i = int(np.flatnonzero(~np.isfinite(term))[0])
                raise ValueError(
                    f"{self.family.name}: reward term {name!r} of simulation {i} is {term[i]} though its physics is"
                    f" finite (task {self.tasks.describe(i)}); correct the family's reward"
                )
        raise ValueError(f"{self.family.name}: the reward terms {sorted(terms)} are finite, but their sum is not")


def _only(terms: dict[str, np.ndarray], mask: np.ndarray) -> dict[str, np.ndarray]:
    return {name: np.where(mask, term, 0.0) for name, term in terms.items()}
