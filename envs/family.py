"""What a robot family must say of itself, as functions over arrays with a leading simulation axis N.

    class Hover(Family):
        name, horizon = "Hover", 200
        space = TaskSpace("Hover", (Parameter("height", "m", "where to hover", 1.0, "uniform", 0.5, 1.5),))

        def build(self): return mujoco.MjModel.from_xml_path("drone.xml")
        def observe(self, sim, derived):
            qpos, qvel = sim.bind("qpos"), sim.bind("qvel")
            return namespace(qpos).concat([qpos, qvel], axis=1)
        def reward_terms(self, sim, derived, qpos_before, ctrl, values):
            return {"height": -abs(sim.bind("qpos")[:, 2] - values[:, 0])}

    env = BatchEnv(Hover(), num_envs=64)

A parameter that says what it `writes` needs nothing else:

    Parameter("payload", "kg", "mass below", 0.0, "uniform", 0.0, 2.0, writes=Write("payload", "frame", at=(0, 0, -1)))

`sim` is a `Simulator`, such as a mujoco.batch.Batch: `sim.bind(name)` is a live (N, ...) view of a field of all
simulations. What is computed in every step (before, derive, observe, reward_terms, terminated) uses the Array API
standard, so that the arrays may be NumPy's or PyTorch's; what is written at a reset (write, reset_state) is NumPy's.

A family is a description and has no state: several environments may share one.
"""

import copy
from collections.abc import Sequence
from typing import Any

import mujoco
import numpy as np
from gymnasium.vector import VectorEnv
from mujoco.batch import Batch

from metarl.util.optional import Extra
from metarl.util.plugins import find

from .arrays import Array, namespace
from .observation import Observed
from .sensing import Sensing
from .simulator import Simulator
from .task import TaskSpace

# Ctrl-C is seen between calls of Batch.step only; so many physics steps take well under half a second on one core
_SUBSTEPS_PER_CALL = 20_000


