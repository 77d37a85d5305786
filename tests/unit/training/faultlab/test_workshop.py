"""Servers, commands and clients of one run: started, awaited, stopped and refused as a caller expects."""

import os
import secrets
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from logwarden.training.faultlab import process
from logwarden.training.faultlab.errors import FaultlabError, RecordingsMissing, StartFailed
from logwarden.training.faultlab.guard import family, identify
from logwarden.training.faultlab.process import Workshop, as_user
from tests.echo import until

LISTENER = """
import socket, sys, time
listener = socket.socket(); listener.bind(("127.0.0.1", int(sys.argv[1]))); listener.listen()
time.sleep(60)
"""
STUBBORN = """
import signal, subprocess, sys, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
subprocess.Popen(["sleep", "60"])
print("deaf", flush=True); time.sleep(60)
"""


@pytest.fixture
def workshop() -> Iterator[Workshop]:
    """Opens a run's directory and its guard; both end with the test."""
    with Workshop() as opened:
        yield opened


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def test_a_launch_ends_when_the_server_listens(workshop: Workshop) -> None:
    """A launched server accepts connections, and a stop ends it."""
    port = _free_port()
    server = workshop.child([sys.executable, "-I", "-c", LISTENER, str(port)], workshop.path / "log")
    workshop.launch(server, port)
    with socket.create_connection(("127.0.0.1", port), timeout=5):
        pass
    server.stop()
    assert not server.alive


def test_a_server_that_ends_at_once_is_reported_with_its_newest_log(workshop: Workshop) -> None:
    """The error of a launch quotes the program and the last lines that the server logged."""
    command = ["sh", "-c", "echo the configuration has a wrong key; exit 3"]
    server = workshop.child(command, workshop.path / "log")
    with pytest.raises(StartFailed, match="sh: the configuration has a wrong key") as caught:
        workshop.launch(server, _free_port())
    assert isinstance(caught.value, FaultlabError)
    assert caught.value.what == "sh"


def test_a_server_that_never_listens_is_reported_at_the_deadline(workshop: Workshop) -> None:
    """A launch does not wait for ever."""
    server = workshop.child(["sh", "-c", "echo waiting for a friend; sleep 60"], workshop.path / "log")
    with pytest.raises(StartFailed):
        workshop.launch(server, _free_port(), timeout_s=0.3)
    assert server.alive, "the run's end ends it"


def test_a_stop_kills_the_tree_of_a_server_that_ignores_it(workshop: Workshop) -> None:
    """A server that ignores its signal is killed after the time-out, and so are its children."""
    server = workshop.child([sys.executable, "-I", "-c", STUBBORN], workshop.path / "log")
    server.start()
    until(lambda: server.log.read_text() == "deaf\n" and len(family(server.pid)) == 2)
    members = family(server.pid)
    server.stop(timeout_s=0.1)
    assert not server.alive
    until(lambda: not any(identify(pid) == (pid, started) for pid, started in members))


def test_signals_to_a_server_that_has_ended_do_nothing(workshop: Workshop) -> None:
    """A fault that comes after the end of its server hits no other process, and a stop without a start is allowed."""
    server = workshop.child(["true"], workshop.path / "log")
    server.stop()
    server.reap()
    assert not server.alive
    server.start()
    server.reap()
    server.send(signal.SIGKILL)
    server.send_tree(signal.SIGKILL)
    server.stop()
    server.start()
    server.reap()
    assert not server.alive


def test_a_killed_server_can_be_started_again(workshop: Workshop) -> None:
    """A fault kills the main process; the same server gets a new pid and appends to the same log."""
    server = workshop.child(["sh", "-c", "echo up; exec sleep 60"], workshop.path / "log")
    server.start()
    until(lambda: server.log.read_text() == "up\n")
    first = server.pid
    server.kill()
    assert not server.alive
    server.start()
    until(lambda: server.log.read_text() == "up\nup\n")
    assert server.pid != first


