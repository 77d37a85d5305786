"""A real daemon in a process of its own, as an operator runs it: environment in, metrics, log and exit code out.

Knows the command line and the HTTP port only; refuses to reach into the daemon's objects, and knows no broker.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol, Self

POLL_S = 0.05
REPOSITORY = Path(__file__).resolve().parents[2]

READY_S = 60.0
"""Time limit for a member's assignment: it needs about 7 s of CPU for torch and transformers, on shared cores."""
EXIT_S = 45.0
"""Time limit for a member's end: its drain budget and the time-outs of its clients."""


class Process(Protocol):
    """The part of `subprocess.Popen` that a member needs."""

    @property
    def pid(self) -> int: ...
    def poll(self) -> int | None: ...
    def wait(self, timeout: float | None = None) -> int: ...
    def send_signal(self, sig: int) -> None: ...
    def kill(self) -> None: ...


Launch = Callable[[Mapping[str, str], Path], Process]
"""Starts `logwarden run` with an environment; its output goes to the end of a file."""


def launch_anew(variables: Mapping[str, str], log_path: Path) -> Process:
    """Starts a new interpreter."""
    with log_path.open("ab") as log:
        return subprocess.Popen(
            command("run"),
            env=dict(variables),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            cwd=REPOSITORY,
        )


class Member:
    """One `logwarden run`. Leaving its context kills it if it still runs."""

    def __init__(self, log_path: Path, settings: Mapping[str, object], *, launch: Launch = launch_anew) -> None:
        self.log_path = log_path
        self._settings = {f"LOGWARDEN_{name}": str(value) for name, value in settings.items()}
        self._launch = launch
        self._process: Process | None = None
        self.port = _free_port()

    def start(self) -> Self:
        http = {"LOGWARDEN_HTTP__HOST": "127.0.0.1", "LOGWARDEN_HTTP__PORT": str(self.port)}
        self._process = self._launch(
            environment({"LOGWARDEN_LOG__FORMAT": "json"} | http | self._settings), self.log_path
        )
        return self

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.kill()

    @property
    def pid(self) -> int:
        assert self._process is not None, "started before"
        return self._process.pid

    @property
    def is_running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def kill(self) -> None:
        """Sends SIGKILL and reaps the process. Does nothing if it has ended."""
        if self._process is not None:
            if self.is_running:
                self._process.kill()
            self._process.wait(10)

    def signal(self, number: signal.Signals) -> None:
        """Sends a signal and returns at once."""
        assert self._process is not None, "started before"
        self._process.send_signal(number)

    def terminate(self, timeout_s: float = EXIT_S) -> int:
        """Sends SIGTERM and waits for the end. Returns the exit code."""
        self.signal(signal.SIGTERM)
        return self.wait(timeout_s)

    def wait(self, timeout_s: float) -> int:
        """Waits until the process ends by itself. Returns the exit code."""
        assert self._process is not None, "started before"
        return self._process.wait(timeout_s)

    def log(self) -> str:
        """Returns the log so far."""
        return self.log_path.read_text(encoding="utf-8", errors="replace")

    def events(self, name: str) -> list[dict[str, Any]]:
        """Returns the log's events of this name, oldest first."""
        lines = (line for line in self.log().splitlines() if line.startswith("{") and line.endswith("}"))
        return [event for line in lines if (event := json.loads(line)).get("event") == name]

    def status(self, path: str) -> int | None:
        """Returns the HTTP status of a path, or None while the port does not answer."""
        return self._get(path)[0]

    def body(self, path: str) -> str:
        """The body that a path answers with."""
        return self._get(path)[1]

    def answer(self, path: str) -> tuple[int | None, str]:
        """Returns status and body of a path; None and nothing while the port does not answer."""
        return self._get(path)

    def ready(self) -> bool:
        """Returns True if `/readyz` answers 200. Raises AssertionError with the end of the log if the daemon has
        ended."""
        assert self.is_running, f"the daemon ended:\n{self.log()[-2000:]}"
        return self.status("/readyz") == 200

    def metric(self, name: str) -> float:
        """Returns a metric's value, summed over its labels, or 0 without a value or an answer."""
        values = re.findall(
            rf"^{re.escape(name)}(?:\{{[^}}]*\}})? ([0-9.e+-]+)$", self._get("/metrics")[1], re.MULTILINE
        )
        return sum(map(float, values))

    def peak_rss_mib(self) -> float:
        """Returns the largest resident set so far, in MiB."""
        text = Path(f"/proc/{self.pid}/status").read_text(encoding="ascii")
        return int(re.search(r"VmHWM:\s+(\d+)", text)[1]) / 1024  # type: ignore[index]

    def cpu_seconds(self) -> float:
        """Returns user and system time so far, in seconds."""
        fields = Path(f"/proc/{self.pid}/stat").read_text(encoding="ascii").rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def _get(self, path: str) -> tuple[int | None, str]:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}{path}", timeout=2) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read().decode()
        except OSError:
            return None, ""


def command(*arguments: str) -> list[str]:
    """Returns the command `logwarden …` of this interpreter."""
    return [sys.executable, "-m", "logwarden", *arguments]


def environment(variables: Mapping[str, str]) -> dict[str, str]:
    """Returns the environment with these variables and no other LOGWARDEN_ variable."""
    return {name: value for name, value in os.environ.items() if not name.startswith("LOGWARDEN_")} | dict(variables)


def has_loaded(pid: int, library: str) -> bool:
    """Returns True if a process has mapped a library of this name."""
    return library in Path(f"/proc/{pid}/maps").read_text(encoding="utf-8")


def until(condition: Callable[[], object], timeout_s: float, what: str) -> None:
    """Polls until the condition is true. Raises AssertionError with `what` at the time limit."""
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, f"not within {timeout_s:.0f} s: {what}"
        time.sleep(POLL_S)


def _free_port() -> int:
    with contextlib.closing(socket.socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


async def run_command(variables: Mapping[str, str], *arguments: str) -> str:
    """Runs `logwarden …` as an operator does, and returns its output."""
    done = await asyncio.to_thread(
        subprocess.run, command(*arguments), env=environment(variables), capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout
