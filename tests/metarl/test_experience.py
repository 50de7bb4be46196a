"""An off-policy run on disk: stopped anywhere it ends with the same bits, and each checkpoint has its own replay."""

import contextlib
import dataclasses
import os
import shutil

import pytest
import torch
from safetensors.torch import load_file

from metarl.agents.replay import Replay
from metarl.algorithms.recurrent_sac import RecurrentSAC
from metarl.config import load_config
from metarl.runs import checkpoint
from metarl.runs.experience import ExperienceFiles
from metarl.runs.run import open_run, resume
from metarl.training.interruption import Interruption
from metarl.training.train import Training, train
from metarl.util.files import partial_of

SETTINGS = """
env: {family: Navigation2D, horizon: 6, action_scale: 2.0}
policy: {hidden: [4], normalize_observations: true}
algorithm: {name: recurrent-sac, memory_size: 4, critic_hidden: [4], batch_rows: 3, window: 3, burn_in: 3,
  update_ratio: 0.05, replay_steps: 72}
meta_batch: 3
episodes: 1
iterations: 8
threads: 1
checkpoint_every: 2
evaluation: {tasks: 1, episodes: 1, steps: 1}
wandb: {mode: disabled}
"""


def config(folder, *overrides):
    (folder / "sac.yaml").write_text(SETTINGS)
    return load_config(folder / "sac.yaml", overrides)


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory):
    folder = tmp_path_factory.mktemp("unbroken")
    return train(config(folder), folder / "run")


def files(run):
    paths = [run / "checkpoints" / "8" / name for name in (checkpoint.TENSORS, checkpoint.META)]
    paths += [run / "metrics.jsonl", *sorted((run / "experience").iterdir())]
    return {str(path.relative_to(run)): path.read_bytes() for path in paths}


def go_on(run, *overrides):
    return train(config(run.parent, *overrides), run, resume=True)


def at_four(unbroken, folder, *overrides):
    """The run as it was after 4 iterations."""
    run = folder / "run"
    train(config(folder, "iterations=4", *overrides), run)
    return run


def test_a_resumed_run_ends_with_the_same_bits_and_the_same_store(unbroken, tmp_path):
    run = at_four(unbroken, tmp_path)
    go_on(run, "iterations=8")
    assert files(run) == files(unbroken)
    # two segments are drawn from; three checkpoints are kept, of which that of iteration 4 needs 2 and 3
    assert sorted(path.name for path in (run / "experience").iterdir()) == [f"{i}.safetensors" for i in range(2, 8)]


def test_so_does_one_whose_critics_learn_bins(tmp_path):
    bins = "algorithm.critic_bins=5"
    whole = train(config(tmp_path, bins), tmp_path / "whole")
    run = at_four(None, tmp_path, bins)
    go_on(run, "iterations=8", bins)
    assert files(run) == files(whole)


def test_an_iteration_that_is_given_up_leaves_no_trace(unbroken, tmp_path, monkeypatch):
    run, update = at_four(unbroken, tmp_path), RecurrentSAC.update

    def interrupted(learner, iteration, count):
        if iteration == 5:
            raise ZeroDivisionError  # its trials are in the store already
        return update(learner, iteration, count)

    monkeypatch.setattr(RecurrentSAC, "update", interrupted)
    with pytest.raises(ZeroDivisionError):
        go_on(run, "iterations=8")
    assert checkpoint.iterations(run / "checkpoints")[-1] == 5
    monkeypatch.undo()
    go_on(run, "iterations=8")
    # more checkpoints were written on the way, and what only the oldest needs is gone at other times
    same = set(files(run)) & set(files(unbroken))
    assert len(same) >= 7 and all(files(run)[name] == files(unbroken)[name] for name in same)


class Killed(BaseException):
    """As `kill -9`: nothing is cleaned up."""


