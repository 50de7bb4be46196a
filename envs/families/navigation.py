"""Navigation2D: a point that must go to a goal it is not told, MAML's first task, and two harder relatives.

    env = make("Navigation2D", 400)                       # actions in [-1, 1] move by up to 0.1 m
    env = make("Navigation2D", 400, action_scale=0.1)     # actions are the displacement itself, as in MAML's code
    env = make("Navigation2DSparse", 400)                 # no reward farther than 0.2 m from the goal, as PEARL's
    env = make("Navigation2DWind", 400)                   # the goal is fixed and a wind blows, as pomdp-baselines'

The point starts at the origin and moves by its action, at most 0.1 m a step on each axis. The MuJoCo model is there to
be seen: two slide joints and a marker for the goal; no physics is computed.
"""

import math

import mujoco
import numpy as np

from ..arrays import Array, constant, flag, namespace
from ..family import Family
from ..observation import Observed, positions
from ..parameter import Parameter
from ..simulator import Simulator
from ..task import TaskSpace

_MJCF = """
<mujoco model="navigation2d">
  <option timestep="0.1" gravity="0 0 0"/>
  <visual><global offwidth="640" offheight="480"/></visual>
  <asset>
    <texture name="grid" type="2d" builtin="checker" width="100" height="100" rgb1=".42 .45 .5" rgb2=".5 .53 .58"/>
    <material name="grid" texture="grid" texrepeat="10 10"/>
  </asset>
  <worldbody>
    <light pos="0 0 3" dir="0 0 -1" directional="true" diffuse=".5 .5 .5" specular="0 0 0"/>
    <camera name="track" pos="0 0 2.4"/>
    <geom name="floor" type="plane" size="1 1 .1" material="grid" contype="0" conaffinity="0"/>
    <site name="goal" type="cylinder" pos="0 0 .01" size=".03 .005" rgba=".1 .7 .2 .8"/>
    <body name="point" pos="0 0 .03">
      <joint name="x" type="slide" axis="1 0 0"/>
      <joint name="y" type="slide" axis="0 1 0"/>
      <geom type="sphere" size=".03" rgba=".8 .2 .2 1" contype="0" conaffinity="0"/>
    </body>
  </worldbody>
  <actuator>
    <general name="x" joint="x" ctrllimited="true" ctrlrange="-.1 .1"/>
    <general name="y" joint="y" ctrllimited="true" ctrlrange="-.1 .1"/>
  </actuator>
</mujoco>
"""


def _goal(axis: str) -> Parameter:
    return Parameter(f"goal_{axis}", "m", f"{axis} coordinate of the goal", 0.25, "uniform", -0.5, 0.5,
                     extrapolation=((-0.75, -0.5), (0.5, 0.75)))


class Navigation(Family):
    """What all points share: they move by their control and observe where they are."""

    licence = "Apache-2.0; metarl"
    horizon = 100
    camera = "track"
    goal_radius = 0.03  # m, of the marker
    floor = 1.0  # m from the origin to its edges
    camera_height = 2.4  # m

    def build(self) -> mujoco.MjModel:
        model = mujoco.MjModel.from_xml_string(_MJCF)
        model.site("goal").pos[:2] = self.goal(self.space.default().values)[0]
        model.site("goal").size[0] = self.goal_radius
        model.geom("floor").size[:2] = self.floor
        model.camera("track").pos[2] = self.camera_height
        return model

    def goal(self, values: Array) -> Array:
        """Position (n, 2) m of the goal of tasks values (n, D), or (1, 2) if it is the same in all."""
        return values

    def write(self, sim: Simulator, ids: np.ndarray, values: np.ndarray) -> None:
        # only the picture needs it: the reward is computed from the values
        sim.expand("site_pos")[ids, 0, :2] = self.goal(values)

    def advance(self, sim: Simulator, ctrl: Array, ids: np.ndarray | None) -> None:
        qpos = sim.bind("qpos")
        if ids is None:
            qpos += ctrl
        else:
            qpos[ids] += ctrl[ids]

    def observe(self, sim: Simulator, derived: None) -> Array:
        return self.before(sim)

    def observation_names(self) -> tuple[Observed, ...]:
        return positions(self.build())

    def distance(self, sim: Simulator, values: Array) -> Array:
        """Distance to the goal in m, (N,)."""
        offset = sim.bind("qpos") - self.goal(values)
        xp = namespace(offset)
        return xp.sqrt(xp.square(offset[:, 0]) + xp.square(offset[:, 1]))


