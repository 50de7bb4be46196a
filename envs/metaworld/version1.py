"""Version 1 of Meta-World's rewards: unlike version 2, of very different size from task to task.

    former = VERSION_1["push-v3"]
    former.begin(scene)                                   # (n, k), numbers that an episode notes at its start
    former.reward(scene, action)                          # (N,)
    former.solved(scene, definition)                      # (N,) bool

They are of two kinds. `Move`: near the thing, a bonus for how far it has come. `Pick`: grasp, lift above a height, then
the bonus for how near it is to its goal. What is left is a class of its own. `bonus` is the same everywhere.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from ..arrays import Array, clip, full, namespace
from .definitions.definition import Definition
from .definitions.scene import Scene
from .definitions.shaping import distance, plane_distance

Measure = Callable[[Scene], Array]
"""A number of each simulation, (N,)."""
_NEAR = 0.05  # m, between fingers and thing


def bonus(most: Array, left: Array, wide: float = 0.01, narrow: float = 0.001, peak: float = 1000.0) -> Array:
    """1000 a metre gained of the first distance, and two peaks at the goal; (N,)."""
    xp = namespace(left)
    return 1000 * (most - left) + peak * (xp.exp(-(left**2) / wide) + xp.exp(-(left**2) / narrow))


def plane(scene: Scene) -> Array:
    """Object to goal, horizontally."""
    return plane_distance(scene.object, scene.goal)


def straight(scene: Scene) -> Array:
    return distance(scene.object, scene.goal)


def along(axis: int) -> Measure:
    """Object to goal along one axis."""
    return lambda scene: namespace(scene.goal).abs(scene.object[:, axis] - scene.goal[:, axis])


def first_plane(scene: Scene) -> Array:
    return plane_distance(scene.start, scene.goal)


def first_straight(scene: Scene) -> Array:
    return distance(scene.start, scene.goal)


def constant_way(metres: float) -> Measure:
    return lambda scene: full(scene.goal, metres)


def site_to_goal(name: str, axis: int) -> Measure:
    return lambda scene: namespace(scene.goal).abs(scene.site(name)[:, axis] - scene.goal[:, axis])


def geom_to_goal(name: str) -> Measure:
    return lambda scene: plane_distance(scene.geom(name), scene.goal)


class Former:
    """Version 1 of one environment."""

    within: float
    """Distance to the goal that counts as solved (m)."""

    def begin(self, scene: Scene) -> np.ndarray:
        return np.zeros((len(scene.goal), 0))

    def left(self, scene: Scene) -> Array:
        raise NotImplementedError

    def reward(self, scene: Scene, action: Array) -> Array:
        raise NotImplementedError

    def solved(self, scene: Scene, definition: Definition) -> Array:
        return self.left(scene) <= self.within


@dataclass(frozen=True)
class Move(Former):
    """Minus the distance of fingers and thing; where they are near, the bonus.

    Attributes:
        distance: from thing to goal.
        most: that distance at the start, or what Meta-World takes for it.
        within: see Former; None for version 2's answer.
        left_finger: the left finger reaches, not the centre of both.
        fallen: which things have fallen off the table and are where they belong.
    """

    distance: Measure
    most: Measure
    within: float | None = None  # pyright: ignore[reportIncompatibleVariableOverride]
    left_finger: bool = False
    peaks: tuple[float, float] = (0.01, 0.001)
    positive: bool = True
    fallen: Callable[[Scene], Array] | None = None

    def begin(self, scene: Scene) -> np.ndarray:
        return self.most(scene)[:, None]

    def left(self, scene: Scene) -> Array:
        left = self.distance(scene)
        return left if self.fallen is None else namespace(left).where(self.fallen(scene), full(left, 0.0), left)

    def approach(self, scene: Scene, action: Array, away: Array) -> Array:
        return -away

    def reward(self, scene: Scene, action: Array) -> Array:
        xp = namespace(action)
        away = distance(scene.object, scene.site("leftEndEffector") if self.left_finger else scene.tcp)
        gained = bonus(scene.former[:, 0], self.left(scene), *self.peaks)
        if self.positive:
            gained = xp.where(gained > 0, gained, full(gained, 0.0))
        approach = self.approach(scene, action, away)
        if self.fallen is not None:
            approach = xp.where(self.fallen(scene), full(approach, 0.0), approach)
        return approach + xp.where(away < _NEAR, gained, full(gained, 0.0))

    def solved(self, scene: Scene, definition: Definition) -> Array:
        return definition.solved(scene) if self.within is None else super().solved(scene, definition)


@dataclass(frozen=True)
class Pull(Move):
    """The mug's: a wrong distance, of the thing from the corner of the world, decides how it is approached."""

    def approach(self, scene: Scene, action: Array, away: Array) -> Array:
        xp, thing = namespace(action), scene.object
        wrong = xp.sqrt(thing[:, 0] ** 2 + thing[:, 1] ** 2 + scene.start_tcp[:, 2] ** 2)
        near = 0.1 - away + xp.where(away < _NEAR, _closing(action), full(away, 0.0))
        return xp.where(wrong < _NEAR, near, -wrong)


