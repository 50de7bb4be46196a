"""What can vary about a robot: each named quantity, what it writes in the model, what follows from that, and its unit.

    QUANTITIES["mass"].fields                             # ('body_mass', 'body_inertia')
    Write("mass", "torso")                                # a parameter's value multiplies the torso's mass
    Write("friction", ("left_foot", "right_foot"), "set") # it is the friction of both feet

A `Write` names one of these and the elements that it changes; `envs/variation/write.py` applies them to many
simulations at once.
What is not in the model, such as a delay, is in the same table and applied by `envs/variation/latency_noise.py`.

Each function here changes rows of `Fields`, copies of the model's arrays with a leading axis of simulations, for
simulations sims (k,), elements (e,) and values (k,). All fields that MuJoCo derives (subtree masses, inverse weights,
bounding volumes, frame flags) are computed anew by mj_setConst afterwards, so that nothing here needs to know them.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import mujoco
import numpy as np

from .inertia import inertia_matrix, principal, second_moments, stretched_inertia, volume_and_moments

SCALE, ADD, SET, PICK = "scale", "add", "set", "pick"
_GEOM = {name: int(getattr(mujoco.mjtGeom, f"mjGEOM_{name.upper()}")) for name in
         ("sphere", "capsule", "ellipsoid", "cylinder", "box", "plane")}
_ROUND = [_GEOM["sphere"], _GEOM["capsule"], _GEOM["cylinder"]]
_LONG = [_GEOM["capsule"], _GEOM["cylinder"]]


class Fields(dict):
    """Model fields by name, (n, ...) each, of n simulations; option fields as "opt.<name>"."""

    def __init__(self, model: mujoco.MjModel, names, n: int):
        self.model = model
        super().__init__((name, np.repeat(field_of(model, name)[None], n, axis=0)) for name in names)


def field_of(model: mujoco.MjModel, name: str) -> np.ndarray:
    """A field of one model by the name that Batch.expand knows it by."""
    return np.asarray(getattr(model.opt, name[4:]) if name.startswith("opt.") else getattr(model, name))


def moved(old: np.ndarray, values: np.ndarray, mode: str) -> np.ndarray:
    """Old values (k, ...) multiplied by, increased by or replaced by values (k,)."""
    values = values.reshape(-1, *[1] * (old.ndim - 1))
    return old * values if mode == SCALE else old + values if mode == ADD else np.broadcast_to(values, old.shape)


def _plain(fields, sims, elements, values, write, *, name, column=None):
    """Elements of one field: one column of it, the one that write.axis names, or all."""
    column = "xyz".index(write.axis) if write.axis else column
    at = (sims[:, None], elements) if column is None else (sims[:, None], elements, column)
    fields[name][at] = moved(fields[name][at], values, write.mode)


def _option(fields, sims, elements, values, write, *, name):
    at = (sims, "xyz".index(write.axis)) if write.axis else sims
    fields[name][at] = moved(fields[name][at], values, write.mode)


def _mass(fields, sims, elements, values, write):
    at = (sims[:, None], elements)
    old = fields["body_mass"][at]
    fields["body_mass"][at] = new = moved(old, values, write.mode)
    ratio = moved(np.ones_like(old), values, SCALE) if write.mode == SCALE else new / old
    fields["body_inertia"][at] *= ratio[..., None]


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
    fixed_or_affine = fields.model.actuator_gaintype[elements] <= int(mujoco.mjtGain.mjGAIN_AFFINE)
    if not fixed_or_affine.all():
        raise ValueError("strength is of motors and servos; for a muscle, scale its gear")
    at = (sims[:, None], elements)
    for name, columns in (("actuator_gainprm", slice(0, 3)), ("actuator_biasprm", slice(0, 3)),
                          ("actuator_forcerange", slice(None))):
        fields[name][(*at, columns)] = moved(fields[name][(*at, columns)], values, SCALE)
    for joint in _driven_by(fields.model, elements):  # without a limit the range is 0 to 0
        fields["jnt_actfrcrange"][sims, joint] = moved(fields["jnt_actfrcrange"][sims, joint], values, SCALE)


def _driven_by(model, actuators) -> list[int]:
    """Joints all of whose actuators are among these."""
    kinds = [int(mujoco.mjtTrn.mjTRN_JOINT), int(mujoco.mjtTrn.mjTRN_JOINTINPARENT)]
    driven, others = set(), set()
    for i in np.flatnonzero(np.isin(model.actuator_trntype, kinds)):
        (driven if i in actuators else others).add(int(model.actuator_trnid[i, 0]))
    return sorted(driven - others)


def _gain(fields, sims, elements, values, write):
    model, at = fields.model, (sims[:, None], elements, 0)
    fields["actuator_gainprm"][at] = new = moved(fields["actuator_gainprm"][at], values, write.mode)
    servo = elements[model.actuator_biasprm[elements, 1] == -model.actuator_gainprm[elements, 0]]
    fields["actuator_biasprm"][sims[:, None], servo, 1] = -new[:, np.isin(elements, servo)]


def _geom_size(fields, sims, elements, values, write, *, column, types):
    chosen = elements[np.isin(fields.model.geom_type[elements], types)]
    at = (sims[:, None], chosen, column)
    fields["geom_size"][at] = moved(fields["geom_size"][at], values, write.mode)


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
        size[sims, geom, 1] = moved(size[sims, geom, 1], values, write.mode)
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


@dataclass(frozen=True)
class Quantity:
    """One row of the table.

    Attributes:
        unit: of the value in modes "add" and "set"; a "scale" is a ratio.
        kind: what its elements are: body, geom, joint, dof (of named joints), actuator, option (there is one), sensor
            (entries of the observation, by index) or command (there is one).
        modes: what a value may do, the usual one first.
        fields: what is written.
        meaning: for people, with what follows.
        change: the function above that does it; None for what is not in the model.
        axes: whether an axis may be named.
    """

    unit: str
    kind: str
    modes: tuple[str, ...]
    fields: tuple[str, ...]
    meaning: str
    change: Callable | None = None
    axes: bool = False


_ALL = (SCALE, ADD, SET)


def _field(unit, kind, name, meaning, *, modes=_ALL, column=None, axes=False) -> Quantity:
    change = partial(_option, name=name) if kind == "option" else partial(_plain, name=name, column=column)
    return Quantity(unit, kind, modes, (name,), meaning, change, axes)


_INERTIAL = ("body_mass", "body_ipos", "body_inertia", "body_iquat")
_FRAMES = (*_INERTIAL, "body_pos", "jnt_pos", "geom_pos", "geom_size", "site_pos")

QUANTITIES: dict[str, Quantity] = {
    "mass": Quantity("kg", "body", _ALL, ("body_mass", "body_inertia"),
                     "mass of a body; its inertia goes in proportion", _mass),
    "mass_only": _field("kg", "body", "body_mass", "mass of a body at unchanged inertia"),
    "inertia": _field("kg m²", "body", "body_inertia",
                      "inertia about all three axes; an `axis` (principal, not x, y, z of the world) can break the "
                      "triangle inequality", modes=(SCALE,), axes=True),
    "payload": Quantity("kg", "body", (ADD,), _INERTIAL,
                        "point mass at the offset `at` (m) in the frame of the body; centre of mass and inertia follow",
                        _payload),
    "centre_of_mass": _field("m", "body", "body_ipos", "place of the centre of mass along `axis` in the frame of the "
                             "body", modes=(ADD, SET), axes=True),
    "friction": _field("1", "geom", "geom_friction", "sliding friction; of two touching geoms the larger counts",
                       column=0),
    "torsional_friction": _field("m", "geom", "geom_friction", "friction against spinning, at condim 4 and 6",
                                 column=1),
    "rolling_friction": _field("m", "geom", "geom_friction", "friction against rolling, at condim 6", column=2),
    "damping": _field("N m s/rad, N s/m", "dof", "dof_damping", "damping of a joint"),
    "frictionloss": _field("N m, N", "dof", "dof_frictionloss", "dry friction of a joint"),
    "armature": _field("kg m², kg", "dof", "dof_armature", "inertia of a motor's rotor, seen from the joint"),
    "stiffness": _field("N m/rad, N/m", "joint", "jnt_stiffness", "spring of a joint, about its springref"),
    "strength": Quantity("1", "actuator", (SCALE,),
                         ("actuator_gainprm", "actuator_biasprm", "actuator_forcerange", "jnt_actfrcrange"),
                         "force of a motor or servo at the same control, and the limit (actuatorfrcrange) of a joint "
                         "that no other drives; 0 is a dead motor", _strength),
    "gain": Quantity("N m, N per control", "actuator", _ALL, ("actuator_gainprm", "actuator_biasprm"),
                     "gain of an actuator, the stiffness kp of a position servo", _gain),
    "gear": _field("1", "actuator", "actuator_gear", "gear ratio", modes=(SCALE,)),
    "gravity": _field("m/s²", "option", "opt.gravity", "gravity: the vector, or its component along `axis`",
                      axes=True),
    "wind": _field("m/s", "option", "opt.wind", "wind along `axis`; felt where density or viscosity is not 0",
                   modes=(ADD, SET), axes=True),
    "density": _field("kg/m³", "option", "opt.density", "density of the medium, for drag and lift"),
    "viscosity": _field("Pa s", "option", "opt.viscosity", "viscosity of the medium"),
    "radius": Quantity("m", "geom", _ALL, ("geom_size",), "radius of spheres, capsules and cylinders; the mass stays",
                       partial(_geom_size, column=0, types=_ROUND)),
    "half_length": Quantity("m", "geom", _ALL, ("geom_size",),
                            "half length of capsules and cylinders about their centres; the mass stays",
                            partial(_geom_size, column=1, types=_LONG)),
    "geom_length": Quantity("m", "geom", _ALL, ("geom_size", "geom_pos", *_INERTIAL),
                            "half length of a capsule or cylinder about its centre; mass, its centre and inertia of "
                            "its body follow, at the density that it has", _geom_length),
    "limb_length": Quantity("1", "body", (SCALE,), _FRAMES,
                            "length of a limb along its longest capsule or cylinder, with what is attached to it; mass "
                            "and inertia are those of the stretched limb", _limb_length),
    "size": Quantity("1", "body", (SCALE,), _FRAMES,
                     "size of a body in all directions, with what is attached to it; mass goes with the cube, inertia "
                     "with the fifth power", _size),
    "terrain": _field("index", "geom", "geom_dataid", "which of the model's height fields a geom is", modes=(SET,)),
    "action_delay": Quantity("steps", "command", (SET,), (), "environment steps before a control reaches the motors"),
    "control_period": Quantity("steps", "command", (SET,), (), "environment steps that a control is held for"),
    "observation_noise": Quantity("of the entry", "sensor", (SET,), (), "standard deviation of normal noise"),
    "observation_bias": Quantity("of the entry", "sensor", (SET,), (), "constant that is added"),
    "observation_dropout": Quantity("1", "sensor", (SET,), (),
                                    "probability that an entry stays at what was last observed; all at once"),
}  # fmt: skip


def table() -> str:
    """What can vary, as the Markdown table of docs/environments.md."""
    rows = ["| quantity | unit | of | modes | writes | meaning |", "|---|---|---|---|---|---|"]
    for name, q in QUANTITIES.items():
        fields = ", ".join(f"`{field}`" for field in q.fields) or "-"
        modes = ", ".join((*q.modes, *[PICK] * (SCALE in q.modes)))
        rows.append(f"| `{name}` | {q.unit} | {q.kind} | {modes} | {fields} | {q.meaning} |")
    return "\n".join(rows)
