"""The benchmark: one budget, tasks that nothing else draws, folds as tasks, and settings that are searched alike."""

import json
import re
from pathlib import Path

import numpy as np
import pytest

from metarl.algorithms.learners import make_learner
from metarl.benchmark.measure import benchmark_tasks, over_folds
from metarl.benchmark.run import command, one_environment, run_study
from metarl.benchmark.search import search
from metarl.benchmark.study import load_study, names
from metarl.benchmark.wall_time import with_minutes
from metarl.cli import main
from metarl.config import load_config
from metarl.envs.registry import make_family
from metarl.evaluation.compare import compare_runs
from metarl.evaluation.evaluate import tasks_digest
from metarl.evaluation.tables import notes
from metarl.runs.run import open_run
from metarl.tuning.protocol import steps_per_iteration, validation_tasks
from metarl.util.errors import UserError
from metarl.util.optional import MissingExtra
from metarl.util.rng import stream
from metarl.util.safe_yaml import read_yaml

TINY = """
about: "two methods, tiny"
budget: 400
seeds: 7-8
tasks: 3
trials: 2
baseline: plain
methods:
  plain: {config: navigation/promp, settings: {inner.steps: 0, inner.learn_lr: false, policy.hidden: [4], %s}}
  promp: {config: navigation/promp, settings: {inner.steps: 1, policy.hidden: [4], %s}}
  random:
    config: half_cheetah_mass/random
    settings: {env.family: Navigation2DSparse, env.horizon: 5, env.action_scale: 1.0}
    search: false
"""
ENV = (
    "env.family: Navigation2DSparse, env.horizon: 5, meta_batch: 2, episodes: 4, evaluation.episodes: 4,"
    " evaluation.steps: 1, wandb.mode: disabled"
)


@pytest.fixture
def tiny(tmp_path) -> Path:
    file = tmp_path / "tiny.yaml"
    file.write_text(TINY % (ENV, ENV))
    return file


def shipped(name):
    try:
        make_family(load_study(name).config(load_study(name).baseline).env.family)
    except MissingExtra as error:
        pytest.skip(str(error))
    return load_study(name)


SMALLER = {"es_maml", "plasticity", "scratch_ppo", "random"}  # as docs/results/benchmark.md says


@pytest.mark.slow
@pytest.mark.parametrize("name", names())
def test_networks_that_act_have_one_size(name):
    study, sizes = shipped(name), {}
    for method in study.methods.keys() - SMALLER:
        params = make_learner(study.config(method)).adapter().params
        sizes[method] = sum(value.numel() for key, value in params.items() if "value" not in key)
    assert max(sizes.values()) / min(sizes.values()) < 1.02, sizes


@pytest.mark.parametrize("name", names())
def test_every_study_that_ships_is_one_environment_with_one_budget(name):
    study = shipped(name)
    for fold in study.each_fold:
        configs = study.configs(fold=fold)
        one_environment(study, [configs])
        for method, row in study.methods.items():
            config = study.config(method, fold)
            if config.algorithm.trained:
                spent = config.iterations * steps_per_iteration(config)
                assert abs(spent / (study.budget * row.share) - 1) < 0.05, method
    assert study.methods[study.baseline].share == 1


def test_a_method_of_ones_own_is_a_row_with_the_same_budget(tiny, tmp_path):
    own = tmp_path / "mine.yaml"
    env = "env: {family: Navigation2DSparse, horizon: 5}"
    own.write_text(f"{env}\nalgorithm: {{name: promp}}\nmeta_batch: 2\nepisodes: 4\n")
    study = load_study(tiny).with_methods(["plain", str(own)])
    assert list(study.configs("3")) == ["plain-seed_3", "mine-seed_3"]
    assert study.model_copy(update={"revision": 2}).config("mine").revision == 2 != study.config("mine").revision
    assert study.config("mine").iterations == 5 and study.config("mine").evaluation.tasks == 3
    with pytest.raises(UserError, match="got .promb., expected a method of the study or a config .* 'promp'"):
        load_study(tiny).with_methods(["promb"])
    (tmp_path / "other").mkdir()
    for taken in ("plain", "mine"):
        same = tmp_path / "other" / f"{taken}.yaml"
        same.write_text(own.read_text())
        with pytest.raises(UserError, match=f"--method: got .*: .* is called '{taken}' as well; copy the config"):
            load_study(tiny).with_methods([str(own), str(same)])
    assert list(load_study(tiny).with_methods([str(own), str(own)]).methods) == ["mine"]