@dataclass(frozen=True)
class Unplug(Move):
    """Approached from above, as in Pick, from where the hand begins."""

    def approach(self, scene: Scene, action: Array, away: Array) -> Array:
        return _approach(scene.object, scene.tcp, full(away, 0.2), away, action, 0.05, 2.0, _NEAR)


@dataclass(frozen=True)
class Reach(Former):
    within: float = 0.05

    def begin(self, scene: Scene) -> np.ndarray:
        return distance(scene.start_tcp, scene.goal)[:, None]

    def left(self, scene: Scene) -> Array:
        return distance(scene.tcp, scene.goal)

    def reward(self, scene: Scene, action: Array) -> Array:
        gained = bonus(scene.former[:, 0], self.left(scene))
        return namespace(gained).where(gained > 0, gained, full(gained, 0.0))


@dataclass(frozen=True)
class HandInsert(Former):
    """The hand alone; solved where the object begins at its goal, so never."""

    within: float = 0.05

    def left(self, scene: Scene) -> Array:
        return first_straight(scene)

    def reward(self, scene: Scene, action: Array) -> Array:
        xp, away = namespace(action), plane_distance(scene.tcp, scene.goal)
        most, hand = float(np.float32(0.2)), scene.tcp[:, 2]
        gained = bonus(xp.abs(most - scene.goal[:, 2]), xp.abs(hand - scene.goal[:, 2]))
        return -away + xp.where((away < _NEAR) & (gained > 0), gained, full(away, 0.0))


@dataclass(frozen=True)
class Pick(Former):
    """Approach from above and close the fingers; 100 a metre of height up to a target; above it, the bonus.

    Attributes:
        height: of the thing at the start.
        lift: m from there to the target.
        within: see Former; None for version 2's answer.
        beside: m beside the thing from which on height counts double (`above` times).
        close: m from the thing within which closing fingers are rewarded.
    """

    height: Measure
    lift: float
    within: float | None = 0.07  # pyright: ignore[reportIncompatibleVariableOverride]
    beside: float = 0.05
    above: float = 2.0
    close: float = _NEAR

    def begin(self, scene: Scene) -> np.ndarray:
        height = self.height(scene)
        target = height + self.lift
        return np.stack([height, self.most(scene, target)], axis=1)

    def most(self, scene: Scene, target: Array) -> Array:
        """What Meta-World takes for the greatest distance from the goal."""
        xp, start = namespace(target), scene.start
        return distance(xp.stack([start[:, 0], start[:, 1], target], axis=1), scene.goal) + target

    def thing(self, scene: Scene) -> Array:
        """What is lifted, (N, 3)."""
        return scene.object

    def left(self, scene: Scene) -> Array:
        return straight(scene)

    def approach(self, scene: Scene, action: Array, away: Array) -> Array:
        first = scene.start_tcp[:, 2]
        return _approach(scene.object, scene.tcp, first, away, action, self.beside, self.above, self.close)

    def placing(self, scene: Scene) -> Array:
        """The bonus."""
        return bonus(scene.former[:, 1], self.left(scene))

    def reward(self, scene: Scene, action: Array) -> Array:
        xp, away = namespace(action), distance(scene.object, scene.tcp)
        lifted, dropped, pick = self.picked(scene, away, 0.1)
        placing = self.placing(scene)
        counts = lifted & (away < 0.1) & ~dropped & (placing > 0)
        return self.approach(scene, action, away) + pick + xp.where(counts, placing, full(away, 0.0))

    def picked(self, scene: Scene, away: Array, near: float, done: Array | None = None, lifted: Array | None = None):
        """Whether the thing is above the target, whether it was dropped, and the reward of its height."""
        xp, z, height = namespace(away), self.thing(scene)[:, 2], scene.former[:, 0]
        target = height + self.lift
        above = z >= target - 0.01
        lifted = above if lifted is None else above & lifted
        dropped = (z < height + 0.005) & (self.left(scene) > 0.02) & (away > 0.02)
        up = lifted & ~dropped if done is None else done | (lifted & ~dropped)
        partly = xp.where((away < near) & (z > height + 0.005), xp.minimum(target, z), full(z, 0.0))
        return lifted, dropped, 100 * xp.where(up, target, partly)

    def solved(self, scene: Scene, definition: Definition) -> Array:
        return definition.solved(scene) if self.within is None else super().solved(scene, definition)


