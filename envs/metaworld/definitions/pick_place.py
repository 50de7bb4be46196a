"""Pick a thing up and bring it to a hidden place."""

import mujoco
import numpy as np

from ...arrays import Array, clip, flag, full, namespace
from .definition import Definition, Start, offset, single
from .scene import Scene
from .shaping import above, both, caging, distance, funnel, one_if, pinching, plane_distance, tolerance

RADIUS = 0.05  # m


class PickPlace(Definition):
    """Held and near the goal; once the thing is lifted, 1 more and five times how near."""

    mjcf = "sawyer_pick_place_v3"

    def begin(self, start: Start) -> None:
        start.put_free(start.first)
        start.remember(start.first, start.second)

    def objects(self, scene: Scene) -> tuple[Array, ...]:
        return scene.body("obj"), scene.geom_rotation("objGeom")

    def reward(self, scene: Scene, action: Array) -> Array:
        xp, thing = namespace(action), scene.object
        left = distance(thing, scene.goal)
        placed = tolerance(left, 0.0, RADIUS, distance(scene.start, scene.goal))
        reward = both(pinching(scene, action, thing, radius=0.015, xz=0.005, grip=None), placed)
        held = _between(scene, 0.02) & _lifted(scene, 0.01)
        return one_if(left < RADIUS, xp.where(held, reward + 1.0 + 5.0 * placed, reward), 10.0)

    def solved(self, scene: Scene) -> Array:
        return distance(scene.object, scene.goal) <= 0.07


class PickPlaceWall(PickPlace):
    """Over a wall: first above it, then to the goal."""

    mjcf = "sawyer_pick_place_wall_v3"

    def objects(self, scene: Scene) -> tuple[Array, ...]:
        return scene.geom("objGeom"), scene.geom_rotation("objGeom")

    def reward(self, scene: Scene, action: Array) -> Array:
        xp, thing, goal = namespace(action), scene.object, scene.goal
        over, scale = xp.stack([goal[:, 0], full(goal, 0.77), full(goal, 0.25)], axis=1), (1.0, 1.0, 3.0)
        passed = tolerance(distance(thing, over, scale), 0.0, RADIUS, distance(scene.start, over, scale))
        left = distance(thing, goal)
        placed = tolerance(left, 0.0, RADIUS, distance(scene.start, goal))
        reward = both(caging(scene, action, thing, radius=0.015, pad=0.05, xz=0.005, dense=False), passed)
        held = _between(scene, 0.02) & _lifted(scene, 0.015)
        further = xp.where(thing[:, 1] > 0.75, 4.0 + 3.0 * placed, 4.0 * passed)
        return one_if(left < RADIUS, xp.where(held, reward + 1.0 + further, reward), 10.0)


class ShelfPlace(Definition):
    """Into a shelf; below and before its board, less, and behind its edge nothing for being near the goal."""

    mjcf = "sawyer_shelf_placing"
    hand = single(0.0, 0.6, 0.2)

    def fixtures(self, model: mujoco.MjModel, place: np.ndarray) -> dict[str, np.ndarray]:
        return {"shelf": offset(place[:, 3:], 0.0, 0.0, -0.3)}

    def begin(self, start: Start) -> None:
        first = start.at_height(start.first, start.body("obj")[:, 2])
        start.put_free(first)
        start.remember(first, start.sim.model.site("goal").pos + offset(start.second, 0.0, 0.0, -0.3))

    def objects(self, scene: Scene) -> tuple[Array, ...]:
        return scene.body("obj"), scene.geom_rotation("objGeom")

    def reward(self, scene: Scene, action: Array) -> Array:
        xp, thing, goal = namespace(action), scene.object, scene.goal
        left = distance(thing, goal)
        placed = tolerance(left, 0.0, RADIUS, distance(scene.start, goal))
        reward = both(caging(scene, action, thing, radius=0.02, pad=0.05, xz=0.01, dense=False), placed)
        (x, y, z), before = (thing[:, i] for i in range(3)), goal[:, 1] - 3 * RADIUS
        below = (z > 0.0) & (z < 0.24) & (goal[:, 0] - 0.15 < x) & (x < goal[:, 0] + 0.15)
        lost = both((y - before) / (3 * RADIUS), (0.24 - z) / 0.24)
        placed = xp.where(below & (before < y) & (y < goal[:, 1]), clip(placed - lost, 0.0, 1.0), placed)
        placed = one_if(below & (y > goal[:, 1]), placed, 0.0)
        held = _between(scene, 0.025) & _lifted(scene, 0.01)
        return one_if(left < RADIUS, xp.where(held, reward + 1.0 + 5.0 * placed, reward), 10.0)

    def solved(self, scene: Scene) -> Array:
        return distance(scene.object, scene.goal) <= 0.07


