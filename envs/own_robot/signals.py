"""What a robot from YAML can observe, be paid for and end by: signals, named lists of numbers of a state.

    observation:
      - {signal: joint_position, joints: [hip, knee]}
      - {signal: body_velocity, of: torso, axes: xy, frame: body}

`SIGNALS` is the table of them, but for contacts and commands (`metarl.envs.own_robot.signal_table` has all). Each row
says which options it takes, which sensors must be added to the model for it, and which numbers it has. A `Signal` reads
columns of one field of all simulations, and may compute something of them that treats every simulation by itself:
reductions run over the last, contiguous axis, so that the bits do not depend on how many simulations there are.

Everything about bodies comes from sensors that MuJoCo computes in the step itself. As all that MuJoCo derives, they are
of the state one physics step before the end of the environment step; positions and velocities of joints are of its end.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, NamedTuple

import mujoco
import numpy as np
from pydantic import Field

from ..actuators import controls, outputs
from ..arrays import Array, constant, index, namespace
from ..families.servo_robot import to_body
from ..observation import Observed
from ..simulator import Simulator
from ..task import TaskSpace
from .entries import MOVABLE, Axes, Choice, Entry, Named, Positive, option

if TYPE_CHECKING:
    from .episode import Course

TASK = "metarl_task"  # the numeric field of the model that holds the active task
RENAMED = {"body_spin": "body_angular_velocity", "joint_direction": "joint_sin_cos", "one": "constant"}
_AXES = "xyz"
Frame = tuple[str, str]  # ("body", "site" or "geom", name)


@dataclass(frozen=True)
class Sense:
    """A sensor that a signal needs: its type as MJCF calls it, its frame, and of a contact what it is with."""

    type: str
    of: Frame
    against: Frame | None = None

    @property
    def name(self) -> str:
        return "/".join(("metarl", self.type, *self.of, *(self.against or ())))

    def edit(self) -> dict[str, str]:
        """As metarl.envs.own_robot.mjcf_child adds it."""
        (kind, of), (ref_kind, ref) = self.of, self.against or ("", "")
        edit = {"name": self.name, "type": self.type, "kind": kind, "of": of}
        return edit | ({"ref_kind": ref_kind, "ref": ref} if ref else {})


@dataclass(frozen=True)
class Signal:
    """Numbers of a state, (N, k).

    Attributes:
        field: the field of the simulator that they come from; "numeric_data" is of the model.
        columns: of that field.
        names: what each of the k numbers is.
        compute: from the columns (N, len(columns)) to the numbers (N, k); None if they are the numbers.
        beside: a field of the model that compute gets as well, whole.
        turns: whether they are angles that turn over: a difference is the short way round.
    """

    field: str
    columns: np.ndarray
    names: tuple[Observed, ...]
    compute: Callable[..., Array] | None = None
    beside: str = ""
    turns: bool = False

    def read(self, sim: Simulator) -> Array:
        """The numbers, a new contiguous array (N, k)."""
        field = field_of(sim, self.field)
        xp = namespace(field)
        values = xp.take(field, index(self.columns, field), axis=1)
        more = [field_of(sim, self.beside)] if self.beside else []
        return values if self.compute is None else self.compute(values, *more)


def field_of(sim: Simulator, name: str) -> Array:
    """A field of all simulations, (N, size)."""
    found = sim.expand(name) if name == "numeric_data" or name.startswith("opt.") else sim.bind(name)
    return namespace(found).reshape(found, (found.shape[0], -1))


class Built(NamedTuple):
    """The robot that signals are built for.

    Attributes:
        model: the final one.
        control_range: controls of actions -1 and 1, (A,) each.
        course: of its episodes.
        tracked: the contacts that it tracks, in order.
        commands: unit of each command by name, in order.
        home: positions (nq,) of the start, without what is drawn.
    """

    model: mujoco.MjModel
    space: TaskSpace
    control_range: tuple[np.ndarray, np.ndarray]
    course: "Course"
    tracked: list[Sense]
    commands: dict[str, str]
    home: np.ndarray


class SignalEntry(Entry):
    """A signal in the file; its options are fields that `metarl.envs.own_robot.signal_table.entries` adds.

    Attributes:
        kind: its row in the table.
        observed: whether it is for the policy, which sees a command before it is in force.
    """

    kind: ClassVar["Kind"]
    observed: ClassVar[bool] = True
    signal: str

    def senses(self) -> list[Sense]:
        """The sensors that it needs."""
        return self.kind.senses(self)

    def tracked(self) -> list[Sense]:
        """The contacts whose times it needs."""
        return self.senses() if self.kind.tracks else []

    def build(self, built: Built) -> Signal:
        return self.kind.build(self, built)


_SOME = "names, patterns or indices; all by default."
_FRAMES, _FRAME = Named("bodies or sites"), Named("bodies or sites", many=False)
OPTIONS: dict[str, tuple[Any, Any]] = {  # name of the attribute to type and field
    "joints": (Annotated[list[str], Named("joints")], option("*", f"Hinges and slides: {_SOME}")),
    "sensors": (Annotated[list[str], Named("sensors")], option("*", f"Sensors of the MJCF: {_SOME}")),
    "actuators": (Annotated[list[str], Named("actuators")], option("*", f"Actuators: {_SOME}")),
    "activated": (Annotated[list[str], Named("actuators with an activation")],
                  Field("*", alias="actuators", validate_default=True, description=f"Of those with one: {_SOME}")),
    "of": (Annotated[list[Frame], _FRAMES], option(..., "Bodies or sites.")),
    "axes": (Axes, option("xyz", "Axes, such as x, xy or xyz.")),
    "frame": (Annotated[str, Choice(("world", "body"))], option("world", "Whose axes: the world's or its own.")),
    "start": (Annotated[Frame, _FRAME], Field(alias="from", description="Body or site.")),
    "end": (Annotated[Frame, _FRAME], Field(alias="to", description="Body or site.")),
    "period": (Positive, option(..., "Period of the gait, s.")),
    "parameters": (Annotated[list[str], Named("parameters")], option(..., "Parameters of the task.")),
}


@dataclass(frozen=True)
class Kind:
    """One row of the table.

    Attributes:
        options: keys of OPTIONS.
        numbers: how many, in words.
        unit: of the numbers.
        meaning: for people.
        build: the signal, from its entry and the robot with its sensors in it.
        senses: the sensors that it needs, from its entry.
        where: "all three", "reward, termination" or "reward".
        tracks: whether it is of the times of its contacts.
    """

    options: tuple[str, ...]
    numbers: str
    unit: str
    meaning: str
    build: Callable[[Any, Built], Signal]
    senses: Callable[[Any], list[Sense]] = lambda entry: []
    where: str = "all three"
    tracks: bool = False


def _joint_field(field: str, address: str, words: dict[int, tuple[str, str]]) -> Callable[[Any, Built], Signal]:
    """The build of positions or velocities; words: what they are and their unit, of hinges and slides."""

    def build(entry: Any, built: Built) -> Signal:
        joints = [built.model.joint(name) for name in entry.joints]
        columns = np.array([getattr(joint, address)[0] for joint in joints])
        kinds = [words[int(joint.type[0])] for joint in joints]
        names = tuple(Observed(f"{joint.name} {word}", unit, f"joint {joint.name}", f"{field}[{column}]")
                      for joint, column, (word, unit) in zip(joints, columns, kinds, strict=True))  # fmt: skip
        return Signal(field, columns, names)

    return build


_HINGE, _SLIDE = MOVABLE
joint_positions = _joint_field("qpos", "qposadr", {_HINGE: ("angle", "rad"), _SLIDE: ("position", "m")})
_joint_velocities = _joint_field("qvel", "dofadr", {_HINGE: ("velocity", "rad/s"), _SLIDE: ("velocity", "m/s")})
joint_accelerations = _joint_field("qacc", "dofadr", {
    _HINGE: ("acceleration", "rad/s²"), _SLIDE: ("acceleration", "m/s²")})  # fmt: skip


def _from_home(entry: Any, built: Built) -> Signal:
    angles = joint_positions(entry, built)
    home = built.home[angles.columns]
    names = tuple(Observed(f"{o.name} from home", o.unit, o.element, f"{o.source} - {value:.17g}")
                  for o, value in zip(angles.names, home, strict=True))  # fmt: skip
    return Signal("qpos", angles.columns, names, lambda q: q - constant(home, q))


def _joint_sines_and_cosines(entry: Any, built: Built) -> Signal:
    angles = joint_positions(entry, built)
    names = tuple(Observed(f"{o.element.partition(' ')[2]} {word}", "1", o.element, f"{word[:3]}({o.source})")
                  for word in ("cosine", "sine") for o in angles.names)  # fmt: skip
    return Signal("qpos", angles.columns, names, _cosines_and_sines)


def _cosines_and_sines(x: Array) -> Array:
    xp = namespace(x)
    return xp.concat([xp.cos(x), xp.sin(x)], axis=1)


def columns_of(model: mujoco.MjModel, sensor: str) -> np.ndarray:
    """Columns of sensordata of a sensor."""
    found = model.sensor(sensor)
    return np.arange(found.adr[0], found.adr[0] + found.dim[0])


def _sensors(entry: Any, built: Built) -> Signal:
    columns, names = [], []
    for sensor in entry.sensors:
        for i, column in enumerate(columns_of(built.model, sensor)):
            columns.append(column)
            label = sensor if built.model.sensor(sensor).dim[0] == 1 else f"{sensor} {i}"
            names.append(Observed(label, "of the sensor", f"sensor {sensor}", f"sensordata[{column}]"))
    return Signal("sensordata", np.array(columns), tuple(names))


def _sensed(type_: str, unit: str, word: str, parts: str = _AXES) -> tuple[Callable, Callable]:
    """senses and build of a signal that copies axes of a sensor of each frame."""

    def senses(entry: Any) -> list[Sense]:
        return [Sense(type_, frame) for frame in entry.of]

    def build(entry: Any, built: Built) -> Signal:
        columns, names = [], []
        for frame, sense in zip(entry.of, senses(entry), strict=True):
            for axis in getattr(entry, "axes", parts):
                columns.append(columns_of(built.model, sense.name)[parts.index(axis)])
                names.append(Observed(f"{frame[1]} {word} {axis}", unit, " ".join(frame), f"sensordata[{columns[-1]}]"))
        return Signal("sensordata", np.array(columns), tuple(names))

    return senses, build


_position, _orientation = _sensed("framepos", "m", "position"), _sensed("framequat", "1", "quaternion", "wxyz")
orientations = _orientation[1]


def _motion(type_: str, unit: str, word: str) -> tuple[Callable, Callable]:
    """senses and build of a velocity, of the world or in the frame of the body."""
    in_the_world = _sensed(type_, unit, word)

    def senses(entry: Any) -> list[Sense]:
        return in_the_world[0](entry) + (_orientation[0](entry) if entry.frame == "body" else [])

    def build(entry: Any, built: Built) -> Signal:
        if entry.frame == "world":
            return in_the_world[1](entry, built)
        axes = ["xyz".index(axis) for axis in entry.axes]
        columns, names = [], []
        for frame in entry.of:
            v, q = (columns_of(built.model, Sense(sensor, frame).name) for sensor in (type_, "framequat"))
            columns += [*q, *v]
            rotated = _to_body_text([f"sensordata[{i}]" for i in q], [f"sensordata[{i}]" for i in v])
            names += [Observed(f"{frame[1]} {word} {_AXES[axis]} in its frame", unit, " ".join(frame), rotated[axis])
                      for axis in axes]  # fmt: skip

        def compute(numbers: Array) -> Array:
            turned = [to_body(numbers[:, i : i + 4], numbers[:, i + 4 : i + 7]) for i in range(0, len(columns), 7)]
            return namespace(numbers).concat([vector[:, i, None] for vector in turned for i in axes], axis=1)

        return Signal("sensordata", np.array(columns), tuple(names), compute)

    return senses, build


def _to_body_text(quat: list[str], vector: list[str]) -> tuple[str, str, str]:
    """to_body as expressions."""
    (w, x, y, z), (a, b, c) = quat, vector
    p, q, r = f"(2 * ({b} * {z} - {c} * {y}))", f"(2 * ({c} * {x} - {a} * {z}))", f"(2 * ({a} * {y} - {b} * {x}))"
    return (f"{a} + {w} * {p} + {q} * {z} - {r} * {y}", f"{b} + {w} * {q} + {r} * {x} - {p} * {z}",
            f"{c} + {w} * {r} + {p} * {y} - {q} * {x}")  # fmt: skip


_velocity, _spin = _motion("framelinvel", "m/s", "velocity"), _motion("frameangvel", "rad/s", "spin")


def _gravity(entry: Any, built: Built) -> Signal:
    turned, direction = _orientation[1](entry, built), [f"opt.gravity[{i}]" for i in range(3)]
    size = f"sqrt({' + '.join(f'{axis}**2' for axis in direction)})"
    names = []
    for i, frame in enumerate(entry.of):
        quat = [f"sensordata[{column}]" for column in turned.columns[4 * i : 4 * i + 4]]
        names += [Observed(f"{frame[1]} gravity {axis}", "1", " ".join(frame), f"({text}) / {size}")
                  for axis, text in zip(_AXES, _to_body_text(quat, direction), strict=True)]  # fmt: skip

    def compute(quats: Array, gravity: Array) -> Array:
        xp, size = namespace(quats), length(gravity)
        direction = gravity / xp.where(size > 0, size, xp.ones_like(size))  # without gravity, an IMU feels none
        return xp.concat([to_body(quats[:, i : i + 4], direction) for i in range(0, quats.shape[1], 4)], axis=1)

    return Signal("sensordata", turned.columns, tuple(names), compute, "opt.gravity")


def _upright(entry: Any, built: Built) -> Signal:
    turned, names = _orientation[1](entry, built), []
    for frame, x, y in zip(entry.of, turned.columns[1::4], turned.columns[2::4], strict=True):
        source = f"1 - 2 * (sensordata[{x}]**2 + sensordata[{y}]**2)"
        names.append(Observed(f"{frame[1]} upright", "1", " ".join(frame), source))
    return Signal("sensordata", turned.columns, tuple(names), lambda q: 1 - 2 * (q[:, 1::4] ** 2 + q[:, 2::4] ** 2))


def _two_frames(entry: Any) -> list[Sense]:
    places = [Sense("framepos", frame) for frame in (entry.start, entry.end)]
    return places + ([Sense("framequat", entry.start)] if getattr(entry, "frame", "world") == "body" else [])


def _offset(entry: Any, built: Built) -> Signal:
    start, end, *turned = (columns_of(built.model, sense.name) for sense in _two_frames(entry))
    if turned:
        return _offset_in_its_frame(entry, start, end, *turned)
    names = tuple(Observed(f"{entry.end[1]} from {entry.start[1]} {axis}", "m", " ".join(entry.start),
                           f"sensordata[{end[i]}] - sensordata[{start[i]}]") for i, axis in enumerate(_AXES))
    return Signal("sensordata", np.concatenate([start, end]), names, lambda p: p[:, 3:] - p[:, :3])


def _offset_in_its_frame(entry: Any, start: np.ndarray, end: np.ndarray, quat: np.ndarray) -> Signal:
    between = [f"(sensordata[{end[i]}] - sensordata[{start[i]}])" for i in range(3)]
    turned = _to_body_text([f"sensordata[{i}]" for i in quat], between)
    label, element = f"{entry.end[1]} from {entry.start[1]}", " ".join(entry.start)
    names = tuple(Observed(f"{label} {axis} in its frame", "m", element, text)
                  for axis, text in zip(_AXES, turned, strict=True))  # fmt: skip
    compute = lambda p: to_body(p[:, 6:], p[:, 3:6] - p[:, :3])  # noqa: E731
    return Signal("sensordata", np.concatenate([start, end, quat]), names, compute)


def _distance(entry: Any, built: Built) -> Signal:
    offset = _offset(entry, built)
    inside = " + ".join(f"({name.source})**2" for name in offset.names)
    name = Observed(f"distance of {entry.end[1]} from {entry.start[1]}", "m", " ".join(entry.start),
                    f"sqrt({inside})")  # fmt: skip
    return Signal("sensordata", offset.columns, (name,), lambda p: length(p[:, 3:] - p[:, :3]))


def length(vectors: Array) -> Array:
    """Lengths (N, 1) of vectors (N, 3), summed in the order of the axes."""
    x, y, z = (vectors[:, i, None] for i in range(3))
    return namespace(vectors).sqrt(x * x + y * y + z * z)


def _actuator_fields(field: str, word: str, unit: str) -> Callable[[Any, Built], Signal]:
    def build(entry: Any, built: Built) -> Signal:
        columns, names = [], []
        for name in entry.actuators:
            own = outputs(built.model, built.model.actuator(name).id)
            for i, column in enumerate(own):
                columns.append(column)
                label = f"{name} {word}" if len(own) == 1 else f"{name} {word} {i}"
                names.append(Observed(label, unit, f"actuator {name}", f"{field}[{column}]"))
        return Signal(field, np.array(columns), tuple(names))

    return build


actuator_force = _actuator_fields("actuator_force", "force", "N m, N")
actuator_velocity = _actuator_fields("actuator_velocity", "velocity", "rad/s, m/s")


def _activation(entry: Any, built: Built) -> Signal:
    names = []
    for actuator in map(built.model.actuator, entry.activated):
        first, count = int(actuator.actadr[0]), int(actuator.actnum[0])
        names += [Observed(f"{actuator.name} activation" + (f" {i}" if count > 1 else ""), "1",
                           f"actuator {actuator.name}", f"act[{first + i}]") for i in range(count)]  # fmt: skip
    return Signal("act", np.array([int(name.source[4:-1]) for name in names]), tuple(names))


def _action(entry: Any, built: Built) -> Signal:
    low, high = built.control_range
    middle, half = 0.5 * (low + high), 0.5 * (high - low)
    names = tuple(Observed(f"{name} action", "1", f"actuator {built.model.actuator(actuator).name}",
                           f"(ctrl[{i}] - {middle[i]:.17g}) / {half[i]:.17g}")
                  for i, (actuator, name) in enumerate(controls(built.model)))  # fmt: skip
    compute = lambda ctrl: (ctrl - constant(middle, ctrl)) / constant(half, ctrl)  # noqa: E731
    return Signal("ctrl", np.arange(built.model.nu), names, compute)


def _clock(entry: Any, built: Built) -> Signal:
    rate = 2 * np.pi / entry.period
    names = tuple(Observed(f"clock {word}", "1", "time", f"{word[:3]}({rate:.17g} * time)")
                  for word in ("cosine", "sine"))  # fmt: skip
    return Signal("time", np.array([0]), names, lambda t: _cosines_and_sines(rate * t))


def _parameters(entry: Any, built: Built) -> Signal:
    told = [built.space.names.index(name) for name in entry.parameters]
    columns = built.model.numeric(TASK).adr[0] + np.array(told)
    parameters = [built.space.parameters[i] for i in told]
    names = tuple(Observed(p.name, p.unit, f"numeric {TASK}", f"numeric_data[{c}]")
                  for p, c in zip(parameters, columns, strict=True))  # fmt: skip
    return Signal("numeric_data", columns, names)


def _constant(entry: Any, built: Built) -> Signal:
    return Signal("time", np.array([0]), (Observed("one", "1", "-", "1"),), lambda t: 0 * t + 1)


SIGNALS: dict[str, Kind] = {
    "joint_position": Kind(("joints",), "1 a joint", "rad, m", "angles and positions of hinge and slide joints",
                           joint_positions),
    "joint_position_from_home": Kind(("joints",), "1 a joint", "rad, m", "the same from the start pose: that "
                                     "of `start.pose` and the keyframe", _from_home),
    "joint_velocity": Kind(("joints",), "1 a joint", "rad/s, m/s", "their velocities", _joint_velocities),
    "joint_sin_cos": Kind(("joints",), "2 a joint", "1", "cosines, then sines, of the angles of unlimited "
                            "(continuous) joints", _joint_sines_and_cosines),
    "sensor": Kind(("sensors",), "as MJCF says", "of the sensor", "sensors of the MJCF", _sensors),
    "body_position": Kind(("of", "axes"), "1 an axis", "m", "position in the world", _position[1], _position[0]),
    "body_velocity": Kind(("of", "axes", "frame"), "1 an axis", "m/s", "velocity, along the axes of the "
                          "world or, with `frame: body`, its own", _velocity[1], _velocity[0]),
    "body_angular_velocity": Kind(("of", "axes", "frame"), "1 an axis", "rad/s", "angular velocity, likewise",
                      _spin[1], _spin[0]),
    "body_orientation": Kind(("of",), "4 a body", "1", "unit quaternion, w first", _orientation[1], _orientation[0]),
    "body_gravity": Kind(("of",), "3 a body", "1", "unit vector of gravity, as the task has it, in its frame: what a "
                         "tilted IMU senses", _gravity, _orientation[0]),
    "body_upright": Kind(("of",), "1 a body", "1", "cosine of the angle between its z axis and the world's",
                         _upright, _orientation[0]),
    "offset": Kind(("start", "end", "frame"), "3", "m", "from one body or site to another, along the axes of the world "
                   "or, with `frame: body`, of the first: a goal as the robot sees it", _offset, _two_frames),
    "distance": Kind(("start", "end"), "1", "m", "length of that", _distance, _two_frames),
    "action": Kind((), "1 an actuator", "1", "controls in force, in units of actions: -1 to 1", _action),
    "action_change": Kind((), "1 an actuator", "1", "their change in this step", _action, where="reward"),
    "actuator_force": Kind(("actuators",), "1 an actuator", "N m, N", "force of actuators in the last physics step",
                           actuator_force),
    "actuator_activation": Kind(("activated",), "1 an actuator", "1", "activation of muscles and other actuators that "
                                "have one", _activation),
    "actuator_velocity": Kind(("actuators",), "1 an actuator", "rad/s, m/s", "velocity of actuators, with their "
                              "gear, in the last physics step", actuator_velocity),
    "clock": Kind(("period",), "2", "1", "cosine and sine of the time since the start of the episode, for a gait of "
                  "`period` seconds", _clock),
    "parameter": Kind(("parameters",), "1 a name", "of the parameter", "parameters of the task, as a command that the "
                      "robot is told", _parameters),
    "constant": Kind((), "1", "1", "1, for a bonus in each step that the robot is alive", _constant,
                     where="reward, termination"),
}  # fmt: skip
