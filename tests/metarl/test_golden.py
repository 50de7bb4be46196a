"""Runs of before: the same bits come out of their configs today, and their folders still load, evaluate and resume."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml

from metarl.config import load_config
from metarl.evaluation.compare import compare_runs
from metarl.evaluation.evaluate import evaluate_run
from metarl.runs.run import open_run
from metarl.runs.versions import describe
from metarl.training.train import train

pytestmark = pytest.mark.slow

GOLDEN = Path(__file__).parents[1] / "golden"
OLD_NAMES = {
    "promp": {"clip": "clip_range", "inner_kl": "inner_kl_coef"},
    "rl2": {"clip": "clip_range", "value_weight": "value_loss_coef", "entropy": "entropy_coef",
            "max_gradient": "max_grad_norm"},
    "maml-trpo": {}, "reptile": {}, "scratch": {}, "random": {},
}  # fmt: skip
NAMES = sorted(path.parent.name for path in GOLDEN.glob("*/config.yaml"))


@pytest.fixture(scope="module", params=NAMES)
def golden(request):
    """The folder of a run of before; nothing may write there."""
    folder = GOLDEN / request.param
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    yield folder
    assert {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == before


@pytest.fixture(scope="module")
def again(golden, tmp_path_factory):
    """The same run, trained today from the old config."""
    return train(load_config(golden / "config.yaml"), tmp_path_factory.mktemp(golden.name) / "run")


@pytest.fixture
def copied(golden, tmp_path):
    return shutil.copytree(golden, tmp_path / golden.name)


def same_machine(folder):
    """Whether the run was made on a machine like this one, with these libraries."""
    made, here = json.loads((folder / "versions.json").read_text())["sessions"][0], describe(1)
    return all(made[key] == here[key] for key in ("cpu", "torch", "numpy", "mujoco"))


def assert_same(got, want, folder):
    """Bit for bit on a machine like the one that made the golden run; any nesting of numbers.

    Elsewhere as many numbers, all finite: three iterations of physics make any rounding error as large as the result.
    """
    if isinstance(want, dict):
        assert got.keys() == want.keys()
        for name in want:
            assert_same(got[name], want[name], folder)
    else:
        got, want = np.asarray(got, float), np.asarray(want, float)
        if same_machine(folder):
            np.testing.assert_array_equal(got, want)
        else:
            assert got.shape == want.shape and np.isfinite(got).all()


def tensors(folder):
    """Of the newest checkpoint, with the names of today."""
    return {k.replace("normaliser", "normalizer"): v for k, v in open_run(folder).checkpoint().tensors.items()}


def returns(folder):
    (file,) = (folder / "evaluations").glob("held_out-3-*.json")
    return json.loads(file.read_text())["returns"]


def test_there_is_one_of_each_kind():
    configs = [open_run(GOLDEN / name).config for name in NAMES]
    assert {config.algorithm.name for config in configs} == {
        "promp", "maml-trpo", "rl2", "reptile", "scratch", "random",
    }
    memories = {config.algorithm.memory for config in configs if config.algorithm.name == "rl2"}
    assert memories == {"gru", "lstm", "transformer", "hebbian", "neuromodulated", "none", "one_step"}
    assert {config.inner.sb3.algorithm for config in configs} == {None, "PPO", "RecurrentPPO", "SAC"}


def test_training_repeats_it(golden, again):
    assert_same(tensors(again), tensors(golden), golden)
    rows, want = open_run(again).metrics(), open_run(golden).metrics()
    assert [row["iteration"] for row in rows] == [0, 1, 2]
    for got, row in zip(rows, want, strict=True):
        assert_same(got, row, golden)
    if "return_0" in want[0]:  # of untrained weights: what is drawn is the same anywhere
        np.testing.assert_allclose(rows[0]["return_0"], want[0]["return_0"], rtol=0.05)
    assert_same(returns(again), returns(golden), golden)
    assert open_run(again).tasks("held_out") == open_run(golden).tasks("held_out")


def test_its_folder_is_read(golden):
    run, written = open_run(golden), yaml.safe_load((golden / "config.yaml").read_text())
    assert len(run.metrics()) == 3 == run.checkpoint().iteration
    assert len(run.tasks("held_out")) == 6
    if "revision" in written:
        assert run.config.revision == written["revision"] == int(golden.name[-1])
        return
    assert run.config.revision == 1
    assert run.config.policy.normalize_observations is written["policy"]["normalise_observations"]
    for old, new in OLD_NAMES[written["algorithm"]["name"]].items():
        assert getattr(run.config.algorithm, new) == written["algorithm"][old]


def test_its_folder_is_evaluated(golden, copied):
    kept, result = returns(golden), evaluate_run(copied)
    assert_same(result.to_json()["returns"], kept, golden)


def test_its_folder_is_resumed(golden, again, copied, tmp_path):
    """One more iteration, where its number may change: with the same end as behind the training of today."""
    config = open_run(golden).config
    if config.algorithm.scheduled:
        train(load_config(copied / "config.yaml"), copied, resume=True)
        assert open_run(copied).metrics() == open_run(golden).metrics()
        return
    today = shutil.copytree(again, tmp_path / "today")
    for folder in (copied, today):
        train(load_config(folder / "config.yaml", ["iterations=4"]), folder, resume=True)
    assert open_run(copied).checkpoint().iteration == 4 == len(open_run(copied).metrics())
    assert open_run(copied).metrics()[:3] == open_run(golden).metrics()
    assert_same(open_run(copied).metrics()[3], open_run(today).metrics()[3], golden)
    assert_same(tensors(copied), tensors(today), golden)
    if config.algorithm.trained:
        changed = [name for name, value in tensors(copied).items() if not torch.equal(value, tensors(golden)[name])]
        assert changed


def test_folders_are_compared(tmp_path):
    names = ("promp_two_steps", "reptile_recurrent_ppo", "rl2_lstm", "scratch")
    folders = [shutil.copytree(GOLDEN / name, tmp_path / name) for name in names]
    comparison = compare_runs(folders, steps=1)
    assert [measured.method.name for measured in comparison.measured] == [
        "ProMP", "Reptile over RecurrentPPO", "RL² (lstm)", "policy gradient from scratch",
    ]
    for folder, measured in zip(folders, comparison.measured, strict=True):
        assert_same(measured.returns[0], np.mean(returns(GOLDEN / folder.name)[:2], axis=-1), GOLDEN / folder.name)
    # what was evaluated before need not be again; of the first, another number of steps was
    assert [len(list((folder / "evaluations").iterdir())) for folder in folders] == [2, 1, 1, 1]
