"""MuJoCo Warp behind the same environments, on Warp's CPU device: what is Batch's stays Batch's but for float32.

All families are compared in test_warp_families.py; these are few, for each kind of model costs half a minute of
compiling where Warp's kernel cache is empty.
"""

import importlib.util
import re

import numpy as np
import pytest

from metarl.envs import BatchEnv, Parameter, TaskSpace, Write, make, make_family
from metarl.envs.families.half_cheetah import HalfCheetahDir
from metarl.envs.warp import GPU, Warp
from metarl.util.errors import UserError

from .test_quantities import Reach

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]
needs_warp = pytest.mark.skipif(not GPU.installed(), reason=f"needs the extra gpu: {GPU.command}")
CPU = Warp(device="cpu")


class Everything(HalfCheetahDir):
    """A half-cheetah with a parameter of each kind: what it weighs and meets, its motors, its air, its wires."""

    name = "Everything"
    space = TaskSpace("Everything", (
        Parameter("direction", "1", "", 1.0, "choice", choices=(-1.0, 1.0)),
        Parameter("mass", "1", "", 1.0, "uniform", 0.5, 2.0, writes=Write("mass")),
        Parameter("friction", "1", "", 1.0, "uniform", 0.1, 2.0, writes=Write("friction")),
        Parameter("damping", "1", "", 1.0, "uniform", 0.5, 2.0, writes=Write("damping")),
        Parameter("gear", "1", "", 1.0, "uniform", 0.5, 1.5, writes=Write("gear")),
        Parameter("payload", "kg", "", 0.0, "uniform", 0.0, 3.0, writes=Write("payload", "bfoot", at=(0.1, 0.0, 0.0))),
        Parameter("limb", "1", "", 1.0, "uniform", 0.8, 1.2, writes=Write("limb_length", "bthigh")),
        Parameter("gravity", "m/s²", "", 0.0, "uniform", -2.0, 2.0, writes=Write("gravity", mode="add", axis="z")),
        Parameter("density", "kg/m³", "", 0.0, "uniform", 0.0, 5.0, writes=Write("density", mode="set")),
        Parameter("wind", "m/s", "", 0.0, "uniform", -3.0, 3.0, writes=Write("wind", axis="x")),
        Parameter("delay", "steps", "", 0, "choice", choices=(0, 1, 2), writes=Write("action_delay")),
        Parameter("hold", "steps", "", 1, "choice", choices=(1, 2), writes=Write("control_period")),
        Parameter("noise", "1", "", 0.0, "uniform", 0.0, 0.1, writes=Write("observation_noise", (0, 1, 9))),
        Parameter("bias", "1", "", 0.0, "uniform", 0.0, 0.1, writes=Write("observation_bias", (2,))),
        Parameter("late", "steps", "", 0, "choice", choices=(0, 1, 3), writes=Write("observation_delay", (3,))),
        Parameter("lost", "1", "", 0.0, "uniform", 0.0, 0.3, writes=Write("observation_dropout")),
        Parameter("broken", "1", "", -1, "choice", choices=(-1, 0, 3), onset=5,
                  writes=Write("strength", ("bthigh", "bshin", "bfoot", "fthigh"), mode="pick", factor=0.0)),
    ))  # fmt: skip


def everything():
    family = Everything()
    return family, family.space.sample(24, "train", np.random.default_rng(3))


@needs_warp
def test_a_step_under_every_kind_of_variation_equals_batchs():
    from warp_parity import one_step_errors

    one_step_errors(*everything(), steps=25).check()


@needs_warp
@pytest.mark.parametrize("mode", ["NextStep", "SameStep", "Disabled"])
def test_resets_and_ends_of_episodes_are_batchs(mode):
    from warp_parity import one_step_errors

    family, tasks = everything()
    one_step_errors(family, tasks, steps=12, forever=False, autoreset_mode=mode, horizon=5).check()


@needs_warp
def test_a_family_that_terminates_equals_batchs():
    from warp_parity import one_step_errors

    family = make_family("HopperRandParams")
    errors = one_step_errors(
        family, family.space.sample(24, "train", np.random.default_rng(0)), steps=40, forever=False,
        autoreset_mode="NextStep",
    )  # fmt: skip
    errors.check()


@needs_warp
def test_tasks_and_starts_are_the_same_and_runs_repeat():
    runs = []
    for _ in range(2):
        env = make("HalfCheetahMass", 4, physics=CPU)
        tasks = env.space.sample(4, "train", np.random.default_rng(0))
        found = [env.reset(seed=3, options={"tasks": tasks})[0]]
        found += [env.step(np.full((4, 6), 0.1 * t))[0] for t in range(5)]
        runs.append(found)
    np.testing.assert_array_equal(*runs)
    batch = make("HalfCheetahMass", 4)
    np.testing.assert_allclose(runs[0][0], batch.reset(seed=3, options={"tasks": tasks})[0], atol=1e-6)


@needs_warp
def test_a_mocap_body_is_where_the_task_has_it():
    env = BatchEnv(Reach(keyframe=0, onset=1), 2, physics=CPU)
    env.reset(seed=0, options={"tasks": env.space.tasks(x=[1, 4])})
    assert [env.step(np.zeros((2, 1)))[0].tolist() for _ in range(2)] == [[[1, 1], [1, 1]], [[1, 1], [4, 4]]]


