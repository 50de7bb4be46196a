"""HalfCheetah families against Gymnasium's own environment, MuJoCo's own sums, and the laws of mechanics."""

import gymnasium
import mujoco
import numpy as np
import pytest

from metarl.envs import make, make_family
from metarl.envs.families.half_cheetah import load_spec
from metarl.envs.families.planar_com import PlanarCom


@pytest.fixture(scope="module")
def gymnasium_cheetah():
    env = gymnasium.make("HalfCheetah-v5").unwrapped
    yield env
    env.close()


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:compiler attribute")
@pytest.mark.parametrize("name", ["HalfCheetahDir", "HalfCheetahVel", "HalfCheetahMass"])
def test_the_default_task_is_gymnasiums_half_cheetah(name, gymnasium_cheetah):
    env = make(name, 2, horizon=1001, autoreset_mode="Disabled")
    env.reset(seed=0, options={"tasks": env.space.default().repeat(2)})
    gymnasium_cheetah.reset(seed=3)
    env.batch.bind("qpos")[:] = gymnasium_cheetah.data.qpos
    env.batch.bind("qvel")[:] = gymnasium_cheetah.data.qvel
    rng, target = np.random.default_rng(0), env.space.default().values[0, 0]
    for _ in range(1000):
        action = rng.uniform(-1, 1, 6)
        theirs, _, _, _, their_info = gymnasium_cheetah.step(action)
        mine, reward, _, _, info = env.step(np.tile(action, (2, 1)))
        np.testing.assert_array_equal(mine[:, :17], np.tile(theirs, (2, 1)))
        terms, velocity = info["reward_terms"], their_info["x_velocity"]
        np.testing.assert_allclose(terms["control"], 0.5 * their_info["reward_ctrl"], rtol=1e-15)
        if name == "HalfCheetahVel":
            np.testing.assert_array_equal(terms["speed"], [-abs(velocity - target)] * 2)
        else:
            np.testing.assert_array_equal(terms["forward"], [velocity] * 2)
        if name == "HalfCheetahMass":
            np.testing.assert_array_equal(terms["height"], [theirs[0]] * 2)


def test_the_model_is_gymnasiums(stock_model):
    model = make_family("HalfCheetahDir").build()
    for name in dir(stock_model):
        if isinstance(getattr(stock_model, name), np.ndarray):
            np.testing.assert_array_equal(getattr(model, name), getattr(stock_model, name), err_msg=name)


def test_loading_the_model_leaves_no_trace(tmp_path, monkeypatch, capfd, recwarn):
    monkeypatch.chdir(tmp_path)
    for name in ("HalfCheetahDir", "HalfCheetahMass"):
        make(name, 1).reset(seed=0)
    assert list(tmp_path.iterdir()) == []
    assert capfd.readouterr() == ("", "")
    assert len(recwarn) == 0


@pytest.mark.parametrize(
    ("name", "options", "horizon", "dt", "size"),
    [
        ("Navigation2D", {}, 100, 0.1, 2),
        ("HalfCheetahDir", {}, 100, 0.05, 17),
        ("HalfCheetahVel", {}, 200, 0.05, 17),
        ("HalfCheetahMass", {}, 200, 0.05, 20),
        ("HalfCheetahDir", {"variant": "maml"}, 200, 0.01, 20),
        ("HalfCheetahVel", {"variant": "maml"}, 200, 0.01, 20),
        ("HalfCheetahDir", {"variant": "varibad"}, 200, 0.05, 20),
        ("HalfCheetahVel", {"variant": "varibad", "max_velocity": 7.0}, 200, 0.05, 20),
    ],
)
def test_published_definitions(name, options, horizon, dt, size):
    env = make(name, 1, **options)
    assert (env.horizon, env.dt, env.single_observation_space.shape) == (horizon, pytest.approx(dt), (size,))


def test_varibads_robot_is_gymnasiums_and_the_torso_is_observed():
    stock, varibad = (make("HalfCheetahDir", 3, variant=v, horizon=200, num_threads=1) for v in ("gym", "varibad"))
    seen, more = (env.reset(seed=0)[0] for env in (stock, varibad))
    for action in np.random.default_rng(0).uniform(-1, 1, (30, 3, 6)):
        np.testing.assert_array_equal(more[:, :17], seen)
        for i in range(3):
            data = varibad.data_of(i)
            mujoco.mj_kinematics(varibad.model, data)
            np.testing.assert_allclose(more[i, 17:], data.body("torso").xpos, atol=1e-12)
        (seen, reward, *_), (more, same, *_) = stock.step(action), varibad.step(action)
        np.testing.assert_array_equal(reward, same)
    assert [o.name for o in varibad.family.observation_names()[17:]] == [
        o.name for o in make_family("HalfCheetahMass").observation_names()[17:]
    ]


