"""`TensorEnv` is a BatchEnv of Warp's, with tensors for arrays."""

import dataclasses

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from metarl.envs import BatchEnv, MissingExtra, Parameter, TaskSpace, Write, make_family  # noqa: E402
from metarl.envs.arrays import as_numpy  # noqa: E402
from metarl.envs.families.half_cheetah import HalfCheetahDir  # noqa: E402
from metarl.envs.sensing import Sensing, stacked  # noqa: E402
from metarl.envs.warp import GPU, Warp  # noqa: E402

pytestmark = [
    pytest.mark.slow, pytest.mark.timeout(600),
    pytest.mark.skipif(not GPU.installed(), reason=f"needs the extra gpu: {GPU.command}"),
]  # fmt: skip
CPU, N = Warp(device="cpu"), 6


class Late(HalfCheetahDir):
    name = "Late"
    space = TaskSpace("Late", (
        Parameter("direction", "1", "", 1.0, "choice", choices=(-1.0, 1.0)),
        Parameter("mass", "1", "", 1.0, "uniform", 0.5, 2.0, writes=Write("mass")),
        Parameter("delay", "steps", "", 0, "choice", choices=(0, 1, 2), writes=Write("action_delay")),
        Parameter("gear", "1", "", 1.0, "uniform", 0.5, 1.5, writes=Write("gear"), onset=3),
    ))  # fmt: skip


class Sensed(Late):
    """All that becomes of what is observed, and controls that are held."""

    name = "Sensed"
    space = TaskSpace("Sensed", (
        *Late.space.parameters,
        Parameter("period", "steps", "", 1, "choice", choices=(1, 2, 3), writes=Write("control_period")),
        Parameter("noise", "1", "", 0.0, "uniform", 0.0, 0.5, writes=Write("observation_noise", (0, 2, 5)), onset=2),
        Parameter("bias", "1", "", 0.0, "uniform", -0.5, 0.5, writes=Write("observation_bias", (1, 2))),
        Parameter("lag", "steps", "", 0, "choice", choices=(0, 1, 3), writes=Write("observation_delay", (3, 4))),
        Parameter("loss", "1", "", 0.0, "uniform", 0.0, 0.8, writes=Write("observation_dropout", (2, 3, 6))),
    ))  # fmt: skip
    sensing = Sensing(
        (("observation_noise", 0.2, (7, 8)), ("observation_delay", 2.0, (9,)), ("observation_dropout", 0.3, (10,))),
        np.full(17, -0.6), np.full(17, 0.8), np.linspace(0.5, 2.0, 17), *stacked([(5, 1), (6, 4), (6, 2)]),
    )  # fmt: skip


def beside_each_other(family, horizon, steps, fault=None, compiled=False):
    """Yields, step by step, what a TensorEnv and a BatchEnv return from the same states."""
    from metarl.envs.warp.tensor_env import TensorEnv

    tensors = TensorEnv(family, N, physics=CPU, horizon=horizon, compiled=compiled)
    arrays = BatchEnv(family, N, physics=CPU, horizon=horizon, autoreset_mode="SameStep")
    tasks = family.space.sample(N, "train", np.random.default_rng(0))
    first, _ = tensors.reset(seed=0, options={"tasks": tasks})
    np.testing.assert_allclose(first, arrays.reset(seed=0, options={"tasks": tasks})[0], atol=1e-6)
    rng = np.random.default_rng(1)
    for t in range(steps):
        action = rng.uniform(-1.2, 1.2, arrays.action_space.shape)
        if fault is not None and t == fault:
            tensors.batch.bind("qvel")[2, 1] = arrays.batch.bind("qvel")[2, 1] = np.nan
        yield tensors.step(torch.as_tensor(action, dtype=torch.float32)), arrays.step(action)
        for name in ("qpos", "qvel", "qacc_warmstart", "ctrl", "time"):
            tensors.batch.bind(name)[:] = arrays.batch.bind(name)


def check(family, horizon, steps, **kinds):
    ends = diverged = 0
    for found, expected in beside_each_other(family, horizon, steps, **kinds):
        observation, reward, terminated, truncated, info = found
        for tensor, array in ((observation, expected[0]), (reward, expected[1])):
            assert tensor.dtype == torch.float32
            np.testing.assert_allclose(tensor, array, rtol=1e-3, atol=1e-3)
        np.testing.assert_array_equal(terminated, expected[2])
        np.testing.assert_array_equal(truncated, expected[3])
        np.testing.assert_array_equal(info["diverged"], expected[4]["diverged"])
        for name, term in info["reward_terms"].items():
            np.testing.assert_allclose(term, expected[4]["reward_terms"][name], rtol=1e-3, atol=1e-3)
        for i in np.flatnonzero(expected[4].get("_final_obs", [])):
            np.testing.assert_allclose(info["final_obs"][i], expected[4]["final_obs"][i], rtol=1e-3, atol=1e-3)
            ends += 1
        diverged += int(info["diverged"].sum())
    return ends, diverged


each_family = pytest.mark.parametrize("family", [Late(), Sensed()], ids=lambda family: family.name)


@each_family
def test_steps_ends_delays_and_onsets_are_the_same(family):
    assert check(family, horizon=5, steps=12) == (2 * N, 0)


