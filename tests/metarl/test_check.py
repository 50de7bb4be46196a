"""`metarl check`: a sound robot passes, and what makes training pointless is found in a robot that has it."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image

from metarl.cli import main
from metarl.envs import BatchEnv, OwnRobot
from metarl.robot_check import examination, report
from metarl.robot_check.examination import check, find_family
from metarl.robot_check.report import print_report
from metarl.util.errors import UserError
from metarl.visual import stills
from metarl.visual.video import find_backend

MJCF = """
<mujoco model="pendulum">
  <option timestep="0.02"/>
  <worldbody>
    <body name="pole" pos="0 0 1">
      <joint name="hinge" axis="0 1 0" damping="0.1"/>
      <geom name="pole" type="capsule" fromto="0 0 0 0 0 -.5" size=".03"/>
    </body>
    <body name="post"><geom name="post" size=".05"/></body>
  </worldbody>
  <actuator><motor name="hinge" joint="hinge" ctrlrange="-1 1"/></actuator>
</mujoco>
"""
ROBOT = {
    "name": "Pendulum",
    "mjcf": "pendulum.xml",
    "horizon": 25,
    "control": {"rate": 25},
    "start": {"velocity_noise": 0.1},
    "observation": [{"signal": "joint_position"}, {"signal": "joint_velocity"}],
    "reward": {"up": {"signal": "joint_position", "target": "angle", "shape": "square", "weight": -1}},
    "parameters": {
        "angle": {"unit": "rad", "default": 0, "low": -1, "high": 1},
        "mass": {"default": 1, "low": 0.5, "high": 2, "extrapolation": [[2, 3]],
                 "writes": {"quantity": "mass", "elements": "pole"}},
    },
}  # fmt: skip


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("pendulum")
    (folder / "pendulum.xml").write_text(MJCF)
    return folder


def robot(folder: Path, **changes) -> Path:
    (folder / "robot.yaml").write_text(yaml.safe_dump(ROBOT | changes, sort_keys=False))
    return folder


def checked(folder: Path, **changes) -> dict:
    return check(robot(folder, **changes), seconds=0.01)


@pytest.mark.slow
def test_a_sound_robot_passes(folder):
    result = checked(folder)
    assert (result["errors"], result["warnings"]) == ([], [])
    assert (result["name"], result["dt"], result["horizon"], result["actions"]) == ("Pendulum", 0.04, 25, ["hinge"])
    assert result["throughput"]["env_steps_per_second"] > 0 and result["throughput"]["vs_physics"] > 0
    angle, velocity = result["observation"]
    assert angle["name"] == "hinge angle" and -3 < angle["low"] < -0.1 < 0.1 < angle["high"] < 3
    assert velocity["unit"] == "rad/s"
    random = result["agents"]["random"]
    assert random["return"] == pytest.approx(random["reward_terms"]["up"]) and random["return"] < 0
    assert (random["length"], random["ended"], random["diverged"]) == (25, 0, 0)
    assert result["parameters"][1]["extrapolation"] == [[2.0, 3.0]]


WIND = {"wind": {"default": 0, "low": 0, "high": 5, "writes": {"quantity": "wind", "axis": "x", "mode": "add"}}}
LOAD = {"load": {"default": 0, "low": -1.2, "high": 1, "writes": {"quantity": "payload", "elements": "pole"}}}
STIFF = {"spring": {"default": 0, "low": 0, "high": 1e9, "writes": {"quantity": "stiffness", "mode": "set"}}}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"parameters": ROBOT["parameters"] | WIND},
         "Pendulum: no effect on the trajectory of wind (the medium has neither density nor viscosity (<option>)); ch"),
        ({"reward": {"a": {"signal": "constant", "weight": 2}}, "parameters": {"mass": ROBOT["parameters"]["mass"]}},
         "the reward is 2 in every step of every task: nothing can be learned from it"),
        ({"reward": {"up": {"signal": "body_position", "of": "post", "target": "angle", "weight": 1}}},
         "no action changes the reward: it is the same with no action and with random ones"),
        ({"termination": {"low": {"signal": "joint_position", "above": -9}}},
         "episodes end at once: after 1 steps (median) with no action and 1 with random ones"),
        ({"parameters": ROBOT["parameters"] | STIFF}, "physics broke down under the zero agent in "),
        ({"parameters": ROBOT["parameters"] | LOAD}, "Pendulum: "),
    ],
    ids=["no effect", "constant reward", "no action counts", "ends at once", "diverges", "no mass left"],
)  # fmt: skip
def test_what_makes_training_pointless_is_an_error(folder, changes, error):
    result = checked(folder, **changes)
    assert [line for line in result["errors"] if line.startswith(error)], result["errors"]


WILD = MJCF.replace("<motor ", "<motor gear='1e6' ")


@pytest.mark.slow
def test_a_robot_that_breaks_down_under_random_actions_needs_smaller_ones_and_says_little(folder, tmp_path):
    """What MuJoCo says of it stands neither on stderr nor in a file."""
    (tmp_path / "pendulum.xml").write_text(WILD)
    parameters = {"mass": ROBOT["parameters"]["mass"]}
    path = robot(tmp_path, reward={"up": {"signal": "action", "weight": -1}}, parameters=parameters)
    command = [sys.executable, "-m", "metarl.cli", "check", str(path), "--no-picture", "--json"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 1 and done.stderr == ""
    assert sorted(file.name for file in tmp_path.iterdir()) == ["pendulum.xml", "robot.yaml"]
    result = json.loads(done.stdout)
    (line,) = [line for line in result["errors"] if line.startswith("physics broke down")]
    assert "under the random agent in 33 of 33 training tasks" in line and result["agents"]["zero"]["diverged"] == 0
    advice = "make actions smaller (control.action_range, control.scale or limit), the time step smaller or the ranges"
    assert line.endswith(f"; {advice} narrower")
    assert not [line for line in result["errors"] if "no effect" in line]  # of what always breaks down


def test_of_a_slow_robot_less_is_tried_and_that_is_told(folder, monkeypatch):
    monkeypatch.setattr(examination, "_seconds_a_step", lambda env, tasks: 1.5)
    result = checked(folder, control={"rate": 5})
    cost = "a step of 41 simulations takes 1.5 s, for 10 physics steps each: only 13 of 25 steps of an episode were"
    advice = "raise control.rate or the MJCF's timestep, or use fewer bodies and contacts"
    assert result["errors"] == [] and result["warnings"][0] == f"{cost} tried; {advice}"
    assert result["agents"]["random"]["length"] == 13 and result["throughput"]["simulations"] == 13
    monkeypatch.setattr(examination, "_seconds_a_step", lambda env, tasks: 300.0)
    result = checked(folder)
    assert result["agents"]["random"]["length"] == 10 and result["throughput"]["simulations"] == 2


def test_contacts_that_its_memory_does_not_hold_are_told(folder, tmp_path):
    heap = "".join(f"<body pos='{i % 5 * .15} {i // 5 * .15} .1'><freejoint/><geom type='box' size='.1 .1 .1'/></body>"
                   for i in range(25))  # fmt: skip
    plane = "<size memory='300K'/><worldbody><geom type='plane' size='2 2 .1' pos='0 0 0'/>" + heap
    (tmp_path / "pendulum.xml").write_text(MJCF.replace("<worldbody>", plane))
    result = check(robot(tmp_path), seconds=0.01)
    assert [line for line in result["errors"] if line.startswith("more contacts") and "<size memory>" in line]


def test_it_says_what_it_does(folder):
    said = []
    check(robot(folder), seconds=0.01, progress=said.append)
    assert said == ["compiling the robot", "an agent that does nothing and one that acts at random, in 41 tasks",
                    "what each parameter changes", "throughput"]  # fmt: skip


def test_what_may_be_meant_is_a_warning(folder):
    changes = {
        "observation": [*ROBOT["observation"], {"signal": "body_position", "of": "post", "axes": "x"}],
        "reward": ROBOT["reward"] | {
            "bonus": {"signal": "joint_velocity", "shape": "above", "target": 100, "weight": 1},
        },
    }  # fmt: skip
    result = checked(folder, **changes)
    assert result["errors"] == []
    assert result["warnings"] == [
        "reward term bonus was 0 in every step: sparse, or of no use",
        "constant observations, which tell a policy nothing: post position x",
    ]


def test_a_sparse_reward_that_no_random_action_finds_is_told(folder):
    sparse = {"up": {"signal": "joint_position", "target": "angle", "shape": "within", "tolerance": 0.01, "weight": 1}}
    far = {"angle": {"default": 0, "low": 0, "high": 9}, "mass": ROBOT["parameters"]["mass"]}
    (line,) = checked(folder, reward=sparse, parameters=far)["warnings"]
    assert line.startswith("in ") and "no random action changed the reward" in line and "angle=" in line


def metarl(*arguments) -> int:
    with pytest.raises(SystemExit) as exit_:
        main([str(argument) for argument in arguments])
    return exit_.value.code or 0


def test_what_is_found_is_said_as_it_is(capsys):
    path = "/runs/:cat:[b]/" + "a" * 80
    print_report({"pictures": path, "errors": [f"no {path}"], "warnings": [path]})
    assert capsys.readouterr().out.splitlines() == [f"pictures: {path}", f"error: no {path}", f"warning: {path}"]


@pytest.mark.parametrize(("out", "why"), [("/dev/full", "File exists"), ("/proc/x", "No such file or directory")])
def test_a_picture_that_cannot_be_written_is_a_warning(folder, monkeypatch, out, why):
    monkeypatch.setattr(stills, "run_on", lambda _, arguments, timeout: Path(arguments[-1]).touch())
    monkeypatch.setattr(report, "find_backend", lambda: "none")
    env = BatchEnv(OwnRobot(str(robot(folder))), report.ROWS)
    tasks = env.space.sample(report.ROWS, "train", np.random.default_rng(0))
    warnings, seen = [], {"length": np.array([9] * 3), "poses": np.zeros((10, 3, env.model.nq))}
    assert report.draw_start(env, tasks, seen, Path(out), warnings) is None
    assert warnings == [f"no pictures: {out} cannot be written: {why}; choose another --out"]


@pytest.mark.gl
@pytest.mark.slow
def test_the_command_says_it_in_its_exit_code_and_draws(folder, tmp_path, capsys):
    assert metarl("check", robot(folder), "--out", tmp_path / "drawn", "--json") == 0
    result = json.loads(capsys.readouterr().out)
    if find_backend():
        picture = Image.open(tmp_path / "drawn" / "Pendulum.png")
        assert result["pictures"] == str(tmp_path / "drawn" / "Pendulum.png") and picture.width == 6 * 320
        assert len(picture.crop((0, 0, 320, 240)).getcolors(100_000)) > 20
    assert metarl("check", robot(folder, parameters=ROBOT["parameters"] | WIND), "--out", tmp_path) == 1
    out = capsys.readouterr().out
    assert "error: Pendulum: no effect on the trajectory of wind" in out and "hinge velocity" in out
    assert metarl("check", robot(folder, horizon=0, control={"rate": 3})) == 2
    faults = capsys.readouterr().err.splitlines()
    assert len(faults) == 2 and all(line.startswith(f"metarl: error: {folder}/robot.yaml: ") for line in faults)


def test_a_family_is_found_by_name():
    assert find_family("HalfCheetahMass").name == "HalfCheetahMass"
    with pytest.raises(UserError, match="expected a robot's YAML file, its folder, or a family.*'HalfCheetahMass'"):
        find_family("HalfCheetaMass")
    with pytest.raises(UserError, match="the actions of MetaWorldML1 are not controls"):
        find_family("MetaWorldML1")


@pytest.mark.gl
def test_sigterm_ends_the_drawing_too_and_leaves_nothing(folder, tmp_path):
    """Sent while a child draws, or, without OpenGL, while one looks for it."""
    command = [sys.executable, "-m", "metarl.cli", "check", str(robot(folder)), "--out", str(tmp_path / "drawn")]
    child, deadline = None, time.monotonic() + 120
    sign = "metarl.visual.stills" if find_backend() else "mujoco.Renderer"
    with subprocess.Popen(command, env=os.environ | {"TMPDIR": str(tmp_path)}, stdout=subprocess.DEVNULL) as process:
        while child is None:
            assert time.monotonic() < deadline and process.poll() is None
            child = next((pid for pid in children(process.pid) if sign in command_line(pid)), None)
        process.terminate()
        assert process.wait(timeout=30) == 143
    assert sign not in command_line(child) and not list(tmp_path.iterdir())


def children(pid: int) -> list[str]:
    return Path(f"/proc/{pid}/task/{pid}/children").read_text().split()


def command_line(pid: str) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_text()
    except OSError:  # it has ended
        return ""
