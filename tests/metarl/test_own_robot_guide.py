"""docs/guides/own_robot.md: its commands and its Python run; the tables of the reference are those of the code."""

import json
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from metarl.algorithms.learners import make_learner, training_env
from metarl.algorithms.promp_config import ProMPConfig
from metarl.cli import main
from metarl.config import Config, EnvConfig
from metarl.envs.own_robot.reward_terms import table as shapes
from metarl.envs.own_robot.robot import OwnRobot
from metarl.envs.own_robot.signal_table import table as signals

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "docs" / "guides" / "own_robot.md").read_text(encoding="utf-8")
TINY = ["meta_batch=2", "episodes=2", "iterations=1", "env.horizon=5", "evaluation.tasks=2", "evaluation.episodes=2",
        "evaluation.steps=1", "wandb.mode=disabled"]  # fmt: skip


@pytest.mark.slow
def test_the_commands_of_the_guide_run(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    lines = [line for block in re.findall(r"```sh\n(.*?)```", TEXT, re.DOTALL) for line in block.splitlines()]
    words = [shlex.split(line) for line in lines]
    assert ["metarl", "train"] in [line[:2] for line in words]
    for program, *arguments in words:
        if program == "python":
            subprocess.run([sys.executable, *arguments], check=True)
            continue
        if arguments[0] == "train":
            known = {setting.partition("=")[0] for setting in TINY}
            arguments = [a for a in arguments if a.partition("=")[0] not in known]
            arguments[2:2] = TINY
        with pytest.raises(SystemExit) as exit_:
            main(arguments)
        assert not exit_.value.code, capsys.readouterr().err
    written = {path.relative_to(tmp_path / "runs" / "rover").parts[0] for path in (tmp_path / "runs").rglob("*.*")}
    assert {"robot", "evaluations", "figures", "replays", "exports"} <= written
    assert (tmp_path / "mine" / "rover" / "rover.xml").is_file()
    (exported,) = (tmp_path / "runs" / "rover" / "exports").glob("*.json")
    about = exported.read_text()
    assert json.loads(about)["options"]["robot"] == "robot/robot.yaml" and str(tmp_path) not in about


@pytest.mark.slow
def test_the_python_of_the_guide_runs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("metarl.util.plugins._added", {})
    shutil.copytree(ROOT / "configs" / "own_robot", "mine")
    blocks = re.findall(r"```python\n(.*?)```", TEXT, re.DOTALL)
    assert blocks
    namespace = {}
    for block in blocks:
        exec(compile(block, "docs/guides/own_robot.md", "exec"), namespace)
    assert namespace["observation"].shape == (64, 10)
    assert namespace["one"].reset(seed=0)[0].tolist() == namespace["many"].reset(seed=[0] * 8)[0][3].tolist()
    env = EnvConfig(family="Shuttle", horizon=5)
    learner = make_learner(Config(env=env, algorithm=ProMPConfig(), meta_batch=2, episodes=2, threads=1))
    assert learner.iterate(training_env(learner.config), 0)["env_steps"] == 40


def test_the_robot_of_the_guide_is_the_one_that_ships():
    (block,) = re.findall(r"```yaml\n(.*?)```", TEXT, re.DOTALL)
    assert block == (ROOT / "configs" / "own_robot" / "rover" / "robot.yaml").read_text(encoding="utf-8")
    assert OwnRobot(ROOT / "configs" / "own_robot" / "rover").name == "Rover"


def test_the_tables_are_those_of_the_code():
    """After a change: replace them by what table() of metarl.envs.own_robot.signal_table and reward_terms gives."""
    reference = (ROOT / "docs" / "reference" / "robot_yaml.md").read_text(encoding="utf-8")
    assert signals() in reference and shapes() in reference
