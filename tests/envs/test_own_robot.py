"""Robots from YAML: against a plain loop of single simulations, under any valid file, one line for each fault."""

import copy
import hashlib
import json
import re
import subprocess
import sys
from pathlib import Path

import jsonschema
import mujoco
import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from metarl.envs import BatchEnv
from metarl.envs.checks import assert_effective
from metarl.envs.family import endless
from metarl.envs.own_robot.mjcf import Limits, compile_mjcf, read_files
from metarl.envs.own_robot.robot import OwnRobot
from metarl.envs.own_robot.schema import robot_json_schema
from metarl.util.safe_yaml import parse_yaml, write_yaml

MJCF = """
<mujoco model="leg">
  <option timestep="0.005"/>
  <worldbody>
    <geom name="floor" type="plane" size="5 5 .1"/>
    <body name="trunk" pos="0 0 0.5">
      <freejoint name="root"/>
      <geom name="trunk" type="box" size=".1 .08 .05" mass="2"/>
      <site name="imu"/>
      <body name="thigh" pos="0 0 -.05">
        <joint name="hip" axis="0 1 0" range="-60 60" damping=".5"/>
        <geom name="thigh" type="capsule" fromto="0 0 0 0 0 -.2" size=".03"/>
        <body name="foot" pos="0 0 -.2">
          <joint name="leg" type="slide" axis="0 0 1" range="-.1 .05" stiffness="300" damping="5"/>
          <geom name="foot" type="sphere" size=".04" pos="0 0 -.05"/>
          <site name="toe" pos="0 0 -.09"/>
        </body>
      </body>
    </body>
  </worldbody>
  <actuator><motor name="hip" joint="hip" gear="5" ctrlrange="-1 1"/></actuator>
  <sensor><gyro name="gyro" site="imu"/><touch name="touch" site="toe"/></sensor>
  <keyframe>
    <key name="home" qpos="0 0 0.35 1 0 0 0 0.2 0"/>
    <key name="high" qpos="0 0 0.45 1 0 0 0 0 0"/>
  </keyframe>
</mujoco>
"""
# one signal of each kind that there is
OBSERVATION = """
- {signal: joint_position, joints: [hip, leg]}
- {signal: joint_velocity}
- {signal: joint_sin_cos, joints: hip}
- {signal: sensor}
- {signal: body_position, of: [foot, imu], axes: xz}
- {signal: body_velocity, of: trunk}
- {signal: body_velocity, of: [trunk, toe], axes: zx, frame: body}
- {signal: body_angular_velocity, of: trunk, axes: xy, frame: body}
- {signal: body_orientation, of: trunk}
- {signal: body_gravity, of: trunk}
- {signal: body_upright, of: [trunk, foot]}
- {signal: offset, from: trunk, to: toe}
- {signal: distance, from: trunk, to: toe}
- {signal: action}
- {signal: actuator_force}
- {signal: actuator_velocity}
- {signal: clock, period: 0.7}
- {signal: parameter, parameters: speed}
"""
ROBOT = """
name: Leg
mjcf: leg.xml
horizon: 40
control: {kind: position, rate: 50, kp: 40, kd: 1, limit: {hip: 8, leg: 60}, action_range: 0.2}
start: {keyframe: home, position_noise: {hip: 0.1}, velocity_noise: 0.2}
reward:
  forward: {signal: body_velocity, of: trunk, axes: x, frame: body, shape: exp_squared, target: speed, tolerance: 0.5,
            weight: 2}
  drift: {signal: body_position, of: trunk, axes: xy, shape: absolute, target: [0.1, speed], weight: -0.5}
  effort: {signal: action, shape: square, weight: -0.1}
  jerk: {signal: action_change, shape: norm, weight: -0.3}
  alive: {signal: constant, weight: 1e-1}
termination:
  fallen: {signal: body_upright, of: trunk, below: 0.9}
  high: {signal: body_position, of: trunk, axes: z, above: 0.55, below: -1}
parameters:
  speed: {unit: m/s, default: 0, low: -1, high: 1, extrapolation: [[1, 2]]}
  load: {unit: kg, default: 0, low: 0, high: 1, writes: {quantity: payload, elements: trunk, at: [0, 0.02, 0.1]}}
  legs: {default: 1, low: 0.8, high: 1.3, writes: [{quantity: limb_length, elements: thigh}]}
  motor: {default: -1, choices: [-1, 0, 1], held_out: 1, onset: 10,
          writes: {quantity: strength, elements: [hip, leg], mode: pick, factor: 0.5}}
  delay: {unit: steps, default: 0, choices: [0, 1], writes: {quantity: action_delay}}
"""


def robot() -> dict:
    return parse_yaml(ROBOT) | {"observation": parse_yaml(OBSERVATION)}


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("leg")
    (folder / "leg.xml").write_text(MJCF)
    (folder / "robot.yaml").write_text(ROBOT + "observation:" + OBSERVATION)
    return folder


def write(folder: Path, data: dict | str, name: str = "other.yaml") -> Path:
    text = data if isinstance(data, str) else write_yaml(data)
    (folder / name).write_text(text)
    return folder / name


def refused(path: Path, **limits) -> list[str]:
    """What is said of a robot that cannot be, a line for each fault, without the name of the file."""
    with pytest.raises(ValueError) as refusal:
        type("Limited", (OwnRobot,), {"limits": Limits(**limits)})(path)
    lines = str(refusal.value).splitlines()
    assert all(line.startswith(f"{path}: ") and line.isprintable() and len(line) < 600 for line in lines), lines
    return [line.removeprefix(f"{path}: ") for line in lines]


