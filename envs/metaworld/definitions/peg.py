"""Insert a peg into a hole from the side, and pull one out."""

import mujoco
import numpy as np

from ...arrays import Array, full, namespace
from .definition import Definition, Start, offset
from .scene import Scene
from .shaping import both, caging, distance, one_if, tolerance


class PegInsertSide(Definition):
    """Held and its head near the hole, but not in the corners before it; lifted, 1 more and five times how near."""

    mjcf = "sawyer_peg_insertion_side"
    radius = 0.07  # m
    scale = (1.0, 2.0, 2.0)

    def fixtures(self, model: mujoco.MjModel, place: np.ndarray) -> dict[str, np.ndarray]:
        return {"box": place[:, 3:]}

    def begin(self, start: Start) -> None:
        head = start.site("pegHead")
        start.put_free(start.first)
        start.remember(start.first, offset(start.second, 0.03, 0.0, 0.13), head)

    def objects(self, scene: Scene) -> tuple[Array, ...]:
        return scene.site("pegGrasp"), scene.site_rotation("pegGrasp")

    def left(self, scene: Scene) -> Array:
        return distance(scene.site("pegHead"), scene.goal, self.scale)

    def reward(self, scene: Scene, action: Array) -> Array:
        xp, peg, head, left = namespace(action), scene.object, scene.site("pegHead"), self.left(scene)
        placed = tolerance(left, 0.0, self.radius, distance(scene.note[:, :3], scene.goal, self.scale))
        boxes = []
        for i in (2, 1):
            corners = (scene.site(f"{corner}_corner_collision_box_{i}") for corner in ("bottom_right", "top_left"))
            boxes.append(_in_box(head, *corners))
        placed = both(placed, both(*boxes))
        away = distance(peg, scene.tcp)
        held = (away < 0.08) & (scene.opening > 0) & (peg[:, 2] - 0.01 > scene.start[:, 2])
        caged = one_if(held, caging(scene, action, peg, radius=0.0075, pad=0.03, xz=0.005))
        reward = both(caged, placed)
        return one_if(left <= self.radius, xp.where(held, reward + 1.0 + 5 * placed, reward), 10.0)

    def solved(self, scene: Scene) -> Array:
        return self.left(scene) <= self.radius


class PegUnplugSide(Definition):
    """Twice the caging; once the held peg moves, 1 more and how near it is to its goal."""

    mjcf = "sawyer_peg_unplug_side"

    def fixtures(self, model: mujoco.MjModel, place: np.ndarray) -> dict[str, np.ndarray]:
        return {"box": place}

    def begin(self, start: Start) -> None:
        plug = offset(start.first, 0.044, 0.0, 0.131)
        upright = np.broadcast_to((1.0, 0.0, 0.0, 0.0), (len(plug), 4))
        start.put(slice(9, 16), np.concatenate([plug, upright], axis=1), slice(9, 12))
        start.remember(start.site("pegEnd"), offset(plug, 0.15, 0.0, 0.0))

    def objects(self, scene: Scene) -> tuple[Array, ...]:
        return scene.site("pegEnd"), scene.body_quat("plug1")

    def reward(self, scene: Scene, action: Array) -> Array:
        xp, peg = namespace(action), scene.object
        left = distance(peg, scene.goal)
        caged = 2 * caging(scene, action, peg, radius=0.025, pad=0.05, xz=0.005, effort=0.8)
        placed = tolerance(left, 0.0, 0.05, distance(scene.start, scene.goal))
        moved = (scene.opening > 0.5) & (peg[:, 0] - scene.start[:, 0] > 0.015)
        held = moved & (distance(peg, scene.tcp) < 0.035)
        return one_if(left <= 0.05, xp.where(held, 1 + caged + 5 * placed, caged), 10.0)

    def solved(self, scene: Scene) -> Array:
        return distance(scene.object, scene.goal) <= 0.07


def _in_box(point: Array, zero: Array, one: Array) -> Array:
    """From 0 in one corner of a box to 1 in the opposite one, 1 outside; (N,) of points (N, 3)."""
    xp = namespace(point)
    inside = (xp.minimum(zero, one) <= point) & (point <= xp.maximum(zero, one))
    share = (point - zero) / (one - zero)
    product = share[:, 0] * share[:, 1] * share[:, 2]
    return xp.where(xp.all(inside, axis=1), product, full(point, 1.0))
