"""The processes that work on one search, on whatever machines: who is there, and who is gone.

    with Presence(folder) as presence:
        with presence.turn():                    # one process at a time: to take a strategy, to write what was found
            ...
        presence.gone(name)                      # whether the process of that name has ended, or shows no sign of life

Each process has a file in `workers/`, in which it counts every `BEAT` seconds. A process of this machine is gone when
its number is; any is when its count has stood still for `SILENCE` seconds of watching. Nothing depends on clocks
that agree, or on locks that a network file system may not have.
"""

import contextlib
import os
import secrets
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

from optuna.storages.journal import JournalFileOpenLock

from metarl.util.files import read
from metarl.util.machine import alive

BEAT, SILENCE = 10.0, 120.0  # seconds
GRACE = 60  # seconds after which the turn of a process that was killed in it ends


class Presence:
    """This process, among those that work in `folder`.

    Attributes:
        name: of this process: host:pid:token.
    """

    def __init__(self, folder: Path):
        self._folder = folder / "workers"
        self._turn = JournalFileOpenLock(str(folder / "turn"), grace_period=GRACE)
        self.name = f"{socket.gethostname()}:{os.getpid()}:{secrets.token_hex(4)}"
        self._seen: dict[str, tuple[bytes, float]] = {}  # by name: the count, and since when it stands there
        self._end = threading.Event()

    @contextlib.contextmanager
    def turn(self) -> Iterator[None]:
        """One process at a time; of one that was killed in here the turn ends after GRACE seconds."""
        self._turn.acquire()
        try:
            yield
        finally:
            with contextlib.suppress(RuntimeError):  # it took longer than GRACE
                self._turn.release()

    def gone(self, name: str) -> bool:
        """Whether the process of that name will do nothing any more; true of no name."""
        if not name or name == self.name:
            return not name
        host, pid = name.split(":")[:2]
        if host == socket.gethostname() and not alive(int(pid)):
            return True
        try:
            count = read(self._folder / name, limit=100)
        except (FileNotFoundError, ValueError):
            return True
        before, since = self._seen.setdefault(name, (count, time.monotonic()))
        if count != before:
            self._seen[name] = count, time.monotonic()
        return count == before and time.monotonic() - since > SILENCE

    def __enter__(self) -> "Presence":
        self._folder.mkdir(exist_ok=True)
        self._file = self._folder / self.name
        self._file.write_text("0")
        threading.Thread(target=self._beat, name="presence", daemon=True).start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._end.set()
        self._file.unlink(missing_ok=True)

    def _beat(self) -> None:
        count = 0
        while not self._end.wait(BEAT):
            count += 1
            with contextlib.suppress(OSError):  # a full disk: others may take what this one does, and nothing is lost
                self._file.write_text(str(count))