class Plain:
    """One simulation of the robot above, in plain MuJoCo: its actuators, payload and rewards written out by hand."""

    def __init__(self, task: dict[str, float], qpos, qvel):
        spec = mujoco.MjSpec.from_string(MJCF)
        spec.delete(spec.actuators[0])
        for name, limit in (("hip", 8.0), ("leg", 60.0)):
            servo = spec.add_actuator(name=name, target=name, trntype=mujoco.mjtTrn.mjTRN_JOINT)
            servo.set_to_position(kp=40, kv=1)
            servo.forcelimited, servo.forcerange = True, [-limit, limit]
        for key in spec.keys:
            key.ctrl = [key.qpos[7], 0]
        self.model, self.task, self.elapsed = spec.compile(), task, 0
        self.data = mujoco.MjData(self.model)
        mujoco.mj_resetDataKeyframe(self.model, self.data, 0)
        self.data.qpos[:], self.data.qvel[:] = qpos, qvel
        mujoco.mj_forward(self.model, self.data)
        self.sent, self.ctrl = np.array([0.2, 0.0]), np.array([0.2, 0.0])

    def step(self, action):
        if self.elapsed == 10 and self.task["motor"] >= 0:
            servo = int(self.task["motor"])
            for field in (self.model.actuator_gainprm, self.model.actuator_biasprm):
                field[servo, :3] *= 0.5
            self.model.actuator_forcerange[servo] *= 0.5
        ctrl = np.clip(action * 0.2 + [0.2, 0.0], np.array([0.2, 0.0]) - 0.2, np.array([0.2, 0.0]) + 0.2)
        now = self.sent if self.task["delay"] else ctrl
        before, self.sent, self.ctrl = self.ctrl, ctrl, now
        self.data.ctrl[:] = now
        for _ in range(4):
            mujoco.mj_step(self.model, self.data)
        self.elapsed += 1
        trunk = self.data.body("trunk")
        velocity = np.zeros(6)
        mujoco.mj_objectVelocity(self.model, self.data, mujoco.mjtObj.mjOBJ_XBODY, trunk.id, velocity, 1)
        effort, was = (now - [0.2, 0.0]) / 0.2, (before - [0.2, 0.0]) / 0.2
        return {
            "forward": 2 * np.exp(-(((velocity[3] - self.task["speed"]) / 0.5) ** 2)),
            "drift": -0.5 * (abs(trunk.xpos[0] - 0.1) + abs(trunk.xpos[1] - self.task["speed"])),
            "effort": -0.1 * (effort**2).sum(),
            "jerk": -0.3 * np.sqrt(((effort - was) ** 2).sum()),
            "alive": 0.1,
        }, bool(trunk.xmat[8] < 0.9 or trunk.xpos[2] > 0.55)


@pytest.mark.slow
def test_it_is_a_loop_of_single_simulations(folder):
    """States bit for bit; rewards and observations, which are written otherwise here, to rounding."""
    robot = OwnRobot(folder)
    env = BatchEnv(endless(robot), 6, autoreset_mode="Disabled", num_threads=2)
    tasks = env.space.tasks(speed=[0, 0.5, -1, 0, 0.3, 0], motor=[-1, 0, 1, -1, 0, 1], delay=[0, 0, 1, 1, 1, 0])
    first, _ = env.reset(seed=3, options={"tasks": tasks})
    qpos, qvel = env.batch.bind("qpos").copy(), env.batch.bind("qvel").copy()
    plain = [Plain(dict(zip(tasks.names, row, strict=True)), *start)
             for row, *start in zip(tasks.values, qpos, qvel, strict=True)]  # fmt: skip
    assert (np.abs(qpos[:, 7] - 0.2) <= 0.1).all() and len(set(qpos[:, 7])) == 6 and (qpos[:, 8] == 0).all()
    assert len(env.family.observation_names()) == first.shape[1] == env.single_observation_space.shape[0]
    rng = np.random.default_rng(0)
    for step in range(40):
        actions = rng.uniform(-1.2, 1.2, (6, 2))
        observation, _, _, truncated, info = env.step(actions)
        terminated = robot.terminated(env.batch, env.parameters)
        for i, one in enumerate(plain):
            terms, ended = one.step(actions[i])
            assert np.array_equal(one.data.qpos, env.batch.bind("qpos")[i]), (step, i)
            for name, value in terms.items():
                assert info["reward_terms"][name][i] == pytest.approx(value, rel=1e-12, abs=1e-15), (name, step)
            assert terminated[i] == ended
        assert truncated.all() == (step == 39)
    for i in range(6):
        data, model = env.data_of(i), env.model_of(i)
        data.sensordata[:] = env.batch.bind("sensordata")[i]
        fields = {name: getattr(data, name) for name in ("qpos", "qvel", "ctrl", "sensordata", "time")}
        fields |= {name: env.batch.bind(name)[i] for name in ("actuator_force", "actuator_velocity")}
        fields |= {"numeric_data": model.numeric_data, "opt": model.opt}
        fields |= {n: getattr(np, n) for n in ("cos", "sin", "sqrt")}
        expected = [eval(entry.source, {}, fields) for entry in env.family.observation_names()]
        np.testing.assert_allclose(observation[i], expected, rtol=1e-14, atol=1e-15)


def test_what_is_seen_of_bodies_is_what_mujoco_says(folder):
    env = BatchEnv(OwnRobot(folder), 1)
    observation, _ = env.reset(seed=0)
    model, data = env.model_of(0), env.data_of(0)
    mujoco.mj_forward(model, data)
    seen = dict(zip((entry.name for entry in env.family.observation_names()), observation[0], strict=True))
    trunk, velocity = data.body("trunk"), np.zeros(6)
    mujoco.mj_objectVelocity(model, data, mujoco.mjtObj.mjOBJ_XBODY, trunk.id, velocity, 1)
    expected = {
        "foot position z": data.body("foot").xpos[2], "trunk velocity z in its frame": velocity[5],
        "trunk spin y in its frame": velocity[1], "trunk gravity x": -trunk.xmat[6], "trunk upright": trunk.xmat[8],
        "toe from trunk x": data.site("toe").xpos[0] - trunk.xpos[0], "hip cosine": np.cos(data.qpos[7]),
        "distance of toe from trunk": np.linalg.norm(data.site("toe").xpos - trunk.xpos), "clock cosine": 1.0,
        "speed": 0.0, "hip action": 0.0, "gyro 1": data.sensor("gyro").data[1],
    }  # fmt: skip
    for name, value in expected.items():
        assert seen[name] == pytest.approx(value, abs=1e-12), name


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["NextStep", "SameStep"])
def test_a_simulation_does_not_know_how_many_there_are(folder, mode):
    robot = OwnRobot(folder)
    tasks = robot.space.sample(9, "train", np.random.default_rng(1))
    actions = np.random.default_rng(2).uniform(-1, 1, (60, 9, 2))
    recorded = {}
    for ids in (range(9), (4,)):
        env = BatchEnv(robot, len(ids), autoreset_mode=mode, num_threads=len(ids) % 4)
        env.reset(seed=[10 + i for i in ids], options={"tasks": tasks[list(ids)]})
        steps = [env.step(action[list(ids)])[:3] for action in actions]
        recorded[len(ids)] = [np.concatenate([np.reshape(part[list(ids).index(4)], -1) for part in s]) for s in steps]
    assert np.array_equal(recorded[9], recorded[1])


