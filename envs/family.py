"""What a robot family must say of itself, as functions over arrays with a leading simulation axis N.

    class Hover(Family):
        name, horizon = "Hover", 200
        space = TaskSpace("Hover", (Parameter("height", "m", "where to hover", 1.0, "uniform", 0.5, 1.5),))

        def build(self): return mujoco.MjModel.from_xml_path("drone.xml")
        def observe(self, batch, derived): return np.concatenate([batch.bind("qpos"), batch.bind("qvel")], axis=1)
        def reward_terms(self, batch, derived, qpos_before, ctrl, values):
            return {"height": -np.abs(batch.bind("qpos")[:, 2] - values[:, 0])}

    env = BatchEnv(Hover(), num_envs=64)

A parameter that says what it `writes` needs nothing else:

    Parameter("payload", "kg", "mass below", 0.0, "uniform", 0.0, 2.0, writes=Write("payload", "frame", at=(0, 0, -1)))

`batch.bind(name)` is a live (N, ...) view of a field of all simulations: a write to a state field is the simulation's
state at its next call; derived fields (sensordata, xpos, ...) are refreshed by every call. See `mujoco/batch.py`.
"""

from collections.abc import Sequence
from typing import Any

import mujoco
import numpy as np
from mujoco.batch import Batch

from metarl.util.optional import Extra

from .observation import Observed
from .task import TaskSpace
from .variation.write import Writer

# Ctrl-C is seen between calls of Batch.step only; so many physics steps take well under half a second on one core
_SUBSTEPS_PER_CALL = 20_000


class Family:
    """One robot, what varies about it, and its reward. Subclasses set the attributes and override what they need.

    Attributes:
        name: family name, under which it is registered.
        space: TaskSpace of the family.
        frame_skip: physics steps per environment step.
        horizon: default episode length in environment steps.
        state_limit: positions and velocities (m, rad, m/s, rad/s) beyond it are divergence; MuJoCo's own limit, 1e10,
            lets a simulation that blows up pay rewards of 1e9 for a few steps.
        keyframe: keyframe of the model that episodes start from, before reset noise; -1 for qpos0 and zero controls.
        reset_stage: what is computed of the state that an episode begins with. A family that binds derived fields
            needs their stage, or they are those of the last episode; mjSTAGE_ACC is Gymnasium's mj_forward.
        persistent: keep an MjData for each simulation, for what only data_of can tell; see mujoco.batch.Batch.
        camera: name of the camera that SingleEnv renders with.
        extra: what must be installed besides metarl for build to work; None if nothing.
        env_class: "module:Class" of what steps its simulations, a `TaskVectorEnv`.
    """

    name: str
    space: TaskSpace
    frame_skip: int = 1
    horizon: int = 100
    state_limit: float = 1e4
    keyframe: int = -1
    reset_stage: int = int(mujoco.mjtStage.mjSTAGE_NONE)
    persistent: bool = False
    camera: str
    extra: Extra | None = None
    env_class: str = "metarl.envs.batch_env:BatchEnv"

    def build(self) -> mujoco.MjModel:
        """The model of the default task."""
        raise NotImplementedError

    def control_range(self, model: mujoco.MjModel) -> tuple[np.ndarray, np.ndarray]:
        """Controls (A,) that actions -1 and 1 stand for at action_scale 1, which all controls are clipped to.

        The actuators' ctrlrange; for position servos, which have their whole joint range there, better a range around
        the pose at which the robot works.
        """
        low, high = model.actuator_ctrlrange.T.copy()
        return low, high

    def writer(self, model: mujoco.MjModel) -> Writer:
        """What applies the parameters that declare what they write, to simulations of model, one that build made."""
        if "_writer" not in vars(self):
            self._writer = Writer(self.space, model)
        return self._writer

    def write(self, batch: Batch, ids: np.ndarray, values: np.ndarray) -> None:
        """Write the tasks values (n, D) into simulations ids (n,): what the parameters declare, nothing for a goal."""
        self.writer(batch.model).write(batch, ids, values)

    def reset_state(self, rngs: Sequence[np.random.Generator], qpos: np.ndarray, qvel: np.ndarray) -> None:
        """Add reset noise in place to qpos (n, nq) and qvel (n, nv), one generator a row."""

    def before(self, batch: Batch) -> np.ndarray:
        """What the reward needs of the state before a step, a new array; the positions (N, nq) if not overridden."""
        return batch.bind("qpos").copy()

    def advance(self, batch: Batch, ctrl: np.ndarray, ids: np.ndarray | None) -> None:
        """One environment step of simulations ids (all if None) under controls ctrl (N, A)."""
        batch.bind("ctrl")[:] = ctrl
        chunk = max(1, _SUBSTEPS_PER_CALL // self.frame_skip)
        if batch.nsim <= chunk:
            batch.step(ids, nstep=self.frame_skip)
            return
        ids = np.arange(batch.nsim) if ids is None else ids
        for start in range(0, len(ids), chunk):
            batch.step(ids[start : start + chunk], nstep=self.frame_skip)

    def derive(self, batch: Batch) -> Any:
        """What both observation and reward need of the present state, computed once a step."""

    def observe(self, batch: Batch, derived: Any) -> np.ndarray:
        """Observations (N, O) float64, a new array."""
        raise NotImplementedError

    def observation_names(self) -> tuple[Observed, ...]:
        """What each of the O numbers of an observation is; empty if the family does not say."""
        return ()

    def reward_terms(
        self, batch: Batch, derived: Any, qpos_before: np.ndarray, ctrl: np.ndarray, values: np.ndarray
    ) -> dict[str, np.ndarray]:
        """Named terms (N,) whose sum is the reward of the step from qpos_before, what before() returned, to now.

        ctrl (N, A) are the controls after clipping to control_range, values (N, D) the tasks.
        """
        raise NotImplementedError

    def terminated(self, batch: Batch, values: np.ndarray) -> np.ndarray | None:
        """Which simulations have ended by themselves, (N,) bool; None if episodes of this family never do."""
        return None
