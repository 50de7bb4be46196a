"""How each quantity changes a model: functions over rows of its fields, for many simulations at once.

    rows = FieldRows(model, QUANTITIES["mass"].fields, n=4)
    CHANGES["mass"](rows, sims, elements, values, write)  # simulations (k,), elements (e,), values (k,)

`FieldRows` are copies of the model's arrays with a leading axis of simulations. All fields that MuJoCo derives (subtree
masses, inverse weights, bounding volumes, frame flags) are computed anew by mj_setConst afterwards, so that nothing
here needs to know them.
"""

from collections.abc import Callable, Iterable
from functools import partial

import mujoco
import numpy as np

from .inertia import inertia_matrix, principal, second_moments, stretched_inertia, volume_and_moments
from .quantities import ADD, QUANTITIES, SCALE, Quantity

_GEOM = {name: int(getattr(mujoco.mjtGeom, f"mjGEOM_{name.upper()}")) for name in
         ("sphere", "capsule", "ellipsoid", "cylinder", "box", "plane")}
_ROUND = [_GEOM["sphere"], _GEOM["capsule"], _GEOM["cylinder"]]
_LONG = [_GEOM["capsule"], _GEOM["cylinder"]]
_EDGED = [_GEOM["box"], _GEOM["ellipsoid"]]
_SIZED = {"radius": _ROUND, "half_length": _LONG, "half_size": _EDGED}


class FieldRows(dict):
    """Model fields by name, (n, ...) each, of n simulations; option fields as "opt.<name>"."""

    def __init__(self, model: mujoco.MjModel, names: Iterable[str], n: int):
        self.model = model
        super().__init__((name, np.repeat(field_of(model, name)[None], n, axis=0)) for name in names)


def field_of(model: mujoco.MjModel, name: str) -> np.ndarray:
    """A field of one model by the name that Batch.expand knows it by."""
    return np.asarray(getattr(model.opt, name[4:]) if name.startswith("opt.") else getattr(model, name))


def apply_mode(old: np.ndarray, values: np.ndarray, mode: str) -> np.ndarray:
    """Old values (k, ...) multiplied by, increased by or replaced by values (k,)."""
    values = values.reshape(-1, *[1] * (old.ndim - 1))
    return old * values if mode == SCALE else old + values if mode == ADD else np.broadcast_to(values, old.shape)


def _plain(fields, sims, elements, values, write, *, name, column=None):
    """Elements of one field: one column of it, the one that write.axis names, or all."""
    column = "xyz".index(write.axis) if write.axis else column
    at = (sims[:, None], elements) if column is None else (sims[:, None], elements, column)
    fields[name][at] = apply_mode(fields[name][at], values, write.mode)


def _option(fields, sims, elements, values, write, *, name):
    at = (sims, "xyz".index(write.axis)) if write.axis else sims
    fields[name][at] = apply_mode(fields[name][at], values, write.mode)


def _polynomial(fields, sims, elements, values, write, *, name):
    """A coefficient, with those of the higher powers, which can be scaled only."""
    _plain(fields, sims, elements, values, write, name=name)
    curved = elements[field_of(fields.model, f"{name}poly")[elements].any(axis=1)]
    if len(curved) and write.mode != SCALE:
        owner = _owner(fields.model, write, int(curved[0]))
        raise ValueError(f"{write.quantity} of {owner!r} has terms of higher order ({name}poly), which mode"
                         f" {write.mode!r} would leave as they are: use mode 'scale'")  # fmt: skip
    _plain(fields, sims, curved, values, write, name=f"{name}poly")


def _owner(model, write, element: int) -> str | int:
    """Name of the joint or tendon that an element is of; its index if it has none."""
    kind = write.quantity_row.kind
    i, get = (int(model.dof_jntid[element]), model.joint) if kind == "dof" else (element, getattr(model, kind))
    return get(i).name or i


