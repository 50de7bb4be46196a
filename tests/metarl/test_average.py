"""Evaluating the mean of checkpoints: which tensors it takes, of which checkpoints, and where that is told."""

import json

import pytest
import torch

from metarl.algorithms.learners import make_learner, training_env
from metarl.config import changed, load_config
from metarl.evaluation.evaluate import evaluate_run
from metarl.runs.average import averaged
from metarl.runs.checkpoint import load, save
from metarl.runs.run import start
from metarl.util.errors import UserError

SMALL = {
    "env": {"family": "HalfCheetahMass", "horizon": 3},
    "meta_batch": 2, "episodes": 2, "threads": 1, "evaluation": {"tasks": 2, "episodes": 2, "steps": 1},
    "keep_checkpoints": 10,
}  # fmt: skip


@pytest.fixture(params=["promp", "rl2", "reptile_ppo"])
def run(request, tmp_path):
    """A run of four checkpoints."""
    small = SMALL | ({"algorithm.minibatches": 1, "algorithm.window": 3} if request.param == "rl2" else {})
    config = changed(load_config(f"half_cheetah_mass/{request.param}"), small)
    run = start(config, tmp_path / "run")
    learner = make_learner(config)
    for iteration in range(4):
        save(run.checkpoints, learner.state_dict(), {"iteration": iteration, "env_steps": iteration}, keep=10)
        learner.iterate(training_env(learner.config), iteration)
    run.lock.release()
    return run


@pytest.mark.slow
def test_weights_are_averaged_and_the_rest_is_the_newest(run):
    states = [saved_tensors(run, iteration) for iteration in range(4)]
    mean = averaged(run.checkpoints, 3, run.config.algorithm.weights)
    assert mean.meta["averaged"] == [1, 2, 3] and mean.iteration == 3
    changing = 0
    for name, value in mean.tensors.items():
        if name.startswith(run.config.algorithm.weights):
            expected = (states[1][name] + states[2][name] + states[3][name]) / 3
            torch.testing.assert_close(value, expected, rtol=1e-5, atol=1e-7)
            changing += not torch.equal(value, states[3][name])
        else:
            assert torch.equal(value, states[3][name])
    assert changing > 2
    one = averaged(run.checkpoints, 1, run.config.algorithm.weights)
    assert all(torch.equal(one.tensors[name], states[3][name]) for name in states[3])


def saved_tensors(run, iteration):
    return load(run.checkpoints / str(iteration)).tensors


@pytest.mark.slow
def test_an_evaluation_says_what_was_averaged(run):
    newest, mean = evaluate_run(run), evaluate_run(run, average=4)
    assert newest.path != mean.path and newest.returns.tolist() != mean.returns.tolist()
    assert "averaged" not in newest.origin["checkpoint"]
    assert mean.origin["checkpoint"]["averaged"] == [0, 1, 2, 3]
    with open(mean.path) as file:
        assert json.load(file)["origin"]["checkpoint"]["averaged"] == [0, 1, 2, 3]


@pytest.mark.slow
def test_more_than_there_are(run):
    with pytest.raises(UserError, match="--average: got 5, expected at most 4, the checkpoints in .*keep_checkpoints"):
        averaged(run.checkpoints, 5, run.config.algorithm.weights)
    (run.checkpoints / "2" / "state.safetensors").write_bytes(b"x")
    with pytest.raises(UserError, match=r"--average: one of checkpoints \[1, 2, 3\] in .* is corrupt"):
        averaged(run.checkpoints, 3, run.config.algorithm.weights)
