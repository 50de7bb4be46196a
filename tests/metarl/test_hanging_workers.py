"""Worker processes that hang: named in a line for the user within a deadline, and none is left."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from metarl.util import workers
from metarl.util.errors import UserError
from metarl.util.workers import Workers


class Target:
    """What a worker has here: adds to its rows."""

    def __init__(self, arrays, current):
        self.arrays = arrays

    def add(self, number, _=None):
        self.arrays["x"] += number
        return os.getpid()

    def sleep(self, seconds):
        time.sleep(seconds)


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def two() -> Workers:
    return Workers("test_hanging_workers:Target", {"x": ((), "f8")}, 4, 2)


@pytest.mark.slow
def test_each_gets_its_own_arguments():
    with two() as pool:
        assert pool.call_each("add", [(1,), (5,)]) == pool.pids
        assert pool.call_each("add", [(10,)]) == pool.pids[:1]
        np.testing.assert_array_equal(pool.arrays["x"], [11, 5, 11, 5])


@pytest.mark.slow
@pytest.mark.parametrize("message", [b"", bytes(50_000_000)], ids=["small", "more than a socket takes"])
def test_a_worker_that_was_stopped_is_a_line_and_ended(monkeypatch, message):
    monkeypatch.setattr(workers, "SILENCE", 3.0)
    pool = two()
    pool.call("add", 1)  # all have begun to give signs of life
    os.kill(pool.pids[1], signal.SIGSTOP)
    begun = time.monotonic()
    with pytest.raises(UserError, match=r"worker 1 of 2 \(process \d+\) gave no sign of life for 3 s and was ended"):
        pool.call("add", 1, message)
    assert time.monotonic() - begun < 25 and not any(map(alive, pool.pids))


@pytest.mark.slow
def test_a_worker_that_takes_long_is_waited_for(monkeypatch):
    monkeypatch.setattr(workers, "SILENCE", 2.0)
    with two() as pool:
        pool.call("sleep", 6.0)


@pytest.mark.slow
def test_a_stopped_worker_goes_with_a_parent_that_is_killed():
    code = (
        f"import sys; sys.path.append({str(Path(__file__).parent)!r})\n"
        "from test_hanging_workers import two\nimport os, signal\n"
        "pool = two(); os.kill(pool.pids[0], signal.SIGSTOP); print(*pool.pids, flush=True); pool.call('sleep', 600)"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as parent:
        pids = [int(pid) for pid in parent.stdout.readline().split()]
        assert len(pids) == 2 and all(map(alive, pids))
        parent.kill()
    deadline = time.monotonic() + 20
    while any(map(alive, pids)) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not any(map(alive, pids))


@pytest.mark.slow
@pytest.mark.sb3
@pytest.mark.parametrize(
    ("to_worker", "to_run", "code"), [(signal.SIGKILL, None, 2), (signal.SIGSTOP, signal.SIGTERM, 143)]
)
def test_a_training_ends_with_a_line_and_leaves_no_process(tmp_path, to_worker, to_run, code):
    (tmp_path / "c.yaml").write_text(
        "env: {family: Navigation2D, horizon: 20}\nalgorithm: {name: reptile}\nmeta_batch: 2\nepisodes: 1\nthreads: 1\n"
        "iterations: 100000\ninner: {sb3: {algorithm: A2C, processes: 2}}\nevaluation: {tasks: 2, episodes: 1}\n"
        "wandb: {mode: disabled}\n"
    )
    command = [sys.executable, "-m", "metarl.cli", "train", "c.yaml", "--run", "run"]
    with subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.PIPE, text=True) as training:
        metrics = tmp_path / "run" / "metrics.jsonl"
        while not (metrics.exists() and metrics.stat().st_size):
            assert training.poll() is None
            time.sleep(0.05)
        children = Path(f"/proc/{training.pid}/task/{training.pid}/children").read_text().split()
        os.kill(int(children[0]), to_worker)
        if to_run:
            time.sleep(1.0)
            training.send_signal(to_run)
        begun = time.monotonic()
        errors = training.stderr.read()
        assert training.wait(60) == code and "Traceback" not in errors
        assert time.monotonic() - begun < (20 if to_run else 60)
    assert not any(alive(int(child)) for child in children)
    assert "--run run --resume" in errors.splitlines()[-1]
    if not to_run:
        assert errors.splitlines()[-1].startswith("metarl: error: worker 0 of 2 (process ")
