"""Evaluation against hand-worked scores; task files, provenance, and isolation from training."""

import dataclasses
import io
import json
import math
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from rich.console import Console

from metarl.agents import Decision
from metarl.algorithms import meta_gradient
from metarl.algorithms.learners import make_env as learner_env
from metarl.algorithms.learners import make_learner, training_env
from metarl.algorithms.promp_config import ProMPConfig
from metarl.algorithms.restore import load_adapter
from metarl.config import Config, EnvConfig, EvaluationConfig, WandbConfig
from metarl.envs import BatchEnv, Tasks, TaskSpace, make_family
from metarl.evaluation import adaptation_curve
from metarl.evaluation.adaptation_curve import measure
from metarl.evaluation.compare import compare_runs, frozen_tasks
from metarl.evaluation.evaluate import _disjoint, evaluate_run, evaluation_of, tasks_digest
from metarl.evaluation.fingerprint import _definition, definition
from metarl.evaluation.result import Evaluation, document_digest
from metarl.evaluation.tables import curve_table, print_evaluation
from metarl.runs import checkpoint
from metarl.runs import run as runs
from metarl.util.errors import UserError

from .navigator import Navigator, make_env, walk

SPACE = make_family("Navigation2D").space


def tasks(count, split="held_out", seed=0, family="Navigation2D"):
    return make_family(family).space.sample(count, split, np.random.default_rng(seed))


def made_up(returns, family="Navigation2D", split="held_out", **labels):
    """An Evaluation with given returns (S + 1, M, K)."""
    returns = np.asarray(returns, float)
    return Evaluation(
        env=EnvConfig(family=family),
        tasks=tasks(returns.shape[1], family=family),
        returns=returns,
        env_steps=np.full(returns.shape[:2], 40),
        dt=0.05,
        seed=0,
        split=split,
        **labels,
    )


def test_draws_of_few_tasks_are_counted_and_resampled_as_such():
    """HalfCheetahDisabledJoint has one joint to hold out, HalfCheetahSlopes four courses: 40 draws are no 40 tasks."""
    def result(family, scale):
        chosen = tasks(40, family=family)
        returns = scale * chosen.values + np.random.default_rng(0).normal(size=(40, 1))
        return dataclasses.replace(made_up(returns[None], family=family), tasks=chosen)

    assert result("HalfCheetahDisabledJoint", 0.0).where == "40 draws of 1 held-out task"
    slopes = result("HalfCheetahSlopes", 100.0)
    assert slopes.where == "40 draws of 4 held-out tasks" and "draws of each task" in slopes.caption
    assert np.ptp(slopes.curve[0].mean.interval) < 2  # not the 40 or so that the courses differ by
    assert result("HalfCheetahMass", 0.0).where == "40 held-out tasks"


def test_environments_are_given_and_only_their_goals_resampled():
    """Also where the space was read from a run's spec.json; not where an environment has one goal only."""
    chosen = tasks(20, family="MetaWorldML10")
    returns = 1000 * chosen.values[:, :1] + np.random.default_rng(0).normal(size=(20, 1))

    def result(chosen):
        whole = made_up(returns[None, : len(chosen)], family="MetaWorldML10")
        return dataclasses.replace(whole, tasks=Tasks(TaskSpace.from_json(chosen.space.to_json()), chosen.values))

    assert np.ptp(result(chosen).curve[0].mean.interval) < 2
    assert "over whole tasks of each environment," in result(chosen).caption
    few = result(chosen[:9])
    assert np.ptp(few.curve[0].mean.interval) > 1000 and "over whole tasks," in few.caption
    one = tasks(20, family="MetaWorldML1")
    assert "over whole tasks," in dataclasses.replace(made_up(returns[None], family="MetaWorldML1"), tasks=one).caption


# ---- the measurement


def test_adaptation_that_compares_episodes_needs_two():
    adapter = Navigator()
    adapter.fewest_episodes = 2
    with pytest.raises(UserError, match="episodes in each task: got 1, expected at least 2, which adaptation compares"):
        measure(adapter, make_env, tasks(2), steps=1, episodes=1, seed=0)
    assert measure(adapter, make_env, tasks(2), steps=0, episodes=1, seed=0).episodes == 1


