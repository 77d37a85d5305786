"""Gives a run a network, mounts and shared memory of its own, which end with its last process. Knows no system.

A killed server leaves firewall rules, mounts and shared memory behind. They disappear with the namespaces of the run,
and nothing outside the run changes. Only root may create namespaces.
"""

import ctypes
import os
import shutil
import subprocess
import threading

from logwarden.training.faultlab.errors import StartFailed

# The path of programs, whatever the environment of this process is.
PROGRAMS = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
# clone(2): mounts, System V shared memory, network.
_CLONE_NEW = 0x00020000 | 0x08000000 | 0x40000000
_COMMANDS = (
    # Otherwise what is mounted here would be mounted outside as well.
    ("mount", "--make-rprivate", "/"),
    ("mount", "-t", "tmpfs", "-o", "mode=1777", "tmpfs", "/dev/shm"),
    ("ip", "link", "set", "lo", "up"),
)

_isolated = threading.Event()


def isolate() -> bool:
    """Moves this process, and all that it will start, into namespaces of its own.

    Returns False if that is not allowed. Raises StartFailed if namespaces are allowed and their mounts are not, as in
    some containers. Must be called before the first thread is started: a thread keeps the network that it was born in.
    """
    assert threading.active_count() == 1, "namespaces are chosen before any thread is started"
    if os.geteuid() != 0 or shutil.which("ip", path=PROGRAMS) is None:
        return False
    if ctypes.CDLL(None).unshare(_CLONE_NEW) != 0:
        return False
    for command in _COMMANDS:
        done = subprocess.run(command, env={"PATH": PROGRAMS}, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise StartFailed(" ".join(command), done.stderr)
    _isolated.set()
    return True


def isolated() -> bool:
    return _isolated.is_set()
