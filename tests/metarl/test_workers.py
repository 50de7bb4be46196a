"""Worker processes: what becomes of them when one dies, when one fails, and when their parent ends."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from metarl.util.workers import WorkerDied, Workers

FIELDS = {"x": ((), "f8")}


class Adder:
    """Adds one to its rows, and notes at which it is."""

    def __init__(self, arrays, current):
        self.x, self.current = arrays["x"], current

    def add(self, rows: int):
        for i in range(rows):
            self.current[0] = i
            self.x[i] += 1.0
        return rows


@pytest.fixture
def workers(monkeypatch):
    """Two workers with rows 0, 2 and 1, 3."""
    monkeypatch.setenv("PYTHONPATH", os.path.dirname(__file__))
    with Workers(f"{Path(__file__).stem}:Adder", FIELDS, n=4, count=2, describe=lambda row: f"row {row} of four") as w:
        yield w


@pytest.mark.slow
def test_a_dead_worker_is_named_with_the_row_it_was_at(workers):
    assert workers.call("add", 2) == [2, 2] and workers.arrays["x"].tolist() == [1.0] * 4
    pids = workers.pids
    os.kill(pids[1], signal.SIGKILL)
    message = rf"worker 1 of 2 \(process {pids[1]}\) ended by signal 9 \(SIGKILL\), last at row 3 of four;"
    with pytest.raises(WorkerDied, match=message):
        workers.call("add", 1)
    assert not any(alive(pid) for pid in pids)


@pytest.mark.slow
def test_an_error_in_a_worker_comes_with_its_traceback_and_ends_nothing(workers):
    with pytest.raises(RuntimeError, match=r"(?s)worker 0 of 2 failed at row 0 of four.*AttributeError.*'nonsense'"):
        workers.call("nonsense")
    assert workers.call("add", 1, worker=1) == [1] and workers.arrays["x"].tolist() == [0.0, 1.0, 0.0, 0.0]
    with pytest.raises(RuntimeError, match=r"(?s)worker 0 of 1 failed at row 0.*ModuleNotFoundError"):
        Workers("metarl.nowhere:X", FIELDS, n=2, count=1)


@pytest.mark.slow
def test_workers_end_with_their_parent_however_that_ends():
    script = (
        "from metarl.util.workers import Workers\n"
        f"workers = Workers('{Path(__file__).stem}:Adder', {FIELDS!r}, n=2, count=2)\n"
        "print(*workers.pids, flush=True); input()\n"
        "workers.call('add', 1); print('added', flush=True); input()"
    )
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    environment = os.environ | {"PYTHONPATH": os.path.dirname(__file__)}
    with subprocess.Popen([sys.executable, "-c", script], **pipes, env=environment) as parent:
        pids = [int(pid) for pid in parent.stdout.readline().split()]
        assert len(pids) == 2 and all(alive(pid) for pid in pids)
        for pid in pids:
            os.kill(pid, signal.SIGINT)  # Ctrl-C reaches the whole group; it is the parent's to handle
        parent.stdin.write("\n")
        parent.stdin.flush()
        assert parent.stdout.readline() == "added\n"
        assert all(alive(pid) for pid in pids)
        parent.kill()
    deadline = time.monotonic() + 60
    while any(alive(pid) for pid in pids) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not any(alive(pid) for pid in pids)


def alive(pid: int) -> bool:
    """Whether a process runs; one that has ended and whom nobody has waited for does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False
