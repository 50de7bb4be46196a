"""The start of a robot from YAML, and gains by joint: against numbers by hand and plain MuJoCo."""

from pathlib import Path

import mujoco
import numpy as np
import pytest

from metarl.envs import BatchEnv
from metarl.envs.own_robot.robot import OwnRobot
from metarl.export.onnx import Scaling
from metarl.util.safe_yaml import parse_yaml, write_yaml

MJCF = """
<mujoco>
  <option timestep="0.005"/>
  <worldbody>
    <geom name="floor" type="plane" size="5 5 .1"/>
    <body name="trunk" pos="0 0 .5"><freejoint/><geom type="box" size=".2 .1 .05" mass="3"/>
      <body name="l" pos=".1 .1 0"><joint name="l_hip" axis="0 1 0"/><geom type="capsule" fromto="0 0 0 0 0 -.2" size=".02"/>
        <body pos="0 0 -.2"><joint name="l_knee" axis="0 1 0"/><geom type="capsule" fromto="0 0 0 0 0 -.2" size=".02"/></body>
      </body>
      <body name="r" pos=".1 -.1 0"><joint name="r_hip" axis="0 1 0"/><geom type="capsule" fromto="0 0 0 0 0 -.2" size=".02"/>
        <body pos="0 0 -.2"><joint name="r_knee" axis="0 1 0"/><geom type="capsule" fromto="0 0 0 0 0 -.2" size=".02"/></body>
      </body>
      <body pos=".25 0 0"><joint name="finger" type="slide" axis="0 1 0" range="0 .05"/><geom size=".02"/></body>
    </body>
    <body name="cube" pos="1 0 .1"><freejoint/><geom type="box" size=".05 .05 .05" mass=".1"/></body>
  </worldbody>
  <actuator>
    <motor name="old_hip" joint="l_hip" ctrlrange="-1 1"/>
    <position name="gripper" joint="finger" kp="77" ctrlrange="0 .04"/>
    <motor name="old_knee" joint="l_knee" ctrlrange="-1 1"/>
    <position name="servo" joint="r_hip" kp="5" gear="2" ctrlrange="-3 3"/>
  </actuator>
  <keyframe><key name="crouch" qpos="0 0 .4 1 0 0 0 .5 -1 .5 -1 .01 1 0 .1 1 0 0 0" ctrl=".2 .01 .3 1"/></keyframe>
</mujoco>
"""  # noqa: E501
ROBOT = """
name: Grasper
mjcf: grasper.xml
control: {kind: position, kp: 20, limit: 30, action_range: 0.3, joints: ["*_hip", "*_knee"]}
observation: [{signal: joint_position}]
reward: {far: {signal: joint_position, weight: 1, target: goal}}
parameters: {goal: {default: 0, low: -1, high: 1}}
"""


@pytest.fixture
def robot(tmp_path):
    """The robot above with other sections."""
    (tmp_path / "grasper.xml").write_text(MJCF)

    def build(**sections) -> OwnRobot:
        path: Path = tmp_path / "robot.yaml"
        path.write_text(write_yaml(parse_yaml(ROBOT) | sections))
        return OwnRobot(str(path))

    return build


CONTROL = parse_yaml(ROBOT)["control"]


def test_gains_and_limits_are_by_joint_and_the_gripper_keeps_its_actuator(robot):
    gains = {"kp": {"*": 20, "*_knee": 40, "r_knee": 50}, "kd": {"*_hip": 0.5}, "limit": {"*_hip": 8, "*_knee": 9},
             "action_range": {"*": 0.3, "l_hip": 0.1}, "keep": "gripper"}  # fmt: skip
    own = robot(control=CONTROL | gains, start={"keyframe": "crouch"})
    model = own.build()
    names = [model.actuator(i).name for i in range(model.nu)]
    assert names == ["gripper", "l_hip", "r_hip", "l_knee", "r_knee"]
    assert model.actuator_gainprm[:, 0].tolist() == [77, 20, 20, 40, 50]
    assert model.actuator_biasprm[:, 1].tolist() == [-77, -20, -20, -40, -50]
    assert model.actuator_biasprm[:, 2].tolist() == [0, -0.5, -0.5, 0, 0]
    assert model.actuator_forcerange[1:].tolist() == [[-8, 8], [-8, 8], [-9, 9], [-9, 9]]
    low, high = own.control_range(model)
    np.testing.assert_allclose(low, [0, 0.4, 0.2, -1.3, -1.3])
    np.testing.assert_allclose(high, [0.04, 0.6, 0.8, -0.7, -0.7])
    env = BatchEnv(own, 1)
    env.reset(seed=0)
    assert env.batch.bind("ctrl")[0].tolist() == [0.01, 0.5, 0.5, -1, -1]


def test_no_actuator_is_kept_where_none_is_named(robot):
    assert robot(control=CONTROL | {"keep": []}).build().nu == robot(control=CONTROL).build().nu == 4


