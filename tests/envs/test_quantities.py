"""Every row of the table of what can vary, against the model that an edited MJCF compiles to."""

import mujoco
import numpy as np
import pytest
from mujoco.batch import Batch

from metarl.envs import QUANTITIES, BatchEnv, Family, Parameter, TaskSpace, Write
from metarl.envs.arrays import namespace
from metarl.envs.checks import assert_effective, assert_physical
from metarl.envs.variation.changes import CHANGES, FieldRows
from metarl.envs.variation.inertia import (
    inertia_matrix,
    principal,
    quaternion,
    rotation,
    second_moments,
    stretched_inertia,
    volume_and_moments,
)
from metarl.envs.writer import Writer

VALUES = {
    "mass": 2.0, "inertia": (0.03, 0.02, 0.015), "com": (0.0, 0.0, 0.0), "friction": 0.5, "torsion": 0.02,
    "rolling": 0.01, "damping": 0.3, "frictionloss": 0.05, "armature": 0.02, "stiffness": 4.0, "gain": 1.5, "kp": 3.0,
    "gear": 2.0, "gravity": (0.3, 0.0, -5.0), "wind": (0.5, 0.0, 0.0), "density": 1.2, "viscosity": 0.01,
    "kd": 0.5, "zero": 0.0, "rub": 0.01, "time": 0.02, "ratio": 1.0, "cord": 3.0, "cord_kd": 0.2,
    "radius": 0.1, "length": 0.2, "shin": 1.0, "paw": 0.1, "terrain": 0, "aside": 0.0, "edge": 0.04, "load": "",
    "limb": 1.0,
}  # fmt: skip


def mjcf(**changes) -> str:
    """A cart with a pole under a servo, a rolling ball on a height field, a rotor, and a leg of solid cylinders."""
    v = {k: " ".join(map(repr, x)) if isinstance(x, tuple) else x for k, x in (VALUES | changes).items()}
    s, f = (VALUES | changes)["limb"], (VALUES | changes)["shin"]
    return f"""<mujoco><option timestep="0.005" gravity="{v["gravity"]}" wind="{v["wind"]}" density="{v["density"]}"
     viscosity="{v["viscosity"]}" integrator="Euler" cone="elliptic"/>
    <asset><hfield name="h0" nrow="2" ncol="3" size="2 2 .2 .1" elevation="0 1 0 0 1 0"/>
      <hfield name="h1" nrow="2" ncol="3" size="2 2 .2 .1" elevation="1 0 1 1 0 1"/></asset>
    <worldbody><geom name="ground" type="hfield" hfield="h{v["terrain"]}" pos="0 4 0" friction=".1 .001 .001"/>
      <geom name="post" size=".05" pos=".08 0 1.62" contype="0" conaffinity="2"/>
      <geom name="block" type="box" size="{v["edge"]} .05 .05" pos="-.12 0 1.45" contype="0" conaffinity="2"/>
      <body name="cart" pos="0 0 1"><joint name="slide" type="slide" axis="1 0 0"/>
        <geom type="box" size=".1 .1 .1" mass="1" contype="0" conaffinity="0"/>
        <body name="pole"><joint name="hinge" axis="0 1 .2" damping="{v["damping"]}" armature="{v["armature"]}"
            frictionloss="{v["frictionloss"]}" stiffness="{v["stiffness"]}" springref="20"/>
          <inertial pos="{v["com"]}" mass="{v["mass"]}" diaginertia="{v["inertia"]}"/>
          <geom name="rod" type="cylinder" size=".05 {v["length"]}" pos="0 0 .3" contype="2" conaffinity="0"/>
          {v["load"]}
        </body></body>
      <body name="ball" pos=".3 4 .45"><freejoint/>
        <geom name="ball" size="{v["radius"]}" friction="{v["friction"]} {v["torsion"]} {v["rolling"]}" condim="6"
          mass="0" solref="{v["time"]} {v["ratio"]}"/>
        <inertial pos="0 0 0" mass=".5" diaginertia=".002 .002 .002"/></body>
      <body name="thigh" pos="4 0 2"><joint name="hip" axis="0 1 0"/>
        <geom name="thigh" type="cylinder" size=".05 {0.2 * s!r}" pos="0 0 {-0.2 * s!r}"/>
        <body name="shin" pos="0 0 {-0.4 * s!r}"><joint name="knee" axis="0 1 0" pos="0 0 {0.05 * f!r}"/>
          <geom name="shin" size="{0.08 * f!r}" pos="0 0 {-0.1 * f!r}"/>
          <body name="paw" pos="{v["aside"]} 0 {-0.3 * f!r}"><joint axis="1 0 0"/><geom size=".04" pos=".1 0 0"/>
            <geom name="paw" type="capsule" size=".03 {v["paw"]}" pos="0 .1 -.1" euler="20 30 0"/></body></body></body>
      <geom name="table" type="plane" size="1 1 .1" pos="8 0 0" contype="0" conaffinity="0"/>
      <body pos="8 0 .05"><joint type="slide" axis="1 0 0"/><joint type="slide" axis="0 0 1"/>
        <geom name="puck" size=".05" contype="0" conaffinity="0"/></body>
    </worldbody>
    <actuator><motor name="push" joint="slide" gear="{v["gear"]}" ctrlrange="-1 1"/>
      <general name="twist" joint="hip" gainprm="{v["gain"]}" ctrlrange="-1 1"/>
      <general name="hold" joint="hinge" gainprm="{v["kp"]}" biastype="affine" ctrlrange="-1 1"
        biasprm="{v["zero"]} -{v["kp"]} -{v["kd"]}"/></actuator>
    <contact><pair name="rub" geom1="table" geom2="puck" friction="{v["rub"]} {v["rub"]} .005 .0001 .0001"/></contact>
    <tendon><fixed name="cord" stiffness="{v["cord"]}" damping="{v["cord_kd"]}" springlength=".1">
      <joint joint="slide" coef="1"/></fixed></tendon></mujoco>"""


