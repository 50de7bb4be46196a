"""Signals of orientation and of what motion costs, against MuJoCo and hand arithmetic; all with other arrays."""

import json

import mujoco
import numpy as np
import pytest

from metarl.envs import BatchEnv, OwnRobot

from .test_array_api import Elsewhere, as_strict, as_torch

MJCF = """<mujoco><compiler angle="radian"/><worldbody>
  <geom name="floor" type="plane" size="2 2 .1"/>
  <body name="trunk" pos="0 0 .3"><freejoint/><geom name="trunk" size=".1"/>
    <body name="leg" pos="0 .1 0"><joint name="hip" axis="0 1 0" range="-1 .6"/><geom size=".03" pos=".2 0 0"/>
      <body name="shank" pos=".3 0 0"><joint name="knee" type="slide" axis="0 0 1"/><geom name="foot" size=".04"/>
    </body></body></body>
  <body name="goal" pos="1 2 .5" euler=".3 -.4 2"/></worldbody>
  <actuator><motor name="hip" joint="hip" gear="3" ctrlrange="-1 1"/><motor name="knee" joint="knee" ctrlrange="-2 2"/>
  </actuator></mujoco>"""
SEEN = [
    {"signal": "heading", "of": ["trunk", "goal"]}, {"signal": "orientation_error", "from": "trunk", "to": "goal"},
    {"signal": "beyond_limits", "share": 0.5}, {"signal": "joint_acceleration"}, {"signal": "actuator_power"},
    {"signal": "offset", "from": "trunk", "to": "goal", "frame": "body"},
]  # fmt: skip
OTHERS = [
    {"signal": "joint_position"}, {"signal": "joint_position_from_home"}, {"signal": "joint_sin_cos", "joints": "hip"},
    {"signal": "body_velocity", "of": ["trunk", "leg"], "axes": "xz", "frame": "body"},
    {"signal": "body_gravity", "of": "leg"}, {"signal": "body_upright", "of": "trunk"},
    {"signal": "clock", "period": 1},
    {"signal": "distance", "from": "trunk", "to": "goal"}, {"signal": "action"}, {"signal": "contact", "of": "foot"},
    {"signal": "contact_force", "of": ["foot", "trunk"], "against": "floor"}, {"signal": "slip", "of": "foot"},
    {"signal": "air_time", "of": "foot"}, {"signal": "command"}, {"signal": "parameter", "parameters": "course"},
]  # fmt: skip
REWARD = {
    "course": {"signal": "heading", "of": "trunk", "shape": "square", "target": "course", "weight": -1},
    "told": {"signal": "body_velocity", "of": "trunk", "axes": "xy", "shape": "exp_squared", "target": ["forward", 0.1],
             "tolerance": 0.5, "weight": 1},
    "change": {"signal": "action_change", "shape": "norm", "weight": -1},
    "landing": {"signal": "landing_air_time", "of": "foot", "threshold": 0.01, "weight": 1,
                "times": [{"signal": "command", "shape": "beyond", "tolerance": 0.1}]},
} | {shape: {"signal": "joint_velocity", "shape": shape, "target": 0.1, "weight": 1}
     for shape in ("linear", "absolute", "above", "below")
} | {shape: {"signal": "joint_velocity", "shape": shape, "tolerance": 2, "weight": 1}
     for shape in ("exp", "tanh", "within")}  # fmt: skip
ROBOT = {
    "name": "Leg", "mjcf": "leg.xml", "control": {"rate": 50}, "observation": SEEN + OTHERS, "reward": REWARD,
    "start": {"bodies": {"trunk": {"yaw": [-3, 3], "roll": 0.2, "velocity": {"z": [-0.5, 0.5], "yaw": [-1, 1]}}},
              "pose": {"hip": [-0.9, 0.5]}},
    "termination": {"fallen": {"signal": "body_upright", "of": "trunk", "below": 0.5, "reward": -3},
                    "low": {"signal": "body_position", "of": "trunk", "axes": "z", "below": 0.15}},
    "commands": {"values": {"forward": {"low": -1, "high": 1}}},
    "parameters": {"course": {"default": 3, "low": -3.1, "high": 3.1}},
}  # fmt: skip


@pytest.fixture(scope="module")
def robot(tmp_path_factory):
    folder = tmp_path_factory.mktemp("leg")
    (folder / "leg.xml").write_text(MJCF)
    (folder / "robot.yaml").write_text(json.dumps(ROBOT))
    return OwnRobot(str(folder))


