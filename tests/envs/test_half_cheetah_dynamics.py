"""HalfCheetahs with another body or ground: against models edited by hand; reserved tasks; what they stand on."""

import mujoco
import numpy as np
import pytest

from metarl.envs import BatchEnv, make
from metarl.envs.checks import assert_effective, assert_physical
from metarl.envs.families.half_cheetah import load_spec
from metarl.envs.families.half_cheetah_dynamics import (
    HalfCheetahBody,
    HalfCheetahDisabledJoint,
    HalfCheetahPier,
    HalfCheetahSlopes,
)
from metarl.envs.variation.inertia import inertia_matrix

FAMILIES = (HalfCheetahBody, HalfCheetahDisabledJoint, HalfCheetahSlopes, HalfCheetahPier)
N = 4


def tasks_of(env, split="train", seed=0):
    return env.space.sample(env.num_envs, split, np.random.default_rng(seed))


def edited(family, task: np.ndarray) -> mujoco.MjModel:
    """The default model, with one task written into it element by element."""
    model = family.build()
    if family.name == "HalfCheetahBody":
        for body in range(1, model.nbody):
            model.body_mass[body] *= task[0]  # as published: the inertia stays
        for geom in range(1, model.ngeom):
            model.geom_size[geom, 0] *= task[0]
        model.geom("head").size[1] *= task[2]
        for dof in range(model.nv):
            model.dof_damping[dof] *= task[1]
        mujoco.mj_setConst(model, mujoco.MjData(model))
    elif family.name == "HalfCheetahDisabledJoint" and task[0] >= 0:
        model.actuator_gear[int(task[0])] = 0
    elif family.name == "HalfCheetahSlopes":
        model.geom("floor").dataid[:] = int(task[0])
    elif family.name == "HalfCheetahPier":
        for i in range(8):
            model.joint(f"block_{i}").damping[:] = task[i]
    return model


@pytest.mark.slow
@pytest.mark.parametrize("kind", FAMILIES)
def test_a_batch_is_a_loop_over_models_edited_by_hand(kind):
    # how the mass follows the length of the head is the compiler's business, in the next test
    settings = {"published": True} if kind is HalfCheetahBody else {}
    env = BatchEnv(kind(**settings), N, autoreset_mode="Disabled")
    tasks = tasks_of(env, "train", seed=1)
    observation, _ = env.reset(seed=0, options={"tasks": tasks})
    models = [edited(env.family, task) for task in tasks.values]
    datas = [mujoco.MjData(model) for model in models]
    for data, row in zip(datas, env.state(), strict=True):
        data.qpos[:], data.qvel[:] = np.split(row, [env.model.nq])
    for action in np.random.default_rng(0).uniform(-1.2, 1.2, (120, N, 6)):
        for data, seen in zip(datas, observation, strict=True):
            np.testing.assert_array_equal(seen[:17], np.concatenate([data.qpos[1:9], data.qvel[:9]]))
        observation, reward, terminated, _, info = env.step(action)
        for i, (model, data) in enumerate(zip(models, datas, strict=True)):
            before, control = data.qpos[0], np.clip(action[i], -1, 1)
            data.ctrl[:] = control
            mujoco.mj_step(model, data, nstep=5)
            expected = (data.qpos[0] - before) / 0.05 - 0.05 * sum(c * c for c in control)
            expected += data.qpos[1] if kind is HalfCheetahBody else 0
            assert reward[i] == pytest.approx(expected, rel=1e-12, abs=1e-12)
        np.testing.assert_array_equal(env.state(), [np.concatenate([d.qpos, d.qvel]) for d in datas])
        assert not terminated.any() and not info["diverged"].any()


@pytest.mark.parametrize("scale", [0.4, 0.7, 1.9])
def test_a_longer_head_is_what_the_compiler_makes_of_it(scale):
    env = BatchEnv(HalfCheetahBody(), 2)
    env.reset(seed=0, options={"tasks": env.space.tasks(head_scale=[1.0, scale])})
    spec = load_spec()
    stock = spec.compile()
    spec.geom("head").size[1] *= scale
    longer, model = spec.compile(), env.model_of(1)
    to_14_kg = 14 / stock.body_mass.sum()
    np.testing.assert_allclose(model.body_mass, longer.body_mass * to_14_kg, rtol=1e-12)
    np.testing.assert_allclose(model.body_ipos, longer.body_ipos, atol=1e-12)
    matrices = inertia_matrix(model.body_inertia, model.body_iquat)
    np.testing.assert_allclose(matrices, to_14_kg * inertia_matrix(longer.body_inertia, longer.body_iquat), atol=1e-12)
    np.testing.assert_array_equal(model.geom_size, longer.geom_size)
    np.testing.assert_allclose(model.geom_rbound, longer.geom_rbound, rtol=1e-12)


