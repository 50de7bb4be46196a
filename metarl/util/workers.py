"""Objects in worker processes, with arrays in memory that all of them share.

    with Workers("my_module:Counter", {"total": ((3,), "f8")}, n=800, count=2) as workers:
        workers.arrays["total"][:] = 0.0         # (800, 3); worker w has rows w, w + 2, w + 4, ...
        workers.call("count", 10)                # counter.count(10) in each worker at once; waits for all
        workers.arrays["total"]                  # (800, 3)

Each worker is a fresh Python, so it inherits neither threads nor locks, and does not run the caller's script again;
the caller's plugins (`metarl.util.plugins`) are imported there too.
A worker ends when its parent does, however that ended, because then nobody holds the other end of its connection; a
worker that dies is noticed at once for the same reason, and `WorkerDied` names it with the row it was at. Workers
leave Ctrl-C and SIGTERM to their parent. With count 0 the object lives in this process.
"""

import contextlib
import mmap
import os
import signal
import socket
import subprocess
import sys
import tempfile
import traceback
import weakref
from collections.abc import Callable, Mapping
from multiprocessing.connection import Connection, wait
from typing import Any, cast

import numpy as np

from .plugins import PLUGINS, find, load_plugin

_ALIGNMENT = 64  # bytes
_PATIENCE = 5.0  # seconds for a worker to end by itself

Fields = Mapping[str, tuple[tuple[int, ...], str]]


class WorkerDied(RuntimeError):
    """A worker process has ended though nobody told it to."""


class Workers:
    """`count` processes with an object each, made of its rows of the arrays.

    Args:
        factory: "module:name"; called in each worker with its arrays (a dict) and an array (1,) of int64, in which the
            object notes the number of its row in progress.
        fields: name to shape of a row and type of the shared arrays.
        n: rows in all.
        count: worker processes; 0 makes the object here.
        describe: from a row to words about it, for errors.

    Attributes:
        arrays: name to shared array (n, ...); written by the workers during `call` only.
        count: how many objects there are: call returns a list of as many results.
    """

    def __init__(
        self, factory: str, fields: Fields, n: int, count: int, describe: Callable[[int], str] = "row {}".format
    ):
        self._describe = describe
        self.count = max(1, count)
        self._current = np.zeros(self.count, np.int64)
        self._processes: list[subprocess.Popen] = []
        self._connections: list[Connection] = []
        self._unanswered: set[int] = set()
        if count == 0:
            self.arrays = {name: np.zeros((n, *shape), kind) for name, (shape, kind) in fields.items()}
            self._local = find(factory)(self.arrays, self._current)
            return
        self._local = None
        with tempfile.TemporaryFile(dir="/dev/shm" if os.path.isdir("/dev/shm") else None) as memory:
            memory.truncate(_layout(fields, n, count)[1])
            self.arrays, self._current = _map(memory.fileno(), fields, n, count)
            for worker in range(count):
                process, connection = _start(memory.fileno())
                self._processes.append(process)
                self._connections.append(connection)
                connection.send((factory, dict(fields), n, worker, count, tuple(PLUGINS)))
        self._unanswered = set(range(count))
        self._end = weakref.finalize(self, _stop, self._processes, self._connections)
        self._answers(range(count))

    def call(self, method: str, *arguments: Any, worker: int | None = None) -> list[Any]:
        """Call a method of the object in one worker or, at the same time, in each; the results."""
        if self._local is not None:
            return [getattr(self._local, method)(*arguments)]
        chosen = range(self.count) if worker is None else [worker]
        self._answers(set(self._unanswered))  # of a call that an exception, such as Ctrl-C, cut off
        for number in chosen:
            with contextlib.suppress(ConnectionError):  # dead: _answers says so
                self._connections[number].send((method, arguments))
            self._unanswered.add(number)
        answers = self._answers(chosen)
        return [answers[number] for number in chosen]

    @property
    def pids(self) -> list[int]:
        """Process ids of the workers."""
        return [process.pid for process in self._processes]

    def close(self) -> None:
        """End the workers; nothing can be called after that."""
        if self._local is None:
            self._end()

    def __enter__(self) -> "Workers":
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def _answers(self, chosen) -> dict[int, Any]:
        """The answers of these workers; raises, once all have answered, what the first of those that failed said."""
        answers: dict[int, Any] = {}
        failed: dict[int, str] = {}
        waiting = {self._connections[number]: number for number in chosen}
        while waiting:
            for connection in cast("list[Connection]", wait(list(waiting))):
                number = waiting.pop(connection)
                try:
                    good, answer = connection.recv()
                except (EOFError, ConnectionError):
                    text = self._obituary(number)
                    self.close()
                    raise WorkerDied(text) from None
                self._unanswered.discard(number)
                answers[number] = answer
                if not good:
                    failed[number] = f"worker {number} of {self.count} failed at {self._row(number)}:\n{answer}"
        if failed:
            raise RuntimeError(failed[min(failed)])
        return answers

    def _obituary(self, number: int) -> str:
        process = self._processes[number]
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(_PATIENCE)
        code = process.returncode
        end = f"exit code {code}"
        if code is not None and code < 0:
            end = f"signal {-code} ({signal.Signals(-code).name})"
        memory = "; the system kills processes when memory runs out: use fewer simulations" if code == -9 else ""
        where = self._row(number)
        return f"worker {number} of {self.count} (process {process.pid}) ended by {end}, last at {where}{memory}"

    def _row(self, number: int) -> str:
        return self._describe(int(self._current[number]) * self.count + number)


