"""Open and close a drawer and a window."""

import mujoco
import numpy as np

from ...arrays import Array, namespace
from .definition import Definition, Start, offset, single, zeros
from .scene import Scene
from .shaping import both, closing, distance, one_if, tolerance

RADIUS = 0.05  # m


class _Drawer(Definition):
    mjcf = "sawyer_drawer"
    hand = single(0.0, 0.6, 0.2)

    def fixtures(self, model: mujoco.MjModel, place: np.ndarray) -> dict[str, np.ndarray]:
        return {"drawer": place}


class DrawerOpen(_Drawer):
    """The hand at the handle, and the handle 0.2 m out."""

    way = 0.2  # m

    def begin(self, start: Start) -> None:
        start.remember(start.first, offset(start.first, 0.0, -0.16 - self.way, 0.09))

    def objects(self, scene: Scene) -> tuple[Array, ...]:
        return offset(scene.body("drawer_link"), 0.0, -0.16, 0.0), scene.body_quat("drawer_link")

    def reward(self, scene: Scene, action: Array) -> Array:
        handle, scale = scene.object, (3.0, 3.0, 1.0)
        opened = tolerance(distance(handle, scene.goal), 0.0, 0.02, self.way)
        margin = distance(offset(scene.goal, 0.0, self.way, 0.0), scene.start_tcp, scale)
        return 5.0 * (tolerance(distance(handle, scene.hand, scale), 0.0, 0.01, margin) + opened)

    def solved(self, scene: Scene) -> Array:
        return distance(scene.object, scene.goal) <= 0.03


class DrawerClose(_Drawer):
    """The closed gripper at the handle, and the handle in."""

    closed = RADIUS + 0.015  # m

    def begin(self, start: Start) -> None:
        start.put(slice(9, 10), -0.15)
        start.remember(self.objects(start)[0], offset(start.first, 0.0, -0.16, 0.09))

    def objects(self, scene: Scene) -> tuple[Array, ...]:
        handle = offset(scene.body("drawer_link"), 0.0, -0.16, 0.05)
        return handle, zeros(handle, 4)

    def reward(self, scene: Scene, action: Array) -> Array:
        xp, left = namespace(action), distance(scene.object, scene.goal)
        placed = tolerance(left, 0.0, RADIUS, xp.abs(distance(scene.start, scene.goal) - RADIUS))
        margin = xp.abs(distance(scene.start, scene.start_tcp) - 0.005)
        near = tolerance(distance(scene.object, scene.tcp), 0.0, 0.005, margin, gaussian=True)
        return 10 * one_if(left <= self.closed, both(both(near, closing(action)), placed))

    def solved(self, scene: Scene) -> Array:
        return distance(scene.object, scene.goal) <= self.closed


class WindowOpen(Definition):
    """The gripper at the handle, and the handle at the end of its way."""

    mjcf = "sawyer_window_horizontal"
    hand = single(0.0, 0.4, 0.2)
    handle, at_first, gaussian = "handleOpenStart", 0.0, False

    def fixtures(self, model: mujoco.MjModel, place: np.ndarray) -> dict[str, np.ndarray]:
        return {"window": place}

    def begin(self, start: Start) -> None:
        start.remember(start.first, offset(start.first, 0.2, 0.0, 0.0), start.site(self.handle))
        self._slide(start)

    def _slide(self, start: Start) -> None:
        """Put the window where it begins; what is seen of it is from before."""
        start.sim.bind("qpos")[start.ids, int(start.sim.model.joint("window_slide").qposadr[0])] = self.at_first

    def objects(self, scene: Scene) -> tuple[Array, ...]:
        handle = scene.site(self.handle)
        return handle, zeros(handle, 4)

    def way(self, scene: Scene) -> Array:
        """m from the handle's first place to the goal, (N,)."""
        return namespace(scene.goal).abs(scene.start[:, 0] - scene.goal[:, 0])

    def left(self, scene: Scene) -> Array:
        return namespace(scene.goal).abs(scene.object[:, 0] - scene.goal[:, 0])

    def reward(self, scene: Scene, action: Array) -> Array:
        xp, handle = namespace(action), scene.object
        placed = tolerance(self.left(scene), 0.0, RADIUS, xp.abs(self.way(scene) - RADIUS))
        margin = xp.abs(distance(scene.note[:, :3], scene.start_tcp) - 0.02)
        return 10 * both(tolerance(distance(handle, scene.tcp), 0.0, 0.02, margin, self.gaussian), placed)

    def solved(self, scene: Scene) -> Array:
        return self.left(scene) <= RADIUS


class WindowClose(WindowOpen):
    handle, at_first, gaussian = "handleCloseStart", 0.2, True

    def begin(self, start: Start) -> None:
        start.remember(start.first, start.first, offset(start.site(self.handle), 0.2, 0.0, 0.0))
        self._slide(start)

    def way(self, scene: Scene) -> Array:
        return namespace(scene.goal).abs(scene.note[:, 0] - scene.goal[:, 0])
