"""What became of the jobs of a run: lines of JSON in `.jobs/<run>.jsonl`, written by whoever submits and by the jobs.

    write(run, "submitted", cluster="slurm", job="12_3")
    write(run, "started", job="12_3", iterations=40)
    write(run, "ended", job="12_3", code=2, error="a line")
    read_all(run)                              # a list of these; a torn line is left out
"""

import json
import os
import time
from pathlib import Path
from typing import Any

from metarl.jobs.plan import HIDDEN
from metarl.runs.run import Run
from metarl.util.errors import UserError
from metarl.util.files import open_regular, read


def log_file(run: Path) -> Path:
    """Where what a run prints is kept."""
    return run.parent / HIDDEN / f"{run.name}.log"


def write(run: Path, event: str, **values: Any) -> None:
    """Add a line."""
    line = json.dumps({"event": event, "time": time.time()} | values) + "\n"
    with open(open_regular(_file(run), os.O_WRONLY | os.O_CREAT | os.O_APPEND), "w") as file:
        file.write(line)


def read_all(run: Path) -> list[dict[str, Any]]:
    """The lines, oldest first."""
    try:
        content = read(_file(run))
    except FileNotFoundError:
        return []
    except ValueError as error:
        raise UserError(f"{_file(run)}: {error}; remove it") from error
    return [event for line in content.splitlines() if isinstance(event := _parse(line), dict) and "event" in event]


def iterations(run: Run) -> int:
    """Iterations that are done, by the metrics; more than the newest checkpoint's after a kill."""
    return len(run.metrics())


def _file(run: Path) -> Path:
    return run.parent / HIDDEN / f"{run.name}.jsonl"


def _parse(line: bytes) -> Any:
    try:
        return json.loads(line)
    except (ValueError, RecursionError):
        return None
