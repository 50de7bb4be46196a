"""Meta-World's protocol of evaluation: what is counted, held against a plain run of its rules, and the command."""

import json
import re

import numpy as np
import pytest

from metarl import cli
from metarl.evaluation.metaworld import GOALS, MetaWorldResult, _share, evaluate_metaworld
from metarl.runs.run import open_run
from metarl.util.errors import UserError
from metarl.watch.session import Session

pytestmark = pytest.mark.metaworld


def plainly(first, horizon: int) -> float:
    """Four environments in step; an episode ends when it is solved, another begins, until three have ended."""
    elapsed, ended = [0] * 4, []
    while len(ended) < 3:
        for i in range(4):
            elapsed[i] += 1
            solved = elapsed[i] == first[i]
            if solved or elapsed[i] == horizon:
                ended.append(solved)
                elapsed[i] = 0
    return sum(ended[:3]) / 3


def test_the_first_three_to_end_are_counted():
    assert _share(np.array([10, 0, 0, 0]), 500) == 1.0  # one fast success hides three failures
    assert _share(np.array([200, 0, 0, 0]), 500) == pytest.approx(2 / 3)
    assert _share(np.array([0, 0, 0, 500]), 500) == 0.0  # ties: the first environments
    rng = np.random.default_rng(0)
    for _ in range(300):
        first = np.where(rng.random(4) < 0.5, rng.integers(1, 21, 4), 0)
        assert _share(first, 20) == pytest.approx(plainly(first, 20)), first


def test_every_goal_counts_once_in_the_other_rate():
    first = np.zeros((2, GOALS), np.int64)
    first[0, ::4] = 10  # one fast success in each round of four
    result = MetaWorldResult(("push-v3", "reach-v3"), first, 500)
    assert result.published == 0.5 and result.every.value == 0.125
    low, high = result.every.interval
    assert 0.04 < low < 0.125 < high < 0.25
    document = json.loads(json.dumps(result.to_json()))
    assert document["environments"]["push-v3"] == {"as_metaworld_counts": 1.0, "of_every_episode": 0.25}


@pytest.mark.slow
@pytest.mark.parametrize("algorithm", ["{name: rl2}", "{name: promp}"])
def test_a_run_is_evaluated_by_the_command(algorithm, tmp_path, capsys):
    run = tmp_path / "run"
    config = tmp_path / "config.yaml"
    config.write_text(
        "env: {family: MetaWorldML1, horizon: 6, options: {env_name: door-lock-v3}}\n"
        f"algorithm: {algorithm}\nmeta_batch: 2\nepisodes: 2\niterations: 1\nthreads: 1\n"
        "evaluation: {tasks: 2, episodes: 1}\n"
    )
    assert metarl("train", config, "--run", run) == 0
    capsys.readouterr()
    assert metarl("evaluate", run, "--metaworld", "--json") == 0
    document = json.loads(capsys.readouterr().out)
    assert document["environments"] == {"door-lock-v3": {"as_metaworld_counts": 0.0, "of_every_episode": 0.0}}
    assert document["goals"] == 40 and document["horizon"] == 6
    assert "evaluate --metaworld" in (run / "looks.jsonl").read_text()
    assert metarl("evaluate", run, "--metaworld") == 0
    assert re.search(r"door-lock-v3 .* 0% .* 0%", capsys.readouterr().out)
    with pytest.raises(UserError, match="watch: tasks of MetaWorldML1 cannot be changed in mid-episode"):
        Session(open_run(run))


@pytest.mark.slow
def test_other_runs_are_refused(tmp_path, capsys):
    config = tmp_path / "config.yaml"
    config.write_text("env: {family: Navigation2D, horizon: 5}\nalgorithm: {name: promp}\nmeta_batch: 2\nepisodes: 2\n"
                      "iterations: 1\nthreads: 1\nevaluation: {tasks: 2, episodes: 1}\n")  # fmt: skip
    assert metarl("train", config, "--run", tmp_path / "run") == 0
    with pytest.raises(UserError, match="Navigation2D is not of Meta-World; leave out --metaworld"):
        evaluate_metaworld(tmp_path / "run")


def metarl(*arguments) -> int:
    with pytest.raises(SystemExit) as exit_:
        cli.main([str(argument) for argument in arguments])
    return exit_.value.code or 0
