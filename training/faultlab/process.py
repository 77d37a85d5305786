"""Owns every process, mount and directory of one run, and their end. Knows nothing of logs, faults or systems.

A second Python process (guard.py) only waits for the pipe from this process to close, and then ends the run's
processes. So they end even if this process is killed."""

import contextlib
import os
import secrets
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import FrameType, TracebackType

from logwarden.training.faultlab import guard
from logwarden.training.faultlab.errors import StartFailed
from logwarden.training.faultlab.guard import POLL_S, SWEEP_S, family, identify, kill_all
from logwarden.training.faultlab.isolation import PROGRAMS
from logwarden.training.faultlab.network import listening

# Explicit, so that a recording does not depend on the environment of its caller.
_ENVIRONMENT = {"PATH": PROGRAMS, "LANG": "C.UTF-8", "TZ": "UTC"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Finished:
    """A command that has ended. `code` is None if it was killed at its deadline."""

    code: int | None
    output: str

    @property
    def ok(self) -> bool:
        return self.code == 0


class Child:
    """One server: started, signalled and stopped by its own pid, and startable again."""

    def __init__(
        self, argv: Sequence[str], log: Path, cwd: Path, env: Mapping[str, str], adopt: Callable[[int], None]
    ) -> None:
        self.argv = tuple(argv)
        self.log = log
        self._cwd = cwd
        self._env = env
        self._adopt = adopt
        self._popen: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        assert self._popen is not None, "a child has a pid only once it was started"
        return self._popen.pid

    @property
    def alive(self) -> bool:
        return self._popen is not None and self._popen.poll() is None

    def start(self) -> None:
        assert not self.alive, "a child is started once at a time"
        with self.log.open("ab") as out:
            self._popen = subprocess.Popen(
                self.argv,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
                cwd=self._cwd,
                env=_ENVIRONMENT | {"HOME": str(self._cwd)} | dict(self._env),
                start_new_session=True,
            )
        self._adopt(self._popen.pid)

    def send(self, number: signal.Signals) -> None:
        """Sends a signal to the main process of the server only."""
        if self.alive:
            os.kill(self.pid, number)

    def send_tree(self, number: signal.Signals) -> None:
        """Sends a signal to the main process and all its descendants."""
        if self.alive:
            kill_all(family(self.pid), number)

    def stop(self, number: signal.Signals = signal.SIGTERM, timeout_s: float = 15.0) -> None:
        """Sends `number` and waits; kills the rest of the tree after `timeout_s`."""
        if self._popen is None:
            return
        members = family(self.pid) if self.alive else ()
        self.send(number)
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._popen.wait(timeout_s)
        # The pids of ended members may have been reused, hence the comparison of start times.
        kill_all((identity for identity in members if identity == identify(identity[0])), signal.SIGKILL)
        self._popen.wait(SWEEP_S)

    def reap(self) -> None:
        """Waits for the end of a server that another process has ended."""
        if self._popen is not None:
            self._popen.wait(SWEEP_S)

    def kill(self) -> None:
        """Kills the main process only, as a fault does; its children have to notice by themselves."""
        self.send(signal.SIGKILL)
        self.reap()


class Workshop:
    """The private directory of one run and all processes that were started in it."""

    def __init__(self) -> None:
        self.path = Path()
        self._guard: subprocess.Popen[bytes] | None = None
        self._lock = threading.Lock()
        self._children: list[Child] = []
        self._clients: list[subprocess.Popen[str]] = []

    def __enter__(self) -> "Workshop":
        self.path = _new_directory()
        self._guard = subprocess.Popen(
            [sys.executable, "-I", guard.__file__, str(self.path)],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            cwd="/",
            # Its own session: a Ctrl-C at the terminal must not reach the process that cleans up.
            start_new_session=True,
        )
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._guard is not None
        assert self._guard.stdin is not None
        self._guard.stdin.close()
        self._guard.wait(SWEEP_S * 3)
        for child in self._children:
            child.reap()
        for client in self._clients:
            client.communicate()

    def child(
        self, argv: Sequence[str], log: Path, *, user: str | None = None, env: Mapping[str, str] | None = None
    ) -> Child:
        """Describes a server; `start()` runs it. `user` (a name or a number) is used only if the process is root."""
        child = Child(as_user(user, argv), log, self.path, env or {}, self._adopt)
        self._children.append(child)
        return child

    def open(self, argv: Sequence[str], *, env: Mapping[str, str] | None = None) -> subprocess.Popen[str]:
        """Starts a client that reads its standard input until the caller closes it."""
        client = subprocess.Popen(
            argv,
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            text=True,
            cwd=self.path,
            env=_ENVIRONMENT | {"HOME": str(self.path)} | dict(env or {}),
            start_new_session=True,
        )
        with self._lock:
            # A run opens thousands of clients; the list keeps only living ones.
            self._clients = [other for other in self._clients if other.poll() is None] + [client]
        return client

    def launch(self, child: Child, port: int, timeout_s: float = 60.0) -> None:
        """Starts a server and waits until it listens on `port`. Raises StartFailed with its last lines otherwise."""
        child.start()
        deadline = time.monotonic() + timeout_s
        while time.monotonic() < deadline and child.alive:
            if listening(port):
                return
            time.sleep(POLL_S)
        # Some servers log the reason on standard error and some in a file beside it.
        newest = max(child.log.parent.iterdir(), key=lambda path: path.stat().st_mtime)
        raise StartFailed(child.argv[0], newest.read_text(errors="replace") if newest.is_file() else "")

    def must(
        self,
        argv: Sequence[str],
        *,
        timeout_s: float = 120.0,
        user: str | None = None,
        env: Mapping[str, str] | None = None,
    ) -> str:
        """Runs a command of the set-up and returns its output. Raises StartFailed if it fails."""
        finished = self.run(argv, timeout_s=timeout_s, user=user, env=env)
        if not finished.ok:
            raise StartFailed(" ".join(argv[:2]), finished.output)
        return finished.output

    def run(
        self,
        argv: Sequence[str],
        *,
        timeout_s: float,
        user: str | None = None,
        env: Mapping[str, str] | None = None,
        feed: str = "",
    ) -> Finished:
        """Runs a command until its end, or kills its whole tree at the deadline. Its input is `feed`."""
        with subprocess.Popen(
            as_user(user, argv),
            stdin=subprocess.PIPE if feed else subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            cwd=self.path,
            env=_ENVIRONMENT | {"HOME": str(self.path)} | dict(env or {}),
            start_new_session=True,
        ) as popen:
            try:
                output, _ = popen.communicate(feed or None, timeout=timeout_s)
            except subprocess.TimeoutExpired:
                kill_all(family(popen.pid), signal.SIGKILL)
                output, _ = popen.communicate()
                return Finished(code=None, output=output)
            except BaseException:
                kill_all(family(popen.pid), signal.SIGKILL)
                raise
        return Finished(code=popen.returncode, output=output)

    def mount_tmpfs(self, path: Path, size_mb: int) -> None:
        """Mounts a file system that can be filled without filling another. Needs root."""
        path.mkdir(parents=True, exist_ok=True)
        subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size_mb}m", "tmpfs", str(path)], check=True)

    def _adopt(self, pid: int) -> None:
        assert self._guard is not None
        assert self._guard.stdin is not None
        identity = identify(pid)
        if identity is None:
            return
        with self._lock:
            self._guard.stdin.write(b"%d %d\n" % identity)
            self._guard.stdin.flush()


