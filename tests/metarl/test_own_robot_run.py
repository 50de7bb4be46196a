"""A run of a person's own robot: it keeps the robot's files, can be moved, and does not use files that changed."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from metarl.cli import main
from metarl.config import config_names, load_config
from metarl.evaluation.result import Evaluation
from metarl.runs.run import open_run
from metarl.util.errors import UserError

SHIPPED = Path(__file__).parents[2] / "configs" / "own_robot"
TINY = ["iterations=1", "meta_batch=2", "episodes=2", "env.horizon=5", "evaluation.tasks=2", "evaluation.episodes=2",
        "evaluation.steps=1", "wandb.mode=disabled", "threads=1"]  # fmt: skip


@pytest.fixture
def project(tmp_path):
    """A person's folder: a config, and a robot beside it."""
    shutil.copytree(SHIPPED, tmp_path / "mine")
    return tmp_path / "mine"


def metarl(*arguments) -> int:
    with pytest.raises(SystemExit) as exit_:
        main([str(argument) for argument in arguments])
    return exit_.value.code or 0


def test_a_run_keeps_its_robot_and_can_be_moved(project, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # the robot's path is relative to the config, not to this
    assert metarl("train", project / "promp.yaml", *TINY, "--run", "run") == 0
    assert "Rover" in open_run(tmp_path / "run").task_space.family
    shutil.rmtree(project)
    (tmp_path / "run").rename(tmp_path / "moved")
    assert metarl("evaluate", "moved", "--tasks", "extrapolation") == 0
    assert metarl("train", "moved/config.yaml", "iterations=2", "--run", "moved", "--resume") == 0
    assert metarl("export", "moved") == 0
    kept = [Evaluation.load(file) for file in (tmp_path / "moved" / "evaluations").glob("*.json")]
    assert len(kept) >= 2 and {evaluation.tasks.space.family for evaluation in kept} == {"Rover"}
    assert {evaluation.env.options["robot"] for evaluation in kept} == {str(tmp_path / "moved/robot/robot.yaml")}
    robot = tmp_path / "moved" / "robot" / "rover.xml"
    robot.write_text(robot.read_text().replace('mass="3"', 'mass="4"'))
    command = [sys.executable, "-m", "metarl", "evaluate", "moved"]  # a process keeps what it has read
    child = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=120)
    (line,) = child.stderr.splitlines()
    assert child.returncode == 2
    assert "moved/config.yaml: env.robot: " in line and "its files have changed: got digest" in line


def test_a_resume_with_another_robot_is_refused(project, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert metarl("train", project / "promp.yaml", *TINY, "--run", "run") == 0
    assert metarl("train", project / "promp.yaml", *TINY[1:], "iterations=2", "--run", "run", "--resume") == 0
    robot = project / "rover" / "robot.yaml"
    robot.write_text(robot.read_text() + "# changed\n")
    capsys.readouterr()
    assert metarl("train", project / "promp.yaml", *TINY[1:], "iterations=3", "--run", "run", "--resume") == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "--resume: env.options.sha256: got " in line and "it alters training" in line


def test_faults_of_the_robot_and_of_the_config_are_told_together(project):
    robot = project / "rover" / "robot.yaml"
    text = robot.read_text().replace("rate: 25", "rate: 26")
    robot.write_text(text.replace("of: chassis, axes: z", "of: chasis, axes: z"))
    with pytest.raises(UserError) as refusal:
        load_config(project / "promp.yaml", ["inner.lr=-1"])
    lines = str(refusal.value).splitlines()
    assert len(lines) == 3 and lines[0] == "command line: inner.lr: got -1, expected greater than 0"
    begin = f"{project}/promp.yaml: env.robot: {robot}: "
    assert lines[1].startswith(begin + "control.rate: got 26, expected a rate that divides the 100 physics steps")
    assert lines[2].startswith(begin + 'reward.turn.of: got "chasis", expected names of bodies or sites (did you mean')


@pytest.mark.parametrize(
    ("env", "line"),
    [
        ("{robot: nowhere}", "env.robot: {0}/nowhere: neither a robot's YAML file nor a folder with a robot.yaml"),
        ("{robot: 3}", "env.options.robot: got 3, expected a valid string"),
        ("{family: OwnRobot}", "env.robot: got nothing, expected the path of a robot's YAML file"),
        ("{family: AntDir, robot: rover}",
         "env.robot: got it beside env.family = AntDir, expected one of the two; on"
         " the command line env.robot=PATH takes the place of a family"),
        ("{robot: rover, options: {robott: 1}}",
         "env.options.robott: got 1, expected an option of OwnRobot (did you mean 'robot'?)"),
    ],
)  # fmt: skip
def test_a_config_that_names_no_robot_is_refused(project, env, line):
    (project / "bad.yaml").write_text(f"env: {env}\nalgorithm: {{name: promp}}\n")
    with pytest.raises(UserError) as refusal:
        load_config(project / "bad.yaml")
    assert str(refusal.value) == f"{project}/bad.yaml: {line.format(project)}"


def test_the_shipped_robot_is_a_config_by_name_and_no_config_itself():
    assert Path(load_config("own_robot/promp").env.options["robot"]).samefile(SHIPPED / "rover" / "robot.yaml")
    assert not [name for name in config_names() if "rover" in name]


@pytest.mark.parametrize("more", [[], ["env.family=null"]])
def test_a_shipped_config_takes_an_own_robot(project, monkeypatch, more):
    """With the settings that do not belong to the family in whose place it comes."""
    monkeypatch.chdir(project)
    config = load_config("half_cheetah_vel/promp", ["env.robot=rover", *more])
    assert config.env.load_family().name == "Rover" and [*config.env.options] == ["robot", "sha256"]
    assert config.algorithm.name == "promp" and config.env.action_scale == 10


def test_a_robot_and_a_family_in_one_place_are_refused(project):
    both = project / "both.yaml"
    both.write_text("env: {robot: rover, family: AntDir}\nalgorithm: {name: promp}\n")
    for overrides in ([], ["env.robot=rover", "env.family=AntDir"]):
        with pytest.raises(UserError, match="env.robot: got it beside env.family = AntDir, expected one of the two"):
            load_config(both, overrides)
