"""Processes that try strategies at the same time, each answering when it is done.

    with Pool(jobs=2) as pool:
        pool.submit(7, "train", folder, config, 40, values)
        number, answer = pool.next(timeout=0.5)          # (7, {"value": ...}); None if nobody was done in time
        pool.stop()                                      # all come to an end at their next iteration

With jobs = 0 there is no other process: `next` does what was submitted. A process that dies answers with an error for
its strategy and is replaced.
"""

import contextlib
import os
import queue
import signal
import threading
from typing import Any

from metarl.tuning.trial import FIELDS
from metarl.util.workers import WorkerDied, Workers


class Pool:
    """`jobs` processes that call methods of `metarl.tuning.trial.Trials`."""

    def __init__(self, jobs: int):
        self._count = min(jobs, 1)  # of processes that a Workers has
        self._workers = [self._new() for _ in range(max(1, jobs))]
        self._busy: dict[int, int] = {}  # slot to number
        self._answers: queue.SimpleQueue = queue.SimpleQueue()
        self._stopping = False

    @property
    def free(self) -> bool:
        return len(self._busy) < len(self._workers)

    @property
    def busy(self) -> bool:
        return bool(self._busy)

    @property
    def done(self) -> dict[int, int]:
        """Iterations that each number in progress has done so far."""
        return {number: int(self._workers[slot].arrays["done"][0]) for slot, number in self._busy.items()}

    def submit(self, number: int, method: str, *arguments: Any) -> None:
        """Call a method for strategy `number` in a process that is free."""
        slot = next(slot for slot in range(len(self._workers)) if slot not in self._busy)
        self._busy[slot] = number
        if self._stopping:
            self._workers[slot].arrays["stop"][:] = 1
        if self._count:
            call = threading.Thread(target=self._call, args=(slot, method, arguments), daemon=True)
            call.start()
        else:
            self._waiting = (slot, method, arguments)

    def next(self, timeout: float) -> tuple[int, dict[str, Any]] | None:
        """A strategy and what was answered for it; an exception of the method is raised here."""
        if not self._count:
            self._call(*self._waiting)
        try:
            slot, answer = self._answers.get(timeout=timeout)
        except queue.Empty:
            return None
        number = self._busy.pop(slot)
        if isinstance(answer, WorkerDied):
            self._workers[slot] = self._new()
            return number, {"error": str(answer)}
        if isinstance(answer, BaseException):
            raise answer
        return number, answer

    def stop(self) -> None:
        """Ask all for an end at the next iteration; from any thread."""
        self._stopping = True
        for workers in self._workers:
            workers.arrays["stop"][:] = 1

    def __enter__(self) -> "Pool":
        return self

    def __exit__(self, *exception: object) -> None:
        for slot, workers in enumerate(self._workers):
            if slot in self._busy:  # given up: what it has saved stays
                for pid in workers.pids:
                    with contextlib.suppress(ProcessLookupError):
                        os.kill(pid, signal.SIGKILL)
            workers.close()

    def _call(self, slot: int, method: str, arguments: tuple) -> None:
        try:
            answer = self._workers[slot].call(method, *arguments)[0]
        except Exception as error:
            answer = error
        self._answers.put((slot, answer))

    def _new(self) -> Workers:
        return Workers("metarl.tuning.trial:Trials", FIELDS, 1, self._count, "its strategy".format)