@dataclass(frozen=True)
class OutOfHole(Pick):
    """The height counts from 0.02 m below the start."""

    def picked(self, scene: Scene, away: Array, near: float, done: Array | None = None, lifted: Array | None = None):
        lifted, dropped, pick = super().picked(scene, away, near)
        return lifted, dropped, namespace(pick).where(pick > 0, pick - 100 * (scene.former[:, 0] - 0.02), pick)


@dataclass(frozen=True)
class Insert(Pick):
    """The peg's head comes first; once it is near the hole, the place where the peg is held."""

    def placing(self, scene: Scene) -> Array:
        head = distance(scene.site("pegHead"), scene.goal)
        return bonus(scene.former[:, 1], namespace(head).where(head <= 0.05, self.left(scene), head))


@dataclass(frozen=True)
class Bin(Pick):
    """In the other bin, the fingers shall open."""

    def most(self, scene: Scene, target: Array) -> Array:
        return first_plane(scene) + target

    def left(self, scene: Scene) -> Array:
        return plane(scene)

    def reward(self, scene: Scene, action: Array) -> Array:
        xp, away, z = namespace(action), distance(scene.object, scene.tcp), scene.object[:, 2]
        over = _beside(scene.object, scene.goal, 0.05)
        done = over & (z < scene.former[:, 0] + 0.05)
        lifted, dropped, pick = self.picked(scene, away, 0.1, done)
        placing = self.placing(scene)
        placing = xp.where(placing > 0, placing, full(placing, 0.0))
        opened = xp.where(over, placing - 200 * action[:, 3], placing)
        held = xp.where(lifted & (away < 0.1) & ~dropped, opened, full(away, 0.0))
        return xp.where(done, placing - 200 * action[:, 3], self.approach(scene, action, away) + pick + held)


@dataclass(frozen=True)
class Assembly(Pick):
    """Held at its handle, lifted by its ring; over the peg, a second bonus for being down."""

    def thing(self, scene: Scene) -> Array:
        return scene.body("RoundNut")

    def left(self, scene: Scene) -> Array:
        return plane_distance(self.thing(scene), scene.goal)

    def down(self, scene: Scene) -> Array:
        """m above the first height."""
        return namespace(scene.goal).abs(self.thing(scene)[:, 2] - scene.former[:, 0])

    def reward(self, scene: Scene, action: Array) -> Array:
        xp, away = namespace(action), distance(scene.object, scene.tcp)
        over = _beside(self.thing(scene), scene.goal, 0.03)
        lifted, dropped, pick = self.picked(scene, away, 0.04, over, away < 0.03)
        lower = bonus(scene.former[:, 0] + self.lift, self.down(scene), 0.003, 0.0003, 2000.0)
        lower = lower + 1000 * (scene.former[:, 0] + self.lift - self.down(scene))
        placing = self.placing(scene) + xp.where(over, lower, full(away, 0.0))
        counts = (over | (lifted & (away < 0.04) & ~dropped)) & (placing > 0)
        return self.approach(scene, action, away) + pick + xp.where(counts, placing, full(away, 0.0))

    def solved(self, scene: Scene, definition: Definition) -> Array:
        return _beside(self.thing(scene), scene.goal, 0.03) & (self.down(scene) <= 0.04)


@dataclass(frozen=True)
class Disassemble(Pick):
    """Off the peg, all of the height's reward."""

    def reward(self, scene: Scene, action: Array) -> Array:
        xp, away = namespace(action), distance(scene.object, scene.tcp)
        lifted, dropped, pick = self.picked(scene, away, 0.04, None, away < 0.04)
        placing = self.placing(scene)
        counts = lifted & (away < 0.03) & ~dropped & (placing > 0)
        off = ~_beside(scene.body("RoundNut"), scene.start, 0.05, strict=False)
        approach = xp.where(off, 100 * (scene.former[:, 0] + self.lift), self.approach(scene, action, away) + pick)
        return approach + xp.where(counts, placing, full(away, 0.0))