@needs_warp
def test_a_diverged_world_ends_and_the_others_do_not_notice():
    def run(fault):
        env = make("HalfCheetahDir", 4, physics=CPU, autoreset_mode="Disabled")
        env.reset(seed=0)
        found = []
        for t in range(12):
            if fault and t == 4:
                env.batch.bind("qvel")[2, 1] = np.nan
            observation, reward, terminated, _, info = env.step(np.sin(np.arange(24.0).reshape(4, 6) + t))
            assert np.isfinite(observation).all() and np.isfinite(reward).all()
            assert info["diverged"].tolist() == [False, False, bool(fault and t == 4), False]
            assert terminated[2] == bool(fault and t >= 4)
            found.append(observation)
        return np.array(found)[:, [0, 1, 3]]

    np.testing.assert_array_equal(run(False), run(True))


@needs_warp
def test_contacts_without_room_end_the_run_with_the_number_that_would_do():
    def fall(physics):
        env = make("HalfCheetahDir", 3, physics=physics)
        env.reset(seed=0)
        for _ in range(30):
            env.step(np.zeros((3, 6)))

    message = r"^env.warp.nconmax: got 1, expected (\d+): HalfCheetahDir has more contacts, and MuJoCo Warp would drop"
    with pytest.raises(UserError, match=message) as found:
        fall(Warp(device="cpu", nconmax=1))
    enough = int(re.search(r"expected (\d+)", str(found.value))[1])
    fall(Warp(device="cpu", nconmax=enough))
    message = r"^env.warp.njmax: got 4, expected (\d+): HalfCheetahDir has more rows of constraints"
    with pytest.raises(UserError, match=message):
        fall(Warp(device="cpu", njmax=4))


class Ice(HalfCheetahDir):
    name = "Ice"
    space = TaskSpace("Ice", (
        Parameter("direction", "1", "", 1.0, "choice", choices=(-1.0, 1.0)),
        Parameter("friction", "1", "", 1.0, "uniform", 0.0, 1.0, writes=Write("friction")),
    ))  # fmt: skip


@needs_warp
def test_friction_of_nearly_nothing_equals_batchs_or_is_refused():
    from warp_parity import ELLIPTIC, one_step_errors, with_options

    def tasks(*friction):
        return Ice.space.tasks(direction=np.ones(20), friction=np.repeat(friction, 20 // len(friction)))

    one_step_errors(with_options(Ice(), **ELLIPTIC), tasks(1e-2, 1e-3, 1e-6, 0.0), steps=25).check()
    env = make(Ice(), 20, physics=CPU)
    env.reset(seed=0, options={"tasks": tasks(1.0, 0.026)})  # 0.4 times it
    assert not any(env.step(env.action_space.sample())[4]["diverged"].any() for _ in range(20))
    message = "^Ice: the friction of geom 'floor' would be less than 0.01, where MuJoCo Warp's float32 diverges; narrow"
    with pytest.raises(UserError, match=message):
        env.reset(options={"tasks": tasks(1.0, 0.02)})
        env.step(np.zeros((20, 6)))


@needs_warp
def test_what_warp_has_once_for_all_worlds_is_refused_by_family_and_field():
    env = BatchEnv(make_family("HalfCheetahDir"), 2, physics=CPU)
    message = (
        "^HalfCheetahDir: MuJoCo Warp has geom_condim once for all simulations, so that no task can change it; use"
        r" env.physics mujoco"
    )
    with pytest.raises(ValueError, match=message):
        env.batch.expand("geom_condim")
    with pytest.raises(ValueError, match="^HalfCheetahDir: MuJoCo Warp has no qposs of each simulation.*'qpos'"):
        env.batch.bind("qposs")
    several = make_family("MetaWorldML10")
    with pytest.raises(ValueError, match=r"^MetaWorldML10: its tasks have several models, Warp.* steps one; leave"):
        several.make_env(2, physics=CPU)


def test_a_missing_extra_or_gpu_is_said_in_a_line(monkeypatch):
    with monkeypatch.context() as patched:
        patched.setattr(importlib.util, "find_spec", lambda name: None)
        with pytest.raises(UserError, match="^env.physics warp needs the package mujoco_warp, which is not inst"):
            CPU.require()
    if GPU.installed():
        import warp

        if not warp.is_cuda_available():
            expected = "^env.warp.device: got cuda, expected cpu: Warp finds no NVIDIA GPU with a driver here; METARL_W"
            with pytest.raises(UserError, match=expected):
                make("HalfCheetahDir", 2, physics=Warp())


def test_the_environment_may_name_another_device(monkeypatch):
    assert Warp.of("cuda", nconmax=3) == Warp("cuda", nconmax=3)
    monkeypatch.setenv("METARL_WARP_DEVICE", "cpu")
    assert Warp.of("cuda", nconmax=3) == Warp("cpu", nconmax=3)
    monkeypatch.setenv("METARL_WARP_DEVICE", "tpu")
    with pytest.raises(UserError, match="^METARL_WARP_DEVICE: got 'tpu', expected cuda or cpu$"):
        Warp.of("cpu")


def test_the_gpu_is_that_of_the_rank(monkeypatch):
    torch = pytest.importorskip("torch")
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert (Warp("cuda").place, Warp("cpu").place) == ("cuda:0", "cpu")
    for name, value in {"MASTER_ADDR": "localhost", "LOCAL_WORLD_SIZE": "2", "LOCAL_RANK": "1"}.items():
        monkeypatch.setenv(name, value)
    assert (Warp("cuda").place, Warp("cpu").place) == ("cuda:1", "cpu")
