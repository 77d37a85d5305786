"""PostgreSQL, really started, loaded, broken and cleaned up after; and cuts that really cut."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from logwarden.training.faultlab.labels import label
from logwarden.training.faultlab.recording import load_recording
from tests.echo import until

ROOT = Path(__file__).parents[2]
RECORD = [sys.executable, "-m", "logwarden.training.faultlab", "record", "postgres"]


@pytest.fixture
def temporary() -> Iterator[Path]:
    """Where the lab makes its directories. Not pytest's: PostgreSQL's user must be able to walk in."""
    path = Path(tempfile.mkdtemp(prefix="lab-"))
    path.chmod(0o755)
    yield path
    shutil.rmtree(path)


def left(temporary: Path) -> list[str]:
    """Processes that work below the directory, file systems mounted there, and files."""
    found = [row.split()[1] for row in Path("/proc/self/mounts").read_text().splitlines() if str(temporary) in row]
    for entry in filter(str.isdigit, os.listdir("/proc")):
        with contextlib.suppress(OSError):
            if Path(os.readlink(f"/proc/{entry}/cwd")).is_relative_to(temporary):
                found.append(entry)
    return found + [path.name for path in temporary.iterdir()]


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_postgres_end_to_end(needs: Callable[[str], None], tmp_path: Path, temporary: Path) -> None:
    """One command records PostgreSQL under two real faults, in the server's own words, and leaves nothing behind."""
    needs("postgres")
    environment = os.environ | {"TMPDIR": str(temporary)}
    options = ["--fault", "deadlock", "--fault", "wrong_password_burst", "--minutes", "0.2", "--out", str(tmp_path)]
    command = [*RECORD, *options]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=380, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    run = load_recording(tmp_path / "postgres" / "1")
    assert {event.name for event in run.faults} == {"deadlock", "wrong_password_burst"}
    assert {"load_spike", "idle", "load_ramp", "primary_restart"} <= {event.name for event in run.events}
    (labels,) = label([run])
    assert labels.silent == ()
    spoken = [line.text for line, anomalous in zip(run.lines, labels.anomalous, strict=True) if anomalous]
    assert any("deadlock detected" in text for text in spoken)
    assert any("password authentication failed" in text for text in spoken)
    assert not any("checkpoint" in text for text in spoken)
    assert left(temporary) == []


@pytest.mark.slow
@pytest.mark.timeout(200)
def test_interrupted_recording_leaves_nothing(needs: Callable[[str], None], tmp_path: Path, temporary: Path) -> None:
    """Ctrl-C in the middle of a recording stops every server, unmounts every disk, and says so."""
    needs("postgres")
    with subprocess.Popen(
        [*RECORD, "--out", str(tmp_path)],
        cwd=ROOT,
        env=os.environ | {"TMPDIR": str(temporary)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as lab:
        assert lab.stdout is not None
        assert "benign" in lab.stdout.readline()
        assert len(left(temporary)) > 5
        # To the whole group, as a terminal does.
        os.killpg(lab.pid, signal.SIGINT)
        _, complaints = lab.communicate(timeout=60)
    assert lab.returncode == 130
    assert "Traceback" not in complaints
    until(lambda: left(temporary) == [], 20)
    assert not (tmp_path / "postgres" / "1" / "manifest.json").exists()


CUT = """
import socket, sys
from logwarden.training.faultlab.isolation import isolate
from logwarden.training.faultlab.network import Network, free_ports, listening
import random
assert isolate()
network = Network()
assert network.impossible is None, network.impossible
(port,) = free_ports(1, random.Random(1))
assert not listening(port)
server = socket.create_server(("127.0.0.1", port))
assert listening(port)

def reached():
    try:
        socket.create_connection(("127.0.0.1", port), 0.5).close()
        return True
    except TimeoutError:
        return False

assert reached()
network.drop([port])
assert not reached()
network.heal()
assert reached()
network.isolate(4711, [port], [])
assert not reached()
network.heal()
assert reached()
"""


def alone(script: str, *arguments: str) -> None:
    """Runs a script that may isolate itself. Skips, or fails in CI, where nobody may."""
    packages = [package for program, package in (("ip", "iproute2"), ("iptables", "iptables"))
                if shutil.which(program, path="/usr/sbin:/usr/bin:/sbin:/bin") is None]  # fmt: skip
    if os.geteuid() != 0 or packages:
        assert os.environ.get("LOGWARDEN_REQUIRE_FAULTLAB") != "1", f"root, and {packages}"
        pytest.skip(f"needs root, and apt-get install {' '.join(packages)}")  # CI sets the variable and fails above
    command = [sys.executable, "-c", script, *arguments]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr


def test_cut_link_loses_packets_and_heals() -> None:
    """In a network of its own a run cuts a link and puts it together again."""
    alone(CUT)


FORGET = """
import ctypes, subprocess, sys
from pathlib import Path
from logwarden.training.faultlab.isolation import isolate
assert isolate()
Path("/dev/shm", sys.argv[1]).write_bytes(b"left")
assert ctypes.CDLL(None).shmget(int(sys.argv[2]), 64, 0o1600) >= 0
Path(sys.argv[3]).mkdir()
subprocess.run(["mount", "-t", "tmpfs", "tmpfs", sys.argv[3]], check=True)
"""


def test_isolated_run_takes_its_memory_and_mounts_along(tmp_path: Path) -> None:
    """What killed servers never give back, segments of both kinds and mounts, ends with the run."""
    key = os.getpid()
    alone(FORGET, f"left-{key}", str(key), str(tmp_path / "disk"))
    assert not Path(f"/dev/shm/left-{key}").exists()
    assert str(key) not in [row.split()[0] for row in Path("/proc/sysvipc/shm").read_text().splitlines()]
    assert str(tmp_path) not in Path("/proc/self/mounts").read_text()


REFUSED = """
from logwarden.training.faultlab import isolation
from logwarden.training.faultlab.errors import StartFailed
isolation._COMMANDS = (("mount", "-t", "tmpfs", "tmpfs", "/no/such/place"),)
try:
    isolation.isolate()
except StartFailed as error:
    assert "/no/such/place" in str(error), error
    assert not isolation.isolated()
else:
    raise AssertionError("mounts were refused and nobody said so")
"""


def test_refused_mounts_are_told() -> None:
    """Where root may have namespaces but not mount in them, the recording ends with what was refused."""
    alone(REFUSED)
