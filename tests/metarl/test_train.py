"""Training: whatever stops it, the resumed run ends where the unbroken one does, to the last bit."""

import errno
import io
import json
import logging
import os
import random
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
import torch
from rich.console import Console
from run_processes import finish, launch, tiny, train_command, wait_for

from metarl.algorithms.base import Spec
from metarl.algorithms.learners import training_env
from metarl.algorithms.promp import ProMP
from metarl.algorithms.restore import load_adapter, spec_of
from metarl.evaluation.result import Evaluation
from metarl.runs import checkpoint, jsonl
from metarl.runs.jsonl import read_lines
from metarl.runs.run import open_run
from metarl.training.interruption import Interruption
from metarl.training.progress import Progress
from metarl.training.train import train
from metarl.util.errors import UserError

ITERATIONS = 30


@pytest.fixture(scope="module")
def reference(tmp_path_factory):
    """An unbroken run."""
    folder = tmp_path_factory.mktemp("reference")
    return train(tiny(folder), folder / "run")


def results(run: Path) -> dict[str, bytes]:
    """All that may not depend on when a run was stopped."""
    files = [run / "metrics.jsonl", run / "evaluations.jsonl", *(run / "tasks").iterdir()]
    files += [run / "checkpoints" / str(ITERATIONS) / name for name in (checkpoint.TENSORS, checkpoint.META)]
    return {str(file.relative_to(run)): file.read_bytes() for file in files}


def command(run: Path, *overrides: str) -> list[str]:
    """Arguments that start the run, or resume it."""
    if (run / "config.yaml").exists():
        return ["--run", str(run), "--resume"]
    tiny(run.parent)
    return [str(run.parent / "tiny.yaml"), *overrides, "--run", str(run)]


def finished(run: Path) -> int:
    """Iterations in the run's metrics."""
    return len(read_lines(run / "metrics.jsonl"))


def said(run: Path) -> str:
    return (run.parent / "stderr").read_text() if (run.parent / "stderr").exists() else ""


def train_in_process(run: Path, *overrides: str, fault: str = ""):
    return launch(train_command, command(run, *overrides), str(run.parent / "stderr"), fault)


@pytest.mark.slow
def test_kill_9_at_any_moment_leaves_no_trace_in_the_result(tmp_path, reference):
    moments, run = random.Random(0), tmp_path / "run"
    kills = 0
    while kills < 12:
        process = train_in_process(run)
        goal = finished(run) + moments.choice([0, 0, 1, 2, 3, 4])  # while starting, saving, evaluating, iterating
        wait_for(lambda goal=goal, process=process: finished(run) >= goal or process.exitcode is not None)
        time.sleep(moments.uniform(0, 0.03 if goal else 0.4))
        process.kill()
        process.join()
        kills += 1
    assert finish(train_in_process(run)) == 0, said(run)
    assert results(run) == results(reference)
    assert [line["iteration"] for line in open_run(run).metrics()] == list(range(ITERATIONS))
    assert "Traceback" not in said(run)


@pytest.mark.slow
@pytest.mark.parametrize("number, code", [(signal.SIGTERM, 143), (signal.SIGINT, 130), (signal.SIGUSR2, 140)])
def test_a_signal_stops_cleanly_and_nothing_is_lost(tmp_path, reference, number, code):
    run = tmp_path / "run"
    for goal in (3, 12):
        process = train_in_process(run, "checkpoint_every=1000")
        wait_for(lambda goal=goal: finished(run) >= goal)
        os.kill(process.pid, number)
        assert finish(process, 10) == code, said(run)
        done = finished(run)
        assert done >= goal and open_run(run).checkpoint().iteration == done
    text = said(run)
    name = {signal.SIGINT: "Ctrl-C"}.get(number, signal.Signals(number).name)
    assert f"{name}: stopping after this iteration" in text
    assert f"stopped after {done} of 30 iterations; to go on: metarl train --run {run} --resume" in text
    assert "Traceback" not in text
    assert finish(train_in_process(run)) == 0
    assert results(run) == results(reference)


@pytest.mark.slow
@pytest.mark.parametrize("fault", ["slow", "deaf"])
def test_an_iteration_that_takes_too_long(tmp_path, reference, fault):
    """A slow one is given up; in one that cannot be, the answer comes all the same and a second signal ends it."""
    run = tmp_path / "run"
    process = train_in_process(run, fault=fault)
    wait_for(lambda: "stuck" in said(run))
    os.kill(process.pid, signal.SIGTERM)
    wait_for(lambda: "SIGTERM: stopping after this iteration" in said(run), 1.0)
    if fault == "deaf":
        os.kill(process.pid, signal.SIGINT)
        assert finish(process, 2) == 130
    else:
        assert finish(process, 10) == 143
        assert open_run(run).checkpoint().iteration == finished(run) == 5
        assert "stopped after 5 of 30 iterations" in said(run)
    assert "Traceback" not in said(run)
    assert finish(train_in_process(run)) == 0
    assert results(run) == results(reference)