@dataclass(frozen=True)
class Tool(Pick):
    """A hammer's or a stick's: approached straight."""

    def approach(self, scene: Scene, action: Array, away: Array) -> Array:
        xp = namespace(away)
        return xp.where(away < self.close, _closing(action), full(away, 0.0)) - away


@dataclass(frozen=True)
class Hammer(Tool):
    """Placed is the head at the nail and the nail in the board."""

    def most(self, scene: Scene, target: Array) -> Array:
        xp, start = namespace(target), scene.start
        first = xp.stack([start[:, 0], start[:, 1], target], axis=1)
        return distance(first, start) + target + xp.abs(start[:, 1] - scene.goal[:, 1])

    def left(self, scene: Scene) -> Array:
        return distance(scene.site("nailHead"), scene.geom("HammerHead"))

    def placing(self, scene: Scene) -> Array:
        nail = namespace(scene.goal).abs(scene.site("nailHead")[:, 1] - scene.goal[:, 1])
        return bonus(scene.former[:, 1], self.left(scene) + nail)


@dataclass(frozen=True)
class Stick(Tool):
    """Stick at thermos, then thermos at goal.

    The thermos's place is read three numbers too early in the observation, as in Meta-World.
    """

    peaks: tuple[float, float] = (0.01, 0.001)
    pulls: bool = False

    def _ends(self, scene: Scene) -> tuple[Array, Array]:
        """Where stick and thermos began."""
        noted = scene.note[:, :3]
        return (noted, scene.start) if self.pulls else (scene.start, noted)

    def begin(self, scene: Scene) -> np.ndarray:
        (stick, thermos), height = self._ends(scene), self.height(scene)
        target = height + self.lift
        first = np.column_stack([thermos[:, :2], target])
        return np.stack([height, distance(first, stick) + target, plane_distance(thermos, scene.goal)], axis=1)

    def left(self, scene: Scene) -> Array:
        return plane_distance(scene.seen[:, 6:9], scene.goal)

    def solved(self, scene: Scene, definition: Definition) -> Array:
        """As version 2, but never where the stick pushes: Meta-World takes the gripper for closed there."""
        return definition.solved(scene) if self.pulls else scene.opening < 0

    def placing(self, scene: Scene) -> Array:
        xp, apart, left = namespace(scene.goal), distance(scene.object, scene.seen[:, 6:9]), self.left(scene)
        further = bonus(scene.former[:, 2], left, *self.peaks, peak=2000.0)
        return bonus(scene.former[:, 1], apart) + xp.where(apart < 0.05, further, full(left, 0.0))


def _closing(action: Array) -> Array:
    """Reward for closing fingers, (N,)."""
    return clip(action[:, 3], 0.0, float("inf")) / 50


def _approach(
    thing: Array, tcp: Array, first: Array, away: Array, action: Array, beside: float, above: float, close: float
) -> Array:
    """Minus the way to the thing: straight down once beside it, at height first (N,) before that."""
    xp, aside = namespace(away), plane_distance(thing, tcp)
    far = -aside - above * xp.abs(tcp[:, 2] - first)
    return xp.where(away < close, _closing(action) - away, xp.where(aside < beside, -away, far))


def _beside(thing: Array, place: Array, within: float, strict: bool = True) -> Array:
    """Whether a thing is within some m of a place along x and along y each."""
    xp = namespace(thing)
    apart = [xp.abs(thing[:, i] - place[:, i]) for i in (0, 1)]
    return (apart[0] < within) & (apart[1] < within) if strict else (apart[0] <= within) & (apart[1] <= within)


def _height_of(kind: str, name: str) -> Measure:
    return lambda scene: getattr(scene, kind)(name)[:, 2]


def _handle_over_floor(scene: Scene) -> Array:
    """Of handle-pull: the height of the handle in its own body, which Meta-World takes for that in the world."""
    height = float(scene.sim.model.site("handleStart").pos[2])
    return namespace(scene.goal).abs(height - scene.goal[:, 2])


def _fallen(scene: Scene) -> Array:
    return scene.object[:, 2] < scene.start[:, 2] - 0.05


def _fallen_through(scene: Scene) -> Array:
    return _fallen(scene) & (scene.object[:, 1] > 0.4) & (scene.object[:, 1] < 1.0)


