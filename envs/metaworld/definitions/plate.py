"""Slide a plate into a cabinet and out of it, forwards and sideways."""

from typing import ClassVar

import mujoco
import numpy as np

from ...arrays import Array, namespace
from .definition import Definition, Start, single
from .scene import Scene
from .shaping import both, distance, one_if, tolerance

RADIUS = 0.05  # m


class PlateSlide(Definition):
    """The gripper at the plate, and the plate at its goal."""

    mjcf = "sawyer_plate_slide"
    hand = single(0.0, 0.6, 0.2)
    plate: ClassVar = (0.0, 0.0)  # m, of its two slides at the start

    def fixtures(self, model: mujoco.MjModel, place: np.ndarray) -> dict[str, np.ndarray]:
        return {"puck_goal": place[:, 3:]}

    def begin(self, start: Start) -> None:
        start.put(slice(9, 11), self.plate)
        start.remember(start.first, start.second)

    def objects(self, scene: Scene) -> tuple[Array, ...]:
        return scene.geom("puck"), scene.geom_rotation("puck")

    def reward(self, scene: Scene, action: Array) -> Array:
        left = distance(scene.object, scene.goal)
        placed = tolerance(left, 0.0, RADIUS, distance(scene.start, scene.goal))
        near = tolerance(distance(scene.tcp, scene.object), 0.0, RADIUS, distance(scene.start_tcp, scene.start))
        return one_if(left < RADIUS, 8 * both(near, placed), 10.0)

    def solved(self, scene: Scene) -> Array:
        return distance(scene.object, scene.goal) <= 0.07


class PlateSlideBack(PlateSlide):
    """Near the plate; with the gripper low at it, how near the plate is to its goal instead."""

    plate: ClassVar = (0.0, 0.15)

    def fixtures(self, model: mujoco.MjModel, place: np.ndarray) -> dict[str, np.ndarray]:
        return {}

    def reward(self, scene: Scene, action: Array) -> Array:
        xp, left, away = namespace(action), distance(scene.object, scene.goal), distance(scene.tcp, scene.object)
        placed = tolerance(left, 0.0, RADIUS, distance(scene.start, scene.goal) - RADIUS)
        near = tolerance(away, 0.0, RADIUS, distance(scene.start_tcp, scene.start) - RADIUS)
        at_it = (scene.tcp[:, 2] <= 0.03) & (away < 0.07)
        return one_if(left < RADIUS, xp.where(at_it, 2.0 + 7.0 * placed, 1.5 * near), 10.0)


class PlateSlideSide(PlateSlideBack):
    mjcf = "sawyer_plate_slide_sideway"
    plate: ClassVar = (0.0, 0.0)


class PlateSlideBackSide(PlateSlideBack):
    mjcf = "sawyer_plate_slide_sideway"
    plate: ClassVar = (-0.15, 0.0)

    def fixtures(self, model: mujoco.MjModel, place: np.ndarray) -> dict[str, np.ndarray]:
        return {"puck_goal": place[:, :3]}
