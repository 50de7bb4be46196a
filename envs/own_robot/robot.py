"""OwnRobot: a person's own robot, from one YAML file beside its MJCF, with no Python.

    env = BatchEnv(OwnRobot("robots/cart"), num_envs=200)         # robots/cart/robot.yaml names cart.xml
    env.set_tasks(env.space.sample(10, "train", np.random.default_rng(0)).repeat(20))

The file says what is observed, what is paid, when an episode ends, how the robot is controlled, and what varies about
it (docs/guides/own_robot.md). It becomes a `Family` like any other: batched, with splits, and with all quantities of
`metarl.envs.variation.quantities`. In a config: `env: {robot: robots/cart}`.
"""

from collections.abc import Mapping, Sequence
from functools import partial, reduce
from operator import and_, or_
from pathlib import Path
from typing import Any

import mujoco
import numpy as np

from metarl.util.optional import MissingExtra
from metarl.util.safe_yaml import parse_mapping, read_bytes

from ..actuators import robot_body
from ..arrays import Array, flag, namespace
from ..families.gymnasium_robot import uniform
from ..families.servo_robot import ASSETS, ROBOTS
from ..family import Family
from ..observation import Observed
from ..simulator import Simulator
from ..task import TaskSpace
from ..variation.quantities import QUANTITIES
from . import mjcf
from .commands import Commands
from .entries import MOVABLE, Mistake, Names, elements, is_line, read_entry
from .episode import Course
from .observing import names_of, resolve, sensing_of
from .parameters import ParameterEntry, check_space, check_use, check_writes, moved_inertias
from .pushes import Push
from .reward_terms import RewardTerm, Shaped
from .schema import RobotFile
from .signals import TASK, Built, Sense, Signal, columns_of, field_of
from .start import KEYFRAME

FILE = "robot.yaml"  # in the folder of a robot
CAMERA = "metarl_track"
# what needs no stage of the physics to be known
_OF_THE_STATE = ("qpos", "qvel", "act", "time", "ctrl", "userdata", "numeric_data")


