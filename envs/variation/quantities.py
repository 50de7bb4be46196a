"""What can vary about a robot: each named quantity, what it writes in the model, what follows from that, and its unit.

    QUANTITIES["mass"].fields                             # ('body_mass', 'body_inertia')
    Write("mass", "torso")                                # a parameter's value multiplies the torso's mass
    Write("friction", ("left_foot", "right_foot"), "set") # it is the friction of both feet

A `Write` names one of these and the elements that it changes; `metarl.envs.writer` applies them to many simulations at
once, by the functions of `metarl.envs.variation.changes`. What is not in the model, such as a delay, is in the same
table and applied by `metarl.envs.latency_noise`.
"""

from dataclasses import dataclass

SCALE, ADD, SET, PICK = "scale", "add", "set", "pick"


@dataclass(frozen=True)
class Quantity:
    """One row of the table.

    Attributes:
        unit: of the value in modes "add" and "set"; a "scale" is a ratio.
        kind: what its elements are: body, geom, pair (of geoms), joint, dof (of named joints), tendon, actuator, option
            (there is one), sensor (entries of the observation, by index) or command (there is one).
        modes: what a value may do, the usual one first.
        fields: what is written.
        meaning: for people, with what follows.
        axes: whether an axis may be named.
    """

    unit: str
    kind: str
    modes: tuple[str, ...]
    fields: tuple[str, ...]
    meaning: str
    axes: bool = False


_ALL = (SCALE, ADD, SET)


def _field(unit, kind, name, meaning, *, modes=_ALL, axes=False) -> Quantity:
    return Quantity(unit, kind, modes, (name,), meaning, axes)


def _polynomial(unit, kind, name, meaning) -> Quantity:
    """A coefficient with those of the higher powers."""
    meaning = f"{meaning}; with terms of higher order only scale and pick, which scale these too"
    return Quantity(unit, kind, _ALL, (name, f"{name}poly"), meaning)


_INERTIAL = ("body_mass", "body_ipos", "body_inertia", "body_iquat")
_FRAMES = (*_INERTIAL, "body_pos", "jnt_pos", "geom_pos", "geom_size", "site_pos")

