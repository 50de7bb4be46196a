"""Which elements a write reaches, what several of them do together, and what is refused."""

import math

import mujoco
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from metarl.envs import BatchEnv, Family, Parameter, TaskSpace, Write, make, make_family
from metarl.envs.checks import assert_effective, assert_physical, effects
from metarl.envs.variation.inertia import inertia_matrix, principal, stretched_inertia
from metarl.envs.writer import Writer

XML = """<mujoco><worldbody><geom name="floor" type="plane" size="5 5 1"/>
  <body name="trunk" pos="0 0 1"><freejoint name="root"/><geom name="trunk" type="box" size=".2 .1 .05"/>
    <body name="left_leg" pos="0 .2 0"><joint name="left_hip" axis="0 1 0" damping=".1"/>
      <geom name="left_leg" type="capsule" fromto="0 0 0 .1 .1 -.3" size=".03" friction=".7"/></body>
    <body name="right_leg" pos="0 -.2 0"><joint name="right_hip" type="ball" damping=".1"/>
      <geom name="right_leg" type="capsule" fromto="0 0 0 0 0 -.3" size=".03" friction=".8"/></body></body>
  </worldbody><actuator><motor name="left" joint="left_hip" ctrlrange="-1 1" gear="3"/>
    <motor name="right" joint="right_hip" ctrlrange="-1 1" gear="0 2 0"/></actuator></mujoco>"""
MODEL = mujoco.MjModel.from_xml_string(XML)


def scale(writes, name="p", **settings):
    return Parameter(name, "1", "", 1.0, "uniform", 0.5, 2.0, writes=writes, **settings)


def pick(choices, writes, name="p"):
    return Parameter(name, "1", "", -1.0, "choice", choices=choices, writes=writes)


class Biped(Family):
    name, frame_skip, horizon, camera = "Biped", 2, 50, "track"

    def __init__(self, *parameters):
        self.space = TaskSpace(self.name, parameters)

    def build(self):
        return mujoco.MjModel.from_xml_string(XML)

    def observe(self, batch, derived):
        return np.concatenate([batch.bind("qpos"), batch.bind("qvel")], axis=1)

    def reward_terms(self, batch, derived, qpos_before, ctrl, values):
        return {"alive": np.ones(len(ctrl))}


def written(*parameters, **values):
    """The model of one task, and the default model."""
    env = BatchEnv(Biped(*parameters), 3)
    env.reset(seed=0, options={"tasks": env.space.tasks(**{k: [1.0, v, v] for k, v in values.items()})})
    return env.model_of(1)


@pytest.mark.parametrize(
    ("elements", "dofs"),
    [((), range(6, 10)), ("left_hip", [6]), ("*_hip", range(6, 10)), (2, [7, 8, 9]), (("r*", 1), range(6, 10))],
)
def test_elements_are_named_by_name_pattern_or_index(elements, dofs):
    damping = MODEL.dof_damping.copy()
    damping[list(dofs)] *= 1.5
    np.testing.assert_array_equal(written(scale(Write("damping", elements)), p=1.5).dof_damping, damping)


def test_parameters_of_one_element_act_one_after_the_other():
    model = written(scale(Write("mass")), scale((Write("mass", "left_leg"), Write("radius", "left_leg")), "q"),
                    p=1.5, q=1.2)  # fmt: skip
    np.testing.assert_array_equal(model.body_mass, MODEL.body_mass * 1.5 * [1, 1, 1.2, 1])
    np.testing.assert_allclose(model.body_inertia[2], MODEL.body_inertia[2] * 1.8, rtol=1e-15)
    np.testing.assert_array_equal(model.geom_size[2, 0], 0.03 * 1.2)
    np.testing.assert_array_equal(model.geom_size[3], MODEL.geom_size[3])


def test_picking_weakens_one_of_several():
    legs = pick((-1, 0, 1), (Write("strength", ("left", "right"), "pick"),
                             Write("mass", ("left_leg", ("right_leg", "trunk")), "pick", factor=0.5)))  # fmt: skip
    env = BatchEnv(Biped(legs), 3)
    env.reset(seed=0, options={"tasks": env.space.tasks(p=[-1, 0, 1])})
    models = [env.model_of(i) for i in range(3)]
    assert [m.actuator_gainprm[:, 0].tolist() for m in models] == [[1, 1], [0, 1], [1, 0]]
    mass = MODEL.body_mass
    expected = [mass, mass * [1, 1, 0.5, 1], mass * [1, 0.5, 1, 0.5]]
    np.testing.assert_array_equal([m.body_mass for m in models], expected)