# quantity: (write, value, what the MJCF says then)
CASES = {
    "mass": (Write("mass", "pole"), 1.7, {"mass": 2.0 * 1.7, "inertia": tuple(1.7 * i for i in VALUES["inertia"])}),
    "mass_only": (Write("mass_only", "pole", "set"), 2.7, {"mass": 2.7}),
    "inertia": (Write("inertia", "pole"), 1.3, {"inertia": tuple(1.3 * i for i in VALUES["inertia"])}),
    "payload": (Write("payload", "pole", at=(0.1, 0.2, 0.3)), 0.7, {
        "load": '<body pos=".1 .2 .3"><inertial pos="0 0 0" mass=".7" diaginertia="1e-12 1e-12 1e-12"/></body>'}),
    "centre_of_mass": (Write("centre_of_mass", "pole", "set", "z"), 0.25, {"com": (0.0, 0.0, 0.25)}),
    "position": (Write("position", "paw", "set", "x"), 0.07, {"aside": 0.07}),
    "friction": (Write("friction", "ball"), 0.3, {"friction": 0.5 * 0.3}),
    "torsional_friction": (Write("torsional_friction", "ball", "set"), 0.3, {"torsion": 0.3}),
    "rolling_friction": (Write("rolling_friction", "ball", "add"), 0.3, {"rolling": 0.01 + 0.3}),
    "damping": (Write("damping", "hinge", "set"), 0.8, {"damping": 0.8}),
    "frictionloss": (Write("frictionloss", "hing*"), 4.0, {"frictionloss": 0.05 * 4.0}),
    "armature": (Write("armature", 1, "add"), 0.5, {"armature": 0.02 + 0.5}),
    "stiffness": (Write("stiffness", "hinge"), 3.0, {"stiffness": 4.0 * 3.0}),
    "strength": (Write("strength", "twist"), 0.4, {"gain": 1.5 * 0.4}),
    "gain": (Write("gain", "hold", "set"), 7.0, {"kp": 7.0}),
    "pair_friction": (Write("pair_friction", "rub"), 3.0, {"rub": 0.01 * 3.0}),
    "solref_time": (Write("solref_time", "ball", "set"), 0.05, {"time": 0.05}),
    "solref_damping": (Write("solref_damping", "ball"), 0.3, {"ratio": 0.3}),
    "tendon_stiffness": (Write("tendon_stiffness", "cord"), 3.0, {"cord": 3.0 * 3.0}),
    "tendon_damping": (Write("tendon_damping"), 4.0, {"cord_kd": 0.2 * 4.0}),
    "kd": (Write("kd", "hold", "add"), 0.25, {"kd": 0.75}),
    "encoder_offset": (Write("encoder_offset", "hold"), 0.1, {"zero": -3.0 * 0.1}),
    "gear": (Write("gear", "push"), 1.5, {"gear": 2.0 * 1.5}),
    "gravity": (Write("gravity", (), "set", "z"), -1.6, {"gravity": (0.3, 0.0, -1.6)}),
    "wind": (Write("wind", (), "add", "x"), 20.0, {"wind": (20.5, 0.0, 0.0)}),
    "density": (Write("density", (), "set"), 800.0, {"density": 800.0}),
    "viscosity": (Write("viscosity"), 50.0, {"viscosity": 0.01 * 50.0}),
    "radius": (Write("radius", "ball"), 1.5, {"radius": 0.1 * 1.5}),
    "half_size": (Write("half_size", "block", axis="x"), 1.8, {"edge": 0.04 * 1.8}),
    "half_length": (Write("half_length", "rod"), 2.0, {"length": 0.2 * 2.0}),
    "geom_length": (Write("geom_length", "paw"), 1.5, {"paw": 0.1 * 1.5}),
    "limb_length": (Write("limb_length", "thigh"), 1.3, {"limb": 1.3}),
    "size": (Write("size", "shin"), 1.3, {"shin": 1.3}),
    "terrain": (Write("terrain", "ground"), 1, {"terrain": 1}),
    "action_delay": (Write("action_delay"), 3, None),
    "control_period": (Write("control_period"), 3, None),
    "observation_noise": (Write("observation_noise"), 0.1, None),
    "observation_bias": (Write("observation_bias", (0, 2)), 0.1, None),
    "observation_delay": (Write("observation_delay", (0, 2)), 2.0, None),
    "observation_dropout": (Write("observation_dropout"), 0.5, None),
}  # fmt: skip
ROUNDED = {"payload", "geom_length", "limb_length", "size"}  # computed in another way by the compiler
BALL_SPIN = 7  # about the vertical, so that it is felt how it is braked


