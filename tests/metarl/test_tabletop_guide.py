"""docs/guides/tabletop.md: its commands run, its YAML and MJCF are what ships, and what it says to change works."""

import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from metarl.cli import main
from metarl.envs import BatchEnv
from metarl.envs.own_robot import mjcf
from metarl.envs.own_robot.robot import OwnRobot
from metarl.evaluation.result import Evaluation
from metarl.runs.run import open_run
from metarl.util.optional import Extra
from metarl.util.safe_yaml import parse_yaml, write_yaml

from .test_own_robot_guide import TINY

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "docs" / "guides" / "tabletop.md").read_text(encoding="utf-8")
SHIPPED = ROOT / "configs" / "own_robot" / "tabletop"
pytestmark = pytest.mark.metaworld


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", TEXT, re.DOTALL)


def test_what_the_guide_shows_is_what_ships():
    scene = (SHIPPED / "push.xml").read_text(encoding="utf-8")
    assert blocks("yaml") == [(SHIPPED / "robot.yaml").read_text(encoding="utf-8")]
    arm, carriage, _ = blocks("xml")
    assert carriage in scene
    assert all(line in scene for line in arm.splitlines() if line.strip() != "...")


@pytest.mark.slow
def test_the_commands_of_the_guide_run(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    for program, *arguments in (shlex.split(line) for block in blocks("sh") for line in block.splitlines()):
        if program == "python":
            subprocess.run([sys.executable, *arguments], check=True, env={**os.environ, "PYTHONPATH": str(ROOT)})
            continue
        if arguments[0] == "train":
            arguments[2:2] = TINY
        with pytest.raises(SystemExit) as exit_:
            main(arguments)
        assert not exit_.value.code, capsys.readouterr().err
    assert "no errors, 0 warnings" in capsys.readouterr().out
    kept = tmp_path / "runs" / "push" / "robot"
    assert len([*(kept / "metaworld").rglob("*.stl")]) == 11
    found = [Evaluation.load(file) for file in (tmp_path / "runs" / "push" / "evaluations").glob("*.json")]
    assert all(evaluation.successes is not None for evaluation in found) and len(found) == 2
    monkeypatch.setitem(mjcf.PACKAGES, "metaworld", (Extra("metaworld", "no_such_package"), Path("assets")))
    told = open_run(tmp_path / "runs" / "push").config.env.options["sha256"]
    assert OwnRobot(kept).digest == told, "a run needs the package"


def changed(folder: Path, scene, robot) -> BatchEnv:
    shutil.copytree(SHIPPED, folder)
    text = (folder / "push.xml").read_text(encoding="utf-8")
    (folder / "push.xml").write_text(scene(text))
    data = parse_yaml((folder / "robot.yaml").read_text(encoding="utf-8"))
    (folder / "robot.yaml").write_text(write_yaml(data | robot(data)))
    env = BatchEnv(OwnRobot(folder), 1, autoreset_mode="Disabled")
    env.reset(seed=0)
    return env


def test_the_gripper_of_the_guide_closes_and_opens(tmp_path):
    gripper = blocks("xml")[2] + "</mujoco>"
    env = changed(tmp_path / "grip", lambda text: text.replace("</mujoco>", gripper), lambda data: {})
    model, apart = env.model_of(0), []
    for grip in (1, -1):
        for _ in range(10):
            env.step([[0, 0, 0, grip]])
        fingers = [env.data_of(0).qpos[model.joint(name).qposadr[0]] for name in ("r_close", "l_close")]
        apart.append(fingers[0] - fingers[1])
    assert apart[0] > 0.06 and abs(apart[1]) < 0.002


def test_the_arm_s_own_joints_hold_it_without_the_carriage(tmp_path):
    (row,) = re.findall(r"`control: (\{kind: position.*?\})`", TEXT)
    without = (r"    <!-- What moves.*?</body>\n", r"  <equality>.*?</actuator>\n")

    def robot(data):
        seen = [entry for entry in data["observation"] if entry["signal"] != "actuator_activation"]
        return {"control": parse_yaml(row), "observation": seen}

    env = changed(tmp_path / "arm", lambda text: re.sub("|".join(without), "", text, flags=re.DOTALL), robot)
    for _ in range(20):
        seen, *_ = env.step(np.zeros((1, 7)))
    np.testing.assert_allclose(seen[0, :3], [0, 0.5, 0.053], atol=0.01)
