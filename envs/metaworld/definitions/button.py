"""Press a button: on a box, from the front or from above, with and without a wall before it, or of a coffee machine."""

from typing import ClassVar

import mujoco
import numpy as np

from ...arrays import Array, full, namespace
from .definition import Definition, Start, offset, single
from .scene import Scene
from .shaping import both, distance, tolerance


class ButtonPress(Definition):
    """Near the button with the gripper open, then how far it is pressed."""

    mjcf = "sawyer_button_press"
    hand = single(0.0, 0.4, 0.2)
    axis = 1  # that the button moves along
    surface: ClassVar = (0.0, -0.193, 0.0)  # m, from the button's body
    pressed = 0.02  # m from the end that count as pressed

    def fixtures(self, model: mujoco.MjModel, place: np.ndarray) -> dict[str, np.ndarray]:
        return {"box": place}

    def begin(self, start: Start) -> None:
        start.put(slice(9, 10), 0.0, slice(9, 10))
        self._note(start)

    def _note(self, start: Start) -> None:
        end = start.site("hole")
        way = np.abs(end[:, self.axis] - start.site("buttonStart")[:, self.axis])
        start.remember(start.first, end, way[:, None])

    def objects(self, scene: Scene) -> tuple[Array, ...]:
        return offset(scene.body("button"), *self.surface), scene.body_quat("button")

    def left(self, scene: Scene) -> Array:
        """m to press, (N,)."""
        return namespace(scene.goal).abs(scene.goal[:, self.axis] - scene.object[:, self.axis])

    def way(self, scene: Scene) -> Array:
        """m to press at the start, (N,)."""
        return scene.note[:, 0]

    def reward(self, scene: Scene, action: Array) -> Array:
        xp, button = namespace(action), scene.object
        away = distance(button, scene.tcp)
        near = tolerance(away, 0.0, 0.05, distance(button, scene.start_tcp))
        pressed = tolerance(self.left(scene), 0.0, 0.005, self.way(scene))
        return 2 * both(scene.opening, near) + xp.where(away <= 0.05, 8 * pressed, full(away, 0.0))

    def solved(self, scene: Scene) -> Array:
        return self.left(scene) <= self.pressed


class ButtonPressWall(ButtonPress):
    mjcf = "sawyer_button_press_wall"
    pressed = 0.03

    def reward(self, scene: Scene, action: Array) -> Array:
        xp, button = namespace(action), scene.object
        away = distance(button, scene.tcp)
        near = tolerance(away, 0.0, 0.01, distance(button, scene.start_tcp))
        pressed = tolerance(self.left(scene), 0.0, 0.005, self.way(scene))
        approach = 2 * both((1 - scene.opening) / 2.0, near)
        return xp.where(away > 0.07, approach, 2 + 2 * (1 + scene.opening) + 4 * pressed**2)


class ButtonPressTopdown(ButtonPress):
    """From above, with the gripper closed."""

    mjcf = "sawyer_button_press_topdown"
    axis = 2
    surface: ClassVar = (0.0, 0.0, 0.193)
    pressed = 0.024

    def begin(self, start: Start) -> None:
        start.forward()
        self._note(start)

    def reward(self, scene: Scene, action: Array) -> Array:
        xp, button = namespace(action), scene.object
        away = distance(button, scene.tcp)
        near = tolerance(away, 0.0, 0.01, distance(button, scene.start_tcp))
        pressed = tolerance(self.left(scene), 0.0, 0.005, self.way(scene))
        return 5 * both(1 - scene.opening, near) + xp.where(away <= 0.03, 5 * pressed, full(away, 0.0))


class ButtonPressTopdownWall(ButtonPressTopdown):
    mjcf = "sawyer_button_press_topdown_wall"


class CoffeeButton(ButtonPress):
    mjcf = "sawyer_coffee"
    hand = (0.0, 0.4, 0.2)

    def fixtures(self, model: mujoco.MjModel, place: np.ndarray) -> dict[str, np.ndarray]:
        return {"coffee_machine": place}

    def begin(self, start: Start) -> None:
        start.put(slice(0, 3), offset(start.first, 0.0, -0.22, 0.0), slice(9, 15))
        start.remember(start.first, offset(offset(start.first, 0.0, -0.22, 0.3), 0.0, 0.03, 0.0))

    def objects(self, scene: Scene) -> tuple[Array, ...]:
        button = scene.site("buttonStart")
        one, zero = full(button, 1.0), full(button, 0.0)
        return button, namespace(button).stack([one, zero, zero, zero], axis=1)

    def way(self, scene: Scene) -> Array:
        return full(scene.goal, 0.03)
