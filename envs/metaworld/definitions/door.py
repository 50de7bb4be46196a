"""Open and close a door, lock and unlock it."""

import math

import mujoco
import numpy as np

from ...arrays import Array, clip, flag, namespace, norm
from .definition import Definition, Start, offset, single
from .scene import Scene
from .shaping import above, both, distance, funnel, one_if, plane_distance, tolerance

_SCALE = (0.25, 1.0, 0.5)  # of the way to the lock
LOCK_LENGTH = 0.1  # m


class _Door(Definition):
    mjcf = "sawyer_door_pull"

    def fixtures(self, model: mujoco.MjModel, place: np.ndarray) -> dict[str, np.ndarray]:
        return {"door": place}

    def turn(self, start: Start, angle: float) -> None:
        """Put the door at an angle."""
        joint = start.sim.model.joint("doorjoint")
        at, dof = int(joint.qposadr[0]), int(joint.dofadr[0])
        start.put(slice(at, at + 1), angle, slice(dof, dof + 1))

    def objects(self, scene: Scene) -> tuple[Array, ...]:
        return scene.geom("handle"), scene.geom_rotation("handle")


class DoorOpen(_Door):
    """Over the handle, the gripper closed, then how far the door is open."""

    def begin(self, start: Start) -> None:
        self.turn(start, 0.0)
        start.remember(start.first, offset(start.first, -0.3, -0.45, 0.0))

    def reward(self, scene: Scene, action: Array) -> Array:
        hand, handle, angle = scene.hand, offset(scene.object, -0.05, 0.0, 0.0), scene.joint("doorjoint")
        grasped = (clip(action[:, 3], -1.0, 1.0) + 1.0) / 2.0
        clear = above(hand[:, 2], funnel(plane_distance(hand, handle), 0.12, 0.04, 0.4))
        near = tolerance(norm(offset(hand - handle, -0.05, -0.03, 0.01)), 0.0, 0.12 / 2.0, 0.5)
        far = tolerance(math.pi / 2.0 + math.pi / 6 + angle, 0.0, 0.5, math.pi / 3.0)
        opened = 0.2 * flag(angle < -math.pi / 90.0, far) + 0.8 * far
        return one_if(self.solved(scene), 2.0 * both(both(clear, near), grasped) + 8.0 * opened, 10.0)

    def solved(self, scene: Scene) -> Array:
        return namespace(scene.goal).abs(scene.object[:, 0] - scene.goal[:, 0]) <= 0.08


class DoorClose(_Door):
    """The gripper and the handle where the handle of a closed door is."""

    hand = single(-0.5, 0.6, 0.2)

    def begin(self, start: Start) -> None:
        self.turn(start, -1.5708)
        start.remember(start.first, offset(start.first, 0.2, -0.2, 0.0))

    def reward(self, scene: Scene, action: Array) -> Array:
        left = distance(scene.object, scene.goal)
        placed = tolerance(left, 0.0, 0.05, distance(scene.start, scene.goal), gaussian=True)
        margin = norm(offset(scene.object, *(-x for x in self.hand))) + 0.1
        near = tolerance(distance(scene.tcp, scene.goal), 0.0, 0.25 * 0.05, margin, gaussian=True)
        return one_if(left < 0.05, 3 * near + 6 * placed, 10.0)

    def solved(self, scene: Scene) -> Array:
        return distance(scene.object, scene.goal) <= 0.08


class DoorLock(Definition):
    """Turn the lock down, with the gripper open."""

    goal_mark = "goal_lock"
    mjcf = "sawyer_door_lock"
    hand = single(0.0, 0.6, 0.2)
    low = (-0.5, 0.4, -0.15)

    def fixtures(self, model: mujoco.MjModel, place: np.ndarray) -> dict[str, np.ndarray]:
        return {"door": place}

    def begin(self, start: Start) -> None:
        start.step(5)
        start.remember(start.first, offset(start.body("lock_link"), 0.0, -0.04, -0.1))

    def objects(self, scene: Scene) -> tuple[Array, ...]:
        return scene.site("lockStartLock"), scene.body_quat("door_link")

    def left(self, scene: Scene) -> Array:
        return namespace(scene.goal).abs(scene.goal[:, 2] - scene.object[:, 2])

    def reward(self, scene: Scene, action: Array) -> Array:
        away = distance(scene.object, scene.left_pad, _SCALE)
        near = tolerance(away, 0.0, 0.01, away)
        return 2 * both(scene.opening, near) + 8 * tolerance(self.left(scene), 0.0, 0.005, LOCK_LENGTH)

    def solved(self, scene: Scene) -> Array:
        return self.left(scene) <= 0.02


class DoorUnlock(DoorLock):
    """Push the lock aside with the hand's shoulder."""

    goal_mark = "goal_unlock"

    def begin(self, start: Start) -> None:
        start.put(slice(9, 10), 1.5708, slice(9, 10))
        start.remember(start.first, offset(start.body("lock_link"), 0.1, -0.04, 0.0))

    def objects(self, scene: Scene) -> tuple[Array, ...]:
        return scene.site("lockStartUnlock"), scene.body_quat("door_link")

    def left(self, scene: Scene) -> Array:
        return namespace(scene.goal).abs(scene.goal[:, 0] - scene.object[:, 0])

    def reward(self, scene: Scene, action: Array) -> Array:
        away = distance(offset(scene.hand, 0.0, 0.055, 0.07), scene.object, _SCALE)
        margin = distance(offset(scene.start_tcp, 0.0, 0.055, 0.07), scene.body("lock_link"), _SCALE)
        ready = tolerance(away, 0.0, 0.02, margin)
        return 2 * ready + 8 * tolerance(self.left(scene), 0.0, 0.005, LOCK_LENGTH)