def test_the_published_mass_leaves_inertias():
    ours, published = (make("HalfCheetahMass", 2, published=p) for p in (False, True))
    stock = ours.family.build()
    for env, factor in ((ours, 2.0), (published, 1.0)):
        env.reset(seed=0, options={"tasks": env.space.tasks(mass_scale=[1.0, 2.0])})
        heavy = env.model_of(1)
        np.testing.assert_allclose(heavy.body_mass, 2 * stock.body_mass)
        np.testing.assert_allclose(heavy.body_inertia, factor * stock.body_inertia)
        np.testing.assert_allclose(heavy.geom_size[1:, 0], 0.092)
    assert published.space.names == ours.space.names


def test_velocity_ranges():
    for options, top in (({}, 3.0), ({"max_velocity": 7}, 7.0), ({"variant": "maml"}, 2.0)):
        (p,) = make_family("HalfCheetahVel", **options).space.parameters
        assert (p.low, p.high, p.extrapolation) == (0.0, top, ((top, 1.5 * top),))
    with pytest.raises(ValueError, match="expected slides along x and z"):
        PlanarCom(make_family("Navigation2D").build(), "point")


def test_the_closed_form_is_the_centre_of_mass(stock_model):
    data, rng = mujoco.MjData(stock_model), np.random.default_rng(0)
    qpos, qvel = 2 * rng.standard_normal((50, 9)), 5 * rng.standard_normal((50, 9))
    position, velocity = PlanarCom(stock_model, "torso")(qpos, qvel)
    for i in range(50):
        data.qpos[:], data.qvel[:] = qpos[i], qvel[i]
        mujoco.mj_forward(stock_model, data)
        mujoco.mj_subtreeVel(stock_model, data)
        np.testing.assert_allclose(position[i], data.subtree_com[1], rtol=0, atol=1e-13)
        np.testing.assert_allclose(velocity[i], data.subtree_linvel[1], rtol=0, atol=1e-13)
        alone = PlanarCom(stock_model, "torso")(qpos[i : i + 1], qvel[i : i + 1])
        np.testing.assert_array_equal(alone, [position[i : i + 1], velocity[i : i + 1]])


def test_reset_noise_has_the_published_spread():
    gym, maml = (make("HalfCheetahDir", 4000, variant=v) for v in ("gym", "maml"))
    gym.reset(seed=0)
    maml.reset(seed=0)
    qpos, qvel = gym.state()[:, :9], gym.state()[:, 9:]
    assert np.abs(qpos).max() <= 0.1 and abs(qpos.std() * np.sqrt(12) - 0.2) < 0.002
    np.testing.assert_allclose([qvel.std(), maml.state()[:, 9:].std()], 0.1, rtol=0.02)
    np.testing.assert_allclose(maml.state()[:, :9].std(), 0.01, rtol=0.02)
    assert np.abs(maml.state()[:, :9]).max() > 0.03  # normal, not uniform


@pytest.mark.parametrize("split", ["train", "held_out", "extrapolation"])
def test_mass_tasks_are_bodies_that_can_exist(split):
    env = make("HalfCheetahMass", 30)
    tasks = env.space.sample(30, split, np.random.default_rng(0))
    env.reset(seed=0, options={"tasks": tasks})
    for i, scale in enumerate(tasks.values[:, 0]):
        model = env.model_of(i)
        np.testing.assert_allclose(model.body_mass.sum(), 14 * scale)
        np.testing.assert_allclose(model.body_subtreemass[1], 14 * scale)
        np.testing.assert_allclose(model.body_inertia, scale * env.model.body_inertia)
        inertia = np.sort(model.body_inertia[1:], axis=1)
        assert (inertia[:, 0] + inertia[:, 1] >= inertia[:, 2]).all(), "triangle inequality"
        fresh = mujoco.MjData(model)
        derived = {n: getattr(model, n).copy() for n in ("dof_invweight0", "body_invweight0", "dof_M0")}
        mujoco.mj_setConst(model, fresh)
        for name, value in derived.items():
            np.testing.assert_array_equal(value, getattr(model, name), err_msg=name)


@pytest.mark.parametrize("scale", [0.4, 0.5, 1.0, 1.7, 2.8])
def test_a_mass_task_is_the_robot_compiled_with_those_masses_and_radii(scale, stock_model):
    spec = load_spec()
    spec.compiler.inertiafromgeom = int(mujoco.mjtInertiaFromGeom.mjINERTIAFROMGEOM_FALSE)
    for geom in spec.geoms:
        if geom.name != "floor":
            geom.size[0] = 0.046 * scale
    for body in spec.bodies[1:]:
        stock = stock_model.body(body.name)
        body.explicitinertial = True
        body.mass, body.inertia = scale * stock.mass[0], scale * stock.inertia
        body.ipos, body.iquat = stock.ipos, stock.iquat
    compiled = spec.compile()
    env = make("HalfCheetahMass", 2)
    env.reset(seed=0, options={"tasks": env.space.tasks(mass_scale=[1.0, scale])})
    model = env.model_of(1)
    compared = 0
    for name in dir(model):
        value = getattr(model, name)
        if isinstance(value, np.ndarray) and value.dtype == float:
            np.testing.assert_allclose(value, getattr(compiled, name), rtol=1e-9, atol=1e-9, err_msg=name)
            compared += 1
    assert compared > 100