class Basketball(Definition):
    """A ball to 0.3 m above the table over the place of the hoop."""

    mjcf = "sawyer_basketball"
    hand = single(0.0, 0.6, 0.2)
    radius = 0.08  # m
    scale = (1.0, 1.0, 2.0)

    def fixtures(self, model: mujoco.MjModel, place: np.ndarray) -> dict[str, np.ndarray]:
        return {"basket_goal": place[:, 3:]}

    def begin(self, start: Start) -> None:
        first = start.at_height(start.first, single(0.03)[0])
        start.put_free(first)
        start.remember(first, start.site("goal"))

    def objects(self, scene: Scene) -> tuple[Array, ...]:
        return scene.body("bsktball"), scene.body_quat("bsktball")

    def target(self, scene: Scene) -> Array:
        """Where the ball shall go, (N, 3)."""
        xp, goal = namespace(scene.goal), scene.goal
        return xp.stack([goal[:, 0], goal[:, 1], full(goal, 0.3)], axis=1)

    def reward(self, scene: Scene, action: Array) -> Array:
        xp, ball, goal = namespace(action), scene.object, self.target(scene)
        left = distance(ball, goal, self.scale)
        placed = tolerance(left, 0.0, self.radius, distance(scene.start, goal, self.scale))
        held = _between(scene, 0.035) & _lifted(scene, 0.01)
        caged = one_if(held, caging(scene, action, ball, radius=0.025, pad=0.06, xz=0.005))
        reward = both(caged, placed)
        return one_if(left < self.radius, xp.where(held, reward + 1.0 + 5.0 * placed, reward), 10.0)

    def solved(self, scene: Scene) -> Array:
        return distance(scene.object, self.target(scene), self.scale) <= self.radius


class BinPicking(Definition):
    """From one bin into another, the hand above a funnel around either."""

    mjcf = "sawyer_bin_picking"
    low = (-0.5, 0.4, 0.07)

    def begin(self, start: Start) -> None:
        first = start.at_height(start.first, start.body("obj")[:, 2])
        start.put_free(first)
        start.remember(first, start.body("bin_goal"), np.full((len(first), 1), -1.0))

    def after(self, scene: Scene) -> None:
        """The margin to the goal is the distance after the first step."""
        margin = scene.note[:, 0]
        xp = namespace(margin)
        scene.note[:, 0] = xp.where(margin < 0, distance(scene.object, scene.goal), margin)

    def objects(self, scene: Scene) -> tuple[Array, ...]:
        return scene.body("obj"), scene.body_quat("obj")

    def reward(self, scene: Scene, action: Array) -> Array:
        xp, thing, hand = namespace(action), scene.object, scene.hand
        left = distance(thing, scene.goal)
        placed = tolerance(left, 0.0, RADIUS, scene.note[:, 0])
        floors = [funnel(plane_distance(hand, place), 0.03, 0.02, 0.2) for place in (scene.start, scene.goal)]
        clear = above(hand[:, 2], xp.minimum(*floors), 0.05)
        reward = both(caging(scene, action, thing, radius=0.015, pad=0.05, xz=0.01, effort=0.7), placed)
        held = (distance(thing, hand) < 0.04) & _lifted(scene, 0.02) & ~(scene.opening < 0.43)
        return one_if(left < RADIUS, xp.where(held, reward + 1.0 + 5.0 * both(clear, placed), reward), 10.0)

    def solved(self, scene: Scene) -> Array:
        return distance(scene.object, scene.goal) <= RADIUS


