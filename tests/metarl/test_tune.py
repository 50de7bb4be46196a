"""The search for a learning strategy: what it tries, what it is measured on, and that it can be cut off anywhere."""

import json
import os
import random
import resource
import signal
import socket
import subprocess
import threading
import time

import numpy as np
import pytest
import run_processes
import torch

from metarl.algorithms.base import Spec
from metarl.algorithms.learners import make_learner, training_env
from metarl.cli import main
from metarl.config import changed, config_names, load_config
from metarl.envs import BatchEnv
from metarl.evaluation.evaluate import measure_run
from metarl.evaluation.methods import open_runs
from metarl.runs import checkpoint
from metarl.runs.run import open_run, start
from metarl.training.train import Training, train
from metarl.tuning import search as searching
from metarl.tuning.folder import decide, write_start
from metarl.tuning.protocol import fitted, steps_per_iteration, validation_tasks
from metarl.tuning.search import tune
from metarl.tuning.space import Dimension, default_space, read_space, value_of
from metarl.util.errors import UserError
from metarl.util.optional import Extra

pytest.importorskip("optuna", reason="the extra tune is not installed")

from metarl.tuning.presence import Presence
from metarl.tuning.study import Study

TINY = """
env: {family: HalfCheetahMass, horizon: 4, action_scale: 4}
algorithm: {name: promp, epochs: 1}
policy: {hidden: [4]}
meta_batch: 3
episodes: 2
iterations: 9
threads: 1
checkpoint_every: 2
evaluation: {tasks: 4, episodes: 2, steps: 2}
wandb: {mode: disabled}
"""
SPACE = "inner.lr: {log_uniform: [0.01, 1.0]}\ninner.steps: {int: [1, 2]}\n"


@pytest.fixture
def tiny(tmp_path):
    (tmp_path / "tiny.yaml").write_text(TINY)
    (tmp_path / "space.yaml").write_text(SPACE)
    return tmp_path / "tiny.yaml"


def results(folder):
    """Everything that a search found, but how long it took."""
    document = json.loads((folder / "trials.json").read_bytes())
    return [{key: value for key, value in trial.items() if key != "seconds"} for trial in document["trials"]]


# ---- the search


@pytest.mark.slow
def test_the_chosen_strategy_is_the_best_and_trains(tiny, tmp_path, capsys):
    folder = tune(tiny, space=tmp_path / "space.yaml", trials=4, iterations=3, jobs=0, folder=tmp_path / "s")
    document = json.loads((folder / "trials.json").read_bytes())
    trials = document["trials"]
    assert [trial["state"] for trial in trials] == ["complete"] * 4
    assert trials[0]["settings"] == {"inner.lr": 0.1, "inner.steps": 1}  # the config as it was given
    best = max(trials, key=lambda trial: trial["value"])
    assert document["chosen"] == best["number"] and best["value"] == best["curve"][-1]
    chosen = load_config(folder / "chosen.yaml")
    base = load_config(tiny)
    assert chosen == fitted(changed(base, best["settings"]), best["settings"], base)
    assert steps_per_iteration(chosen) * chosen.iterations == pytest.approx(9 * steps_per_iteration(base), rel=0.1)
    assert (folder / "search.png").stat().st_size > 10_000
    # a strategy is a run, and its value is what evaluating that run in the validation tasks gives
    run = open_run(folder / "trials" / "0003")
    assert run.checkpoint().iteration == run.config.iterations == len(run.metrics())
    assert run.config.inner.lr == trials[3]["settings"]["inner.lr"]
    tasks = tmp_path / "validation.json"
    tasks.write_text(json.dumps(validation_tasks(base, 4).to_json()))
    assert measure_run(run, str(tasks)).per_task[-1].mean() == pytest.approx(trials[3]["value"], rel=1e-12)
    assert trials[3]["env_steps"] == run.metrics()[-1]["env_steps"]
    assert trials[3]["adaptation_env_steps"] == 4 * 2 * 3 * 4  # tasks, episodes, 0 to 2 steps, horizon
    assert "strategy 0" in capsys.readouterr().out