class Navigation2D(Navigation):
    """Go to a hidden goal in the plane: r = -||position - goal||; an episode ends within 0.01 m of it on both axes."""

    name = "Navigation2D"
    reached = 0.01  # m, on each axis

    space = TaskSpace(name, (_goal("x"), _goal("y")))

    def reward_terms(self, sim, derived, qpos_before, ctrl, values):
        return {"distance": -self.distance(sim, values)}

    def terminated(self, sim: Simulator, values: Array) -> Array:
        qpos = sim.bind("qpos")
        return namespace(qpos).all(abs(qpos - values) < self.reached, axis=1)


class Navigation2DSparse(Navigation):
    """Find a hidden goal on a half-circle of 1 m: r = 1 - ||position - goal|| within 0.2 m of it, and 0 elsewhere.

    Extrapolation tasks are on the other half of the circle.
    """

    name = "Navigation2DSparse"
    goal_radius = 0.2  # m, within which there is a reward
    floor, camera_height = 1.4, 3.2

    space = TaskSpace(name, (
        Parameter("goal_angle", "rad", "direction of the goal, from x towards y", math.pi / 2, "uniform", 0.0, math.pi,
                  extrapolation=((-math.pi / 2, 0.0), (math.pi, 1.5 * math.pi))),
    ))

    def goal(self, values: Array) -> Array:
        xp = namespace(values)
        return xp.stack([xp.cos(values[:, 0]), xp.sin(values[:, 0])], axis=1)

    def reward_terms(self, sim, derived, qpos_before, ctrl, values):
        distance = self.distance(sim, values)
        xp = namespace(distance)
        return {"near": xp.where(distance <= self.goal_radius, 1.0 - distance, xp.zeros_like(distance))}


class Navigation2DWind(Navigation):
    """Go to (0, 1) m against a hidden wind that moves the point, and stay: r = 1 within 0.03 m, and 0 elsewhere.

    Tasks differ in what an action does, not in the reward. The strongest winds of training take 0.8 of the point's own
    speed of 1 m/s; those of extrapolation take more, and leave enough to reach the goal in time.
    """

    name = "Navigation2DWind"
    horizon = 75
    floor, camera_height = 1.4, 3.2

    space = TaskSpace(name, (
        Parameter("wind_x", "m/s", "wind along x", 0.0, "uniform", -0.8, 0.8,
                  extrapolation=((-0.95, -0.8), (0.8, 0.95))),
        Parameter("wind_y", "m/s", "wind along y", 0.0, "uniform", -0.8, 0.8,
                  extrapolation=((-0.85, -0.8), (0.8, 0.95))),
    ))

    def goal(self, values: Array) -> Array:
        return constant(np.array([[0.0, 1.0]]), values)  # of all

    def write(self, sim: Simulator, ids: np.ndarray, values: np.ndarray) -> None:
        super().write(sim, ids, values)
        sim.expand("opt.wind")[ids, :2] = values

    def advance(self, sim: Simulator, ctrl: Array, ids: np.ndarray | None) -> None:
        drift = sim.model.opt.timestep * sim.expand("opt.wind")[:, :2]
        super().advance(sim, ctrl + drift, ids)

    def reward_terms(self, sim, derived, qpos_before, ctrl, values):
        return {"reached": flag(self.distance(sim, values) <= self.goal_radius, values)}
