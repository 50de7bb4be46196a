"""One run of several, in a process of its own.

    code, error = train_logged(Path("runs/study/seed_3"), Path("runs/study/.jobs/seed_3.log"))     # 0, ""
    trainings = Trainings({"stop": np.zeros(1, "u1"), "line": np.zeros((1, LINE), "u1"), "done": ...}, np.zeros(1))
    trainings.train(Path("runs/study/seed_3"), Path("runs/study/.jobs/seed_3.log"))        # {"ended": "done"}

It trains as `metarl train --run RUN --resume` does, with what that prints in the log. `stop`, in memory shared with
whoever started it, stands for SIGTERM: what the run has done is saved.
"""

import os
import signal
import threading
import time
import traceback
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np

from metarl.jobs.display import LINE
from metarl.runs import run as runs
from metarl.training.progress import Progress
from metarl.training.train import train
from metarl.util.errors import UserError
from metarl.util.text import first_line


def train_logged(folder: Path, log: Path, show: Callable[[int, int], Progress] = Progress) -> tuple[int, str]:
    """Resume the run in `folder`, all output of this process going to the end of `log`.

    Returns:
        The exit code of a `metarl train` that ended so, and a line that says why it failed, if it did.
    """
    descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o666)
    for stream in (1, 2):
        os.dup2(descriptor, stream)
    try:
        train(runs.open_run(folder).config, folder, resume=True, show=show)
    except SystemExit as end:
        return int(end.code or 0), ""
    except UserError as error:
        print(f"metarl: error: {error}", flush=True)
        return 2, first_line(error)
    except Exception as error:
        traceback.print_exc()
        return 1, f"{type(error).__name__}: {first_line(error)}; see {log}"
    return 0, ""


class Trainings:
    """Made by `metarl.util.workers.Workers` with the arrays of `metarl.jobs.display.FIELDS`."""

    def __init__(self, arrays: dict[str, np.ndarray], current: np.ndarray):
        self._arrays = arrays
        os.setpgid(0, 0)  # Ctrl-C on the terminal is for whoever started it, who then asks for a stop
        threading.Thread(target=self._hand_on_stop, daemon=True).start()

    def train(self, folder: Path, log: Path) -> dict[str, str]:
        """Train to the end: {"ended": "done" or "stopped"}, or {"error": a line}."""
        code, error = train_logged(folder, log, self._progress)
        return {"error": error} if error else {"ended": "stopped" if code else "done"}

    def _progress(self, total: int, done: int) -> Progress:
        return _Shown(total, done, self._show)

    def _show(self, done: int, line: str) -> None:
        text = line.encode(errors="replace")[:LINE].ljust(LINE)
        self._arrays["done"][0], self._arrays["line"][0] = done, np.frombuffer(text, "u1")

    def _hand_on_stop(self) -> None:
        """SIGTERM for this process, once the run in it listens."""
        while not (self._arrays["stop"].any() and callable(signal.getsignal(signal.SIGTERM))):
            time.sleep(0.1)
        os.kill(os.getpid(), signal.SIGTERM)


class _Shown(Progress):
    """Progress that is told to another process as well."""

    def __init__(self, total: int, done: int, show: Callable[[int, str], None]):
        super().__init__(total, done)
        self._show = show
        show(done, self._text)

    def update(self, done: int, metrics: Mapping[str, float]) -> None:
        super().update(done, metrics)
        self._show(done, self._text)