@pytest.mark.slow
def test_no_held_out_and_no_extrapolation_task_is_ever_seen(tiny, tmp_path, monkeypatch):
    seen = []
    set_tasks = BatchEnv.set_tasks

    def spy(self, tasks):
        seen.append(tasks)
        set_tasks(self, tasks)

    monkeypatch.setattr(BatchEnv, "set_tasks", spy)
    overrides = ["evaluation.every=1", "evaluation.split=held_out"]
    folder = tune(tiny, overrides, trials=2, iterations=2, jobs=0, folder=tmp_path / "s")
    assert len(seen) > 4
    assert {split for tasks in seen for split in tasks.space.split_of(tasks)} == {"train", "validation"}
    measured = json.loads((folder / "search.json").read_bytes())["validation"]["digests"]
    judged = {d for t in seen for d, s in zip(t.digests, t.space.split_of(t), strict=True) if s == "validation"}
    assert judged == {*measured}


@pytest.mark.parametrize(
    ("family", "split"), [("HalfCheetahMass", "validation"), ("HalfCheetahDisabledJoint", "train")]
)
def test_validation_tasks_are_apart_where_there_are_enough(family, split):
    config = load_config("demo", [f"env.family={family}", "evaluation.tasks=30", "seed=4"])
    tasks = validation_tasks(config, 30)
    assert len(tasks) == 30 and {*tasks.space.split_of(tasks)} == {split}
    assert validation_tasks(config, 30) == tasks
    before = load_config("demo", [f"env.family={family}", "env.splits=1"])
    old = validation_tasks(before, 30)
    assert {*old.space.split_of(old)} == {"train"}


@pytest.mark.slow
def test_a_search_that_was_cut_off_goes_on_as_if_it_had_not(tiny, tmp_path):
    options = {"space": tmp_path / "space.yaml", "iterations": 2, "jobs": 0}
    whole = tune(tiny, trials=4, folder=tmp_path / "whole", **options)
    part = tune(tiny, trials=2, folder=tmp_path / "part", **options)
    tune(None, folder=part, resume=True, trials=4, jobs=0)
    assert results(part) == results(whole)
    assert (part / "chosen.yaml").read_bytes() == (whole / "chosen.yaml").read_bytes()


@pytest.mark.slow
def test_a_strategy_that_was_cut_off_goes_on_where_it_was(tiny, tmp_path, monkeypatch):
    options = {"space": tmp_path / "space.yaml", "iterations": 5, "trials": 2, "jobs": 0}
    whole = tune(tiny, folder=tmp_path / "whole", **options)
    iterate, iterations = Training.iterate, []

    def cut_off(self, interruption):
        iterations.append(self.done)
        if len(iterations) == 7:
            raise RuntimeError("power cut")
        return iterate(self, interruption)

    monkeypatch.setattr(Training, "iterate", cut_off)
    part = tmp_path / "part"
    with pytest.raises(RuntimeError, match="power cut"):
        tune(tiny, folder=part, **options)
    assert [trial["state"] for trial in results(part)] == ["complete", "running"]
    tune(None, folder=part, resume=True, jobs=0)
    assert iterations[:8] == [0, 1, 2, 3, 4, 0, 1, 1]
    assert results(part) == results(whole)


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_signals(tiny, tmp_path, number):
    """SIGTERM: saved, told how to go on, exit code 143. SIGKILL: its processes end too. After both it goes on."""
    options = ["--space", str(tmp_path / "space.yaml"), "--trials", "2", "--iterations", "2000"]
    folder, log = tmp_path / "s", tmp_path / "log"
    process = run_processes.launch(run_processes.tune_command, [str(tiny), *options, "--run", str(folder)], str(log))
    metrics = folder / "trials" / "0000" / "metrics.jsonl"
    run_processes.wait_for(lambda: metrics.exists() and metrics.read_bytes().count(b"\n") > 3)
    worker = json.loads((folder / "trials" / "0000" / "lock").read_bytes())["pid"]
    assert worker != process.pid
    os.kill(process.pid, number)
    assert run_processes.finish(process) == (143 if number == signal.SIGTERM else -signal.SIGKILL)
    run_processes.wait_for(lambda: not alive(worker), 10)
    assert results(folder)[0]["state"] == "running"
    if number == signal.SIGTERM:
        assert f"metarl tune --run {folder} --resume" in log.read_text()
        done = metrics.read_bytes().count(b"\n")
        assert open_run(folder / "trials" / "0000").checkpoint().iteration == done  # nothing is lost
    with pytest.raises(UserError, match="--resume: got --iterations, expected none"):
        tune(None, iterations=3, folder=folder, resume=True)