def test_a_change_of_one_simulation_leaves_the_others():
    env = BatchEnv(Biped(scale(Write("limb_length", "left_leg")), scale(Write("gravity"), "g")), 4)
    env.reset(seed=0, options={"tasks": env.space.tasks(p=[1, 1, 1.3, 1], g=[1, 0.5, 1, 1])})
    for name in ("body_mass", "geom_pos", "geom_size", "body_iquat", "body_invweight0"):
        np.testing.assert_array_equal(getattr(env.model_of(3), name), getattr(MODEL, name))
        assert np.array_equal(getattr(env.model_of(2), name), getattr(MODEL, name)) == (name == "x")
    assert [env.model_of(i).opt.gravity[2] for i in range(4)] == [-9.81, -9.81 / 2, -9.81, -9.81]


bodies = st.tuples(*[st.floats(0.01, 5)] * 3).filter(lambda m: min(m) > 0.02 * max(m))
quats = st.tuples(*[st.floats(-1, 1)] * 4).filter(lambda q: sum(x * x for x in q) > 0.01)


@given(bodies, quats, st.tuples(*[st.floats(0.3, 3)] * 3), quats)
@settings(max_examples=100)
def test_a_stretched_body_can_exist(second, quat, factors, other):
    """Second moments of mass that are positive make inertias that obey the triangle inequality, and stay positive."""
    moments = np.sum(second) - np.array([second])
    quat, other = (np.array([q]) / np.linalg.norm(q) for q in (quat, other))
    matrix = inertia_matrix(moments, quat)
    again = inertia_matrix(*principal(matrix))
    np.testing.assert_allclose(again, matrix, atol=1e-12 * moments.max())
    stretch = inertia_matrix(np.array([factors]), other)
    small, middle, large = np.sort(principal(stretched_inertia(matrix, stretch))[0][0])
    assert small > 0 and small + middle > large
    mat, mine = np.empty(9), principal(matrix)[1][0]
    mujoco.mju_quat2Mat(mat, mine)
    np.testing.assert_allclose(mat.reshape(3, 3) @ mat.reshape(3, 3).T, np.eye(3), atol=1e-12)


@given(st.integers(0, 2**32), st.sampled_from(["train", "extrapolation"]))
@settings(max_examples=25)
def test_every_sampled_robot_is_physical_and_restored(seed, split):
    """Mass, payload, length and size of several bodies at once, in any order: bodies that exist, and no trace after."""
    beyond = {"extrapolation": ((0.3, 0.5), (2.0, 3.0))}
    load = Parameter("load", "kg", "", 0.0, "uniform", -0.0, 5.0, extrapolation=((5, 9),),
                     writes=Write("payload", "*_leg", at=(0.1, 0.3, -0.2)))  # fmt: skip
    env = BatchEnv(Biped(scale(Write("limb_length", "*_leg"), "length", **beyond), load,
                         scale(Write("size", "trunk"), "size", **beyond),
                         scale(Write("mass"), **beyond)), 4)  # fmt: skip
    env.reset(seed=0, options={"tasks": env.space.sample(4, split, np.random.default_rng(seed))})
    for i in range(4):
        assert_physical(env.model_of(i))
    env.reset(seed=0, options={"tasks": env.space.default().repeat(4)})
    for name in ("body_mass", "body_inertia", "body_iquat", "body_ipos", "geom_size", "geom_rbound", "dof_M0"):
        np.testing.assert_array_equal(getattr(env.model_of(3), name), getattr(MODEL, name))


def test_a_body_that_cannot_exist_is_named():
    model = BatchEnv(Biped(scale(Write("mass"))), 1).model_of(0)
    model.body_inertia[2] = [1, 2, 3.1]
    with pytest.raises(ValueError, match=r"body 'left_leg': no body has the principal inertias 1, 2, 3.1"):
        assert_physical(model)
    model.body_inertia[2], model.body_mass[2] = 1, 0
    with pytest.raises(ValueError, match="body 'left_leg': mass must be positive, got 0 kg"):
        assert_physical(model)


def test_a_parameter_without_effect_is_named():
    idle = scale(Write("friction", "left_leg"), "grip")  # never touches the ground in ten steps
    why = r"geom 'left_leg' touched nothing under random actions"
    with pytest.raises(ValueError, match=rf"Biped: no effect on the trajectory of grip \({why}\); check which element"):
        assert_effective(Biped(scale(Write("mass"), "mass"), idle), steps=10)
    with pytest.raises(ValueError, match=r"trajectory of p at 1 \(body 'world' is fixed to the world\);"):
        assert_effective(Biped(pick((-1, 0, 1), Write("mass", ("left_leg", "world"), "pick", factor=0.5))), steps=10)
    assert_effective(Biped(scale(Write("mass"), "mass")), steps=10)
    first = effects(Biped(scale(Write("mass"), "mass", onset=4)), steps=10)["mass"]
    assert first.tolist() == [[0.5, 4], [2.0, 4]]


@pytest.mark.parametrize("name", ["Navigation2D", "HalfCheetahDir", "HalfCheetahVel", "HalfCheetahMass"])
def test_the_parameters_of_the_families_have_effect(name):
    assert_effective(make_family(name), steps=20)


def test_writing_goals_does_nothing():
    env = make("HalfCheetahDir", 2)
    env.reset(seed=0, options={"tasks": env.space.tasks(direction=[-1, 1])})
    assert env.batch.expanded("body_mass") is None