@each_family
def test_divergence_ends_an_episode(family):
    assert check(family, horizon=9, steps=8, fault=4) == (1, 1)
    assert check(family, horizon=5, steps=8, fault=4) == (N, 1)  # at the time limit


@pytest.mark.whole
@pytest.mark.parametrize("name", ["HalfCheetahVel", "Go1Velocity"])
def test_what_is_compiled_computes_the_same(name):
    try:
        assert check(make_family(name), horizon=5, steps=8, fault=6, compiled=True)[1] == 1
    except MissingExtra as missing:
        pytest.skip(str(missing))


@pytest.mark.whole
@pytest.mark.parametrize("name", ["Go1Velocity", "Go1Fault"])
def test_go1_is_the_same(name):
    try:
        assert check(make_family(name), horizon=6, steps=14)[0] >= 2 * N
    except MissingExtra as missing:
        pytest.skip(str(missing))


@pytest.mark.whole
def test_a_robot_of_ones_own_is_the_same(tmp_path):
    """Commands, pushes, contact times, noise: with tensors as in NumPy, and the draws are those of Batch."""
    from sled import sled

    robot = sled(tmp_path)
    ends, _ = check(robot, horizon=12, steps=26)
    assert ends >= 2 * N
    tasks = robot.space.sample(N, "train", np.random.default_rng(0))
    warp, batch = (BatchEnv(robot, N, physics=physics, autoreset_mode="Disabled") for physics in (CPU, None))
    first, expected = (env.reset(seed=0, options={"tasks": tasks})[0] for env in (warp, batch))
    np.testing.assert_allclose(first, expected, atol=1e-5)
    course = slice(0, warp.model.nuserdata - 6)  # without times in the air
    for _ in range(12):
        for env in (warp, batch):
            env.step(np.zeros((N, 1)))
        memory = as_numpy(warp.batch.bind("userdata"))
        np.testing.assert_allclose(memory[:, course], batch.batch.bind("userdata")[:, course], rtol=1e-6)
    assert len(np.unique(memory[:, :3])) == 3 * N and (memory[:, 3] == 12).all()


class Falls(Sensed):
    """Ends where the torso is low, and is solved where it is high."""

    name = "Falls"
    space = dataclasses.replace(Sensed.space, family="Falls")

    def terminated(self, sim, values):
        return sim.bind("qpos")[:, 1] < -0.17

    def solved(self, sim, derived, values):
        return sim.bind("qpos")[:, 1] > 0.03


def test_what_has_ended_stays_as_it_was_until_it_is_reset():
    """Episodes of different lengths, one that diverges, and a reset of some: masks, last observations and successes."""
    from metarl.envs.warp.tensor_env import TensorEnv

    family, settings = Falls(), {"physics": CPU, "horizon": 12, "autoreset_mode": "Disabled"}
    tensors, arrays = TensorEnv(family, N, **settings), BatchEnv(family, N, **settings)
    tasks = family.space.sample(N, "train", np.random.default_rng(0))
    for env in (tensors, arrays):
        env.reset(seed=0, options={"tasks": tasks})
    rng, ended, solved = np.random.default_rng(1), [], 0
    for t in range(20):
        if t == 4:
            tensors.batch.bind("qvel")[2, 1] = arrays.batch.bind("qvel")[2, 1] = np.nan
        if t == 14:
            options = {"reset_mask": np.arange(N) < 2}
            found, expected = (env.reset(options=options)[0] for env in (tensors, arrays))
            np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-3)
        action = rng.uniform(-1, 1, arrays.action_space.shape)
        observation, reward, *ends, info = tensors.step(torch.as_tensor(action, dtype=torch.float32))
        expected = arrays.step(action)
        np.testing.assert_allclose(observation, expected[0], rtol=1e-3, atol=1e-3)
        np.testing.assert_allclose(reward, expected[1], rtol=1e-3, atol=1e-3)
        np.testing.assert_array_equal(torch.stack(ends), expected[2:4])
        for name in ("diverged", "success"):
            np.testing.assert_array_equal(info[name], expected[4][name])
        going = ~(expected[2] | expected[3])
        for name in ("qpos", "qvel", "qacc_warmstart", "ctrl", "time"):
            tensors.batch.bind(name)[going] = as_numpy(arrays.batch.bind(name))[going]
        ended.append(int((~going).sum()))
        solved += int(info["success"].sum())
    assert 0 < ended[5] < N and ended[13] == N and ended[14] == N - 2 and solved > 0, (ended, solved)
    assert torch.isfinite(tensors.batch.bind("qvel")).all()  # what broke down goes on from the start


def test_a_reward_that_is_not_finite_is_refused():
    from metarl.envs.warp.tensor_env import TensorEnv

    class Infinite(Late):
        def reward_terms(self, sim, derived, qpos_before, ctrl, values):
            return {"speed": 1 / (0 * values[:, 0])}

    env = TensorEnv(Infinite(), N, physics=CPU)
    env.reset(seed=0)
    with pytest.raises(ValueError, match="^reward term 'speed' of simulation 0 .* is inf though its physics is finite"):
        env.step(torch.zeros(N, 6))