def test_scores_equal_those_worked_out_by_hand():
    chosen = tasks(5)
    result = measure(Navigator(), make_env, chosen, steps=2, episodes=3, seed=0)
    by_hand = [walk(goal, 25) for goal in chosen.values]
    assert result.returns.shape == (3, 5, 3)
    for step in (1, 2):
        np.testing.assert_allclose(result.returns[step], np.repeat(by_hand, 3).reshape(5, 3), atol=1e-4)
    assert (result.returns[0] < np.array(by_hand)[:, None] - 1).all()


def test_experience_counts_what_was_lived_before_each_measurement():
    result = measure(Navigator(), make_env, tasks(4), steps=2, episodes=3, seed=0)
    assert [point.episodes for point in result.curve] == [0, 3, 6]
    # navigation ends at the goal, so the second round takes less than its 25 steps of 0.1 s
    lived = result.env_steps.mean(axis=1) * 0.1
    assert [point.seconds for point in result.curve] == pytest.approx([0.0, lived[0], lived[0] + lived[1]])
    assert lived[1] < lived[0] <= 3 * 25 * 0.1


def test_adaptation_to_the_experience_of_another_task_does_not_help():
    result = measure(Navigator(confuse=True), make_env, tasks(40), steps=1, episodes=3, seed=0)
    oracle = measure(Navigator(), make_env, tasks(40), steps=1, episodes=3, seed=0)
    assert result.curve[1].mean.value < result.curve[0].mean.value
    assert oracle.curve[1].mean.interval[0] > oracle.curve[0].mean.interval[1]


class Scout(Navigator):
    """Keeps the experience that it is given."""

    def __init__(self, shares_experience=True):
        super().__init__()
        self.shares_experience, self.experience = shares_experience, []

    def adapt(self, state, rollout):
        self.experience.append(rollout)
        return super().adapt(state, rollout)


@pytest.mark.slow
def test_chunks_and_the_order_of_tasks_do_not_matter():
    chosen = tasks(7)
    settings = {"steps": 2, "episodes": 3, "seed": 0, "deterministic": True}
    whole = measure(Scout(shares_experience=False), make_env, chosen, **settings)
    sizes = []

    def counting(num_envs):
        sizes.append(num_envs)
        return make_env(num_envs)

    for limit, expected in ((1, [3]), (8, [6, 3]), (21, [21])):
        sizes.clear()
        chunked = measure(Scout(shares_experience=False), counting, chosen, max_simulations=limit, **settings)
        np.testing.assert_array_equal(chunked.returns, whole.returns)
        np.testing.assert_array_equal(chunked.env_steps, whole.env_steps)
        assert sizes == expected
    order = np.array([4, 0, 6, 2, 1, 5, 3])
    shuffled = measure(Scout(shares_experience=False), make_env, chosen[order], **settings)
    np.testing.assert_array_equal(shuffled.returns, whole.returns[:, order])


@pytest.mark.parametrize("pooled", [True, False])
def test_mean_actions_are_measured_and_sampled_ones_learned_from(pooled):
    sampled, mean = Scout(pooled), Scout(pooled)
    usual = measure(sampled, make_env, tasks(3), steps=2, episodes=2, seed=0)
    result = measure(mean, make_env, tasks(3), steps=2, episodes=2, seed=0, deterministic=True)
    assert not np.array_equal(result.returns[0], usual.returns[0])
    for ours, theirs in zip(mean.experience, sampled.experience, strict=True):
        assert np.array_equal(ours.actions, theirs.actions) == pooled  # a memory lives by what is measured
    assert np.array_equal(result.env_steps[0], usual.env_steps[0])
    assert np.array_equal(mean.experience[0].returns, usual.returns[0] if pooled else result.returns[0])


def test_progress_counts_the_rounds_of_episodes_of_all_chunks():
    seen = []
    measure(Navigator(), make_env, tasks(5), steps=2, episodes=2, seed=0, max_simulations=4,
            progress=lambda *counts: seen.append(counts))  # fmt: skip
    assert seen == [(i, 9) for i in range(1, 10)]  # 3 chunks of 2, 2 and 1 tasks, 3 rounds each


def test_the_digest_of_an_environment_is_the_one_of_the_runs_of_before():
    """Otherwise whatever was evaluated would count as measured in another environment, and be measured again."""
    for name in ("reptile", "promp"):
        [file] = (Path(__file__).parents[1] / "golden" / name / "evaluations").glob("*.json")
        kept = json.loads(file.read_text())
        env = EnvConfig(**{"splits": 1, **{key: kept["env"][key] for key in ("family", "horizon", "options")}})
        assert definition(env)["behaviour"] == kept["origin"]["definition"]["behaviour"]
    late = EnvConfig(family="HalfCheetahDisabledJoint", horizon=3, options={"onset": 2})
    assert definition(late)["options"] == {"onset": 2}