def _mass(fields, sims, elements, values, write):
    """Of all bodies those that have a mass; a named one without is refused, as it has no inertia to go with that."""
    if write.mode != SCALE:
        massless = elements[fields.model.body_mass[elements] == 0]
        if len(massless) and write.elements:
            raise ValueError(f"mass in mode {write.mode!r} is of bodies with mass; body"
                             f" {fields.model.body(int(massless[0])).name or massless[0]!r} has none")  # fmt: skip
        elements = np.setdiff1d(elements, massless)
    at = (sims[:, None], elements)
    old = fields["body_mass"][at]
    fields["body_mass"][at] = new = apply_mode(old, values, write.mode)
    ratio = apply_mode(np.ones_like(old), values, SCALE) if write.mode == SCALE else new / old
    fields["body_inertia"][at] *= ratio[..., None]


def _position(fields, sims, elements, values, write):
    model = fields.model
    free = [i for i in elements if model.body_jntnum[i]
            and int(model.jnt_type[model.body_jntadr[i]]) == int(mujoco.mjtJoint.mjJNT_FREE)]  # fmt: skip
    if free:
        raise ValueError(f"position is of bodies without a free joint; where {model.body(int(free[0])).name!r} starts"
                         " is of the start")  # fmt: skip
    _plain(fields, sims, elements, values, write, name="body_pos")


def _payload(fields, sims, elements, values, write):
    offset = np.array(write.at)
    for body in elements:
        at = (sims, body)
        mass, centre = fields["body_mass"][at], fields["body_ipos"][at]
        total = mass + values
        arm = offset - centre
        # both about their common centre: a point mass pair has the reduced mass mass * values / total at the arm
        reduced = (mass * values / total)[:, None, None]
        square = np.einsum("ki,ki->k", arm, arm)[:, None, None] * np.eye(3) - _outer(arm)
        matrix = inertia_matrix(fields["body_inertia"][at], fields["body_iquat"][at]) + reduced * square
        fields["body_mass"][at] = total
        fields["body_ipos"][at] = centre + (values / total)[:, None] * arm
        fields["body_inertia"][at], fields["body_iquat"][at] = principal(matrix)


def _strength(fields, sims, elements, values, write):
    model = fields.model
    muscle = _of_type(model.actuator_gaintype, elements, mujoco.mjtGain.mjGAIN_MUSCLE)
    proportional = model.actuator_gaintype[elements] <= int(mujoco.mjtGain.mjGAIN_AFFINE)
    _refuse(model, elements[~(muscle | proportional)], "strength is of motors, servos and muscles")
    # of a muscle its peak force, and what that is computed from if negative
    for some, columns in ((elements[~muscle], slice(0, 3)), (elements[muscle], slice(2, 4))):
        at = (sims[:, None], some, columns)
        for name in ("actuator_gainprm", "actuator_biasprm"):
            fields[name][at] = apply_mode(fields[name][at], values, SCALE)
    at = (sims[:, None], elements)
    fields["actuator_forcerange"][at] = apply_mode(fields["actuator_forcerange"][at], values, SCALE)
    for joint in _driven_by(model, elements):  # without a limit the range is 0 to 0
        fields["jnt_actfrcrange"][sims, joint] = apply_mode(fields["jnt_actfrcrange"][sims, joint], values, SCALE)


def _gear(fields, sims, elements, values, write):
    """Of an actuator with several outputs, of all of them."""
    first, count = fields.model.actuator_outadr[elements], fields.model.actuator_outnum[elements]
    rows = np.concatenate([np.arange(0), *map(np.arange, first, first + count)])
    _plain(fields, sims, rows, values, write, name="actuator_gear")


def _of_type(types, elements, kind) -> np.ndarray:
    return types[elements] == int(kind)


def _refuse(model, actuators, expected: str) -> None:
    """ValueError for the first of some actuators, of which a quantity is not."""
    if len(actuators):
        odd = int(actuators[0])
        kind = mujoco.mjtGain(int(model.actuator_gaintype[odd])).name.removeprefix("mjGAIN_").lower()
        raise ValueError(f"{expected}; actuator {model.actuator(odd).name or odd!r} is of gaintype {kind}")