class OwnRobot(Family):
    """The robot of a YAML file, made once from its files and shared by as many environments as need it.

    Attributes:
        description: one line for people.
        files: contents of the files that it is made of by name relative to its folder, the robot file first; where the
            MJCF names files by the name of the folder ("../go1/hand.stl"), that begins the names.
        digest: SHA-256 of those.
        limits: what compiling the MJCF may take.

    Args:
        robot: the file, or a folder with a robot.yaml.
        sha256: digest that its files must have; any if None.

    Raises:
        ValueError: with a line for each mistake, "file: key: got ..., expected ... (did you mean ...?)".
    """

    limits = mjcf.Limits()

    def __init__(self, robot: str, sha256: str | None = None):
        file = robot_file(robot)
        if file.suffix.lower() in (".xml", ".mjcf"):
            raise ValueError(f"{robot}: got MJCF, expected its description in YAML: `metarl draft {robot}` writes one")
        try:
            content = read_bytes(file)
            data = parse_mapping(content, "the description of a robot")
        except ValueError as error:
            raise ValueError(f"{file}: {error}") from error
        found: list[Mistake] = []
        parts, model = mjcf.Files.of({}), None
        if is_line(data.get("mjcf")):
            try:
                parts = _parts(file.parent, data["mjcf"])
            except ValueError as error:
                found.append(("mjcf", str(error)))
        self._files = mjcf.Files.of({file.name: content}, parts.folder) | parts
        self.digest = self._files.digest()
        if sha256 is not None and sha256 != self.digest:
            raise ValueError(f"{robot}: its files have changed: got digest {self.digest[:16]}..., expected"
                             f" {sha256[:16]}...; restore them, or start a new run")  # fmt: skip
        if parts.contents:
            try:
                model = mjcf.load(mjcf.compile_mjcf(parts, None, self.limits))
            except ValueError as error:
                found.append(("mjcf", str(error)))
        if model and not model.nv:
            found, model = [("mjcf", f"{data['mjcf']}: got a model without joints, expected one that can move")], None
        names = Names(model, data)
        told, more = read_entry(RobotFile, data, names)
        if told is None or model is None:
            found += more + _impossible_writes(data, names)
        else:
            self._build(told, model, names, parts, file.name, found)
        if found:
            lines = (f"{file}: {key}: {what}" if key else f"{file}: {what}" for key, what in found)
            raise ValueError("\n".join(dict.fromkeys(lines)))

    def _build(self, told: RobotFile, model: mujoco.MjModel, names: Names, parts: mjcf.Files, file: str,
               found: list[Mistake]) -> None:  # fmt: skip
        """What a file says that is right by itself, with the model as the MJCF has it."""
        parameters = [entry.parameter(name) for name, entry in told.parameters.items()]
        check_use(parameters, names.used, found)
        entries = [*told.observation, *told.reward.values(), *told.termination.values(), *told.success.values()]
        tracked = [*dict.fromkeys(sense for entry in entries for sense in entry.tracked())]
        values = told.commands.values if told.commands else {}
        senses = {sense for entry in entries for sense in entry.senses()}
        edits = _edits(told, model, senses, bool(names.used), moved_inertias(parameters, model))
        edits["frame_skip"] = told.control.frame_skip(model)
        edits["userdata"] = Course.size(len(values), len(told.pushes), len(tracked))
        try:
            self._content = mjcf.compile_mjcf(parts, edits, self.limits)
        except ValueError as error:
            found.append(("mjcf", f"after adding the actuators, sensors and camera declared in {file}: {error}"))
            return
        model = self.build()
        check_writes(parameters, model, found)
        self.name, self.description, self.horizon = told.name, told.description, told.horizon
        self.state_limit, self.camera = told.state_limit, told.camera or CAMERA
        self.frame_skip = told.control.frame_skip(model)
        keyframes = [*elements(model, "keyframes").values()]
        start = KEYFRAME if told.start.edited else told.start.keyframe
        self.keyframe = keyframes.index(start) if start else -1
        self._noise, self._told = told.start.noise(model), bool(names.used)
        self._spread = told.start.spread(model)
        self._home = told.control.home(model, self.keyframe)
        try:
            self._control_range = told.control.range(model, self.keyframe)
        except ValueError as error:
            found.append(("control", str(error)))
        if found:
            return
        self.space = TaskSpace(told.name, tuple(parameters))
        self._course = self._course_of(told, model, tracked, edits["userdata"])
        units = {name: value.unit for name, value in values.items()}
        home = model.qpos0 if self.keyframe < 0 else model.key_qpos[self.keyframe]
        built = Built(model, self.space, self._control_range, self._course, tracked, units, home.copy())
        signals = [entry.build(built) for entry in told.observation]
        self.space = TaskSpace(told.name, tuple(resolve(parameters, told.observation, signals, found)))
        self.sensing = sensing_of(told.observation, signals)
        self._observation = _joined(signals)
        self._termination = {name: entry.term(built) for name, entry in told.termination.items()}
        twice = {name for name, term in self._termination.items() if term.reward and name in told.reward}
        found += [(f"termination.{name}", "got the name of a reward term, expected another one") for name in twice]
        self._reward: dict[str, RewardTerm] = {}
        for name, entry in told.reward.items():
            try:
                self._reward[name] = entry.term(built)
            except ValueError as error:
                found.append((f"reward.{name}.target", str(error)))
        self._success: list[Shaped] = []
        for name, entry in told.success.items():
            try:
                self._success.append(entry.shaped(built))
            except ValueError as error:
                found.append((f"success.{name}.target", str(error)))
        check_space(self.space, sum(len(signal.names) for signal in signals), model.nu, found)
        terms = [*self._reward.values(), *self._termination.values()]
        read = [*signals, *(signal for term in terms for signal in term.signals), *(s.signal for s in self._success)]
        self._fields = {field for signal in read for field in (signal.field, signal.beside) if field}
        self._fields |= {"sensordata"} if tracked else set()
        if not self._fields <= set(_OF_THE_STATE):
            self.reset_stage = int(mujoco.mjtStage.mjSTAGE_ACC)

    def _course_of(self, told: RobotFile, model: mujoco.MjModel, tracked: list[Sense], size: int) -> Course:
        """What happens in its episodes; size of that in userdata."""
        dt = model.opt.timestep * self.frame_skip
        task = model.numeric(TASK).adr[0] if self._told else 0
        scales = [task + self.space.names.index(push.scale) if push.scale else -1 for push in told.pushes.values()]
        pushes = [Push.of(entry, model, dt, int(scale))
                  for entry, scale in zip(told.pushes.values(), scales, strict=True)]  # fmt: skip
        contacts = np.array([columns_of(model, sense.name)[0] for sense in tracked], int)
        commands = Commands.of(told.commands, dt) if told.commands else None
        return Course(commands, pushes, contacts, model.nuserdata - size, dt)

    @property
    def files(self) -> Mapping[str, bytes]:
        return self._files.contents

    def copy_to(self, folder: Path) -> None:
        """Write its files, as they were read, to another folder, under the names that `files` has."""
        self._files.copy_to(folder)

    def build(self) -> mujoco.MjModel:
        return mjcf.load(self._content)

    def control_range(self, model: mujoco.MjModel) -> tuple[np.ndarray, np.ndarray]:
        low, high = self._control_range
        return low.copy(), high.copy()

    def control_limits(self, model: mujoco.MjModel) -> tuple[np.ndarray, np.ndarray]:
        """Where an action_range goes beyond the ctrlrange of its actuator, that, as MuJoCo takes it."""
        low, high = self.control_range(model)
        if model.opt.disableflags & int(mujoco.mjtDisableBit.mjDSBL_CLAMPCTRL):
            return low, high
        least, greatest = np.where(model.actuator_ctrllimited[:, None], model.actuator_ctrlrange, [-np.inf, np.inf]).T
        return np.clip(low, least, greatest), np.clip(high, least, greatest)

    def start_controls(self, model: mujoco.MjModel) -> np.ndarray:
        return self._home.copy()

    def write(self, sim: Simulator, ids: np.ndarray, values: np.ndarray) -> None:
        if self._told:
            first = sim.model.numeric(TASK).adr[0]
            sim.expand("numeric_data")[ids, first : first + self.space.dim] = values

    def reset_state(self, rngs: Sequence[np.random.Generator], qpos: np.ndarray, qvel: np.ndarray) -> None:
        if not self._spread.fixed:
            self._spread.write(0.5 + 0.5 * uniform(rngs, self._spread.draws, 1.0), qpos, qvel)
        for state, noise in zip((qpos, qvel), self._noise, strict=True):
            noisy = np.flatnonzero(noise)
            if len(noisy):
                state[:, noisy] += uniform(rngs, len(noisy), 1.0) * noise[noisy]

    def start_course(self, sim: Simulator, ids: np.ndarray, rngs: Sequence[np.random.Generator]) -> None:
        self._course.begin(sim, ids, rngs)

    def before(self, sim: Simulator) -> Array:
        """The controls (N, A) of the step before."""
        ctrl = sim.bind("ctrl")
        return namespace(ctrl).asarray(ctrl, copy=True)

    def advance(self, sim: Simulator, ctrl: Array, ids: np.ndarray | None) -> None:
        for field in self._fields:  # bound after the first step, a derived one would be zero there
            field_of(sim, field)
        self._course.before(sim, ids)
        super().advance(sim, ctrl, ids)
        self._course.after(sim, ids)

    def observe(self, sim: Simulator, derived: Any) -> Array:
        numbers = [signal.read(sim) for signal in self._observation]
        return namespace(numbers[0]).concat(numbers, axis=1)

    def observation_names(self) -> tuple[Observed, ...]:
        names = self.sensed_names()
        return names_of(self.sensing, names) if self.sensing else names

    def sensed_names(self) -> tuple[Observed, ...]:
        return tuple(name for signal in self._observation for name in signal.names)

    def reward_terms(
        self, sim: Simulator, derived: Any, qpos_before: Array, ctrl: Array, values: Array
    ) -> dict[str, Array]:
        terms = {name: term.value(sim, qpos_before, values) for name, term in self._reward.items()}
        ends = {name: term.reward * flag(term.ended(sim), values) for name, term in self._termination.items()
                if term.reward}  # fmt: skip
        return terms | ends

    def terminated(self, sim: Simulator, values: Array) -> Array | None:
        ended = [term.ended(sim) for term in self._termination.values()]
        return reduce(or_, ended) if ended else None

    def solved(self, sim: Simulator, derived: Any, values: Array) -> Array | None:
        met = [condition.value(sim, sim.bind("ctrl"), values) > 0 for condition in self._success]
        return reduce(and_, met) if met else None


