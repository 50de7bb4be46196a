"""`metarl draft` writes what `metarl check` passes; warnings of `check` about starts and cameras."""

from pathlib import Path

import numpy as np
import pytest

from metarl.cli import main
from metarl.envs import BatchEnv
from metarl.envs.own_robot.robot import OwnRobot
from metarl.robot_check.draft import draft
from metarl.robot_check.examination import check
from metarl.robot_check.start import start_warnings
from metarl.util.safe_yaml import parse_yaml

ROVER = Path(__file__).parents[2] / "configs" / "own_robot" / "rover" / "rover.xml"
ARM = """
<mujoco>
  <worldbody>
    <geom name="floor" type="plane" size="2 2 .1"/>
    <camera name="away" pos="0 -2 .5" xyaxes="-1 0 0 0 0 1"/><camera name="at" pos="0 -2 .5" xyaxes="1 0 0 0 0 1"/>
    <body name="link" pos="0 0 .1"><joint name="a" axis="0 1 0" range="-60 -20"/>
      <geom name="rod" type="capsule" fromto="0 0 0 .3 0 0" size=".05"/>
      <body pos=".3 0 0"><joint axis="0 1 0" range="-90 90"/><geom name="tip" type="capsule" fromto="0 0 0 .2 0 0" size=".04"/>
      </body></body>
  </worldbody>
  <actuator>{actuator}</actuator>
  {rest}
</mujoco>
"""  # noqa: E501
SERVOS = "<position name='a' joint='a' kp='20' ctrlrange='-2 2'/>"
KEYS = "<keyframe><key name='k' qpos='-.36 1.56'/><key name='c' qpos='-.6 .1' ctrl='-.6'/></keyframe>"


def arm(folder: Path, actuator: str = SERVOS, rest: str = "", name: str = "arm.xml") -> Path:
    (folder / name).parent.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text(ARM.format(actuator=actuator, rest=rest))
    return folder / name


def metarl(*arguments) -> int:
    with pytest.raises(SystemExit) as exit_:
        main([str(argument) for argument in arguments])
    return exit_.value.code or 0


@pytest.mark.slow
def test_a_draft_of_a_rover_passes_check(tmp_path, monkeypatch, capsys):
    (tmp_path / "rover.xml").write_bytes(ROVER.read_bytes())
    monkeypatch.chdir(tmp_path)
    assert metarl("check", "rover.xml") == 2
    assert "got MJCF, expected its description in YAML: `metarl draft rover.xml` writes one" in capsys.readouterr().err
    assert metarl("draft", "rover.xml") == 0
    told = capsys.readouterr().err
    assert "joints: left (rad, no limits), right (rad, no limits)\nactuators: left (-1 to 1 control), right" in told
    assert "free bodies: chassis\n" in told and "sensors: gyro, accelerometer\nkeyframes: none\ncameras: side" in told
    result = check(tmp_path, seconds=0.01)
    assert result["errors"] == [] and result["name"] == "Rover"
    assert [row["name"] for row in result["parameters"]] == ["mass", "strength"]
    assert metarl("draft", "rover.xml") == 2
    assert "robot.yaml is there already; --out FILE writes another one" in capsys.readouterr().err


@pytest.mark.slow
@pytest.mark.parametrize("actuator", [SERVOS, "<motor name='m' joint='a'/>", "", "<motor joint='a' ctrlrange='-1 1'/>"])
def test_a_draft_passes_check_whatever_the_actuators(tmp_path, actuator):
    """Servos, a motor without a range, none at all, and elements without names."""
    file, _ = draft(arm(tmp_path, actuator))
    assert check(file, seconds=0.01)["errors"] == []


def test_a_draft_is_put_where_its_files_can_be_read(tmp_path):
    """Meshes beside the folder of the MJCF: the description is written above both."""
    folder = tmp_path / "robots" / "arm"
    mesh = "<asset><mesh name='m' file='../../meshes/m.obj'/></asset>"
    path = arm(folder / "xmls" / "v1", SERVOS, mesh)
    (folder / "meshes").mkdir()
    (folder / "meshes" / "m.obj").write_text("v 0 0 0\nv 1 0 0\nv 0 1 0\nv 0 0 1\nf 1 3 2\nf 1 2 4\nf 1 4 3\nf 2 3 4\n")
    file, lines = draft(path)
    assert file == folder / "robot.yaml" and lines[-1] == f"{file}: a first description; metarl check {file}"
    assert parse_yaml(file.read_text())["mjcf"] == "xmls/v1/arm.xml"
    assert OwnRobot(str(folder)).name == "Arm" and OwnRobot(str(folder)).build().nmesh == 1


def test_what_cannot_be_drafted_is_told(tmp_path, capsys):
    (tmp_path / "bad.xml").write_text("<mujoco><worldbody>")
    (tmp_path / "still.xml").write_text("<mujoco/>")
    for name, line in (("no.xml", "draft: got"), ("bad.xml", "bad.xml: not valid XML"),
                       ("still.xml", "got a model without joints, expected one that can move")):  # fmt: skip
        assert metarl("draft", tmp_path / name) == 2
        assert line in capsys.readouterr().err
    assert not (tmp_path / "robot.yaml").exists()


DEPTH = 0.04 - (0.1 + 0.3 * np.sin(0.36) - 0.2 * np.sin(1.56 - 0.36))  # of the tip's end, by the angles of both joints
ROBOT = """
name: Arm
mjcf: arm.xml
observation: [{signal: joint_position}]
reward: {effort: {signal: action, shape: square, weight: -1}}
parameters: {mass: {default: 1, low: 0.5, high: 2, writes: {quantity: mass, elements: link}}}
"""


@pytest.mark.parametrize(
    ("sections", "lines"),
    [
        ("start: {keyframe: c}", []),
        ("", ["joints are outside of their limits: a at 0, limits -1.05 to -0.349; give them a start.pose"]),
        ("start: {pose: {a: -1}}", []),
        ("start: {keyframe: k}",
         [f"tip is {DEPTH:.3g} m inside floor; start higher (start.bodies) or in another pose",
          "servos pull away, since keyframe k has no ctrl: a to 0 from -0.36; add it, or a start.pose"]),
        ("start: {keyframe: k, pose: {joint_1: 0.1}}", []),
        ("start: {keyframe: c}\ncamera: at", []),
        ("start: {keyframe: c}\ncamera: away", ["camera away does not see the robot: pictures will be empty"]),
    ],
)  # fmt: skip
def test_odd_starts_and_cameras_are_warned_of(tmp_path, sections, lines):
    arm(tmp_path, SERVOS, KEYS)
    (tmp_path / "robot.yaml").write_text(ROBOT + sections)
    found = start_warnings(BatchEnv(OwnRobot(str(tmp_path)), 1))
    assert found == [f"at the start {line}" for line in lines]