def test_chunks_draw_different_noise():
    twice = SPACE.tasks(goal_x=[0.3, 0.3], goal_y=[0.1, 0.1])
    result = measure(Navigator(), make_env, twice, steps=0, episodes=2, seed=0, max_simulations=2)
    assert len(set(result.returns.ravel())) == 4


class Stubborn(Navigator):
    """Never adapts."""

    def adapt(self, state, rollout):
        return state


def test_without_adaptation_each_step_scores_the_same_on_fresh_episodes():
    result = measure(Stubborn(), make_env, tasks(10), steps=2, episodes=20, seed=0)
    for step in (1, 2):
        low, high = result.gain(step).interval
        assert low <= 0.0 <= high
        assert not np.isin(result.returns[step], result.returns[step - 1]).any()
    assert "did not change beyond noise" in result.sentence


def test_an_untrained_policy_scores_like_random_actions():
    config = small_config("HalfCheetahDir", horizon=20)
    learner = make_learner(config)

    class Random(Stubborn):
        def act(self, state, observations, rng):
            actions = np.zeros((*observations.shape[:2], 6), np.float32)
            if rng is not None:
                actions[:] = rng.standard_normal(actions.shape)
            return Decision(actions, observations, state)

    chosen = tasks(10, family="HalfCheetahDir")
    results = [
        measure(adapter, lambda n: learner_env(config, n), chosen, steps=0, episodes=8, seed=0)
        for adapter in (learner.adapter(), Random())
    ]
    untrained, random = (result.curve[0].mean for result in results)
    assert abs(untrained.value - random.value) < np.ptp(untrained.interval) + np.ptp(random.interval)


def test_same_seed_same_result_other_seed_another():
    results = [measure(Navigator(), make_env, tasks(2), steps=0, episodes=2, seed=seed) for seed in (3, 3, 4)]
    assert results[0].curve == results[1].curve
    assert not np.isin(results[2].returns, results[0].returns).any()


# ---- what is computed from the returns


def test_averages_are_of_the_mean_return_of_each_task():
    returns = np.random.default_rng(0).normal(size=(2, 9, 4))
    result = made_up(returns)
    for step in range(2):
        per_task = [sum(task) / 4 for task in returns[step]]
        row = result.curve[step]
        assert row.mean.value == pytest.approx(sum(per_task) / 9)
        assert row.iqm.value == pytest.approx(sum(sorted(per_task)[2:-2]) / 5)
        assert row.worst_task == pytest.approx(min(per_task))
        assert row.count == 9


def test_a_gain_is_of_each_task_over_itself():
    """Tasks whose returns lie 100 apart, each of which gains 3: what tasks differ in is no doubt about the gain."""
    before = 100.0 * np.arange(12)[:, None] + np.random.default_rng(0).normal(size=(12, 5))
    result = made_up([before, before + 3, before - 2 + np.arange(12)[:, None] / 100])
    assert result.gain(1).value == pytest.approx(3) and result.gain(1).interval == pytest.approx((3, 3))
    low, high = result.gain(2).interval
    assert -2 < low < -2 + 11 / 200 < high < -1.89 and result.gain(2).value == pytest.approx(-2 + 11 / 200)
    assert "the return rose from" in result.sentence and result.curve[1].mean.holds(result.curve[0].mean.value)
    assert "the return fell from" in made_up([before, before - 0.5]).sentence
    assert "did not change beyond noise, from" in made_up([before, before + np.tile([[1.0], [-1.0]], (6, 1))]).sentence


def test_the_caption_says_how_actions_and_episodes_were_taken():
    returns = np.zeros((2, 3, 4))
    text = made_up(returns).caption
    assert text.startswith("Undiscounted return of 4 episodes in each task, sampled actions;")
    text = made_up(returns, deterministic=True, pooled=False).caption
    assert text.startswith("Undiscounted return of an episode in each of 4 trials per task, mean actions;")
    assert " 95 % intervals" in text and "success rate" not in text
    assert "success rate" in made_up(returns, successes=np.zeros((2, 3, 4))).caption