def default_of(write: Write) -> float:
    """The value that leaves the model above as it is."""
    set_to = {"mass_only": 2.0, "centre_of_mass": 0.0, "torsional_friction": 0.02, "damping": 0.3, "gain": 3.0,
              "solref_time": 0.02, "gravity": -5.0, "density": 1.2, "terrain": 0.0, "control_period": 1.0}  # fmt: skip
    return {"scale": 1.0, "add": 0.0, "pick": -1.0}.get(write.mode, set_to.get(write.quantity, 0.0))


def parameter(write: Write, *values: float, name: str = "p", **settings) -> Parameter:
    default = default_of(write)
    return Parameter(name, "1", "", default, "choice", choices=(default, *values), writes=write, **settings)


class Bench(Family):
    """The model above, with the parameters of a test."""

    name, frame_skip, horizon, camera = "Bench", 2, 100, "track"

    def __init__(self, *parameters: Parameter, **changes):
        self.space = TaskSpace(self.name, parameters)
        self.changes = changes

    def build(self):
        return mujoco.MjModel.from_xml_string(mjcf(**self.changes))

    def reset_state(self, rngs, qpos, qvel):
        qvel[:, BALL_SPIN] = 5.0

    def observe(self, batch, derived):
        return np.concatenate([batch.bind("qpos"), batch.bind("qvel")], axis=1)

    def reward_terms(self, batch, derived, qpos_before, ctrl, values):
        return {"x": batch.bind("qpos")[:, 0].copy(), "ctrl": ctrl.sum(axis=1)}


def controls(steps: int = 60) -> np.ndarray:
    return np.random.default_rng(0).uniform(-1, 1, (steps, 3))


def states(env: BatchEnv, actions: np.ndarray) -> np.ndarray:
    """State of all simulations after each action (A,), (T, N, nq + nv)."""
    env.reset(seed=0)
    rows = []
    for action in actions:
        env.step(np.tile(action, (env.num_envs, 1)))
        rows.append(env.state())
    return np.array(rows)


def plain(model: mujoco.MjModel, actions: np.ndarray, edits=None) -> np.ndarray:
    """The same of one MjData of a model; edits {step: function of the model} before a step."""
    data, rows = mujoco.MjData(model), []
    data.qvel[BALL_SPIN] = 5.0
    for step, action in enumerate(actions):
        if edits and step in edits:
            edits[step](model)
            mujoco.mj_setConst(model, mujoco.MjData(model))
        data.ctrl[:] = action
        mujoco.mj_step(model, data, nstep=2)
        rows.append(np.concatenate([data.qpos, data.qvel]))
    return np.array(rows)


