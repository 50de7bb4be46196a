"""Where the episodes of a robot from YAML start: the section `start`.

    start:
      keyframe: home
      pose: {"*_thigh": 0.9, "*_calf": [-1.9, -1.7]}
      bodies: {trunk: {z: 0.3, yaw: [-3.14, 3.14], velocity: {x: [-0.5, 0.5]}}, cube: {x: [0.3, 0.5], y: [-0.2, 0.2]}}
      position_noise: 0.1
      velocity_noise: 0.05

A number is that value in each episode, `[low, high]` a uniform draw. What is said here goes into a keyframe of its own,
`metarl_start`, with the middle of each range, over that of the MJCF; the draws are added at each reset. Roll, pitch and
yaw turn the orientation that a body would have, about the axes of the world, in this order.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Annotated, Any

import mujoco
import numpy as np
from pydantic import AfterValidator, Field, ValidationInfo, field_validator

from ..families.servo_robot import to_body
from .entries import Entry, Expected, Named, Names, NotNegative, elements, mistaken, option
from .pushes import is_free
from .ranges import Range, within

KEYFRAME = "metarl_start"
_PLACES, _TURNS = ("x", "y", "z"), ("roll", "pitch", "yaw")


class _Motion(Entry):
    """Velocity of a free body at the start, along and about the axes of the world."""

    x: Range = option((0.0, 0.0), "m/s")
    y: Range = option((0.0, 0.0), "m/s")
    z: Range = option((0.0, 0.0), "m/s")
    roll: Range = option((0.0, 0.0), "About x, rad/s.")
    pitch: Range = option((0.0, 0.0), "About y, rad/s.")
    yaw: Range = option((0.0, 0.0), "About z, rad/s.")


class FreeStart(Entry):
    """Where a free body starts, in the world."""

    x: Range = option(None, "m")
    y: Range = option(None, "m")
    z: Range = option(None, "Height, m.")
    roll: Range = option((0.0, 0.0), "Turn about the x axis of the world, rad.")
    pitch: Range = option((0.0, 0.0), "Turn about y, rad, after that.")
    yaw: Range = option((0.0, 0.0), "Heading: turn about z, rad, after that.")
    velocity: _Motion = Field(default_factory=_Motion, description="Velocity, m/s and rad/s.")


class _ByJoint:
    """In Annotated, of {name or pattern: item}: {joint: item}, of the last that matches."""

    def __call__(self, value: Any, info: ValidationInfo[Names]) -> Any:
        found: dict[str, Any] = {}
        for name, item in value.items() if isinstance(value, dict) else ():
            found |= dict.fromkeys(Named("joints").check([name], info), item)
        return found if isinstance(value, dict) else value


class Start(Entry):
    """Where episodes start."""

    keyframe: Annotated[str, Named("keyframes", many=False)] = option("", "Of the MJCF; by default its qpos0.")
    pose: Annotated[dict[str, Range], AfterValidator(_ByJoint())] = option(
        {}, "Angles (rad), places (m) of hinges and slides: {joint or pattern: number or [low, high]}."
    )
    bodies: dict[str, FreeStart] = option({}, "Of free bodies, by name: x, y, z, roll, pitch, yaw, velocity.")
    position_noise: Annotated[
        NotNegative | dict[str, NotNegative], Expected("a number of at least 0, or {joint: number}"),
        AfterValidator(_ByJoint()),
    ] = option(0.0, "Half width of uniform noise of hinges (rad), slides (m): one, or {joint: number}.")  # fmt: skip
    velocity_noise: NotNegative = option(0.0, "Half width of uniform noise on all velocities, rad/s, m/s.")

    @field_validator("bodies", mode="before")
    @classmethod
    def _free(cls, value: Any, info: ValidationInfo[Names]) -> Any:
        model = info.context.model
        for name in value if model and isinstance(value, dict) else ():
            Named("bodies", many=False).check(name, info)
            if not is_free(model, name):
                there = [body for body in elements(model, "bodies").values() if body and is_free(model, body)]
                raise mistaken(f"a body with a free joint ({', '.join(there) or 'the MJCF has none'})", got=name)
        return value

    @property
    def edited(self) -> bool:
        """Whether it needs a keyframe of its own."""
        return bool(self.pose or self.bodies)

    def edit(self, model: mujoco.MjModel, controls: Callable[[int, np.ndarray], np.ndarray],
             activations: Sequence[int]) -> dict[str, Any]:  # fmt: skip
        """The keyframe of the start, as the compiler adds it.

        Args:
            model: as the MJCF has it.
            controls: the start controls (A,) of the final actuators, from the index of a keyframe and positions (nq,).
            activations: which of the MJCF's there are in the final model.
        """
        base, qpos, qvel = self._base(model)
        spread = self.spread(model)
        spread.write(np.full((1, spread.draws), 0.5), qpos[None], qvel[None])
        edit = {"name": KEYFRAME, "qpos": qpos.tolist(), "qvel": qvel.tolist(), "ctrl": controls(base, qpos).tolist()}
        if base >= 0:
            edit["act"] = model.key_act[base, activations].tolist()
        if model.nmocap and base >= 0:
            edit |= {"mpos": model.key_mpos[base].ravel().tolist(), "mquat": model.key_mquat[base].ravel().tolist()}
        return edit

    def spread(self, model: mujoco.MjModel) -> "Spread":
        """Where starts are drawn from."""
        _, qpos, _ = self._base(model)
        joints = np.array([int(model.joint(name).qposadr[0]) for name in self.pose], int)
        bodies = []
        for name, body in self.bodies.items():
            address, dof = (int(a[model.body(name).jntadr[0]]) for a in (model.jnt_qposadr, model.jnt_dofadr))
            places = np.array([getattr(body, key) or (qpos[address + i],) * 2 for i, key in enumerate(_PLACES)])
            turns = np.array([getattr(body, key) for key in _TURNS])
            speeds = np.array([getattr(body.velocity, key) for key in (*_PLACES, *_TURNS)])
            moving = "velocity" in body.model_fields_set
            bodies.append(FreeSpread(address, dof, np.concatenate([places, turns, speeds]),
                                     qpos[address + 3 : address + 7].copy(), moving))  # fmt: skip
        return Spread(joints, np.array(list(self.pose.values()), float).reshape(-1, 2), bodies)

    def _base(self, model: mujoco.MjModel) -> tuple[int, np.ndarray, np.ndarray]:
        """Index, positions and velocities of the MJCF's keyframe, -1 for none."""
        if not self.keyframe:
            return -1, model.qpos0.copy(), np.zeros(model.nv)
        base = [*elements(model, "keyframes").values()].index(self.keyframe)
        return base, model.key_qpos[base].copy(), model.key_qvel[base].copy()

    def noise(self, model: mujoco.MjModel) -> tuple[np.ndarray, np.ndarray]:
        """Half widths of the noise of positions (nq,) and velocities (nv,)."""
        noise, position = self.position_noise, np.zeros(model.nq)
        each = noise if isinstance(noise, dict) else dict.fromkeys(elements(model, "joints").values(), noise)
        for joint, amount in each.items():
            position[model.joint(joint).qposadr[0]] = amount
        return position, np.full(model.nv, self.velocity_noise)


