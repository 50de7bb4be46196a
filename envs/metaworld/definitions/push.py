"""Push or sweep a thing over the table to a hidden place."""

import mujoco
import numpy as np

from ...arrays import Array, clip, full, namespace
from .definition import Definition, Start, offset, single
from .scene import Scene
from .shaping import both, caging, distance, one_if, pinching, tolerance

RADIUS = 0.05  # m


class Push(Definition):
    """Twice the caging; where the puck is between the fingers, as much again and how near it is to the goal."""

    mjcf = "sawyer_push_v3"

    def begin(self, start: Start) -> None:
        height = start.body("obj")[:, 2]
        first, goal = start.at_height(start.first, height), start.at_height(start.second, height)
        start.put_free(first)
        start.remember(first, goal)

    def objects(self, scene: Scene) -> tuple[Array, ...]:
        return scene.body("obj"), scene.geom_rotation("objGeom")

    def reward(self, scene: Scene, action: Array) -> Array:
        xp, thing = namespace(action), scene.object
        left = distance(thing, scene.goal)
        placed = tolerance(left, 0.0, RADIUS, distance(scene.start, scene.goal))
        caged = 2 * caging(scene, action, thing, radius=0.015, pad=0.05, xz=0.005)
        between = (distance(thing, scene.tcp) < 0.02) & (scene.opening > 0)
        return one_if(left < RADIUS, xp.where(between, 2 * caged + 1.0 + 5.0 * placed, caged), 10.0)

    def solved(self, scene: Scene) -> Array:
        return distance(scene.object, scene.goal) <= RADIUS


class PushWall(Push):
    """Around a wall: first past its end, then to the goal."""

    mjcf = "sawyer_push_wall_v3"

    def begin(self, start: Start) -> None:
        height = start.geom("objGeom")[:, 2]
        first, goal = start.at_height(start.first, height), start.at_height(start.second, height)
        start.put_free(first)
        start.remember(first, goal)

    def objects(self, scene: Scene) -> tuple[Array, ...]:
        return scene.geom("objGeom"), scene.geom_rotation("objGeom")

    def reward(self, scene: Scene, action: Array) -> Array:
        xp, thing = namespace(action), scene.object
        past, scale = xp.stack([full(thing, -0.05), full(thing, 0.77), thing[:, 2]], axis=1), (3.0, 1.0, 1.0)
        passed = tolerance(distance(thing, past, scale), 0.0, RADIUS, distance(scene.start, past, scale))
        left = distance(thing, scene.goal)
        placed = tolerance(left, 0.0, RADIUS, distance(scene.start, scene.goal))
        caged = 2 * caging(scene, action, thing, radius=0.015, pad=0.05, xz=0.005)
        between = (distance(thing, scene.tcp) < 0.02) & (scene.opening > 0)
        further = xp.where(thing[:, 1] > 0.75, 4.0 + 3.0 * placed, 4.0 * passed)
        return one_if(left < RADIUS, xp.where(between, caged + 1.0 + further, caged), 10.0)

    def solved(self, scene: Scene) -> Array:
        return distance(scene.object, scene.goal) <= 0.07


class PushBack(PushWall):
    """Towards the robot: held and near the goal."""

    mjcf = "sawyer_push_back_v3"
    hand = single(0.0, 0.6, 0.2)

    def reward(self, scene: Scene, action: Array) -> Array:
        xp, thing = namespace(action), scene.object
        left, at_first = distance(thing, scene.goal), distance(scene.start, scene.goal)
        placed = tolerance(left, 0.0, RADIUS, at_first)
        reward = both(pinching(scene, action, thing, radius=0.007, xz=0.01, grip=0.003), placed)
        pinched = (scene.opening > 0) & (scene.opening < 0.55)
        moved = (distance(thing, scene.tcp) < 0.01) & pinched & (at_first - left > 0.01)
        return one_if(left < RADIUS, xp.where(moved, reward + 1.0 + 5.0 * placed, reward), 10.0)


class _Mug(Definition):
    """A mug that stands before a coffee machine, or shall stand there."""

    mjcf = "sawyer_coffee"
    hand = (0.0, 0.4, 0.2)
    goal_mark = "mug_goal"
    scale = (2.0, 2.0, 1.0)

    def begin(self, start: Start) -> None:
        start.put(slice(0, 3), start.first, slice(9, 15))
        start.remember(start.first, start.second)

    def objects(self, scene: Scene) -> tuple[Array, ...]:
        return scene.body("obj"), scene.geom_rotation("mug")

    def reward(self, scene: Scene, action: Array) -> Array:
        xp, thing = namespace(action), scene.object
        left = distance(thing, scene.goal, self.scale)
        placed = tolerance(left, 0.0, RADIUS, distance(scene.start, scene.goal, self.scale))
        caged = caging(scene, action, thing, radius=0.02, pad=0.05, xz=0.05, effort=0.7, reach=0.04)
        reward = both(caged, placed)
        between = (distance(thing, scene.tcp) < 0.04) & (scene.opening > 0)
        return one_if(left < RADIUS, xp.where(between, reward + 1.0 + 5.0 * placed, reward), 10.0)

    def solved(self, scene: Scene) -> Array:
        return distance(scene.object, scene.goal) <= 0.07