def test_diverged_episodes_are_counted_and_left_out():
    returns = np.arange(24.0).reshape(2, 4, 3)
    returns[0, 0, 1] = returns[1, 2] = math.nan
    result = made_up(returns)
    assert result.per_task[0, 0] == 1.0  # of 0 and 2
    assert math.isnan(result.per_task[1, 2])
    assert [point.diverged for point in result.curve] == [1, 3]
    assert result.curve[1].count == 3
    assert result.gain(1).value == pytest.approx(np.nanmean(result.per_task[1] - result.per_task[0]))
    assert "4 of 24 episodes diverged" in result.caption
    json.dumps(result.to_json(), allow_nan=False)


def test_nothing_but_divergence():
    returns = np.zeros((2, 3, 2))
    returns[1] = math.nan
    result = made_up(returns)
    assert result.curve[1].mean is None and result.gain(1) is None
    assert result.sentence == (
        "After 1 step (2 episodes, 2 s of experience in each task) the physics diverged in every episode"
        " on 3 held-out tasks."
    )
    shown(result)
    assert "every episode before adaptation" in made_up(returns[::-1]).sentence


def test_tasks_of_a_family_with_few_are_resampled_each_in_itself():
    """Two directions with opposite scores and hardly any noise: their difference is not chance."""
    chosen = tasks(20, family="HalfCheetahDir")
    returns = np.stack([chosen.values, chosen.values]) * 100 + np.random.default_rng(0).normal(size=(2, 20, 1))
    result = made_up(returns, family="HalfCheetahDir")
    result = Evaluation(**{**vars_of(result), "tasks": chosen})
    assert np.ptp(result.curve[0].mean.interval) < 2
    assert "draws of each task" in result.caption
    assert result.where == "20 draws of the family's only 2 tasks"


def vars_of(evaluation):
    return {name: getattr(evaluation, name) for name in evaluation.__dataclass_fields__}


def test_sentence():
    noise = np.random.default_rng(0).normal(size=(4, 40, 20))
    result = made_up(noise + np.array([-3.0, 212.0, 230.0, 240.0])[:, None, None])
    text = result.sentence
    assert text.startswith("After 1 step (20 episodes, 2 s of experience in each task) the return rose from -3.0")
    assert text.endswith(" on 40 held-out tasks; after 3 steps (60 episodes, 6 s) it was 240 [240, 240].")
    assert "the return fell from" in made_up(noise[:2] - np.array([0.0, 5.0])[:, None, None]).sentence
    assert made_up(noise[:1] + 7).sentence.startswith("Without adaptation the return is 6.97 [6.")
    assert made_up(noise, split="extrapolation").where == "40 tasks outside the training range"
    assert made_up(noise[:, :1], split="mine.json").where == "1 task from mine.json"
    assert "one task only: no interval" in made_up(noise[:, :1]).caption


def shown(result, width=80):
    console = Console(width=width, file=io.StringIO())
    print_evaluation(result, console)
    return console.file.getvalue()


def test_table_fits_80_columns():
    noise = np.random.default_rng(0).normal(size=(4, 40, 20), scale=90.0)
    noise[3, 0, 0] = math.nan
    text = shown(made_up(noise - 2000.0))
    rows = [line.split() for line in text.splitlines()]
    assert ["steps", "episodes", "time", "mean", "return", "IQM", "worst", "diverged"] in rows
    assert [row[:4] for row in rows if row and row[0] in "0123" and row[3] == "s"] == [
        ["0", "0", "0", "s"], ["1", "20", "2", "s"], ["2", "40", "4", "s"], ["3", "60", "6", "s"],
    ]  # fmt: skip
    assert "…" not in text and "After 1 step" in text


def test_numbers_are_not_cut_where_the_screen_is_narrow():
    result = made_up(np.random.default_rng(0).normal(size=(2, 40, 20), scale=90.0) - 20000.0)
    assert all(cell in shown(result, width=40) for row in curve_table(result)[1] for cell in row)


def test_the_path_is_said_as_it_is():
    path = "/runs/:cat:[b]/" + "a" * 80
    text = shown(made_up(np.zeros((1, 4, 2)), path=Path(path)))
    assert text.splitlines()[-1] == f"written to {path}"


# ---- isolation


def small_config(family="Navigation2D", horizon=15, **changes):
    return Config(
        env=EnvConfig(family=family, horizon=horizon),
        algorithm=ProMPConfig(epochs=1),
        meta_batch=2,
        episodes=2,
        evaluation=EvaluationConfig(tasks=6, episodes=2, steps=2),
        wandb=WandbConfig(mode="disabled"),
        threads=1,
        **changes,
    )