@pytest.mark.parametrize(
    ("old", "new", "line"),
    [
        ("budget: 400", "budget: 0", "budget: got 0, expected greater than or equal to 1"),
        ("budget: 400", "budgets: 400", "budgets: got 400, expected no such key (did you mean 'budget'?)"),
        ("about: \"two methods, tiny\"\n", "", "about: got nothing, expected a value"),
        ("baseline: plain", "baseline: plane", "got 'plane', expected one of its methods (did you mean 'plain'?)"),
        ("search: false", "serch: false", "random.serch: got false, expected no such key (did you mean 'search'?)"),
    ],
)  # fmt: skip
def test_what_is_wrong_with_a_study_is_one_line(tiny, old, new, line):
    tiny.write_text(tiny.read_text().replace(old, new))
    with pytest.raises(UserError, match=re.escape(line)):
        load_study(tiny)


def test_methods_of_different_environments_are_refused_before_anything_is_trained(tiny, tmp_path):
    tiny.write_text(tiny.read_text().replace("env.horizon: 5, env.action_scale", "env.horizon: 6, env.action_scale"))
    with pytest.raises(UserError, match=r"random-seed_7: got Navigation2DSparse, horizon=6, expected .*horizon=5"):
        run_study(load_study(tiny), tmp_path / "runs")
    assert not (tmp_path / "runs").exists()


def test_nobody_else_draws_the_tasks_of_the_benchmark():
    space = make_family("HalfCheetahMass").space
    config = load_study("half_cheetah_mass").config("rl2")
    ours = {split: benchmark_tasks(space, split, 40) for split in ("held_out", "extrapolation")}
    assert {split: set(space.split_of(tasks)) for split, tasks in ours.items()} == {s: {s} for s in ours}
    others = [validation_tasks(config, 100)]
    for seed in (0, 100):
        for index in range(4):
            rng = np.random.default_rng(stream(seed, "evaluation_tasks", index))
            others.append(space.sample(100, ("train", "held_out", "extrapolation", "validation")[index], rng))
    for tasks in others:
        assert not {*tasks.digests} & {*ours["held_out"].digests, *ours["extrapolation"].digests}


@pytest.mark.slow
def test_a_study_is_trained_measured_and_resumed(tiny, tmp_path, capsys):
    folder = tmp_path / "benchmark"
    rows = ["--method", "plain", "--method", "promp", "--seeds", "7"]
    main_exit(["benchmark", "--family", str(tiny), *rows, "--run", str(folder), "--jobs", "1", "--json"])
    results = json.loads(capsys.readouterr().out)
    methods = {method["name"]: method for method in results["held_out"]["methods"]}
    assert {name: method["seeds"] for name, method in methods.items()} == {"fine-tuned": [7], "ProMP": [7]}
    assert results["held_out"]["baseline"] == "fine-tuned" and {m["training_steps"] for m in methods.values()} == {400}
    run = open_run(folder / "tiny" / "promp-seed_7")
    space = run.config.env.load_family().space
    assert results["held_out"]["tasks_sha256"] == tasks_digest(benchmark_tasks(space, "held_out", 3))
    looks = (run.path / "looks.jsonl").read_text().splitlines()
    assert json.loads(looks[-1])["by"] == "benchmark"
    before = {path: path.read_bytes() for path in (folder / "tiny").glob("*/evaluations/*.json")}
    again = run_study(load_study(tiny).with_methods(["promp"]), folder, seeds="7", jobs=1)["held_out"]
    assert {path: path.read_bytes() for path in before} == before
    assert again["ProMP"].curve[0].mean.value == methods["ProMP"]["curve"][0]["mean"]["value"]


def main_exit(arguments):
    with pytest.raises(SystemExit) as caught:
        main(arguments)
    assert not caught.value.code


