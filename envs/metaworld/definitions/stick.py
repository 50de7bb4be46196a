"""Push and pull a thermos with a stick."""

import mujoco
import numpy as np

from ...arrays import Array, namespace
from .definition import Definition, Start, offset, zeros
from .scene import Scene
from .shaping import both, caging, distance, one_if, tolerance

_HEIGHT = 0.02  # m, of the stick at the start


class _Stick(Definition):
    mjcf = "sawyer_stick_obj"
    thermos: tuple[float, float]  # m, of its two slides at the start
    handle: tuple[float, float, float]  # m, from the place of insertion to what is observed of the thermos

    def put_both(self, start: Start) -> np.ndarray:
        """Put stick and thermos in their places; the stick's (n, 3)."""
        stick = start.at_height(start.first, _HEIGHT)
        start.put_free(stick)
        start.put(slice(16, 18), self.thermos, slice(16, 18))
        return stick

    def objects(self, scene: Scene) -> tuple[Array, ...]:
        handle = offset(scene.site("insertion"), *self.handle)
        return scene.body("stick"), scene.body_rotation("stick"), handle, zeros(handle, 4)


class StickPush(_Stick):
    """Caging of the stick; once it is lifted, how near it and the thermos are to the goal."""

    thermos = (0.0, 0.0)
    handle = (0.0, 0.09, 0.0)
    radius = 0.12  # m

    def begin(self, start: Start) -> None:
        goal = start.at_height(start.second, start.site("insertion")[:, 2])
        stick = self.put_both(start)
        start.remember(stick, goal, start.body("object"))

    def reward(self, scene: Scene, action: Array) -> Array:
        xp, stick, thermos, goal = namespace(action), offset(scene.object, 0.015, 0.0, 0.0), scene.second, scene.goal
        near = tolerance(distance(stick, goal), 0.0, self.radius, distance(scene.start, goal) - self.radius)
        left, margin = distance(thermos, goal), distance(scene.note[:, :3], goal) - self.radius
        placed = tolerance(left, 0.0, self.radius, margin)
        caged = caging(scene, action, stick, radius=0.04, pad=0.05, xz=0.01)
        lifted = stick[:, 2] - 0.01 > scene.start[:, 2]
        held = (distance(stick, scene.tcp) < 0.02) & (scene.opening > 0) & lifted
        further = one_if(left <= self.radius, 2.0 + 5.0 * near + 3.0 * placed, 10.0)
        return xp.where(held, further, caged)

    def solved(self, scene: Scene) -> Array:
        """The thermos at its goal while the lifted stick is between both fingers."""
        lifted = scene.object[:, 2] - 0.01 > scene.start[:, 2]
        near = (distance(scene.second, scene.goal) <= self.radius) & (scene.opening > 0) & lifted
        pressed = np.zeros(scene.sim.nsim, bool)
        for i in np.flatnonzero(np.asarray(near)):  # hardly ever any: contact forces are not computed for all
            pressed[i] = _pressed_from_both_sides(scene.sim.model, scene.sim.get_data(int(i)))
        return near & namespace(near).asarray(pressed)


class StickPull(_Stick):
    """Held and near the thermos; lifted, more; inserted in its handle, how near both are to the goal."""

    low = (-0.5, 0.35, 0.05)
    thermos = (0.0, 0.09)
    handle = (0.0, 0.0, 0.0)

    def begin(self, start: Start) -> None:
        stick = self.put_both(start)
        start.remember(start.body("object"), start.at_height(start.second, _HEIGHT), stick)

    def reward(self, scene: Scene, action: Array) -> Array:
        xp, stick, first, goal = namespace(action), scene.object, scene.note[:, :3], scene.goal
        thermos, scale = offset(scene.second, 0.05, 0.0, 0.0), (1.0, 1.0, 2.0)
        margin = distance(first, offset(scene.start, 0.05, 0.0, 0.0), scale)
        near = tolerance(distance(stick, thermos, scale), 0.0, 0.05, margin)
        stick_placed = tolerance(distance(stick, goal), 0.0, 0.05, distance(first, goal))
        placed = tolerance(distance(thermos, goal), 0.0, 0.05, distance(scene.start, goal))
        lifted = stick[:, 2] - 0.01 > first[:, 2]
        held = (distance(stick, scene.tcp) < 0.02) & (scene.opening > 0) & lifted
        caged = one_if(held, caging(scene, action, stick, radius=0.014, pad=0.05, xz=0.01))
        reward = both(caged, near)
        pulled = one_if(self.at_goal(scene), 1.0 + reward + 5.0 + 2.0 * stick_placed + placed, 10.0)
        further = xp.where(self.inserted(scene), pulled, 1.0 + reward + 5.0 * near)
        return xp.where(held, further, reward)

    def at_goal(self, scene: Scene) -> Array:
        return distance(scene.second, scene.goal) <= 0.12

    def inserted(self, scene: Scene) -> Array:
        xp, handle, end = namespace(scene.goal), scene.second, scene.site("stick_end")
        aside = xp.abs(end - handle)
        return (end[:, 0] >= handle[:, 0]) & (aside[:, 1] <= 0.04) & (aside[:, 2] <= 0.06)

    def solved(self, scene: Scene) -> Array:
        return self.at_goal(scene) & self.inserted(scene)


def _pressed_from_both_sides(model: mujoco.MjModel, data: mujoco.MjData) -> bool:
    """Whether the main object has a contact with a force at either pad.

    Of each contact, Meta-World takes the first row of its constraint.
    """
    mujoco.mj_forward(model, data)
    thing, contact = model.geom("objGeom").id, data.contact
    for pad in ("leftpad_geom", "rightpad_geom"):
        pair = {thing, model.geom(pad).id}
        touching = [set(map(int, geoms)) == pair for geoms in contact.geom]
        if not data.efc_force[contact.efc_address[touching]].sum() > 0:
            return False
    return True
