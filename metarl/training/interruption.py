"""Stopping a run by a signal: cleanly, soon, and without losing what is finished.

    with Interruption(rich.console.Console().out) as interruption:
        while not interruption.requested:
            try:
                with interruption.droppable():
                    result = work()           # ends with Dropped if it goes on for PATIENCE seconds after the signal
            except Dropped:
                break
            keep(result)
    interruption.exit_code                    # 143 after SIGTERM, 130 after Ctrl-C, None if there was neither

The first signal asks for a stop at the end of the piece of work in progress, and says so at once, even
while the main thread is inside one long call of a library. A second one ends the process at once;
everything that a run writes allows for that. SIGUSR1 and SIGUSR2, by which a cluster announces the time limit or a
preemption, ask for the same stop, and end nothing at once; the exit code, 138 or 140, tells a job to requeue. Outside
the main thread Python knows no signals, and this does nothing.
"""

import contextlib
import os
import signal
import socket
import threading
from collections.abc import Callable, Iterator

PATIENCE = 6.0  # seconds
_SIGNALS = {signal.SIGTERM: "SIGTERM", signal.SIGINT: "Ctrl-C", signal.SIGUSR1: "SIGUSR1", signal.SIGUSR2: "SIGUSR2"}
_ANNOUNCEMENTS = {signal.SIGUSR1, signal.SIGUSR2}


class Dropped(KeyboardInterrupt):
    """The piece of work in progress is given up."""


class Interruption:
    """Handles SIGTERM, SIGINT, SIGUSR1 and SIGUSR2 while it is entered.

    Args:
        say: is called with a line for the user, from another thread: it has to print whole lines, as a rich Console
            does; `print` writes a line and its end one after the other, and what the main thread prints gets between.
        before_exit: is called before a second signal ends the process.
        patience: seconds after which work is given up that may be; 0: none is.

    Attributes:
        signal: which came first, if any; of an announcement and another, the announcement.
    """

    def __init__(
        self,
        say: Callable[[str], None],
        before_exit: Callable[[], None] = lambda: None,
        patience: float = PATIENCE,
    ):
        self._say, self._before_exit, self._patience = say, before_exit, patience
        self.signal: int | None = None
        self._droppable = False
        self._active = threading.current_thread() is threading.main_thread()

    @property
    def requested(self) -> bool:
        return self.signal is not None

    @property
    def exit_code(self) -> int | None:
        return None if self.signal is None else 128 + self.signal

    def follow(self, number: int) -> None:
        """As if the signal had come here, which came to another rank."""
        self.signal = self.signal or number

    @contextlib.contextmanager
    def droppable(self) -> Iterator[None]:
        """Around work that may be cut off at any point, because its result is then not used."""
        self._droppable = True
        try:
            yield
        finally:
            self._droppable = False

    def __enter__(self) -> "Interruption":
        if self._active:
            # The system writes each signal's number to the socket at once, whatever the main thread is doing.
            self._read, self._write = socket.socketpair()
            self._write.setblocking(False)
            self._old_wakeup = signal.set_wakeup_fd(self._write.fileno(), warn_on_full_buffer=False)
            self._old = {number: signal.signal(number, self._handle) for number in (*_SIGNALS, signal.SIGALRM)}
            self._thread = threading.Thread(target=self._watch, name="interruption", daemon=True)
            self._thread.start()
        return self

    def __exit__(self, *_) -> None:
        if self._active:
            signal.setitimer(signal.ITIMER_REAL, 0)
            for number, handler in self._old.items():
                signal.signal(number, handler)
            signal.set_wakeup_fd(self._old_wakeup)
            self._write.close()
            self._thread.join()  # what it is about to say is said

    def _handle(self, number: int, _frame) -> None:
        """Runs in the main thread, between two of its steps."""
        if number == signal.SIGALRM:
            if self._droppable:
                raise Dropped
            return
        if self.signal is None:
            signal.setitimer(signal.ITIMER_REAL, self._patience)
        if self.signal is None or number in _ANNOUNCEMENTS:
            self.signal = number

    def _watch(self) -> None:
        """Runs in a thread of its own, so it answers while the main thread cannot."""
        asked = False
        while received := self._read.recv(1):
            number = received[0]
            if number not in _SIGNALS:
                continue
            if asked and number in _ANNOUNCEMENTS:
                continue
            if asked:
                self._before_exit()
                os._exit(128 + number)
            asked = True
            again = "" if number in _ANNOUNCEMENTS else "; once more ends at once"
            name = _SIGNALS[signal.Signals(number)]
            self._say(f"{name}: stopping after this iteration, or in {PATIENCE:g} s without it{again}")
        self._read.close()
