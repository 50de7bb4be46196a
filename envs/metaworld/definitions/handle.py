"""Press a handle down and pull it up, from the front or from the side."""

import mujoco
import numpy as np

from ...arrays import Array, namespace
from .definition import Definition, Start, zeros
from .scene import Scene
from .shaping import both, caging, distance, one_if, tolerance


class _Handle(Definition):
    mjcf = "sawyer_handle_press"
    handle: str  # site
    at_first: float  # m

    def fixtures(self, model: mujoco.MjModel, place: np.ndarray) -> dict[str, np.ndarray]:
        return {"box": place}

    def objects(self, scene: Scene) -> tuple[Array, ...]:
        handle = scene.site(self.handle)
        return handle, zeros(handle, 4)


class HandlePress(_Handle):
    """The gripper at the handle, and the handle down."""

    handle = "handleStart"
    radius = 0.02  # m

    def begin(self, start: Start) -> None:
        start.put(slice(9, 10), -0.001, slice(9, 10))
        start.remember(start.first, start.site("goalPress"), start.site(self.handle))

    def left(self, scene: Scene) -> Array:
        return namespace(scene.goal).abs(scene.object[:, 2] - scene.goal[:, 2])

    def reward(self, scene: Scene, action: Array) -> Array:
        xp, first, left = namespace(action), scene.note[:, :3], self.left(scene)
        margin = xp.abs(xp.abs(first[:, 2] - scene.goal[:, 2]) - self.radius)
        placed = tolerance(left, 0.0, self.radius, margin)
        margin = xp.abs(distance(first, scene.start_tcp) - 0.02)
        near = tolerance(distance(scene.object, scene.tcp), 0.0, 0.02, margin)
        return 10 * one_if(left <= self.radius, both(near, placed))

    def solved(self, scene: Scene) -> Array:
        return self.left(scene) <= self.radius


class HandlePressSide(HandlePress):
    mjcf = "sawyer_handle_press_sideways"


class HandlePull(_Handle):
    """Held and near its upper end; once it moves, 1 more and five times how near."""

    handle = "handleRight"
    radius = 0.05  # m
    solved_within = 0.05  # m

    def begin(self, start: Start) -> None:
        start.put(slice(9, 10), -0.1, slice(9, 10))
        start.remember(start.first, start.site("goalPull"))

    def left(self, scene: Scene, place: Array) -> Array:
        """m from a place to the goal, (N,)."""
        return namespace(place).abs(scene.goal[:, 2] - place[:, 2])

    def caged(self, scene: Scene, action: Array) -> Array:
        return caging(scene, action, scene.object, radius=0.022, pad=0.05, xz=0.01)

    def lifted(self, scene: Scene) -> Array:
        """Meta-World compares y with z, which is always so."""
        return scene.object[:, 1] - 0.01 > scene.start[:, 2]

    def reward(self, scene: Scene, action: Array) -> Array:
        xp, left = namespace(action), self.left(scene, scene.object)
        placed = tolerance(left, 0.0, self.radius, self.left(scene, scene.start))
        reward = both(self.caged(scene, action), placed)
        held = (distance(scene.object, scene.tcp) < 0.035) & (scene.opening > 0) & self.lifted(scene)
        return one_if(left < self.radius, xp.where(held, reward + 1.0 + 5.0 * placed, reward), 10.0)

    def solved(self, scene: Scene) -> Array:
        return self.left(scene, scene.object) <= self.solved_within


class HandlePullSide(HandlePull):
    mjcf = "sawyer_handle_press_sideways"
    handle = "handleCenter"
    solved_within = 0.08

    def begin(self, start: Start) -> None:
        start.put(slice(9, 10), -0.1, slice(9, 10))
        start.remember(start.site(self.handle), start.site("goalPull"))

    def left(self, scene: Scene, place: Array) -> Array:
        return distance(place, scene.goal)

    def caged(self, scene: Scene, action: Array) -> Array:
        return caging(scene, action, scene.object, radius=0.032, pad=0.06, xz=0.01)

    def lifted(self, scene: Scene) -> Array:
        return scene.object[:, 2] - 0.01 > scene.start[:, 2]
