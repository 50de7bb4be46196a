"""SIGTERM as an exception, so that what a process began is also ended: children, temporary folders.

    with exit_on_sigterm():
        work()                                  # SystemExit 143; a second SIGTERM ends at once
    with signals_after():
        child = subprocess.Popen(command)       # no exception between its start and its name

Only the main thread has signals: in others both do nothing.
"""

import contextlib
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