@pytest.mark.slow
def test_evaluating_does_not_alter_training_and_repeats_itself(tmp_path, reference):
    other = train(tiny(tmp_path, "evaluation.every=0", "evaluation.steps=0", "checkpoint_every=30"), tmp_path / "run")
    ours, theirs = results(other), results(reference)
    for name in ("metrics.jsonl", f"checkpoints/{ITERATIONS}/{checkpoint.TENSORS}"):
        assert ours[name] == theirs[name]
    assert ours["evaluations.jsonl"] == b""
    evaluations = read_lines(reference / "evaluations.jsonl")
    assert [line["iteration"] for line in evaluations] == [7, 14, 21, 28]
    assert [len(line["curve"]) for line in evaluations] == [2] * 4
    assert len(list((reference / "evaluations").glob("validation-30-*.json"))) == 1


@pytest.mark.slow
def test_metrics_and_checkpoints_agree(reference):
    run = open_run(reference)
    records, saved = run.metrics(), run.checkpoint()
    assert [record["iteration"] for record in records] == list(range(ITERATIONS))
    assert records[-1]["env_steps"] == saved.meta["env_steps"] == sum(
        b["env_steps"] - a["env_steps"] for a, b in zip([{"env_steps": 0}, *records], records)
    )
    assert {"return_0", "return_1", "diverged"} <= records[0].keys()
    assert not any(name.startswith("seconds") for name in records[0])
    assert len(read_lines(reference / "timings.jsonl")) == ITERATIONS
    assert checkpoint.iterations(run.checkpoints) == [26, 28, 30]
    assert not torch.equal(saved.tensors["normalizer.mean"], torch.zeros_like(saved.tensors["normalizer.mean"]))


