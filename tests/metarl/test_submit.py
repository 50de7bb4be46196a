"""Jobs of a cluster: what is submitted, what becomes of it, and that nothing is submitted twice.

Slurm itself is in tests/metarl/slurm; here are jobs of submitit's local executor, and stand-ins for Slurm's commands.
"""

import json
import os
import signal
from pathlib import Path

import pytest
from run_processes import TINY, tiny, wait_for

from metarl.cli import main
from metarl.jobs import record
from metarl.jobs.cluster import submit
from metarl.jobs.job import PATIENCE, Job
from metarl.jobs.plan import plan, with_seeds
from metarl.jobs.status import states
from metarl.runs.run import open_run
from metarl.training.train import train
from metarl.util.errors import UserError
from metarl.util.optional import Extra

pytest.importorskip("submitit", reason="the extra cluster is not installed")


def program(folder, name, text):
    (folder / name).write_text(f"#!/bin/sh\n{text}\n")
    (folder / name).chmod(0o755)


@pytest.fixture
def slurm(tmp_path, monkeypatch):
    """Stand-ins: `sbatch` takes every script and keeps it, `squeue` answers with what is in the file `queue`."""
    folder = tmp_path / "bin"
    folder.mkdir()
    program(folder, "sbatch", f'cp "$1" {folder}/script; echo x >> {folder}/calls; echo Submitted batch job 7')
    program(folder, "squeue", f"cat {folder}/queue")
    program(folder, "srun", "exit 1")
    (folder / "queue").write_text("")
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")
    return folder


@pytest.fixture
def study(tmp_path):
    """Three runs that nobody trains."""
    plan(tmp_path / "study", with_seeds(tiny(tmp_path), range(3)))
    (tmp_path / "study" / ".jobs").mkdir()
    return tmp_path / "study"


def found(study):
    return {state.name: (state.state, state.note) for state in states(study)}


# ---- what is submitted


def test_each_config_and_seed_is_a_job_of_one_group(tmp_path, slurm):
    for name in ("a", "b"):
        (tmp_path / f"{name}.yaml").write_text(TINY)
    configs = [str(tmp_path / "a.yaml"), str(tmp_path / "b.yaml")]
    options = ["timeout_min=30", "slurm_partition=cpu"]
    study = submit(configs, "0-1", ["threads=2"], tmp_path / "study", "slurm", options)
    runs = [open_run(study / name) for name in ("a_seed_0", "a_seed_1", "b_seed_0", "b_seed_1")]
    assert [(run.config.seed, run.config.threads) for run in runs] == [(0, 2), (1, 2)] * 2
    assert {run.config.wandb.group for run in runs} == {"study"} and len({run.id for run in runs}) == 4
    script = (slurm / "script").read_text()
    for line in ("array=0-3%4", "cpus-per-task=2", "time=30", "partition=cpu", "requeue", "signal=USR2@90"):
        assert f"#SBATCH --{line}\n" in script
    assert "srun --unbuffered" in script and " --cpus-per-task=2 " in script
    assert [state.job for state in states(study)] == ["7_0", "7_1", "7_2", "7_3"]


def test_only_what_nobody_will_train_is_submitted_again(study, slurm):
    names = ["seed_0", "seed_1", "seed_2"]
    for number, name in enumerate(names):
        record.write(study / name, "submitted", cluster="slurm", job=f"3_{number}")
    (slurm / "queue").write_text("3_0|RUNNING|None\n3_1|PENDING|Resources\n3_2|COMPLETING|None\n")
    submit([], None, [], study, "slurm")
    assert not (slurm / "calls").exists()
    (slurm / "queue").write_text("3_1|PENDING|Resources\n")
    evaluations = study / "seed_2" / "evaluations"
    evaluations.mkdir()
    done = {"steps": 1, "episodes": 2, "task_digests": ["a", "b", "c"], "deterministic": False}
    (evaluations / "validation-30-x.json").write_text(json.dumps(done))
    submit([], None, [], study, "slurm")
    assert (slurm / "calls").read_text() == "x\n" and "array" not in (slurm / "script").read_text()
    assert [state.job for state in states(study)] == ["7", "3_1", "3_2"]


def test_where_the_queue_cannot_be_asked_nothing_is_submitted(study, slurm):
    record.write(study / "seed_0", "submitted", cluster="slurm", job="3")
    program(slurm, "squeue", "echo slurm_load_jobs error: Unable to contact >&2; exit 1")
    with pytest.raises(UserError, match="squeue failed: slurm_load_jobs error: Unable to contact; try again"):
        submit([], None, [], study, "slurm")
    assert not (slurm / "calls").exists()


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["{config}", "--cluster", "pbs"], "--cluster: got 'pbs', expected one of local, slurm"),
        (["{config}", "-o", "time_min=3"], "--option: got time_min, expected one of submitit's options (did you mean"),
        (["{config}", "-o", "timeout_min"], '--option: got "timeout_min", expected key=value, such as timeout_min=240'),
        (["{config}", "-o", "timeout_min=long"], '--option: Parameter "timeout_min" expected type'),
        (["{config}", "seed=3", "--seeds", "0-1"], "--seeds: got seed=... as well, expected one of the two"),
        (["{config}", "{config}"], "submit: got two configs called 'tiny', expected names that differ"),
        (["{config}", "--run", "{study}/seed_0"], "expected a folder for several runs"),
        ([], "submit: got no config, expected a YAML file or a name"),
        (["--run", "{study}/none"], "expected one of the two"),
        (["--status", "{study}/none"], "cannot be read: No such file"),
    ],
)
def test_bad_input_is_one_line(study, slurm, tmp_path, monkeypatch, capsys, arguments, line):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as caught:
        main(["submit", *(a.format(config=tmp_path / "tiny.yaml", study=study) for a in arguments)])
    assert caught.value.code == 2
    err = capsys.readouterr().err
    assert line in err and err.count("\n") == 1
    assert not (slurm / "calls").exists()