def with_task(family: Family, *values: float) -> BatchEnv:
    """A batch of two: the default task, and the values."""
    env = BatchEnv(family, 2, autoreset_mode="Disabled")
    env.set_tasks(family.space.tasks(**{p.name: [p.default, v] for p, v in zip(family.space.parameters, values)}))
    return env


def test_the_cases_cover_the_table():
    assert set(CASES) == set(QUANTITIES)
    assert {name for name, (w, *_) in CASES.items() if w.quantity not in CHANGES} == {
        name for name, (_, _, changes) in CASES.items() if changes is None
    }


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(k for k, v in CASES.items() if v[2] is not None))
def test_a_task_is_the_model_compiled_with_that_value(name):
    write, value, changes = CASES[name]
    # MuJoCo's drag is of each body's own box of inertia: of one with a load, or of the two apart
    still = {"density": 0.0, "viscosity": 0.0} if name == "payload" else {}
    env = with_task(Bench(parameter(write, value), **still), value)
    got, actions = states(env, controls()), controls()
    np.testing.assert_array_equal(got[:, 0], plain(mujoco.MjModel.from_xml_string(mjcf(**still)), actions))
    np.testing.assert_array_equal(got[:, 1], plain(env.model_of(1), actions))
    compiled = plain(mujoco.MjModel.from_xml_string(mjcf(**still, **changes)), actions)
    np.testing.assert_allclose(got[:, 1], compiled, rtol=0, atol=1e-9 if name in ROUNDED else 0)
    difference = np.abs(got[-1, 1] - got[-1, 0]).max()
    assert difference > 1e-4, "the test is of nothing"
    assert_physical(env.model_of(1))


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(CASES))
def test_every_quantity_changes_the_trajectory(name):
    write, value, _ = CASES[name]
    assert_effective(Bench(parameter(write, value)), steps=40)


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(k for k, v in CASES.items() if v[2] is not None))
def test_the_default_restores_the_model_bit_for_bit(name):
    write, value, _ = CASES[name]
    env = with_task(Bench(parameter(write, value)), value)
    stock = env.family.build()
    for _ in range(3):
        env.reset(seed=0)
    written = env.model_of(1)
    env.reset(seed=0, options={"tasks": env.space.default().repeat(2)})
    restored = env.model_of(1)
    arrays = [n for n in dir(stock) if isinstance(getattr(stock, n), np.ndarray)]
    differ = [n for n in arrays if not np.array_equal(getattr(restored, n), getattr(stock, n))]
    assert differ == []
    options = [n for n in dir(stock.opt) if not n.startswith("_")]
    assert all(np.array_equal(getattr(restored.opt, n), getattr(stock.opt, n)) for n in options)
    assert any(not np.array_equal(getattr(written, n), getattr(stock, n)) for n in arrays) or any(
        not np.array_equal(getattr(written.opt, n), getattr(stock.opt, n)) for n in options
    )


@pytest.mark.parametrize(
    ("write", "refusal"),
    [
        (Write("kd", "push"), "kd is of position servos, actuator 'push' is none"),
        (Write("encoder_offset", "twist"), "encoder_offset is of position servos, actuator 'twist' is none"),
        (Write("pair_friction", "rubb"), r"the model has no pair 'rubb' \(did you mean 'rub'\?\)"),
    ],
)
def test_what_is_no_servo_or_pair_is_refused(write, refusal):
    with pytest.raises(ValueError, match=refusal):
        BatchEnv(Bench(parameter(write, 2.0)), 1)


@pytest.mark.parametrize(("time", "ratio"), [(-500, -20), (-0.5, -0.5)])
def test_a_contact_given_as_stiffness_has_no_time_constant(time, ratio):
    with pytest.raises(ValueError, match="geom 'ball' has its solref as stiffness and damping"):
        BatchEnv(Bench(parameter(Write("solref_time", "ball"), 2.0), time=time, ratio=ratio), 1)


