"""Meta-World's protocol of evaluation: what is counted, held against a plain run of its rules, and the command."""

import json
import re
from types import SimpleNamespace

import numpy as np
import pytest

from metarl import cli
from metarl.envs.metaworld.tasks import ml1
from metarl.evaluation.metaworld import GOALS, MetaWorldResult, _share, evaluate_metaworld, measure_metaworld
from metarl.runs.run import open_run
from metarl.util.errors import UserError
from metarl.watch.session import Session


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


class Rehearsed:
    """An adapter, its environments and `collect`, that note what they are asked for."""

    def __init__(self, shares_experience):
        self.shares_experience, self.calls, self.adapted = shares_experience, [], 0

    def start(self, num_tasks):
        self.adapted = 0
        return num_tasks

    def adapt(self, state, rollout):
        self.adapted += 1
        return state

    def make_env(self, num_envs):
        return SimpleNamespace(num_envs=num_envs, horizon=500, set_tasks=lambda tasks: self.calls.append(len(tasks)))

    def collect(self, env, adapter, state, episodes, seed, *, deterministic=False, on_step=None):
        assert env.num_envs == state * episodes
        self.calls.append((episodes, deterministic, self.adapted, seed.spawn_key))
        if on_step:  # task i is solved at step i, and again at every third step after it; the first one never
            for number in range(state + 4):
                times = number - np.arange(state)
                solved = (np.arange(state) > 0) & (times >= 0) & (times % 3 == 0)
                on_step(SimpleNamespace(number=number, info={"success": solved}))


@pytest.mark.parametrize("shares", [False, True])
def test_adaptation_is_ten_episodes_and_then_one_is_counted(monkeypatch, shares):
    rehearsed = Rehearsed(shares)
    monkeypatch.setattr("metarl.evaluation.metaworld.collect", rehearsed.collect)
    result, tasks = measure_metaworld(rehearsed, rehearsed.make_env, ml1("reach-v3"), seed=3)
    assert len(tasks) == GOALS and result.horizon == 500 and result.environments == ("reach-v3",)
    collected = [call for call in rehearsed.calls if isinstance(call, tuple)]
    if shares:  # rounds of four goals; ten episodes at once, which one adaptation learns from
        of_round = [(10, False, 0), (1, True, 1)]
        assert [call[:3] for call in collected] == of_round * (GOALS // 4)
        assert rehearsed.calls[0] == 40 and rehearsed.calls[2] == 4
        np.testing.assert_array_equal(result.first, [[0, 2, 3, 4] * (GOALS // 4)])
    else:
        assert [call[:3] for call in collected] == [(1, False, i) for i in range(10)] + [(1, True, 10)]
        np.testing.assert_array_equal(result.first, [[0, *range(2, GOALS + 1)]])
    assert len({call[3] for call in collected}) == len(collected)  # no stream twice


@pytest.mark.slow
@pytest.mark.metaworld
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
@pytest.mark.metaworld
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
