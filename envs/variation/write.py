"""From parameters to models: a `Write` says what a parameter's value changes, a `Writer` does it for many simulations.

    legs = Write("damping", ("*_knee", "*_hip"))              # by name or pattern; the value multiplies
    load = Write("payload", "torso", at=(0.0, 0.0, 0.1))      # the value is a mass in kg
    dead = Write("strength", ("hip", "knee"), "pick", factor=0.0)   # value 0: the hip's motor is dead, 1: the knee's

Every write starts from the default model, so that scales never compound and the default task restores it bit for bit.
Several parameters may change one element: they act in the order of the task space.
"""

from dataclasses import dataclass, replace

import mujoco
import numpy as np
from mujoco.batch import Batch

from metarl.util.text import nearest

from ..parameter import Parameter
from ..task import TaskSpace
from .elements import find
from .quantities import ADD, PICK, QUANTITIES, SCALE, SET, Fields, Quantity, field_of

_FREE = int(mujoco.mjtJoint.mjJNT_FREE)
_DOFS = {_FREE: 6, int(mujoco.mjtJoint.mjJNT_BALL): 3}
_SET_CONST = frozenset(mujoco.MjModel._setconst_inputs)


@dataclass(frozen=True)
class Write:
    """What a parameter's value changes.

    Attributes:
        quantity: a key of QUANTITIES.
        elements: names of bodies, geoms, joints or actuators, patterns such as "*_foot", or indices; by default all but
            the world and free joints. In mode "pick" each entry is one choice: an element or a tuple of them.
        mode: "scale" multiplies, "add" adds, "set" replaces; "pick" scales the elements that the value is the index of
            by `factor`, and -1 picks none. By default the first mode of the quantity.
        axis: "x", "y" or "z", for a quantity that is a vector.
        at: place of a payload in the frame of the body, m.
        factor: of mode "pick".
    """

    quantity: str
    elements: tuple = ()
    mode: str = ""
    axis: str = ""
    at: tuple[float, float, float] = (0.0, 0.0, 0.0)
    factor: float = 0.0

    def __post_init__(self):
        if self.quantity not in QUANTITIES:
            raise ValueError(f"unknown quantity {self.quantity!r}" + nearest(self.quantity, QUANTITIES))
        row = QUANTITIES[self.quantity]
        elements = self.elements if isinstance(self.elements, tuple | list) else (self.elements,)
        object.__setattr__(self, "elements", tuple(elements))
        object.__setattr__(self, "mode", self.mode or row.modes[0])
        modes = (*row.modes, PICK) if SCALE in row.modes else row.modes
        if self.mode not in modes:
            raise ValueError(f"{self.quantity} has no mode {self.mode!r}" + nearest(self.mode, modes))
        if self.axis and (not row.axes or self.axis not in ("x", "y", "z")):
            allowed = "x, y or z" if row.axes else "none"
            raise ValueError(f"{self.quantity}: axis must be {allowed}, got {self.axis!r}")
        if row.axes and not self.axis and self.mode in (ADD, SET):
            raise ValueError(f"{self.quantity}: mode {self.mode!r} needs an axis, x, y or z")
        if len(self.at) != 3:
            raise ValueError(f"{self.quantity}: at must be a place (x, y, z) in m, got {self.at!r}")

    @property
    def row(self) -> Quantity:
        return QUANTITIES[self.quantity]


@dataclass(frozen=True)
class _Step:
    """One write with its names resolved: which column of the values, which elements; a choice of it if picked."""

    column: int
    write: Write
    elements: np.ndarray
    default: float
    pick: int | None = None


class Unwritable(ValueError):
    """What a model cannot take of a task space; `problems` has the name of each such parameter and the reason."""

    def __init__(self, problems: list[tuple[str, str]]):
        self.problems = problems
        super().__init__("\n".join(text for _, text in problems))


