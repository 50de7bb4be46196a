"""Several seeds on one machine: each run is what it would be alone, all stop and resume together."""

import io
import os
import re
import signal

import numpy as np
import pytest
from rich.console import Console
from run_processes import finish, launch, tiny, train_command, wait_for

from metarl.cli import main
from metarl.evaluation.methods import group, open_runs
from metarl.jobs.display import LINE, RunsProgress
from metarl.jobs.local import train_seeds
from metarl.jobs.plan import parse_seeds, plan, runs_in, with_seeds
from metarl.runs.run import open_run
from metarl.training.train import train
from metarl.util.errors import UserError


@pytest.mark.parametrize(
    ("text", "seeds"), [("0-4", [0, 1, 2, 3, 4]), ("0,3,7", [0, 3, 7]), ("5", [5]), ("8, 0-1", [8, 0, 1]), ("2-2", [2])]
)
def test_seeds_are_numbers_and_ranges(text, seeds):
    assert parse_seeds(text) == seeds


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "expected whole numbers and ranges of them, such as 0-4 or 0,3,7"),
        ("0..4", "expected whole numbers and ranges of them, such as 0-4 or 0,3,7"),
        ("-1", "expected whole numbers"),
        ("4-0", "expected ranges that begin with the smaller number, such as 0-4"),
        ("0-2,1", "expected each seed once"),
        ("0-99999", "expected at most 10000 seeds"),
    ],
)
def test_bad_seeds_are_one_line(text, expected):
    with pytest.raises(UserError, match=re.escape(f"--seeds: got {text!r}, ")) as caught:
        parse_seeds(text)
    assert expected in str(caught.value) and "\n" not in str(caught.value)


@pytest.fixture
def errors(capsys):
    def call(*arguments):
        with pytest.raises(SystemExit) as caught:
            main(["train", *map(str, arguments)])
        assert caught.value.code == 2
        return capsys.readouterr().err

    return call


def test_what_does_not_go_with_seeds_is_one_line(tmp_path, errors, monkeypatch):
    config = tmp_path / "tiny.yaml"
    tiny(tmp_path)
    plan(tmp_path / "study", with_seeds(tiny(tmp_path), [0]))
    assert "got seed=... as well" in errors(config, "seed=1", "--seeds", "0-1")
    assert "expected --seeds 0-4 as well" in errors(config, "--jobs", 2)
    assert "already holds runs; add --resume" in errors(config, "--seeds", "0-1", "--run", tmp_path / "study")
    assert "expected a folder for several" in errors(config, "--seeds", "0", "--run", tmp_path / "study" / "seed_0")
    assert "got no config" in errors("--seeds", "0", "--resume", "--run", tmp_path / "study")
    assert "lr: got -1" in errors(config, "--seeds", "0-1", "algorithm.lr=-1", "--run", tmp_path / "none")
    assert not (tmp_path / "none").exists()
    monkeypatch.setenv("WANDB_SWEEP_ID", "x")
    assert "sweep's agent" in errors(config, "--seeds", "0-1")


def test_what_is_planned_is_ready_to_be_resumed(tmp_path):
    configs = with_seeds(tiny(tmp_path, "threads=0"), [10, 9])
    runs = plan(tmp_path / "study", configs)
    assert [run.path.name for run in runs] == ["seed_10", "seed_9"]
    assert [run.path.name for run in runs_in(tmp_path / "study")] == ["seed_9", "seed_10"]
    for run, seed in zip(runs, (10, 9)):
        kept = open_run(run.path)
        assert (kept.config.seed, kept.config.threads, kept.config.wandb.group) == (seed, 1, "study")
        assert not kept.finished
    before = (runs[0].path / "versions.json").read_bytes()
    assert [run.id for run in plan(tmp_path / "study", configs)] == [run.id for run in runs]
    assert (runs[0].path / "versions.json").read_bytes() == before
    assert [run.config.iterations for run in runs_in(tmp_path / "study", ["iterations=31"])] == [31, 31]
    with pytest.raises(UserError, match="episodes: got 4, expected 3 as in .*seed_9.*\n.*seed_10"):
        runs_in(tmp_path / "study", ["episodes=4"])


def test_a_run_of_a_plan_does_not_warn_of_the_machine_that_planned_it(tmp_path, monkeypatch, caplog):
    run = plan(tmp_path / "study", with_seeds(tiny(tmp_path, "iterations=1"), [0]))[0]
    monkeypatch.setattr("metarl.runs.versions.cpu_model", lambda: "another")
    train(run.config, run.path, resume=True)
    assert not caplog.records
    monkeypatch.undo()
    train(run.config, run.path, resume=True)
    assert "cpu another ->" in caplog.text