def serve(channel: int, memory: int) -> None:
    """The life of a worker, from the file descriptors of its connection and of the shared memory."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    connection = Connection(channel)
    with contextlib.suppress(EOFError, ConnectionError):  # the parent has gone
        factory, fields, n, worker, count, plugins = connection.recv()
        arrays, current = _map(memory, fields, n, count)
        mine = {name: array[worker::count] for name, array in arrays.items()}
        try:
            for plugin in plugins:
                load_plugin(plugin)
            target = find(factory)(mine, current[worker : worker + 1])
        except Exception:
            connection.send((False, traceback.format_exc()))
            return
        connection.send((True, None))
        while True:
            method, arguments = connection.recv()
            try:
                answer = True, getattr(target, method)(*arguments)
            except Exception:
                answer = False, traceback.format_exc()
            connection.send(answer)


def _start(memory: int) -> tuple[subprocess.Popen, Connection]:
    ours, theirs = socket.socketpair()
    with theirs:
        channel = theirs.fileno()
        code = f"import sys; sys.path[:] = {sys.path!r}; from {__name__} import serve; serve({channel}, {memory})"
        environment = os.environ | {"OMP_NUM_THREADS": "1"}
        process = subprocess.Popen(
            [sys.executable, "-c", code], pass_fds=(channel, memory), stdin=subprocess.DEVNULL, env=environment
        )
    return process, Connection(ours.detach())


def _stop(processes: list[subprocess.Popen], connections: list[Connection]) -> None:
    for connection in connections:
        connection.close()
    for process in processes:
        try:
            process.wait(_PATIENCE)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _layout(fields: Fields, n: int, count: int) -> tuple[dict[str, int], int]:
    """Where each array begins in the shared memory, "" for the rows in progress; and the size of all, in bytes."""
    offsets, end = {"": 0}, 8 * count
    for name, (shape, kind) in fields.items():
        offsets[name] = -(-end // _ALIGNMENT) * _ALIGNMENT
        end = offsets[name] + n * int(np.prod(shape, dtype=np.int64)) * np.dtype(kind).itemsize
    return offsets, max(end, 1)


def _map(memory: int, fields: Fields, n: int, count: int) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """The shared arrays (n, ...), and the rows in progress (count,)."""
    offsets, size = _layout(fields, n, count)
    buffer = mmap.mmap(memory, size)
    arrays = {name: np.ndarray((n, *shape), kind, buffer, offsets[name]) for name, (shape, kind) in fields.items()}
    return arrays, np.ndarray((count,), np.int64, buffer, 0)
