"""A first robot.yaml for an MJCF file: what the model has, and a description that passes `metarl check`.

    file, lines = draft(Path("go2/scene.xml"))            # writes go2/robot.yaml; lines for people

The file is put where all files of the MJCF can be read: in the MJCF's folder, or in one above it. What it says is a
beginning: joints and a base that are observed, speed that is paid, a mass and the motors' strength that vary.
"""

from pathlib import Path
from typing import Any

import mujoco
import numpy as np

from metarl.envs.actuators import controls, robot_body
from metarl.envs.own_robot import mjcf
from metarl.envs.own_robot.entries import elements
from metarl.envs.own_robot.pushes import is_free
from metarl.envs.own_robot.robot import FILE, OwnRobot
from metarl.util.errors import UserError
from metarl.util.safe_yaml import write_yaml

_MOST_UP = 6  # folders above the MJCF's that are tried
_RATE = 50.0  # Hz, about
_SERVO = 0.3  # rad, m: how far from home an action of 1 sends a servo


def draft(path: Path, out: Path | None = None) -> tuple[Path, list[str]]:
    """Write a description of the robot of an MJCF file; the file, and what the model has.

    Args:
        out: the file to be written; by default robot.yaml in the folder from which all files of the MJCF can be read.

    Raises:
        UserError: the MJCF cannot be compiled, or the file is there already.
    """
    if not path.is_file():
        raise UserError(f"draft: got {str(path)!r}, expected an MJCF file")
    folder, files = _folder(path, out.parent if out else None)
    file = out or folder / FILE
    if file.exists():
        raise UserError(f"draft: {file} is there already; --out FILE writes another one")
    try:
        model = mjcf.load(mjcf.compile_mjcf(files))
    except ValueError as error:
        raise UserError(f"{path}: {error}") from error
    if not model.nv:
        raise UserError(f"{path}: got a model without joints, expected one that can move")
    text = _text(model, path, path.resolve().relative_to(folder.resolve()).as_posix())
    try:
        file.write_text(text, encoding="utf-8")
    except OSError as error:
        raise UserError(f"draft: {file} cannot be written: {error.strerror}; --out FILE writes another one, in a folder"
                        " above the MJCF's") from error  # fmt: skip
    try:
        OwnRobot(str(file))
    except ValueError as error:
        raise UserError(str(error)) from error
    return file, [*inventory(model), f"{file}: a first description; metarl check {file}"]


def _folder(path: Path, wanted: Path | None) -> tuple[Path, mjcf.Files]:
    """The lowest folder from which all files can be read that the MJCF names, and they."""
    first = path.resolve().parent
    error: ValueError | None = None
    for folder in [wanted.resolve()] if wanted else [first, *first.parents][: _MOST_UP + 1]:
        if not path.resolve().is_relative_to(folder):
            raise UserError(f"draft: --out must be in a folder of {path}, or above it")
        try:
            return folder, mjcf.read_files(folder, path.resolve().relative_to(folder).as_posix())
        except ValueError as caught:
            error = error or caught
            if "outside of the robot's folder" not in str(caught) and "out of the robot's folder" not in str(caught):
                break
    raise UserError(f"{path}: {error}") from error


def inventory(model: mujoco.MjModel) -> list[str]:
    """What a model has that a robot.yaml may name, a line for each kind."""
    joints = [f"{name} ({_range(model.jnt_range[i], model.jnt_limited[i], _unit(model, i))})"
              for i, name in elements(model, "joints").items()]  # fmt: skip
    actuators = [f"{name} ({_range(model.actuator_ctrlrange[i], model.actuator_ctrllimited[i], 'control')})"
                 for i, (_, name) in enumerate(controls(model))]  # fmt: skip
    bodies = [name for i, name in elements(model, "bodies").items() if i and name]
    lines = [("joints", joints), ("actuators", actuators), ("free bodies", [b for b in bodies if is_free(model, b)]),
             ("bodies", bodies)]  # fmt: skip
    named = ("geoms", "sites", "sensors", "keyframes", "cameras")
    lines += [(kind, [name for name in elements(model, kind).values() if name]) for kind in named]
    return [f"{kind}: {', '.join(names) or 'none'}" for kind, names in lines]


def _range(limits: np.ndarray, limited: Any, unit: str) -> str:
    return f"{limits[0]:.3g} to {limits[1]:.3g} {unit}" if limited else f"{unit}, no limits"


def _unit(model: mujoco.MjModel, joint: int) -> str:
    return "rad" if int(model.jnt_type[joint]) == int(mujoco.mjtJoint.mjJNT_HINGE) else "m"