@pytest.mark.slow
def test_processes_find_the_same(tiny, tmp_path):
    options = {"space": tmp_path / "space.yaml", "search": "random", "trials": 3, "iterations": 2}
    alone = tune(tiny, jobs=0, folder=tmp_path / "alone", **options)
    together = tune(tiny, jobs=2, folder=tmp_path / "together", **options)
    assert results(together) == results(alone)


def alive(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    # a zombie of the test's own is dead
    return open(f"/proc/{pid}/stat").read().split(")")[-1].split()[0] != "Z"


# ---- how a finished run adapts


@pytest.mark.slow
def test_a_run_s_adaptation_is_tuned_without_training(tiny, tmp_path):
    config = load_config(tiny, ["iterations=2"])
    run = open_run(train(config, tmp_path / "r"))
    before = {file: file.read_bytes() for file in run.path.rglob("*") if file.is_file()}
    folder = tune(run.path, trials=4, search="halving", jobs=0, folder=tmp_path / "s")
    assert before == {file: file.read_bytes() for file in run.path.rglob("*") if file.is_file()}
    assert not (folder / "trials").exists()
    trials = results(folder)
    assert set(trials[1]["settings"]) == {"evaluation.episodes", "inner.lr", "inner.head_only", "gae_lambda"}
    assert all(trial["env_steps"] == 0 for trial in trials)
    # the same experience for each: 4 episodes
    lengths = {trial["settings"]["evaluation.episodes"]: len(trial["curve"]) for trial in trials if trial["curve"]}
    assert all(episodes * (length - 1) == 4 for episodes, length in lengths.items())
    chosen = open_run(folder / "chosen")
    tensors, others = run.checkpoint().tensors, chosen.checkpoint().tensors
    assert all(torch.equal(tensors[name], others[name]) for name in tensors)
    best = max((t for t in trials if t["value"] is not None), key=lambda t: t["value"])
    assert chosen.config.inner.lr == best["settings"]["inner.lr"]
    assert chosen.tasks("held_out") == run.tasks("held_out")
    assert measure_run(chosen).returns.shape[2] == best["settings"]["evaluation.episodes"]
    train(config.model_copy(update={"iterations": 3}), run.path, resume=True)
    with pytest.raises(UserError, match="was trained on since the search began; start a new search"):
        tune(None, folder=folder, resume=True)


@pytest.mark.parametrize("left", [".search.json.71_0a1b2c3d.partial", ".base.yaml.partial", "space.yaml"])
def test_a_start_that_was_cut_short_can_be_started_again(tiny, tmp_path, left):
    folder = tmp_path / "s"
    folder.mkdir()
    (folder / left).touch()
    begun = decide(tiny, [], None, "random", 2)
    write_start(folder, begun, 3)
    assert json.loads((folder / "search.json").read_bytes())["trials"] == 3
    with pytest.raises(UserError, match="is not empty; add --resume"):
        write_start(folder, begun, 3)
    (folder / "search.json").unlink()
    (folder / ".other.yaml.71_0a1b2c3d.partial").touch()
    with pytest.raises(UserError, match="is not empty; add --resume"):
        write_start(folder, begun, 3)


def test_what_is_chosen_of_a_run_is_a_run_of_its_own(tmp_path):
    """Another id, so that both can be compared; its minutes, its looks at the test set and its robot are the run's."""
    config = load_config("own_robot/promp", ["policy.hidden=[4]", "threads=1"])
    run = start(config, tmp_path / "run")
    run.release()
    checkpoint.save(run.checkpoints, make_learner(config).state_dict(), {"iteration": 9, "env_steps": 40})
    run.write_spec(Spec.of(training_env(config)).to_json())
    (run.path / "metrics.jsonl").write_text('{"iteration": 0, "env_steps": 40}\n')
    (run.path / "timings.jsonl").write_text('{"iteration": 0, "seconds": 90.0}\n')
    run.looked("evaluate", "held_out", "feed", 9)
    searching._copy_run(run, changed(run.config, {"inner.lr": 0.5}), tmp_path / "chosen")
    chosen = open_run(tmp_path / "chosen")
    assert chosen.id != run.id and len(open_runs([run.path, chosen.path])) == 2
    assert (chosen.minutes, chosen.looks(), chosen.spec()) == (run.minutes, run.looks(), run.spec())
    assert chosen.config.inner.lr == 0.5 and chosen.config.env.options["robot"].startswith(str(chosen.path / "robot"))


def test_what_the_weights_depend_on_is_no_adaptation(tiny, tmp_path):
    config = load_config(tiny)
    with pytest.raises(UserError, match=r"inner.steps: got a range, expected one of inner.lr, .*the run's weights"):
        read_space(tmp_path / "space.yaml", config, trained=False)
    with pytest.raises(UserError, match="rl2 has no settings that adaptation alone depends on"):
        default_space(load_config("half_cheetah_mass/rl2"), trained=False)


# ---- spaces


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in config_names() if not name.endswith("/random")])
def test_every_shipped_config_has_a_space_that_reads_back(name, tmp_path):
    config = load_config(name)
    space = default_space(config)
    (tmp_path / "space.yaml").write_text(space.to_yaml())
    assert read_space(tmp_path / "space.yaml", config) == space and len(space.dimensions) > 1
    given = {d.key: value_of(config, d.key) for d in space.dimensions if d.applies(config)}
    assert space.present(config) == given or None in given.values()  # the config itself, unless it leaves one to SB3


