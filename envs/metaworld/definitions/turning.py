"""Turn a faucet, a dial and a lever."""

import math

import mujoco
import numpy as np

from ...arrays import Array, full, namespace
from .definition import Definition, Start, offset, single
from .scene import Scene
from .shaping import both, closing, distance, one_if, tolerance

RADIUS = 0.07  # m


class FaucetClose(Definition):
    """The gripper at the handle's end, and the handle turned."""

    mjcf = "sawyer_faucet"
    hand = (0.0, 0.4, 0.2)
    low = (-0.5, 0.4, -0.15)
    goal_mark = "goal_close"
    handle, turned = "handleStartClose", -0.175  # m that the handle's end goes along x

    def fixtures(self, model: mujoco.MjModel, place: np.ndarray) -> dict[str, np.ndarray]:
        return {"faucetBase": place}

    def begin(self, start: Start) -> None:
        start.forward()
        start.remember(start.first, offset(start.first, self.turned, 0.0, 0.125))

    def objects(self, scene: Scene) -> tuple[Array, ...]:
        return offset(scene.site(self.handle), 0.0, 0.0, -0.01), scene.body_quat("faucetBase")

    def end(self, scene: Scene) -> Array:
        """The handle's end, (N, 3)."""
        return scene.object

    def reward(self, scene: Scene, action: Array) -> Array:
        xp, end = namespace(action), self.end(scene)
        left = distance(end, scene.goal)
        placed = tolerance(left, 0.0, RADIUS, xp.abs(distance(scene.start, scene.goal) - RADIUS))
        margin = xp.abs(distance(scene.start, scene.start_tcp) - 0.01)
        near = tolerance(distance(end, scene.tcp), 0.0, 0.01, margin, gaussian=True)
        return one_if(left <= RADIUS, 2 * (2 * near + 3 * placed), 10.0)

    def solved(self, scene: Scene) -> Array:
        return distance(self.end(scene), scene.goal) <= RADIUS


class FaucetOpen(FaucetClose):
    goal_mark = "goal_open"
    handle, turned = "handleStartOpen", 0.175

    def begin(self, start: Start) -> None:
        start.remember(start.first, offset(start.first, self.turned, 0.0, 0.125))

    def end(self, scene: Scene) -> Array:
        return offset(scene.object, -0.04, 0.0, 0.03)


class DialTurn(Definition):
    """The closed gripper beside the dial's mark, and the mark at its goal."""

    mjcf = "sawyer_dial"
    hand = single(0.0, 0.6, 0.2)

    def fixtures(self, model: mujoco.MjModel, place: np.ndarray) -> dict[str, np.ndarray]:
        return {"dial": place}

    def begin(self, start: Start) -> None:
        mark = self.objects(start)[0]
        start.remember(start.first, offset(start.first, 0.0, 0.03, 0.03), self.beside(mark))

    def objects(self, scene: Scene) -> tuple[Array, ...]:
        center, angle = scene.body("dial"), scene.joint("knob_Joint_1")
        xp = namespace(center)
        mark = xp.stack([0.05 * xp.sin(angle), -0.05 * xp.cos(angle), full(angle, 0.0)], axis=1)
        return center + mark, scene.body_quat("dial")

    def beside(self, mark: Array) -> Array:
        """Where to push, (N, 3)."""
        return offset(mark, 0.05, 0.02, 0.09)

    def reward(self, scene: Scene, action: Array) -> Array:
        xp, first = namespace(action), scene.note[:, :3]
        margin = xp.abs(distance(first, scene.goal) - RADIUS)
        placed = tolerance(distance(scene.object, scene.goal), 0.0, RADIUS, margin)
        margin = xp.abs(distance(first, scene.start_tcp) - 0.005)
        near = tolerance(distance(self.beside(scene.object), scene.tcp), 0.0, 0.005, margin, gaussian=True)
        return 10 * both(both(near, closing(action)), placed)

    def solved(self, scene: Scene) -> Array:
        return distance(scene.object, scene.goal) <= RADIUS


class LeverPull(Definition):
    """The hand's shoulder under the lever, and its end up."""

    mjcf = "sawyer_lever_pull"
    hand = single(0.0, 0.4, 0.2)
    low = (-0.5, 0.4, -0.15)
    length = 0.2  # m

    def fixtures(self, model: mujoco.MjModel, place: np.ndarray) -> dict[str, np.ndarray]:
        return {"lever": place}

    def begin(self, start: Start) -> None:
        down, up = offset(start.first, 0.12, -self.length, 0.25), offset(start.first, 0.12, 0.0, 0.25 + self.length)
        start.remember(start.first, up, down)

    def objects(self, scene: Scene) -> tuple[Array, ...]:
        return scene.site("leverStart"), scene.geom_rotation("objGeom")

    def reward(self, scene: Scene, action: Array) -> Array:
        down, scale, shoulder = scene.note[:, :3], (4.0, 1.0, 4.0), (0.0, 0.055, 0.07)
        away = distance(offset(scene.hand, *shoulder), scene.object, scale)
        ready = tolerance(away, 0.0, 0.02, distance(offset(scene.start_tcp, *shoulder), down, scale))
        placed = tolerance(distance(scene.object, scene.goal), 0.0, 0.04, distance(down, scene.goal))
        return 10.0 * both(ready, placed)

    def solved(self, scene: Scene) -> Array:
        angle = -scene.joint("LeverAxis")
        return namespace(angle).abs(angle - math.pi / 2.0) <= math.pi / 24
