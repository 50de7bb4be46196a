"""How a robot from YAML is controlled, and where its episodes start: the sections `control` and `start`.

    section = Section({"kind": "position", "kp": 40, "limit": 8, "reach": 0.5}, "control", faults)
    settings = control(section, model)                    # of the model as the MJCF has it
    settings.frame_skip, settings.actuators, settings.edit
    control_range(settings, final_model, keyframe, faults)          # (A,), (A,)
"""

from dataclasses import dataclass
from typing import Any

import mujoco
import numpy as np

from .section import Section, choice, named, number
from .signals import MOVABLE


@dataclass(frozen=True)
class Control:
    """What the section `control` says."""

    frame_skip: int
    actuators: list[str]  # their names
    edit: dict[str, Any] | None  # for the compiler, None to keep those of the MJCF
    reach: float | None  # controls around the start's
    scale: float


def names(model: mujoco.MjModel, kind: str) -> list[str]:
    """Names of all elements of a kind."""
    count = {"camera": model.ncam, "actuator": model.nu, "keyframe": model.nkey}[kind]
    get = {"camera": model.camera, "actuator": model.actuator, "keyframe": model.key}[kind]
    return [get(i).name for i in range(count)]


def movable_joints(model: mujoco.MjModel) -> list[str]:
    """Names of the hinge and slide joints."""
    return [model.joint(j).name for j in range(model.njnt) if int(model.jnt_type[j]) in MOVABLE and model.joint(j).name]


def control(section: Section, model: mujoco.MjModel) -> Control:
    """The section, checked against the model as the MJCF has it."""
    kind = section.get("kind", choice(("model", "torque", "position")), "model")
    rate = section.get("rate", number(above=0), 50.0)
    frame_skip = max(1, round(1 / ((rate or 50.0) * model.opt.timestep)))
    physics = 1 / model.opt.timestep
    if rate and abs(rate * frame_skip - physics) > 1e-6 * physics:
        nearest = f"{physics / (frame_skip + 1):g}, {physics / frame_skip:g}"
        section.fault("rate", f"got {rate:g}, expected a rate that divides the {physics:g} physics steps a second, such"
                      f" as {nearest}")  # fmt: skip
    reach = scale = edit = None
    actuators = names(model, "actuator")
    if kind == "model":
        reach = section.get("reach", number(above=0), None)
        scale = section.get("scale", number(above=0, high=1), 1.0)
        if not actuators:
            section.fault("kind", "got model, expected torque or position: the MJCF has no actuators")
        if reach is not None and "scale" in section:
            section.fault("scale", "got both reach and scale, expected one of them")
    elif kind:
        joints = movable_joints(model)
        chosen = section.get("joints", named("joints", joints), joints) or []
        limit = section.get("limit", _one_or_each(chosen), None if chosen else {})
        if limit is None and "limit" not in section:
            section.fault("limit", "got nothing, expected the largest torque, N m (force, N), of each motor")
        edit = {"kind": kind, "joints": [{"name": j, "limit": (limit or {}).get(j, 1.0)} for j in chosen]}
        if kind == "position":
            reach = section.get("reach", number(above=0))
            edit |= {"kp": section.get("kp", number(above=0)), "kd": section.get("kd", number(low=0), 0.0)}
        actuators = chosen
        for joint in edit["joints"]:
            address = model.joint(joint["name"]).qposadr[0]
            home = model.key_qpos[:, address] if kind == "position" else np.zeros(model.nkey)
            joint["home"] = home.tolist()
    section.finish()
    return Control(frame_skip, actuators, edit, reach, scale or 1.0)


def _one_or_each(names: list[str]):
    """A positive number for all names, or a mapping of each of them to one; given back as a mapping."""
    positive = number(above=0)

    def check(value):
        if not isinstance(value, dict):
            return dict.fromkeys(names, positive(value))
        if set(value) != set(names):
            raise ValueError(f"a number above 0, or one for each of {', '.join(names)}")
        return {name: positive(item) for name, item in value.items()}

    return check


def start(section: Section, model: mujoco.MjModel) -> tuple[int, np.ndarray, np.ndarray]:
    """Keyframe, and half widths of the noise of positions (nq,) and velocities (nv,)."""
    keys = names(model, "keyframe")
    named_key = named("keyframes", keys, many=False)
    name = section.get("keyframe", lambda value: keys.index(named_key(value)), -1)
    joints = movable_joints(model)
    amounts = section.get("position_noise", _amounts(joints), {}) or {}
    position = np.zeros(model.nq)
    for joint, amount in amounts.items():
        position[model.joint(joint).qposadr[0]] = amount
    velocity = np.full(model.nv, section.get("velocity_noise", number(low=0), 0.0) or 0.0)
    section.finish()
    return -1 if name is None else name, position, velocity


def _amounts(joints: list[str]):
    at_least_0 = number(low=0)

    def check(value):
        if not isinstance(value, dict):
            return dict.fromkeys(joints, at_least_0(value))
        one = named("joints", joints, many=False)
        return {one(name): at_least_0(item) for name, item in value.items()}

    return check


def control_range(
    settings: Control, model: mujoco.MjModel, keyframe: int, faults: list[tuple[str, str]]
) -> tuple[np.ndarray, np.ndarray]:
    """Controls (A,) that actions -1 and 1 stand for; model is the final one."""
    low, high = model.actuator_ctrlrange.T.copy()
    if settings.reach is not None:
        if keyframe >= 0:
            home = model.key_ctrl[keyframe].copy()
        else:
            home = np.zeros(model.nu)
            for i, joint in enumerate(model.actuator_trnid[:, 0] if settings.edit else ()):
                home[i] = model.qpos0[model.jnt_qposadr[joint]]
        return home - settings.reach, home + settings.reach
    unlimited = [model.actuator(int(i)).name for i in np.flatnonzero(low >= high)]
    if unlimited:
        text = f"actuators {', '.join(unlimited)} have no ctrlrange in the MJCF, expected one, or reach"
        faults.append(("control", text))
    middle, half = 0.5 * (low + high), 0.5 * settings.scale * (high - low)
    return (low, high) if settings.scale == 1.0 else (middle - half, middle + half)