def test_a_space_is_as_wide_as_it_takes_to_hold_the_config():
    window, lr = Dimension("window", "choice", (20, 50)), Dimension("lr", "log_uniform", (1e-4, 1e-2))
    assert window.including(25).values == (20, 50, 25) and window.including(50) is window
    assert lr.including(0.05).values == (1e-4, 0.05) and lr.including(1e-5).values == (1e-5, 1e-2)
    assert lr.including(0.0) is lr and lr.including(None) is lr and lr.including(1e-3) is lr


CONDITIONAL = """
inner.sb3: {choice: [{algorithm: PPO, settings: {n_epochs: 2}}, {algorithm: SAC}]}
inner.sb3.settings.n_epochs: {int: [1, 3], when: {inner.sb3.algorithm: PPO}}
inner.sb3.settings.tau: {log_uniform: [0.01, 0.1], when: {inner.sb3.algorithm: [SAC, TD3]}}
"""


def test_settings_that_depend_on_the_algorithm(tmp_path):
    config = load_config("half_cheetah_mass/reptile_ppo")
    (tmp_path / "space.yaml").write_text(CONDITIONAL)
    study = Study("random", read_space(tmp_path / "space.yaml", config), config, rungs=1)
    found = {}
    for _ in range(12):
        trial = study.ask()
        assert trial.state == "running", trial.error
        sb3 = study.config(trial).inner.sb3
        found.setdefault(sb3.algorithm, set()).update(sb3.settings)
    assert found == {"PPO": {"n_epochs"}, "SAC": {"tau"}}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("inner.lrr: {uniform: [0.1, 1]}", r"inner.lrr: got 0.1, expected no such key \(did you mean 'inner.lr'\?\)"),
        ("inner.lr: {uniform: [-1, 1]}", "inner.lr: got -1, expected greater than 0"),
        ("inner.lr: {uniform: [1, 0.1]}", "inner.lr: got .*, expected two numbers, the lower first"),
        ("inner.lr: {log_uniform: [0, 0.1]}", "inner.lr: got .*, expected two numbers, the lower first, both above 0"),
        ("inner.steps: {int: [1, 2.5]}", "inner.steps: got .*, expected two whole numbers, the lower first"),
        ("inner.lr: {normal: [0, 1]}", r"inner.lr: got \[\"normal\"\], expected one of uniform, log_uniform, int"),
        ("inner.lr: 3", "inner.lr: got 3, expected such as"),
        ("seed: {int: [1, 3]}", "seed: cannot be searched: every trial must be evaluated"),
        ("evaluation.tasks: {int: [1, 3]}", "evaluation.tasks: cannot be searched"),
        ("env.horizon: {int: [1, 3]}", "env.horizon: cannot be searched"),
        ("{}", "got no settings, expected at least one"),
        ("inner.lr: !!python/name:os.system {}", "tags such as"),
    ],
)
def test_a_space_with_a_fault(text, message, tmp_path):
    (tmp_path / "space.yaml").write_text(text)
    with pytest.raises(UserError, match=f"space.yaml: .*{message}"):
        read_space(tmp_path / "space.yaml", load_config("half_cheetah_mass/promp"))


