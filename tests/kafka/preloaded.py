"""Starts members cheaply: one process imports the daemon once, and every member is a fork of it.

A member of it is a process of its own with its own environment, log, signals and exit code, and runs the command line
`logwarden run`. Only the import, a second and a half of CPU, is not repeated. `python -m tests.kafka.preloaded` is that
process: it reads one JSON object per line (`log`, `environment`) and writes one per line: `pid` of a member that
started, `pid` and `status` of a member that ended. All members die with it.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Mapping
from pathlib import Path
from types import FrameType, TracebackType
from typing import Self

REPOSITORY = Path(__file__).resolve().parents[2]
START_S = 60.0
"""Time limit for the imports and for a fork."""
_PR_SET_PDEATHSIG = 1


class Forked:
    """A member's process, with the methods of `subprocess.Popen` that `Member` needs."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self._status: int | None = None
        self._ended = threading.Event()

    def ended(self, status: int) -> None:
        """Sets the exit code; a negative one is a signal's number."""
        self._status = status
        self._ended.set()

    def poll(self) -> int | None:
        """Returns the exit code, or None while the process runs."""
        return self._status

    def wait(self, timeout: float | None = None) -> int:
        """Waits for the end. Returns the exit code."""
        if not self._ended.wait(timeout):
            raise subprocess.TimeoutExpired(f"member {self.pid}", timeout or 0)
        assert self._status is not None, "set before the event"
        return self._status

    def send_signal(self, number: int) -> None:
        """Sends a signal. Does nothing to a process that has ended."""
        if self._status is None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, number)

    def kill(self) -> None:
        """Sends SIGKILL."""
        self.send_signal(signal.SIGKILL)


class Preloaded:
    """Owns the process that is forked. Leaving its context ends it with all its members."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[str] | None = None
        self._reader = threading.Thread(target=self._read, name="preloaded", daemon=True)
        self._members: dict[int, Forked] = {}
        self._started = threading.Condition()
        self._newest: Forked | None = None

    def __enter__(self) -> Self:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.kafka.preloaded"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=REPOSITORY,
            # A library has as many threads as there are cores: with them three members would be six threads.
            env={name: text for name, text in os.environ.items() if not name.startswith("LOGWARDEN_")}
            | {"OMP_NUM_THREADS": "1"},
        )
        self._reader.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        assert self._process is not None, "entered"
        assert self._process.stdin is not None, "a pipe"
        assert self._process.stdout is not None, "a pipe"
        self._process.stdin.close()
        self._process.wait(START_S)
        self._reader.join(START_S)
        self._process.stdout.close()

    def launch(self, environment: Mapping[str, str], log: Path) -> Forked:
        """Starts a member with exactly this environment; its output goes to the end of `log`."""
        assert self._process is not None, "entered"
        assert self._process.stdin is not None, "a pipe"
        with self._started:
            self._newest = None
            log.touch()  # here, because its reader may be faster than the fork
            print(json.dumps({"log": str(log), "environment": dict(environment)}), file=self._process.stdin, flush=True)
            if not self._started.wait_for(lambda: self._newest is not None, START_S):
                raise TimeoutError(f"no member started within {START_S:.0f} s")
            assert self._newest is not None
            return self._newest

    def _read(self) -> None:
        assert self._process is not None, "entered"
        assert self._process.stdout is not None, "a pipe"
        for line in self._process.stdout:
            told = json.loads(line)
            with self._started:
                member = self._members.setdefault(told["pid"], Forked(told["pid"]))
                if "status" in told:
                    self._members.pop(told["pid"]).ended(told["status"])
                else:
                    self._newest = member
                    self._started.notify_all()


def _serve_forks() -> None:
    """Forks for every line of the input. Returns in each fork, and does not return in the parent."""
    # Each fork imports ONNX Runtime itself: its import starts a thread, which no fork would have.
    import logwarden.daemon.__main__
    import logwarden.daemon.logs
    import logwarden.daemon.service
    import logwarden.daemon.settings.reading  # noqa: F401 - all of them only to have them loaded

    threads = len(os.listdir("/proc/self/task"))
    assert threads == 1, f"{threads} threads: a fork would copy their locks and not them"
    signal.signal(signal.SIGCHLD, _reap)
    for line in sys.stdin:
        wanted = json.loads(line)
        # A member that ends at once must not be reported before its start.
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGCHLD})
        pid = os.fork()
        if not pid:
            _become_a_member(Path(wanted["log"]), wanted["environment"])
            return
        _report({"pid": pid})
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGCHLD})
    os._exit(0)  # PR_SET_PDEATHSIG ends the members


def _become_a_member(log: Path, environment: Mapping[str, str]) -> None:
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGCHLD})
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    os.environ.clear()
    os.environ.update(environment)
    output = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.dup2(output, 1)
    os.dup2(output, 2)
    sys.argv = ["logwarden", "run"]


def _reap(_number: int, _frame: FrameType | None) -> None:
    with contextlib.suppress(ChildProcessError):
        while True:
            pid, status = os.waitpid(-1, os.WNOHANG)
            if not pid:
                return
            _report({"pid": pid, "status": os.waitstatus_to_exitcode(status)})


def _report(told: Mapping[str, int]) -> None:
    os.write(1, json.dumps(told).encode() + b"\n")


if __name__ == "__main__":
    _serve_forks()
    from logwarden.daemon.__main__ import main

    main()
