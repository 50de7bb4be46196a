"""A method, a memory and a robot from outside: examples/plugin goes through every command, installed and not."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from metarl.runs import checkpoint

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
PLUGIN = ROOT / "examples" / "plugin"
SMALL = ["meta_batch=3", "episodes=2", "env.horizon=10", "threads=1", "evaluation.tasks=3",
         "evaluation.episodes=2", "evaluation.steps=1", "wandb.mode=disabled"]  # fmt: skip
WALKS = ["add_an_algorithm", "add_a_memory", "add_a_robot_in_python"]


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    """A folder into which the example is installed, beside nothing else."""
    folder, source = tmp_path_factory.mktemp("installed"), tmp_path_factory.mktemp("source") / "plugin"
    shutil.copytree(PLUGIN, source)
    alone = ["--no-build-isolation", "--no-deps", "--no-index", "--quiet", "--disable-pip-version-check"]
    subprocess.run([sys.executable, "-m", "pip", "install", *alone, "--target", folder, source], check=True)
    return folder


@pytest.fixture
def metarl(installed, tmp_path):
    """Runs `metarl` where the example is installed: (exit code, output, errors)."""

    def run(*args, path=installed, cwd=tmp_path):
        env = {**os.environ, "PYTHONPATH": str(path), "WANDB_MODE": "disabled"}
        command = [sys.executable, "-m", "metarl", *map(str, args)]
        child = subprocess.run(command, cwd=cwd, env=env, capture_output=True, text=True, timeout=250)
        return child.returncode, child.stdout, child.stderr

    return run


def good(result):
    code, output, errors = result
    assert code == 0, errors
    return output


def test_its_parts_are_listed_with_where_they_come_from(metarl):
    for subject, name in (("algorithms", "fomaml"), ("memories", "mgu"), ("families", "CartOnSlope")):
        line = next(line for line in good(metarl("list", subject)).splitlines() if name in line)
        assert "[metarl-example 0.1.0]" in line
    assert "(fomaml) Adam's step size in the outer update." in good(metarl("list", "settings"))
    assert "FOMAMLConfig" in json.loads(good(metarl("list", "schema")))["config"]["$defs"]


@pytest.mark.parametrize(("override", "message"), [
    ("algorithm.lr=-1", "command line: algorithm.lr: got -1, expected greater than 0"),
    ("algorithm.epoch=3", "algorithm.epoch: got 3, expected no such key (did you mean 'algorithm.epochs'?)"),
    ("algorithm.name=fomam", "expected an algorithm (did you mean 'fomaml'?)"),
    ("inner.steps=0", "inner.steps: got 0, expected at least 1 with fomaml"),
    ("env.family=CartOnSlop", "expected a family (did you mean 'CartOnSlope'?)"),
])  # fmt: skip
def test_mistakes_are_named_as_for_what_ships(metarl, override, message):
    code, _, errors = metarl("train", PLUGIN / "configs" / "fomaml.yaml", override)
    assert code == 2 and message in errors and "Traceback" not in errors


def test_it_goes_through_every_command(metarl, tmp_path):
    config = PLUGIN / "configs" / "fomaml.yaml"
    good(metarl("train", config, *SMALL, "iterations=3", "--run", "whole"))
    good(metarl("train", config, *SMALL, "iterations=3", "checkpoint_every=1", "--run", "resumed"))
    shutil.rmtree(tmp_path / "resumed" / "checkpoints" / "3")
    good(metarl("train", "--run", "resumed", "--resume"))
    whole, resumed = (checkpoint.load(tmp_path / run / "checkpoints" / "3") for run in ("whole", "resumed"))
    assert all(torch.equal(value, resumed.tensors[name]) for name, value in whole.tensors.items())
    metrics = [(tmp_path / run / "metrics.jsonl").read_text() for run in ("whole", "resumed")]
    assert metrics[0] == metrics[1]

    result = json.loads(good(metarl("evaluate", "whole", "--average", 1, "--json")))
    assert len(result["curve"]) == 2
    good(metarl("train", config, *SMALL, "algorithm={name: promp, epochs: 1}", "iterations=2", "--run", "promp"))
    compared = json.loads(good(metarl("compare", "whole", "promp", "--json")))
    assert [method["name"] for method in compared["methods"]] == ["FOMAML", "ProMP"]
    assert "page.html" in good(metarl("report", "whole", "promp", "--out", "page.html"))
    assert "FOMAML" in (tmp_path / "page.html").read_text()
    assert "adaptation" in good(metarl("visualise", "whole"))
    file = Path(good(metarl("export", "whole", "--task", 0)).splitlines()[0])
    assert (tmp_path / file).stat().st_size > 1000


def test_its_search_runs_in_worker_processes(metarl, tmp_path):
    config, search = PLUGIN / "configs" / "fomaml.yaml", ["--trials", 2, "--search", "random", "--run", "s"]
    good(metarl("tune", config, *SMALL, "iterations=2", *search))
    space = (tmp_path / "s" / "space.yaml").read_text()
    assert "algorithm.epochs" in space and "inner.lr" in space
    assert len(list((tmp_path / "s" / "trials").iterdir())) == 2


def test_its_memory_is_trained_and_exported(metarl, tmp_path):
    config = PLUGIN / "configs" / "rl2_mgu.yaml"
    code, _, errors = metarl("train", config, "algorithm.memory=mgi")
    assert code == 2 and "algorithm.memory: got \"mgi\", expected a memory cell (did you mean 'mgu'?)" in errors
    small = [*SMALL, "iterations=2", "algorithm.memory_size=8", "algorithm.minibatches=1"]
    good(metarl("train", config, *small, "--run", "mgu"))
    assert "RL² (mgu)" in good(metarl("compare", "mgu", "--json")).encode().decode("unicode_escape")
    good(metarl("export", "mgu"))


def test_a_module_that_is_not_installed_does_the_same(metarl, tmp_path):
    nowhere, config = tmp_path / "nowhere", "configs/fomaml.yaml"
    nowhere.mkdir()
    plugin = ["--plugin", "metarl_example.plugin"]
    code, _, errors = metarl("train", config, *SMALL, "iterations=2", path=nowhere, cwd=PLUGIN)
    assert code == 2 and 'algorithm.name: got "fomaml", expected an algorithm' in errors
    run = tmp_path / "run"
    good(metarl("train", config, *SMALL, "iterations=2", "--run", run, *plugin, path=nowhere, cwd=PLUGIN))
    good(metarl(*plugin, "evaluate", run, path=nowhere, cwd=PLUGIN))
    code, _, errors = metarl("evaluate", run, path=nowhere, cwd=PLUGIN)
    assert code == 2 and "the run was made with --plugin metarl_example.plugin; add it" in errors
    search = ["--trials", 1, "--search", "random", "--run", tmp_path / "search"]
    good(metarl("tune", config, *SMALL, "iterations=2", *search, *plugin, path=nowhere, cwd=PLUGIN))  # in a worker
    code, _, errors = metarl("list", "algorithms", "--plugin", "metarl_exampel", path=nowhere, cwd=PLUGIN)
    assert code == 2 and errors.startswith("metarl: error: --plugin: ") and "Traceback" not in errors


@pytest.mark.parametrize("name", WALKS)
def test_the_walk_shows_the_example_s_own_lines(name):
    text = (ROOT / "docs" / "guides" / f"{name}.md").read_text(encoding="utf-8")
    sources = [path.read_text(encoding="utf-8") for path in PLUGIN.rglob("*") if path.suffix in (".py", ".toml")]
    shown = re.findall(r"```(?:python|toml)\n(.*?)```", text, re.DOTALL)
    assert shown
    for block in shown:
        assert any(block.strip("\n") in source for source in sources), block


@pytest.mark.parametrize("name", WALKS)
def test_the_snippets_of_the_walk_run(name, installed, tmp_path):
    text = (ROOT / "docs" / "guides" / f"{name}.md").read_text(encoding="utf-8")
    blocks = re.findall(r"```python test\n(.*?)```", text, re.DOTALL)
    assert blocks
    env = {**os.environ, "PYTHONPATH": str(installed)}
    for block in blocks:
        child = subprocess.run([sys.executable, "-c", block], cwd=ROOT, env=env, capture_output=True, text=True)
        assert child.returncode == 0, child.stderr