def test_evaluating_leaves_training_bit_unchanged(monkeypatch):
    config = small_config()
    seeds = {"training": set(), "evaluation": set()}

    def spy(module, name):
        collect = module.collect

        def recorded(env, adapter, state, episodes, seed, **options):
            seeds[name].add((seed.entropy, seed.spawn_key))
            return collect(env, adapter, state, episodes, seed, **options)

        monkeypatch.setattr(module, "collect", recorded)

    spy(meta_gradient, "training")
    spy(adaptation_curve, "evaluation")
    disturbed, quiet = make_learner(config), make_learner(config)
    for iteration in range(2):
        before = {name: value.clone() for name, value in disturbed.state_dict().items()}
        chosen = tasks(3, seed=iteration)
        measure(disturbed.adapter(), lambda n: learner_env(config, n), chosen, steps=2, episodes=2, seed=config.seed)
        after = disturbed.state_dict()
        assert before.keys() == after.keys() and all(torch.equal(before[name], after[name]) for name in before)
        metrics = [learner.iterate(training_env(config), iteration) for learner in (disturbed, quiet)]
        assert metrics[0]["return_1"] == metrics[1]["return_1"]
    assert all(torch.equal(value, quiet.state_dict()[name]) for name, value in disturbed.state_dict().items())
    assert len(seeds["evaluation"]) == 3 and len(seeds["training"]) == 4
    assert not seeds["evaluation"] & seeds["training"]


# ---- runs


def a_run(path, config=None, iteration=0):
    """A run folder with an untrained learner as its checkpoint."""
    config = config or small_config()
    run = runs.start(config, path)
    checkpoint.save(run.checkpoints, make_learner(config).state_dict(), {"iteration": iteration, "env_steps": 0})
    run.lock.release()
    return runs.open_run(path)


@pytest.fixture
def run(tmp_path):
    return a_run(tmp_path / "run")


def test_a_run_is_evaluated_and_the_result_kept(run):
    result = evaluate_run(run.path)
    path = run.path / "evaluations" / "validation-0-"
    assert str(result.path).startswith(str(path)) and result.path.suffix == ".json"
    assert (result.steps, result.episodes, len(result.tasks)) == (2, 2, 6)
    assert result.disjoint is True
    assert result.origin["checkpoint"] == {"iteration": 0, "sha256": run.checkpoint().meta["sha256"]}
    assert result.origin["versions"]["mujoco"]
    assert list(result.tasks.digests) == list(run.tasks("validation").digests)

    loaded = Evaluation.load(result.path)
    assert loaded.to_json() == result.to_json()  # every row computed again from the episodes
    again = measure(
        load_adapter(run), lambda n: learner_env(run.config, n), loaded.tasks, steps=2, episodes=2, seed=run.config.seed
    )
    np.testing.assert_array_equal(again.returns, loaded.returns)
    assert [file.name for file in path.parent.iterdir()] == [result.path.name]


@pytest.mark.slow
def test_a_result_is_only_replaced_by_itself(run):
    first = evaluate_run(run.path)
    content = first.path.read_bytes()
    assert evaluate_run(run.path).path == first.path
    assert first.path.read_bytes() == content
    others = [
        evaluate_run(run.path, steps=1),
        evaluate_run(run.path, episodes=3),
        evaluate_run(run.path, seed=9),
        evaluate_run(run.path, deterministic=True),
    ]
    learner = make_learner(run.config)
    learner.iterate(training_env(learner.config), 0)
    checkpoint.save(run.checkpoints, learner.state_dict(), {"iteration": 1, "env_steps": 0})
    others.append(evaluate_run(run.path))
    assert others[-1].path.name.startswith("validation-1-")
    shutil.rmtree(run.checkpoints)  # other weights of the same iteration
    checkpoint.save(run.checkpoints, learner.state_dict(), {"iteration": 0, "env_steps": 0})
    others.append(evaluate_run(run.path))
    assert len({first.path, *(other.path for other in others)}) == 7
    assert first.path.read_bytes() == content


def test_torch_threads_are_as_before(run):
    torch.set_num_threads(2)
    try:
        evaluate_run(run.path, steps=0)
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(1)


