"""The YAML of a person's own robot, checked against its MJCF: every fault in one go, each with its key.

    robot = read_robot(Path("robots/cart/robot.yaml"))        # or its folder
    robot.space, robot.frame_skip, robot.observation, robot.reward

`docs/own_robot.md` has the keys. A fault is one line of the ValueError, "file: key: got ..., expected ... (did you
mean ...?)". What the MJCF names (joints, bodies, sites, sensors, actuators, keyframes, cameras) is known here, and so
is what the YAML adds to it: actuators, sensors, a camera.
"""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import mujoco
import numpy as np

from metarl.util.safe_yaml import read_yaml

from ..parameter import Parameter
from ..task import TaskSpace
from . import mjcf
from .control import Control, control, control_range, names, start
from .parameters import check_against, check_space, parameters
from .reward_terms import RewardTerm, TerminationTerm
from .section import Section, named, number, text, whole, word
from .signals import MOVABLE, TASK, Sense, Signal
from .terms import Names, observation, reward, termination

FILE = "robot.yaml"  # in the folder of a robot
CAMERA = "metarl_track"


@dataclass(frozen=True)
class Robot:
    """What a robot file says.

    Attributes:
        folder, files: where it is and what it is made of, relative to the folder, the robot file first.
        digest: SHA-256 of those files.
        content: the compiled model, MJB.
        control_range: low and high (A,).
        position_noise, velocity_noise: half widths of the uniform noise at the start, (nq,) and (nv,).
    """

    name: str
    description: str
    folder: Path
    files: tuple[str, ...]
    digest: str
    content: bytes = field(repr=False)
    space: TaskSpace
    horizon: int
    frame_skip: int
    keyframe: int
    camera: str
    state_limit: float
    control_range: tuple[np.ndarray, np.ndarray]
    position_noise: np.ndarray
    velocity_noise: np.ndarray
    observation: tuple[Signal, ...]
    reward: dict[str, RewardTerm]
    termination: dict[str, TerminationTerm]

    def copy_to(self, folder: Path) -> None:
        """Copy its files to the same places in another folder."""
        mjcf.copy_files(self.folder, self.files, folder)


def robot_file(path: str | Path) -> Path:
    """The YAML file of a robot, given itself or its folder."""
    path = Path(path)
    try:
        file = path / FILE if path.is_dir() else path
        if file.is_file():
            return file.resolve()
    except (OSError, ValueError):
        pass
    raise ValueError(f"{path}: neither a robot's YAML file nor a folder with a {FILE}")


def read_robot(path: str | Path, limits: mjcf.Limits | None = None) -> Robot:
    """The robot of a YAML file or of a folder with a robot.yaml; ValueError with a line for each fault."""
    file = robot_file(path)
    try:
        data = read_yaml(file, "the description of a robot")
    except ValueError as error:
        raise ValueError(f"{file}: {error}") from error
    faults: list[tuple[str, str]] = []
    try:
        robot = _read(file, Section(data, "", faults), limits)
    except _Faulty:
        robot = None
    if faults:
        lines = (f"{file}: {key}: {what}" if key else f"{file}: {what}" for key, what in faults)
        raise ValueError("\n".join(dict.fromkeys(lines)))
    return robot


class _Faulty(Exception):
    """There are faults, and no more can be found."""


