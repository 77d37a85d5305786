"""Owns every process, mount and directory of one run, and their end. Knows nothing of logs, faults or systems.

The end is certain because it is not ours to forget: a guard, a second Python that only waits for our pipe to close,
sweeps the run away. The pipe closes when the run ends, when it raises, and when this process is killed with SIGKILL.
Servers put their children into sessions of their own and overwrite their environment, so neither a process group nor a
marker in the environment finds them all; a working directory inside the run's private directory does.
"""

import contextlib
import os
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import FrameType, TracebackType
from typing import IO

# Explicit, so that a recording does not depend on the shell that started it.
_ENVIRONMENT = {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LANG": "C.UTF-8", "TZ": "UTC"}
_SWEEP_S = 10.0
_POLL_S = 0.05


@dataclass(frozen=True, slots=True, kw_only=True)
class Finished:
    """A command that has ended. `code` is None when it was killed at its deadline."""

    code: int | None
    output: str

    @property
    def ok(self) -> bool:
        return self.code == 0


class Child:
    """One server: started, signalled and stopped by its own pid, and startable again."""

    def __init__(self, argv: Sequence[str], log: Path, cwd: Path, adopt: Callable[[int], None]) -> None:
        self.argv = tuple(argv)
        self.log = log
        self._cwd = cwd
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
                env=_ENVIRONMENT,
                start_new_session=True,
            )
        self._adopt(self._popen.pid)

    def send(self, number: signal.Signals) -> None:
        """To the server's main process alone."""
        if self.alive:
            os.kill(self.pid, number)

    def send_tree(self, number: signal.Signals) -> None:
        """To the main process and everything it has started."""
        if self.alive:
            _kill_all(family(self.pid), number)

    def stop(self, number: signal.Signals = signal.SIGTERM, timeout_s: float = 15.0) -> None:
        """Politely, then not: what is left of the tree after `timeout_s` is killed."""
        if self._popen is None:
            return
        members = family(self.pid) if self.alive else ()
        self.send(number)
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._popen.wait(timeout_s)
        # Numbers of members that have ended may have been given away, hence the second look at who is whose.
        _kill_all((identity for identity in members if identity == identify(identity[0])), signal.SIGKILL)
        self._popen.wait(_SWEEP_S)

    def reap(self) -> None:
        """Takes note of an end that somebody else has brought about."""
        if self._popen is not None:
            self._popen.wait(_SWEEP_S)

    def kill(self) -> None:
        """SIGKILL to the main process alone: what a fault does. Its children find out for themselves."""
        self.send(signal.SIGKILL)
        self.reap()


class Workshop:
    """The private directory of one run, and all that was started in it."""

    def __init__(self) -> None:
        self.path = Path()
        self._guard: subprocess.Popen[bytes] | None = None
        self._lock = threading.Lock()
        self._children: list[Child] = []
        self._clients: list[subprocess.Popen[str]] = []

    def __enter__(self) -> "Workshop":
        self.path = _new_directory()
        self._guard = subprocess.Popen(
            [sys.executable, "-I", __file__, str(self.path)],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            cwd="/",
            # Its own session: a Ctrl-C at the terminal must not reach the one who cleans up after it.
            start_new_session=True,
        )
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._guard is not None
        assert self._guard.stdin is not None
        self._guard.stdin.close()
        self._guard.wait(_SWEEP_S * 3)
        for child in self._children:
            child.reap()
        for client in self._clients:
            client.communicate()

    def child(self, argv: Sequence[str], log: Path, *, user: str | None = None) -> Child:
        """Describes a server; `start()` runs it. `user` is taken only when we are root."""
        child = Child(as_user(user, argv), log, self.path, self._adopt)
        self._children.append(child)
        return child

    def open(self, argv: Sequence[str], *, env: Mapping[str, str] | None = None) -> subprocess.Popen[str]:
        """A client that is fed through its standard input, for as long as the caller likes."""
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
            # A run opens thousands of clients, and those that have ended are of no interest.
            self._clients = [other for other in self._clients if other.poll() is None] + [client]
        return client

    def run(
        self, argv: Sequence[str], *, timeout_s: float, user: str | None = None, env: Mapping[str, str] | None = None
    ) -> Finished:
        """Runs a command to its end, or to its deadline and then to the end of its whole tree."""
        with subprocess.Popen(
            as_user(user, argv),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            cwd=self.path,
            env=_ENVIRONMENT | {"HOME": str(self.path)} | dict(env or {}),
            start_new_session=True,
        ) as popen:
            try:
                output, _ = popen.communicate(timeout=timeout_s)
            except subprocess.TimeoutExpired:
                _kill_all(family(popen.pid), signal.SIGKILL)
                output, _ = popen.communicate()
                return Finished(code=None, output=output)
            except BaseException:
                _kill_all(family(popen.pid), signal.SIGKILL)
                raise
        return Finished(code=popen.returncode, output=output)

    def mount_tmpfs(self, path: Path, size_mb: int) -> None:
        """A file system that can be filled without filling anyone else's. Needs root."""
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
    """Turns SIGTERM and SIGHUP into SystemExit, so that `with` blocks end as they do after Ctrl-C.

    SIGINT raises KeyboardInterrupt also where we inherited it ignored, as a job in a script's background does.
    """

    def leave(number: int, frame: FrameType | None) -> None:
        raise SystemExit(128 + number)

    actions = {signal.SIGTERM: leave, signal.SIGHUP: leave, signal.SIGINT: signal.default_int_handler}
    before = {number: signal.signal(number, action) for number, action in actions.items()}
    try:
        yield
    finally:
        for number, action in before.items():
            signal.signal(number, action)