QUANTITIES: dict[str, Quantity] = {
    "mass": Quantity("kg", "body", _ALL, ("body_mass", "body_inertia"),
                     "mass of a body that has one; its inertia goes in proportion"),
    "mass_only": _field("kg", "body", "body_mass", "mass of a body at unchanged inertia"),
    "inertia": _field("kg m²", "body", "body_inertia",
                      "inertia about all three axes; an `axis` (principal, not x, y, z of the world) can break the "
                      "triangle inequality", modes=(SCALE,), axes=True),
    "payload": Quantity("kg", "body", (ADD,), _INERTIAL,
                        "point mass at the offset `at` (m) in the frame of the body; centre of mass and inertia "
                        "follow"),
    "centre_of_mass": _field("m", "body", "body_ipos", "place of the centre of mass along `axis` in the frame of the "
                             "body", modes=(ADD, SET), axes=True),
    "position": _field("m", "body", "body_pos", "place of a body along `axis` in the frame of its parent, such as a "
                       "goal's or a wall's; a free body has `start.bodies`", modes=(ADD, SET), axes=True),
    "friction": _field("1", "geom", "geom_friction", "sliding friction; of two touching geoms the larger counts"),
    "torsional_friction": _field("m", "geom", "geom_friction", "friction against spinning, at condim 4 and 6"),
    "rolling_friction": _field("m", "geom", "geom_friction", "friction against rolling, at condim 6"),
    "pair_friction": _field("1", "pair", "pair_friction", "sliding friction of an explicit pair (`<contact><pair>`), "
                            "which goes before that of its geoms"),
    "solref_time": _field("s", "geom", "geom_solref", "time constant of contacts (`solref`): larger is softer"),
    "solref_damping": _field("1", "geom", "geom_solref", "damping ratio of contacts (`solref`): 1 is critical, less "
                             "bounces"),
    "damping": _polynomial("N m s/rad, N s/m", "dof", "dof_damping", "damping of a joint"),
    "frictionloss": _field("N m, N", "dof", "dof_frictionloss", "dry friction of a joint"),
    "armature": _field("kg m², kg", "dof", "dof_armature", "inertia of a motor's rotor, seen from the joint"),
    "stiffness": _polynomial("N m/rad, N/m", "joint", "jnt_stiffness", "spring of a joint, about its springref"),
    "tendon_stiffness": _polynomial("N/m", "tendon", "tendon_stiffness", "spring of a tendon, about its springlength"),
    "tendon_damping": _polynomial("N s/m", "tendon", "tendon_damping", "damping of a tendon"),
    "strength": Quantity("1", "actuator", (SCALE,),
                         ("actuator_gainprm", "actuator_biasprm", "actuator_forcerange", "jnt_actfrcrange"),
                         "force of a motor, servo or muscle at the same control, and the limit (actuatorfrcrange) of a "
                         "joint that no other drives; 0 is a dead motor"),
    "gain": Quantity("N m, N per control", "actuator", _ALL, ("actuator_gainprm", "actuator_biasprm"),
                     "gain of a motor; of a servo its stiffness kp, or of a velocity servo kv, at the same target"),
    "kd": _field("N m s/rad, N s/m", "actuator", "actuator_biasprm", "damping kd (`kv`) of a position servo"),
    "encoder_offset": _field("rad, m", "actuator", "actuator_biasprm", "what the encoder of a position servo reads too "
                             "much, as the servo feels it; let the parameter write `observation_bias` as well",
                             modes=(ADD,)),
    "gear": _field("1", "actuator", "actuator_gear", "gear ratio", modes=(SCALE,)),
    "gravity": _field("m/s²", "option", "opt.gravity", "gravity: the vector, or its component along `axis`",
                      axes=True),
    "wind": _field("m/s", "option", "opt.wind", "wind along `axis`; felt where density or viscosity is not 0",
                   modes=(ADD, SET), axes=True),
    "density": _field("kg/m³", "option", "opt.density", "density of the medium, for drag and lift"),
    "viscosity": _field("Pa s", "option", "opt.viscosity", "viscosity of the medium"),
    "radius": Quantity("m", "geom", _ALL, ("geom_size",), "radius of spheres, capsules and cylinders; the mass stays"),
    "half_length": Quantity("m", "geom", _ALL, ("geom_size",),
                            "half length of capsules and cylinders about their centres; the mass stays"),
    "half_size": Quantity("m", "geom", _ALL, ("geom_size",),
                          "half size of boxes and ellipsoids along `axis`; the mass stays", axes=True),
    "geom_length": Quantity("m", "geom", _ALL, ("geom_size", "geom_pos", *_INERTIAL),
                            "half length of a capsule or cylinder about its centre; mass, its centre and inertia of "
                            "its body follow, at the density that it has"),
    "limb_length": Quantity("1", "body", (SCALE,), _FRAMES,
                            "length of a limb along its longest capsule or cylinder, with what is attached to it; mass "
                            "and inertia are those of the stretched limb"),
    "size": Quantity("1", "body", (SCALE,), _FRAMES,
                     "size of a body in all directions, with what is attached to it; mass goes with the cube, inertia "
                     "with the fifth power"),
    "terrain": _field("index", "geom", "geom_dataid", "which of the model's height fields a geom is", modes=(SET,)),
    "action_delay": Quantity("steps", "command", (SET,), (), "environment steps before a control reaches the motors"),
    "control_period": Quantity("steps", "command", (SET,), (), "environment steps that a control is held for"),
    "observation_noise": Quantity("of the entry", "sensor", (SET,), (), "standard deviation of normal noise"),
    "observation_bias": Quantity("of the entry", "sensor", (SET,), (), "constant that is added"),
    "observation_delay": Quantity("steps", "sensor", (SET,), (), "environment steps before an entry arrives"),
    "observation_dropout": Quantity("1", "sensor", (SET,), (),
                                    "probability that an entry stays at what was last observed; all at once"),
}  # fmt: skip


def table() -> str:
    """What can vary, as the Markdown table of docs/reference/what_can_vary.md."""
    rows = ["| quantity | unit | of | modes | writes | meaning |", "|---|---|---|---|---|---|"]
    for name, q in QUANTITIES.items():
        fields = ", ".join(f"`{field}`" for field in q.fields) or "-"
        modes = ", ".join((*q.modes, *[PICK] * (SCALE in q.modes)))
        rows.append(f"| `{name}` | {q.unit} | {q.kind} | {modes} | {fields} | {q.meaning} |")
    return "\n".join(rows)
