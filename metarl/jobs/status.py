"""How the runs of a folder are getting on: `metarl submit --status DIR`.

    for state in states(Path("runs/study")):
        print(state.name, state.state, state.iterations, state.total, state.restarts, state.note)

It reads the run folders, the records that jobs write, and the queue of the cluster; nothing that runs code.
"""

import os
import shutil
import socket
import subprocess
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

from metarl.jobs import record
from metarl.jobs.plan import HIDDEN, runs_in
from metarl.runs.run import Run
from metarl.util.errors import UserError
from metarl.util.text import first_line, one_line

WAITING = ("pending", "running")
"""States of which a job will come to an end by itself."""
_PENDING = {"PENDING", "REQUEUED", "REQUEUE_FED", "REQUEUE_HOLD", "SPECIAL_EXIT", "SUSPENDED", "STOPPED"}


@dataclass(frozen=True)
class State:
    """Of one run.

    Attributes:
        name: of its folder.
        state: not submitted, pending, running, done, stopped (by SIGTERM or Ctrl-C) or failed.
        iterations, total: that are done, and in all.
        restarts: how often its last job was started again, after a preemption or a time limit.
        job: the last job.
        note: why it is waiting, or why it failed.
    """

    name: str
    state: str
    iterations: int
    total: int
    restarts: int
    job: str
    note: str


def states(folder: Path) -> list[State]:
    """The state of each run in a folder, in their order."""
    runs = runs_in(folder)
    events = {run.path.name: record.read_all(run.path) for run in runs}
    queue = _queue(event for lines in events.values() for event in lines if event["event"] == "submitted")
    return [_state(run, events[run.path.name], queue) for run in runs]


def print_states(found: list[State], console: Console | None = None) -> None:
    """A table, and how many there are of each state."""
    console = console or Console()
    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    for column in ("run", "state", "iterations", "restarts", "job", ""):
        table.add_column(column, overflow="fold", justify="right" if column in ("iterations", "restarts") else "left")
    for state in found:
        cells = state.name, state.state, f"{state.iterations}/{state.total}", str(state.restarts), state.job, state.note
        table.add_row(*(Text(one_line(cell)) for cell in cells))
    console.print(table)
    counts = {name: sum(state.state == name for state in found) for name in dict.fromkeys(s.state for s in found)}
    console.print(", ".join(f"{count} {name}" for name, count in counts.items()) or "no runs", highlight=False)


def to_json(found: list[State]) -> dict[str, Any]:
    return {"runs": [asdict(state) for state in found]}


def _state(run: Run, events: list[dict[str, Any]], queue: dict[str, tuple[str, str]]) -> State:
    submitted = [str(event.get("job")) for event in events if event["event"] == "submitted"]
    job = submitted[-1] if submitted else ""
    starts = sum(event["event"] == "started" and str(event.get("job")) == job for event in events)
    waiting = [queue[name] for name in submitted if name in queue]
    if run.finished:
        state, note = "done", ""
    elif waiting:
        state, note = waiting[-1]
    elif not submitted:
        state, note = "not submitted", ""
    else:
        state, note = _ended(run, events, job)
    return State(run.path.name, state, record.iterations(run), run.config.iterations, max(0, starts - 1), job, note)


def _ended(run: Run, events: list[dict[str, Any]], job: str) -> tuple[str, str]:
    """Of a run that no job is left of: what its last one wrote."""
    last = events[-1]
    if last["event"] == "ended" and last.get("code") in (130, 143):
        return "stopped", "submit again to go on"
    if last["event"] == "ended" and last.get("error"):
        return "failed", first_line(last["error"])
    files = (run.path.parent / HIDDEN / "submitit" / f"{job}_0_log.err", record.log_file(run.path))
    lines = [line for line in map(_last_line, files) if line]
    return "failed", "ended without a word" + (f"; last line: {lines[0]}" if lines else "")


def _last_line(path: Path) -> str:
    try:
        with open(path, "rb") as file:
            file.seek(max(0, os.fstat(file.fileno()).st_size - 2000))
            lines = file.read().decode(errors="replace").split("\n")
    except OSError:
        return ""
    return one_line(next((line for line in reversed(lines) if line.strip()), ""), 200)


def _queue(submitted: Iterable[dict[str, Any]]) -> dict[str, tuple[str, str]]:
    """Jobs that are waiting or running, with that state and a reason."""
    events = list(submitted)
    local = {str(event.get("job")) for event in events if event.get("cluster") == "local" and _here(event)}
    found = {job: ("running", "") for job in local}
    return found | (_slurm_queue() if any(event.get("cluster") == "slurm" for event in events) else {})


def _slurm_queue() -> dict[str, tuple[str, str]]:
    if shutil.which("squeue") is None:
        raise UserError("submit: found no squeue here, which knows the jobs: ask on a machine of the cluster")
    command = ["squeue", "--me", "--array", "--noheader", "--format=%i|%T|%r"]
    try:
        answer = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True).stdout
    except subprocess.CalledProcessError as error:
        raise UserError(f"submit: squeue failed: {first_line(error.stderr)}; try again") from error
    except subprocess.TimeoutExpired as error:
        raise UserError("submit: squeue did not answer for 120 s; try again") from error
    found = {}
    for line in answer.splitlines():
        job, state, reason = line.split("|", 2)
        found[job] = ("pending" if state in _PENDING else "running", "" if reason == "None" else reason)
    return found


def _here(event: dict[str, Any]) -> bool:
    """Whether a job of submitit's local executor is alive on this machine; its name is the number of its process."""
    if event.get("host") != socket.gethostname():
        return False
    try:
        os.kill(int(event["job"]), 0)
        command = Path(f"/proc/{event['job']}/cmdline")
        return not Path("/proc/self").exists() or b"submitit" in command.read_bytes()
    except (OSError, ValueError):
        return False
