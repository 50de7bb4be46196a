"""QuadrotorWind: four rotors that must fly a figure of eight in a wind they are not told.

    env = make("QuadrotorWind", 200)                       # 19 observations, 0.02 s a step, H = 315: one lap
    env.set_tasks(env.space.tasks(speed=6.1, direction=1.57).repeat(200))

Modelled on the flights of Neural-Fly (O'Connell et al. 2022, arXiv:2205.06908): trained in winds of up to 6.1 m/s and
tested beyond. An action is the thrust of each rotor, which follows it with a lag; at zero action they carry the weight.
The air's forces are MuJoCo's: an ellipsoid of the robot's size, with added mass, lift and drag. Nothing touches
anything. Where an episode begins on the figure is part of the state: the simulation's time.
"""

import math
from collections.abc import Sequence

import mujoco
import numpy as np

from ..arrays import Array, namespace, norm, squares
from ..family import Family
from ..observation import Observed
from ..parameter import Parameter
from ..simulator import Simulator
from ..task import TaskSpace
from .servo_robot import GRAVITY, gravity_direction, to_body, uniform

HOVER = 5.0  # N, thrust of each rotor that carries the weight; at most twice as much
HALF_WIDTH, HALF_HEIGHT, CENTRE = 1.25, 0.75, 1.5  # m, of the figure of eight, in the plane of x and z
NEAR, LOST = 0.1, 1.5  # m: how far off it is when half of the reward has fallen to 1/e, and when the episode ends

_MJCF = f"""
<mujoco model="quadrotor">
  <option timestep="0.005" density="1.2" viscosity="1.8e-5"/>
  <visual><global offwidth="640" offheight="480"/><map znear="0.01"/></visual>
  <default>
    <geom contype="0" conaffinity="0"/>
    <default class="arm"><geom type="capsule" size=".012" rgba=".2 .22 .26 1"/></default>
    <default class="rotor"><geom type="cylinder" size=".12 .006" rgba=".85 .35 .15 .8"/></default>
    <general dyntype="filterexact" dynprm="0.04" ctrllimited="true" ctrlrange="0 {2 * HOVER}"/>
  </default>
  <asset>
    <texture name="grid" type="2d" builtin="checker" width="100" height="100" rgb1=".42 .45 .5" rgb2=".5 .53 .58"/>
    <material name="grid" texture="grid" texrepeat="10 10"/>
    <texture name="sky" type="skybox" builtin="gradient" width="64" height="64" rgb1=".75 .83 .92" rgb2=".4 .5 .65"/>
  </asset>
  <worldbody>
    <light pos="0 0 5" dir="0 0 -1" directional="true" diffuse=".7 .7 .7" specular="0 0 0"/>
    <camera name="track" pos="0 -4.2 2.2" xyaxes="1 0 0 0 .16 1"/>
    <geom name="floor" type="plane" size="4 4 .1" material="grid"/>
    <body name="quadrotor" pos="0 0 {CENTRE}">
      <freejoint name="root"/>
      <inertial pos="0 0 0" mass="{4 * HOVER / 9.81:.6f}" diaginertia=".02 .02 .036"/>
      <geom name="hull" type="ellipsoid" size=".18 .18 .09" rgba=".2 .45 .75 .35" fluidshape="ellipsoid"
            fluidcoef=".9 .25 1.5 1 1"/>
      <geom class="arm" fromto=".17 .17 .02 -.17 -.17 .02"/>
      <geom class="arm" fromto=".17 -.17 .02 -.17 .17 .02"/>
      <geom class="rotor" pos=".17 .17 .04"/>
      <geom class="rotor" pos="-.17 .17 .04" rgba=".3 .3 .3 .8"/>
      <geom class="rotor" pos="-.17 -.17 .04" rgba=".3 .3 .3 .8"/>
      <geom class="rotor" pos=".17 -.17 .04"/>
      <site name="front left" pos=".17 .17 .04"/>
      <site name="rear left" pos="-.17 .17 .04"/>
      <site name="rear right" pos="-.17 -.17 .04"/>
      <site name="front right" pos=".17 -.17 .04"/>
    </body>
  </worldbody>
  <actuator>
    <general name="front left" site="front left" gear="0 0 1 0 0 -.016"/>
    <general name="rear left" site="rear left" gear="0 0 1 0 0 .016"/>
    <general name="rear right" site="rear right" gear="0 0 1 0 0 -.016"/>
    <general name="front right" site="front right" gear="0 0 1 0 0 .016"/>
  </actuator>
  <keyframe>
    <key name="hover" qpos="0 0 {CENTRE} 1 0 0 0" act="{4 * f"{HOVER} "}" ctrl="{4 * f"{HOVER} "}"/>
  </keyframe>
</mujoco>
"""
_BODY = 1