@pytest.mark.parametrize(("config", "old", "new", "values"), [
    ("promp", "clip", "clip_range", [0.1, 0.3]), ("rl2", "entropy", "entropy_coef", [0.0, 0.1]),
])  # fmt: skip
def test_a_space_may_hold_former_names(config, old, new, values, tmp_path):
    path = tmp_path / "space.yaml"
    condition = f"when: {{algorithm.{old}: [0.2]}}"
    path.write_text(f"algorithm.{old}: {{uniform: {values}}}\ndiscount: {{choice: [0.9], {condition}}}")
    space = read_space(path, load_config(f"half_cheetah_mass/{config}"))
    assert space.dimensions[0].key == f"algorithm.{new}"
    assert [*space.dimensions[1].when] == [f"algorithm.{new}"]


def test_a_space_may_hold_former_settings_of_a_transformer(tmp_path):
    (tmp_path / "space.yaml").write_text("algorithm.heads: {choice: [2, 4]}")
    config = load_config("half_cheetah_mass/rl2", ["algorithm.memory=transformer", "algorithm.layers=1"])
    space = read_space(tmp_path / "space.yaml", config)
    chosen = space.choose(config, lambda dimension: dimension.values[0])
    assert changed(config, chosen).algorithm.memory_options == {"heads": 2, "layers": 1}


# ---- budgets


@pytest.mark.slow
@pytest.mark.parametrize("name", ["promp", "promp_1", "maml", "rl2", "reptile_ppo", "scratch_ppo"])
def test_steps_of_an_iteration_are_counted_right(name):
    changes = {"env.horizon": 3, "meta_batch": 2, "episodes": 2, "threads": 1}
    if name == "promp_1":
        name, changes["inner.steps"] = "promp", 3
    if name == "rl2":
        changes |= {"algorithm.minibatches": 1, "algorithm.epochs": 1, "algorithm.trial_episodes": 3}
    folder = "half_cheetah_dir" if name == "maml" else "half_cheetah_mass"
    config = changed(load_config(f"{folder}/{name}"), changes)
    assert steps_per_iteration(config) == make_learner(config).iterate(training_env(config), 0)["env_steps"]


def test_all_get_the_same_experience(tiny):
    base = load_config(tiny, ["iterations=90", "evaluation.steps=3", "evaluation.episodes=8"])
    for chosen, iterations, steps in (
        ({"meta_batch": 6}, 45, 3),
        ({"inner.steps": 2}, 60, 3),
        ({"evaluation.episodes": 4}, 90, 6),
        ({"evaluation.episodes": 5}, 90, 4),
        ({"evaluation.episodes": 4, "evaluation.steps": 2}, 90, 2),
        ({"evaluation.episodes": 12, "evaluation.steps": 9}, 90, 2),
    ):
        config = fitted(changed(base, chosen), chosen, base)
        assert (config.iterations, config.evaluation.steps) == (iterations, steps), chosen
    with pytest.raises(UserError, match="evaluation.episodes: got 25, expected at most 24"):
        fitted(changed(base, {"evaluation.episodes": 25}), {}, base)


# ---- what is tried next


def told(study, number, value):
    answer = {"value": value, "curve": [value], "env_steps": 1, "adaptation_env_steps": 1, "seconds": 1.0}
    return study.tell(study.trials[number], answer)


def new_study(search, tiny, rungs=1):
    config = load_config(tiny)
    return Study(search, read_space(tiny.with_name("space.yaml"), config), config, rungs)