@pytest.mark.slow
def test_the_first_step_pays_for_what_is_not_observed(folder):
    data = robot()
    data["reward"] = {"force": {"signal": "actuator_force", "shape": "square", "weight": 1}}
    data["parameters"].pop("speed")
    paid = []
    for signal in ("joint_position", "actuator_force"):
        data["observation"] = [{"signal": signal}]
        env = BatchEnv(OwnRobot(write(folder, data)), 2)
        env.reset(seed=0)
        paid.append(env.step(np.ones((2, 2)))[1])
    assert np.array_equal(*paid) and (paid[0] > 1).all()


def test_every_parameter_does_something_and_goals_are_told(folder):
    robot = OwnRobot(folder)
    assert_effective(robot, steps=30)
    env = BatchEnv(robot, 2, autoreset_mode="Disabled")
    column = [entry.name for entry in robot.observation_names()].index("speed")
    observation, _ = env.reset(seed=0, options={"tasks": robot.space.tasks(speed=[0.25, -0.5])})
    assert observation[:, column].tolist() == [0.25, -0.5]


@pytest.mark.slow
def test_actuators_are_kept_or_replaced_by_motors(folder):
    data = robot()
    data["observation"] = [{"signal": "action"}]
    data["parameters"].pop("motor")
    data["control"] = {"rate": 100, "scale": 0.5}
    kept = OwnRobot(write(folder, data))
    assert kept.frame_skip == 2 and kept.build().actuator_gear[0, 0] == 5
    assert [float(bound[0]) for bound in kept.control_range(kept.build())] == [-0.5, 0.5]
    data["control"] = {"kind": "torque", "limit": 3, "joints": "h*"}
    motors = OwnRobot(write(folder, data)).build()
    assert motors.actuator_ctrlrange.tolist() == [[-3, 3]] and motors.actuator(0).name == "hip"
    free = mujoco.MjData(motors)
    free.ctrl[:] = 2.0
    mujoco.mj_forward(motors, free)
    assert free.qfrc_actuator[motors.joint("hip").dofadr[0]] == 2.0


def test_every_fault_is_told_at_once(folder):
    data = robot()
    data["horizont"] = data.pop("horizon")
    data["control"] |= {"rate": 60, "kp": -1}
    data["start"]["keyframe"] = "hom"
    data["observation"][0] = {"signal": "joint_position", "joints": ["hipp"]}
    data["observation"][1] = {"signal": "body_velocty", "of": "trunk"}
    data["reward"]["effort"] |= {"shape": "squared", "weight": True}
    data["termination"]["fallen"] = {"signal": "body_upright", "of": "trunc"}
    data["parameters"]["speed"]["low"] = 2
    data["parameters"]["load"]["writes"]["quantity"] = "paylod"
    data["parameters"]["legs"].pop("default")
    assert sorted(refused(write(folder, data))) == [
        "control.kp: got -1, expected a number above 0, or {name or pattern: number}",
        "control.rate: got 60, expected a rate that divides the 200 physics steps a second, such as 50, 66.6667",
        "horizont: unknown key \"horizont\"; known keys: name, mjcf, description, horizon, state_limit, camera, "
        "control, start, parameters, commands, pushes, observation, reward, termination, success (did you mean "
        "'horizon'?)",
        "observation.0.joints: got [\"hipp\"], expected names of joints (did you mean 'hip'?)",
        'observation.1.signal: got "body_velocty", expected another name (did you mean \'body_velocity\'?)',
        "parameters.legs.default: got nothing, expected a number",
        "parameters.load.writes.quantity: got \"paylod\", expected another name (did you mean 'payload'?)",
        "parameters.speed: need finite low < high, got 2.0, 1.0",
        "reward.effort.shape: got \"squared\", expected another name (did you mean 'square'?)",
        "reward.effort.weight: got true, expected a number",
        "start.keyframe: got \"hom\", expected one of the keyframes (did you mean 'home'?)",
        "termination.fallen.above: got no bound, expected below, above or both",
        "termination.fallen.of: got \"trunc\", expected names of bodies or sites (did you mean 'trunk'?)",
    ]  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize(
    ("change", "line"),
    [
        ({"spare": {"default": 0, "low": 0, "high": 1}},
         "parameters.spare: nothing uses it: let it write a quantity, or be the target of a reward term"),
        ({"load": {"default": 0, "low": 0, "high": 1, "writes": {"quantity": "payload", "elements": "trunkk"}}},
         "parameters.load.writes: the model has no body 'trunkk' (did you mean 'trunk'?)"),
        ({"load": {"default": 1, "low": 0, "high": 1, "writes": {"quantity": "payload", "elements": "trunk"}}},
         "parameters.load.writes: the default must be 0 for mode 'add'"),
        ({"delay": {"default": 0, "low": 0, "high": 2, "writes": {"quantity": "action_delay"}}},
         "parameters: parameter delay: action_delay needs a choice of whole steps from 0 on"),
        ({"noise": {"default": 0, "low": 0, "high": 1, "writes": {"quantity": "observation_noise", "elements": 99}}},
         "parameters: parameter noise: observation_noise needs indices of the 45 entries of the observation, got"
         " (99,)"),
        ({"motor": {"default": -1, "choices": [-1, 0], "onset": "when",
                    "writes": {"quantity": "strength", "elements": "hip", "mode": "pick"}},
          "when": {"default": 9, "choices": [9], "onset": 3}},
         "parameters: parameter motor: its onset 'when' has an onset itself"),
        ({"load": {"default": 0, "low": 0, "high": 1, "onset": "never", "writes": {"quantity": "payload"}}},
         "parameters.load.onset: got 'never', expected a step or a parameter (choices: speed, legs, motor, delay)"),
    ],
)  # fmt: skip
def test_parameters_are_checked_against_the_model(folder, change, line):
    data = robot()
    data["parameters"] |= change
    assert refused(write(folder, data)) == [line]


PICKED = {"default": "none", "choices": ["none", "hip"], "writes": {"quantity": "strength", "mode": "pick"}}


