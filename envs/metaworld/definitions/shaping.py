"""What Meta-World's rewards are made of, over arrays (N,): tolerances, their product, and how well a gripper holds.

    near = tolerance(distance, 0.0, 0.05, margin)         # 1 within 0.05, 0.1 at margin beyond it
    both(near, caging(scene, action, thing, radius=0.015, pad=0.05, xz=0.005))

Tolerances are dm_control's; `both` is the Hamacher product of two numbers from 0 to 1.
"""

import math
from typing import TYPE_CHECKING

from ...arrays import Array, clip, full, namespace, norm

if TYPE_CHECKING:
    from .scene import Scene

_GAUSSIAN = math.sqrt(-2 * math.log(0.1))  # 0.1 at the margin
_LONG_TAIL = 3.0  # likewise: sqrt(1 / 0.1 - 1)
_CAGED, _HELD = 0.97, 0.95  # caging from which a closed gripper, or pads near the object, are rewarded
_PAD = 0.05  # m between a pad and the object's centre within which it is caged


def tolerance(x: Array, low: float, high: float, margin: Array | float, gaussian: bool = False) -> Array:
    """1 where low <= x <= high; falls with the distance, to 0.1 at margin; 0 everywhere else if margin is 0."""
    xp = namespace(x)
    margin = full(x, margin) if isinstance(margin, float) else margin
    wide = margin > 0
    d = xp.where(x < low, low - x, x - high) / xp.where(wide, margin, full(x, 1.0))
    tail = xp.exp(-0.5 * (d * _GAUSSIAN) ** 2) if gaussian else 1 / ((d * _LONG_TAIL) ** 2 + 1)
    return xp.where((low <= x) & (x <= high), full(x, 1.0), xp.where(wide, tail, full(x, 0.0)))


def both(a: Array, b: Array) -> Array:
    """a b / (a + b - a b), 0 where that is 0 / 0."""
    xp = namespace(a)
    product = a * b
    total = a + b - product
    return xp.where(total > 0, product / xp.where(total > 0, total, full(a, 1.0)), full(a, 0.0))


def distance(a: Array, b: Array, scale: tuple[float, ...] | None = None) -> Array:
    """Between points (N, 3), each axis of their difference multiplied by its scale first."""
    difference = a - b
    if scale is not None:
        difference = difference * namespace(difference).stack([full(a, s) for s in scale], axis=1)
    return norm(difference)


def plane_distance(a: Array, b: Array, axes: tuple[int, int] = (0, 1)) -> Array:
    """Between points (N, 3) along two of the axes."""
    xp = namespace(a)
    return xp.sqrt(sum((a[:, i] - b[:, i]) ** 2 for i in axes))


def closing(action: Array, effort: float = 1.0) -> Array:
    """How far the action (N, 4) closes the gripper, from 0 to 1 at effort."""
    return clip(action[:, 3], 0.0, effort) / effort


def caging(
    scene: "Scene",
    action: Array,
    thing: Array,
    *,
    radius: float,
    pad: float,
    xz: float,
    effort: float = 1.0,
    dense: bool = True,
    reach: float | None = None,
) -> Array:
    """How well the gripper surrounds and holds a thing (N, 3), from 0 to 1.

    Both pads between radius and pad m from it along y, the gripper's centre within xz m of it in the xz plane; from
    there on, closed.

    Args:
        scene: the present state; its `start` is where the thing began.
        action: (N, 4).
        effort: of the gripper's action that counts as closed.
        dense: half of it for being around the thing.
        reach: half of it for the centre being within reach m of the thing, instead.
    """
    xp = namespace(thing)
    sides = []
    for side in (scene.left_pad, scene.right_pad):
        y, margin = side[:, 1], xp.abs(xp.abs(side[:, 1] - scene.start[:, 1]) - pad)
        sides.append(tolerance(xp.abs(y - thing[:, 1]), radius, pad, margin))
    margin = plane_distance(scene.start, scene.start_tcp, (0, 2)) - xz
    around = both(both(*sides), tolerance(plane_distance(scene.tcp, thing, (0, 2)), 0.0, xz, margin))
    held = both(around, xp.where(around > _CAGED, closing(action, effort), full(around, 0.0)))
    if reach is not None:
        margin = xp.abs(distance(scene.start, scene.start_tcp) - reach)
        return (held + tolerance(distance(thing, scene.tcp), 0.0, reach, margin)) / 2
    return (held + around) / 2 if dense else held


def pinching(scene: "Scene", action: Array, thing: Array, *, radius: float, xz: float, grip: float | None) -> Array:
    """As `caging`, with each pad on its side of the thing, and margins from where the pads are now.

    Held is, within grip m more than radius from both pads, whatever the action; or, if grip is None, closed.
    """
    xp = namespace(thing)
    gaps = scene.left_pad[:, 1] - thing[:, 1], thing[:, 1] - scene.right_pad[:, 1]
    margins = [xp.abs(xp.abs(gap) - _PAD) for gap in gaps]
    sides = [tolerance(gap, radius, _PAD, margin) for gap, margin in zip(gaps, margins, strict=True)]
    margin = plane_distance(scene.start, scene.start_tcp, (0, 2)) - xz
    around = both(both(*sides), tolerance(plane_distance(scene.tcp, thing, (0, 2)), 0.0, xz, margin))
    if grip is None:
        held = both(around, xp.where(around > _CAGED, closing(action), full(around, 0.0)))
    else:
        near = [tolerance(gap, radius, radius + grip, margin) for gap, margin in zip(gaps, margins, strict=True)]
        held = xp.where(around > _HELD, both(*near), full(around, 0.0))
    return (around + held) / 2


def funnel(radius: Array, free: float, slope: float, level: float) -> Array:
    """Height (N,) of a funnel around a place: slope log(radius - free) + level, 0 within free m."""
    xp = namespace(radius)
    outside = radius > free
    log = xp.log(xp.where(outside, radius - free, full(radius, 1.0)))
    return xp.where(outside, slope * log + level, full(radius, 0.0))


def above(height: Array, floor: Array, margin: float | None = None) -> Array:
    """1 at or above a floor (N,), less below it: 0.1 at margin, half of the floor if None."""
    xp = namespace(height)
    below = tolerance(floor - height, 0.0, 0.01, xp.abs(floor) / 2.0 if margin is None else margin)
    return xp.where(height >= floor, full(height, 1.0), below)


def one_if(mask: Array, otherwise: Array, value: float = 1.0) -> Array:
    """value where mask is true."""
    return namespace(otherwise).where(mask, full(otherwise, value), otherwise)