class CoffeePush(_Mug):
    def fixtures(self, model: mujoco.MjModel, place: np.ndarray) -> dict[str, np.ndarray]:
        return {"coffee_machine": offset(place[:, 3:], 0.0, 0.22, 0.0)}


class CoffeePull(_Mug):
    def fixtures(self, model: mujoco.MjModel, place: np.ndarray) -> dict[str, np.ndarray]:
        return {"coffee_machine": offset(place[:, :3], 0.0, 0.22, 0.0)}


class Soccer(Definition):
    """A ball into a goal; beside it, less the further behind the goal's line."""

    mjcf = "sawyer_soccer"
    radius = 0.07  # m
    scale = (3.0, 1.0, 1.0)

    def fixtures(self, model: mujoco.MjModel, place: np.ndarray) -> dict[str, np.ndarray]:
        return {"goal_whole": place[:, 3:]}

    def begin(self, start: Start) -> None:
        first = start.at_height(start.first, 0.03)
        start.put_free(first)
        start.remember(first, start.second)

    def objects(self, scene: Scene) -> tuple[Array, ...]:
        return scene.body("soccer_ball"), scene.body_rotation("soccer_ball")

    def reward(self, scene: Scene, action: Array) -> Array:
        xp, ball, goal = namespace(action), scene.object, scene.goal
        left = distance(ball, goal, self.scale)
        placed = tolerance(left, 0.0, self.radius, distance(ball, scene.start, self.scale))
        line = goal[:, 1] - 0.1
        beside = (ball[:, 1] > line) & (xp.abs(ball[:, 0] - goal[:, 0]) > 0.1)
        placed = xp.where(beside, clip(placed - 2 * ((ball[:, 1] - line) / (1 - line)), 0.0, 1.0), placed)
        caged = pinching(scene, action, ball, radius=0.013, xz=0.005, grip=0.01)
        return one_if(left < self.radius, 3 * caged + 6.5 * placed, 10.0)

    def solved(self, scene: Scene) -> Array:
        return distance(scene.object, scene.goal) <= 0.07


class Sweep(Definition):
    """A cube off the table's side."""

    mjcf = "sawyer_sweep_v3"
    grip, xz = 0.01, 0.005  # m

    def begin(self, start: Start) -> None:
        first = start.at_height(start.first, 0.02)
        start.put_free(first)
        start.remember(first, np.column_stack([np.full(len(first), 0.5), first[:, 1], np.full(len(first), 0.01)]))

    def objects(self, scene: Scene) -> tuple[Array, ...]:
        return scene.body("obj"), scene.body_quat("obj")

    def target(self, scene: Scene) -> Array:
        """Where the cube shall go, (N, 3)."""
        return scene.goal

    def reward(self, scene: Scene, action: Array) -> Array:
        thing, goal = scene.object, self.target(scene)
        left = distance(thing, goal)
        placed = tolerance(left, 0.0, RADIUS, distance(scene.start, goal))
        caged = pinching(scene, action, thing, radius=0.02, xz=self.xz, grip=self.grip)
        return one_if(left < RADIUS, 2 * caged + 6 * both(caged, placed), 10.0)

    def solved(self, scene: Scene) -> Array:
        return distance(scene.object, self.target(scene)) <= RADIUS


class SweepInto(Sweep):
    """Into a hole in the table, however deep."""

    mjcf = "sawyer_table_with_hole"
    grip, xz = 0.005, 0.01

    def begin(self, start: Start) -> None:
        first = start.at_height(start.first, start.body("obj")[:, 2])
        start.put_free(first)
        start.remember(first, np.broadcast_to((0.0, 0.84, 0.02), first.shape))

    def objects(self, scene: Scene) -> tuple[Array, ...]:
        return scene.body("obj"), scene.geom_rotation("objGeom")

    def target(self, scene: Scene) -> Array:
        xp, goal = namespace(scene.goal), scene.goal
        return xp.stack([goal[:, 0], goal[:, 1], scene.object[:, 2]], axis=1)