@pytest.mark.parametrize(
    ("change", "line"),
    [
        ({"speed": {"extrapolation": [1, [2, 3]]}}, ".speed.extrapolation: got [1, [2, 3]], expected intervals [[low,"),
        ({"motor": PICKED | {"held_out": [["hip"]]}}, '.motor.held_out: got ["hip"], expected one of the choices (did'),
        ({"motor": PICKED | {"default": [["hip"]]}}, '.motor.default: got ["hip"], expected one of the choices (did'),
        ({"motor": PICKED | {"default": None}}, ".motor.default: got nothing, expected one of the choices (did you"),
        ({"speed": {"mean": 0, "std": 1}}, ".speed: got mean with distribution 'uniform', expected it with normal;"),
        ({"speed": {"held_out": 0.5}}, ".speed: got held_out with distribution 'uniform', expected it with choice"),
        ({"delay": {"low": 0}}, ".delay: got low with distribution 'choice', expected it with uniform or log_uniform"),
        ({"legs": {"distribution": "log_uniform", "extrapolation": [[-1, 0.8]]}}, ".legs: log_uniform needs low > 0"),
        ({"legs": {"writes": {"quantity": "mass", "at": [0, 0, 9]}}}, ".legs.writes: mass: got at, expected it with"),
        ({"legs": {"writes": {"quantity": "mass", "factor": 3}}}, ".legs.writes: mass: got factor in mode 'scale'"),
    ],
)
def test_parameters_that_are_not_what_they_say_are_told_in_a_line(folder, change, line):
    data = robot()
    for name, entry in change.items():
        known = data["parameters"].get(name, {})
        data["parameters"][name] = entry if "choices" in entry else known | entry
    (told,) = refused(write(folder, data))
    assert told.startswith(f"parameters{line}")


def test_as_many_targets_as_numbers(folder):
    data = robot()
    data["reward"]["drift"]["target"] = [1, 2, 3]
    data["reward"]["effort"]["target"] = [0, 0]
    data["reward"]["sensed"] = {"signal": "sensor", "weight": 1, "target": [1, 2]}
    assert refused(write(folder, data)) == [
        "reward.drift.target: got 3 values, expected 1 or 2", "reward.sensed.target: got 2 values, expected 1 or 4"
    ]  # fmt: skip


BOMB = "<mujoco><worldbody><replicate count='30000' offset='1 0 0'><body><geom size='.1'/></body></replicate>" \
       "</worldbody></mujoco>"  # fmt: skip
LARGE = "<mujoco><asset><texture name='t' type='2d' builtin='flat' width='32000' height='32000'/></asset></mujoco>"
DEEP = "<mujoco><worldbody>" + "<body>" * 5000 + "</body>" * 5000 + "</worldbody></mujoco>"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("mjcf", "limits", "line"),
    [
        (BOMB, {"cpu": 1}, "bad.xml: compiling it took more than 1 s of processor time; look for a <size>, <"),
        (BOMB, {"wall": 1.0}, "bad.xml: compiling it took more than 1 s; look for a <size>, <replicate>"),
        (LARGE, {"memory": 2 << 30}, "bad.xml: compiling it took more than 2 GiB of memory"),
        ("<mujoco><worldbody>", {}, "bad.xml: not valid XML: no element found: line 1, column 19"),
        ("<mujoco><worlbody/></mujoco>", {}, "bad.xml: XML Error: Schema violation: unrecognized element"),
        (DEEP, {}, "bad.xml: XML parse error"),
        ("<robot name='urdf'/>", {}, "bad.xml: got URDF, expected MJCF"),
        ("<mujoco/>", {}, "bad.xml: got a model without joints"),
        ("<mujoco><size nuserdata='999999'/></mujoco>", {}, "bad.xml: got nuserdata = 999999, expected at most 100000"),
        ("<!DOCTYPE x [<!ENTITY a 'b'>]><mujoco/>", {}, "bad.xml: got a document type declaration"),
        ("<mujoco><asset><mesh file='no.stl'/></asset></mujoco>", {}, "bad.xml: Error: Error opening file 'no.stl'"),
        ("<mujoco><include file='../../x.xml'/></mujoco>", {}, "bad.xml: '../../x.xml' is outside of the"),
        ("<mujoco><asset><hfield name='h' file='/etc/passwd'/></asset></mujoco>", {},
         "bad.xml: got the path '/etc/passwd', expected one inside the robot's folder"),
        ("<mujoco><compiler meshdir='C:/x'/></mujoco>", {}, "bad.xml: got the path 'C:/x', expected one inside"),
        ("<mujoco><include file='link.xml'/></mujoco>", {}, "bad.xml: 'link.xml' is a link out of the robot's folder"),
    ],
    ids=lambda value: value[:25] if isinstance(value, str) else None,
)  # fmt: skip
def test_an_mjcf_that_cannot_be_is_told_in_one_line(folder, mjcf, limits, line):
    (folder / "bad.xml").write_text(mjcf)
    if not (folder / "link.xml").is_symlink():
        (folder / "link.xml").symlink_to(Path(__file__))
    (told,) = refused(write(folder, robot() | {"mjcf": "bad.xml"}), **limits)
    assert told.startswith(f"mjcf: {line}"), told


REPEATED = "<worldbody><replicate count='{}'><replicate count='{}'>{}</replicate></replicate></worldbody>"


@pytest.mark.parametrize(
    ("inside", "line"),
    [
        (REPEATED.format(10**8, 1, ""), "got 100,000,002 elements, expected at most 100,000 of a robot; look for"),
        (REPEATED.format(300, 300, "<body><geom/></body>"), "got 180,302 elements, expected at most"),
        (REPEATED.format(2, 2, "<geom/>" * 30_000), "got 100,004 elements, expected at most"),
        (REPEATED.format("9" * 400, 1, ""), "got 100,003 elements, expected at most"),
        ("<worldbody><flexcomp count='2000 2000 1' type='grid'/></worldbody>", "got 4,000,002 elements, expected"),
        ("<worldbody><composite count='99999999 1 1'/></worldbody>", "got 100,000,001 elements, expected"),
        ("<size nkey='20000'/>", "got nkey = 20000, expected at most 10000 of a robot (<size>)"),
        ("<size nuser_geom='1001'/>", "got nuser_geom = 1001, expected at most 1000 of a robot (<size>)"),
    ],
    ids=lambda value: value[:60] if value.startswith("<") else "",
)
def test_an_mjcf_that_asks_for_too_much_is_refused_before_it_is_compiled(tmp_path, inside, line):
    (tmp_path / "big.xml").write_text(f"<mujoco>{inside}</mujoco>")
    with pytest.raises(ValueError, match=f"^big.xml: {re.escape(line)}"):
        read_files(tmp_path, "big.xml")


