"""What a robot from YAML can observe, be paid for and end by of its contacts, and of the commands in its course.

    reward:
      air_time: {signal: landing_air_time, of: [FL, FR, RL, RR], against: floor, threshold: 0.1, weight: 1.0}
      slip: {signal: slip, of: [FL, FR, RL, RR], against: floor, weight: -0.1}
    termination:
      fallen: {signal: contact, of: [trunk, "*_thigh"], above: 0.5, reward: -1}

Contacts are MuJoCo's contact sensors, of geoms or of all geoms of a body, with any other geom or with what `against`
names, in the last physics step of an environment step. How long a foot is in the air is counted in environment steps by
`metarl.envs.own_robot.episode`.
"""

from collections.abc import Callable
from typing import Annotated, Any

import numpy as np
from pydantic import Field

from ..arrays import Array, flag, namespace
from ..observation import Observed
from .entries import Named, Number, option
from .signals import Built, Frame, Kind, Sense, Signal, columns_of, length

_TOUCHING = Named("geoms or bodies")
OPTIONS: dict[str, tuple[Any, Any]] = {
    "feet": (Annotated[list[Frame], _TOUCHING],
             Field(alias="of", description="Geoms, or bodies with all their geoms: names or patterns.")),
    "against": (Annotated[Frame, Named("geoms or bodies", many=False)],
                option(None, "The geom or body that is touched; anything by default.")),
    "threshold": (Number, option(0.0, "s that are taken from the time in the air of each landing.")),
    "commands": (Annotated[list[str], Named("commands")], option("*", "Commands; all by default.")),
}  # fmt: skip


def contact_senses(entry: Any) -> list[Sense]:
    """The contact sensors of an entry: how many contacts, and their net force along the axes of the world."""
    return [Sense("contact", foot, entry.against) for foot in entry.feet]


def _touch(entry: Any, built: Built) -> Signal:
    columns = np.array([columns_of(built.model, sense.name)[0] for sense in contact_senses(entry)])
    names = tuple(Observed(f"{of[1]} contact{_with(entry)}", "1", " ".join(of), f"1.0 * (sensordata[{column}] > 0)")
                  for of, column in zip(entry.feet, columns, strict=True))  # fmt: skip
    return Signal("sensordata", columns, names, lambda found: flag(found > 0, found))


def _force(entry: Any, built: Built) -> Signal:
    columns = np.concatenate([columns_of(built.model, sense.name)[1:4] for sense in contact_senses(entry)])
    names = tuple(Observed(f"{of[1]} contact force{_with(entry)}", "N", " ".join(of), f"sqrt({_squares(three)})")
                  for of, three in zip(entry.feet, columns.reshape(-1, 3), strict=True))  # fmt: skip
    return Signal("sensordata", columns, names, _lengths)


def _lengths(forces: Array) -> Array:
    """Lengths (N, k) of vectors (N, 3 k)."""
    return namespace(forces).concat([length(forces[:, i : i + 3]) for i in range(0, forces.shape[1], 3)], axis=1)


def _slip_senses(entry: Any) -> list[Sense]:
    return [*contact_senses(entry), *(Sense("framelinvel", foot) for foot in entry.feet)]


def _slip(entry: Any, built: Built) -> Signal:
    columns, names = [], []
    for foot, touch in zip(entry.feet, contact_senses(entry), strict=True):
        found, *_ = columns_of(built.model, touch.name)
        x, y, _ = columns_of(built.model, Sense("framelinvel", foot).name)
        columns += [found, x, y]
        names.append(Observed(f"{foot[1]} slip{_with(entry)}", "m/s", " ".join(foot),
                              f"(sensordata[{found}] > 0) * sqrt({_squares([x, y])})"))  # fmt: skip

    def compute(numbers: Array) -> Array:
        found, x, y = (numbers[:, i::3] for i in range(3))
        return flag(found > 0, found) * namespace(numbers).sqrt(x * x + y * y)

    return Signal("sensordata", np.array(columns), tuple(names), compute)


def _with(entry: Any) -> str:
    return f" with {entry.against[1]}" if entry.against else ""


def _squares(columns: Any) -> str:
    return " + ".join(f"sensordata[{column}]**2" for column in columns)


def _of_feet(what: str, word: str) -> Callable[[Any, Built], Signal]:
    """Times of tracked feet, from userdata."""

    def build(entry: Any, built: Built) -> Signal:
        columns = built.course.foot_columns(what)[[built.tracked.index(sense) for sense in contact_senses(entry)]]
        names = tuple(Observed(f"{of[1]} {word}{_with(entry)}", "s", " ".join(of), f"userdata[{column}]")
                      for of, column in zip(entry.feet, columns, strict=True))  # fmt: skip
        threshold = getattr(entry, "threshold", 0.0)
        less = (lambda time: flag(time > 0, time) * (time - threshold)) if threshold else None
        return Signal("userdata", columns, names, less)

    return build


def _commands(entry: Any, built: Built) -> Signal:
    places = built.course.command_columns(entry.observed)
    columns = places[[[*built.commands].index(name) for name in entry.commands]]
    names = tuple(Observed(name, built.commands[name], "command", f"userdata[{column}]")
                  for name, column in zip(entry.commands, columns, strict=True))  # fmt: skip
    return Signal("userdata", columns, names)


SIGNALS: dict[str, Kind] = {
    "contact": Kind(("feet", "against"), "1 each", "1", "1 if it touches, else 0", _touch, contact_senses),
    "contact_force": Kind(("feet", "against"), "1 each", "N", "size of the net force of its contacts", _force,
                          contact_senses),
    "air_time": Kind(("feet", "against"), "1 each", "s", "time since it last touched; 0 while it does",
                     _of_feet("air", "air time"), contact_senses, tracks=True),
    "contact_time": Kind(("feet", "against"), "1 each", "s", "time since it last did not; 0 in the air",
                         _of_feet("contact", "contact time"), contact_senses, tracks=True),
    "landing_air_time": Kind(("feet", "against", "threshold"), "1 each", "s", "in the step in which it touches down, "
                             "the time that it was in the air, less `threshold`; else 0",
                             _of_feet("landing", "landing air time"), contact_senses, "reward", tracks=True),
    "slip": Kind(("feet", "against"), "1 each", "m/s", "horizontal speed of its frame while it touches; else 0", _slip,
                 _slip_senses),
    "command": Kind(("commands",), "1 a name", "of the command", "what the robot is told, of the section `commands`",
                    _commands),
}  # fmt: skip