def test_orientation_limits_power_and_acceleration_are_those_of_mujoco(robot):
    """Of the state before the last physics step, which is simulated once more."""
    env = BatchEnv(robot, 6)
    env.reset(seed=0)
    rng, names = np.random.default_rng(0), [entry.name for entry in robot.observation_names()]
    for _ in range(8):
        action, starts = rng.uniform(-1, 1, (6, 2)).astype(np.float32), env.batch.state.copy()
        observation, *_ = env.step(action)
        for i in range(6):
            model = env.model_of(i)
            data = mujoco.MjData(model)
            mujoco.mj_setState(model, data, starts[i], mujoco.mjtState.mjSTATE_INTEGRATION)
            data.ctrl[:] = action[i] * [1, 2]
            for _ in range(robot.frame_skip):
                mujoco.mj_step(model, data)
            seen, matrix = dict(zip(names, observation[i], strict=True)), data.body("trunk").xmat.reshape(3, 3)
            between = np.zeros(3)
            mujoco.mju_subQuat(between, data.body("goal").xquat, data.body("trunk").xquat)
            assert seen["trunk heading"] == pytest.approx(np.arctan2(matrix[1, 0], matrix[0, 0]), abs=1e-9)
            assert seen["goal heading"] == pytest.approx(np.arctan2(*data.body("goal").xmat[[3, 0]]), abs=1e-9)
            assert seen["angle from trunk to goal"] == pytest.approx(np.linalg.norm(between), abs=1e-7)
            offset = matrix.T @ (data.body("goal").xpos - data.body("trunk").xpos)
            found = [seen[f"goal from trunk {axis} in its frame"] for axis in "xyz"]
            np.testing.assert_allclose(found, offset, atol=1e-9)
            for k, name in enumerate(("hip", "knee")):
                power = data.actuator_force[k] * data.actuator_velocity[k]
                assert seen[f"{name} power"] == pytest.approx(power, abs=1e-9)
                assert seen[f"{name} acceleration"] == pytest.approx(data.qacc[6 + k], abs=1e-6)
            q = env.batch.bind("qpos")[i, 7]  # half of -1 to 0.6 is free: -0.6 to 0.2
            assert seen["hip beyond its limits"] == pytest.approx(max(q - 0.2, -0.6 - q, 0), abs=1e-12)
            assert seen["knee beyond its limits"] == 0


def test_an_angle_is_the_short_way_from_its_target(robot):
    env = BatchEnv(robot, 2)
    env.reset(seed=1, options={"tasks": robot.space.tasks(course=[3.0, -3.0])})
    _, _, _, _, info = env.step(np.zeros((2, 2)))
    names = [entry.name for entry in robot.observation_names()]
    heading = robot.observe(env.batch, None)[:, names.index("trunk heading")]
    for i, course in enumerate((3.0, -3.0)):
        turned = np.arctan2(np.sin(heading[i] - course), np.cos(heading[i] - course))
        assert info["reward_terms"]["course"][i] == pytest.approx(-(turned**2), rel=1e-9)
    assert (np.abs(heading - [3.0, -3.0]) > np.pi).any()  # one of them is the other way


@pytest.mark.parametrize(("convert", "tolerance"), [(as_torch, 1e-12), (as_strict, 0.0)], ids=["torch", "strict"])
def test_all_is_the_same_with_the_arrays_of_another_library(robot, convert, tolerance):
    env = BatchEnv(robot, 5)
    env.reset(seed=1)
    sim, other, rng = env.batch, Elsewhere(env.batch, convert), np.random.default_rng(0)
    for _ in range(6):
        before, before_there = robot.before(sim), robot.before(other)
        env.step(rng.uniform(-1, 1, (5, 2)))
        values, there = env.parameters, convert(env.parameters)
        pairs = {"observation": (robot.observe(other, None), robot.observe(sim, None)),
                 "terminated": (robot.terminated(other, there), robot.terminated(sim, values))}  # fmt: skip
        terms = robot.reward_terms(sim, None, before, env.batch.bind("ctrl"), values)
        found = robot.reward_terms(other, None, before_there, other.bind("ctrl"), there)
        for name, (one, expected) in (pairs | {name: (found[name], terms[name]) for name in terms}).items():
            assert isinstance(one, type(there)), name
            np.testing.assert_allclose(np.asarray(one), expected, rtol=tolerance, atol=tolerance, err_msg=name)
