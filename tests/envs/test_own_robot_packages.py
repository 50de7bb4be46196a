"""Files of a robot that are those of an installed package, and what is a success."""

import re
import shutil
from pathlib import Path

import mujoco
import numpy as np
import pytest

from metarl.envs import BatchEnv
from metarl.envs.own_robot import mjcf
from metarl.envs.own_robot.robot import OwnRobot
from metarl.util.optional import Extra
from metarl.util.safe_yaml import parse_yaml, write_yaml

ROOT = Path(__file__).parents[2]
SHIPPED = ROOT / "configs" / "own_robot" / "tabletop"
MJCF = """
<mujoco>
  <compiler meshdir="arms/scenes"/><include file="arms/parts/arm.xml"/>
  <worldbody><body name="goal"><geom size=".01" contype="0" conaffinity="0"/></body></worldbody>
  <actuator><motor name="slide" joint="slide" gear="100" ctrlrange="-1 1"/></actuator>
</mujoco>
"""
ARM = """
<mujocoinclude>
  <asset><mesh name="hand" file="../meshes/hand.obj"/></asset>
  <worldbody><body name="hand"><joint name="slide" type="slide" axis="1 0 0"/><geom type="mesh" mesh="hand"/></body>
  </worldbody>
</mujocoinclude>
"""
HAND = "v 0 0 0\nv 1 0 0\nv 0 1 0\nv 0 0 1\nf 1 3 2\nf 1 2 4\nf 1 4 3\nf 2 3 4\n"
ROBOT = """
name: Hand
mjcf: mine.xml
observation: [{signal: joint_position}]
reward: {near: {signal: distance, from: hand, to: goal, weight: -1}}
success:
  there: {signal: offset, from: hand, to: goal, shape: within, tolerance: 0.1}
  slow: {signal: joint_velocity, shape: below, target: limit}
parameters:
  goal: {unit: m, default: 0, low: -2, high: 2, writes: {quantity: position, elements: goal, mode: set, axis: x}}
  limit: {unit: m/s, default: 1, low: 0.2, high: 1}
"""


@pytest.fixture
def robot(tmp_path, monkeypatch) -> Path:
    """The robot above, whose arm is of a package that an extra `arms` installs."""
    package = tmp_path / "site" / "somebodys_arms"
    for folder in ("models/parts", "models/meshes"):
        (package / folder).mkdir(parents=True)
    (package / "__init__.py").touch()
    (package / "models" / "parts" / "arm.xml").write_text(ARM)
    (package / "models" / "meshes" / "hand.obj").write_text(HAND)
    monkeypatch.syspath_prepend(tmp_path / "site")
    monkeypatch.setitem(mjcf.PACKAGES, "arms", (Extra("arms", "somebodys_arms"), Path("models")))
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "mine.xml").write_text(MJCF)
    (tmp_path / "mine" / "robot.yaml").write_text(ROBOT)
    return tmp_path / "mine"


def test_files_of_a_package_are_the_robot_s_from_then_on(robot, tmp_path, monkeypatch):
    own = OwnRobot(robot)
    assert [*own.files] == ["robot.yaml", "mine.xml", "arms/parts/arm.xml", "arms/meshes/hand.obj"]
    own.copy_to(tmp_path / "run")
    monkeypatch.setitem(mjcf.PACKAGES, "arms", (Extra("arms", "no_such_arms"), Path("models")))
    assert OwnRobot(tmp_path / "run").digest == own.digest, "a copy needs no package"
    with pytest.raises(ValueError) as refusal:
        OwnRobot(robot)
    (line,) = str(refusal.value).splitlines()
    assert line.startswith(f"{robot / 'robot.yaml'}: mjcf: mine.xml: arms/parts/arm.xml needs the package no_such_arms,"
                           " which is not installed: pip install '.[arms]'")  # fmt: skip


def test_a_folder_of_the_robot_s_own_goes_before_the_package(robot, tmp_path):
    shutil.copytree(tmp_path / "site" / "somebodys_arms" / "models", robot / "arms")
    (robot / "arms" / "parts" / "arm.xml").write_text(ARM.replace("<body name='hand'", "<body name='hand' pos='0 0 1'"))
    assert OwnRobot(robot).files["arms/parts/arm.xml"] == (robot / "arms" / "parts" / "arm.xml").read_bytes()
    shutil.rmtree(robot / "arms" / "meshes")  # none is of both
    with pytest.raises(ValueError, match="mjcf: mine.xml: '../meshes/hand.obj' is outside of the robot's folder"):
        OwnRobot(robot)


def test_nothing_outside_of_the_package_s_folder_is_read(robot, tmp_path):
    arm = tmp_path / "site" / "somebodys_arms" / "models" / "parts" / "arm.xml"
    arm.unlink()
    (tmp_path / "secret.xml").write_text(ARM)
    arm.symlink_to(tmp_path / "secret.xml")
    with pytest.raises(ValueError, match="mine.xml: 'arms/parts/arm.xml' is a link out of the robot's folder"):
        OwnRobot(robot)
    (robot / "mine.xml").write_text(MJCF.replace("arms/parts/arm.xml", "arms/../../secret.xml"))
    with pytest.raises(ValueError, match="mine.xml: 'arms/../../secret.xml' is outside of the robot's folder"):
        OwnRobot(robot)


