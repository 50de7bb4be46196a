"""Put a wrench's ring over a peg, take it off, and hammer a nail."""

import mujoco
import numpy as np

from ...arrays import Array, flag, full, namespace
from .definition import Definition, Start, offset, single
from .scene import Scene
from .shaping import caging, distance, one_if, plane_distance, tolerance

_UPRIGHT = (0.707, 0.0, 0.0, 0.707)


class Assembly(Definition):
    """Grasped, lifted over the peg and lowered, all that while upright."""

    mjcf = "sawyer_assembly_peg"
    hand = single(0.0, 0.6, 0.2)

    def fixtures(self, model: mujoco.MjModel, place: np.ndarray) -> dict[str, np.ndarray]:
        return {"peg": offset(place[:, 3:], 0.0, 0.0, -0.05)}

    def begin(self, start: Start) -> None:
        start.put_free(start.first)
        start.remember(start.first, start.second)

    def objects(self, scene: Scene) -> tuple[Array, ...]:
        return scene.site("RoundNut-8"), scene.body_quat("RoundNut")

    def reward(self, scene: Scene, action: Array) -> Array:
        xp, ring, solved = namespace(action), scene.site("RoundNut"), self.solved(scene)
        handle = _grasp_point(scene, 0.01)
        grasped = caging(scene, action, handle, radius=0.015, pad=0.02, xz=0.01, reach=0.01)
        radius = plane_distance(scene.goal, ring)
        free = xp.where(solved, full(radius, 0.02), full(radius, 0.01))
        outside = radius > free
        log = xp.log(xp.where(outside, radius - free, full(radius, 1.0)))
        height = xp.where(outside, 0.02 * log + 0.2, full(radius, 0.0))
        aim = xp.stack([scene.goal[:, 0], scene.goal[:, 1], height], axis=1)
        near = tolerance(distance(aim, ring, (1.0, 1.0, 3.0)), 0.0, 0.02, 0.4)
        placed = 0.1 * flag((ring[:, 2] > 0.02) | (radius < free), near) + 0.9 * near
        return one_if(solved, (2.0 * grasped + 6.0 * placed) * scene.upright(_UPRIGHT, 0.4), 10.0)

    def solved(self, scene: Scene) -> Array:
        ring = scene.site("RoundNut")
        return (plane_distance(scene.goal, ring) < 0.02) & (scene.goal[:, 2] - ring[:, 2] > 0.0)


class Disassemble(Assembly):
    hand = single(0.0, 0.4, 0.2)

    def fixtures(self, model: mujoco.MjModel, place: np.ndarray) -> dict[str, np.ndarray]:
        return {"peg": offset(place[:, :3], 0.0, 0.0, 0.03)}

    def begin(self, start: Start) -> None:
        start.put_free(start.first)
        start.remember(start.first, offset(start.first, 0.0, 0.0, 0.15))

    def reward(self, scene: Scene, action: Array) -> Array:
        ring = scene.site("RoundNut")
        grasped = caging(scene, action, _grasp_point(scene, 0.01), radius=0.015, pad=0.02, xz=0.01)
        near = tolerance(distance(offset(scene.goal, 0.0, 0.0, 0.1), ring), 0.0, 0.02, 0.2)
        placed = 0.1 * flag(ring[:, 2] > 0.02, near) + 0.9 * near
        reward = (2.0 * grasped + 6.0 * placed) * scene.upright(_UPRIGHT, 0.4)
        return one_if(self.solved(scene), reward, 10.0)

    def solved(self, scene: Scene) -> Array:
        return scene.object[:, 2] > scene.goal[:, 2]


class Hammer(Definition):
    """Grasped, lifted and its head at the nail, all that while level; then the nail in."""

    mjcf = "sawyer_hammer"
    hand = (0.0, 0.4, 0.2)

    def fixtures(self, model: mujoco.MjModel, place: np.ndarray) -> dict[str, np.ndarray]:
        return {"box": np.broadcast_to((0.24, 0.85, 0.0), place.shape)}

    def begin(self, start: Start) -> None:
        goal = start.site("goal")
        start.put_free(start.first)
        start.remember(start.first, goal)

    def objects(self, scene: Scene) -> tuple[Array, ...]:
        return scene.body("hammer"), scene.body_quat("hammer"), scene.body("nail_link"), scene.body_quat("nail_link")

    def reward(self, scene: Scene, action: Array) -> Array:
        head = offset(scene.object, 0.16, 0.06, 0.0)
        grasped = caging(scene, action, _grasp_point(scene, 0.07), radius=0.015, pad=0.02, xz=0.01)
        near = tolerance(distance(scene.goal, head), 0.0, 0.02, 0.2)
        placed = 0.1 * flag(head[:, 2] > 0.02, near) + 0.9 * near
        reward = (2.0 * grasped + 6.0 * placed) * scene.upright((1.0, 0.0, 0.0, 0.0), 0.4)
        return one_if(self.solved(scene) & (reward > 5.0), reward, 10.0)

    def solved(self, scene: Scene) -> Array:
        return scene.joint("NailSlideJoint") > 0.09


def _grasp_point(scene: Scene, half: float) -> Array:
    """The point of a handle, half m to either side along x, that the hand is at; its middle if at none."""
    xp, thing = namespace(scene.object), scene.object
    along = xp.abs(thing[:, 0] - scene.hand[:, 0]) < half
    return xp.stack([xp.where(along, scene.hand[:, 0], thing[:, 0]), thing[:, 1], thing[:, 2]], axis=1)
