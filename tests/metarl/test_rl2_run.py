"""Runs of RL²: trained, interrupted, resumed, evaluated and drawn by the same commands as all others."""

import json

import numpy as np
import pytest
import torch

from metarl.algorithms.learners import make_env, make_learner
from metarl.algorithms.restore import load_adapter
from metarl.cli import main
from metarl.config import load_config
from metarl.evaluation.adaptation_curve import measure
from metarl.evaluation.result import Evaluation
from metarl.runs import checkpoint
from metarl.runs.jsonl import read_lines
from metarl.runs.run import open_run
from metarl.training.train import train
from metarl.visual.figures import adaptation_figure
from metarl.visual.replay import record

TINY = """
env: {family: Navigation2D, horizon: 10}
policy: {hidden: [8], normalize_observations: true}
algorithm: {name: rl2, memory_size: 8, epochs: 2, minibatches: 2, window: 8, anneal: true}
meta_batch: 4
episodes: 2
iterations: 6
threads: 1
checkpoint_every: 2
evaluation: {tasks: 3, episodes: 2, steps: 2, every: 4}
wandb: {mode: disabled}
"""


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("rl2")
    (folder / "tiny.yaml").write_text(TINY)
    return train(load_config(folder / "tiny.yaml"), folder / "run")


def results(path):
    files = [path / "metrics.jsonl", path / "evaluations.jsonl", path / "checkpoints" / "6" / checkpoint.TENSORS]
    return [file.read_bytes() for file in files]


@pytest.mark.slow
def test_a_resumed_run_ends_where_the_unbroken_one_does(run, tmp_path, monkeypatch):
    iterate = type(make_learner(open_run(run).config)).iterate

    def power_cut(self, env, iteration):
        if iteration == 3:
            raise KeyboardInterrupt
        return iterate(self, env, iteration)

    config = open_run(run).config
    monkeypatch.setattr("metarl.algorithms.rl2.RL2.iterate", power_cut)
    with pytest.raises((KeyboardInterrupt, SystemExit)):
        train(config, tmp_path / "run")
    monkeypatch.undo()
    assert len(read_lines(tmp_path / "run" / "metrics.jsonl")) == 3
    train(config, tmp_path / "run", resume=True)
    assert results(tmp_path / "run") == results(run)


def test_its_metrics_are_of_the_episodes_of_a_trial(run):
    rows = open_run(run).metrics()
    assert [row["iteration"] for row in rows] == list(range(6))
    assert all({"return_0", "return_1", "kl", "value_loss"} <= row.keys() for row in rows)
    assert 0.9 * 6 * 8 * 2 * 10 < rows[-1]["env_steps"] <= 6 * 8 * 2 * 10  # an episode ends at the goal


@pytest.mark.slow
def test_the_commands_speak_of_episodes(run, capsys):
    with pytest.raises(SystemExit) as caught:
        main(["evaluate", str(run)])
    assert not caught.value.code
    text = " ".join(capsys.readouterr().out.split())
    assert "After 1 episode (1 s of experience in each task)" in text
    assert "an episode in each of 2 trials per task" in text
    document = json.loads(next((run / "evaluations").glob("validation-6-*.json")).read_text())
    assert [(p["step"], p["episodes"], p["seconds"]) for p in document["curve"]] == [(0, 0, 0), (1, 1, 1), (2, 2, 2)]
    assert document["pooled"] is False
    with pytest.raises(SystemExit) as caught:
        main(["visualise", str(run)])
    assert not caught.value.code
    page = (run / "replays" / "before_after.html").read_text()
    assert "the same task before and after 1 episode" in page


def test_the_figure_s_axis_is_episodes(run):
    evaluation = Evaluation.load(next((run / "evaluations").glob("validation-6-*.json")))
    assert not evaluation.pooled
    axes = adaptation_figure(evaluation).axes[0]
    assert axes.get_xlabel() == "episodes in the task before"


def test_each_episode_goes_on_from_the_memory_of_the_one_before(run):
    """As a loop over trials by hand would; and evaluating works before any training."""
    config = open_run(run).config
    learner = make_learner(config)
    tasks = learner.spec.task_space.sample(3, "held_out", np.random.default_rng(0))
    adapter = learner.adapter()
    states = []
    adapt = adapter.adapt
    adapter.adapt = lambda state, rollout: states.append((state, adapt(state, rollout))) or states[-1][1]
    result = measure(adapter, lambda n: make_env(config, n), tasks, steps=2, episodes=2, seed=0)
    assert result.returns.shape == (3, 3, 2) and np.isfinite(result.returns).all()
    (first, second), (third, _) = states
    assert third is second
    assert not any(x.any() for x in first.memory) and all(x.any() for x in second.memory)


def test_a_replay_shows_the_first_episode_and_a_later_one_of_the_same_life(run):
    config, adapter = open_run(run).config, load_adapter(open_run(run))
    states = []
    act = adapter.act
    adapter.act = lambda state, *rest: states.append(state) or act(state, *rest)
    tasks = open_run(run).tasks("held_out")[:2]
    replay = record(adapter, lambda n: make_env(config, n), tasks, steps=1, episodes=20, seed=0)
    assert (replay.episodes, replay.steps, replay.pooled) == (1, 1, False)
    begins = [state for state in states if state.starts.all()]
    assert [any(x.any() for x in state.memory) for state in begins] == [False, False, True]
    assert all(torch.isfinite(x).all() for x in begins[-1].memory)
    later = [state for state in states if not state.starts.any() and not state.over.any()]
    assert len(later) == 3 * 9  # and what a step earned is known in the next
    assert all(state.rewards.all() for state in later)
    assert all(not torch.equal(a.rewards, b.rewards) for a, b in zip(later, later[1:]))