@pytest.mark.parametrize("capped", [False, True])
def test_volume_and_moments_of_a_round_body_are_its_integrals(capped):
    """Integrals over discs: of 1, x^2 and z^2, with the radius that the body has at each height."""
    radius, half = np.array([0.3, 0.2]), np.array([0.5, 0.1])
    volume, moments = volume_and_moments(radius, half, capped)
    for i, (r, h) in enumerate(zip(radius, half)):
        end = h + r * capped
        z = (np.arange(200_000) + 0.5) / 200_000 * 2 * end - end
        square = np.where(abs(z) <= h, r**2, r**2 - (abs(z) - h) ** 2)  # of the disc's radius
        weight = np.pi * square * 2 * end / 200_000
        assert volume[i] == pytest.approx(weight.sum(), rel=1e-6)
        np.testing.assert_allclose(
            moments[i], [(weight * square / 4).sum()] * 2 + [(weight * z**2).sum()], rtol=1e-6
        )


def test_inertia_there_and_back():
    rng = np.random.default_rng(0)
    quat = rng.normal(size=(200, 4))
    quat /= np.linalg.norm(quat, axis=1, keepdims=True)
    for q in quat[:5]:
        want = np.empty(9)
        mujoco.mju_quat2Mat(want, q)
        np.testing.assert_allclose(rotation(q[None])[0].ravel(), want, atol=1e-12)
    moments = np.sort(rng.uniform(1, 2, (200, 3)), axis=1)[:, ::-1]
    matrix = inertia_matrix(moments, quat)
    again, frame = principal(matrix)
    np.testing.assert_allclose(again, moments, rtol=1e-10)
    np.testing.assert_allclose(np.linalg.det(rotation(frame)), 1.0)
    np.testing.assert_allclose(inertia_matrix(again, frame), matrix, atol=1e-10)
    np.testing.assert_allclose(np.abs((quaternion(rotation(quat)) * quat).sum(1)), 1.0)  # up to the sign
    half_turns = np.array([[0.0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1], [1, 0, 0, 0]])
    np.testing.assert_allclose(np.abs(quaternion(rotation(half_turns))), half_turns, atol=1e-12)
    # four point masses of 1 at (+-a, 0, 0) and (0, +-b, 0), stretched: S = diag(2 a^2, 2 b^2, 0) grows as the square
    a, b, stretch = 0.3, 0.5, np.diag([2.0, 1.0, 1.0])[None]
    plain = np.diag([2 * b**2, 2 * a**2, 2 * a**2 + 2 * b**2])[None]
    np.testing.assert_allclose(second_moments(plain)[0], np.diag([2 * a**2, 2 * b**2, 0]), atol=1e-12)
    grown = np.diag([2 * b**2, 8 * a**2, 8 * a**2 + 2 * b**2])
    np.testing.assert_allclose(stretched_inertia(plain, stretch)[0], 2 * grown)  # twice as much of it, too


def test_a_longer_limb_stretches_along_its_capsule_and_nothing_across():
    """A capsule along x with a box, an ellipsoid and a ball about it, at twice the length."""
    model = mujoco.MjModel.from_xml_string("""<mujoco><worldbody><body name="limb"><freejoint/>
      <geom type="capsule" size=".05 .3" pos=".3 0 0" euler="0 90 0"/><geom type="box" size=".1 .2 .3" pos=".5 .1 0"/>
      <geom type="ellipsoid" size=".1 .2 .3" euler="0 90 0"/><geom type="sphere" size=".1" pos=".2 0 .3"/>
      <site name="end" pos=".6 .1 .2"/><body pos=".6 0 .1"><geom size=".1"/></body></body></worldbody></mujoco>""")
    rows = FieldRows(model, QUANTITIES["limb_length"].fields, 2)
    CHANGES["limb_length"](rows, np.array([1]), np.array([1]), np.array([2.0]), Write("limb_length", "limb"))
    np.testing.assert_allclose(rows["geom_size"][1, :2], [[0.05, 0.6, 0], [0.2, 0.2, 0.3]], atol=1e-9)
    np.testing.assert_allclose(rows["geom_size"][1, 2:4], [[0.1, 0.2, 0.6], [0.1, 0, 0]], atol=1e-9)
    np.testing.assert_allclose(rows["geom_pos"][1, :4, 0], [0.6, 1.0, 0, 0.4], atol=1e-9)
    np.testing.assert_allclose(rows["geom_pos"][1, :4, 1:], model.geom_pos[:4, 1:], atol=1e-9)
    np.testing.assert_allclose(rows["site_pos"][1, 0], [1.2, 0.1, 0.2], atol=1e-9)
    np.testing.assert_allclose(rows["body_pos"][1, 2], [1.2, 0, 0.1], atol=1e-9)
    assert rows["body_mass"][1, 1] == pytest.approx(2 * model.body_mass[1])
    for name in ("geom_size", "geom_pos", "site_pos", "body_pos", "body_mass", "body_inertia"):
        np.testing.assert_array_equal(rows[name][0], getattr(model, name))  # the other simulation