def test_halving_gives_the_better_ones_more(tiny):
    study = new_study("halving", tiny, rungs=3)
    going = []
    for number in range(9):  # of growing value, then of falling value
        study.ask()
        going.append(told(study, number, float(number if number < 5 else -number)))
    assert going == [True] * 5 + [False] * 4
    assert [trial.state for trial in study.trials] == ["running"] * 5 + ["pruned"] * 4
    assert told(study, 4, 10.0) and not told(study, 4, 20.0)  # two more rungs, and complete
    assert study.trials[4].state == "complete" and study.best is study.trials[4]
    assert study.trials[4].adaptation_env_steps == 3 and study.trials[0].adaptation_env_steps == 1
    assert not told(study, 0, 1.0)  # worse than what number 4 had there


@pytest.mark.parametrize("search", ["random", "tpe", "halving"])
def test_a_study_comes_back_from_its_file(search, tiny):
    study = new_study(search, tiny, rungs=3 if search == "halving" else 1)
    for number in range(12):
        trial = study.ask()
        if number != 11:
            told(study, number, -abs(np.log(trial.settings["inner.lr"]) + 3) - number % 2)
    again = new_study(search, tiny, rungs=study.rungs)
    again.load(json.loads(json.dumps(study.to_json())))
    assert again.to_json() == study.to_json()
    assert again.ask() == study.ask()
    running = [trial.number for trial in study.trials if trial.state == "running"]
    for number in running:
        assert told(again, number, 0.5) == told(study, number, 0.5)
    assert again.to_json() == study.to_json()


def test_tpe_comes_closer_and_random_does_not(tiny):
    def distances(search):
        study = new_study(search, tiny)
        found = []
        for number in range(40):
            away = abs(np.log(study.ask().settings["inner.lr"]) - np.log(0.03))
            told(study, number, -away)
            found.append(away)
        return np.mean(found[25:])

    assert distances("tpe") < 0.5 * distances("random")


@pytest.mark.slow
def test_a_strategy_that_fails_does_not_end_the_search(tiny, tmp_path):
    space = "inner.lr: {choice: [0.1]}\nevaluation.episodes: {choice: [2, 5]}\n"  # 5 episodes are more than there are
    (tmp_path / "space.yaml").write_text(space)
    options = {"space": tmp_path / "space.yaml", "trials": 6, "search": "random", "iterations": 1, "jobs": 0}
    trials = results(tune(tiny, folder=tmp_path / "s", **options))
    assert {(trial["state"], trial["settings"]["evaluation.episodes"]) for trial in trials} == {
        ("complete", 2), ("failed", 5),
    }  # fmt: skip
    assert {trial["error"] for trial in trials if trial["state"] == "failed"} == {
        "evaluation.episodes: got 5, expected at most 4, which are all the episodes"
    }


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda tiny: tune(tiny, search="grid"), "--search: got 'grid', expected one of random, tpe, halving"),
        (lambda tiny: tune(None), "tune: got no config, expected a YAML file, a name from"),
        (lambda tiny: tune(None, resume=True), "--resume: got no folder, expected --run DIR with"),
        (lambda tiny: tune(tiny, folder=tiny.parent), "is not empty; add --resume"),
        (lambda tiny: tune("half_cheetah_mass/random"), "random has no settings that adaptation alone depends on"),
        (lambda tiny: tune("half_cheetah_mass/scratch_ppo", iterations=3), "--iterations: got 3, expected none"),
        (lambda tiny: tune(tiny, search="halving", rungs=-1), "rungs: got -1, expected 1 or more"),
    ],
)
def test_a_wrong_call(call, message, tiny, monkeypatch):
    monkeypatch.chdir(tiny.parent)
    with pytest.raises(UserError, match=message):
        call(tiny)
    assert not (tiny.parent / "runs").exists()


@pytest.mark.parametrize(
    ("out", "why"),
    [("file", "File exists"), ("file/search", "Not a directory"), ("/dev/full", "File exists"),
     ("/proc/search", "No such file or directory"), ("x" * 300, "File name too long")],
)  # fmt: skip
def test_a_folder_that_cannot_be_written_is_one_line(tiny, out, why, capsys):
    (tiny.parent / "file").touch()
    folder = tiny.parent / out
    with pytest.raises(SystemExit) as caught:
        main(["tune", str(tiny), "--trials", "1", "--run", str(folder)])
    line = f"metarl: error: run folder {folder} cannot be written: {why}; choose another --run, or make room"
    assert caught.value.code == 2 and capsys.readouterr().err.splitlines() == [line]


