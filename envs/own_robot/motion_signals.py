"""Signals of orientation and of what motion costs: heading, errors of orientation, joint limits, power, acceleration.

    reward:
      heading: {signal: heading, of: trunk, shape: square, target: course, weight: -1}         # the short way round
      grasp: {signal: orientation_error, from: gripper, to: handle, weight: -0.5}
      limits: {signal: beyond_limits, share: 0.9, weight: -1}
      power: {signal: actuator_power, shape: absolute, weight: -0.001}

Rows of the table of `metarl.envs.own_robot.signals`, as there; what is computed in each step follows the Array API.
"""

from typing import Any

import numpy as np

from ..arrays import Array, columns, constant, index, namespace
from ..observation import Observed
from .entries import Share, option
from .signals import (
    Built,
    Kind,
    Sense,
    Signal,
    actuator_force,
    actuator_velocity,
    columns_of,
    joint_accelerations,
    joint_positions,
    orientations,
)

OPTIONS: dict[str, tuple[Any, Any]] = {
    "share": (Share, option(1.0, "Share of each joint's range, about its middle, that is free.")),
}


def _orientations(entry: Any) -> list[Sense]:
    return [Sense("framequat", frame) for frame in entry.of]


def _heading(entry: Any, built: Built) -> Signal:
    turned, names = orientations(entry, built), []
    for frame, (w, x, y, z) in zip(entry.of, turned.columns.reshape(-1, 4), strict=True):
        w, x, y, z = (f"sensordata[{column}]" for column in (w, x, y, z))
        source = f"arctan2(2 * ({w} * {z} + {x} * {y}), 1 - 2 * ({y}**2 + {z}**2))"
        names.append(Observed(f"{frame[1]} heading", "rad", " ".join(frame), source))
    return Signal("sensordata", turned.columns, tuple(names), headings, turns=True)


def headings(quats: Array) -> Array:
    """Angles (N, k) of the x axes of quaternions (N, 4 k) about the world's z, -π to π."""
    w, x, y, z = (quats[:, i::4] for i in range(4))
    return namespace(quats).atan2(2 * (w * z + x * y), 1 - 2 * (y * y + z * z))


def _two_orientations(entry: Any) -> list[Sense]:
    return [Sense("framequat", frame) for frame in (entry.start, entry.end)]


def _orientation_error(entry: Any, built: Built) -> Signal:
    both = np.concatenate([columns_of(built.model, sense.name) for sense in _two_orientations(entry)])
    w, x, y, z, a, b, c, d = (f"sensordata[{column}]" for column in both)
    parts = (f"{w} * {b} - {a} * {x} - {y} * {d} + {z} * {c}", f"{w} * {c} - {a} * {y} - {z} * {b} + {x} * {d}",
             f"{w} * {d} - {a} * {z} - {x} * {c} + {y} * {b}")  # fmt: skip
    size = f"sqrt({' + '.join(f'({part})**2' for part in parts)})"
    source = f"2 * arctan2({size}, abs({w} * {a} + {x} * {b} + {y} * {c} + {z} * {d}))"
    name = Observed(f"angle from {entry.start[1]} to {entry.end[1]}", "rad", " ".join(entry.start), source)
    return Signal("sensordata", both, (name,), angles)


def angles(quats: Array) -> Array:
    """Angles (N, 1) of the rotations between two unit quaternions (N, 8), 0 to π."""
    xp, (w, x, y, z, a, b, c, d) = namespace(quats), columns(quats)
    p, q, r = w * b - a * x - y * d + z * c, w * c - a * y - z * b + x * d, w * d - a * z - x * c + y * b
    return 2 * xp.atan2(xp.sqrt(p * p + q * q + r * r), xp.abs(w * a + x * b + y * c + z * d))[:, None]


def _beyond_limits(entry: Any, built: Built) -> Signal:
    model, positions = built.model, joint_positions(entry, built)
    low, high = np.array([model.joint(name).range if model.joint(name).limited[0] else (-np.inf, np.inf)
                          for name in entry.joints]).T  # fmt: skip
    if entry.share < 1:
        less = 0.5 * (1 - entry.share) * np.where(np.isfinite(high), high - low, 0.0)
        low, high = low + less, high - less
    names = tuple(Observed(f"{o.element.partition(' ')[2]} beyond its limits", o.unit, o.element,
                           f"max({a:.17g} - {o.source}, {o.source} - {b:.17g}, 0)" if np.isfinite(b) else "0")
                  for o, a, b in zip(positions.names, low, high, strict=True))  # fmt: skip

    def compute(q: Array) -> Array:
        xp, least, most = namespace(q), constant(low, q), constant(high, q)
        return xp.maximum(xp.maximum(least - q, q - most), 0 * q)

    return Signal("qpos", positions.columns, names, compute)


def _power(entry: Any, built: Built) -> Signal:
    force, velocity = actuator_force(entry, built), actuator_velocity(entry, built)
    names = tuple(Observed(o.name.replace("force", "power"), "W", o.element, f"{o.source} * {v.source}")
                  for o, v in zip(force.names, velocity.names, strict=True))  # fmt: skip

    def compute(forces: Array, velocities: Array) -> Array:
        xp = namespace(forces)
        return forces * xp.take(velocities, index(velocity.columns, velocities), axis=1)

    return Signal("actuator_force", force.columns, names, compute, "actuator_velocity")


SIGNALS: dict[str, Kind] = {
    "heading": Kind(("of",), "1 a body", "rad", "yaw: the angle of its x axis about the world's z, -π to π; from a "
                    "target it is the short way round", _heading, _orientations),
    "orientation_error": Kind(("start", "end"), "1", "rad", "angle, 0 to π, of the rotation from the frame of one body "
                              "or site to another's", _orientation_error, _two_orientations),
    "beyond_limits": Kind(("joints", "share"), "1 a joint", "rad, m", "how far a joint is beyond its limits, or beyond "
                          "a share of them; else 0", _beyond_limits),
    "joint_acceleration": Kind(("joints",), "1 a joint", "rad/s², m/s²", "accelerations in the last physics step",
                               joint_accelerations),
    "actuator_power": Kind(("actuators",), "1 an actuator", "W", "force times velocity of actuators in the last "
                           "physics step: what the motors give", _power),
}  # fmt: skip
