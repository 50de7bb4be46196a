"""What a policy sees of a robot from YAML: noise, delay, dropout, limits, scale and history, by hand."""

import numpy as np
import pytest

from metarl.envs import BatchEnv
from metarl.envs.own_robot.robot import OwnRobot
from metarl.util.safe_yaml import parse_yaml, write_yaml

MJCF = """
<mujoco>
  <option timestep="0.01" gravity="0 0 0"/>
  <worldbody>
    <body><joint name="a" type="slide" axis="1 0 0"/><geom size=".1"/></body>
    <body><joint name="b" type="slide" axis="0 1 0"/><geom size=".1"/></body>
  </worldbody>
  <actuator><motor name="a" joint="a" ctrlrange="-9 9"/><motor name="b" joint="b" ctrlrange="-9 9"/></actuator>
  <keyframe><key name="home" qpos=".3 -.2"/></keyframe>
</mujoco>
"""
ROBOT = """
name: Two
mjcf: two.xml
control: {rate: 50}
start: {keyframe: home}
observation: [{signal: joint_position_from_home}]
reward: {far: {signal: joint_position_from_home, shape: square, weight: 1}}
parameters: {mass: {default: 1, low: 0.5, high: 2, writes: {quantity: mass}}}
"""


@pytest.fixture
def robot(tmp_path):
    """The robot above with other sections."""
    (tmp_path / "two.xml").write_text(MJCF)

    def build(**sections) -> OwnRobot:
        path = tmp_path / "robot.yaml"
        path.write_text(write_yaml(parse_yaml(ROBOT) | sections))
        return OwnRobot(str(path))

    return build


def walk(env: BatchEnv, steps: int = 12) -> tuple[np.ndarray, np.ndarray]:
    """Observations (T + 1, N, O) and true positions (T + 1, N, 2) under random actions."""
    rng = np.random.default_rng(0)
    seen, true = [env.reset(seed=0)[0]], [env.batch.bind("qpos").copy()]
    for _ in range(steps):
        seen.append(env.step(rng.uniform(-1, 1, (env.num_envs, 2)))[0])
        true.append(env.batch.bind("qpos").copy())
    return np.array(seen), np.array(true)


def late(values: np.ndarray, steps: int) -> np.ndarray:
    """Values (T, ...) some steps old; at the beginning the first."""
    return values[np.maximum(np.arange(len(values)) - steps, 0)]


def test_limits_scale_and_history_are_by_hand(robot):
    observation = [
        {"signal": "joint_position_from_home", "history": 3},
        {"signal": "joint_position", "joints": "b", "clip": [-0.203, -0.199], "scale": 10.0, "history": 2},
        {"signal": "joint_position", "joints": "a", "delay": 2},
    ]
    own = robot(observation=observation)
    env = BatchEnv(own, 3, autoreset_mode="Disabled")
    seen, true = walk(env)
    rel = true - [0.3, -0.2]
    limited = 10 * np.clip(true[:, :, 1:], -0.203, -0.199)
    expected = [late(rel, 2), late(rel, 1), rel, late(limited, 1), limited, late(true[:, :, :1], 2)]
    np.testing.assert_array_equal(seen, np.concatenate(expected, axis=2))
    assert np.ptp(limited) == pytest.approx(0.04) and env.single_observation_space.shape == (9,)
    names = own.observation_names()
    assert [name.name for name in names[:6]] == [
        "a position from home, 2 steps ago", "b position from home, 2 steps ago", "a position from home, 1 steps ago",
        "b position from home, 1 steps ago", "a position from home", "b position from home"]  # fmt: skip
    assert names[7].unit == "m / 0.1" and names[7].source.startswith("10 * (clip(qpos[1], -0.20")
    assert len({name.name for name in names}) == 9


@pytest.mark.parametrize("mode", ["NextStep", "SameStep"])
def test_a_history_begins_anew_with_an_episode(robot, mode):
    observation = [{"signal": "joint_position", "history": 4}, {"signal": "joint_position", "delay": 3}]
    env = BatchEnv(robot(observation=observation, horizon=5), 2, autoreset_mode=mode)
    seen, true = walk(env, 23)
    first = (true[:, 0] == [0.3, -0.2]).all(axis=1)
    starts = np.flatnonzero(first)
    assert len(starts) > 3
    for start in starts[1:]:
        np.testing.assert_array_equal(seen[start, 0], np.tile([0.3, -0.2], 5))
        if start + 1 < len(seen):
            np.testing.assert_array_equal(seen[start + 1, 0, :6], np.tile([0.3, -0.2], 3))
            np.testing.assert_array_equal(seen[start + 1, 0, 6:8], true[start + 1, 0])


def test_noise_is_fixed_in_all_tasks_and_stays_in_the_history(robot):
    observation = [{"signal": "joint_position", "noise": 0.1, "scale": 2.0, "history": 2}, {"signal": "joint_velocity"}]
    seen, true = walk(BatchEnv(robot(observation=observation), 400, autoreset_mode="Disabled"), 10)
    errors = seen[:, :, 2:4] / 2 - true
    assert 0.097 < errors.std() < 0.103 and abs(errors.mean()) < 0.003
    np.testing.assert_array_equal(seen[1:, :, :2], seen[:-1, :, 2:4])  # what was seen, not seen again with other noise
    assert abs(np.corrcoef(errors[:, :, 0].ravel(), errors[:, :, 1].ravel())[0, 1]) < 0.05
    assert abs(np.corrcoef(errors[1:].ravel(), errors[:-1].ravel())[0, 1]) < 0.05


