"""Objects in worker processes, with arrays in memory that all of them share.

    with Workers("my_module:Counter", {"total": ((3,), "f8")}, n=800, count=2) as workers:
        workers.arrays["total"][:] = 0.0         # (800, 3); worker w has rows w, w + 2, w + 4, ...
        workers.call("count", 10)                # counter.count(10) in each worker at once; waits for all
        workers.arrays["total"]                  # (800, 3)

Each worker is a fresh Python, so it inherits neither threads nor locks, and does not run the caller's script again;
the caller's plugins (`metarl.util.plugins`) are imported there too.
A worker ends when its parent does, however that ended; one that dies is noticed at once, because then nobody holds the
other end of its connection, and one that shows no sign of life for `SILENCE` seconds (stopped, or hanging in a call
that never returns) is ended: `WorkerDied` names it with the row it was at. Workers leave Ctrl-C and SIGTERM to their
parent. With count 0 the object lives in this process.
"""

import contextlib
import mmap
import os
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import time
import traceback
import weakref
from collections.abc import Callable, Mapping, Sequence
from multiprocessing.connection import Connection, wait
from typing import Any, NoReturn, cast

import numpy as np

from .errors import UserError
from .plugins import PLUGINS, find, load_plugin
from .signals import signal_at_parents_end

_ALIGNMENT = 64  # bytes
_PATIENCE = 5.0  # seconds for workers to end by themselves
SILENCE = 60.0  # seconds without a sign of life, which a worker gives each second

Fields = Mapping[str, tuple[tuple[int, ...], str]]


class WorkerDied(UserError):
    """A worker process has ended though nobody told it to, or hangs."""


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
        self._current, self._beats = np.zeros((2, self.count), np.int64)
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
            self.arrays, (self._current, self._beats) = _map(memory.fileno(), fields, n, count)
            self._end = weakref.finalize(self, _stop, self._processes, self._connections)
            for worker in range(count):
                process, connection = _start(memory.fileno())
                self._processes.append(process)
                self._connections.append(connection)
                connection.send((factory, dict(fields), n, worker, count, tuple(PLUGINS)))
        self._unanswered = set(range(count))
        self._answers(range(count))

    def call(self, method: str, *arguments: Any, worker: int | None = None) -> list[Any]:
        """Call a method of the object in one worker or, at the same time, in each; the results."""
        chosen = range(self.count) if worker is None else [worker]
        return self._call(method, dict.fromkeys(chosen, arguments))

    def call_each(self, method: str, arguments: Sequence[tuple]) -> list[Any]:
        """Call a method in the first workers at the same time, with the arguments of each; the results."""
        return self._call(method, dict(enumerate(arguments)))

    def _call(self, method: str, arguments: Mapping[int, tuple]) -> list[Any]:
        if self._local is not None:
            return [getattr(self._local, method)(*given) for given in arguments.values()]
        self._answers(set(self._unanswered))  # of a call that an exception, such as Ctrl-C, cut off
        for number, given in arguments.items():
            try:
                self._connections[number].send((method, given))
            except BlockingIOError:  # nothing was taken for SILENCE seconds
                self._end_hanging(number)
            except ConnectionError:  # dead: _answers says so
                pass
            self._unanswered.add(number)
        answers = self._answers(arguments)
        return [answers[number] for number in arguments]

    def place(self, row: int) -> tuple[int, int]:
        """The worker that has a row, and its number there."""
        return row % self.count, row // self.count

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
        silent, beats = np.zeros(self.count), self._beats.copy()  # seconds of each
        while waiting:
            ready = cast("list[Connection]", wait(list(waiting), 1.0))
            silent[:] = np.where(self._beats != beats, 0.0, silent + (not ready))  # in waits, not by the clock:
            beats = self._beats.copy()  # this process may have been stopped too
            for number in waiting.values():
                if silent[number] > (SILENCE if beats[number] else 5 * SILENCE):  # it may take long to start
                    self._end_hanging(number)
            for connection in ready:
                number = waiting.pop(connection)
                try:
                    good, answer = connection.recv()
                except BlockingIOError:
                    self._end_hanging(number)
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

    def _end_hanging(self, number: int) -> NoReturn:
        process = self._processes[number]
        process.kill()
        where = self._row(number)
        self.close()
        raise WorkerDied(
            f"worker {number} of {self.count} (process {process.pid}) gave no sign of life for {SILENCE:g} s and was"
            f" ended, last at {where}: it was stopped, or hangs"
        )

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


def serve(channel: int, memory: int, parent: int, tied: bool) -> None:
    """The life of a worker, from the file descriptors of its connection and of the shared memory.

    Args:
        parent: its process.
        tied: whether the thread that made this process is the parent's main one, whose end is the parent's.
    """
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    if tied:  # a stopped process goes with its parent too
        signal_at_parents_end(signal.SIGKILL)
    connection = Connection(channel)
    with contextlib.suppress(EOFError, ConnectionError):  # the parent has gone
        factory, fields, n, worker, count, plugins = connection.recv()
        arrays, (current, beats) = _map(memory, fields, n, count)
        threading.Thread(target=_beat, args=(beats[worker : worker + 1], parent), daemon=True).start()
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


def _beat(beats: np.ndarray, parent: int) -> None:
    """Show signs of life, and end this process in whatever it is doing when its parent has gone."""
    while os.getppid() == parent:
        beats += 1
        time.sleep(1.0)
    os._exit(1)


def _start(memory: int) -> tuple[subprocess.Popen, Connection]:
    ours, theirs = socket.socketpair()
    for option in (socket.SO_SNDTIMEO, socket.SO_RCVTIMEO):  # of one that stops in the middle of a message
        ours.setsockopt(socket.SOL_SOCKET, option, struct.pack("ll", int(SILENCE), 0))
    with theirs:
        channel = theirs.fileno()
        tied = threading.current_thread() is threading.main_thread()
        call = f"serve({channel}, {memory}, {os.getpid()}, {tied})"
        code = f"import sys; sys.path[:] = {sys.path!r}; from {__name__} import serve; {call}"
        environment = os.environ | {"OMP_NUM_THREADS": "1"}
        process = subprocess.Popen(
            [sys.executable, "-c", code], pass_fds=(channel, memory), stdin=subprocess.DEVNULL, env=environment
        )
    return process, Connection(ours.detach())


def _stop(processes: list[subprocess.Popen], connections: list[Connection]) -> None:
    for connection in connections:
        connection.close()
    deadline = time.monotonic() + _PATIENCE
    for process in processes:
        try:
            process.wait(max(0.0, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _layout(fields: Fields, n: int, count: int) -> tuple[dict[str, int], int]:
    """Where each array begins in the shared memory, "" for rows and beats; and the size of all, in bytes."""
    offsets, end = {"": 0}, 2 * 8 * count
    for name, (shape, kind) in fields.items():
        offsets[name] = -(-end // _ALIGNMENT) * _ALIGNMENT
        end = offsets[name] + n * int(np.prod(shape, dtype=np.int64)) * np.dtype(kind).itemsize
    return offsets, max(end, 1)


def _map(memory: int, fields: Fields, n: int, count: int) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """The shared arrays (n, ...), and the rows in progress and the signs of life (2, count)."""
    offsets, size = _layout(fields, n, count)
    buffer = mmap.mmap(memory, size)
    arrays = {name: np.ndarray((n, *shape), kind, buffer, offsets[name]) for name, (shape, kind) in fields.items()}
    return arrays, np.ndarray((2, count), np.int64, buffer, 0)