class Writer:
    """Applies the parameters of a task space to the simulations of a Batch of model.

    Raises:
        Unwritable: the model does not have what a parameter writes.
    """

    def __init__(self, space: TaskSpace, model: mujoco.MjModel):
        self._space = space
        self._steps: list[_Step] = []
        problems = []
        for column, parameter in enumerate(space.parameters):
            try:
                steps = _steps(column, parameter, model)
                self._change(steps, Fields(model, _fields(steps), 0), np.empty((0, space.dim)))
                self._steps += steps
            except (ValueError, IndexError) as error:
                problems.append((parameter.name, str(error)))
        if problems:
            raise Unwritable(problems)
        self._fields = _fields(self._steps)

    def write(self, batch: Batch, ids: np.ndarray, values: np.ndarray) -> None:
        """Write tasks values (n, D) into simulations ids (n,)."""
        if not self._steps:
            return
        fields = Fields(batch.model, self._fields, len(ids))
        self._change(self._steps, fields, values)
        self._check_masses(fields)
        for name, array in fields.items():
            batch.expand(name)[ids] = array
        if not _SET_CONST.isdisjoint(fields):
            batch.set_const(ids)

    def _change(self, steps: "list[_Step]", fields: Fields, values: np.ndarray) -> None:
        for step in steps:
            value = values[:, step.column]
            sims = np.flatnonzero(value == step.pick if step.pick is not None else value != step.default)
            if step.pick is None:
                step.write.row.change(fields, sims, step.elements, value[sims], step.write)
            else:
                scale = replace(step.write, mode=SCALE)
                step.write.row.change(fields, sims, step.elements, np.full(len(sims), step.write.factor), scale)

    def _check_masses(self, fields: Fields) -> None:
        """A mass that is added may be negative, but not so that nothing is left."""
        for name in {"body_mass", "body_inertia"} & fields.keys():
            bad = (fields[name] <= 0) & (field_of(fields.model, name) > 0)
            if bad.any():
                i, body = np.argwhere(bad)[0][:2]
                raise ValueError(
                    f"{self._space.family}: {name} of {fields.model.body(body).name!r} would be"
                    f" {np.min(fields[name][i, body]):g}; narrow the range of the parameter that changes it"
                )


def _fields(steps: list[_Step]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(name for step in steps for name in step.write.row.fields))


def _steps(column: int, parameter: Parameter, model: mujoco.MjModel) -> list[_Step]:
    steps = []
    for write in parameter.writes:
        if write.row.change is None:
            continue
        if write.mode == PICK:
            _check_picks(parameter, write)
            for i, group in enumerate(write.elements):
                group = group if isinstance(group, tuple | list) else (group,)
                steps.append(_Step(column, write, _resolve(parameter, write, group, model), parameter.default, i))
            continue
        step = _Step(column, write, _resolve(parameter, write, write.elements, model), parameter.default)
        _check_default(parameter, step, model)
        steps.append(step)
    return steps


def _check_picks(parameter: Parameter, write: Write) -> None:
    known = {-1.0, *map(float, range(len(write.elements)))}
    values = {*parameter.choices, *parameter.extrapolation} if not parameter.continuous else {None}
    if parameter.default != -1 or not values <= known or () in write.elements:
        raise ValueError(
            f"parameter {parameter.name}: to pick one of {len(write.elements)} it needs default -1 and choices from -1"
            f" to {len(write.elements) - 1}"
        )


def _check_default(parameter: Parameter, step: _Step, model: mujoco.MjModel) -> None:
    """The default value leaves the model as it is: 1 for a scale, 0 for an addition, what is there for a setting."""
    write = step.write
    if write.mode in (SCALE, ADD):
        neutral = 1.0 if write.mode == SCALE else 0.0
        if parameter.default != neutral:
            raise ValueError(f"parameter {parameter.name}: the default must be {neutral:g} for mode {write.mode!r}")
        return
    fields = Fields(model, write.row.fields, 1)
    write.row.change(fields, np.array([0]), step.elements, np.array([parameter.default]), write)
    for name, array in fields.items():
        there = field_of(model, name)
        if not np.array_equal(array[0], there):
            found = sorted({float(v) for v in there[array[0] != there]})
            raise ValueError(
                f"parameter {parameter.name}: its default {parameter.default:g} is not what the model has,"
                f" {', '.join(f'{v:g}' for v in found[:4])}; make it the default, or use mode 'scale'"
            )


def _resolve(parameter: Parameter, write: Write, wanted: tuple, model: mujoco.MjModel) -> np.ndarray:
    """Indices of the elements named; all if none is."""
    kind = write.row.kind
    if kind == "option":
        if wanted:
            raise ValueError(f"parameter {parameter.name}: {write.quantity} is of the whole world; name no elements")
        return np.array([0])
    of = "joint" if kind == "dof" else kind
    count = {"body": model.nbody, "geom": model.ngeom, "joint": model.njnt, "actuator": model.nu}[of]
    names = {i: getattr(model, of)(i).name for i in range(count)}
    found = [] if wanted else [i for i in range(of == "body", count) if of != "joint" or model.jnt_type[i] != _FREE]
    for name in wanted:
        try:
            matches = find(name, names)
        except ValueError as error:
            raise ValueError(f"parameter {parameter.name}: {of} {error}") from error
        if not matches:
            raise ValueError(f"parameter {parameter.name}: the model has no {of} {name!r}"
                             + nearest(str(name), [n for n in names.values() if n]))  # fmt: skip
        found += [i for i in matches if i not in found]
    if kind == "dof":
        found = [d for j in found for d in range(model.jnt_dofadr[j], model.jnt_dofadr[j] +
                                                 _DOFS.get(int(model.jnt_type[j]), 1))]  # fmt: skip
    return np.array(found, int)