def test_the_arm_that_the_reference_attaches_is_there(tmp_path):
    page = (ROOT / "docs" / "reference" / "robot_yaml.md").read_text(encoding="utf-8")
    (tmp_path / "scene.xml").write_text(*re.findall(r"```xml\n(.*?)```", page, re.DOTALL))
    model = mjcf.load(mjcf.compile_mjcf(mjcf.read_files(tmp_path, "scene.xml")))
    assert model.nu == 7 and model.joint("panda_joint7").id >= 0 and model.body("puck").jntnum == 1


@pytest.mark.metaworld
def test_an_object_of_meta_world_is_included_as_its_scenes_do(tmp_path):
    page = (ROOT / "docs" / "guides" / "tabletop.md").read_text(encoding="utf-8")
    (include,) = re.findall(r"`(<include file=\S+/\.\.\._dependencies.xml\S+)`", page)
    scene = (SHIPPED / "push.xml").read_text(encoding="utf-8")
    scene = scene.replace("<option", include.replace("...", "soccer") + "<option")
    ball = include.replace("..._dependencies", "soccer_ball")
    ball = f'<body name="ball" pos=".2 .6 .1"><freejoint/>{ball}</body>'
    (tmp_path / "scene.xml").write_text(scene.replace("</worldbody>", ball + "</worldbody>"))
    files = mjcf.read_files(tmp_path, "scene.xml")
    assert "metaworld/objects/meshes/soccer/soccer_black.stl" in files.contents
    assert mjcf.load(mjcf.compile_mjcf(files)).body("ball").subtreemass > 0


def test_a_task_is_solved_where_all_conditions_hold_at_once(robot):
    """The hand passes two goals, one of them faster than the task allows, and never comes to the third."""
    env = BatchEnv(OwnRobot(robot), 3, autoreset_mode="Disabled")
    env.reset(seed=0, options={"tasks": env.space.tasks(goal=[0.5, 0.5, -1.0], limit=[1.0, 0.2, 1.0])})
    model, reached, place = env.model_of(0), np.zeros(3, bool), 0.0
    data = mujoco.MjData(model)
    for _ in range(80):
        *_, info = env.step(np.full((3, 1), 0.9))
        data.ctrl[:] = 0.9
        for _ in range(env.family.frame_skip):
            place = data.qpos[0]  # sensors are of the state one physics step before
            mujoco.mj_step(model, data)
        reached |= (np.abs(place - [0.5, 0.5, -1.0]) <= 0.1) & (data.qvel[0] < np.array([1.0, 0.2, 1.0]))
        assert info["success"].tolist() == reached.tolist()
    assert place > 0.6 and reached.tolist() == [True, False, False]


@pytest.mark.parametrize(("condition", "line"), [
    ({"signal": "distance", "from": "hand", "to": "goal", "shape": "linear"},
     'success.there.shape: got "linear", expected one of within, beyond, above, below'),
    ({"signal": "distance", "from": "hand", "to": "goal", "shape": "within"},
     "success.there.tolerance: got nothing, expected a number above 0"),
    ({"signal": "distance", "from": "hand", "to": "goal"},
     "success.there.shape: got nothing, expected one of within, beyond, above, below"),
    ({"signal": "offset", "from": "hand", "to": "goal", "shape": "below", "target": [0, 1]},
     "success.there.target: got 2 values, expected 1 or 3"),
    ({"signal": "action_change", "shape": "below"}, 'success.there.signal: got "action_change", expected another name'),
])  # fmt: skip
def test_what_is_no_condition_is_told_in_one_line(robot, condition, line):
    data = parse_yaml(ROBOT) | {"success": {"there": condition}}
    data["parameters"] = {"goal": data["parameters"]["goal"]}
    (robot / "robot.yaml").write_text(write_yaml(data))
    with pytest.raises(ValueError) as refusal:
        OwnRobot(robot)
    (told,) = str(refusal.value).splitlines()
    assert told.startswith(f"{robot / 'robot.yaml'}: {line}")


@pytest.mark.metaworld
def test_the_hand_of_the_sawyer_goes_where_it_is_sent():
    """The weld, the servos and the start pose of the tabletop that ships: within 1 cm, at 0.5 m/s within 4 cm."""
    env = BatchEnv(OwnRobot(SHIPPED), 2, autoreset_mode="Disabled")
    env.reset(seed=0, options={"tasks": env.space.default().repeat(2)})
    model = env.model_of(0)

    def hand() -> np.ndarray:
        data = env.data_of(0)
        mujoco.mj_forward(model, data)
        return data.body("hand").xpos - [0, 0.5, 0.06] - data.act

    assert np.abs(hand()).max() < 0.01
    for action in ((0, 0, 1), (1, 0, 0), (0, 0.5, 0), (-1, 0, 0)):
        for _ in range(8):
            env.step(np.tile(action, (2, 1)))
            assert np.abs(hand()).max() < 0.04, action
    for _ in range(10):
        env.step(np.zeros((2, 3)))
    assert np.abs(hand()).max() < 0.01


@pytest.mark.metaworld
def test_the_puck_is_pushed_to_the_goal_ahead_and_not_to_the_one_beside():
    env = BatchEnv(OwnRobot(SHIPPED), 2, autoreset_mode="Disabled")
    seen, _ = env.reset(seed=0, options={"tasks": env.space.tasks(goal_x=[0.0, 0.15], goal_y=[0.75, 0.75])})
    for _ in range(80):
        aside = seen[:, 3]  # of the puck, from the hand
        action = np.stack([np.clip(5 * aside, -1, 1), 0.3 * (np.abs(aside) < 0.005), np.full(2, -1.0)], axis=1)
        seen, *_, info = env.step(action)
    assert info["success"].tolist() == [True, False]
