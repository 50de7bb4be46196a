"""What each number of an observation is: its name, unit, MJCF element, and where MuJoCo has it.

    names = make_family("Walker2dDir").observation_names()       # a tuple of Observed, one a number
    names[0]        # Observed("rootz position", "m", "joint rootz", "qpos[1]")
    print(table(names))                                          # Markdown, as in docs/reference/observations.md

`source` is an expression over the fields of an MjData and, where they vary, of its MjModel, with NumPy's functions:
"clip(qvel[0], -10, 10)", "opt.gravity[2]". At the state
that an episode begins with it is the observation; derived fields (xpos, cvel, ...) are one stage behind after a step,
as in Gymnasium.
"""

import itertools
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import mujoco

_AXES = ("x", "y", "z")
_QUATERNION = ("w", "x", "y", "z")
INDEXED = r"(\w+\()?q(pos|vel)\[\d+\](, -?[\d.]+, [\d.]+)?\)?"  # one position or velocity, clipped perhaps


@dataclass(frozen=True)
class Observed:
    """One number of an observation.

    Attributes:
        name: what it is; different from all others of the observation.
        unit: its unit, "1" for a pure number.
        element: the MJCF element that it belongs to, kind and name: "joint hip_1"; "body 4" if that has no name.
        source: where it comes from, an expression over the fields of an MjData.
    """

    name: str
    unit: str
    element: str
    source: str


def positions(model: mujoco.MjModel, skip: int = 0) -> tuple[Observed, ...]:
    """The positions qpos, without the first skip of them."""
    entries: list[tuple[str, str, str]] = []
    for joint in range(model.njnt):
        name, kind = model.joint(joint).name, _joint_kind(model, joint)
        if kind in ("free", "ball"):
            parts = [(f"{name} {axis}", "m") for axis in _AXES] if kind == "free" else []
            parts += [(f"{name} quaternion {axis}", "1") for axis in _QUATERNION]
        else:
            parts = [(f"{name} position", "m") if kind == "slide" else (f"{name} angle", "rad")]
        entries += [(*part, f"joint {name}") for part in parts]
    return tuple(Observed(*entry, f"qpos[{i}]") for i, entry in enumerate(entries))[skip:]


def velocities(model: mujoco.MjModel, limit: float | None = None) -> tuple[Observed, ...]:
    """The velocities qvel, clipped to [-limit, limit] if there is one."""
    entries: list[tuple[str, str, str]] = []
    for joint in range(model.njnt):
        name, kind = model.joint(joint).name, _joint_kind(model, joint)
        if kind in ("free", "ball"):
            parts = [(f"{name} velocity {axis}", "m/s") for axis in _AXES] if kind == "free" else []
            parts += [(f"{name} angular velocity {axis}", "rad/s") for axis in _AXES]
        else:
            parts = [(f"{name} velocity", "m/s") if kind == "slide" else (f"{name} angular velocity", "rad/s")]
        entries += [(*part, f"joint {name}") for part in parts]
    source = "qvel[{}]" if limit is None else f"clip(qvel[{{}}], -{limit:g}, {limit:g})"
    return tuple(Observed(*entry, source.format(i)) for i, entry in enumerate(entries))


def of_bodies(model: mujoco.MjModel, field: str, parts: Sequence[tuple[str, str]], source: str) -> tuple[Observed, ...]:
    """A field of MjData with len(parts) numbers, each (name, unit), for every body but the world.

    source is the expression of one number, with {} for body and part: "cvel[{}, {}]".
    """
    return tuple(
        Observed(f"{body_name(model, body)} {field} {part}", unit, f"body {body_name(model, body)}",
                 source.format(body, i))
        for body in range(1, model.nbody)
        for i, (part, unit) in enumerate(parts)
    )


def of_point(model: mujoco.MjModel, body: str, axes: str = "xyz") -> tuple[Observed, ...]:
    """The position of a body's frame in the world, along axes."""
    index = model.body(body).id
    return tuple(
        Observed(f"{body} {axis}", "m", f"body {body}", f"xpos[{index}, {_AXES.index(axis)}]") for axis in axes
    )


def body_name(model: mujoco.MjModel, body: int) -> str:
    """The name of a body, or its id where the MJCF gives it none."""
    return model.body(body).name or str(body)


def table(entries: Iterable[Observed]) -> str:
    """A Markdown table: numbers of one field of one element in a row, and so elements of which the same is observed."""
    rows = ["| index | name | unit | MJCF element | from |", "|---|---|---|---|---|"]
    of_one_element = itertools.groupby(enumerate(entries), lambda pair: (pair[1].element, _group(pair[1])))
    for _, groups in itertools.groupby((list(group) for _, group in of_one_element), _what):
        rows.append(_row(list(groups)))
    return "\n".join(rows)


def _row(groups: list[list[tuple[int, Observed]]]) -> str:
    """Of what is observed of one element, or alike of several, each with its first index."""
    (first, one), (last, other) = groups[0][0], groups[-1][-1]
    names, unit = [_part(entry) for _, entry in groups[0]], ", ".join(dict.fromkeys(e.unit for _, e in groups[0]))
    if first == last:
        return f"| {first} | {one.name} | {unit} | {one.element} | `{one.source}` |"
    kind, _, name = one.element.partition(" ")
    element = f"{kind} {name}"
    if len(groups) > 1:
        kinds = "bodies" if kind == "body" else f"{kind}s"
        element = f"{kinds} {', '.join(f'{_name(group[0][1])} ({group[0][0]})' for group in groups)}"
    return f"| {first}-{last} | {', '.join(names)} | {unit} | {element} | `{one.source}` to `{other.source}` |"


def _group(entry: Observed) -> tuple[str, str]:
    """What entries of a group have in common; what is computed from positions or velocities stands alone."""
    if re.fullmatch(INDEXED, entry.source):
        return _template(entry.source), entry.unit
    alone = "qpos" in entry.source or "qvel" in entry.source
    return (entry.name, "") if alone else (entry.source.partition("[")[0], "")


def _what(group: list[tuple[int, Observed]]) -> tuple:
    """What groups of a row have in common."""
    entry = group[0][1]
    kind = entry.element.partition(" ")[0]
    return kind, [(_part(e), e.unit, _template(e.source)) for _, e in group]


def _template(source: str) -> str:
    return re.sub(r"\[[\d, ]+\]", "[]", source)


def _name(entry: Observed) -> str:
    return entry.element.partition(" ")[2]


def _part(entry: Observed) -> str:
    return entry.name.removeprefix(_name(entry)).strip()


def _joint_kind(model: mujoco.MjModel, joint: int) -> str:
    return mujoco.mjtJoint(int(model.jnt_type[joint])).name.removeprefix("mjJNT_").lower()