def test_what_a_robot_asks_for_is_no_fault(tmp_path):
    inside = REPEATED.format(20, 50, "<geom size='.1'/>") + REPEATED.format("two", -3, "") + "<size nkey='-1'/>"
    (tmp_path / "robot.xml").write_text(f"<mujoco>{inside}</mujoco>")
    assert read_files(tmp_path, "robot.xml").contents


def test_a_crash_of_the_compiler_is_told(folder, monkeypatch, tmp_path):
    child = tmp_path / "child.py"
    child.write_text("import os, signal; os.kill(os.getpid(), signal.SIGSEGV)")
    monkeypatch.setattr("metarl.envs.own_robot.mjcf._CHILD", child)
    (folder / "bad.xml").write_text(MJCF + "<!-- never compiled before -->")
    (told,) = refused(write(folder, robot() | {"mjcf": "bad.xml"}))
    assert told.startswith("mjcf: bad.xml: MuJoCo's compiler crashed on it (SIGSEGV)")


def several_files(tmp_path: Path) -> None:
    (tmp_path / "parts" / "meshes").mkdir(parents=True)
    main = "<mujoco><compiler meshdir='parts/meshes'/><include file='parts/body.xml'/></mujoco>"
    (tmp_path / "main.xml").write_text(main)
    (tmp_path / "parts" / "body.xml").write_text(
        "<mujoco><asset><mesh name='m' file='tetrahedron.obj'/></asset>"
        "<worldbody><body><joint name='j'/><geom type='mesh' mesh='m'/></body></worldbody></mujoco>"
    )
    corners = "v 0 0 0\nv 1 0 0\nv 0 1 0\nv 0 0 1\nf 1 3 2\nf 1 2 4\nf 1 4 3\nf 2 3 4\n"
    (tmp_path / "parts" / "meshes" / "tetrahedron.obj").write_text(corners)
    (tmp_path / "unused.txt").write_text("not of the robot")


@pytest.mark.slow
def test_an_mjcf_of_several_files_compiles_where_it_is(tmp_path):
    several_files(tmp_path)
    files = read_files(tmp_path, "main.xml")
    assert sorted(files.contents) == ["main.xml", "parts/body.xml", "parts/meshes/tetrahedron.obj"]
    assert len(compile_mjcf(files)) > 1000


OLD = {"joint_sin_cos": "joint_direction", "body_angular_velocity": "body_spin", "signal: constant": "signal: one",
       "exp_squared": "near", "action_range": "reach"}  # fmt: skip


def test_the_names_of_before_mean_the_same(folder):
    text = ROBOT + "observation:" + OBSERVATION
    for new, old in OLD.items():
        assert new in text
        text = text.replace(new, old)
    new, old = OwnRobot(folder), OwnRobot(write(folder, text))
    assert old.digest != new.digest and old.observation_names() == new.observation_names()
    assert np.array_equal(old.control_range(old.build()), new.control_range(new.build()))
    steps = []
    for robot_ in (new, old):
        env = BatchEnv(robot_, 3)
        env.set_tasks(env.space.sample(3, "train", np.random.default_rng(0)))
        steps.append([env.reset(seed=0)[0], *env.step(np.full((3, 2), 0.4))[:2]])
    assert all(np.array_equal(a, b) for a, b in zip(*steps, strict=True))
    both = robot()
    both["control"]["reach"] = 0.1
    assert refused(write(folder, both)) == ["control.reach: got it beside action_range, its name of today"]


OPENS = """
import json, os, sys
from collections import Counter
from pathlib import Path
folder, copy = (os.path.realpath(path) for path in sys.argv[1:])
opens = Counter()
def note(event, arguments):
    if event == "open" and isinstance(arguments[0], str) and os.path.realpath(arguments[0]).startswith(folder + os.sep):
        opens[os.path.relpath(os.path.realpath(arguments[0]), folder)] += 1
sys.addaudithook(note)
from metarl.envs import BatchEnv
from metarl.envs.own_robot.robot import OwnRobot
robot = OwnRobot(folder)
for n in (1, 4):
    BatchEnv(robot, n).reset(seed=0)
robot.copy_to(Path(copy))
print(json.dumps(opens))
"""


@pytest.mark.slow
def test_each_file_of_a_robot_is_opened_once(tmp_path):
    """From the description to environments and the copy in a run; the compiler reads copies elsewhere."""
    several_files(tmp_path)
    data = robot() | {"mjcf": "main.xml", "observation": [{"signal": "joint_position"}]}
    data |= {"control": {"kind": "torque", "limit": 1}, "start": {}, "termination": {}}
    data["reward"] = {"far": {"signal": "joint_position", "weight": 1, "target": "speed"}}
    data["parameters"] = {"speed": data["parameters"]["speed"]}
    write(tmp_path, data, "robot.yaml")
    command = [sys.executable, "-c", OPENS, str(tmp_path), str(tmp_path.with_name("copy"))]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    files = ["main.xml", "parts/body.xml", "parts/meshes/tetrahedron.obj", "robot.yaml"]
    assert json.loads(done.stdout) == dict.fromkeys(files, 1)
    copied = tmp_path.with_name("copy")
    assert {p.relative_to(copied).as_posix() for p in copied.rglob("*.*")} == set(files)
    assert OwnRobot(copied).digest == OwnRobot(tmp_path).digest


def test_the_digest_is_of_names_and_content_and_can_be_asked_for(folder):
    """Run folders hold digests: how they are made does not change."""
    robot_ = OwnRobot(folder)
    files = {name: hashlib.sha256((folder / name).read_bytes()).hexdigest() for name in ("leg.xml", "robot.yaml")}
    lines = "".join(f"{name}\0{content}\n" for name, content in files.items())
    assert robot_.digest == hashlib.sha256(lines.encode()).hexdigest()
    assert list(robot_.files) == ["robot.yaml", "leg.xml"] and OwnRobot(folder, robot_.digest).name == "Leg"
    with pytest.raises(ValueError, match=f"its files have changed: got digest {robot_.digest[:16]}..., expected 0000"):
        OwnRobot(folder, "0" * 64)