ACTUATORS = """<mujoco><worldbody>
  <body><joint name="a"/><geom name="ball" size=".1"/><geom name="brick" type="box" size=".1 .2 .3" pos="0 0 1"/></body>
  <body name="mixed"><joint name="b"/><geom name="rod" type="capsule" size=".1 .2"/>
    <geom name="plate" type="box" size=".1 .1 .1"/></body></worldbody>
  <actuator><motor name="motor" joint="a"/> <position name="position" joint="a" kp="10" kv="3"/>
    <velocity name="velocity" joint="a" kv="4"/>
    <general name="offset" joint="a" biastype="affine" gainprm="10" biasprm="5 -8 -3"/>
    <general name="zero" joint="a" biastype="affine" gainprm="0" biasprm="0 -8 0"/>
    <general name="constant" joint="a" biastype="affine" gainprm="2" biasprm="5"/>
    <general name="affine" joint="a" gaintype="affine" biastype="affine" gainprm="1 2 3"/>
    <muscle name="muscle" joint="b" lengthrange="0 1"/></actuator></mujoco>"""


def written(write: Write, value: float):
    """The fields of the second of two simulations, and the model; of the first they are the model's."""
    model = mujoco.MjModel.from_xml_string(ACTUATORS)
    kind = {"actuator": mujoco.mjtObj.mjOBJ_ACTUATOR, "geom": mujoco.mjtObj.mjOBJ_GEOM}[write.quantity_row.kind]
    elements = np.array([mujoco.mj_name2id(model, kind, name) for name in write.elements]
                        or range(model.ngeom if write.quantity_row.kind == "geom" else model.nu))  # fmt: skip
    rows = FieldRows(model, write.quantity_row.fields, 2)
    CHANGES[write.quantity](rows, np.array([1]), elements, np.array([value]), write)
    assert all(np.array_equal(rows[name][0], getattr(model, name)) for name in rows)
    return {name: rows[name][1] for name in rows}, model


@pytest.mark.parametrize(("name", "gain", "bias"), [
    ("motor", 3, (0, 0, 0)), ("position", 30, (0, -30, -3)), ("velocity", 12, (0, 0, -12)),
    ("offset", 30, (15, -24, -3)), ("constant", 6, (5, 0, 0)),
])  # fmt: skip
def test_three_times_the_gain_sends_a_servo_to_the_same_place(name, gain, bias):
    """kp u - kp q - kd dq/dt: what the force for a control is measured against goes with it, and damping stays."""
    rows, model = written(Write("gain", (name,)), 3.0)
    i = model.actuator(name).id
    assert rows["actuator_gainprm"][i, 0] == gain and rows["actuator_biasprm"][i, :3].tolist() == list(bias)
    others = np.arange(model.nu) != i
    assert np.array_equal(rows["actuator_gainprm"][others], model.actuator_gainprm[others])
    assert np.array_equal(rows["actuator_biasprm"][others], model.actuator_biasprm[others])


@pytest.mark.parametrize(("write", "refusal"), [
    (Write("gain", ("muscle",)), "gain is of motors and servos; .*'muscle' is of gaintype muscle"),
    (Write("gain", ("affine",)), "gain is of motors and servos; .*'affine' is of gaintype affine"),
    (Write("gain", ("zero",)), "gain: actuator 'zero' has a gain of 0"),
    (Write("radius", ("brick",)), "radius is of spheres and capsules and cylinders; .*.brick. is a box: use half_size"),
    (Write("radius", ("ball", "brick")), "geom 'brick' is a box: use half_size"),
    (Write("half_length", ("ball",)), "half_length is of capsules and cylinders; geom 'ball' is a sphere: use radius"),
    (Write("half_size", ("rod",)), "half_size is of .*; geom 'rod' is a capsule: use radius or half_length"),
    (Write("geom_length", ("rod",)), "geom 'rod' is no capsule or cylinder of a body of round geoms"),
    (Write("geom_length", ("ball",)), "geom 'ball' is no capsule or cylinder"),
])  # fmt: skip
def test_what_a_quantity_is_not_of_is_refused(write, refusal):
    with pytest.raises(ValueError, match=refusal):
        written(write, 2.0)