@pytest.mark.slow
@pytest.mark.parametrize("kind", FAMILIES)
def test_every_task_is_physical_finite_and_leaves_no_trace(kind):
    env = BatchEnv(kind(), 16, horizon=300)
    stock = env.family.build()
    splits = ["train", "held_out"] + ["extrapolation"] * any(p.extrapolation for p in env.space.parameters)
    for split in splits:
        env.reset(seed=0, options={"tasks": tasks_of(env, split)})
        for i in range(16):
            assert_physical(env.model_of(i))
        rng = np.random.default_rng(0)
        for _ in range(200):
            observation, _, _, _, info = env.step(rng.uniform(-1, 1, (16, 6)))
            assert np.isfinite(observation).all() and not info["diverged"].any()
    env.reset(seed=0, options={"tasks": env.space.default().repeat(16)})
    for i in (0, 15):
        model = env.model_of(i)
        arrays = [n for n in dir(stock) if isinstance(getattr(stock, n), np.ndarray)]
        assert [n for n in arrays if not np.array_equal(getattr(model, n), getattr(stock, n))] == []


@pytest.mark.slow
@pytest.mark.parametrize("kind", FAMILIES)
def test_every_parameter_has_an_effect(kind):
    assert_effective(kind(), backgrounds=2)


@pytest.mark.parametrize(
    ("kind", "reserved", "others"),
    [(HalfCheetahDisabledJoint, {0}, {-1, 1, 2, 3, 4, 5}), (HalfCheetahSlopes, {65, 66, 67, 68}, set(range(65)))],
)
def test_one_joint_and_four_terrains_are_kept_for_testing(kind, reserved, others):
    space = kind().space
    drawn = {s: set(space.sample(2000, s, np.random.default_rng(0)).values[:, 0]) for s in ("train", "held_out")}
    spared = {float(c) for c in space.sample(2000, "validation", np.random.default_rng(0)).values[:, 0]}
    trained = others if space.validates_on_training else others - spared
    assert drawn == {"train": trained, "held_out": reserved} and spared <= others


def test_the_default_body_is_that_of_mass_tasks():
    env, mass = BatchEnv(HalfCheetahBody(), 2), make("HalfCheetahMass", 2)
    env.reset(seed=0, options={"tasks": env.space.tasks(mass_scale=[0.7, 1.6])})
    mass.reset(seed=0, options={"tasks": mass.space.tasks(mass_scale=[0.7, 1.6])})
    for action in np.random.default_rng(0).uniform(-1, 1, (30, 2, 6)):
        for a, b in zip(env.step(action)[:2], mass.step(action)[:2], strict=True):
            np.testing.assert_array_equal(a, b)
    ranges = [(p.low, p.high, p.distribution) for p in env.space.parameters]
    assert ranges == [(0.5, 2.0, "log_uniform")] * 3


def test_the_published_body_has_a_longer_head_of_no_more_mass():
    env = BatchEnv(HalfCheetahBody(published=True), 2)
    env.reset(seed=0, options={"tasks": env.space.tasks(head_scale=[1.0, 1.9])})
    short, long = env.model_of(0), env.model_of(1)
    np.testing.assert_array_equal(long.body_mass, short.body_mass)
    np.testing.assert_array_equal(long.body_inertia, short.body_inertia)
    assert long.geom("head").size[1] == 0.15 * 1.9
    env.reset(seed=0, options={"tasks": env.space.tasks(mass_scale=[1.0, 1.9])})
    np.testing.assert_allclose(env.model_of(1).body_mass, 1.9 * short.body_mass)
    np.testing.assert_array_equal(env.model_of(1).body_inertia, short.body_inertia)
    with pytest.raises(ValueError, match="HalfCheetahBody: no effect on the trajectory of head_scale"):
        assert_effective(HalfCheetahBody(published=True), steps=50)


def test_a_joint_that_fails_in_mid_episode_is_intact_before():
    intact, dead, failing = (BatchEnv(HalfCheetahDisabledJoint(onset=t), 1) for t in (0, 0, 20))
    dead.set_tasks(dead.space.tasks(disabled_joint=4))
    failing.set_tasks(failing.space.tasks(disabled_joint=4))
    for env in (intact, dead, failing):
        env.reset(seed=0)
    for step, action in enumerate(np.random.default_rng(0).uniform(-1, 1, (30, 1, 6))):
        a, b, c = (env.step(action)[0] for env in (intact, dead, failing))
        assert np.array_equal(c, a) == (step < 20) and not np.array_equal(a, b)
    assert failing.model_of(0).actuator_gainprm[:, 0].tolist() == [1, 1, 1, 1, 0, 1]
    with pytest.raises(ValueError, match="onset must be a step from 0 on, got -1"):
        HalfCheetahDisabledJoint(onset=-1)