SCHEMA = jsonschema.Draft202012Validator(robot_json_schema())


def test_robots_are_valid_by_the_json_schema():
    SCHEMA.check_schema(SCHEMA.schema)
    shipped = list((Path(__file__).parents[2] / "configs").rglob("robot.yaml"))
    assert shipped
    for data in (robot(), *(parse_yaml(file.read_text()) for file in shipped)):
        assert [error.message for error in SCHEMA.iter_errors(data)] == []
    text = json.dumps(SCHEMA.schema)
    for word in ("Control rate, Hz", "Stiffness, N m/rad", "m/s", '"exclusiveMinimum": 0', '"maximum": 1000000'):
        assert word in text


@pytest.mark.slow
@pytest.mark.parametrize(
    ("place", "value"),
    [
        (("horizont",), 3), (("horizon",), 0), (("horizon",), "long"), (("name",), "two words"), (("reward",), {}),
        (("control", "kp"), -1), (("control", "scale"), 0.5), (("control", "kind"), "force"), (("control", "kp"), None),
        (("observation", 0, "signal"), "joint_positions"), (("observation", 0, "joins"), "hip"),
        (("observation", 16, "period"), 0), (("observation", 3, "of"), "trunk"), (("observation",), []),
        (("observation", 5, "axes"), "xw"), (("observation", 5, "frame"), "camera"),
        (("reward", "effort", "shape"), "squared"), (("reward", "effort", "weight"), "heavy"),
        (("reward", "effort", "tolerance"), 1), (("reward", "forward", "tolerance"), None),
        (("termination", "fallen", "below"), None), (("parameters", "speed", "default"), None),
        (("parameters", "speed", "distribution"), "beta"), (("parameters", "load", "writes", "quantity"), "mas"),
        (("parameters", "legs", "writes", 0, "modes"), "add"), (("parameters", "a b"), {"default": 0}),
    ],
)  # fmt: skip
def test_mistakes_are_found_by_the_json_schema_as_by_the_reader(folder, place, value):
    """None: the key is not there. An editor underlines what the reader would refuse."""
    data = robot()
    within = data
    for key in place[:-1]:
        within = within[key]
    if value is None:
        del within[place[-1]]
    else:
        within[place[-1]] = value
    assert list(SCHEMA.iter_errors(data))
    assert refused(write(folder, data))


quick = {"deadline": None, "suppress_health_check": [HealthCheck.function_scoped_fixture],
         "phases": [Phase.explicit, Phase.reuse, Phase.generate]}  # fmt: skip
entries = st.sampled_from(parse_yaml(OBSERVATION))
weights = st.floats(-10, 10, allow_nan=False)
shapes = st.sampled_from(["linear", "absolute", "square", "norm", "above", "below"])


@pytest.mark.slow
@given(
    more=st.lists(entries, max_size=5),
    terms=st.lists(st.tuples(entries, weights, shapes, st.floats(-2, 2)), min_size=1, max_size=4),
    low=st.floats(-1, 0), width=st.floats(0.1, 2), rate=st.sampled_from([25, 50, 100, 200]), seed=st.integers(0, 99),
)  # fmt: skip
@settings(max_examples=25, **quick)
def test_any_valid_robot_builds_and_steps(folder, more, terms, low, width, rate, seed):
    data = robot()
    data["observation"] += copy.deepcopy(more)
    data["control"]["rate"] = rate
    data["parameters"]["speed"] |= {"low": low, "high": low + width, "extrapolation": [[low + width, low + 9]]}
    data["reward"] |= {
        f"term_{i}": copy.deepcopy(entry) | {"weight": weight, "shape": shape, "target": target}
        for i, (entry, weight, shape, target) in enumerate(terms)
    }
    env = BatchEnv(OwnRobot(write(folder, data)), 3)
    env.set_tasks(env.space.sample(3, "train", np.random.default_rng(seed)))
    first, _ = env.reset(seed=seed)
    assert first.shape == env.observation_space.shape and env.dt == pytest.approx(1 / rate)
    for _ in range(5):
        observation, reward, _, _, info = env.step(np.full((3, 2), 0.5))
    assert np.isfinite(observation).all() and np.isfinite(reward).all() and not info["diverged"].any()


junk = st.one_of(
    st.none(), st.booleans(), st.integers(-(10**400), 10**400), st.floats(), st.text(max_size=8), st.just([]),
    st.lists(st.integers(-5, 5), max_size=4), st.dictionaries(st.text(max_size=4), st.integers(), max_size=2),
    st.sampled_from(["trunk", "hip", "speed", "choice", "linear", "*", "../..", "[[0, 1]]", "1e5"]),
)  # fmt: skip


def places(value, path=()):
    """Every place in a nested value."""
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in inner:
        yield (*path, key)
        yield from places(item, (*path, key))


@pytest.mark.slow
@given(data=st.data())
@settings(max_examples=50, **quick)
def test_any_mutation_is_a_robot_or_told_in_lines(folder, data):
    changed = robot()
    changed.pop("mjcf")
    for place in data.draw(st.lists(st.sampled_from(list(places(changed))), min_size=1, max_size=3)):
        within = changed
        try:
            for key in place[:-1]:
                within = within[key]
            if data.draw(st.booleans()):
                within[place[-1]] = data.draw(junk)
            else:
                del within[place[-1]]
        except (KeyError, IndexError, TypeError):
            continue  # an earlier change took it away
    path = write(folder, changed | {"mjcf": "leg.xml"}, "mutated.yaml")
    try:
        robot_ = OwnRobot(path)
    except ValueError as error:
        lines = str(error).splitlines()
        assert all(line.startswith(f"{path}: ") and line.isprintable() for line in lines), lines
    else:
        BatchEnv(robot_, 2).reset(seed=0)


@given(text=st.text(max_size=60))
@settings(max_examples=40, **quick)
def test_any_text_is_told_in_lines(folder, text):
    (folder / "text.yaml").write_text(text, encoding="utf-8", errors="replace")
    refused(folder / "text.yaml")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("name: A\nname: B", 'line 2, column 1: not valid YAML: key "name" stands twice'),
        ("a: &x [1]\nb: *x", "line 1, column 4: not valid YAML: aliases (&name, *name) are not used here"),
        ("a: !!python/object/apply:os.system [ls]", "line 1, column 4: not valid YAML: tags such as tag:yaml.org"),
        ("[" * 5000, "line 1, column 17: not valid YAML: nested deeper than 16 levels"),
        ("- 1", "got [1], expected `key: value` lines"),
    ],
)
def test_yaml_that_is_not_plain_is_refused(folder, text, line):
    (told,) = refused(write(folder, text))
    assert told.startswith(line)