def _parts(folder: Path, name: str) -> mjcf.Files:
    """The files of an MJCF: of the robot's folder, or "robots:FILE" of the package that the extra robots installs.

    A copy of those in the robot's folder, as a run has it, goes before the package.
    """
    extra, colon, inside = name.partition(":")
    if not colon or extra != ROBOTS.name:
        return mjcf.read_files(folder, name)
    if not (folder / inside).is_file():
        try:
            folder = ROBOTS.folder(name) / ASSETS
        except MissingExtra as error:
            raise ValueError(str(error)) from error
    return mjcf.read_files(folder, inside)


def _joined(signals: Sequence[Signal]) -> list[Signal]:
    """The same numbers in as few reads as they take: neighbours that copy columns of one field become one."""
    joined: list[Signal] = []
    for signal in signals:
        last = joined[-1] if joined else None
        if last and last.compute is None and signal.compute is None and last.field == signal.field:
            columns = np.concatenate([last.columns, signal.columns])
            joined[-1] = Signal(signal.field, columns, last.names + signal.names)
        else:
            joined.append(signal)
    return joined


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


def _impossible_writes(data: dict[str, Any], names: Names) -> list[Mistake]:
    """What the model cannot take of the parameters that are right by themselves, in a file that is not."""
    found: list[Mistake] = []
    if names.model:
        there = names.actuators == elements(names.model, "actuators")
        written = (names.parameters or {}).values()
        entries = {name: read_entry(ParameterEntry, data["parameters"][name], names)[0] for name in written}
        known = [entry.parameter(name) for name, entry in entries.items() if entry and (
            there or all(QUANTITIES[write.quantity].kind != "actuator" for write in entry.writes))]  # fmt: skip
        check_writes(known, names.model, found)
    return found


