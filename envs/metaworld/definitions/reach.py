"""Reach a hidden place with the gripper, with and without a wall in the way; the puck on the table is of no use."""

from ...arrays import Array, norm
from .definition import Definition, Start, offset
from .scene import Scene
from .shaping import distance, tolerance

RADIUS = 0.05  # m


class Reach(Definition):
    """Ten times the tolerance of the distance to the goal; its margin is the hand's first distance."""

    mjcf = "sawyer_reach_v3"

    def begin(self, start: Start) -> None:
        start.put_free(start.first)
        start.remember(start.first, start.second)

    def objects(self, scene: Scene) -> tuple[Array, ...]:
        return scene.body("obj"), scene.geom_rotation("objGeom")

    def reward(self, scene: Scene, action: Array) -> Array:
        margin = norm(offset(scene.goal, *(-x for x in self.hand)))
        return 10 * tolerance(distance(scene.tcp, scene.goal), 0.0, RADIUS, margin)

    def solved(self, scene: Scene) -> Array:
        return distance(scene.tcp, scene.goal) <= RADIUS


class ReachWall(Reach):
    mjcf = "sawyer_reach_wall_v3"