@contextlib.contextmanager
def termination_raises() -> Iterator[None]:
    """Turns the first SIGTERM or SIGHUP into SystemExit, so that `with` blocks end as they do after Ctrl-C.

    SIGINT raises KeyboardInterrupt even if the parent ignored it, as a script does for a background job. Later signals
    are ignored: Ctrl-C reaches a campaign and its runs, and the campaign ends its runs once more. A second exception
    during the clean-up would leave clients waiting.
    """

    def leave(number: int, frame: FrameType | None) -> None:
        for each in before:
            signal.signal(each, lambda number, frame: None)
        raise KeyboardInterrupt if number == signal.SIGINT else SystemExit(128 + number)

    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT)}
    for number in before:
        signal.signal(number, leave)
    try:
        yield
    finally:
        for number, action in before.items():
            signal.signal(number, action)


def _new_directory() -> Path:
    """Creates a directory named by digits only: servers log their paths, and digits are masked there."""
    while True:
        path = Path(tempfile.gettempdir()).resolve() / f"faultlab-{secrets.randbelow(10**6):06d}"
        with contextlib.suppress(FileExistsError):
            # Servers that refuse to run as root must be able to walk in.
            path.mkdir(mode=0o755)
            return path


def as_user(user: str | None, argv: Sequence[str]) -> list[str]:
    if user is None or os.geteuid() != 0:
        return list(argv)
    return ["setpriv", f"--reuid={user}", f"--regid={user}", "--clear-groups", "--", *argv]
