"""Gives a run a network, mounts and shared memory of its own, which end with its last process. Knows no system.

Whatever a server leaves there when it is killed, firewall rules, mounts and segments that nobody detaches from, is gone
with the namespaces that it was in, and nothing outside the run can be touched. Only root may make them.
"""

import ctypes
import os
import shutil
import subprocess
import threading

from logwarden.training.faultlab.errors import StartFailed

# Where programs are looked for, whatever the shell that started us says.
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
    """Moves this process, and all it will start, into namespaces of its own. False where that is not allowed.

    Raises StartFailed where namespaces are allowed and their mounts are not, as some containers have it. To be called
    before the first thread is started: a thread keeps the network that it was born in.
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