def _driven_by(model, actuators) -> list[int]:
    """Joints all of whose actuators are among these."""
    kinds = [int(mujoco.mjtTrn.mjTRN_JOINT), int(mujoco.mjtTrn.mjTRN_JOINTINPARENT)]
    driven, others = set(), set()
    for i in np.flatnonzero(np.isin(model.actuator_trntype, kinds)):
        (driven if i in actuators else others).add(int(model.actuator_trnid[i, 0]))
    return sorted(driven - others)


def _gain(fields, sims, elements, values, write):
    """The force for each control; what a servo is sent to stays the same control, so its bias goes with the gain."""
    model, (gain, bias) = fields.model, (fields[f"actuator_{name}prm"] for name in ("gain", "bias"))
    fixed = _of_type(model.actuator_gaintype, elements, mujoco.mjtGain.mjGAIN_FIXED)
    bound = _of_type(model.actuator_biastype, elements, mujoco.mjtBias.mjBIAS_AFFINE)
    free = _of_type(model.actuator_biastype, elements, mujoco.mjtBias.mjBIAS_NONE)
    _refuse(model, elements[~(fixed & (bound | free))], "gain is of motors and servos; use strength for muscles")
    at = (sims[:, None], elements, 0)
    old = gain[at]
    gain[at] = new = apply_mode(old, values, write.mode)
    ratio = np.divide(new, old, out=np.zeros_like(old), where=old != 0)
    for i in np.flatnonzero(bound):
        actuator = elements[i]
        _, stiffness, damping = model.actuator_biasprm[actuator, :3]
        if not (stiffness or damping):
            continue
        if not model.actuator_gainprm[actuator, 0]:
            raise ValueError(f"gain: actuator {model.actuator(int(actuator)).name or actuator!r} has a gain of 0")
        for column in [0, 1] if stiffness else [0, 2]:
            was = bias[sims, actuator, column]
            bias[sims, actuator, column] = np.where(was == -old[:, i], -new[:, i], was * ratio[:, i])


def _kd(fields, sims, elements, values, write):
    _only_servos(fields.model, elements, write)
    at = (sims[:, None], elements, 2)
    fields["actuator_biasprm"][at] = -apply_mode(-fields["actuator_biasprm"][at], values, write.mode)


def _encoder_offset(fields, sims, elements, values, write):
    """A servo at q + offset: kp (u - q - offset), with biasprm[1] = -kp as it then is."""
    _only_servos(fields.model, elements, write)
    at, bias = (sims[:, None], elements), fields["actuator_biasprm"]
    bias[(*at, 0)] += bias[(*at, 1)] * values[:, None]


def _only_servos(model, elements, write):
    """Position servos: kp (u - q) - kd dq/dt."""
    for i in elements:
        gain, bias = model.actuator_gainprm[i], model.actuator_biasprm[i]
        if not (gain[0] > 0 and bias[1] == -gain[0] and model.actuator_gaintype[i] == int(mujoco.mjtGain.mjGAIN_FIXED)
                and model.actuator_biastype[i] == int(mujoco.mjtBias.mjBIAS_AFFINE)):  # fmt: skip
            raise ValueError(f"{write.quantity} is of position servos, actuator {model.actuator(int(i)).name or i!r} is"
                             " none")  # fmt: skip


def _solref(fields, sims, elements, values, write, *, column):
    stiff = elements[(fields.model.geom_solref[elements] <= 0).any(axis=1)]
    if len(stiff):
        raise ValueError(f"geom {fields.model.geom(int(stiff[0])).name or stiff[0]!r} has its solref as stiffness and"
                         " damping (negative); write it as time constant and damping ratio")  # fmt: skip
    _plain(fields, sims, elements, values, write, name="geom_solref", column=column)
    if (fields["geom_solref"][sims[:, None], elements] <= 0).any():
        raise ValueError(f"{write.quantity} would not be positive: narrow the range")