class PickOutOfHole(PickPlace):
    """Out of a hole in the table, the gripper above a funnel around it."""

    mjcf = "sawyer_pick_out_of_hole"
    low = (-0.5, 0.4, -0.05)

    def objects(self, scene: Scene) -> tuple[Array, ...]:
        return scene.body("obj"), scene.body_quat("obj")

    def reward(self, scene: Scene, action: Array) -> Array:
        xp, thing, tcp = namespace(action), scene.object, scene.tcp
        left = distance(thing, scene.goal)
        placed = tolerance(left, 0.0, 0.02, distance(scene.start, scene.goal))
        clear = above(tcp[:, 2], funnel(plane_distance(tcp, scene.start), 0.03, 0.015, 0.15), 0.02)
        reward = both(caging(scene, action, thing, radius=0.015, pad=0.02, xz=0.03, effort=0.1), placed)
        held = (distance(thing, tcp) < 0.04) & _lifted(scene, 0.02) & ~(scene.opening < 0.33)
        return one_if(left < RADIUS, xp.where(held, reward + 1.0 + 5.0 * both(placed, clear), reward), 10.0)


class HandInsert(Definition):
    """A cube into a hole in the table, with the hand."""

    mjcf = "sawyer_table_with_hole"
    hand = single(0.0, 0.6, 0.2)
    low = (-0.5, 0.4, -0.15)

    def begin(self, start: Start) -> None:
        first = start.at_height(start.first, 0.05)
        start.put_free(first)
        start.remember(first, start.second)

    def objects(self, scene: Scene) -> tuple[Array, ...]:
        return scene.body("obj"), scene.body_quat("obj")

    def reward(self, scene: Scene, action: Array) -> Array:
        xp, thing = namespace(action), scene.object
        left = distance(thing, scene.goal)
        placed = tolerance(left, 0.0, RADIUS, distance(scene.start, scene.goal))
        reward = both(caging(scene, action, thing, radius=0.015, pad=0.05, xz=0.005), placed)
        return one_if(
            left < RADIUS, xp.where(_between(scene, 0.02), reward + 1.0 + 7.0 * placed, reward), 10.0
        )

    def solved(self, scene: Scene) -> Array:
        return distance(scene.object, scene.goal) <= RADIUS


class BoxClose(Definition):
    """A lid onto a box, level: over the lid, grasped, lifted, placed."""

    mjcf = "sawyer_box"
    hand = single(0.0, 0.6, 0.2)

    def fixtures(self, model: mujoco.MjModel, place: np.ndarray) -> dict[str, np.ndarray]:
        height = np.full(len(place), model.body("boxbody").pos[2])
        return {"boxbody": np.column_stack([place[:, 3:5], height])}

    def begin(self, start: Start) -> None:
        start.step(5)
        first = start.at_height(start.first, single(0.02)[0])
        start.put_free(first)
        start.remember(first, start.second)

    def objects(self, scene: Scene) -> tuple[Array, ...]:
        return scene.body("top_link"), scene.body_quat("top_link")

    def reward(self, scene: Scene, action: Array) -> Array:
        hand, lid = scene.hand, offset(scene.object, 0.0, 0.0, 0.02)
        grasped = clip((clip(action[:, 3], -1.0, 1.0) + 1.0) / 2.0, 0.0, 1.0)
        clear = above(hand[:, 2], funnel(plane_distance(hand, lid), 0.02, 0.04, 0.4))
        ready = both(clear, tolerance(distance(hand, lid), 0.0, 0.02, 0.5))
        placed = tolerance(distance(scene.goal, lid, (1.0, 1.0, 3.0)), 0.0, 0.05, 0.25)
        lifted = 0.2 * flag(lid[:, 2] > 0.04, placed) + 0.8 * placed
        reward = 2.0 * both(grasped, ready) + 8.0 * lifted
        return one_if(self.solved(scene), reward, 10.0) * scene.upright((0.707, 0.0, 0.0, 0.707), 0.2)

    def solved(self, scene: Scene) -> Array:
        return distance(scene.object, scene.goal) < 0.08


def _between(scene: Scene, within: float) -> Array:
    """Whether the object is between the fingers."""
    return (distance(scene.object, scene.tcp) < within) & (scene.opening > 0)


def _lifted(scene: Scene, by: float) -> Array:
    return scene.object[:, 2] - by > scene.start[:, 2]