@pytest.mark.slow
def test_each_run_is_what_it_would_be_alone_and_one_that_fails_leaves_the_other(tmp_path, capsys):
    config = tiny(tmp_path, "iterations=5", "evaluation.every=2")
    study = tmp_path / "study"
    plan(study, with_seeds(config, [0, 1]))
    (study / "seed_0" / "tasks" / "validation.json").write_text("{}")
    with pytest.raises(UserError, match="1 of 2 runs failed: seed_0; to go on with them: metarl train --run"):
        train_seeds(str(tmp_path / "tiny.yaml"), "0-1", ["iterations=5", "evaluation.every=2"], study, True, None)
    err = capsys.readouterr().err
    assert "seed_0: failed: " in err and "validation.json: not a task set" in err
    assert re.search(r"seed_1: done \(1/2 runs done(, 1 failed)?\)", err)  # whichever ends first
    alone = train(config.model_copy(update={"seed": 1}), tmp_path / "alone")
    for file in ("metrics.jsonl", "evaluations.jsonl", "checkpoints/5/state.safetensors"):
        assert (study / "seed_1" / file).read_bytes() == (alone / file).read_bytes()
    assert "evaluation after iteration 4" in (study / ".jobs" / "seed_1.log").read_text()


def lines(path):
    return path.read_bytes().count(b"\n") if path.exists() else 0


@pytest.mark.slow
def test_all_stop_and_resume_together(tmp_path):
    config = tiny(tmp_path, "iterations=50", "evaluation.every=0")
    study, log = tmp_path / "study", tmp_path / "log.txt"
    command = [str(tmp_path / "tiny.yaml"), "iterations=50", "evaluation.every=0", "--seeds", "0-1", "--jobs", "2"]
    process = launch(train_command, [*command, "--run", str(study)], str(log))
    wait_for(lambda: all(lines(study / f"seed_{seed}" / "metrics.jsonl") > 2 for seed in (0, 1)))
    os.kill(process.pid, signal.SIGTERM)
    assert finish(process) == 143
    assert "SIGTERM: stopping" in log.read_text() and "seed_0: stopped" in log.read_text()
    assert "stopped with 0 of 2 runs done; to go on: metarl train --run" in log.read_text()
    for seed in (0, 1):  # all that was done is saved
        run = open_run(study / f"seed_{seed}")
        assert 2 < run.checkpoint().iteration == len(run.metrics()) < 50
    process = launch(train_command, ["--run", str(study), "--resume"], str(log))
    done = lines(study / "seed_1" / "metrics.jsonl")
    wait_for(lambda: lines(study / "seed_1" / "metrics.jsonl") > done)
    os.kill(process.pid, signal.SIGKILL)
    process.join()
    assert finish(launch(train_command, ["--run", str(study), "--resume"], str(log))) == 0  # nobody trains there
    assert "all 2 runs are done; next: metarl compare" in log.read_text()
    alone = train(config.model_copy(update={"seed": 1}), tmp_path / "alone")
    for file in ("metrics.jsonl", "checkpoints/50/state.safetensors"):
        assert (study / "seed_1" / file).read_bytes() == (alone / file).read_bytes()
    methods = group(open_runs(path for path in study.iterdir() if not path.name.startswith(".")))  # `compare study/*`
    assert [[run.config.seed for run in method.runs] for method in methods] == [[0, 1]]


def shared(*lines):
    texts = {number: np.frombuffer(line.encode().ljust(LINE), "u1") for number, line in enumerate(lines)}
    return {number: np.array(7) for number in texts}, texts


def test_progress_of_runs_is_plain_lines_in_a_file(monkeypatch):
    monkeypatch.setattr("metarl.jobs.display.INTERVAL", 0.0)
    out = io.StringIO()
    with RunsProgress([("seed_0", 9), ("seed_1", 9), ("seed_2", 9)], {0, 1}, Console(file=out)) as progress:
        progress.show(*shared("iteration 7/9", ""))
        progress.ended(0, {"ended": "done"})
        progress.ended(1, {"error": "no space"})
    assert out.getvalue().splitlines() == [
        "1 of 3 runs are done already",
        "seed_0: iteration 7/9",
        "seed_1: starting ...",
        "seed_0: done (2/3 runs done)",
        "seed_1: failed: no space (2/3 runs done, 1 failed)",
    ]


def test_progress_of_runs_is_a_live_line_each_on_a_terminal():
    out = io.StringIO()
    console = Console(file=out, force_terminal=True, width=80)
    with RunsProgress([("seed_0", 9), ("seed_1", 9)], {0, 1}, console) as progress:
        progress.show(*shared("iteration 7/9", "iteration 3/9"))
        progress._live.refresh()
    assert re.search(r"seed_0 .*iteration 7/9 *\nseed_1 .*iteration 3/9 *\n.*0/2 runs done", out.getvalue())