class Family:
    """One robot, what varies about it, and its reward. Subclasses set the attributes and override what they need.

    Attributes:
        name: family name, the key in FAMILIES.
        batched: whether BatchEnv steps it, in a mujoco.batch.Batch; False for what brings an environment of its own.
        actuated: whether actions are controls of the model's actuators, so that a policy can be exported to a robot.
        space: TaskSpace of the family.
        frame_skip: physics steps per environment step.
        horizon: default episode length in environment steps.
        state_limit: positions and velocities (m, rad, m/s, rad/s) beyond it are divergence; MuJoCo's own limit, 1e10,
            lets a simulation that blows up pay rewards of 1e9 for a few steps.
        keyframe: keyframe of the model that episodes start from, before reset noise; -1 for qpos0 and zero controls.
        reset_stage: what is computed of the state that an episode begins with. A family that binds derived fields
            needs their stage, or they are those of the last episode; mjSTAGE_ACC is Gymnasium's mj_forward.
        step_stage: what is computed of the state after each step; at mjSTAGE_NONE derived fields are one physics step
            behind it, as after mj_step.
        persistent: keep an MjData for each simulation, for what only data_of can tell; see mujoco.batch.Batch.
        camera: name of the camera that SingleEnv renders with.
        extra: what must be installed besides metarl for build to work; None if nothing.
        sensing: what becomes of what observe returns before a policy sees it; None if that is what it sees.
        licence: under which the robot's model is published, by whom and where; None if the family does not say.
    """

    name: str
    space: TaskSpace
    batched: bool = True
    actuated: bool = True
    frame_skip: int = 1
    horizon: int = 100
    state_limit: float = 1e4
    keyframe: int = -1
    reset_stage: int = int(mujoco.mjtStage.mjSTAGE_NONE)
    step_stage: int = int(mujoco.mjtStage.mjSTAGE_NONE)
    persistent: bool = False
    camera: str
    extra: Extra | None = None
    sensing: Sensing | None = None
    licence: str | None = None

    def make_env(self, num_envs: int, *, tensors: bool = False, **settings: Any) -> VectorEnv:
        """num_envs simulations, a task each: a BatchEnv, whose settings these are; with `tensors` a TensorEnv."""
        kind = "metarl.envs.warp.tensor_env:TensorEnv" if tensors else "metarl.envs.batch_env:BatchEnv"
        return find(kind)(self, num_envs, **settings)

    def build(self) -> mujoco.MjModel:
        """The model of the default task."""
        raise NotImplementedError

    def control_range(self, model: mujoco.MjModel) -> tuple[np.ndarray, np.ndarray]:
        """Controls (A,) that actions -1 and 1 stand for at action_scale 1.

        The actuators' ctrlrange; for position servos, which have their whole joint range there, better a range around
        the pose at which the robot works.
        """
        low, high = model.actuator_ctrlrange.T.copy()
        return low, high

    def control_limits(self, model: mujoco.MjModel) -> tuple[np.ndarray, np.ndarray]:
        """Least and greatest controls (A,), which all controls are clipped to; control_range if not overridden."""
        return self.control_range(model)

    def start_controls(self, model: mujoco.MjModel) -> np.ndarray | None:
        """Controls (A,) in force when an episode begins, before its first action; the keyframe's if None."""

    def write(self, sim: Simulator, ids: np.ndarray, values: np.ndarray) -> None:
        """Write into simulations ids (n,) what the parameters of tasks values (n, D) do not say that they write.

        Nothing if not overridden: the environment has applied each parameter's `writes` before.
        """

    def reset_state(self, rngs: Sequence[np.random.Generator], qpos: np.ndarray, qvel: np.ndarray) -> None:
        """Add reset noise in place to qpos (n, nq) and qvel (n, nv), one generator a row."""

    def start_course(self, sim: Simulator, ids: np.ndarray, rngs: Sequence[np.random.Generator]) -> None:
        """Write what else the state of an episode begins with, in `userdata`, into simulations ids (n,)."""

    def begin(self, sim: Simulator, ids: np.ndarray, values: np.ndarray) -> None:
        """What else an episode of simulations ids (n,) in tasks values (n, D) begins with, after reset_state.

        Computes reset_stage of the state if not overridden.
        """
        if self.reset_stage:
            sim.forward(ids, self.reset_stage)

    def before(self, sim: Simulator) -> Array:
        """What the reward needs of the state before a step, a new array; the positions (N, nq) if not overridden."""
        qpos = sim.bind("qpos")
        return namespace(qpos).asarray(qpos, copy=True)

    def command(self, sim: Simulator, ctrl: Array, ids: np.ndarray | None) -> None:
        """Give simulations ids (all if None) the controls ctrl (N, A) for their next step."""
        sim.bind("ctrl")[...] = ctrl

    def advance(self, sim: Simulator, ctrl: Array, ids: np.ndarray | None) -> None:
        """One environment step of simulations ids (all if None) under controls ctrl (N, A)."""
        self.command(sim, ctrl, ids)
        chunk = max(1, _SUBSTEPS_PER_CALL // self.frame_skip)
        if sim.nsim <= chunk or not isinstance(sim, Batch):
            sim.step(ids, nstep=self.frame_skip, stage=self.step_stage)
            return
        ids = np.arange(sim.nsim) if ids is None else ids
        for start in range(0, len(ids), chunk):
            sim.step(ids[start : start + chunk], nstep=self.frame_skip, stage=self.step_stage)

    def derive(self, sim: Simulator) -> Any:
        """What both observation and reward need of the present state, computed once a step."""

    def observe(self, sim: Simulator, derived: Any) -> Array:
        """Observations (N, O) float64, a new array; without noise and what else `sensing` adds."""
        raise NotImplementedError

    def observation_names(self) -> tuple[Observed, ...]:
        """What each of the O numbers of an observation is; empty if the family does not say."""
        return ()

    def sensed_names(self) -> tuple[Observed, ...]:
        """What each number is that `observe` returns, of a family with `sensing`; empty if it does not say."""
        return ()

    def reward_terms(
        self, sim: Simulator, derived: Any, qpos_before: Array, ctrl: Array, values: Array
    ) -> dict[str, Array]:
        """Named terms (N,) whose sum is the reward of the step from qpos_before, what before() returned, to now.

        ctrl (N, A) are the controls after clipping to control_limits, values (N, D) the tasks.
        """
        raise NotImplementedError

    def terminated(self, sim: Simulator, values: Array) -> Array | None:
        """Which simulations have ended by themselves, (N,) bool; None if episodes of this family never do."""
        return None

    def solved(self, sim: Simulator, derived: Any, values: Array) -> Array | None:
        """In which simulations the task is done at this step, (N,) bool; None if this family does not say."""
        return None


def endless(family: Family) -> Family:
    """A copy of a family whose episodes never end by themselves, for what looks at the physics alone."""
    copied = copy.copy(family)

    def never(sim: Simulator, values: Array) -> None:
        family.terminated(sim, values)  # costs what it does elsewhere

    copied.terminated = never
    return copied
