"""Hopper and Walker2d with random bodies, and the crippled ant: models edited by hand, bodies that can exist or not."""

import mujoco
import numpy as np
import pytest

from metarl.envs import BatchEnv
from metarl.envs.checks import assert_effective, assert_physical
from metarl.envs.families.ant_crippled import AntCrippled
from metarl.envs.families.rand_params import HopperRandParams, Walker2dRandParams
from metarl.envs.family import endless

ROBOTS = (HopperRandParams, Walker2dRandParams)
N = 3


def edited(family, task: np.ndarray) -> mujoco.MjModel:
    """The default model with one task written into it, from the names of the parameters."""
    model = family.build()
    for name, value in zip(family.space.names, task, strict=True):
        kind, _, element = name.partition("_")
        axis = slice(None)
        if kind == "inertia" and element[:2] in ("x_", "y_", "z_"):
            axis, element = "xyz".index(element[0]), element[2:]
        if kind in ("torsional", "rolling"):
            element = element.removeprefix("friction_")
        if kind == "mass":
            model.body(element).mass[:] *= value
        elif kind == "inertia":
            model.body(element).inertia[axis] *= value
        elif kind == "damping":
            model.joint(element).damping[:] *= value
        else:
            model.geom(element).friction[("friction", "torsional", "rolling").index(kind)] *= value
    mujoco.mj_setConst(model, mujoco.MjData(model))
    return model


def crippled(family, task: np.ndarray) -> mujoco.MjModel:
    """The ant with the leg that grows from the body aux_<leg> dead and of half its size."""
    model, leg = family.build(), int(task[0]) + 1
    if leg:
        shin = model.body(f"aux_{leg}").id
        for motor in range(model.nu):
            if model.joint(model.actuator_trnid[motor, 0]).name in (f"hip_{leg}", f"ankle_{leg}"):
                model.actuator_gear[motor] = 0
        for body in (shin, shin + 1):
            model.body_mass[body] /= 8
            model.body_inertia[body] /= 32
            model.body_ipos[body] /= 2
            model.geom_size[body] /= 2  # a geom a body, of the same number
            model.geom_pos[body] /= 2
        model.body_pos[shin + 1] /= 2
        mujoco.mj_setConst(model, mujoco.MjData(model))
    return model


@pytest.mark.slow
@pytest.mark.parametrize(
    ("family", "edit"),
    [(HopperRandParams(), edited), (Walker2dRandParams(), edited), (HopperRandParams(published=True), edited),
     (Walker2dRandParams(published=True), edited), (AntCrippled(), crippled)],
    ids=["hopper", "walker", "hopper-published", "walker-published", "ant"],
)  # fmt: skip
def test_a_batch_is_a_loop_over_models_edited_by_hand(family, edit):
    env = BatchEnv(endless(family), N, autoreset_mode="Disabled")
    tasks = env.space.sample(N, "train", np.random.default_rng(2))
    env.reset(seed=0, options={"tasks": tasks})
    models = [edit(family, task) for task in tasks.values]
    datas = [mujoco.MjData(model) for model in models]
    for model, data, row in zip(models, datas, env.state(), strict=True):
        data.qpos[:], data.qvel[:] = np.split(row, [model.nq])
        mujoco.mj_forward(model, data)
    for action in np.random.default_rng(0).uniform(-1, 1, (80, N, env.model.nu)):
        env.step(action)
        for i, (model, data) in enumerate(zip(models, datas, strict=True)):
            data.ctrl[:] = action[i]
            mujoco.mj_step(model, data, nstep=family.frame_skip)
        np.testing.assert_array_equal(env.state(), [np.concatenate([d.qpos, d.qvel]) for d in datas])