def _edits(
    told: RobotFile, model: mujoco.MjModel, senses: set[Sense], task: bool, moved: Sequence[int]
) -> dict[str, Any]:
    """What the compiler adds to the MJCF; moved: bodies whose inertia is moved."""
    edits: dict[str, Any] = {"sensors": [sense.edit() for sense in sorted(senses, key=lambda sense: sense.name)]}
    actuators = told.control.edit(model)
    if actuators:
        edits["actuators"] = actuators
    if told.start.edited:
        activations = told.control.activations(model)
        edits["keyframe"] = told.start.edit(model, partial(told.control.start, model), activations)
    simple = [model.body(i).name or i for i in moved if model.body_simple[i]]
    if simple:
        edits["not_simple"] = simple
    if task:
        edits["numeric"] = {"name": TASK, "data": [p.default for p in told.parameters.values()]}
    if not told.camera:
        joints = getattr(told.control, "joints", None)
        driven = None if joints is None else [int(model.jnt_bodyid[model.joint(name).id]) for name in joints]
        edits["camera"] = _camera(model, robot_body(model, driven))
    return edits


def _camera(model: mujoco.MjModel, body: int) -> dict[str, Any]:
    """A camera at the right of the robot, whose first body is given: goes with it if it is free, else looks at it."""
    data = mujoco.MjData(model)
    if model.nkey:
        mujoco.mj_resetDataKeyframe(model, data, 0)
    mujoco.mj_forward(model, data)
    free = int(model.jnt_type[model.body_jntadr[body]]) not in MOVABLE
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
