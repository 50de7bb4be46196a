"""One process per run folder.

    with locked(folder) as lock:        # UserError names the holder if there is one
        ...                             # an error in here releases it
    lock.release()                      # as does the end of the process, however it comes

The lock is the system's (flock) on the file `lock`; what is written in there only says who holds it.
"""

import contextlib
import fcntl
import json
import os
import socket
import time
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

from metarl.util.errors import UserError
from metarl.util.machine import alive


class InUse(UserError):
    """Another process holds the folder."""


class Lock:
    """This process's hold on a run folder. The system ends it with the process, so there are no stale locks."""

    def __init__(self, folder: Path):
        self._descriptor = os.open(folder / "lock", os.O_RDWR | os.O_CREAT, 0o666)
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = self._holder()
            os.close(self._descriptor)
            advice = "wait for it, stop it, or choose another --run"
            raise InUse(f"run folder {folder} is in use by {holder}; {advice}") from None
        since = datetime.now().astimezone().isoformat("T", "seconds")
        owner = {"pid": os.getpid(), "host": socket.gethostname(), "since": since}
        os.ftruncate(self._descriptor, 0)
        os.pwrite(self._descriptor, json.dumps(owner).encode(), 0)

    def release(self) -> None:
        os.close(self._descriptor)

    def _holder(self) -> str:
        for _ in range(20):  # the holder may not have written its name yet
            try:
                owner = json.loads(os.pread(self._descriptor, 4096, 0))
                if owner["host"] != socket.gethostname() or alive(owner["pid"]):
                    return f"pid {owner['pid']} on host {owner['host']} since {owner['since']}"
            except (ValueError, KeyError, TypeError):
                pass
            time.sleep(0.02)
        return "another process"


@contextlib.contextmanager
def locked(folder: Path) -> Iterator[Lock]:
    """Hold the lock of `folder`, and keep it afterwards unless an error follows."""
    lock = Lock(folder)
    try:
        yield lock
    except BaseException:
        lock.release()
        raise