@pytest.mark.slow
def test_a_run_keeps_what_its_learner_is_made_of(tmp_path, reference):
    """Equal to what its environment says; and with it the tasks are read without the family."""
    env = training_env(open_run(reference).config)
    kept = Spec.from_json(json.loads((reference / "spec.json").read_text()))
    assert kept == spec_of(open_run(reference)) == Spec.of(env) and kept.horizon == 10
    assert open_run(reference).task_space == env.space
    code = (
        "import sys; from pathlib import Path; from metarl.runs.run import open_run\n"
        f"run = open_run(Path({str(reference)!r})); run.metrics(), run.tasks('held_out')\n"
        "print(sorted({'torch', 'mujoco', 'gymnasium'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"

    copy = shutil.copytree(reference, tmp_path / "copy")
    (copy / "spec.json").unlink()  # as in a run of before
    with torch.no_grad():
        one, two = (load_adapter(open_run(folder)).start(2).params for folder in (copy, reference))
    assert one.keys() == two.keys() and all(torch.equal(one[name], two[name]) for name in one)


@pytest.mark.parametrize("content", ["{", "[]", "{}", "null", '{"horizon": "x"}', "[" * 100_000])
def test_a_spec_that_metarl_did_not_write_is_refused(tmp_path, reference, content):
    copy = shutil.copytree(reference, tmp_path / "copy")
    (copy / "spec.json").write_text(content)
    with pytest.raises(UserError, match=r"copy/spec\.json: .*; restore a copy, or remove it"):
        load_adapter(open_run(copy))


def test_a_complete_run_says_so_and_can_go_on(tmp_path, reference, capsys):
    run = train(tiny(tmp_path, "iterations=7"), tmp_path / "run")
    before = {path: path.read_bytes() for path in (run / "checkpoints").rglob("*") if path.is_file()}
    capsys.readouterr()
    train(tiny(tmp_path, "iterations=7"), run, resume=True)
    assert "training is complete: 7 iterations are done and iterations=7" in capsys.readouterr().err
    assert before == {path: path.read_bytes() for path in (run / "checkpoints").rglob("*") if path.is_file()}
    train(tiny(tmp_path), run, resume=True)
    assert "going on from checkpoint 7 of 30 iterations" in capsys.readouterr().err
    assert results(run) == results(reference)


@pytest.mark.parametrize("change", ["steps=2", "episodes=3", "tasks=4"])
def test_a_complete_run_is_evaluated_again_with_other_settings(tmp_path, change):
    run = train(tiny(tmp_path, "iterations=1"), tmp_path / "run")
    [first] = (run / "evaluations").iterdir()
    train(tiny(tmp_path, "iterations=1", f"evaluation.{change}"), run, resume=True)
    [second] = {*(run / "evaluations").iterdir()} - {first}
    result, name = Evaluation.load(second), change.partition("=")[0]
    assert f"{name}={len(result.tasks) if name == 'tasks' else getattr(result, name)}" == change
    train(tiny(tmp_path, "iterations=1", f"evaluation.{change}"), run, resume=True)
    assert len([*(run / "evaluations").iterdir()]) == 2


@pytest.mark.slow
def test_a_run_without_checkpoint_starts_at_0_and_says_so(tmp_path, reference, capsys):
    process = train_in_process(tmp_path / "run")
    wait_for((tmp_path / "run" / "config.yaml").exists)
    process.kill()
    process.join()
    for path in (tmp_path / "run" / "checkpoints").glob("*/*"):
        path.unlink()
        path.parent.rmdir() if not any(path.parent.iterdir()) else None
    run = train(tiny(tmp_path), tmp_path / "run", resume=True)
    assert "no checkpoint in" in capsys.readouterr().err
    assert results(run) == results(reference)


@pytest.mark.slow
def test_a_corrupt_checkpoint_costs_only_the_way_from_the_one_before(tmp_path, reference, caplog):
    run = train(tiny(tmp_path, "iterations=9", "evaluation.every=0"), tmp_path / "run")
    path = run / "checkpoints" / "9" / checkpoint.TENSORS
    path.write_bytes(path.read_bytes()[:-1])
    train(tiny(tmp_path, "evaluation.every=0"), run, resume=True)
    assert [r.getMessage() for r in caplog.records if "is corrupt" in r.getMessage()]
    assert results(run)["metrics.jsonl"] == results(reference)["metrics.jsonl"]
    last = f"checkpoints/{ITERATIONS}/{checkpoint.TENSORS}"
    assert results(run)[last] == results(reference)[last]
    for path in (run / "checkpoints").glob(f"*/{checkpoint.META}"):
        path.write_text("{}")
    with pytest.raises(UserError, match="none of its 3 checkpoints is intact"):
        train(tiny(tmp_path), run, resume=True)


def test_a_checkpoint_of_another_network_is_refused(tmp_path, reference):
    run = train(tiny(tmp_path, "iterations=1", "policy.hidden=[9]"), tmp_path / "run")
    saved = open_run(reference).checkpoint()
    checkpoint.save(run / "checkpoints", saved.tensors, {"iteration": 2, "env_steps": 1})
    with pytest.raises(UserError, match=r"checkpoints/2: .*: got .* expected .*: the weights belong to another"):
        train(tiny(tmp_path, "policy.hidden=[9]"), run, resume=True)


def full_disk(monkeypatch, during: range, file: str = ""):
    """Writes to files whose path ends with `file` fail with ENOSPC while the learner is in iterations `during`."""
    iterate, write, now = ProMP.iterate, os.write, [0]

    def counting(self, env, iteration):
        now[0] = iteration
        return iterate(self, env, iteration)

    def failing(descriptor, content):
        if now[0] in during and os.readlink(f"/proc/self/fd/{descriptor}").endswith(file):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return write(descriptor, content)

    monkeypatch.setattr(ProMP, "iterate", counting)
    monkeypatch.setattr(checkpoint.os, "write", failing)
    assert jsonl.os is checkpoint.os


@pytest.mark.slow
@pytest.mark.parametrize("file", ["", "/metrics.jsonl"])  # no checkpoint without the lines before it
def test_a_full_disk_is_one_line_and_training_goes_on(tmp_path, reference, monkeypatch, caplog, file):
    full_disk(monkeypatch, range(5, 12), file)
    run = train(tiny(tmp_path), tmp_path / "run")
    assert results(run) == results(reference)
    messages = [record.getMessage() for record in caplog.records]
    assert len(messages) == 2
    assert f"checkpoint 6 cannot be saved in {run}/checkpoints (No space left on device, " in messages[0]
    assert "bytes free); training goes on" in messages[0]
    assert messages[1] == "checkpoint 13 is saved; there was none since iteration 6"


@pytest.mark.slow
def test_a_disk_that_stays_full_ends_with_the_old_checkpoint_and_advice(tmp_path, reference, monkeypatch):
    with monkeypatch.context() as patch:
        full_disk(patch, range(5, ITERATIONS))
        with pytest.raises(UserError, match="checkpoint 30 could not be saved in .*; free space there, then: metarl"):
            train(tiny(tmp_path), tmp_path / "run")
    assert open_run(tmp_path / "run").checkpoint().iteration == 4
    train(tiny(tmp_path), tmp_path / "run", resume=True)
    assert results(tmp_path / "run") == results(reference)


def poison_metric(learner, metrics):
    metrics["return_1"] = float("nan")


def poison_weight(learner, metrics):
    with torch.no_grad():
        learner.meta["params.log_std"][0] = torch.inf


def refuse(learner, metrics):
    raise FloatingPointError("the meta-gradient of params.log_std is not finite; the weights are unchanged")


def reward(learner, metrics):
    raise ValueError("Navigation2D: reward term 'distance' of simulation 3 is not finite")


@pytest.mark.slow
@pytest.mark.parametrize(
    "poison, message",
    [
        (poison_metric, "iteration 6: return_1 is not finite"),
        (poison_weight, "iteration 6: meta.params.log_std is not finite"),
        (refuse, "iteration 6: the meta-gradient of params.log_std is not finite"),
        (reward, "iteration 6: Navigation2D: reward term 'distance' of simulation 3 is not finite"),
    ],
)
def test_numbers_that_are_not_finite_stop_the_run_before_they_are_saved(
    tmp_path, reference, monkeypatch, poison, message
):
    iterate = ProMP.iterate

    def poisoned(self, env, iteration):
        metrics = iterate(self, env, iteration)
        if iteration == 6:
            poison(self, metrics)
        return metrics

    with monkeypatch.context() as patch:
        patch.setattr(ProMP, "iterate", poisoned)
        with pytest.raises(UserError, match=f"{message}.*checkpoint 6 holds the state before it"):
            train(tiny(tmp_path, "checkpoint_every=4"), tmp_path / "run")
    assert open_run(tmp_path / "run").checkpoint().iteration == 6
    train(tiny(tmp_path), tmp_path / "run", resume=True)
    assert results(tmp_path / "run") == results(reference)


def test_a_bug_keeps_its_traceback_and_the_state_before_it(tmp_path, monkeypatch):
    def broken(self, env, iteration):
        raise KeyError("bug")

    monkeypatch.setattr(ProMP, "iterate", broken)
    with pytest.raises(KeyError):
        train(tiny(tmp_path), tmp_path / "run")
    assert open_run(tmp_path / "run").checkpoint().iteration == 0


def test_training_in_a_thread_leaves_signals_alone(tmp_path):
    before = signal.getsignal(signal.SIGINT)
    thread = threading.Thread(target=train, args=(tiny(tmp_path, "iterations=1"), tmp_path / "run"))
    thread.start()
    thread.join()
    assert open_run(tmp_path / "run").checkpoint().iteration == 1
    with Interruption(print):
        assert signal.getsignal(signal.SIGINT) != before
    assert signal.getsignal(signal.SIGINT) == before


def test_what_answers_a_signal_is_said_to_its_end():
    said = []

    def say(line):
        time.sleep(0.3)
        said.append(line)

    with Interruption(say) as interruption:
        os.kill(os.getpid(), signal.SIGTERM)
        while not interruption.requested:
            time.sleep(0.01)
    assert interruption.exit_code == 143
    assert [line.split(":")[0] for line in said] == ["SIGTERM"]


@pytest.mark.parametrize("first, then", [(signal.SIGTERM, signal.SIGUSR2), (signal.SIGUSR1, signal.SIGUSR1)])
def test_a_cluster_s_announcement_ends_nothing_at_once_and_tells_to_requeue(first, then):
    with Interruption(lambda line: None) as interruption:
        for number in (first, then):
            os.kill(os.getpid(), number)
            time.sleep(0.1)
    assert interruption.exit_code == 128 + then


METRICS = {"return_0": -40.0, "return_1": -12.5, "return_2": -10.0, "env_steps": 160_000, "seconds": 2.0, "diverged": 3}


def test_progress_is_plain_lines_in_a_file(monkeypatch):
    clock = [0.0]
    monkeypatch.setattr(time, "monotonic", lambda: clock[0])
    console = Console(file=io.StringIO(), force_terminal=False, width=40)
    with Progress(100, 40, console) as progress:
        for done in range(41, 101):
            clock[0] += 2.0
            progress.update(done, METRICS)
        progress.say("[saved] to /tmp/:cat:/" + "a" * 80)
    text = console.file.getvalue().splitlines()
    assert text[0] == "iteration 41/100  80k steps/s  return -40 -> -12.5 -> -10  1:58 left  3 diverged"
    assert text[-2] == "iteration 100/100  80k steps/s  return -40 -> -12.5 -> -10  0:00 left  180 diverged"
    assert text[-1] == "[saved] to /tmp/:cat:/" + "a" * 80 and 20 < len(text) < 26


def test_progress_is_one_live_line_on_a_terminal():
    console = Console(file=io.StringIO(), force_terminal=True, width=120)
    with Progress(100, 0, console) as progress:
        progress.update(1, METRICS)
        logging.getLogger("metarl").warning("a warning")
    text = console.file.getvalue()
    assert "iteration 1/100  80k steps/s  return -40 -> -12.5 -> -10  " in text
    assert "\x1b[?25l" in text and text.rindex("\x1b[?25h") > text.rindex("\x1b[?25l")
