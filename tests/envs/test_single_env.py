"""The single environment passes both checkers; it renders; it is found by Gymnasium in a fresh process."""

import os
import subprocess
import sys
import warnings

import gymnasium
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env
from stable_baselines3.common.env_checker import check_env as sb3_check_env

from metarl.envs import SingleEnv, make, make_family, register


def run_python(code: str, **environment: str) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, "-c", code], env={**os.environ, **environment}, capture_output=True, text=True, timeout=200
    )


@pytest.mark.slow
def test_checkers_have_no_complaint(every_family):
    name, options = every_family
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        env = gymnasium.make(f"metarl/{name}-v0", **options)
        check_env(env.unwrapped, skip_render_check=True)
        sb3_check_env(SingleEnv(name, **options), warn=True, skip_render_check=True)


@pytest.mark.slow
def test_it_is_the_batch_with_one_simulation(every_family):
    name, options = every_family
    single = SingleEnv(name, horizon=8, **options)
    batch = make(name, 1, horizon=8, autoreset_mode="Disabled", **options)
    task = batch.space.sample(1, "train", np.random.default_rng(2))
    single.set_task(task)
    batch.set_tasks(task)
    a, b = single.reset(seed=4)[0], batch.reset(seed=4)[0]
    assert single.task == task
    for action in np.random.default_rng(0).uniform(-1, 1, (8, batch.model.nu)):
        np.testing.assert_array_equal(a, b[0])
        a, reward, terminated, truncated, info = single.step(action)
        b, *theirs, their_info = batch.step(action[None])
        assert [reward, terminated, truncated] == [x[0] for x in theirs]
        assert (type(reward), type(terminated), type(truncated)) == (float, bool, bool)
        assert info["diverged"] is False
        assert sum(info["reward_terms"].values()) == pytest.approx(reward)
        assert "_control" not in info["reward_terms"] and a.shape == single.observation_space.shape
    assert truncated


def test_np_random_is_the_stream_of_the_resets():
    env = SingleEnv("HalfCheetahDir")
    env.reset(seed=7)
    assert env.np_random_seed == 7
    state = env.np_random.bit_generator.state
    env.reset()
    assert env.np_random.bit_generator.state != state
    first = env.reset(seed=7)[0]
    assert not np.array_equal(env.reset()[0], first)
    np.testing.assert_array_equal(env.reset(seed=7)[0], first)


IDS = [
    "Navigation2D", "Navigation2DSparse", "Navigation2DWind", "HalfCheetahDir", "HalfCheetahVel", "HalfCheetahMass",
    "AntDir", "AntDir2D", "AntVel", "AntGoal", "Walker2dDir", "Walker2dVel", "SwimmerVel", "HumanoidDir", "ReacherGoal",
    "PusherGoal", "QuadrotorWind",
]


@pytest.mark.slow
def test_gymnasium_finds_every_id_in_a_fresh_process_without_a_warning():
    code = f"""
import gymnasium
for name in {IDS}:
    env = gymnasium.make(f"metarl.envs:metarl/{{name}}-v0", horizon=3)
    env.reset(seed=0); env.step(env.action_space.sample()); env.close()
    vector = gymnasium.make_vec(f"metarl.envs:metarl/{{name}}-v0", num_envs=3, horizon=3)
    observation, _ = vector.reset(seed=0)
    assert type(vector).__name__ == "BatchEnv" and len(observation) == 3
    for _ in range(5):
        vector.step(vector.action_space.sample())
    assert vector.spec.id == f"metarl/{{name}}-v0"
    vector.close()
    several = gymnasium.make_vec(f"metarl/{{name}}-v0", num_envs=2, vectorization_mode="sync")
    several.reset(seed=0); several.step(several.action_space.sample()); several.close()
"""
    run = run_python(code, PYTHONWARNINGS="error")
    assert (run.returncode, run.stderr) == (0, "")


def test_registering_again_is_harmless():
    before = gymnasium.spec("metarl/HalfCheetahDir-v0")
    register()
    assert gymnasium.spec("metarl/HalfCheetahDir-v0") is before


RENDER = """
import gymnasium, numpy as np, warnings
import metarl.envs
from gymnasium.utils.env_checker import check_env
for name, values in (("Navigation2D", {"goal_x": -0.4}), ("HalfCheetahMass", {"mass_scale": 2.0})):
    env = gymnasium.make(f"metarl/{name}-v0", render_mode="rgb_array", width=160, height=120)
    env.reset(seed=0)
    default = env.render()
    assert default.shape == (120, 160, 3) and default.dtype == np.uint8 and default.std() > 5
    np.testing.assert_array_equal(env.render(), default)
    env.unwrapped.set_task(env.unwrapped.space.tasks(**values))
    env.reset(seed=0)
    assert (env.render() != default).any(), "the picture shows the task"
    for _ in range(3):
        env.step(np.ones(env.action_space.shape, np.float32))
    assert (env.render() != default).any(), "and the motion"
    env.close()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        check_env(gymnasium.make(f"metarl/{name}-v0").unwrapped)
print("drawn")
"""


@pytest.mark.slow
def test_pictures_show_task_and_motion_or_say_what_is_missing():
    run = run_python(RENDER, MUJOCO_GL="egl")
    if "drawn" not in run.stdout:  # a machine without OpenGL
        assert "RuntimeError: cannot render without OpenGL" in run.stderr or "import mujoco" in run.stderr


def test_without_opengl_the_error_says_what_to_do(monkeypatch):
    env = SingleEnv("Navigation2D", render_mode="rgb_array")
    env.reset(seed=0)

    def broken(*args, **kwargs):
        raise AttributeError("'NoneType' object has no attribute 'eglQueryString'")

    monkeypatch.setattr("mujoco.Renderer", broken)
    with pytest.raises(RuntimeError, match="set MUJOCO_GL=egl before Python starts .*eglQueryString"):
        env.render()
    env.close()


def test_an_unknown_render_mode_is_refused():
    with pytest.raises(ValueError, match="unknown render_mode 'human'; this environment has 'rgb_array' or None"):
        SingleEnv("HalfCheetahDir", render_mode="human")
    assert SingleEnv(make_family("HalfCheetahDir")).render() is None


@pytest.mark.parametrize("scale", [1.0, 10.0])
def test_the_action_space_is_the_declared_scale(scale):
    space = SingleEnv("HalfCheetahDir", action_scale=scale).action_space
    assert (space.low.tolist(), space.high.tolist()) == ([-scale] * 6, [scale] * 6)