def _new_directory() -> Path:
    """Named by digits only, because servers write their paths into log lines and digits are masked there."""
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


def identify(pid: int) -> tuple[int, int] | None:
    """A pid with its start time: numbers are given away again, the pair is not."""
    fields = _stat(pid)
    return None if fields is None else (pid, int(fields[19]))


def family(pid: int) -> list[tuple[int, int]]:
    """`pid` and all its living descendants, parents first."""
    children: dict[int, list[int]] = {}
    for other in _pids():
        fields = _stat(other)
        if fields is not None:
            children.setdefault(int(fields[1]), []).append(other)
    found = [pid]
    for member in found:
        found.extend(children.get(member, ()))
    return [identity for identity in map(identify, found) if identity is not None]


def command_line(pid: int) -> str:
    """What the process calls itself; servers write their role there. Empty once it has ended."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()
    except OSError:
        return ""


def _kill_all(identities: Iterable[tuple[int, int]], number: signal.Signals) -> None:
    for pid, _ in identities:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)


def _pids() -> list[int]:
    return [int(entry) for entry in os.listdir("/proc") if entry.isdigit()]


def _stat(pid: int) -> list[str] | None:
    """The fields of /proc/PID/stat from the state on; None for a process that has ended, zombies included."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text(errors="replace")
    except OSError:
        return None
    # The name before it may hold spaces and brackets.
    fields = text[text.rindex(")") + 2 :].split()
    return None if fields[0] in "ZX" else fields


def _inside(pid: int, directory: Path) -> bool:
    try:
        return Path(os.readlink(f"/proc/{pid}/cwd")).is_relative_to(directory)
    except OSError:
        return False


def _sweep(directory: Path, adopted: set[tuple[int, int]]) -> None:
    deadline = time.monotonic() + _SWEEP_S
    while time.monotonic() < deadline:
        strays = {identity for identity in adopted if identity == identify(identity[0])}
        strays.update(i for i in map(identify, filter(lambda pid: _inside(pid, directory), _pids())) if i is not None)
        if not strays:
            break
        _kill_all(strays, signal.SIGKILL)
        time.sleep(_POLL_S)
    for mount in reversed(_mounts_below(directory)):
        # Lazily if need be: a mount that outlives the run keeps memory, a detached one gives it back by itself.
        if subprocess.run(["umount", mount], check=False, stderr=subprocess.DEVNULL).returncode != 0:
            subprocess.run(["umount", "-l", mount], check=False)
    shutil.rmtree(directory, ignore_errors=True)


def _mounts_below(directory: Path) -> list[str]:
    points = [line.split()[1] for line in Path("/proc/self/mounts").read_text().splitlines()]
    return [point for point in points if Path(point).is_relative_to(directory)]


def _guard(directory: Path, pipe: IO[bytes]) -> None:
    adopted = set()
    for line in pipe:
        pid, started = line.split()
        adopted.add((int(pid), int(started)))
    _sweep(directory, adopted)


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    _guard(Path(sys.argv[1]), sys.stdin.buffer)
