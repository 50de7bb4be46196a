"""A cart on a slope: how heavy it is and where it should stand is not observed, and differs from task to task."""

import mujoco
import numpy as np

from metarl.envs import Family, Parameter, TaskSpace, Write
from metarl.envs.observation import positions, velocities

MJCF = """
<mujoco model="cart">
  <option timestep="0.02"/>
  <worldbody>
    <light pos="0 -2 3" dir="0 .5 -1"/>
    <camera name="side" pos="0 -4 1" xyaxes="1 0 0 0 .25 1"/>
    <geom name="track" type="box" size="2 .05 .02" contype="0" conaffinity="0"/>
    <body name="cart" pos="0 0 .1">
      <joint name="slide" type="slide" axis="1 0 0" damping="0.5" range="-2 2" limited="true"/>
      <geom type="box" size=".15 .1 .08" mass="1" rgba=".8 .3 .2 1" contype="0" conaffinity="0"/>
    </body>
  </worldbody>
  <actuator><motor name="push" joint="slide" gear="10" ctrlrange="-1 1"/></actuator>
</mujoco>
"""


class CartOnSlope(Family):
    """Push a cart of unknown mass to a place that it is not told: r = -|x - place| - 0.01 u^2."""

    name = "CartOnSlope"
    frame_skip = 2  # 0.04 s a step
    horizon = 50
    camera = "side"
    space = TaskSpace(
        name,
        (
            Parameter("mass", "1", "factor of the cart's mass", 1.0, "log_uniform", 0.5, 3.0,
                      extrapolation=((3.0, 5.0),), writes=Write("mass", "cart")),
            Parameter("place", "m", "where the cart should stand", 0.5, "uniform", -1.0, 1.0),
        ),
    )  # fmt: skip

    def build(self):
        return mujoco.MjModel.from_xml_string(MJCF)

    def reset_state(self, rngs, qpos, qvel):
        for row, rng in zip(qpos, rngs, strict=True):
            row += rng.uniform(-0.1, 0.1, row.shape)

    def observe(self, sim, derived):
        return np.concatenate([sim.bind("qpos"), sim.bind("qvel")], axis=1)

    def observation_names(self):
        model = self.build()
        return (*positions(model), *velocities(model))

    def reward_terms(self, sim, derived, qpos_before, ctrl, values):
        distance = np.abs(sim.bind("qpos")[:, 0] - values[:, 1])
        return {"distance": -distance, "control": -0.01 * np.square(ctrl[:, 0])}