@pytest.mark.parametrize(
    ("control", "line"),
    [
        ({"kp": {"*_hip": 8}}, 'control.kp: got {"*_hip": 8.0}, expected a number for each joint, got none for l_knee,'
                               " r_knee"),
        ({"limit": {"hips": 8}}, 'control.limit: got {"hips": 8}, expected names of joints (did you mean'),
        ({"keep": "griper"}, 'control.keep: got "griper", expected names of actuators of the MJCF (did you mean'),
        ({"kd": {"*": -1}}, "control.kd: got"),
    ],
)  # fmt: skip
def test_gains_of_joints_that_are_not_there_are_told(robot, control, line):
    with pytest.raises(ValueError) as refusal:
        robot(control=CONTROL | control)
    (told,) = str(refusal.value).splitlines()
    assert line in told


def test_an_action_range_by_name_leaves_the_other_controls_their_own(robot):
    own = robot(control={"action_range": {"serv*": 0.5}}, start={"keyframe": "crouch"})
    low, high = own.control_range(own.build())
    assert low.tolist() == [-1, 0, -1, 0.5] and high.tolist() == [1, 0.04, 1, 1.5]


def test_an_action_range_beyond_the_ctrlrange_is_clipped_there_and_so_is_what_is_seen_and_paid(robot):
    """A servo at home at 1, of -3 to 3: an action of 1 would send it to 6, and -1 to -4."""
    reach = {"control": {"action_range": {"servo": 5}}, "start": {"keyframe": "crouch"}}
    own = robot(observation=[{"signal": "action"}], reward={"effort": {"signal": "action", "weight": 1},
                "far": {"signal": "joint_position", "weight": 1, "target": "goal"}}, **reach)  # fmt: skip
    env = BatchEnv(own, 3)
    env.reset(seed=0)
    observation, *_, info = env.step(np.array([[0, 0, 0, 1.0], [0, 0, 0, 0.2], [0, 0, 0, -1.0]]))
    np.testing.assert_allclose(env.batch.bind("ctrl")[:, 3], [3, 2, -3])
    np.testing.assert_allclose(observation, [[0, 0, 0, 0.4], [0, 0, 0, 0.2], [0, 0, 0, -0.8]], atol=1e-15)
    np.testing.assert_allclose(info["reward_terms"]["effort"], [0.4, 0.2, -0.8])
    scaling = Scaling.of(*own.control_range(env.model), 1.0, own.control_limits(env.model))
    np.testing.assert_array_equal(scaling(np.eye(4)[3] * [[1.0], [0.2], [-1.0]]), env.batch.bind("ctrl"))
    free = robot(control={"kind": "position", "kp": 1, "limit": 1, "action_range": 9})
    np.testing.assert_array_equal(free.control_range(free.build()), free.control_limits(free.build()))


def test_a_pose_is_where_episodes_start_and_servos_hold(robot):
    start = {"pose": {"*_knee": -1.5, "l_knee": -1.2}, "bodies": {"trunk": {"z": 0.33}}}
    env = BatchEnv(robot(start=start), 2)
    env.reset(seed=0)
    qpos = env.batch.bind("qpos")
    assert qpos[1].tolist() == [0, 0, 0.33, 1, 0, 0, 0, 0, -1.2, 0, -1.5, 0, 1, 0, 0.1, 1, 0, 0, 0]
    assert env.batch.bind("ctrl")[1].tolist() == [0, 0, -1.2, -1.5]
    assert env.batch.bind("qvel").tolist() == np.zeros((2, 17)).tolist()


def test_a_pose_over_a_keyframe_moves_only_what_it_names_and_servos_of_the_mjcf_hold_it(robot):
    start = {"keyframe": "crouch", "pose": {"r_hip": 0.7}}
    own = robot(control={"kind": "model"}, start=start)
    model = own.build()
    key = model.key("metarl_start")
    assert key.qpos.tolist() == [0, 0, 0.4, 1, 0, 0, 0, 0.5, -1, 0.7, -1, 0.01, 1, 0, 0.1, 1, 0, 0, 0]
    np.testing.assert_allclose(key.ctrl, [0.2, 0.01, 0.3, 1.4])  # gear 2: the servo's length is twice the angle
    data = mujoco.MjData(model)
    mujoco.mj_resetDataKeyframe(model, data, own.keyframe)
    mujoco.mj_forward(model, data)
    np.testing.assert_allclose(data.actuator_force[[1, 3]], 0, atol=1e-12)


ACTIVATED = MJCF.replace("<actuator>", """<actuator>
    <general name="lag" joint="l_knee" ctrlrange="-1 1" dyntype="filter" dynprm=".5"/>
    <general name="grip" joint="finger" ctrlrange="-1 1" dyntype="filter" dynprm=".5"/>""").replace(
    'ctrl=".2 .01 .3 1"', 'ctrl="0 0 .2 .01 .3 1" act=".4 .6" time=".25"')  # fmt: skip