def test_a_disk_that_is_full_is_one_line_with_the_folder(tiny, capsys):
    folder, before = tiny.parent / "search", resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, before[1]))
    try:
        with pytest.raises(SystemExit) as caught:
            main(["tune", str(tiny), "--trials", "1", "--run", str(folder)])
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    line = f"metarl: error: run folder {folder} cannot be written: File too large; choose another --run, or make room"
    assert caught.value.code == 2 and capsys.readouterr().err.splitlines() == [line]


def test_without_the_package_one_line_says_what_to_install(monkeypatch):
    monkeypatch.setattr(searching, "PACKAGE", Extra("tune", "no_such_package"))
    message = r"^metarl tune needs .*not installed: pip install '\.\[tune\]' in the checkout of metarl$"
    with pytest.raises(UserError, match=message):
        tune("demo")


# ---- several processes at one search


def shared_study(tiny, owner, search="random", rungs=1):
    config = load_config(tiny)
    space = read_space(tiny.with_name("space.yaml"), config)
    return Study(search, space, config, rungs, tiny.with_name("journal.log"), owner)


def test_processes_share_strategies_and_go_on_with_those_of_one_that_is_gone(tiny):
    one, other = shared_study(tiny, "one"), shared_study(tiny, "other")
    gone = set()
    assert [study.take(3, gone.__contains__).number for study in (one, other, one)] == [0, 1, 2]
    assert other.take(3, gone.__contains__) is None and not other.ended(3)  # all have an owner
    told(one, 0, 5.0)
    gone.add("one")
    left = other.take(3, gone.__contains__)
    assert left.number == 2 and left == one.trials[2]
    assert [trial.state for trial in other.trials] == ["complete", "running", "running"]
    told(other, 2, 7.0)
    other.leave(other.trials[1])
    third = shared_study(tiny, "third")
    assert third.take(3, "".__eq__).number == 1
    told(third, 1, 6.0)
    one.sync()
    assert one.to_json() == third.to_json() and third.ended(3) and third.best.number == 2
    alone = new_study("random", tiny)
    assert [alone.ask().settings for _ in range(3)] == [trial.settings for trial in third.trials]


@pytest.mark.parametrize("moment", ["before it chose", "before it had said how it ended"])
def test_a_process_may_be_gone_at_any_moment(tiny, monkeypatch, moment):
    one = shared_study(tiny, "one")
    if moment == "before it chose":
        monkeypatch.setattr(one, "_choose", lambda trial, identity: None)
        one.ask()
    else:
        one.ask()
        monkeypatch.setattr(one._study, "tell", lambda *arguments, **options: None)
        told(one, 0, 5.0)
    other = shared_study(tiny, "other")
    assert other.trials[0].state == "running"
    trial = other.take(1, lambda name: True)
    if moment == "before it chose":
        assert trial.settings == new_study("random", tiny).ask().settings and trial.state == "running"
    else:
        assert trial.state == "complete" and other.ended(1)
        assert shared_study(tiny, "third").best.value == 5.0


def test_a_process_is_gone_when_it_ended_or_stands_still(tmp_path, monkeypatch):
    monkeypatch.setattr("metarl.tuning.presence.BEAT", 0.05)
    monkeypatch.setattr("metarl.tuning.presence.SILENCE", 0.3)
    watcher = Presence(tmp_path)
    with Presence(tmp_path) as presence:
        name = presence.name
        still = tmp_path / "workers" / "elsewhere:1:0"
        still.write_text("7")
        assert not any(watcher.gone(one) for one in (name, still.name))
        time.sleep(0.4)
        assert watcher.gone(still.name) and not watcher.gone(name) and not presence.gone(name)
    assert watcher.gone(name) and watcher.gone("") and watcher.gone("elsewhere:1:1")
    child = subprocess.Popen(["true"])
    child.wait()
    assert watcher.gone(f"{socket.gethostname()}:{child.pid}:0")


