"""Navigation2D: a point that must go to a goal it is not told, MAML's first task.

    env = make("Navigation2D", 400)                       # actions in [-1, 1] move by up to 0.1 m
    env = make("Navigation2D", 400, action_scale=0.1)     # actions are the displacement itself, as in MAML's code

The point starts at the origin and moves by its action, at most 0.1 m a step on each axis; the reward is minus the
distance to the goal; the episode ends within 0.01 m of it on both axes. The MuJoCo model is there to be seen: two slide
joints and a marker for the goal; no physics is computed.
"""

import mujoco
import numpy as np
from mujoco.batch import Batch

from .family import Family
from .parameter import Parameter
from .task import TaskSpace

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


class Navigation2D(Family):
    """Go to a hidden goal in the plane: r = -||position - goal||."""

    name = "Navigation2D"
    horizon = 100
    camera = "track"
    reached = 0.01  # m, on each axis

    space = TaskSpace(name, (_goal("x"), _goal("y")))

    def build(self) -> mujoco.MjModel:
        model = mujoco.MjModel.from_xml_string(_MJCF)
        model.site("goal").pos[:2] = self.space.default().values[0]
        return model

    def write(self, batch: Batch, ids: np.ndarray, values: np.ndarray) -> None:
        # only the picture needs it: the reward is computed from the values
        batch.expand("site_pos")[ids, 0, :2] = values

    def advance(self, batch: Batch, ctrl: np.ndarray, ids: np.ndarray | None) -> None:
        qpos = batch.bind("qpos")
        if ids is None:
            qpos += ctrl
        else:
            qpos[ids] += ctrl[ids]

    def observe(self, batch: Batch, derived: None) -> np.ndarray:
        return batch.bind("qpos").copy()

    def reward_terms(self, batch, derived, qpos_before, ctrl, values):
        offset = batch.bind("qpos") - values
        return {"distance": -np.sqrt(np.square(offset[:, 0]) + np.square(offset[:, 1]))}

    def terminated(self, batch: Batch, values: np.ndarray) -> np.ndarray:
        return (np.abs(batch.bind("qpos") - values) < self.reached).all(axis=1)
