"""Finds the processes of a run, and ends them all when the pipe to the owner of the run closes. Imports only the
library.

`process.Workshop` starts it as a program. The pipe closes when the run ends, when it raises, and when its process is
killed with SIGKILL. Servers put their children into sessions of their own and overwrite their environment, so neither a
process group nor an environment marker finds them all. Two properties do: a working directory inside that of the run,
and being a child of such a process. The latter finds the processes of sshd's sessions, which work in `/`.
"""

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterable
from pathlib import Path
from typing import IO

SWEEP_S = 10.0
POLL_S = 0.05


def identify(pid: int) -> tuple[int, int] | None:
    """Returns a pid with its start time; a pid is reused, the pair is not."""
    fields = _stat(pid)
    return None if fields is None else (pid, int(fields[19]))


def family(*pids: int) -> list[tuple[int, int]]:
    """Returns `pids` and all their living descendants, parents first."""
    children: dict[int, list[int]] = {}
    for other in _pids():
        fields = _stat(other)
        if fields is not None:
            children.setdefault(int(fields[1]), []).append(other)
    found = list(pids)
    for member in found:
        found.extend(children.get(member, ()))
    return [identity for identity in map(identify, found) if identity is not None]


def command_line(pid: int) -> str:
    """Returns the command line of a process, where servers write their role; empty once it has ended."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()
    except OSError:
        return ""


def kill_all(identities: Iterable[tuple[int, int]], number: signal.Signals) -> None:
    for pid, _ in identities:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)


def _pids() -> list[int]:
    return [int(entry) for entry in os.listdir("/proc") if entry.isdigit()]


def _stat(pid: int) -> list[str] | None:
    """Returns the fields of /proc/PID/stat from the state on; None for a process that has ended, zombies included."""
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
    deadline = time.monotonic() + SWEEP_S
    while time.monotonic() < deadline:
        strays = {identity for identity in adopted if identity == identify(identity[0])}
        strays.update(i for i in map(identify, filter(lambda pid: _inside(pid, directory), _pids())) if i is not None)
        if not strays:
            break
        # All at once: a child whose parent has ended cannot be found by its parent.
        kill_all(strays.union(family(*(pid for pid, _ in strays))), signal.SIGKILL)
        time.sleep(POLL_S)
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
