"""SIGTERM as an exception, so that what a process began is also ended: children, temporary folders.

    with exit_on_sigterm():
        work()                                  # SystemExit 143; a second SIGTERM ends at once
    with signals_after():
        child = subprocess.Popen(command)       # no exception between its start and its name

    signal_at_parents_end(signal.SIGKILL)       # no process is left behind, whatever ends its parent

Only the main thread has signals: in others the first two do nothing.
"""

import contextlib
import ctypes
import signal
import sys
import threading
from collections.abc import Iterator
from types import FrameType


@contextlib.contextmanager
def exit_on_sigterm() -> Iterator[None]:
    """SIGTERM raises SystemExit 143."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, _exit)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _exit(number: int, frame: FrameType | None) -> None:
    signal.signal(number, signal.SIG_DFL)
    sys.exit(128 + number)


def signal_at_parents_end(number: signal.Signals) -> None:
    """Have this process sent a signal when the thread that made it ends, kill -9 included. On Linux; else nothing."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(1, number, 0, 0, 0)  # PR_SET_PDEATHSIG


@contextlib.contextmanager
def signals_after() -> Iterator[None]:
    """SIGTERM and Ctrl-C are answered at the end of the block."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    came: list[int] = []
    before = {n: signal.signal(n, lambda n, _: came.append(n)) for n in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    for number in came:
        handler = before[signal.Signals(number)]
        if callable(handler):
            handler(number, None)
        elif handler is signal.SIG_DFL:
            signal.raise_signal(number)
