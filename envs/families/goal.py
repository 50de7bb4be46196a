"""Goals and directions that many families share, as parameters and as what they mean.

    space = TaskSpace("AntGoal", disc(3.0, beyond=4.5))
    disc_position(tasks.values)                    # (N, 2) m, uniform over the disc
    space = TaskSpace("AntVel", (velocity(3.0),))
"""

import math

from ..arrays import Array, namespace
from ..parameter import Parameter


def forward_or_backward() -> Parameter:
    return Parameter("direction", "1", "sign of the rewarded velocity along x", 1.0, "choice", choices=(-1.0, 1.0))


def heading() -> Parameter:
    return Parameter("heading", "rad", "direction of the rewarded velocity, from x towards y", 0.0, "uniform",
                     -math.pi, math.pi)


def velocity(top: float, low: float = 0.0) -> Parameter:
    """A target velocity in [low, top] m/s; extrapolation is up to half as fast again."""
    return Parameter("velocity", "m/s", "rewarded velocity along x", 0.5 * (low + top), "uniform", low, top,
                     extrapolation=((top, 1.5 * top),))


def checked_positive(family: str, name: str, value: float) -> float:
    """value as a float; ValueError unless it is a positive number."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < math.inf:
        raise ValueError(f"{family}: {name} must be a positive number, got {value!r}")
    return float(value)


def along(velocity: Array, angle: Array) -> Array:
    """The component (N,) of velocity (N, 2) in the direction angle (N,) rad."""
    xp = namespace(velocity)
    return velocity[:, 0] * xp.cos(angle) + velocity[:, 1] * xp.sin(angle)


def disc(radius: float, beyond: float | None = None) -> tuple[Parameter, Parameter]:
    """A goal uniform over the disc of radius m around the start; extrapolation up to beyond m away.

    The distance is drawn as its square, which is uniform where the area is.
    """
    extrapolation = () if beyond is None else ((radius**2, beyond**2),)
    return (
        Parameter("goal_angle", "rad", "direction of the goal, from x towards y", 0.0, "uniform", -math.pi, math.pi),
        Parameter("goal_distance_squared", "m^2", "square of the goal's distance", 0.25 * radius**2, "uniform", 0.0,
                  radius**2, extrapolation=extrapolation),
    )


def disc_position(values: Array) -> Array:
    """Position (N, 2) m of goals of disc, values (N, 2)."""
    xp = namespace(values)
    angle, distance = values[:, 0], xp.sqrt(values[:, 1])
    return xp.stack([distance * xp.cos(angle), distance * xp.sin(angle)], axis=1)