_CUBE = _height_of("geom", "objGeom")
VERSION_1: dict[str, Former] = {
    "reach-v3": Reach(),
    "reach-wall-v3": Reach(),
    "push-v3": Move(plane, first_plane, 0.05),
    "push-wall-v3": Move(plane, first_plane, 0.07),
    "push-back-v3": Move(plane, first_plane, 0.07),
    "coffee-push-v3": Move(plane, first_plane),
    "coffee-pull-v3": Pull(plane, first_plane),
    "soccer-v3": Move(plane, first_plane, 0.07),
    "sweep-v3": Move(plane, first_plane, 0.05, fallen=_fallen),
    "sweep-into-v3": Move(plane, first_plane, 0.05, fallen=_fallen_through),
    "hand-insert-v3": HandInsert(),
    "door-open-v3": Move(plane, geom_to_goal("handle")),
    "door-close-v3": Move(plane, geom_to_goal("handle"), 0.08),
    "door-lock-v3": Move(straight, constant_way(float(np.hypot(0.04, 0.1))), 0.02),
    "door-unlock-v3": Move(straight, constant_way(float(np.hypot(0.1, 0.04))), 0.02),
    "drawer-open-v3": Move(along(1), constant_way(0.2), 0.03),
    "drawer-close-v3": Move(along(1), constant_way(0.15), 0.05 + 0.015),
    "window-open-v3": Move(along(0), constant_way(0.2), 0.05, positive=False),
    "window-close-v3": Move(along(0), constant_way(0.2), 0.05, positive=False),
    "faucet-open-v3": Move(straight, first_straight, 0.07),
    "faucet-close-v3": Move(straight, first_straight, 0.07),
    "dial-turn-v3": Move(along(1), lambda scene: abs(scene.goal[:, 1] - scene.start[:, 1]), 0.07, peaks=(0.001, 1e-4)),
    "lever-pull-v3": Move(straight, first_straight, np.pi / 24),
    "button-press-v3": Move(along(1), site_to_goal("buttonStart", 1), 0.02, left_finger=True),
    "button-press-wall-v3": Move(along(1), site_to_goal("buttonStart", 2), 0.03, left_finger=True),
    "button-press-topdown-v3": Move(along(2), site_to_goal("buttonStart", 2), 0.024),
    "button-press-topdown-wall-v3": Move(along(2), site_to_goal("buttonStart", 2), 0.024),
    "coffee-button-v3": Move(along(1), site_to_goal("buttonStart", 1), 0.02, left_finger=True),
    "handle-press-v3": Move(along(2), site_to_goal("handleStart", 2), 0.02, left_finger=True),
    "handle-press-side-v3": Move(along(2), site_to_goal("handleStart", 2), 0.02, left_finger=True),
    "handle-pull-v3": Move(along(2), _handle_over_floor, 0.05, left_finger=True),
    "handle-pull-side-v3": Move(along(2), site_to_goal("handleStart", 2), 0.08, left_finger=True),
    "plate-slide-v3": Move(plane, first_plane, 0.07),
    "plate-slide-side-v3": Move(plane, first_plane, 0.07),
    "plate-slide-back-v3": Move(plane, geom_to_goal("puck"), 0.07),
    "plate-slide-back-side-v3": Move(plane, geom_to_goal("puck"), 0.07),
    "peg-unplug-side-v3": Unplug(plane, first_straight, 0.07),
    "pick-place-v3": Pick(_CUBE, 0.04),
    "pick-place-wall-v3": Pick(_CUBE, 0.04),
    "basketball-v3": Pick(_CUBE, 0.3, 0.08),
    "shelf-place-v3": Pick(_CUBE, 0.04),
    "pick-out-of-hole-v3": OutOfHole(_CUBE, 0.11),
    "box-close-v3": Pick(_height_of("geom", "BoxHandleGeom"), 0.12, None),
    "bin-picking-v3": Bin(_height_of("body", "obj"), 0.1, 0.05, beside=0.06, above=1.0),
    "peg-insert-side-v3": Insert(_height_of("body", "peg"), 0.11, above=1.0),
    "assembly-v3": Assembly(_height_of("site", "RoundNut-8"), 0.1, beside=0.04, above=1.0, close=0.04),
    "disassemble-v3": Disassemble(_height_of("body", "RoundNut"), 0.05, None, beside=0.04, close=0.04),
    "hammer-v3": Hammer(_height_of("body", "hammer"), 0.09, None),
    "stick-push-v3": Stick(_height_of("body", "stick"), 0.04, None, peaks=(0.001, 1e-4)),
    "stick-pull-v3": Stick(_height_of("body", "stick"), 0.04, None, pulls=True),
}