CURVED = """<mujoco><worldbody><body><joint name="h" damping="{d} {d}" stiffness="{k} {k} {k}"/><geom size=".1"/></body>
  <body><joint name="straight" damping="1"/><geom size=".1"/></body></worldbody>
  <tendon><fixed name="cord" stiffness="{t} {t}" damping="{c} {c}"><joint joint="h" coef="1"/></fixed></tendon>
  </mujoco>"""
FORCES = {"damping": "d", "stiffness": "k", "tendon_stiffness": "t", "tendon_damping": "c"}


def passive(model: mujoco.MjModel) -> np.ndarray:
    """Forces of springs and dampers, (nv,), of joints that are turned and turn."""
    data = mujoco.MjData(model)
    data.qpos[:], data.qvel[:] = 0.7, 2.0
    mujoco.mj_forward(model, data)
    return data.qfrc_passive.copy()


@pytest.mark.parametrize("quantity", FORCES)
@pytest.mark.parametrize("mode", ["scale", "pick"])
def test_springs_and_dampers_with_terms_of_higher_order_are_scaled_as_a_whole(quantity, mode):
    def compiled(**changes):
        return mujoco.MjModel.from_xml_string(CURVED.format(**{"d": 2.0, "k": 3.0, "t": 4.0, "c": 5.0} | changes))

    element, old = "cord" if "tendon" in quantity else "h", {"d": 2.0, "k": 3.0, "t": 4.0, "c": 5.0}[FORCES[quantity]]
    value, factor = (0.0, 0.25) if mode == "pick" else (0.25, 0.0)
    batch = Batch(compiled(), 2, 1)
    p = parameter(Write(quantity, element, mode, factor=factor), value)
    Writer(TaskSpace("Curved", (p,)), compiled()).write(batch, np.array([1]), np.array([[value]]))
    weak = passive(compiled(**{FORCES[quantity]: old / 4}))
    np.testing.assert_allclose(passive(batch.get_model(1)), weak)
    np.testing.assert_array_equal(passive(batch.get_model(0)), passive(compiled()))
    assert (weak != passive(compiled())).any()


@pytest.mark.parametrize(("quantity", "element"), [
    ("damping", "h"), ("stiffness", "h"), ("tendon_stiffness", "cord"), ("tendon_damping", "cord"),
])  # fmt: skip
def test_terms_of_higher_order_are_not_left_behind(quantity, element):
    model = mujoco.MjModel.from_xml_string(CURVED.format(d=2, k=3, t=4, c=5))
    p = Parameter("p", "1", "", 0.0, "uniform", 0.0, 1.0, writes=Write(quantity, mode="add"))
    with pytest.raises(ValueError, match=f"^{quantity} of '{element}' has terms of higher order .*: use mode 'scale'$"):
        Writer(TaskSpace("Curved", (p,)), model)
    p = Parameter("p", "1", "", 1.0, "uniform", 0.0, 1.0, writes=Write("damping", "straight", "set"))
    Writer(TaskSpace("Straight", (p,)), model)


FRAME = """<mujoco><worldbody><body name="arm"><joint name="h"/><geom size=".1" mass="2"/><body name="frame"/></body>
  </worldbody></mujoco>"""


@pytest.mark.parametrize(("mode", "default", "mass"), [("add", 0.0, 5.0), ("set", 2.0, 3.0)])
def test_a_body_without_mass_gets_none(mode, default, mass):
    def writer(*elements):
        write = Write("mass", elements, mode)
        return Writer(TaskSpace("Frame", (Parameter("p", "kg", "", default, "uniform", 0, 9, writes=write),)), model)

    model = mujoco.MjModel.from_xml_string(FRAME)
    fields = writer().fields(np.array([[default], [3.0]]))
    assert fields["body_mass"].tolist() == [[0, 2, 0], [0, mass, 0]]
    np.testing.assert_array_equal(fields["body_inertia"][1], model.body_inertia * mass / 2)
    for elements in (("frame",), ("arm", "fr*"), ("world",)):
        with pytest.raises(ValueError, match=f"^mass in mode '{mode}' is of bodies with mass; body '(frame|world)'"):
            writer(*elements)