def test_one_process_at_a_time_has_its_turn(tmp_path):
    at_once, most = [], []

    def work():
        presence = Presence(tmp_path)
        for _ in range(5):
            with presence.turn():
                at_once.append(1)
                most.append(len(at_once))
                time.sleep(0.002)
                at_once.pop()

    threads = [threading.Thread(target=work) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == [1] * 15 and not [*tmp_path.glob("turn*")]


@pytest.mark.slow
def test_one_of_two_that_is_killed_loses_nothing(tiny, tmp_path):
    options = {"space": tmp_path / "space.yaml", "search": "random", "trials": 4, "iterations": 30}
    alone = tune(tiny, jobs=0, folder=tmp_path / "alone", **options)
    folder, log = tmp_path / "s", str(tmp_path / "log")
    command = [str(tiny), "--space", str(tmp_path / "space.yaml"), "--search", "random", "--trials", "4"]
    command += ["--iterations", "30", "--run", str(folder)]
    first = run_processes.launch(run_processes.tune_command, command, log)
    run_processes.wait_for(lambda: (folder / "journal.log").exists())
    second = run_processes.launch(run_processes.tune_command, ["--run", str(folder), "--resume"], log)
    lines = [folder / "trials" / f"000{number}" / "metrics.jsonl" for number in (0, 1)]
    run_processes.wait_for(lambda: all(path.exists() and path.read_bytes().count(b"\n") > 2 for path in lines))
    os.kill(first.pid, signal.SIGKILL)
    first.join()
    assert run_processes.finish(second) == 0
    assert results(folder) == results(alone)
    for number in range(4):
        name = f"trials/000{number}/metrics.jsonl"
        assert (folder / name).read_bytes() == (alone / name).read_bytes()
    assert not any((folder / "workers").glob(f"*:{second.pid}:*"))


@pytest.mark.whole
@pytest.mark.timeout(3600)
def test_processes_that_are_killed_at_any_moment_lose_nothing(tiny, tmp_path):
    """Three at once, of which one is killed twenty times and takes part again."""
    options = {"space": tmp_path / "space.yaml", "search": "random", "trials": 12, "iterations": 60}
    alone = tune(tiny, jobs=0, folder=tmp_path / "alone", **options)
    folder, log, moments = tmp_path / "s", str(tmp_path / "log"), random.Random(0)
    folder.mkdir()
    write_start(folder, decide(tiny, [], options["space"], "random", 60), 12)
    command = ["--run", str(folder), "--resume"]
    processes = [run_processes.launch(run_processes.tune_command, command, log) for _ in range(3)]
    for _ in range(20):
        time.sleep(moments.uniform(0.5, 8.0))
        chosen = moments.randrange(3)
        processes[chosen].kill()
        processes[chosen].join()
        processes[chosen] = run_processes.launch(run_processes.tune_command, command, log)
    assert [run_processes.finish(process, 1800) for process in processes] == [0, 0, 0]
    assert results(folder) == results(alone)
    for path in (alone / "trials").glob("*/metrics.jsonl"):
        assert (folder / path.relative_to(alone)).read_bytes() == path.read_bytes()
    print({"processes": 3, "kills": 20, "strategies": len(results(folder)), "lost": 0, "different": 0})


@pytest.mark.slow
def test_a_search_of_before_the_journal_goes_on(tiny, tmp_path):
    options = {"space": tmp_path / "space.yaml", "iterations": 2, "jobs": 0}
    whole = tune(tiny, trials=4, folder=tmp_path / "whole", **options)
    part = tune(tiny, trials=2, folder=tmp_path / "part", **options)
    (part / "journal.log").unlink()
    document = json.loads((part / "search.json").read_bytes())
    (part / "search.json").write_text(json.dumps(document | {"format": 1}))
    tune(None, folder=part, resume=True, trials=4, jobs=0)
    assert results(part) == results(whole)
    assert json.loads((part / "search.json").read_bytes())["format"] == 2


@pytest.mark.parametrize("content", ["x\ny\n", "{}\n{}\n", "[1]\n[1]\n"])
def test_a_journal_that_is_not_one_is_a_line(tiny, tmp_path, content):
    options = {"space": tmp_path / "space.yaml", "iterations": 1, "jobs": 0}
    (tmp_path / "s").mkdir()
    write_start(tmp_path / "s", decide(tiny, [], options["space"], "random", 1), 1)
    (tmp_path / "s" / "journal.log").write_text(content)
    with pytest.raises(UserError, match="journal.log: cannot be read .*; restore a copy"):
        tune(None, folder=tmp_path / "s", resume=True, jobs=0)