def killing(monkeypatch, at):
    """Ends this "process" at system call number ``at``, a write after half of it."""
    calls = [0]

    def dying(function):
        def replacement(*arguments, **keywords):
            calls[0] += 1
            if calls[0] == at:
                if function is os_write:
                    function(arguments[0], arguments[1][: len(arguments[1]) // 2])
                raise Killed
            return function(*arguments, **keywords)

        return replacement

    os_write = os.write
    for name in ("open", "write", "fsync", "rename", "mkdir", "unlink", "rmdir"):
        monkeypatch.setattr(os, name, dying(getattr(os, name)))
    return calls


def newest(run, replay):
    """The newest intact checkpoint, with its replay."""
    files = ExperienceFiles(run / "experience")
    return checkpoint.load_latest(run / "checkpoints", lambda saved: files.read(saved.meta["experience"], replay))


@pytest.mark.slow
def test_killed_at_each_system_call_of_a_save_the_last_checkpoint_has_its_own_replay(unbroken, tmp_path):
    run = at_four(unbroken, tmp_path)
    training = Training(resume(config(tmp_path, "iterations=8"), run, print))
    with Interruption(print) as interruption:
        for _ in range(2):
            training.iterate(interruption)
    lived = {number: load_file(unbroken / "experience" / f"{number}.safetensors") for number in range(2, 6)}
    known, seen = dict(training.experience_files._digests), set()
    for at in range(1, 100):
        copy = tmp_path / str(at)
        shutil.copytree(run, copy)
        training.run, training._saved = dataclasses.replace(training.run, path=copy), 4
        training.experience_files = ExperienceFiles(copy / "experience")
        training.experience_files._digests = dict(known)
        with pytest.MonkeyPatch.context() as monkeypatch:
            calls = killing(monkeypatch, at)
            with contextlib.suppress(Killed):
                training.save()
        replay = Replay(2, 3, 2, 6, training.learner.spec.observation_dim, training.learner.spec.action_dim)
        saved = newest(copy, replay)
        assert list(replay.numbers) == [saved.iteration - 2, saved.iteration - 1]
        for number in replay.numbers:
            tensors = replay.segment(number).tensors()
            assert all(torch.equal(tensors[name], value) for name, value in lived[number].items()), (at, number)
        seen.add(saved.iteration)
        shutil.rmtree(copy)
        if calls[0] < at:
            break
    training.close()
    training.run.release()
    assert seen == {4, 6} and at > 20


def test_a_save_writes_what_is_new_and_nothing_else(unbroken, tmp_path):
    everything = "algorithm.replay_steps=1000"
    run = at_four(unbroken, tmp_path, everything)
    before = {path.name: path.stat() for path in (run / "experience").iterdir()}
    go_on(run, "iterations=6", everything)
    after = {path.name: path.stat() for path in (run / "experience").iterdir()}
    assert len(before) == 4 and len(after) == 6
    for name in before:
        assert (before[name].st_ino, before[name].st_mtime_ns) == (after[name].st_ino, after[name].st_mtime_ns)


def test_segments_are_on_the_disk_before_a_checkpoint_needs_them(tmp_path, monkeypatch):
    """What a power cut could reorder: a segment, its name, its folder."""
    done, opened, calls = [], {}, {name: getattr(os, name) for name in ("open", "fsync", "rename")}

    def record_open(path, *arguments, **keywords):
        descriptor = calls["open"](path, *arguments, **keywords)
        opened[descriptor] = os.path.basename(path)
        return descriptor

    monkeypatch.setattr(os, "open", record_open)
    monkeypatch.setattr(os, "fsync", lambda d: (calls["fsync"](d), done.append(opened[d])))
    monkeypatch.setattr(os, "rename", lambda a, b: (calls["rename"](a, b), done.append(os.path.basename(b))))
    replay = Replay(2, 1, 1, 2, 1, 1)
    replay.add(0, replay.segment(0))
    ExperienceFiles(tmp_path / "experience").write(replay, 1)
    assert [partial_of(done[0]), *done[1:]] == ["0.safetensors", "0.safetensors", "experience"]
    (tmp_path / "experience" / done[0]).touch()  # of a process that was killed
    ExperienceFiles(tmp_path / "experience").prune(0, replay)
    assert os.listdir(tmp_path / "experience") == ["0.safetensors"]


@pytest.mark.parametrize("harm, message", [
    (lambda path: path.unlink(), r"experience/7.safetensors"),
    (lambda path: path.write_bytes(path.read_bytes()[:-1]), r"experience/7.safetensors"),
    (lambda path: path.write_bytes(path.read_bytes()[:-1] + b"!"), r"a segment from 6 to 7 does not fit its digest"),
])  # fmt: skip
def test_a_damaged_segment_costs_the_checkpoints_that_need_it(unbroken, tmp_path, caplog, harm, message):
    run = tmp_path / "run"
    shutil.copytree(unbroken, run)
    harm(run / "experience" / "7.safetensors")
    go_on(run, "iterations=8")
    assert any("checkpoints/8 is corrupt" in line and message in line for line in caplog.messages)
    assert files(run) == files(unbroken)


def test_whoever_reads_a_run_needs_no_replay(unbroken, tmp_path):
    run = tmp_path / "run"
    shutil.copytree(unbroken, run)
    shutil.rmtree(run / "experience")
    assert open_run(run).checkpoint().iteration == 8


def test_a_checkpoint_that_says_nothing_of_its_segments_is_corrupt(tmp_path):
    replay = Replay(2, 1, 1, 2, 1, 1)
    for meta in (None, {}, {"first": "x", "end": 2, "sha256": ""}):
        with pytest.raises(checkpoint.Corrupt, match="does not say which segments"):
            ExperienceFiles(tmp_path).read(meta, replay)


def test_a_store_of_another_shape_is_refused(unbroken, tmp_path):
    saved = open_run(unbroken).checkpoint()
    with pytest.raises(checkpoint.Corrupt, match=r"6.safetensors: segment 6: observations: got \(3, 2, 7, "):
        ExperienceFiles(unbroken / "experience").read(saved.meta["experience"], Replay(2, 4, 2, 6, 4, 2))
    assert isinstance(next(iter(saved.tensors.values())), torch.Tensor)