SMALL = {
    "name": "Small", "mjcf": "small.xml", "observation": [{"signal": "joint_position"}],
    "reward": {"far": {"signal": "joint_position", "weight": 1, "target": "goal"}},
    "parameters": {"goal": {"default": 0, "low": -1, "high": 1}},
}  # fmt: skip
LINK = "<body name='{0}' pos='.3 0 0'><joint name='{0}' axis='0 1 0'/><geom name='{0}' size='.1'/>{1}</body>"


def small(folder: Path, body: str, rest: str = "", **changes) -> Path:
    """A robot of a few elements; changes of SMALL."""
    (folder / "small.xml").write_text(f"<mujoco><worldbody>{body}</worldbody>{rest}</mujoco>")
    return write(folder, SMALL | changes, "small.yaml")


MOTOR = "<actuator><motor name='m' joint='a' ctrlrange='-1 1'/></actuator>"


@pytest.mark.slow
def test_where_a_body_and_a_site_have_a_name_the_body_is_meant_once(tmp_path):
    body = LINK.format("a", "<site name='a' pos='0 0 .5'/><site name='ab'/>")
    names = []
    for of in ("a", "a*"):
        path = small(tmp_path, body, MOTOR, observation=[{"signal": "body_position", "of": of, "axes": "z"}])
        env = BatchEnv(OwnRobot(path), 1)
        names.append([entry.element for entry in env.family.observation_names()])
        assert env.reset(seed=0)[0].shape == (1, len(names[-1]))
    assert names == [["body a"], ["site ab", "body a"]] or names == [["body a"], ["body a", "site ab"]]


CORNERS = "v 0 0 0\nv 1 0 0\nv 0 1 0\nv 0 0 1\nf 1 3 2\nf 1 2 4\nf 1 4 3\nf 2 3 4\n"
MESHED = "<mujoco><asset><mesh name='m' file='{0}'/></asset><worldbody><body><joint name='j'/>" \
         "<geom type='mesh' mesh='m'/></body></worldbody></mujoco>"  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize(
    ("main", "meshdir", "part", "file", "mesh"),
    [
        ("xmls/main.xml", "../assets", "parts/arm.xml", "m.obj", "assets/m.obj"),  # beside the main file's folder
        ("main.xml", "", "parts/arm.xml", "meshes/m.obj", "meshes/m.obj"),
        ("main.xml", "../{0}/assets", "parts/arm.xml", "m.obj", "assets/m.obj"),  # out, and back by the name
        ("xmls/main.xml", "", "arm.xml", "../../../{1}/{0}/assets/m.obj", "assets/m.obj"),
    ],
)
def test_meshes_are_found_where_mujoco_finds_them(tmp_path, main, meshdir, part, file, mesh):
    folder = tmp_path / "robots" / "arm"
    places = {"main": folder / main, "part": (folder / main).parent / part, "mesh": folder / mesh}
    for path in places.values():
        path.parent.mkdir(parents=True, exist_ok=True)
    meshdir, file = (text.format("arm", "robots") for text in (meshdir, file))
    places["main"].write_text(f"<mujoco><compiler meshdir='{meshdir}'/><include file='{part}'/></mujoco>")
    places["part"].write_text(MESHED.format(file))
    places["mesh"].write_text(CORNERS)
    expected = mujoco.MjModel.from_xml_path(str(places["main"]))
    description = SMALL | {"mjcf": main, "control": {"kind": "torque", "limit": 1}}
    own = OwnRobot(write(folder, description, "robot.yaml"))
    assert own.build().nmeshvert == expected.nmeshvert == 4
    copied = tmp_path / "run" / "robot"
    own.copy_to(copied)
    again = OwnRobot(copied / next(iter(own.files)), own.digest)  # as a run folder keeps it, and wherever it is moved
    assert again.build().nmeshvert == 4 and list(again.files) == list(own.files)


def test_the_name_of_an_element_may_be_a_number(tmp_path):
    """As the joints of some arms are called: the name wins, and what could mean two elements is refused."""
    body = LINK.format("1", LINK.format("2", LINK.format("3", "")))
    motors = "<actuator>" + "".join(f"<motor name='{i}' joint='{i}' ctrlrange='-1 1'/>" for i in (1, 2, 3))
    weak = {"default": 1, "low": 0.5, "high": 2, "writes": {"quantity": "strength", "elements": "1"}}
    parameters = SMALL["parameters"] | {"weak": weak}
    observation = [{"signal": "joint_position", "joints": 3}]  # no index 3
    path = small(tmp_path, body, motors + "</actuator>", parameters=parameters, observation=observation)
    env = BatchEnv(OwnRobot(path), 1)
    assert [entry.element for entry in env.family.observation_names()] == ["joint 3"]
    env.reset(seed=0, options={"tasks": env.space.tasks(weak=[0.5])})
    assert env.batch.expand("actuator_gainprm")[0, :, 0].tolist() == [0.5, 1, 1]
    observation[0]["joints"], weak["writes"]["elements"] = [0, 1], 1
    lines = refused(small(tmp_path, body, motors + "</actuator>", parameters=parameters, observation=observation))
    both = "1 is the name of one and the index of another, '2': write the name, \"1\" in quotes"
    assert lines == [f"observation.0.joints: got [0, 1], expected names of joints: {both}",
                     f"parameters.weak.writes: actuator {both}"]  # fmt: skip


def test_what_xml_forbids_and_mujoco_forgives(tmp_path):
    comment = "<!-- gains -- tuned by hand; see <mesh file='/etc/passwd'/> -->"
    close = """<worldbody><geom name='mark'type="box" size="1 1 1"rgba='1 0 0 1'/></worldbody>"""
    assert OwnRobot(small(tmp_path, comment + LINK.format("a", ""), MOTOR + close)).build().nu == 1
    assert refused(small(tmp_path, "<!--", MOTOR))[0].startswith("mjcf: small.xml: not valid XML: ")


