"""Run folders: who may write there, what is in them, and which are refused."""

import json
import os
import threading
import time
from pathlib import Path

import pytest
import yaml
from run_processes import CONTEXT, finish, launch, start_and_hold, tiny

from metarl.config import Config
from metarl.envs import make_family
from metarl.runs import run as runs
from metarl.runs import versions
from metarl.runs.jsonl import LineLog, read_lines
from metarl.runs.run import open_run, prepare, resume, start
from metarl.util.errors import UserError


@pytest.fixture
def config(tmp_path):
    return tiny(tmp_path)


def started(config, path):
    run = start(config, path)
    run.lock.release()
    return run


def test_a_run_folder_says_how_it_was_made(config, tmp_path):
    run = started(config, tmp_path / "run")
    assert yaml.safe_load((run.path / "config.yaml").read_text()) == config.model_dump(mode="json")
    document = json.loads((run.path / "versions.json").read_text())
    session = document["sessions"][0]
    assert document["format"] == 1 and len(document["id"]) == 8
    assert {"python", "torch", "mujoco", "gymnasium", "numpy", "metarl", "platform", "cpu"} <= session.keys()
    assert session["threads"] == 1 and set(session["git"] or ["commit", "dirty"]) == {"commit", "dirty"}
    again = open_run(run.path)
    assert again.config == config and again.id == run.id and again.lock is None
    assert all((run.path / name).stat().st_mode & 0o002 == 0 for name in os.listdir(run.path))


def test_task_sets_are_frozen_disjoint_from_training_and_drawn_from_the_seed(config, tmp_path):
    one, two = started(config, tmp_path / "one"), started(config, tmp_path / "two")
    other = started(tiny(tmp_path, "seed=1"), tmp_path / "other")
    space = make_family("Navigation2D").space
    for split in ("held_out", "extrapolation"):
        tasks = one.tasks(split)
        assert len(tasks) == 3 and set(space.split_of(tasks)) == {split}
        assert tasks == two.tasks(split) and tasks != other.tasks(split)
    assert one.tasks("held_out") != one.tasks("extrapolation")
    with pytest.raises(UserError, match="no task set 'train', only: extrapolation, held_out, validation"):
        one.tasks("train")
    assert len(started(tiny(tmp_path, "evaluation.split=train"), tmp_path / "train").tasks("train")) == 3


def test_an_edited_task_set_is_refused(config, tmp_path):
    run = started(config, tmp_path / "run")
    path = run.path / "tasks" / "held_out.json"
    document = json.loads(path.read_text())
    name = next(iter(document["tasks"][0]))
    document["tasks"][0][name] += 1e-6
    path.write_text(json.dumps(document))
    with pytest.raises(UserError, match="its tasks do not fit their digests, so it was edited"):
        run.tasks("held_out")
    path.write_text("[" * 100_000)
    with pytest.raises(UserError, match="not a task set"):
        run.tasks("held_out")


def test_a_space_without_extrapolation_has_no_such_file(tmp_path):
    config = tiny(tmp_path, "env.family=HalfCheetahDir")
    assert sorted(os.listdir(started(config, tmp_path / "run").path / "tasks")) == ["held_out.json", "validation.json"]


@pytest.mark.slow
def test_twenty_starts_at_once_have_one_winner(config, tmp_path):
    release = CONTEXT.Event()
    go = time.time() + 1.5
    arguments = (str(tmp_path), str(tmp_path / "run"), go, release)
    processes = [launch(start_and_hold, *arguments) for _ in range(20)]
    deadline = time.monotonic() + 60
    while sum(process.exitcode is not None for process in processes) < 19 and time.monotonic() < deadline:
        time.sleep(0.02)
    with pytest.raises(UserError, match=r"run folder \S+ is in use by pid \d+ on host \S+ since 2\S+; wait for it"):
        resume(config, tmp_path / "run", print)
    release.set()
    assert sorted(finish(process) for process in processes) == [0] + [3] * 19
    resume(config, tmp_path / "run", pytest.fail).lock.release()  # the lock ended with its process


@pytest.mark.slow
def test_the_holder_is_named_and_a_killed_one_holds_nothing(config, tmp_path):
    release = CONTEXT.Event()
    holder = launch(start_and_hold, str(tmp_path), str(tmp_path / "run"), 0.0, release)
    while not (tmp_path / "run" / "config.yaml").exists():
        time.sleep(0.01)
    begun = time.monotonic()
    with pytest.raises(UserError, match=f"in use by pid {holder.pid} on host"):
        start(config, tmp_path / "run")
    assert time.monotonic() - begun < 1.0
    holder.kill()
    holder.join()
    resume(config, tmp_path / "run", pytest.fail).lock.release()


