"""Reacher: a planar arm of two links whose fingertip must find a place that it is not shown.

    env = make("ReacherGoal", 200)                          # 8 observations, 0.02 s a step, H = 50
    env = make("ReacherGoal", 200, goal_visible=True)       # the 10 observations of Gymnasium's Reacher-v5
"""

from collections.abc import Sequence

import mujoco
import numpy as np

from ..arrays import Array, namespace, norm, squares
from ..observation import Observed, of_point, velocities
from ..simulator import Simulator
from ..task import TaskSpace
from .goal import disc, disc_position
from .gymnasium_robot import GymnasiumRobot, uniform

POSITION_NOISE, VELOCITY_NOISE = 0.1, 0.005  # rad, rad/s
CONTROL_COST = 1.0  # per squared unit of control
_ARM = 2  # joints of the arm, before those of the target


class ReacherGoal(GymnasiumRobot):
    """Reach a hidden place: r = -||fingertip - goal|| - sum(a^2); the goal is uniform over a disc of 0.2 m.

    goal_visible: observe the goal and the way to it, as Reacher-v5, instead of the fingertip: an upper bound on what
    adaptation can reach. The arm is 0.21 m long, so nothing lies beyond the disc to extrapolate to.
    """

    name = "ReacherGoal"
    mjcf = "reacher.xml"
    frame_skip = 2
    horizon = 50
    camera = "top"
    keyframe = 0  # holds the target of each simulation's task
    space = TaskSpace(name, disc(0.2))

    def __init__(self, goal_visible: bool = False):
        self.goal_visible = bool(goal_visible)

    def spec(self) -> mujoco.MjSpec:
        spec = super().spec()
        spec.worldbody.add_camera(name="top", pos=[0, 0, 0.8])
        spec.add_key(name="start", qpos=[0, 0, *disc_position(self.space.default().values)[0]])
        return spec

    def write(self, sim: Simulator, ids: np.ndarray, values: np.ndarray) -> None:
        sim.expand("key_qpos")[ids, 0, _ARM:] = disc_position(values)

    def reset_state(self, rngs: Sequence[np.random.Generator], qpos: np.ndarray, qvel: np.ndarray) -> None:
        qpos[:, :_ARM] += uniform(rngs, _ARM, POSITION_NOISE)
        qvel[:, :_ARM] += uniform(rngs, _ARM, VELOCITY_NOISE)

    def derive(self, sim: Simulator) -> tuple[Array, Array]:
        """Places (N, 3) of the fingertip and the target, one stage behind the state."""
        xpos = sim.bind("xpos")
        return xpos[:, sim.model.body("fingertip").id, :], xpos[:, sim.model.body("target").id, :]

    def observe(self, sim: Simulator, derived: tuple[Array, Array]) -> Array:
        qpos, velocity = sim.bind("qpos"), sim.bind("qvel")[:, :_ARM]
        xp, (tip, target) = namespace(qpos), derived
        angles = xp.cos(qpos[:, :_ARM]), xp.sin(qpos[:, :_ARM])
        if self.goal_visible:
            return xp.concat([*angles, qpos[:, _ARM:], velocity, (tip - target)[:, :2]], axis=1)
        return xp.concat([*angles, velocity, tip[:, :2]], axis=1)

    def observation_names(self) -> tuple[Observed, ...]:
        model = self.build()
        angles = tuple(
            Observed(f"joint{i} {name}", "1", f"joint joint{i}", f"{function}(qpos[{i}])")
            for name, function in (("cosine", "cos"), ("sine", "sin"))
            for i in range(_ARM)
        )
        tip = of_point(model, "fingertip", "xy")
        if not self.goal_visible:
            return (*angles, *velocities(model)[:_ARM], *tip)
        target = of_point(model, "target", "xy")
        goal = (
            Observed(f"target_{axis} position", "m", f"joint target_{axis}", f"qpos[{_ARM + i}]")
            for i, axis in enumerate("xy")
        )
        offset = (
            Observed(f"fingertip from target {axis}", "m", "body fingertip", f"{a.source} - {b.source}")
            for axis, a, b in zip("xy", tip, target, strict=True)
        )
        return (*angles, *goal, *velocities(model)[:_ARM], *offset)

    def reward_terms(self, sim, derived, qpos_before, ctrl, values):
        return {"distance": -norm(derived[0] - derived[1]), "control": -CONTROL_COST * squares(ctrl)}
