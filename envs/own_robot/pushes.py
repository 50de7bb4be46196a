"""What pushes a robot from YAML in the course of an episode: the section `pushes`.

    pushes:
      shove: {body: trunk, velocity: {x: [-0.5, 0.5], y: [-0.5, 0.5]}, interval: [4, 6]}
      wind: {body: trunk, force: {y: [-40, 40]}, duration: 0.3, onset: 1.0, scale: gust}

A velocity is added at once to that of a free body; a force and a torque (along and about the axes of the world, at the
centre of mass) act for `duration`. Direction and size are drawn anew for each push; a parameter of the task may scale
them.
"""

from dataclasses import dataclass
from typing import Annotated

import mujoco
import numpy as np
from pydantic import ValidationInfo, model_validator

from ..arrays import Array, namespace
from ..families.servo_robot import to_body
from .commands import later
from .entries import Entry, Named, Names, Positive, mistaken, option
from .ranges import Onset, Range, Seconds, within

_AXES = ("x", "y", "z", "roll", "pitch", "yaw")
_FREE = int(mujoco.mjtJoint.mjJNT_FREE)


class Wrench(Entry):
    """Along and about the axes of the world."""

    x: Range = option((0.0, 0.0), "Along x.")
    y: Range = option((0.0, 0.0), "Along y.")
    z: Range = option((0.0, 0.0), "Along z.")
    roll: Range = option((0.0, 0.0), "About x.")
    pitch: Range = option((0.0, 0.0), "About y.")
    yaw: Range = option((0.0, 0.0), "About z.")

    def ranges(self) -> np.ndarray:
        return np.array([getattr(self, axis) for axis in _AXES])


class PushEntry(Entry):
    """A push, once or again and again."""

    body: Annotated[str, Named("bodies", many=False)] = option(..., "What is pushed.")
    velocity: Wrench = option(None, "Added to the velocity of a free body, m/s and rad/s.")
    force: Wrench = option(None, "Force and torque at the centre of mass, N and N m.")
    duration: Positive = option(0.1, "Of a force, s; at least one environment step.")
    onset: Onset = option(None, "s to the first push, a number or a range; by default as the interval.")
    interval: Seconds = option(None, "s from one push to the next, a number or a range; by default there is one push.")
    scale: Annotated[str, Named("parameters", many=False)] = option("", "Parameter that the push is multiplied by.")

    @model_validator(mode="after")
    def _one(self, info: ValidationInfo[Names]) -> "PushEntry":
        given = {"velocity", "force"} & self.model_fields_set
        if len(given) != 1:
            raise mistaken(f"got {' and '.join(sorted(given)) or 'neither'}, expected one of velocity and force")
        if not {"onset", "interval"} & self.model_fields_set:
            raise mistaken("got neither onset nor interval, expected when it is pushed: one of them, or both")
        model = info.context.model
        if self.velocity is not None and model and not is_free(model, self.body):
            raise mistaken("a body with a free joint; push others with a force", "body", got=self.body)
        return self


def is_free(model: mujoco.MjModel, body: str) -> bool:
    """Whether a body has a free joint."""
    joint = model.body(body).jntadr[0]
    return joint >= 0 and int(model.jnt_type[joint]) == _FREE


@dataclass(frozen=True)
class Push:
    """A push in N simulations; its memory is (step of the next, step that ends the present one, its six numbers).

    Attributes:
        body: index.
        joint: of a velocity, where the free joint is in qpos and qvel; None for a force.
        ranges: (6, 2).
        onset, interval: environment steps, (1, 2); None for no other push.
        duration: environment steps.
        scale: where numeric_data has a factor; -1 if there is none.
    """

    body: int
    joint: tuple[int, int] | None
    ranges: np.ndarray
    onset: np.ndarray
    interval: np.ndarray | None
    duration: int
    scale: int

    size, draws = 8, 7

    @staticmethod
    def of(entry: PushEntry, model: mujoco.MjModel, dt: float, scale: int) -> "Push":
        body, joint = model.body(entry.body), None
        if entry.velocity is not None:
            joint = int(model.jnt_qposadr[body.jntadr[0]]), int(model.jnt_dofadr[body.jntadr[0]])
        interval = None if entry.interval is None else np.array([entry.interval]) / dt
        onset = interval if entry.onset is None else np.array([entry.onset]) / dt
        assert onset is not None
        ranges = (entry.force if joint is None else entry.velocity).ranges()
        return Push(int(body.id), joint, ranges, onset, interval, max(1, round(entry.duration / dt)), scale)

    def begin(self, memory: np.ndarray, draws: np.ndarray) -> None:
        """The start of an episode: memory (n, 8), draws (n, 7) in [0, 1)."""
        memory[:, 0] = np.rint(within(self.onset, draws[:, :1])[:, 0])
        memory[:, 1:] = 0.0

    def draw(self, draws: Array, step: Array, factor: Array) -> Array:
        """Memory (n, 8) at the beginning of a push in environment step (n,); factors (n,)."""
        xp = namespace(draws)
        after = xp.full_like(step, np.inf) if self.interval is None else step + later(self.interval, draws[:, 0])
        push = within(self.ranges, draws[:, 1:]) * factor[:, None]
        return xp.concat([after[:, None], step[:, None] + self.duration, push], axis=1)

    def velocity(self, quat: Array, memory: Array) -> Array:
        """What is added to the velocities (n, 6) of a free joint at orientations quat (n, 4)."""
        return namespace(quat).concat([memory[:, 2:5], to_body(quat, memory[:, 5:8])], axis=1)
