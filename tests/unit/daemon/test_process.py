"""The signals and the end of a process, tried in processes of their own: a signal reaches every thread of this one."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from logwarden.daemon.process import GRACE_S

TAKEN = """
import os, sys, threading, time
from logwarden.daemon.process import StopSignals, leave
signals = StopSignals.taken()
stop = threading.Event()
"""
UP = "print('up', flush=True)\n"
STUCK_READER = """
import fcntl
flags = fcntl.fcntl(2, fcntl.F_GETFL)
fcntl.fcntl(2, fcntl.F_SETFL, flags | os.O_NONBLOCK)
try:
    while True: os.write(2, b'x' * 512)
except BlockingIOError:
    fcntl.fcntl(2, fcntl.F_SETFL, flags)
"""


@contextmanager
def program(code: str, *before: str) -> Iterator[subprocess.Popen[str]]:
    """Yields a process that runs `code` after it took its signals, once it printed a line."""
    command = [*before, sys.executable, "-c", TAKEN + code]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            assert process.stdout.readline() == "up\n"
            yield process
        finally:
            process.kill()


def outputs(process: subprocess.Popen[str]) -> tuple[str, str]:
    """Returns the rest of both streams, once the process has ended. `communicate` loses what was read ahead."""
    process.wait(20)
    assert process.stdout is not None
    assert process.stderr is not None
    return process.stdout.read(), process.stderr.read()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_before_anything_is_open_ends_with_success(number: signal.Signals) -> None:
    """The import of a large library is no reason to wait, and there is nothing to drain."""
    with program(UP + "time.sleep(60)") as process:
        process.send_signal(number)
        assert outputs(process) == ("", "")
    assert process.returncode == 0


def test_a_signal_is_taken_while_the_main_thread_is_stuck() -> None:
    """The main thread runs no Python meanwhile, so that a handler in it would wait for its return."""
    with program("import ctypes\n" + UP + "ctypes.CDLL(None).pause()") as process:
        process.terminate()
        assert process.wait(10) == 0


@pytest.mark.skipif(os.geteuid() != 0, reason="a process with pid 1 needs a namespace of its own: run as root")
def test_a_process_with_pid_1_takes_its_signals() -> None:
    """The kernel drops signals of pid 1 that nothing takes, so a container would wait for its SIGKILL."""
    namespace = ("unshare", "--pid", "--fork", "--mount-proc", "--kill-child")
    with program("assert os.getpid() == 1\n" + UP + "time.sleep(60)", *namespace) as process:
        inside = int(subprocess.check_output(["pgrep", "-P", str(process.pid)], text=True))
        os.kill(inside, signal.SIGTERM)
        assert process.wait(10) == 0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_the_first_signal_stops_the_daemon(number: signal.Signals) -> None:
    """From the hand-over on the signal is the service's, which ends by its own exit code."""
    with program(f"signals.hand_over(stop.set, 30)\n{UP}stop.wait()\nprint('drained')\nleave(0)") as process:
        process.send_signal(number)
        assert outputs(process) == ("drained\n", "")
    assert process.returncode == 0


def test_a_second_signal_ends_the_process_at_once() -> None:
    """An operator who signals twice does not wait for the drain: exit code 1, as work is left."""
    code = f"import structlog\nsignals.hand_over(lambda: print('stop', flush=True), 30)\n{UP}time.sleep(60)"
    with program(code) as process:
        process.terminate()
        assert process.stdout is not None
        assert process.stdout.readline() == "stop\n"
        process.terminate()
        out, _ = outputs(process)
    assert process.returncode == 1
    assert "stopped_at_once" in out


def test_a_stop_that_takes_too_long_is_cut_off_with_one_sentence() -> None:
    """A blocked event loop is no reason to outlive the budget and its grace."""
    with program(f"signals.hand_over(stop.set, 0.25)\n{UP}time.sleep(60)") as process:
        started = time.monotonic()
        process.terminate()
        out, errors = outputs(process)
    assert time.monotonic() - started >= 0.25 + GRACE_S
    assert process.returncode == 1
    assert (out, errors) == (
        "",
        "logwarden: the stop took longer than 2.25 s; the next owner replays what is not committed\n",
    )


def test_a_stuck_reader_of_the_log_does_not_keep_the_process() -> None:
    """A full pipe blocks every write to standard error, and so the event loop; the process ends nevertheless."""
    with program(f"signals.hand_over(stop.set, 0)\n{STUCK_READER}{UP}os.write(2, b'x' * 65536)") as process:
        process.terminate()
        assert process.wait(20) == 1


def test_leaving_waits_for_no_thread_and_loses_no_output() -> None:
    """Python's own end joins the threads of executors, and one may compute for a minute."""
    code = (
        "import logging, atexit\n"
        "from concurrent.futures import ThreadPoolExecutor\n"
        "ThreadPoolExecutor().submit(time.sleep, 60)\n"
        "class Late(logging.Handler):\n"
        "    def close(self): print('closed')\n"
        f"late = Late()\n{UP}print('last words')\nprint('an error', file=sys.stderr)\nleave(3)"
    )
    with program(code) as process:
        assert outputs(process) == ("last words\nclosed\n", "an error\n")
    assert process.returncode == 3


def test_leaving_survives_a_reader_that_is_gone() -> None:
    """A pipe without a reader breaks the last flush, and the exit code stays."""
    buffered = "r, w = os.pipe()\nsys.stdout = open(1, 'w', closefd=False)\n"
    code = f"{buffered}{UP}os.dup2(w, 1)\nos.close(w)\nos.close(r)\nprint('lost')\nleave(0)"
    with program(code) as process:
        assert process.wait(10) == 0


SWITCH = """
import time
from logwarden.daemon.process import DeadMansSwitch
switch = DeadMansSwitch(tick_s=0.05)
print('up', flush=True)
"""


def switched(code: str) -> tuple[int, str]:
    """Returns exit code and standard error of a program with a dead man's switch."""
    run = subprocess.run([sys.executable, "-c", SWITCH + code], capture_output=True, text=True, timeout=60, check=False)
    return run.returncode, run.stderr


def test_a_process_that_is_not_held_ends_with_its_own_code() -> None:
    """A blocked main thread ends no later than its time, with one sentence."""
    code, stderr = switched("switch.hold(0.5)\ntime.sleep(60)")
    assert code == 3
    assert stderr == (
        "logwarden: the daemon is stuck and cannot end by itself; the next owner replays what is not committed\n"
    )


@pytest.mark.parametrize("ends", ["switch.hold(None)", "switch.release()", "switch.hold(60)"])
def test_a_process_that_is_held_or_released_lives(ends: str) -> None:
    """Without a limit, or behind a daemon that ended by itself, the thread ends nothing."""
    assert switched(f"switch.hold(0.2)\n{ends}\ntime.sleep(0.6)") == (0, "")