@pytest.mark.slow
@pytest.mark.parametrize("timestep", ["0.003", "0.007", "0.0013", "0.000123"])
def test_the_rates_that_a_message_proposes_are_taken(tmp_path, timestep):
    option = f"<option timestep='{timestep}'/>"
    (line,) = refused(small(tmp_path, LINK.format("a", ""), option + MOTOR, control={"rate": 49.9}))
    for rate in line.partition("such as ")[2].split(", "):
        own = OwnRobot(small(tmp_path, LINK.format("a", ""), option + MOTOR, control={"rate": float(rate)}))
        assert 1 / (own.frame_skip * float(timestep)) == pytest.approx(float(rate), rel=1e-5)


@pytest.mark.slow
def test_elements_without_a_name_are_called_by_their_index(tmp_path):
    body = "<body><joint axis='0 1 0'/><geom size='.1'/>" + LINK.format("b", "") + "</body>"
    rest = "<actuator><motor joint='b' ctrlrange='-1 1'/></actuator><keyframe><key qpos='.5 0'/></keyframe>"
    observation = [{"signal": "joint_position"}, {"signal": "joint_velocity", "joints": 0}, {"signal": "action"},
                   {"signal": "actuator_force", "actuators": "actuator_0"}]  # fmt: skip
    path = small(tmp_path, body, rest, observation=observation, start={"keyframe": 0})
    env = BatchEnv(OwnRobot(path), 1)
    names = ["joint_0 angle", "b angle", "joint_0 velocity", "actuator_0 action", "actuator_0 force"]
    assert [entry.name for entry in env.family.observation_names()] == names
    assert env.reset(seed=0)[0][0, :2].tolist() == [0.5, 0]
    path = small(tmp_path, body, rest, control={"kind": "position", "kp": 9, "limit": 2, "action_range": 1})
    assert [OwnRobot(path).build().actuator(i).name for i in range(2)] == ["joint_0", "b"]
    (line,) = refused(small(tmp_path, body, rest.replace(" ctrlrange='-1 1'", "")))
    assert line == "control: actuators actuator_0 have no ctrlrange in the MJCF, expected one, or action_range"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("rest", "control", "line"),
    [
        ("<option timestep='0'/>", {}, "mjcf: small.xml: got timestep = 0 s, expected at least 1e-06 (<option>)"),
        ("<option timestep='1e-300'/>", {"rate": 1e-9}, "mjcf: small.xml: got timestep = 1e-300 s, expected at least"),
        ("<option timestep='1e-6'/>", {}, "control.rate: got 50.0, expected a rate of at least 100: 10000 physics steps"
         " each, at the MJCF's timestep of 1e-06 s"),
        ("", {"rate": 1e-9}, "control.rate: got 1e-09, expected a rate of at least 0.05: 10000 physics steps each"),
        ("<option timestep='1e-6' solver='PGS' iterations='2000' tolerance='0'/><worldbody><replicate count='10'"
         " offset='0 0 .15'><body><freejoint/><geom type='box' size='.1 .1 .1' condim='6'/></body></replicate>"
         "</worldbody>", {"rate": 100}, "mjcf: after adding the actuators, sensors and camera declared in small.yaml:"
         " small.xml: a control step of 10000 physics steps takes"),
        ("<option iterations='1000000000'/>", {}, "mjcf: small.xml: got iterations = 1000000000, expected at most"),
        ("<asset><texture name='t' type='2d' builtin='flat' width='9500' height='9500'/></asset>", {},
         "mjcf: small.xml: got ntexdata = 270750000, expected at most 268435456 of a robot (width and height of its"),
        ("<asset><hfield name='h' nrow='5000' ncol='5000' size='1 1 1 1'/></asset>", {},
         "mjcf: small.xml: got nhfielddata = 25000000, expected at most 16777216 of a robot (nrow times ncol of its"),
    ],
    ids=["no timestep", "tiny timestep", "small timestep", "slow control", "slow steps", "iterations", "texture",
         "height field"],
)  # fmt: skip
def test_what_would_cost_the_machine_is_refused_by_its_limit_and_setting(tmp_path, rest, control, line):
    (told,) = refused(small(tmp_path, LINK.format("a", ""), rest + MOTOR, control=control))
    assert told.startswith(line)


def test_an_unknown_encoding_is_told(tmp_path):
    path = small(tmp_path, LINK.format("a", ""), MOTOR)
    mjcf = tmp_path / "small.xml"
    mjcf.write_text("<?xml version='1.0' encoding='klingon'?>" + mjcf.read_text())
    assert refused(path) == ["mjcf: small.xml: not valid XML: unknown encoding: klingon"]


def test_an_actuator_may_have_several_controls_or_none(tmp_path):
    body = LINK.format("a", LINK.format("b", ""))
    rest = "<actuator><pid name='p' joint='a' input='pos vel' kp='3'/><dcmotor name='d' joint='b' input='none'" \
           " resistance='1' motorconst='1'/><motor name='m' joint='b' ctrlrange='-1 1'/></actuator>"  # fmt: skip
    observation = [{"signal": "action"}, {"signal": "actuator_force"},
                   {"signal": "actuator_velocity", "actuators": "m"}]  # fmt: skip
    weak = {"default": 1, "low": 0.5, "high": 2, "writes": {"quantity": "gear", "elements": "m"}}
    settings = {"observation": observation, "parameters": SMALL["parameters"] | {"weak": weak}}
    (line,) = refused(small(tmp_path, body, rest, **settings))
    assert line == "control: actuators p 0, p 1 have no ctrlrange in the MJCF, expected one, or action_range"
    env = BatchEnv(OwnRobot(small(tmp_path, body, rest, control={"action_range": 0.5}, **settings)), 2)
    names = ["p 0 action", "p 1 action", "m action", "p force", "d force", "m force", "m velocity"]
    assert [entry.name for entry in env.family.observation_names()] == names
    env.reset(seed=0, options={"tasks": env.space.tasks(weak=[1, 2])})
    observation, *_ = env.step(np.array([[0.2, -0.4, 1.0]] * 2))
    assert np.allclose(observation[:, :3], [[0.2, -0.4, 1.0]] * 2) and np.allclose(observation[:, 5], 0.5)
    assert env.batch.expand("actuator_gear")[:, :, 0].tolist() == [[1, 1, 1], [1, 1, 2]]