class QuadrotorWind(Family):
    """Follow a figure of eight, 2.5 m wide and 1.5 m high, a lap in 2 pi s, in a hidden steady wind.

    r = (1 - d / 1.5 m) / 2 + exp(-d / 0.1 m) / 2 - 0.02 |spin|^2 - 0.01 |a|^2, d the distance from where it should be
    and a the actions; the episode ends where d is over 1.5 m. It sees itself relative to that place, not the wind.
    """

    name = "QuadrotorWind"
    licence = "Apache-2.0; metarl"
    frame_skip = 4
    horizon = 315
    camera = "track"
    keyframe = 0
    space = TaskSpace(name, (
        Parameter("speed", "m/s", "speed of the wind", 0.0, "uniform", 0.0, 6.1,
                  extrapolation=((6.1, 8.5), (8.5, 12.1))),
        Parameter("direction", "rad", "where the wind blows to, 0 along x, counterclockwise", 0.0, "uniform",
                  -math.pi, math.pi),
    ))  # fmt: skip

    def build(self) -> mujoco.MjModel:
        return mujoco.MjModel.from_xml_string(_MJCF)

    def write(self, sim: Simulator, ids: np.ndarray, values: np.ndarray) -> None:
        speed, direction = values.T
        wind = np.stack([speed * np.cos(direction), speed * np.sin(direction), np.zeros(len(ids))], axis=1)
        sim.expand("opt.wind")[ids] = wind

    def start_course(self, sim: Simulator, ids: np.ndarray, rngs: Sequence[np.random.Generator]) -> None:
        """Anywhere on the figure, in step with it but for 0.1 m, 0.1 m/s and 0.1 rad/s on each axis."""
        time = np.array([rng.uniform(0.0, 2 * math.pi) for rng in rngs])
        position, velocity, _ = figure(time)
        sim.bind("time")[ids] = time
        sim.bind("qpos")[ids, :3] = position + uniform(rngs, 3, 0.1)
        sim.bind("qvel")[ids, :3] = velocity + uniform(rngs, 3, 0.1)
        sim.bind("qvel")[ids, 3:] = uniform(rngs, 3, 0.1)

    def derive(self, sim: Simulator) -> tuple[Array, Array, Array]:
        """Way to where it should be, m, what is missing of that place's velocity, m/s, and its acceleration: (N, 3)."""
        position, velocity, acceleration = figure(sim.bind("time"))
        return position - sim.bind("qpos")[:, :3], velocity - sim.bind("qvel")[:, :3], acceleration

    def observe(self, sim: Simulator, derived: tuple[Array, Array, Array]) -> Array:
        quat, spin = sim.bind("qpos")[:, 3:7], sim.bind("qvel")[:, 3:6]
        own = (to_body(quat, vector) for vector in derived)
        return namespace(quat).concat([*own, gravity_direction(quat), spin, sim.bind("act") / HOVER - 1.0], axis=1)

    def observation_names(self) -> tuple[Observed, ...]:
        model, axes = self.build(), "xyz"
        place = f"{HALF_WIDTH:g} * sin(time)", "0", f"{CENTRE:g} + {HALF_HEIGHT:g} * sin(2 * time)"
        speed = f"{HALF_WIDTH:g} * cos(time)", "0", f"{2 * HALF_HEIGHT:g} * cos(2 * time)"
        vectors = {
            ("way", "m"): [f"{text} - qpos[{i}]" for i, text in enumerate(place)],
            ("missing velocity", "m/s"): [f"{text} - qvel[{i}]" for i, text in enumerate(speed)],
            ("wanted acceleration", "m/s^2"): [
                f"-{HALF_WIDTH:g} * sin(time)", "0", f"-{4 * HALF_HEIGHT:g} * sin(2 * time)"
            ],
        }  # fmt: skip
        own = [
            Observed(f"{name} {axis}", unit, "body quadrotor",
                     " + ".join(f"xmat[{_BODY}, {3 * j + i}] * ({text})" for j, text in enumerate(texts)))
            for (name, unit), texts in vectors.items()
            for i, axis in enumerate(axes)
        ]  # fmt: skip
        gravity = [
            Observed(f"gravity {axis}", "1", "joint root", text.format(*range(3, 7)))
            for axis, text in zip(axes, GRAVITY, strict=True)
        ]
        spin = [Observed(f"gyro {axis}", "rad/s", "joint root", f"qvel[{3 + i}]") for i, axis in enumerate(axes)]
        rotors = [
            Observed(f"{model.actuator(i).name} thrust", "1", f"actuator {model.actuator(i).name}",
                     f"act[{i}] / {HOVER:g} - 1")
            for i in range(model.nu)
        ]  # fmt: skip
        return (*own, *gravity, *spin, *rotors)

    def reward_terms(self, sim, derived, qpos_before, ctrl, values):
        distance = norm(derived[0])
        xp = namespace(distance)
        return {
            "near": 0.5 * (1.0 - distance / LOST),
            "on it": 0.5 * xp.exp(-distance / NEAR),
            "spin": -0.02 * squares(sim.bind("qvel")[:, 3:6]),
            "effort": -0.01 * squares(ctrl / HOVER - 1.0),
        }

    def terminated(self, sim: Simulator, values: Array) -> Array:
        position, _, _ = figure(sim.bind("time"))
        return norm(position - sim.bind("qpos")[:, :3]) > LOST


def figure(time: Array) -> tuple[Array, Array, Array]:
    """Where the robot should be at times (N,), s, and the velocity and acceleration of that place; (N, 3) each."""
    xp = namespace(time)
    none, once, twice = xp.zeros_like(time), xp.sin(time), xp.sin(2 * time)
    position = xp.stack([HALF_WIDTH * once, none, CENTRE + HALF_HEIGHT * twice], axis=1)
    velocity = xp.stack([HALF_WIDTH * xp.cos(time), none, 2 * HALF_HEIGHT * xp.cos(2 * time)], axis=1)
    acceleration = xp.stack([-HALF_WIDTH * once, none, -4 * HALF_HEIGHT * twice], axis=1)
    return position, velocity, acceleration