def _geom_size(fields, sims, elements, values, write, *, types, column=None):
    """Of all geoms those of the types, of named ones each: what would change nothing is refused."""
    model = fields.model
    fits = np.isin(model.geom_type[elements], types)
    if not fits.any() or (write.elements and not fits.all()):
        odd = model.geom(int(elements[~fits][0])) if len(elements) else None
        words = " and ".join(f"{name}s" for name in _GEOM if _GEOM[name] in types).replace("boxs", "boxes")
        got = f"geom {odd.name or odd.id!r} is a {_kind_of(odd)}" if odd else "the model has none"
        better = [q for q, kinds in _SIZED.items() if odd and int(odd.type[0]) in kinds]
        raise ValueError(f"{write.quantity} is of {words}; {got}" + (f": use {' or '.join(better)}" if better else ""))
    _plain(fields, sims, elements[fits], values, write, name="geom_size", column=column)


def _kind_of(geom) -> str:
    return mujoco.mjtGeom(int(geom.type[0])).name.removeprefix("mjGEOM_").lower()


def _geom_length(fields, sims, elements, values, write):
    model = fields.model
    for geom in elements:
        body, kind = model.geom_bodyid[geom], model.geom_type[geom]
        if kind not in _LONG or not np.isin(model.geom_type[_geoms_of(model, body)], _ROUND).all():
            raise ValueError(f"geom {model.geom(geom).name!r} is no capsule or cylinder of a body of round geoms")
        at, size, capped = (sims, body), fields["geom_size"], kind == _GEOM["capsule"]
        density = fields["body_mass"][at] / sum(
            volume_and_moments(size[sims, g, 0], size[sims, g, 1] * (model.geom_type[g] in _LONG),
                               model.geom_type[g] != _GEOM["cylinder"])[0] for g in _geoms_of(model, body))
        before = volume_and_moments(size[sims, geom, 0], size[sims, geom, 1], capped)
        size[sims, geom, 1] = apply_mode(size[sims, geom, 1], values, write.mode)
        after = volume_and_moments(size[sims, geom, 0], size[sims, geom, 1], capped)
        more, moments = (density.reshape(-1, *[1] * (a.ndim - 1)) * (a - b) for a, b in zip(after, before, strict=True))
        axes, place, centre = _axes_of(model, geom), fields["geom_pos"][sims, geom], fields["body_ipos"][at]
        mass = fields["body_mass"][at]
        # second moments about the origin of the body, in which contributions add
        matrix = inertia_matrix(fields["body_inertia"][at], fields["body_iquat"][at])
        second = second_moments(matrix) + mass[:, None, None] * _outer(centre)
        second += np.einsum("kj,ji,jl->kil", moments, axes, axes) + more[:, None, None] * _outer(place)
        fields["body_mass"][at] = total = mass + more
        fields["body_ipos"][at] = centre = (mass[:, None] * centre + more[:, None] * place) / total[:, None]
        second -= total[:, None, None] * _outer(centre)
        matrix = np.trace(second, axis1=1, axis2=2)[:, None, None] * np.eye(3) - second
        fields["body_inertia"][at], fields["body_iquat"][at] = principal(matrix)


def _outer(vectors: np.ndarray) -> np.ndarray:
    return vectors[:, :, None] * vectors[:, None, :]


def _limb_length(fields, sims, elements, values, write):
    for body in elements:
        axis = limb_axis(fields.model, body)
        along = np.outer(axis, axis)
        stretch = np.eye(3) + (values[:, None, None] - 1) * along  # (k, 3, 3)
        _move_frames(fields, sims, body, stretch)
        for geom in _geoms_of(fields.model, body):
            kind, edges = fields.model.geom_type[geom], _axes_of(fields.model, geom)
            parallel = np.flatnonzero(np.abs(edges @ axis) > 0.999)
            if kind in _LONG and 2 in parallel:
                fields["geom_size"][sims, geom, 1] *= values
            elif kind in (_GEOM["box"], _GEOM["ellipsoid"]) and len(parallel):
                fields["geom_size"][sims, geom, parallel[0]] *= values
        at = (sims, body)
        matrix = inertia_matrix(fields["body_inertia"][at], fields["body_iquat"][at])
        fields["body_inertia"][at], fields["body_iquat"][at] = principal(stretched_inertia(matrix, stretch))
        fields["body_mass"][at] *= values