def _text(model: mujoco.MjModel, path: Path, relative: str) -> str:
    """The description, in sections with a line of explanation each."""
    body = model.body(robot_body(model, None if model.nu else model.jnt_bodyid[:1]))
    free, name = bool(body.name) and is_free(model, body.name), body.name
    parts = [
        (f"# A first description of {path.name}, by `metarl draft`. All keys: docs/reference/robot_yaml.md",
         {"name": _word(path.resolve()), "mjcf": relative, "horizon": 200}),
        ("# actions from -1 to 1", {"control": _control(model)}),
        ("# a pose of your own: pose: {\"*_knee\": -1.2}", {"start": _start(model)}),
        ("# what the policy sees", {"observation": _observation(model, name if free else "")}),
        ("# what it is paid for, in each step", {"reward": _reward(name if free else "")}),
        ("# what varies from task to task", {"parameters": _parameters(model)}),
    ]  # fmt: skip
    return "\n".join(f"{comment}\n{write_yaml(section)}" for comment, section in parts)


def _word(path: Path) -> str:
    """A name for a robot: of its file, or its folder where that is called as everybody's is."""
    stem = path.parent.name if path.stem in ("scene", "robot", "model", "main") else path.stem
    plain = "".join(c if c.isalnum() and c.isascii() else " " for c in stem)
    word = "".join(part.capitalize() for part in plain.split())
    return word if word[:1].isalpha() else f"Robot{word}"


def _control(model: mujoco.MjModel) -> dict[str, Any]:
    physics = 1 / model.opt.timestep
    rate: dict[str, Any] = {"rate": float(f"{physics / max(1, round(physics / _RATE)):.6g}")}
    if not model.nu:
        return {"kind": "torque", "limit": 1.0} | rate
    if all(is_servo(model, i) for i in range(model.nu)):  # the whole range of the joints at random breaks legs
        return {"kind": "model"} | rate | {"action_range": _SERVO}
    low, high = model.actuator_ctrlrange.T
    unlimited = [model.actuator(i).name for (i, _), free in zip(controls(model), low >= high, strict=True) if free]
    return {"kind": "model"} | rate | ({"action_range": dict.fromkeys(unlimited, 1.0)} if unlimited else {})


def is_servo(model: mujoco.MjModel, control: int) -> bool:
    """Whether a control is the target of a position servo."""
    i, _ = controls(model)[control]
    gain, bias = model.actuator_gainprm[i], model.actuator_biasprm[i]
    return bool(model.actuator_ctrlnum[i] == 1 and gain[0] > 0 and bias[1] == -gain[0])


def _start(model: mujoco.MjModel) -> dict[str, Any]:
    keyframe = {"keyframe": model.key(0).name} if model.nkey and model.key(0).name else {}
    return keyframe | {"velocity_noise": 0.01}


def _observation(model: mujoco.MjModel, base: str) -> list[dict[str, Any]]:
    joints = [{"signal": "joint_position"}, {"signal": "joint_velocity"}] if elements(model, "joints") else []
    of = {"of": base}
    moving = [{"signal": "body_gravity"} | of, {"signal": "body_angular_velocity", "frame": "body"} | of,
              {"signal": "body_velocity", "frame": "body"} | of]  # fmt: skip
    return joints + (moving if base else []) + [{"signal": "action"}]


def _reward(base: str) -> dict[str, Any]:
    speed = {"signal": "body_velocity", "of": base, "axes": "x", "weight": 1.0}
    motion = {"signal": "joint_velocity", "shape": "square", "weight": -0.001}
    effort = {"signal": "action", "shape": "square", "weight": -0.01}
    return {"forward": speed} | {"effort": effort} if base else {"motion": motion, "effort": effort}


def _parameters(model: mujoco.MjModel) -> dict[str, Any]:
    """The mass of the robot's heaviest moving body, and the strength of its motors."""
    moving = np.flatnonzero((model.body_weldid != 0) & (model.body_treeid == model.body_treeid[robot_body(model)]))
    heavy = int(moving[np.argmax(model.body_mass[moving])]) if len(moving) else 1
    mass = {"quantity": "mass", "elements": model.body(heavy).name or heavy}
    scale = {"default": 1, "low": 0.7, "high": 1.3}
    return {"mass": scale | {"extrapolation": [[1.3, 1.6]], "writes": mass},
            "strength": scale | {"extrapolation": [[0.5, 0.7]], "writes": {"quantity": "strength"}}}  # fmt: skip