def test_dropout_repeats_what_was_last_seen(robot):
    observation = [{"signal": "joint_position", "dropout": 0.25}]
    seen, true = walk(BatchEnv(robot(observation=observation), 300, autoreset_mode="Disabled"), 20)
    lost = (seen[1:] == seen[:-1]).all(axis=2)
    np.testing.assert_array_equal(seen[1:][~lost], true[1:][~lost])
    assert 0.23 < lost.mean() < 0.27


def test_a_delay_of_the_task_comes_on_top_of_the_one_in_all_tasks(robot):
    observation = [{"signal": "joint_position", "delay": 1}, {"signal": "joint_velocity"}]
    delay = {"quantity": "observation_delay", "elements": "a position"}
    own = robot(observation=observation, parameters={"late": {"default": 0, "choices": [0, 1, 4], "writes": delay}})
    env = BatchEnv(own, 3, autoreset_mode="Disabled")
    env.set_tasks(env.space.tasks(late=[0, 1, 4]))
    seen, true = walk(env)
    for i, steps in enumerate([1, 2, 5]):
        np.testing.assert_array_equal(seen[:, i, 0], late(true[:, i, 0], steps))
    np.testing.assert_array_equal(seen[..., 1], late(true[..., 1], 1))
    assert (seen[1:, :, 2:] != 0).all()


def test_parameters_name_what_they_disturb(robot):
    observation = [{"signal": "joint_velocity", "scale": 3.0}, {"signal": "joint_position"}]
    some = {"default": 0, "low": -1, "high": 1}
    late_ = {"quantity": "observation_delay", "elements": "a position"}
    parameters = {
        "wrong": some | {"writes": {"quantity": "observation_bias", "elements": "joint_position"}},
        "b": some | {"writes": {"quantity": "observation_bias", "elements": ["b pos*", 0]}},
        "late": {"default": 0, "choices": [0, 2], "writes": late_},
    }
    env = BatchEnv(robot(observation=observation, parameters=parameters), 2, autoreset_mode="Disabled")
    env.set_tasks(env.space.tasks(wrong=[0, 0.5], b=[0, 0.25], late=[0, 2]))
    seen, true = walk(env)
    np.testing.assert_array_equal(seen[:, 0, 2:], true[:, 0])
    np.testing.assert_allclose(seen[:, 1, 3], true[:, 1, 1] + 0.75, atol=1e-12)
    np.testing.assert_allclose(seen[:, 1, 2], late(true[:, 1, 0], 2) + 0.5, atol=1e-12)
    np.testing.assert_allclose(seen[0, :, 0], [0, 0.75])  # three times the bias: what is disturbed is scaled, too


def test_an_encoder_offset_is_felt_by_the_servo_as_well(robot):
    control = {"kind": "position", "kp": 30, "kd": 8, "limit": 50, "action_range": 0.5}
    writes = [{"quantity": "encoder_offset", "elements": "a"},
              {"quantity": "observation_bias", "elements": "a position"}]  # fmt: skip
    parameters = {"offset": {"unit": "m", "default": 0, "low": -0.2, "high": 0.2, "writes": writes}}
    own = robot(control=control, observation=[{"signal": "joint_position"}], parameters=parameters)
    env = BatchEnv(own, 2, autoreset_mode="Disabled", horizon=999)
    env.reset(seed=0, options={"tasks": own.space.tasks(offset=[0, 0.1])})
    for _ in range(800):
        observation, *_ = env.step(np.zeros((2, 2)))
    np.testing.assert_allclose(env.batch.bind("qpos"), [[0.3, -0.2], [0.2, -0.2]], atol=1e-4)
    np.testing.assert_allclose(observation, [[0.3, -0.2], [0.3, -0.2]], atol=1e-4)  # it believes to be at home


def test_choices_have_names(robot):
    dead = {"default": "none", "choices": ["none", "a", "b"], "held_out": "b", "description": "dead motor",
            "writes": {"quantity": "strength", "mode": "pick"}}  # fmt: skip
    own = robot(parameters={"dead": dead})
    parameter = own.space.parameters[0]
    assert (parameter.default, parameter.choices, parameter.held_out) == (-1, (-1, 0, 1), (1,))
    assert parameter.description == "dead motor (0: a, 1: b)"
    env = BatchEnv(own, 3)
    env.reset(seed=0, options={"tasks": own.space.tasks(dead=[-1, 0, 1])})
    assert env.batch.expand("actuator_gainprm")[:, :, 0].tolist() == [[1, 1], [0, 1], [1, 0]]


@pytest.mark.parametrize(
    ("sections", "line"),
    [
        ({"observation": [{"signal": "joint_position", "history": 0}]},
         "observation.0.history: got 0, expected a whole number of steps from 1 to 1000"),
        ({"observation": [{"signal": "joint_position", "clip": [1, 0]}]},
         "observation.0.clip: got [1, 0], expected [low, high]"),
        ({"observation": [{"signal": "joint_position", "noise": -1}]},
         "observation.0.noise: got -1, expected a number of at least 0"),
        ({"parameters": {"n": {"default": 0, "low": 0, "high": 1, "writes": {
            "quantity": "observation_noise", "elements": "joint_positio"}}}},
         "parameters.n.writes: got 'joint_positio', expected a signal, a name or an index of the observation (did you"),
        ({"parameters": {"d": {"default": "non", "choices": ["none", "a"], "writes": {
            "quantity": "strength", "mode": "pick"}}}},
         'parameters.d.default: got "non", expected one of the choices (did you mean \'none\'?)'),
        ({"parameters": {"d": {"default": "none", "choices": ["none", "c"], "writes": {
            "quantity": "strength", "mode": "pick"}}}}, "parameters.d.writes: the model has no actuator 'c'"),
    ],
)  # fmt: skip
def test_what_cannot_be_observed_is_told(robot, sections, line):
    with pytest.raises(ValueError) as refusal:
        robot(**sections)
    assert line in str(refusal.value)