def _size(fields, sims, elements, values, write):
    for body in elements:
        _move_frames(fields, sims, body, values[:, None, None] * np.eye(3))
        for geom in _geoms_of(fields.model, body):
            fields["geom_size"][sims, geom] *= values[:, None]
        fields["body_mass"][sims, body] *= values**3
        fields["body_inertia"][sims, body] *= values[:, None] ** 5


def _move_frames(fields, sims, body, stretch):
    """Everything that has a place in the frame of a body goes where the stretch (k, 3, 3) puts it."""
    model = fields.model
    places = {"body_ipos": [body], "body_pos": np.flatnonzero(model.body_parentid == body)}
    places |= {f"{kind}_pos": np.flatnonzero(getattr(model, f"{kind}_bodyid") == body) for kind in
               ("jnt", "geom", "site")}
    for name, ids in places.items():
        for i in ids:
            fields[name][sims, i] = np.einsum("kij,kj->ki", stretch, fields[name][sims, i])


def _geoms_of(model, body) -> np.ndarray:
    geoms = np.flatnonzero(model.geom_bodyid == body)
    if not np.isin(model.geom_type[geoms], list(_GEOM.values())).all():
        name = model.body(body).name
        raise ValueError(f"body {name!r} has a mesh, whose size is the same in all simulations; use other geoms")
    return geoms


def _axes_of(model, geom) -> np.ndarray:
    """The three axes of a geom in the frame of its body, as rows."""
    matrix = np.empty(9)
    mujoco.mju_quat2Mat(matrix, model.geom_quat[geom])
    return matrix.reshape(3, 3).T


def limb_axis(model: mujoco.MjModel, body: int) -> np.ndarray:
    """Unit vector along the longest capsule or cylinder of a body, in its frame."""
    geoms = [g for g in _geoms_of(model, body) if model.geom_type[g] in _LONG]
    if not geoms:
        raise ValueError(f"body {model.body(body).name!r} has no capsule or cylinder to be a limb; use size")
    return _axes_of(model, max(geoms, key=lambda g: model.geom_size[g, 1]))[2]


def _plainly(name: str, quantity: Quantity, column: int | slice | None) -> Callable:
    """The change of a quantity that is a field, or one column of it, and nothing else."""
    return partial(_option if quantity.kind == "option" else _plain, name=quantity.fields[0],
                   **({} if quantity.kind == "option" else {"column": column}))  # fmt: skip


_COLUMNS = {"friction": 0, "torsional_friction": 1, "rolling_friction": 2, "pair_friction": slice(2)}
CHANGES: dict[str, Callable] = {
    name: _plainly(name, quantity, _COLUMNS.get(name))
    for name, quantity in QUANTITIES.items() if len(quantity.fields) == 1
} | {
    "damping": partial(_polynomial, name="dof_damping"), "stiffness": partial(_polynomial, name="jnt_stiffness"),
    "tendon_damping": partial(_polynomial, name="tendon_damping"),
    "tendon_stiffness": partial(_polynomial, name="tendon_stiffness"),
    "mass": _mass, "position": _position, "payload": _payload, "strength": _strength, "gain": _gain, "gear": _gear,
    "kd": _kd, "encoder_offset": _encoder_offset,
    "solref_time": partial(_solref, column=0), "solref_damping": partial(_solref, column=1),
    "radius": partial(_geom_size, column=0, types=_ROUND), "half_length": partial(_geom_size, column=1, types=_LONG),
    "half_size": partial(_geom_size, types=_EDGED),
    "geom_length": _geom_length, "limb_length": _limb_length, "size": _size,
}  # fmt: skip
"""What applies each quantity that is in the model."""