def _read(file: Path, top: Section, limits: mjcf.Limits | None) -> Robot:
    name = top.get("name", word)
    description = top.get("description", text, "")
    horizon = top.get("horizon", whole(1, 1_000_000), 200)
    state_limit = top.get("state_limit", number(above=0), 1e4)
    model, files = _compile(file, top, limits)
    settings = control(top.section("control"), model)
    keyframe, *noise = start(top.section("start"), model)
    camera = top.get("camera", named("cameras", names(model, "camera"), many=False), "")
    found = parameters(top)
    faulty = {str(key) for key in top.section("parameters").data} - found.keys()
    known = Names(model, settings.actuators, found, faulty)
    watched, paid, ends = observation(top, known), reward(top, known), termination(top, known)
    top.finish()
    wanted = [wanted for part in (watched, paid.values(), ends.values()) for wanted in part]
    if top.faults:
        if settings.edit is None:  # the actuators are there already
            check_against(model, name or "robot", found, known.used | known.unsure, top.faults)
        raise _Faulty
    edits = _edits(settings, model, {s for w in wanted for s in w.senses}, found if known.used else {}, camera)
    try:
        content = mjcf.compile_mjcf(file.parent, files[0], files, edits, limits)
    except ValueError as error:
        top.fault("mjcf", f"with the control, the sensors and the camera of {file.name} in it: {error}")
        raise _Faulty from error
    model = mjcf.load(content)
    check_against(model, name, found, known.used, top.faults)
    low_high = control_range(settings, model, keyframe, top.faults)
    if top.faults:
        raise _Faulty
    space = TaskSpace(name, tuple(found.values()))
    build = {"control_range": low_high}
    seen = tuple(w.signal(model, build) for w in watched)
    paid = {key: w.term(model, build, space, top.faults) for key, w in paid.items()}
    check_space(space, sum(len(signal.names) for signal in seen), model.nu, top.faults)
    if top.faults:
        raise _Faulty
    return Robot(
        name, description, file.parent, (file.name, *files), mjcf.digest(file.parent, (file.name, *files)), content,
        space, horizon, settings.frame_skip, keyframe, camera or CAMERA, state_limit, low_high, *noise,
        observation=seen,
        reward=paid,
        termination={name: w.term(model, build) for name, w in ends.items()},
    )  # fmt: skip


def _compile(file: Path, top: Section, limits: mjcf.Limits | None) -> tuple[mujoco.MjModel, tuple[str, ...]]:
    """The model as the MJCF has it, and its files."""
    name = top.get("mjcf", text)
    if name is None:
        raise _Faulty
    try:
        files = mjcf.files_of(file.parent, name)
        model = mjcf.load(mjcf.compile_mjcf(file.parent, files[0], files, None, limits))
    except (ValueError, OSError) as error:
        top.fault("mjcf", str(error))
        raise _Faulty from error
    if not model.nv:
        top.fault("mjcf", f"{name}: got a model without joints, expected one that can move")
        raise _Faulty
    return model, files


def _edits(
    settings: Control, model: mujoco.MjModel, senses: set[Sense], found: dict[str, Parameter], camera: str | None
) -> dict[str, Any]:
    """What the compiler adds to the MJCF."""
    edits: dict[str, Any] = {"sensors": [sense.edit() for sense in sorted(senses, key=lambda sense: sense.name)]}
    if settings.edit:
        edits["actuators"] = settings.edit
    if found:
        edits["numeric"] = {"name": TASK, "data": [p.default for p in found.values()]}
    if not camera:
        edits["camera"] = _camera(model)
    return edits


def _camera(model: mujoco.MjModel) -> dict[str, Any]:
    """A camera at the right of the robot that goes with it, or looks at it where it is fixed to the world."""
    data = mujoco.MjData(model)
    if model.nkey:
        mujoco.mj_resetDataKeyframe(model, data, 0)
    mujoco.mj_forward(model, data)
    body = int(model.jnt_bodyid[0])
    free = int(model.jnt_type[0]) not in MOVABLE
    solid = (model.geom_rbound > 0) & (model.geom_bodyid > 0)
    centre = data.subtree_com[body]
    reach = np.linalg.norm(data.geom_xpos[solid] - centre, axis=1) + model.geom_rbound[solid]
    far = 2.2 * float(reach.max(initial=0.3))
    offset = np.array([0.0, -far, 0.4 * far])
    place = offset if free else centre + offset
    name = model.body(body).name if free else "world"
    if free and not name:
        free, name, place = False, "world", centre + offset
    tilt = 0.5 * np.arctan2(1.0, 0.4)  # half the angle about x from looking down to looking at the robot
    quat = [float(np.cos(tilt)), float(np.sin(tilt)), 0.0, 0.0]
    return {"name": CAMERA, "body": name, "tracks": free, "pos": place.tolist(), "quat": quat}
