"""Processes that do pieces of work at the same time, each answering when it is done.

    with Pool("metarl.tuning.trial:Trials", FIELDS, jobs=2, what="strategy") as pool:
        pool.submit(7, "train", folder, config, 40, values)
        number, answer = pool.next(timeout=0.5)          # (7, {"value": ...}); None if nobody was done in time
        pool.stop()                                      # all come to an end at their next iteration

The factory makes, in each process, an object of its arrays (see `metarl.util.workers`), among them "stop"; answers of
its methods are dictionaries. A process starts when it is first needed. With jobs = 0 there is no other process: `next`
does what was submitted. A process that dies answers with an error for its work and is replaced.
"""

import contextlib
import os
import queue
import signal
import threading
from typing import Any

import numpy as np

from .workers import Fields, WorkerDied, Workers


class Pool:
    """`jobs` processes that call methods of an object.

    Args:
        factory: "module:name" of what makes the object.
        fields: of its arrays, one row each; "stop" is a number that `stop` sets to 1.
        jobs: processes.
        what: a piece of work in a word, for errors.
        fresh: a new process for each piece of work.
    """

    def __init__(self, factory: str, fields: Fields, jobs: int, what: str, *, fresh: bool = False):
        self._arguments = factory, fields, 1, min(jobs, 1), f"its {what}".format
        self._local, self._fresh = jobs == 0, fresh
        self._workers: list[Workers | None] = [None] * max(1, jobs)
        self._busy: dict[int, int] = {}  # slot to number
        self._answers: queue.SimpleQueue = queue.SimpleQueue()
        self._stopping = self._closed = False

    @property
    def free(self) -> bool:
        return len(self._busy) < len(self._workers)

    @property
    def busy(self) -> bool:
        return bool(self._busy)

    def seen(self, field: str) -> dict[int, np.ndarray]:
        """What the work in progress has written into a field of its arrays, by number."""
        workers = {number: self._workers[slot] for slot, number in self._busy.items()}
        return {number: worker.arrays[field][0] for number, worker in workers.items() if worker}

    def submit(self, number: int, method: str, *arguments: Any) -> None:
        """Call a method for work `number` in a process that is free."""
        slot = next(slot for slot in range(len(self._workers)) if slot not in self._busy)
        self._busy[slot] = number
        if self._local:
            self._waiting = (slot, method, arguments)
        else:
            threading.Thread(target=self._call, args=(slot, method, arguments), daemon=True).start()

    def next(self, timeout: float) -> tuple[int, dict[str, Any]] | None:
        """The number of a piece of work and what was answered; an exception of the method is raised here."""
        if self._local:
            self._call(*self._waiting)
        try:
            slot, answer = self._answers.get(timeout=timeout)
        except queue.Empty:
            return None
        number = self._busy.pop(slot)
        if isinstance(answer, WorkerDied):
            self._workers[slot] = None
            return number, {"error": str(answer)}
        if isinstance(answer, BaseException):
            raise answer
        return number, answer

    def stop(self) -> None:
        """Ask all for an end at the next iteration; from any thread."""
        self._stopping = True
        for worker in self._workers:
            if worker:
                worker.arrays["stop"][:] = 1

    def __enter__(self) -> "Pool":
        return self

    def __exit__(self, *exception: object) -> None:
        self._closed = True
        for slot, worker in enumerate(self._workers):
            if worker:
                if slot in self._busy:  # given up: what it has saved stays
                    _kill(worker)
                worker.close()

    def _call(self, slot: int, method: str, arguments: tuple) -> None:
        try:
            worker = self._workers[slot] = self._workers[slot] or Workers(*self._arguments)
            if self._stopping:
                worker.arrays["stop"][:] = 1
            if self._closed:
                _kill(worker)
            answer = worker.call(method, *arguments)[0]
            if self._fresh:
                worker.close()
                self._workers[slot] = None
        except Exception as error:
            answer = error
        self._answers.put((slot, answer))


def _kill(worker: Workers) -> None:
    for pid in worker.pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