def test_where_a_free_body_is_says_the_start():
    with pytest.raises(ValueError, match="position is of bodies without a free joint; where 'ball' starts is of the"):
        BatchEnv(Bench(parameter(Write("position", "ball", "add", "x"), 0.1)))


GOAL = """<mujoco><worldbody><body name="goal" mocap="true" pos="1 0 0"><geom name="goal" size=".1"/></body>
  <body name="cart" pos="0 0 1"><joint name="slide" type="slide"/><geom size=".1"/></body></worldbody>
  <actuator><motor joint="slide" ctrlrange="-1 1"/></actuator>
  <keyframe><key name="home" qpos=".3"/><key name="away" mpos="2 0 0"/></keyframe></mujoco>"""


class Reach(Family):
    """A cart that sees a mocap body, whose place along x is the task."""

    name, horizon, step_stage = "Reach", 3, int(mujoco.mjtStage.mjSTAGE_POS)

    def __init__(self, keyframe=-1, onset=None, mode="set"):
        default, self.keyframe = 1.0 if mode == "set" else 0.0, keyframe
        place = Write("position", "goal", mode, "x")
        self.space = TaskSpace("Reach", (Parameter("x", "m", "", default, "uniform", 0, 5, writes=place, onset=onset),))

    def build(self):
        return mujoco.MjModel.from_xml_string(GOAL)

    def observe(self, sim, derived):
        place, goal = sim.bind("mocap_pos"), sim.bind("geom_xpos")
        return namespace(place).concat([place[:, 0, :1], goal[:, 0, :1]], axis=1)

    def reward_terms(self, sim, derived, qpos_before, ctrl, values):
        return {"x": 1.0 * sim.bind("qpos")[:, 0]}


@pytest.mark.parametrize(("mode", "x"), [("set", 4.0), ("add", 3.0)])
@pytest.mark.parametrize("keyframe", [-1, 0])
def test_a_mocap_body_is_where_the_task_has_it_with_a_keyframe_too(keyframe, mode, x):
    env = BatchEnv(Reach(keyframe, mode=mode), 2)
    default = env.space.default().values[0, 0]
    seen = [env.reset(seed=0, options={"tasks": env.space.tasks(x=[default, x])})[0]]
    seen += [env.step(np.zeros((2, 1)))[0] for _ in range(6)]
    assert [row[:, 0].tolist() for row in seen] == [[1, 4]] * 7  # over an autoreset, too
    assert [row[:, 1].tolist() for row in seen[1:4]] == [[1, 4]] * 3
    env.reset(options={"tasks": env.space.default().repeat(2)})
    assert env.batch.bind("mocap_pos")[:, 0].tolist() == [[1, 0, 0]] * 2


def test_a_mocap_body_moves_in_mid_episode():
    env = BatchEnv(Reach(0, onset=2), 1, horizon=9)
    env.reset(seed=0, options={"tasks": env.space.tasks(x=4.0)})
    assert [env.step(np.zeros((1, 1)))[0].tolist() for _ in range(4)] == [[[1, 1]]] * 2 + [[[4, 4]]] * 2
    env.change_tasks(env.space.tasks(x=2.0))
    assert env.step(np.zeros((1, 1)))[0].tolist() == [[2, 2]]


def test_a_mocap_body_that_the_keyframe_puts_elsewhere_is_refused():
    with pytest.raises(ValueError, match=r"Reach: tasks write the position of \['goal'\], which its keyframe"):
        BatchEnv(Reach(1))


def test_of_all_geoms_those_that_have_such_a_size_change():
    rows, model = written(Write("half_size"), 2.0)
    scaled = np.where(np.isin(np.arange(4), [1, 3])[:, None], 2.0, 1.0)  # the brick and the plate
    np.testing.assert_array_equal(rows["geom_size"], scaled * model.geom_size)
    rows, _ = written(Write("radius"), 2.0)
    np.testing.assert_array_equal(rows["geom_size"][:, 0], model.geom_size[:, 0] * [2, 1, 2, 1])
    np.testing.assert_array_equal(rows["geom_size"][:, 1:], model.geom_size[:, 1:])