def ground_below(model: mujoco.MjModel, x: np.ndarray) -> np.ndarray:
    """Height in m of what a ray meets that comes down at x."""
    data, hit = mujoco.MjData(model), np.zeros(1, np.int32)
    data.qpos[1] = 50  # the robot is out of the way
    mujoco.mj_forward(model, data)
    down = np.array([0.0, 0.0, -1.0])
    return np.array([20 - mujoco.mj_ray(model, data, np.array([at, 0.1, 20.0]), down, None, 1, -1, hit) for at in x])


def test_the_terrains_are_as_high_as_they_should_be():
    env = BatchEnv(HalfCheetahSlopes(), 6)
    env.reset(seed=0, options={"tasks": env.space.tasks(terrain=[0, 7, 65, 66, 67, 68])})
    x = np.array([-30.0, 0.9, 2.5, 4.0, 7.0, 10.0, 19.0, 60.0])
    flat, drawn, basin, hill, gentle, steep = (ground_below(env.model_of(i), x) for i in range(6))
    np.testing.assert_allclose(flat, 0, atol=1e-6)
    np.testing.assert_allclose(basin, [0, 0, -0.275, -0.55, 0, 0, 0, 0], atol=1e-6)
    np.testing.assert_allclose(hill, [0, 0, 0.3, 0.6, 0, 0, 0, 0], atol=1e-6)
    np.testing.assert_allclose(gentle, [0, 0, 1.5 / 18, 1 / 6, 1 / 3, 0.5, 1, 1], atol=1e-6)
    np.testing.assert_allclose(steep, 4 * gentle, atol=1e-6)
    np.testing.assert_allclose(drawn, HalfCheetahSlopes.profiles()[7, np.rint(5 * (x + 100)).astype(int)], atol=0.05)
    profiles = HalfCheetahSlopes.profiles()
    heights = np.ptp(profiles[1:65], axis=1)
    assert 0.2 <= heights.min() < 0.3 and 0.9 < heights.max() <= 1.0
    assert (np.diff(profiles[1:65, 505:526], axis=1) > 0).all(), "the first two slopes go up"
    assert len(np.unique(profiles, axis=0)) == 69 and (profiles[:, :506] == 0).all()


def test_the_robot_stands_on_the_terrain():
    """Dropped on each kind of slope, no capsule sinks in by more than its radius."""
    terrains = [0, 3, 40, 65, 66, 68]
    env = BatchEnv(HalfCheetahSlopes(), len(terrains), horizon=1000)
    env.reset(seed=0, options={"tasks": env.space.tasks(terrain=terrains)})
    env.batch.bind("qpos")[:, 0] += [0.0, 3.0, 8.0, 4.0, 3.0, 10.0]
    env.batch.bind("qpos")[:, 1] += [0.2, 1.0, 1.2, 0.5, 1.0, 3.0]
    for action in np.random.default_rng(0).uniform(-1, 1, (100, len(terrains), 6)):
        env.step(action)
    profiles, x = HalfCheetahSlopes.profiles(), np.linspace(-100, 100, 1001)
    for i, terrain in enumerate(terrains):
        model, data = env.model_of(i), env.data_of(i)
        mujoco.mj_forward(model, data)
        clearance = data.geom_xpos[1:, 2] - np.interp(data.geom_xpos[1:, 0], x, profiles[terrain])
        assert 0 < clearance.min() < 0.3, f"terrain {terrain}"


def test_the_pier_floats_and_is_as_heavy_as_published():
    env = BatchEnv(HalfCheetahPier(), 2, horizon=1000)
    env.reset(seed=0, options={"tasks": env.space.tasks(damping_3=[0.0, 10.0])})
    assert env.model.body_mass.sum() == pytest.approx(14)
    sunk = []
    for _ in range(100):
        env.step(np.zeros((2, 6)))
        sunk.append(env.state()[:, 9:17])
    free = np.array(sunk)[:, :, [0, 2, 4, 5, 6, 7]]
    # by weight over stiffness, 1.38 kg * 9.81 m/s² / 150 N/m, and not to the stop at 0.15 m
    np.testing.assert_allclose(free[-1], -1.3836 * 9.81 / 150, atol=0.01)
    assert np.array(sunk).min() > -0.2
    swing = np.ptp(np.array(sunk)[10:40, :, 3], axis=0)
    assert swing[1] < 0.5 * swing[0], "damping calms a block"