@dataclass(frozen=True)
class FreeSpread:
    """Where a free body starts.

    Attributes:
        address, dof: of its joint in qpos and qvel.
        ranges: of x, y, z, roll, pitch, yaw, and of its velocity likewise, (12, 2).
        quat: its orientation (4,) before it is turned.
        moving: whether its velocity is written.
    """

    address: int
    dof: int
    ranges: np.ndarray
    quat: np.ndarray
    moving: bool


@dataclass(frozen=True)
class Spread:
    """Where starts are drawn from: ranges (k, 2) of hinges and slides at joints (k,) in qpos, and free bodies."""

    joints: np.ndarray
    ranges: np.ndarray
    bodies: list[FreeSpread]

    @property
    def draws(self) -> int:
        """How many numbers a start takes."""
        return len(self.joints) + 12 * len(self.bodies)

    @property
    def fixed(self) -> bool:
        """Whether all starts are the same."""
        ranges = np.concatenate([self.ranges, *(body.ranges for body in self.bodies)])
        return bool((ranges[:, 0] == ranges[:, 1]).all())

    def write(self, draws: np.ndarray, qpos: np.ndarray, qvel: np.ndarray) -> None:
        """Write the starts of draws (n, draws) in [0, 1) into positions (n, nq) and velocities (n, nv)."""
        k = len(self.joints)
        qpos[:, self.joints] = within(self.ranges, draws[:, :k])
        for body in self.bodies:
            drawn, a, d = within(body.ranges, draws[:, k : k + 12]), body.address, body.dof
            qpos[:, a : a + 3] = drawn[:, :3]
            qpos[:, a + 3 : a + 7] = quat = turned(np.tile(body.quat, (len(draws), 1)), drawn[:, 3:6])
            if body.moving:
                qvel[:, d : d + 3], qvel[:, d + 3 : d + 6] = drawn[:, 6:9], to_body(quat, drawn[:, 9:])
            k += 12


def turned(quat: np.ndarray, angles: np.ndarray) -> np.ndarray:
    """Orientations (n, 4) turned about x, y and z of the world, in this order, by angles (n, 3)."""
    half = 0.5 * angles
    for i in range(3):
        turn = np.zeros_like(quat)
        turn[:, 0], turn[:, 1 + i] = np.cos(half[:, i]), np.sin(half[:, i])
        quat = _product(turn, quat)
    return quat


def _product(p: np.ndarray, q: np.ndarray) -> np.ndarray:
    """Products of quaternions (n, 4), w first."""
    (a, b, c, d), (e, f, g, h) = p.T, q.T
    return np.stack([a * e - b * f - c * g - d * h, a * f + b * e + c * h - d * g, a * g - b * h + c * e + d * f,
                     a * h + b * g - c * f + d * e], axis=1)  # fmt: skip