def test_commands_of_the_set_up_return_their_output_or_raise(workshop: Workshop) -> None:
    """A command reads what it is fed; a failed command of the set-up raises with its output and its first words."""
    assert workshop.must(["echo", "created"]) == "created\n"
    assert workshop.run(["cat"], timeout_s=5, feed="a row\n").output == "a row\n"
    assert workshop.run(["sh", "-c", "exit 4"], timeout_s=5).code == 4
    with pytest.raises(StartFailed, match="sh -c: no such table"):
        workshop.must(["sh", "-c", "echo no such table; exit 1"])


def test_programs_get_the_environment_of_the_run_only(workshop: Workshop, monkeypatch: pytest.MonkeyPatch) -> None:
    """A recording does not depend on the environment of its caller; a variable of the system is added."""
    monkeypatch.setenv("LC_ALL", "de_DE")
    shown = dict(line.split("=", 1) for line in workshop.must(["env"], env={"PGDATA": "data"}).splitlines())
    assert {name: shown[name] for name in ("HOME", "TZ", "PGDATA")} == {
        "HOME": str(workshop.path),
        "TZ": "UTC",
        "PGDATA": "data",
    }
    assert "LC_ALL" not in shown


def test_clients_that_have_ended_are_forgotten(workshop: Workshop) -> None:
    """A run opens thousands of clients; each reads its input until the caller closes it."""
    first = workshop.open(["cat"])
    first.communicate()
    assert first.returncode == 0
    second = workshop.open(["cat"])
    assert workshop._clients == [second]
    second.communicate()


def test_an_interrupt_ends_a_running_command_with_its_children(
    workshop: Workshop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An exception while a command runs, such as Ctrl-C, kills the command's tree before it continues upwards."""
    started: list[tuple[int, int]] = []

    def interrupted(popen: "subprocess.Popen[str]", feed: str | None = None, timeout: float | None = None) -> None:
        until(lambda: len(family(popen.pid)) == 2)
        started.extend(family(popen.pid))
        raise KeyboardInterrupt

    monkeypatch.setattr(subprocess.Popen, "communicate", interrupted)
    with pytest.raises(KeyboardInterrupt):
        workshop.run(["sh", "-c", "sleep 60 & wait"], timeout_s=30)
    monkeypatch.undo()
    assert len(started) == 2
    until(lambda: not any(identify(pid) == (pid, since) for pid, since in started))


def test_a_taken_directory_is_not_used_again(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Two runs never share a directory; its name has digits only, which masking removes from logs."""
    numbers = iter([7, 7, 8])
    monkeypatch.setattr(secrets, "randbelow", lambda limit: next(numbers))
    monkeypatch.setattr(tempfile, "gettempdir", lambda: str(tmp_path))
    assert process._new_directory() == tmp_path / "faultlab-000007"
    assert process._new_directory() == tmp_path / "faultlab-000008"


def test_root_gives_up_its_rights_for_a_server(monkeypatch: pytest.MonkeyPatch) -> None:
    """Root starts a server as the named user; any other user starts it as itself."""
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    assert as_user("postgres", ["initdb", "data"]) == [
        "setpriv",
        "--reuid=postgres",
        "--regid=postgres",
        "--clear-groups",
        "--",
        "initdb",
        "data",
    ]
    assert as_user(None, ["initdb"]) == ["initdb"]
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert as_user("postgres", ["initdb"]) == ["initdb"]


def test_a_mount_names_its_size_and_place(workshop: Workshop, monkeypatch: pytest.MonkeyPatch) -> None:
    """The file system that a fault fills has its own size, and a failed mount is an error."""
    commands: list[tuple[list[str], bool]] = []

    def mount(command: list[str], *, check: bool) -> None:
        commands.append((command, check))

    monkeypatch.setattr(subprocess, "run", mount)
    place = workshop.path / "data" / "full"
    workshop.mount_tmpfs(place, 64)
    assert place.is_dir()
    assert commands == [(["mount", "-t", "tmpfs", "-o", "size=64m", "tmpfs", str(place)], True)]


def test_absent_recordings_name_the_folder_and_the_remedy() -> None:
    """The error of a folder without recordings names the folder and where to get them."""
    error = RecordingsMissing(Path("nowhere"))
    assert error.root == Path("nowhere")
    assert "below nowhere" in str(error)
    assert "clone the repository" in str(error)