@pytest.mark.parametrize(
    ("make_it", "message"),
    [
        (lambda: Write("mas"), r"unknown quantity 'mas' \(did you mean 'mass'"),
        (lambda: Write("payload", mode="scale"), r"payload has no mode 'scale' \(choose from 'add'\)"),
        (lambda: Write("mass", axis="x"), "mass: axis must be none, got 'x'"),
        (lambda: Write("gravity", axis="w"), "gravity: axis must be x, y or z, got 'w'"),
        (lambda: Write("wind"), "wind: mode 'add' needs an axis, x, y or z"),
        (lambda: Write("payload", at=(0, 1)), r"at must be a place \(x, y, z\) in m"),
        (lambda: Write("mass", at=(0, 0, 9)), "mass: got at, expected it with payload; leave it out"),
        (lambda: Write("mass", factor=3), "mass: got factor in mode 'scale', expected it in 'pick'; leave it out"),
        (lambda: scale(Write("mass", "leftleg")), "parameter p: the model has no body 'leftleg' .did you mean 'left_l"),
        (lambda: scale(Write("damping", 5)), "parameter p: the model has no joint 5"),
        (lambda: scale(Write("gravity", "x")), "gravity is of the whole world; name no elements"),
        (lambda: scale(Write("mass", mode="add")), "default must be 0 for mode 'add'"),
        (lambda: scale(Write("damping", "left_hip", "set")), "default 1 is not what the model has, 0.1; make it the"),
        (lambda: scale(Write("limb_length", "trunk")), "body 'trunk' has no capsule or cylinder to be a limb"),
        (lambda: scale(Write("radius", "trunk")), "capsules and cylinders; geom 'trunk' is a box: use half_size"),
        (lambda: scale(Write("half_size", "left_leg")), "geom 'left_leg' is a capsule: use radius or half_length"),
        (lambda: pick((-1, 0, 2), Write("strength", ("left", "right"), "pick")), "default -1 and choices from -1 to 1"),
    ],
)  # fmt: skip
def test_a_wrong_write_is_refused_before_the_first_task(make_it, message):
    with pytest.raises(ValueError, match=message):
        BatchEnv(Biped(make_it()), 2)


def test_a_mass_that_is_taken_away_leaves_some():
    lighter = Parameter("p", "kg", "", 0.0, "uniform", -50.0, 0.0, writes=Write("mass", "trunk", "add"))
    env = BatchEnv(Biped(lighter), 2)
    with pytest.raises(ValueError, match="Biped: body_(mass|inertia) of 'trunk' would be -.*narrow the range"):
        env.reset(seed=0, options={"tasks": env.space.tasks(p=[0, -45])})


@given(st.floats(-5, 5), st.floats(0.1, 10), st.floats(-5, 4), st.floats(0.5, 5), st.integers(0, 2**32))
@settings(max_examples=50)
def test_a_normal_stays_in_its_range(mean, std, low, width, seed):
    make_it = lambda: Parameter("p", "1", "", low, "normal", low, low + width, mean=mean, std=std)  # noqa: E731
    z = [(b - mean) / std for b in (low, low + width)]
    share = 0.5 * (math.erf(z[1] / math.sqrt(2)) - math.erf(z[0] / math.sqrt(2)))
    if share < 0.01:
        with pytest.raises(ValueError, match="normal needs a mean and std > 0 with at least 1% of it between"):
            make_it()
        return
    values = make_it().draw(200, "train", np.random.default_rng(seed))
    assert ((values >= low) & (values <= low + width)).all() and len(np.unique(values)) == 200


def test_a_normal_has_its_mean_and_spread_and_is_uniform_beyond():
    p = Parameter("p", "1", "", 1.0, "normal", 0.0, 2.0, mean=1.0, std=0.2, extrapolation=((2, 3),))
    values = p.draw(4000, "train", np.random.default_rng(0))
    np.testing.assert_allclose([values.mean(), values.std()], [1.0, 0.2], rtol=0.03)
    beyond = p.draw(4000, "extrapolation", np.random.default_rng(0))
    np.testing.assert_allclose([beyond.min(), beyond.mean(), beyond.max()], [2, 2.5, 3], atol=0.02)
    assert TaskSpace("S", (p,)).sample(50, "held_out", np.random.default_rng(0)).values.shape == (50, 1)
    with pytest.raises(ValueError, match="onset must be a step or another parameter, got 'p'"):
        scale((), onset="p")


def test_lists_are_fixed_on_the_way_in():
    p = Parameter("p", "1", "", 1, "choice", choices=[1, 2], extrapolation=[3], writes=[Write("mass", ["trunk"])])
    assert (p.choices, p.extrapolation, p.writes) == ((1, 2), (3,), (Write("mass", ("trunk",)),))
    assert hash(p) is not None
    Writer(TaskSpace("S", (p,)), MODEL)