@pytest.mark.slow
@pytest.mark.parametrize(
    "edit",
    [
        lambda d: d["returns"][1][0].__setitem__(0, 1e6),
        lambda d: d["curve"][1].__setitem__("mean", 1e6),
        lambda d: d["tasks"]["tasks"][0].__setitem__("goal_x", 0.1),
        lambda d: d.__setitem__("seed", 5),
    ],
)
def test_an_edited_result_is_refused(run, edit):
    path = evaluate_run(run.path, steps=1).path
    document = json.loads(path.read_text())
    edit(document)
    path.write_text(json.dumps(document))
    with pytest.raises(UserError, match="edited, its digest does not fit its content; remove it and run"):
        Evaluation.load(path)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "not an evaluation"),
        (b"{", "not an evaluation"),
        (b"[" * 100_000, "not an evaluation"),
        (b'{"returns": NaN}', "NaN is not JSON"),
        (b"[1]", "holds list, expected an object"),
        (b"{}", "got format null, expected 'metarl-evaluation-1'"),
    ],
)
def test_what_is_no_evaluation_is_refused(tmp_path, content, message):
    (tmp_path / "x.json").write_bytes(content)
    with pytest.raises(UserError, match=message):
        Evaluation.load(tmp_path / "x.json")
    with pytest.raises(UserError, match="no such evaluation"):
        Evaluation.load(tmp_path / "y.json")


def test_one_that_lacks_a_field_is_refused(tmp_path):
    document = {"format": "metarl-evaluation-1"}
    (tmp_path / "x.json").write_text(json.dumps(document | {"digest": document_digest(document)}))
    with pytest.raises(UserError, match="this version cannot read it"):
        Evaluation.load(tmp_path / "x.json")


def test_tasks_from_a_file(run, tmp_path):
    mine = SPACE.tasks(goal_x=[0.25, -0.125, 0.6], goal_y=[0.1, 0.2, 0.3])
    (tmp_path / "my tasks.json").write_text(json.dumps(mine.to_json()))
    result = evaluate_run(run.path, str(tmp_path / "my tasks.json"), steps=0)
    assert Evaluation.load(result.path).tasks == mine
    assert "/evaluations/file-my_tasks-0-" in str(result.path)
    trained = int((SPACE.split_of(mine) == "train").sum())
    assert trained > 0 and result.disjoint is False
    assert f"Not disjoint from the training tasks: {trained} of 3 belong to the training split." in shown(result, 200)


def test_a_family_of_few_tasks_is_not_disjoint(tmp_path):
    run = a_run(tmp_path / "run", small_config("HalfCheetahDir", horizon=3))
    result = evaluate_run(run.path, steps=0)
    assert result.disjoint is False
    assert "the family has no other tasks than those trained on" in result.disjoint_reason
    assert "the family has no other tasks than those trained on" in shown(result, 200)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "Expecting property name"),
        ('{"family": "Navigation2D"}', "a task file must be"),
        ('{"family": "HalfCheetahDir", "tasks": []}', "of family 'HalfCheetahDir', expected 'Navigation2D'"),
        ('{"family": "Navigation2D", "tasks": []}', "got no tasks, expected at least one"),
        ('{"family": "Navigation2D", "tasks": [{"goal_z": 1}]}', "no parameter 'goal_z' .did you mean 'goal_[xy]'"),
        ('{"family": "Navigation2D", "tasks": [{"goal_x": 9}]}', r"goal_x is 9; expected -0.5 to 0.5 m"),
        ('{"family": "Navigation2D", "tasks": [{"goal_x": NaN}]}', "NaN is not JSON"),
        ('{"family": "Navigation2D", "tasks": [{"goal_x": "far"}]}', "goal_x must be a number, got 'far'"),
        ('{"family": "Navigation2D", "tasks": [{"goal_x": 1%s}]}' % ("0" * 400), "too large"),
        ("[" * 100_000, "recursion"),
    ],
)
def test_a_bad_task_file_is_one_clear_line(run, tmp_path, content, message):
    path = tmp_path / "mine.json"
    path.write_text(content)
    with pytest.raises(UserError, match=message) as caught:
        evaluate_run(run.path, str(path))
    assert str(caught.value).startswith(f"{path}: ") and "\n" not in str(caught.value)
    assert not (run.path / "evaluations").exists()


def test_unknown_splits_and_missing_things_are_one_clear_line(run, tmp_path):
    with pytest.raises(UserError, match=r"tasks 'heldout': neither a split nor a file \(did you mean 'held_out'\?\)"):
        evaluate_run(run.path, "heldout")
    with pytest.raises(UserError, match="not a run folder"):
        evaluate_run(tmp_path / "nothing")
    lean = runs.start(small_config(), tmp_path / "lean")
    lean.lock.release()
    with pytest.raises(UserError, match="no checkpoint there yet"):
        evaluate_run(tmp_path / "lean")


