"""Applies what the parameters of a task space write to many simulations at once.

    writer = Writer(space, model)                         # ValueError for what the model does not have
    writer.write(batch, ids, values)                      # tasks values (n, D) into simulations ids (n,)

Every write starts from the default model, so that scales never compound and the default task restores it bit for bit.
Several parameters may change one element: they act in the order of the task space.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import mujoco
import numpy as np

from metarl.util.text import nearest

from .parameter import Parameter
from .simulator import Simulator
from .task import TaskSpace
from .variation.changes import CHANGES, FieldRows, field_of
from .variation.elements import find
from .variation.quantities import ADD, PICK, SCALE
from .variation.write import Write

_FREE = int(mujoco.mjtJoint.mjJNT_FREE)
_DOFS = {_FREE: 6, int(mujoco.mjtJoint.mjJNT_BALL): 3}
_SET_CONST = frozenset(mujoco.MjModel._setconst_inputs)


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
    """Applies the parameters of a task space to the simulations of a model.

    Raises:
        Unwritable: the model does not have what a parameter writes.
    """

    def __init__(self, space: TaskSpace, model: mujoco.MjModel):
        self._space, self._model = space, model
        self._steps: list[_Step] = []
        problems = []
        for column, parameter in enumerate(space.parameters):
            try:
                steps = _steps(column, parameter, model)
                _change(steps, FieldRows(model, _fields(steps), 0), np.empty((0, space.dim)))
                self._steps += steps
            except (ValueError, IndexError) as error:
                problems.append((parameter.name, str(error)))
        if problems:
            raise Unwritable(problems)
        self._fields = _fields(self._steps)
        placed = {int(i) for step in self._steps if step.write.quantity == "position" for i in step.elements}
        self.mocap = np.array(sorted(i for i in placed if model.body_mocapid[i] >= 0), int)
        """Mocap bodies whose position it writes."""

    @property
    def written(self) -> list[tuple[Write, np.ndarray, int | None]]:
        """What is written, to which elements, and at which choice if one is picked."""
        return [(step.write, step.elements, step.pick) for step in self._steps]

    def fields(self, values: np.ndarray) -> FieldRows:
        """The fields of the model in tasks values (n, D), (n, ...) each."""
        fields = FieldRows(self._model, self._fields, len(values))
        _change(self._steps, fields, values)
        return fields

    @property
    def moved_inertias(self) -> list[int]:
        """Bodies whose centre of mass or axes of inertia it moves."""
        bodies: set[int] = set()
        for step in self._steps:
            row = step.write.quantity_row
            # a body that grows in all directions about its centre of mass keeps that
            if step.write.quantity != "size" and not {"body_ipos", "body_iquat"}.isdisjoint(row.fields):
                of = self._model.geom_bodyid[step.elements] if row.kind == "geom" else step.elements
                bodies.update(map(int, of))
        return sorted(bodies)

    def write(self, sim: Simulator, ids: np.ndarray, values: np.ndarray) -> None:
        """Write tasks values (n, D) into simulations ids (n,)."""
        if not self._steps:
            return
        fields = self.fields(values)
        self._check_masses(fields)
        for name, array in fields.items():
            sim.expand(name)[ids] = array
        if not _SET_CONST.isdisjoint(fields):
            sim.set_const(ids)
        self.place_mocap(sim, ids)

    def place_mocap(self, sim: Simulator, ids: np.ndarray) -> None:
        """Put mocap bodies of simulations ids (n,) where their tasks have them; a reset to a keyframe does not."""
        if len(self.mocap):
            there = sim.expand("body_pos")[ids[:, None], self.mocap]
            sim.bind("mocap_pos")[ids[:, None], self._model.body_mocapid[self.mocap]] = there

    def _check_masses(self, fields: FieldRows) -> None:
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
    return tuple(dict.fromkeys(name for step in steps for name in step.write.quantity_row.fields))


def _change(steps: list[_Step], fields: FieldRows, values: np.ndarray) -> None:
    for step in steps:
        value = values[:, step.column]
        sims = np.flatnonzero(value == step.pick if step.pick is not None else value != step.default)
        if step.pick is None:
            CHANGES[step.write.quantity](fields, sims, step.elements, value[sims], step.write)
        else:
            scale = replace(step.write, mode=SCALE, factor=0.0)
            CHANGES[step.write.quantity](fields, sims, step.elements, np.full(len(sims), step.write.factor), scale)


def _steps(column: int, parameter: Parameter, model: mujoco.MjModel) -> list[_Step]:
    steps = []
    for write in parameter.writes:
        if write.quantity not in CHANGES:
            continue  # a delay or noise
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
    fields = FieldRows(model, write.quantity_row.fields, 1)
    CHANGES[write.quantity](fields, np.array([0]), step.elements, np.array([parameter.default]), write)
    for name, array in fields.items():
        there = field_of(model, name)
        if not np.array_equal(array[0], there):
            found = sorted({float(v) for v in there[array[0] != there]})
            raise ValueError(
                f"parameter {parameter.name}: its default {parameter.default:g} is not what the model has,"
                f" {', '.join(f'{v:g}' for v in found[:4])}; make it the default, or use mode 'scale'"
            )


def _resolve(parameter: Parameter, write: Write, wanted: Sequence, model: mujoco.MjModel) -> np.ndarray:
    """Indices of the elements named; all if none is."""
    kind = write.quantity_row.kind
    if kind == "option":
        if wanted:
            raise ValueError(f"parameter {parameter.name}: {write.quantity} is of the whole world; name no elements")
        return np.array([0])
    of = "joint" if kind == "dof" else kind
    count = {"body": model.nbody, "geom": model.ngeom, "pair": model.npair, "joint": model.njnt,
             "tendon": model.ntendon, "actuator": model.nactuator}[of]  # fmt: skip
    if not wanted and not count:
        raise ValueError(f"parameter {parameter.name}: {write.quantity} is of {of}s; the model has none")
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