@pytest.mark.slow
def test_settings_are_searched_with_the_same_effort_and_sizes_stay(tiny, tmp_path):
    study = load_study(tiny).model_copy(update={"search_share": 1.0, "search_rungs": 2})
    file = search(study, tmp_path / "benchmark", ["promp"])
    trials = json.loads((file.parent / "promp" / "trials.json").read_text())
    space = read_yaml(file.parent / "promp" / "space.yaml", "a space")
    assert len(trials["trials"]) == 2 and "inner.steps" not in space and "algorithm.lr" in space
    assert max(len(trial["rungs"]) for trial in trials["trials"]) == 2  # the second with the whole budget
    whole = study.config("promp").iterations * steps_per_iteration(study.config("promp"))
    assert max(trial["env_steps"] for trial in trials["trials"]) == whole
    found = load_study(file)
    assert found.name == "tiny" and found.revision == study.config("promp").revision
    assert all(found.methods[name] == study.methods[name] for name in ("plain", "random"))
    ours, before = found.config("promp"), study.config("promp")
    assert ours.policy.hidden == (4,) and ours.iterations == before.iterations
    with pytest.raises(UserError, match="got a study with folds"):
        search(study.model_copy(update={"folds": 2}), tmp_path)


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A study with two finished runs of two methods; random actions have none."""
    folder = tmp_path_factory.mktemp("benchmark")
    file = folder / "tiny.yaml"
    file.write_text(TINY % (ENV, ENV))
    run_study(load_study(file).with_methods(["plain", "promp"]), folder, jobs=1)
    return file


@pytest.mark.slow
def test_what_runs_the_study_of_minutes_is_printed_with_its_folder(trained, capsys):
    folder = str(trained.parent)
    with pytest.raises(SystemExit) as ended:
        main(["benchmark", "--family", str(trained), "--minutes", "1", "--run", folder, "--seeds", "7"])
    assert not ended.value.code
    goes_on = command(f"{folder}/tiny-1_minutes.yaml", [], Path(folder), "7")
    assert capsys.readouterr().out.endswith(f"to run it: {goes_on}\n")


@pytest.mark.slow
def test_minutes_give_each_method_the_steps_of_its_quickest_run(trained):
    folder = trained.parent
    for name, seconds in {"plain-seed_7": 2, "plain-seed_8": 5, "promp-seed_7": 9, "promp-seed_8": 6}.items():
        timings = folder / "tiny" / name / "timings.jsonl"
        lines = [json.loads(line) | {"seconds": seconds} for line in timings.read_text().splitlines()]
        timings.write_text("".join(json.dumps(line) + "\n" for line in lines))
    said = []
    file = with_minutes(load_study(trained), folder, 0.4, say=said.append)
    assert file == folder / "tiny-0.4_minutes.yaml"
    assert said[0] == "plain: 1,200 environment steps a minute, 480 in 0.4 minutes"
    study = load_study(file)
    iterations = {name: config.iterations for name, config in study.configs("7").items()}
    assert iterations["plain-seed_7"] == 12 and iterations["promp-seed_7"] == 4  # 24 s
    assert study.revision == load_study(trained).config("plain").revision and "0.4 minutes of training" in study.about
    result = run_study(study.with_methods(["plain", "promp"]), folder, seeds="7", jobs=1)["held_out"]
    assert [m.training_steps for m in result.measured] == [480, 320]
    for m in result.measured:
        lines = (m.runs[0].path / "timings.jsonl").read_text().splitlines()
        took = sum(json.loads(line)["seconds"] for line in lines) / 60
        assert m.training_minutes == (took, took) and m.provenance[0]["minutes"] == took
    assert any(line.startswith("Minutes of meta-training: fine-tuned 0.0") for line in notes(result))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("change", "line"),
    [
        ({"minutes": 0}, "--minutes: got 0, expected more than 0"),
        ({"minutes": float("nan")}, "--minutes: got nan, expected more than 0"),
        ({"seeds": "7-9"}, "plain-seed_9 is not trained to its end, expected all runs of the study: run it first"),
        ({"methods": ["promp"]}, "--method: got no plain, expected it too"),
        ({"threads": 64}, "ran on .*, 64 threads, expected .*: minutes differ there"),
    ],
)  # fmt: skip
def test_minutes_that_cannot_be_had_are_one_line(trained, change, line):
    versions = trained.parent / "tiny" / "promp-seed_8" / "versions.json"
    before = versions.read_text()
    try:
        if "threads" in change:
            document = json.loads(before)
            document["sessions"][-1]["threads"] = change["threads"]
            versions.write_text(json.dumps(document))
        with pytest.raises(UserError, match=line) as caught:
            study = load_study(trained).with_methods(change.get("methods", []))
            with_minutes(study, trained.parent, change.get("minutes", 1), change.get("seeds"))
        assert "\n" not in str(caught.value)
    finally:
        versions.write_text(before)


@pytest.mark.slow
def test_a_memory_stays_and_is_searched_with_fewer_episodes_than_it_is_measured_in(tmp_path):
    env = ENV.replace("evaluation.episodes: 4", "evaluation.episodes: 7")
    small = "algorithm.memory_size: 4, policy.hidden: [4], algorithm.window: 5"
    row = f"  gru: {{config: navigation_sparse/rl2, settings: {{{small}, {env}}}}}\n"
    text = TINY % (ENV, ENV) + row
    (tmp_path / "tiny.yaml").write_text(text.replace("trials: 2", "trials: 1"))
    study = load_study(tmp_path / "tiny.yaml")
    file = search(study, tmp_path / "benchmark", ["gru", "promp"])
    searched = {name: load_config(file.parent / f"{name}-config.yaml").evaluation.episodes for name in ("gru", "promp")}
    assert searched == {"gru": 5, "promp": 4}
    space = read_yaml(file.parent / "gru-space.yaml", "a space")  # a cell of another kind has another size
    assert "algorithm.lr" in space and "algorithm.memory" not in space
    assert load_study(file).config("gru").evaluation.episodes == study.config("gru").evaluation.episodes == 7


@pytest.mark.slow
def test_over_folds_a_fault_is_a_task(tmp_path):
    text = TINY % (ENV, ENV)
    text = text.replace("Navigation2DSparse", "HalfCheetahDisabledJoint").replace("scale: 1.0", "scale: 4.0")
    text = text.replace("baseline:", "folds: 2\nbaseline:")
    (tmp_path / "faults.yaml").write_text(text)
    remembers = "policy: {hidden: [4]}\nalgorithm: {name: rl2, memory_size: 4}\nmeta_batch: 2\nepisodes: 1"
    env = "env: {family: HalfCheetahDisabledJoint, horizon: 5}\nwandb: {mode: disabled}"
    (tmp_path / "gru.yaml").write_text(f"{env}\n{remembers}\nevaluation: {{steps: 1, episodes: 3}}\n")
    study = load_study(tmp_path / "faults.yaml").with_methods(["random", str(tmp_path / "gru.yaml")])
    result = run_study(study, tmp_path, seeds="7", jobs=1)["held_out"]
    assert [*result.tasks.values[:, 0]] == [0, 1] and result.groups is None
    assert result["RL²"].curve[1].episodes == 1 and result["RL²"].curve[1].seconds == pytest.approx(5 * 0.05)
    assert (tmp_path / "faults" / "results" / "held_out" / "within-episodes.png").exists()
    parts = [
        compare_runs([tmp_path / "faults" / f"random-fold_{fold}-seed_7"], frozen=benchmark_tasks(
            make_family("HalfCheetahDisabledJoint", fold=fold).space, "held_out", 3))
        for fold in range(2)
    ]  # fmt: skip
    means = [part.measured[0].returns[0, 0].mean() for part in parts]
    np.testing.assert_allclose(result.measured[0].returns[0, 0], means)
    runs = result.to_json()["methods"][1]["runs"]
    assert [run["folder"] for run in runs] == ["gru-fold_0-seed_7", "gru-fold_1-seed_7"]
    shas = [open_run(tmp_path / "faults" / run["folder"]).checkpoint().meta["sha256"] for run in runs]
    assert [run["checkpoint"]["sha256"] for run in runs] == shas == result.measured[1].weights
    assert over_folds(parts).rows[0].curve[0].mean.value == pytest.approx(np.mean(means))


def test_what_goes_on_with_a_study_can_be_typed():
    assert command("a b.yaml", ["rl2"], Path("runs/x"), "0-1") == (
        "metarl benchmark --family 'a b.yaml' --method rl2 --seeds 0-1 --run runs/x"
    )