@pytest.mark.parametrize("start", [{"keyframe": "crouch"}, {"keyframe": "crouch", "pose": {"r_hip": 0.7}}])
@pytest.mark.parametrize(("control", "act"), [({"kind": "model"}, [0.4, 0.6]), (CONTROL | {"keep": "grip"}, [0.6]),
                                              (CONTROL, [])])  # fmt: skip
def test_activations_are_those_of_the_keyframe_and_time_begins_at_0(tmp_path, start, control, act):
    (tmp_path / "grasper.xml").write_text(ACTIVATED)
    seen = [{"signal": "clock", "period": 1.0}, *([{"signal": "actuator_activation"}] if act else [])]
    sections = {"control": control, "start": start, "observation": seen}
    (tmp_path / "robot.yaml").write_text(write_yaml(parse_yaml(ROBOT) | sections))
    env = BatchEnv(OwnRobot(str(tmp_path)), 1)
    assert env.reset(seed=0)[0].tolist() == [[1, 0, *act]]
    angle = 2 * np.pi * 0.02  # of the clock, after a step
    clock = env.step(np.zeros((1, env.model.nu)))[0][0, :2]
    np.testing.assert_allclose(clock, [np.cos(angle), np.sin(angle)])


def test_ranges_are_drawn_anew_in_each_episode(robot):
    start = {"pose": {"l_hip": [-0.2, 0.4]}, "position_noise": {"r_*": 0.1},
             "bodies": {"cube": {"x": [0.5, 0.7], "yaw": [-3.0, 3.0]}}}  # fmt: skip
    env = BatchEnv(robot(start=start), 200)
    env.reset(seed=3)
    first = env.batch.bind("qpos").copy()
    env.reset()
    again = env.batch.bind("qpos")
    for column, low, high in ((7, -0.2, 0.4), (9, -0.1, 0.1), (12, 0.5, 0.7)):
        assert low <= first[:, column].min() < low + 0.05 * (high - low)
        assert high >= first[:, column].max() > high - 0.05 * (high - low)
        assert (first[:, column] != again[:, column]).all()
    yaw = 2 * np.arctan2(first[:, 18], first[:, 15])
    assert -3 <= yaw.min() < -2.7 and 2.7 < yaw.max() <= 3 and (first[:, 16:18] == 0).all()
    assert (first[:, :3] == [0, 0, 0.5]).all() and (first[:, [13, 14]] == [0, 0.1]).all()
    assert abs(np.corrcoef(first[:, 7], first[:, 12])[0, 1]) < 0.25


def test_heading_and_velocity_are_of_the_world(robot):
    """Turned by 90 degrees about z after 0.3 rad about x; spinning about the world's axes."""
    velocity = {"x": 0.4, "z": -0.2, "roll": 0.1, "yaw": [0.5, 0.5]}
    trunk = {"roll": 0.3, "yaw": np.pi / 2, "velocity": velocity}
    env = BatchEnv(robot(start={"bodies": {"trunk": trunk}}), 1)
    env.reset(seed=0)
    model, data = env.model_of(0), env.data_of(0)
    mujoco.mj_forward(model, data)
    c, s = np.cos(0.3), np.sin(0.3)
    expected = np.array([[0, -1, 0], [1, 0, 0], [0, 0, 1]]) @ np.array([[1, 0, 0], [0, c, -s], [0, s, c]])
    np.testing.assert_allclose(data.body("trunk").xmat.reshape(3, 3), expected, atol=1e-12)
    seen = np.zeros(6)
    mujoco.mj_objectVelocity(model, data, mujoco.mjtObj.mjOBJ_XBODY, data.body("trunk").id, seen, 0)
    np.testing.assert_allclose(seen, [0.1, 0, 0.5, 0.4, 0, -0.2], atol=1e-12)


@pytest.mark.parametrize(
    ("start", "line"),
    [
        ({"pose": {"l_hipp": 1}}, 'start.pose: got {"l_hipp": 1}, expected names of joints (did you mean \'l_hip\'?)'),
        ({"pose": {"l_hip": [1, 0]}}, "start.pose.l_hip: got [1, 0], expected a number, or a range [low, high]"),
        ({"bodies": {"l": {"z": 1}}}, 'start.bodies: got "l", expected a body with a free joint (trunk, cube)'),
        ({"bodies": {"cub": {"z": 1}}}, "expected one of the bodies (did you mean 'cube'?)"),
        ({"bodies": {"cube": {"zz": 1}}}, 'start.bodies.cube.zz: unknown key "zz"'),
    ],
)
def test_starts_that_cannot_be_are_told(robot, start, line):
    with pytest.raises(ValueError) as refusal:
        robot(start=start)
    (told,) = str(refusal.value).splitlines()
    assert line in told
