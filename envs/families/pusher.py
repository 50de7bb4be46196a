"""Pusher: an arm of seven joints that pushes a cylinder across a table to a place that it is not shown.

    env = make("PusherGoal", 200)                           # 20 observations, 0.05 s a step, H = 100
    env = make("PusherGoal", 200, goal_visible=True)        # the 23 observations of Gymnasium's Pusher-v5
"""

from collections.abc import Sequence

import mujoco
import numpy as np

from ..arrays import Array, namespace, norm, squares
from ..observation import Observed, of_point, positions, velocities
from ..parameter import Parameter
from ..simulator import Simulator
from ..task import TaskSpace
from .gymnasium_robot import GymnasiumRobot, uniform

VELOCITY_NOISE = 0.005  # rad/s, of the arm
NEAR_REWARD, DISTANCE_REWARD = 0.5, 1.0  # per m, from the arm's tip to the object and from there to the goal
CONTROL_COST = 0.1  # per squared unit of control
LEAST_WAY = 0.17  # m, from the object's place at the start to the goal
GOAL_AT_REST = (0.45, -0.05)  # m, x and y of the goal where its joints are at 0
_OBJECT_LOW, _OBJECT_HIGH = np.array([-0.3, -0.2]), np.array([0.0, 0.2])  # m, the object's slides y and x
_BODIES = ("tips_arm", "object", "goal")
_ARM = 7  # joints of the arm, before the slides y and x of the object and those of the goal


class PusherGoal(GymnasiumRobot):
    """Push to a hidden place: r = -0.5 * ||object - tip|| - ||object - goal|| - 0.1 * sum(a^2).

    The goal is uniform over 0.4 m x 0.2 m around the one of Gymnasium's Pusher-v5, where it is the same for ever; the
    object starts at least 0.17 m from it, as there. goal_visible: observe the goal too, as Pusher-v5.
    """

    name = "PusherGoal"
    mjcf = "pusher_v5.xml"
    frame_skip = 5
    horizon = 100
    camera = "top"
    keyframe = 0  # holds the goal of each simulation's task
    space = TaskSpace(name, (
        Parameter("goal_x", "m", "x coordinate of the goal", GOAL_AT_REST[0], "uniform", 0.25, 0.65,
                  extrapolation=((0.15, 0.25), (0.65, 0.75))),
        Parameter("goal_y", "m", "y coordinate of the goal", GOAL_AT_REST[1], "uniform", -0.15, 0.05,
                  extrapolation=((-0.2, -0.15), (0.05, 0.1))),
    ))

    def __init__(self, goal_visible: bool = False):
        self.goal_visible = bool(goal_visible)

    def spec(self) -> mujoco.MjSpec:
        spec = super().spec()
        spec.worldbody.add_camera(name="top", pos=[0.35, -0.3, 1.5])
        spec.add_key(name="start", qpos=np.zeros(_ARM + 4))
        return spec

    def write(self, sim: Simulator, ids: np.ndarray, values: np.ndarray) -> None:
        sim.expand("key_qpos")[ids, 0, _ARM + 2 :] = (values - GOAL_AT_REST)[:, ::-1]

    def reset_state(self, rngs: Sequence[np.random.Generator], qpos: np.ndarray, qvel: np.ndarray) -> None:
        for rng, row in zip(rngs, qpos, strict=True):
            start, goal = row[_ARM : _ARM + 2], row[_ARM + 2 :]
            start[:] = rng.uniform(_OBJECT_LOW, _OBJECT_HIGH)
            while np.hypot(*(start - goal)) <= LEAST_WAY:
                start[:] = rng.uniform(_OBJECT_LOW, _OBJECT_HIGH)
        qvel[:, :_ARM] += uniform(rngs, _ARM, VELOCITY_NOISE)

    def derive(self, sim: Simulator) -> tuple[Array, Array, Array]:
        """Places (N, 3) of the arm's tip, the object and the goal, one stage behind the state."""
        xpos = sim.bind("xpos")
        tip, thing, goal = (xpos[:, sim.model.body(name).id, :] for name in _BODIES)
        return tip, thing, goal

    def observe(self, sim: Simulator, derived: tuple[Array, Array, Array]) -> Array:
        places = derived[: 3 if self.goal_visible else 2]
        qpos, qvel = sim.bind("qpos"), sim.bind("qvel")
        return namespace(qpos).concat([qpos[:, :_ARM], qvel[:, :_ARM], *places], axis=1)

    def observation_names(self) -> tuple[Observed, ...]:
        model = self.build()
        places = _BODIES[: 3 if self.goal_visible else 2]
        return (
            *positions(model)[:_ARM],
            *velocities(model)[:_ARM],
            *(entry for place in places for entry in of_point(model, place)),
        )

    def reward_terms(self, sim, derived, qpos_before, ctrl, values):
        tip, thing, goal = derived
        return {
            "near": -NEAR_REWARD * norm(thing - tip),
            "distance": -DISTANCE_REWARD * norm(thing - goal),
            "control": -CONTROL_COST * squares(ctrl),
        }
