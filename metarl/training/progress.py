"""How a training run is getting on, for whoever watches it.

    with Progress(total=100, done=0) as progress:
        progress.update(1, {"return_0": -40.0, "return_1": -12.5, "env_steps": 160_000, "seconds": 3.5, "diverged": 0})
        progress.say("checkpoint saved")

On a terminal one live line with iteration, environment steps/s, return before and after adaptation, time
left and the number of diverged episodes. Elsewhere (a file, a pipe, a batch job) plain lines, one every
`INTERVAL` seconds at most, and the last. Both go to standard error. Warnings that are logged or printed
meanwhile appear above the live line.
"""

import time
from collections.abc import Mapping
from typing import Self

from rich.console import Console
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from metarl.util.text import printable

INTERVAL = 5.0  # seconds


class Progress:
    """Shows iterations `done` to `total`; times are of this process, not of earlier ones of the same run."""

    def __init__(self, total: int, done: int = 0, console: Console | None = None):
        self.console = console or Console(stderr=True)
        self._total, self._first, self._done = total, done, done
        self._start = self._shown = time.monotonic()
        self._steps = self._seconds = self._diverged = 0
        self._text = "first iteration ..."
        self._live = (
            Live(get_renderable=self._render, console=self.console, refresh_per_second=4, transient=False)
            if self.console.is_terminal else None
        )

    def __enter__(self) -> Self:
        if self._live:
            self._live.start()
        return self

    def __exit__(self, *_) -> None:
        if self._live:
            self._live.stop()

    def update(self, done: int, metrics: Mapping[str, float]) -> None:
        """After `done` iterations, the last of which gave `metrics`."""
        self._done = done
        self._steps += metrics["env_steps"]
        self._seconds += metrics["seconds"]
        self._diverged += int(metrics.get("diverged", 0))
        self._text = self._describe(metrics)
        now = time.monotonic()
        if not self._live and (now - self._shown >= INTERVAL or done in (self._total, self._first + 1)):
            self._shown = now
            self.say(self._text)

    def say(self, line: str) -> None:
        """Print one line for good; from any thread."""
        self.console.out(printable(line), highlight=False)

    def restore_terminal(self) -> None:
        """For a process that is about to end without leaving the `with` block."""
        self.console.show_cursor()

    def _describe(self, metrics: Mapping[str, float]) -> str:
        elapsed = time.monotonic() - self._start
        left = elapsed / max(self._done - self._first, 1) * (self._total - self._done)
        returns = [metrics[f"return_{k}"] for k in range(len(metrics)) if f"return_{k}" in metrics]
        return "  ".join([
            f"iteration {self._done}/{self._total}",
            f"{_short(self._steps / max(self._seconds, 1e-9))} steps/s",
            "return " + " -> ".join(f"{value:.4g}" for value in returns),
            f"{_clock(left)} left",
            f"{self._diverged} diverged",
        ])

    def _render(self) -> Table:
        grid = Table.grid(padding=(0, 2))
        bar = ProgressBar(total=self._total, completed=self._done, width=10)
        grid.add_row(bar, Text(self._text, no_wrap=True, overflow="ellipsis"))
        return grid


def _short(number: float) -> str:
    """Four digits at most: 950, 9.5k, 95k, 1.2M."""
    for unit, size in (("M", 1e6), ("k", 1e3)):
        if number >= size:
            return f"{number / size:.3g}{unit}"
    return f"{number:.3g}"


def _clock(seconds: float) -> str:
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{seconds:02}" if hours else f"{minutes}:{seconds:02}"