@pytest.mark.slow
@pytest.mark.parametrize("kind", [*ROBOTS, AntCrippled])
def test_every_task_is_physical_finite_and_leaves_no_trace(kind):
    env = BatchEnv(kind(), 12)
    stock = env.family.build()
    for split in ["train", "held_out"] + ["extrapolation"] * (kind is not AntCrippled):
        env.reset(seed=0, options={"tasks": env.space.sample(12, split, np.random.default_rng(0))})
        for i in range(12):
            assert_physical(env.model_of(i))
        rng = np.random.default_rng(0)
        for _ in range(150):
            observation, _, _, _, info = env.step(rng.uniform(-1, 1, (12, env.model.nu)))
            assert np.isfinite(observation).all() and not info["diverged"].any()
    env.reset(seed=0, options={"tasks": env.space.default().repeat(12)})
    model = env.model_of(11)
    arrays = [n for n in dir(stock) if isinstance(getattr(stock, n), np.ndarray)]
    assert [n for n in arrays if not np.array_equal(getattr(model, n), getattr(stock, n))] == []


@pytest.mark.parametrize("kind", ROBOTS)
def test_published_tasks_have_bodies_that_cannot_exist(kind):
    env = BatchEnv(kind(published=True), 20)
    env.reset(seed=0, options={"tasks": env.space.sample(20, "train", np.random.default_rng(0))})
    for i in range(20):
        with pytest.raises(ValueError, match="no body has the principal inertias"):
            assert_physical(env.model_of(i))


@pytest.mark.parametrize("kind", ROBOTS)
def test_the_valid_form_moves_as_the_published_one(kind):
    """The same factors, those about x and z being drawn apart in one of them: the same trajectory."""
    valid, published = (BatchEnv(kind(published=p), N, autoreset_mode="Disabled") for p in (False, True))
    factors = valid.space.sample(N, "train", np.random.default_rng(0))
    drawn = published.space.sample(N, "train", np.random.default_rng(1))
    values = {name: column.copy() for name, column in zip(drawn.names, drawn.values.T, strict=True)}
    for name, column in zip(factors.names, factors.values.T, strict=True):
        values[name.replace("inertia_", "inertia_y_")] = column
    for name in values:  # of limbs that touch the ground only after a fall
        if name.startswith("friction") and name not in factors.names:
            values[name] = np.ones(N)
    published.reset(seed=0, options={"tasks": published.space.tasks(**values)})
    valid.reset(seed=0, options={"tasks": factors})
    for action in np.random.default_rng(0).uniform(-1, 1, (25, N, valid.model.nu)):
        a, b = valid.step(action)[0], published.step(action)[0]
    np.testing.assert_allclose(a, b, atol=1e-6)
    assert (valid.space.dim, published.space.dim) in [(13, 34), (23, 58)]


@pytest.mark.slow
def test_every_parameter_of_the_valid_form_has_an_effect_and_many_published_ones_have_none():
    assert_effective(HopperRandParams(), steps=40, backgrounds=2)
    assert_effective(Walker2dRandParams(), steps=40, backgrounds=2)
    assert_effective(AntCrippled(), steps=20)
    with pytest.raises(ValueError, match="no effect on the trajectory of inertia_x_torso; inertia_z_torso; .*rolling"):
        assert_effective(HopperRandParams(published=True), steps=40, backgrounds=1)


@pytest.mark.parametrize("kind", ROBOTS)
def test_factors_have_the_published_ranges(kind):
    for p in kind().space.parameters:
        base = 1.3 if p.name.startswith("damping") else 1.5
        assert (p.default, p.distribution) == (1.0, "log_uniform")
        np.testing.assert_allclose([p.low, p.high], [base**-3, base**3])


def test_one_leg_is_kept_for_testing():
    space = AntCrippled().space
    drawn = {s: set(space.sample(500, s, np.random.default_rng(0)).values[:, 0]) for s in ("train", "held_out")}
    assert drawn == {"train": {-1, 0, 1, 2}, "held_out": {3}}
    env = BatchEnv(AntCrippled(), 1)
    env.reset(seed=0)
    _, reward, terminated, _, info = env.step(np.ones((1, 8)))
    assert reward == info["reward_terms"]["forward"] + 0.05 and not terminated