def test_what_sbatch_refuses_is_one_line(study, slurm):
    program(slurm, "sbatch", "echo sbatch: error: invalid partition specified: gpu >&2; exit 1")
    with pytest.raises(UserError, match="slurm took no job: sbatch: error: invalid partition specified: gpu"):
        submit([], None, [], study, "slurm")
    assert {state for state, _ in found(study).values()} == {"not submitted"}


def test_without_the_extra_it_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setattr("metarl.jobs.cluster.PACKAGE", Extra("cluster", "no_such_package"))
    with pytest.raises(UserError, match=r"metarl submit needs .* pip install '.\[cluster\]'"):
        submit(["demo"], None, [], tmp_path, "slurm")


# ---- what becomes of it


def test_states_say_what_a_job_is_doing_and_why_it_failed(study, slurm, capsys):
    for name in ("seed_0", "seed_1", "seed_2"):
        record.write(study / name, "submitted", cluster="slurm", job=f"{name[-1]}")
        record.write(study / name, "started", job=name[-1], iterations=0)
    record.write(study / "seed_0", "ended", job="0", code=140, error="")  # and requeued
    (slurm / "queue").write_text("0|PENDING|BeginTime\n")
    record.write(study / "seed_1", "ended", job="1", code=2, error="iteration 5: loss is not finite")
    record.log_file(study / "seed_2").write_text("iteration 7/30\nKilled\n\n")
    assert found(study) == {
        "seed_0": ("pending", "BeginTime"),
        "seed_1": ("failed", "iteration 5: loss is not finite"),
        "seed_2": ("failed", "ended without a word; last line: Killed"),
    }
    record.write(study / "seed_0", "started", job="0", iterations=4)
    record.write(study / "seed_2", "ended", job="2", code=143, error="")
    (slurm / "queue").write_text("0|RUNNING|None\n")
    assert found(study)["seed_0"] == ("running", "") and found(study)["seed_2"][0] == "stopped"
    assert states(study)[0].restarts == 1
    with pytest.raises(SystemExit):
        main(["submit", "--status", str(study), "--json"])
    assert json.loads(capsys.readouterr().out)["runs"][1]["state"] == "failed"
    with pytest.raises(SystemExit):
        main(["submit", "--status", str(study)])
    assert "1 running, 1 failed, 1 stopped" in capsys.readouterr().out


def test_a_record_that_is_not_one_is_left_out(study):
    (study / ".jobs" / "seed_0.jsonl").write_bytes(b'{"event": "submitted", "cluster": "x", "job": 1}\n[]\n\xff\n{"eve')
    assert found(study)["seed_0"][0] == "failed"


class Environment:
    job_id = "9"

    @staticmethod
    def _usr_sig():
        return signal.SIGUSR2


@pytest.fixture
def job(study, monkeypatch):
    """A job whose training ends with a code; the signals for which a requeue was asked."""
    requeued = []
    monkeypatch.setattr("submitit.JobEnvironment", Environment)
    before = signal.signal(signal.SIGUSR2, lambda number, frame: requeued.append(number))

    def ends_with(code, error=""):
        monkeypatch.setattr(Job, "_train", lambda self, run: (code, error))
        if not code:
            return Job(str(study / "seed_0"))()
        with pytest.raises(SystemExit) as caught:
            Job(str(study / "seed_0"))()
        assert caught.value.code == code

    yield ends_with, requeued
    signal.signal(signal.SIGUSR2, before)


def test_a_job_is_requeued_when_it_was_announced_and_only_then(study, job):
    ends_with, requeued = job
    for code in (0, 2, 143):
        ends_with(code)
    assert not requeued
    ends_with(140)
    assert requeued == [signal.SIGUSR2]


def test_a_job_that_never_does_an_iteration_is_not_requeued_for_ever(study, job):
    ends_with, requeued = job
    record.write(study / "seed_0", "submitted", cluster="local", job="9", host="elsewhere")
    for _ in range(PATIENCE - 1):
        ends_with(140)
    assert len(requeued) == PATIENCE - 1
    with pytest.raises(AssertionError):
        ends_with(140)  # it is 2
    assert len(requeued) == PATIENCE - 1
    assert "give each more time" in found(study)["seed_0"][1]


@pytest.mark.slow
def test_local_jobs_are_requeued_when_announced_and_end_as_runs_alone(tmp_path):
    config = tiny(tmp_path, "iterations=60", "evaluation.every=0")
    overrides = ["iterations=60", "evaluation.every=0"]
    study = submit([str(tmp_path / "tiny.yaml")], "0-1", overrides, tmp_path / "study", "local")
    run = study / "tiny_seed_1"
    wait_for(lambda: (run / "metrics.jsonl").exists() and len(open_run(run).metrics()) > 2)
    job = states(study)[1].job
    os.kill(int(Path(f"/proc/{job}/task/{job}/children").read_text().split()[0]), signal.SIGUSR2)
    wait_for(lambda: all(state.state == "done" for state in states(study)))
    submit([], None, [], study, "local")  # nothing: both are done
    assert [state.restarts for state in states(study)] == [0, 1]
    assert sum(event["event"] == "submitted" for event in record.read_all(run)) == 1
    alone = train(config.model_copy(update={"seed": 1}), tmp_path / "alone")
    for file in ("metrics.jsonl", "checkpoints/60/state.safetensors"):
        assert (run / file).read_bytes() == (alone / file).read_bytes()
    assert "SIGUSR2: stopping after this iteration" in record.log_file(run).read_text()