def test_runs_without_a_name_get_folders_of_their_own(config, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(runs.time, "strftime", lambda _: "20260101-000000")
    barrier, found = threading.Barrier(100), []

    def make():
        barrier.wait()
        found.append(runs.new_folder(config))

    threads = [threading.Thread(target=make) for _ in range(100)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(found)) == len(os.listdir("runs")) == 100
    assert Path("runs/Navigation2D-promp-20260101-000000") in found


def snapshot(folder: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_nothing_is_overwritten(config, tmp_path):
    run = started(config, tmp_path / "run")
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "thesis.tex").write_text("valuable")
    (tmp_path / "file").write_text("valuable")
    before = snapshot(tmp_path)
    for path, message in (
        (run.path, "already holds a run; add --resume to go on with it, or choose another --run"),
        (tmp_path / "other", "is not empty and not a run folder .it has 'thesis.tex'.; choose another --run"),
        (tmp_path / "file", "cannot be written: File exists; choose another --run"),
        (tmp_path / "file" / "run", "cannot be written: Not a directory; choose another --run"),
    ):
        with pytest.raises(UserError, match=message):
            start(config, path)
    for path in (tmp_path / "nowhere", tmp_path / "file"):
        with pytest.raises(UserError, match="not a run folder .it has no config.yaml."):
            resume(config, path, pytest.fail)
    with pytest.raises(UserError, match="is not empty and not a run folder"):
        resume(config, tmp_path / "other", pytest.fail)
    with pytest.raises(UserError, match="--resume: got no run folder"):
        resume(config, None, pytest.fail)
    assert snapshot(tmp_path) == before | {str(run.path / "lock"): (run.path / "lock").read_bytes()}


def test_a_start_that_was_cut_short_can_be_started_again(config, tmp_path):
    run = started(config, tmp_path / "run")
    (run.path / "config.yaml").unlink()
    (run.path / ".config.yaml.71_0a1b2c3d.partial").touch()
    (run.path / ".versions.json.partial").touch()  # of before
    (run.path / ".notes.txt.71_0a1b2c3d.partial").touch()
    with pytest.raises(UserError, match=r"it has '\.notes\.txt\.71_0a1b2c3d\.partial'\); choose another --run"):
        resume(config, run.path, pytest.fail)
    (run.path / ".notes.txt.71_0a1b2c3d.partial").unlink()
    said = []
    again = resume(config, run.path, said.append)
    again.lock.release()
    assert "was cut short before it began; starting at iteration 0" in said[0]
    assert again.tasks("held_out") == run.tasks("held_out")


@pytest.mark.slow
@pytest.mark.parametrize(
    "override",
    [
        "seed=1", "inner.lr=0.2", "policy.hidden=[9]", "env.horizon=11", "algorithm.clip_range=0.1", "meta_batch=5",
        "env.action_scale=2", "threads=2", "discount=0.9", "inner.first_order=true", "episodes=4",
    ],
)  # fmt: skip
def test_a_resume_that_would_train_differently_is_refused(config, tmp_path, override):
    run = started(config, tmp_path / "run")
    before = snapshot(run.path)
    key, _, value = override.partition("=")
    with pytest.raises(UserError) as error:
        resume(tiny(tmp_path, override, "evaluation.episodes=1"), run.path, pytest.fail)
    lines = str(error.value).splitlines()
    assert len(lines) == 1 and f"--resume: {key}: got " in lines[0] and "it alters training" in lines[0]
    assert snapshot(run.path).keys() == before.keys()
    assert (run.path / "config.yaml").read_bytes() == before[str(run.path / "config.yaml")]
    resume(config, run.path, pytest.fail).lock.release()  # the lock is not kept


def test_another_algorithm_is_refused_with_all_that_differs(config, tmp_path):
    run = started(config, tmp_path / "run")
    other = Config.model_validate(config.model_dump() | {"algorithm": {"name": "maml-trpo"}})
    with pytest.raises(UserError, match="algorithm.name: got maml-trpo, expected promp") as error:
        resume(other, run.path, pytest.fail)
    assert "algorithm.clip_range: got nothing, expected 0.3" in str(error.value)


@pytest.mark.parametrize("algorithm", [
    {"name": "promp", "anneal": True},
    {"name": "rl2", "anneal": True, "anneal_entropy": False},
    {"name": "rl2", "anneal": False, "anneal_entropy": True},
])  # fmt: skip
def test_the_iterations_of_a_schedule_may_not_change(config, tmp_path, algorithm):
    before = Config.model_validate(config.model_dump() | {"algorithm": algorithm, "inner": {}})
    started(before, tmp_path / "run")
    with pytest.raises(UserError, match="iterations: got 99, expected"):
        resume(before.model_copy(update={"iterations": 99}), tmp_path / "run", pytest.fail)


def test_what_does_not_alter_training_may_change(config, tmp_path):
    run = started(config, tmp_path / "run")
    overrides = ["iterations=99", "checkpoint_every=5", "keep_checkpoints=9", "wandb.mode=offline"]
    overrides += ["evaluation.tasks=5", "evaluation.every=1"]
    changed = tiny(tmp_path, *overrides)
    resume(changed, run.path, pytest.fail).lock.release()
    assert open_run(run.path).config == changed and len(open_run(run.path).tasks("held_out")) == 5


def test_a_resume_with_fewer_iterations_than_are_done_is_refused(config, tmp_path):
    run = started(config, tmp_path / "run")
    (run.checkpoints / "7").mkdir(parents=True)
    for go_on in (lambda config: resume(config, run.path, pytest.fail), lambda config: prepare(config, run.path)):
        with pytest.raises(UserError, match=r"^--resume: iterations: got 6, expected 7 or more: .* has done so many; "):
            go_on(tiny(tmp_path, "iterations=6"))
    assert open_run(run.path).config == config
    resume(tiny(tmp_path, "iterations=7"), run.path, pytest.fail).lock.release()


def test_a_resume_under_other_versions_names_both(config, tmp_path, monkeypatch):
    run = started(config, tmp_path / "run")
    real = versions.metadata.version
    monkeypatch.setattr(versions.metadata, "version", lambda name: "9.9" if name == "torch" else real(name))
    monkeypatch.setattr(versions, "cpu_model", lambda: "Abacus")
    monkeypatch.setattr(versions, "git_state", lambda folder: {"commit": "feed", "dirty": False})
    said = []
    (run.path / "metrics.jsonl").touch()  # it has been trained
    resume(config, run.path, said.append).lock.release()
    assert len(said) == 1 and f"torch {real('torch')} -> 9.9" in said[0] and "-> Abacus" in said[0]
    assert said[0].endswith("-> feed")
    assert "numpy" not in said[0]
    sessions = json.loads((run.path / "versions.json").read_text())["sessions"]
    assert [session["torch"] for session in sessions] == [real("torch"), "9.9"]
    resume(config, run.path, pytest.fail).lock.release()  # the same again: nothing to say


def test_another_thread_count_is_named(tmp_path, monkeypatch):
    config = tiny(tmp_path, "threads=0")
    monkeypatch.setattr(runs, "available_threads", lambda: 3)
    run = started(config, tmp_path / "run")
    monkeypatch.setattr(runs, "available_threads", lambda: 5)
    said = []
    resume(config, run.path, pytest.fail).lock.release()  # nothing is trained yet: any machine will do
    (run.path / "metrics.jsonl").touch()
    monkeypatch.setattr(runs, "available_threads", lambda: 7)
    resume(config, run.path, said.append).lock.release()
    assert "threads 5 -> 7" in said[0]


@pytest.mark.parametrize(
    "content, message",
    [
        ('{"format": 2}', "got a run folder of format 2, expected 1; use the version of metarl that wrote it"),
        ("{", "versions.json: not what metarl wrote"),
        ("[]", "versions.json: not what metarl wrote"),
        ("[" * 100_000, "versions.json: not what metarl wrote"),
    ],
)
def test_a_folder_of_another_format_is_refused(config, tmp_path, content, message):
    run = started(config, tmp_path / "run")
    (run.path / "versions.json").write_text(content)
    for refused in (lambda: resume(config, run.path, pytest.fail), lambda: open_run(run.path)):
        with pytest.raises(UserError, match=message):
            refused()
    assert (run.path / "versions.json").read_text() == content


def test_git_state_is_that_of_the_work_tree_that_tracks_the_folder(tmp_path):
    def git(*arguments):
        identity = ["-c", "user.name=n", "-c", "user.email=e", "-c", "commit.gpgsign=false"]
        return versions._git(tmp_path, *identity, *arguments)

    assert versions.git_state(tmp_path) is None
    git("init", "-q")
    (tmp_path / "file").write_text("1")
    (tmp_path / "venv").mkdir()
    (tmp_path / "venv" / "untracked").write_text("1")
    git("add", "file")
    git("commit", "-q", "-m", "m", "--no-verify")
    (tmp_path / ".git" / "info" / "exclude").write_text("venv\n")
    commit = git("rev-parse", "HEAD").strip()
    assert versions.git_state(tmp_path) == {"commit": commit, "dirty": False}
    (tmp_path / "file").write_text("2")
    assert versions.git_state(tmp_path) == {"commit": commit, "dirty": True}
    assert versions.git_state(tmp_path / "venv") is None


def test_lines_survive_tears_cuts_and_a_full_disk(tmp_path, monkeypatch):
    path = tmp_path / "metrics.jsonl"
    log = LineLog(path, keep=0)
    for iteration in range(4):
        log.append({"iteration": iteration, "x": 0.1 * iteration})
    log.close()
    whole = path.read_bytes()
    for cut in range(len(whole) + 1):
        path.write_bytes(whole[:cut])
        assert [line["iteration"] for line in read_lines(path)] == list(range(whole[:cut].count(b"\n")))
    path.write_bytes(whole + b'{"iteration": 4, "x"')  # torn by a kill
    log = LineLog(path, keep=3)
    assert log.iterations == [0, 1, 2] and path.read_bytes() == b"".join(whole.splitlines(keepends=True)[:3])
    write, full = os.write, True

    def half(descriptor, content):
        if not full:
            return write(descriptor, content)
        if len(content) > 4:
            return write(descriptor, content[:4])
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "write", half)
    log.append({"iteration": 3, "x": 0.1 * 3})
    with pytest.raises(OSError):
        log.sync()
    assert path.read_bytes() == b"".join(whole.splitlines(keepends=True)[:3])
    full = False
    log.sync()
    assert path.read_bytes() == whole
    log.close()
