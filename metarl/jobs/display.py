"""How several runs are getting on: on a terminal a live line for each in progress, elsewhere plain lines.

    with RunsProgress([("seed_0", 50), ("seed_1", 50)], waiting={0, 1}) as progress:
        progress.show({0: 7}, {0: line})                   # run 0 has done 7 iterations
        progress.ended(0, {"ended": "done"})               # a line for good
"""

import time
from collections.abc import Mapping, Sequence

import numpy as np
from rich.console import Console
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from metarl.training.progress import INTERVAL, Progress

LINE = 200  # bytes
FIELDS = {"stop": ((), "u1"), "line": ((LINE,), "u1"), "done": ((), "i8")}
"""What a run in progress shares: whether it is to stop, its own line of progress, and its iterations."""


class RunsProgress(Progress):
    """Of runs with a name and a number of iterations each, those of `waiting` are to be trained."""

    def __init__(self, runs: Sequence[tuple[str, int]], waiting: set[int], console: Console | None = None):
        self._runs, self._failed = runs, 0
        self._at: dict[int, tuple[int, str]] = {}  # of the runs in progress: iterations, and their line
        super().__init__(len(runs), len(runs) - len(waiting), console)
        self._text = self._summary()
        if self._first:
            self.say(f"{self._first} of {len(runs)} runs are done already")

    def show(self, done: Mapping[int, np.ndarray], lines: Mapping[int, np.ndarray]) -> None:
        """What the runs in progress are at, by number: iterations, and their own line as bytes."""
        texts = {number: lines[number].tobytes().decode(errors="replace").rstrip("\0 ") for number in lines}
        self._at = {number: (int(done[number]), texts[number] or "starting ...") for number in texts}
        now = time.monotonic()
        if not self._live and self._at and now - self._shown >= INTERVAL * len(self._at):
            self._shown = now
            for number, (_, text) in self._at.items():
                self.say(f"{self._runs[number][0]}: {text}")

    def ended(self, number: int, answer: Mapping[str, str]) -> None:
        """Say what became of a run: {"ended": "done" or "stopped"}, or {"error": a line}."""
        self._at.pop(number, None)
        self._failed += "error" in answer
        self._done += answer.get("ended") == "done"
        self._text = self._summary()
        what = f"failed: {answer['error']}" if "error" in answer else answer["ended"]
        self.say(f"{self._runs[number][0]}: {what} ({self._text})")

    def _summary(self) -> str:
        return f"{self._done}/{self._total} runs done" + (f", {self._failed} failed" if self._failed else "")

    def _render(self) -> Table:
        grid = Table.grid(padding=(0, 2))
        for number, (done, text) in sorted(self._at.items()):
            name, total = self._runs[number]
            bar = ProgressBar(total=total, completed=done, width=10)
            grid.add_row(Text(name), bar, Text(text, no_wrap=True, overflow="ellipsis"))
        grid.add_row(Text("all"), ProgressBar(total=self._total, completed=self._done, width=10), Text(self._text))
        return grid