def test_training_tasks_among_the_held_out_ones_are_noticed(run):
    path = run.path / "tasks" / "held_out.json"
    train = tasks(3, "train")
    document = json.loads(path.read_text()) | train.to_json() | {"digests": list(train.digests)}
    path.write_text(json.dumps(document))
    with pytest.raises(UserError, match="3 of 3 are training tasks"):
        evaluate_run(run.path, "held_out")


@pytest.mark.parametrize(
    ("split", "disjoint", "reason"),
    [("validation", False, "too few tasks to keep some for"), ("held_out", True, "none belongs to the training split")],
)
def test_validation_on_training_tasks_is_said(split, disjoint, reason):
    space = make_family("AntCrippled").space
    tasks = space.sample(8, split, np.random.default_rng(0))
    got, why = _disjoint(space, tasks, split)
    assert got is disjoint and reason in why


def test_a_run_says_who_looked_at_which_tasks(run):
    assert run.looks() == []
    evaluate_run(run.path)
    evaluate_run(run.path, "held_out", steps=0)
    for _ in range(2):  # the second time of the files
        compare_runs([run.path], steps=0)
    looks = run.looks()
    assert [(look["by"], look["split"], look["iteration"]) for look in looks] == [
        ("evaluate", "validation", 0), ("evaluate", "held_out", 0), *[("compare", "held_out", 0)] * 2,
    ]
    digests = [tasks_digest(run.tasks(split)) for split in ("validation", "held_out")]
    assert [look["tasks_sha256"] for look in looks[:2]] == digests
    assert looks[2]["tasks_sha256"] == tasks_digest(frozen_tasks([run], "held_out"))
    assert looks[0]["time"] <= looks[-1]["time"]


# ---- more of what is kept


class Solvable(BatchEnv):
    """Says that a task is done where the reward is small: Navigation's is minus the distance to the goal."""

    def step(self, actions):
        observation, reward, terminated, truncated, info = super().step(actions)
        return observation, reward, terminated, truncated, info | {"success": reward > -0.3}


def test_where_the_environment_says_what_was_done_each_started_episode_counts():
    def solvable(num_envs):
        return Solvable(make_family("Navigation2D"), num_envs, horizon=25, autoreset_mode="Disabled", num_threads=1)

    result = measure(Navigator(), solvable, tasks(6), steps=1, episodes=4, seed=0)
    assert result.successes.shape == (2, 6, 4) and result.successes[1].all()  # the goal is reached
    assert result.curve[0].success == result.successes[0].mean() < 1.0
    text = shown(result)
    assert "success rate" in text and "100 %" in text and "share of episodes with success at any step" in text
    assert measure(Navigator(), make_env, tasks(2), steps=0, episodes=2, seed=0).successes is None


def test_an_episode_that_diverged_was_not_done():
    class Exploding(Solvable):
        def step(self, actions):
            actions = np.where(np.arange(self.num_envs)[:, None] == 1, np.nan, actions)
            observation, reward, *rest, info = super().step(actions)
            return observation, reward, *rest, info | {"success": np.ones(self.num_envs, bool)}

    def exploding(num_envs):
        return Exploding(make_family("Navigation2D"), num_envs, horizon=5, autoreset_mode="Disabled", num_threads=1)

    result = measure(Navigator(), exploding, tasks(2), steps=0, episodes=2, seed=0)
    assert result.successes.tolist() == [[[1.0, 0.0], [1.0, 1.0]]]
    assert result.curve[0].success == 0.75 and result.curve[0].diverged == 1
    assert result.env_steps.tolist() == [[6, 10]]  # the step that broke down was taken
    assert np.isfinite(result.rates).all()


def test_rates_are_the_rewards_of_each_part_of_the_episodes():
    result = measure(Navigator(), make_env, tasks(3), steps=1, episodes=4, seed=0)
    assert result.rates.shape == (2, 3, adaptation_curve.PARTS)
    starts = np.linspace(0, 25, adaptation_curve.PARTS, endpoint=False).astype(int)
    lengths = np.diff(np.append(starts, 25)) * result.dt
    np.testing.assert_allclose(result.rates @ lengths, result.per_task, rtol=1e-9)
    chunked = measure(Navigator(), make_env, tasks(3), steps=1, episodes=4, seed=0, max_simulations=1)
    assert chunked.rates.shape == result.rates.shape


