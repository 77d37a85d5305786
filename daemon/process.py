"""The process around the daemon: its signals from the first moment on, and its end.

SIGTERM and SIGINT are blocked in every thread, and one thread waits for them. So a stop is noticed while the main
thread imports a library, and while it is stuck. A process with pid 1 needs this too: the kernel drops its signals as
long as nothing takes them. Imports nothing large, because the command line starts the thread before everything else.
Refuses to know what is stopped.
"""

from __future__ import annotations

import contextlib
import logging
import os
import select
import signal
import sys
import threading
from collections.abc import Callable
from typing import NoReturn, Self

from logwarden.daemon.errors import EXIT_DRAINED, EXIT_FATAL, EXIT_STUCK

SIGNALS = (signal.SIGTERM, signal.SIGINT)
GRACE_S = 2.0
"""Seconds after the drain's budget in which the process has ended, whatever hangs."""
_STDERR = 2
_LAST_WORDS_S = 0.5
"""Seconds that the log may take when a second signal ends the process: its reader may be stuck too."""


class StopSignals:
    """The first signal stops the daemon, or ends a process that has not opened anything yet. The second one ends it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._stop: Callable[[], object] | None = None
        self._limit_s = 0.0

    @classmethod
    def taken(cls) -> Self:
        """Returns signals that are taken from now on. Threads that start later inherit the blocked signals."""
        signals = cls()
        hold_back_signals()
        threading.Thread(target=signals._watch, name="signals", daemon=True).start()
        return signals

    def hand_over(self, stop: Callable[[], object], budget_s: float) -> None:
        """Lets the first signal call `stop`, on another thread, and ends the process if the stop takes too long."""
        with self._lock:
            self._stop, self._limit_s = stop, budget_s + GRACE_S

    def _watch(self) -> None:
        signal.sigwait(SIGNALS)
        with self._lock:
            if self._stop is None:
                os._exit(EXIT_DRAINED)  # nothing is open, so nothing is lost
            limit = threading.Timer(self._limit_s, _cut_off, [self._limit_s])
            limit.daemon = True
            limit.start()
            self._stop()
        signal.sigwait(SIGNALS)
        words = threading.Thread(target=_log_second_signal, daemon=True)
        words.start()
        words.join(_LAST_WORDS_S)
        os._exit(EXIT_FATAL)


class DeadMansSwitch:
    """Ends the process from a thread of its own when `hold` was not called in time.

    Counts its own ticks and reads no clock: the time in which the process was suspended is no fault of its own.
    """

    def __init__(self, *, tick_s: float = 1.0) -> None:
        self._tick_s = tick_s
        self._ticks = 0
        self._last: float | None = None
        """Number of the last tick before the end."""
        self._released = threading.Event()
        threading.Thread(target=self._wait, name="watchdog", daemon=True).start()

    def hold(self, seconds: float | None) -> None:
        """Lets the process live for this number of seconds from now. None: without limit."""
        self._last = None if seconds is None else self._ticks + seconds / self._tick_s

    def release(self) -> None:
        """Ends the thread: the process may live on."""
        self._released.set()

    def _wait(self) -> None:
        while not self._released.wait(self._tick_s):
            self._ticks += 1
            last = self._last
            if last is not None and self._ticks > last:
                sentence = "the daemon is stuck and cannot end by itself; the next owner replays what is not committed"
                _end_at_once(sentence, EXIT_STUCK)
                return


def hold_back_signals() -> None:
    """Blocks the signals, so that they wait for `StopSignals.taken`."""
    signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)


def leave(code: int) -> NoReturn:
    """Ends the process behind flushed logs and streams.

    An ordinary end would wait without limit: for threads that still compute, for name look-ups, for tasks of clients.
    """
    logging.shutdown()
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError):  # the reader is gone, or the stream is closed
            stream.flush()
    os._exit(code)
    raise AssertionError("the process has ended")


def _log_second_signal() -> None:
    import structlog  # loaded by then: the service logs before it takes a signal

    structlog.get_logger(__name__).error("stopped_at_once", reason="a second signal came while draining")


def _cut_off(limit_s: float) -> None:
    _end_at_once(f"the stop took longer than {limit_s:g} s; the next owner replays what is not committed", EXIT_FATAL)


def _end_at_once(sentence: str, code: int) -> None:
    # No stream and no log here: the thread that hangs may hold their locks, or hang because their reader is stuck.
    with contextlib.suppress(OSError, ValueError):  # standard error may be closed
        if select.select([], [_STDERR], [], 0)[1]:
            os.write(_STDERR, f"logwarden: {sentence}\n".encode())
    os._exit(code)