def test_an_evaluation_from_before_rates_and_successes_is_still_read(run):
    path = evaluate_run(run.path, steps=1).path
    document = json.loads(path.read_text())
    for key in ("rates", "successes", "digest"):
        del document[key]
    path.write_text(json.dumps(document | {"digest": document_digest(document)}))
    assert Evaluation.load(path).rates is None


def test_an_evaluation_of_frozen_tasks_is_made_once(run, monkeypatch):
    frozen = tasks(4, seed=5)
    first = evaluation_of(run, "held_out", frozen, 1)
    assert first.tasks == frozen and first.split == "held_out" and first.disjoint
    [path] = (run.path / "evaluations").iterdir()
    with monkeypatch.context() as patch:
        patch.setattr("metarl.evaluation.evaluate.measure", None)  # nothing is measured
        assert evaluation_of(run, "held_out", frozen, 1).to_json() == first.to_json()
    changed = definition(run.config.env) | {"digest": "of a changed reward"}
    monkeypatch.setattr("metarl.evaluation.evaluate.definition", lambda env: changed)
    again = evaluation_of(run, "held_out", frozen, 1)
    assert again.origin["definition"]["digest"] == "of a changed reward"
    np.testing.assert_array_equal(again.returns, first.returns)
    assert [path] == list((run.path / "evaluations").iterdir())


def test_a_task_of_training_is_never_evaluated_as_held_out(run):
    trained = tasks(4, split="train")
    with pytest.raises(UserError, match="tasks 'held_out': 4 of 4 are training tasks"):
        evaluation_of(run, "held_out", trained)


# ---- the definition of an environment


def test_a_definition_follows_what_the_environment_does():
    base = definition(EnvConfig(family="HalfCheetahMass", horizon=20))
    assert [p["name"] for p in base["parameters"]] == list(make_family("HalfCheetahMass").space.names)
    assert base["dt"] == pytest.approx(0.05)
    assert definition(EnvConfig(family="HalfCheetahMass", horizon=20, action_scale=10)) == base
    for other in (EnvConfig(family="HalfCheetahMass", horizon=21), EnvConfig(family="HalfCheetahVel", horizon=20),
                  EnvConfig(family="HalfCheetahDir", horizon=20, options={"variant": "maml"})):  # fmt: skip
        assert definition(other)["digest"] != base["digest"]
    plain, variant = (EnvConfig(family="HalfCheetahDir", horizon=20, options=o) for o in ({}, {"variant": "maml"}))
    assert definition(plain)["behaviour"] != definition(variant)["behaviour"]


def test_an_edited_reward_is_another_definition(monkeypatch):
    env = EnvConfig(family="Navigation2D", horizon=12)
    before = definition(env)
    _definition.cache_clear()
    assert definition(env) == before
    family = type(make_family("Navigation2D"))
    terms = family.reward_terms
    monkeypatch.setattr(family, "reward_terms", lambda *args: {k: 1.01 * v for k, v in terms(*args).items()})
    _definition.cache_clear()
    changed = definition(env)
    assert changed["behaviour"] != before["behaviour"] and changed["digest"] != before["digest"]
    _definition.cache_clear()


# ---- files of before


GOLDEN = sorted((Path(__file__).parent.parent / "golden").glob("*/evaluations/*.json"))


@pytest.mark.parametrize("path", GOLDEN, ids=lambda path: path.parts[-3])
def test_a_file_of_before_says_the_same(path):
    """All keys, and every value but the ends of the intervals, which come from fewer bootstrap samples since."""
    then, now = json.loads(path.read_text()), Evaluation.load(path).to_json()
    assert now.keys() - {"path"} == then.keys()
    said = {"sentence", "caption", "interval_method", "digest", "curve"}
    moved = {key for key in then if now[key] != then[key]} - said
    old = "splits" not in then["env"]
    assert moved <= {"env"}
    assert now["env"].pop("splits") == (1 if old else then["env"].pop("splits"))
    for key in ("physics", "warp"):  # settings that came later
        then["env"].setdefault(key, EnvConfig(family="Navigation2D").model_dump(mode="json")[key])
    assert now["env"] == then["env"] or path.parts[-3] == "own_robot"  # the place of the robot's file
    for before, after in zip(then["curve"], now["curve"], strict=True):
        ends = {name: (before.pop(name), after.pop(name)) for name in ("mean_interval", "iqm_interval")}
        assert after == before
        for old, new in ends.values():
            assert new == pytest.approx(old, abs=0.1 * (old[1] - old[0]))
