"""What a run starts ends with it, however it ends."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from logwarden.training.faultlab.guard import family, identify
from logwarden.training.faultlab.process import Workshop, termination_raises
from tests.echo import Echo, until

ROOT = Path(__file__).parents[4]


def test_exception_leaves_no_process() -> None:
    """An exception ends servers, their children in other sessions and the directory, even if they are frozen."""
    system = Echo()

    def break_down() -> None:
        with Workshop() as workshop:
            system.setup(workshop)
            system.start()
            until(lambda: len(family(system.server.pid)) == 2)
            members.extend(family(system.server.pid))
            system.server.send_tree(signal.SIGSTOP)
            workshop.open(["sleep", "60"])
            raise LookupError

    members: list[tuple[int, int]] = []
    with pytest.raises(LookupError):
        break_down()
    assert len(members) == 2
    assert not any(identify(pid) == (pid, started) for pid, started in members)
    assert not system.path.exists()


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_death_of_the_recorder_leaves_no_process(number: signal.Signals) -> None:
    """The end of the recorder, by SIGKILL too, ends its servers and removes its directory."""
    program = (
        "import sys, time; from logwarden.training.faultlab.process import Workshop, termination_raises\n"
        "with termination_raises(), Workshop() as shop:\n"
        "    child = shop.child([sys.executable, '-c', 'import time; time.sleep(60)'], shop.path / 'log')\n"
        "    child.start(); orphan = shop.open(['sleep', '60'])\n"
        "    print(child.pid, orphan.pid, shop.path, flush=True); time.sleep(60)\n"
    )
    command = [sys.executable, "-c", program]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as victim:
        assert victim.stdout is not None
        server, client, path = victim.stdout.readline().split()
        assert identify(int(server)) is not None
        victim.send_signal(number)
        victim.wait(10)
    until(lambda: not Path(path).exists())
    assert identify(int(server)) is None
    assert identify(int(client)) is None


def test_sweep_takes_children_that_work_elsewhere() -> None:
    """A server's child in a session of its own and in `/`, as sshd's are, ends with a recorder that is killed."""
    server = "import subprocess; subprocess.run(['sleep', '60'], cwd='/', start_new_session=True)"
    program = (
        "import sys, time; from logwarden.training.faultlab.process import Workshop\n"
        "with Workshop() as shop:\n"
        f"    child = shop.child([sys.executable, '-c', {server!r}], shop.path / 'log')\n"
        "    child.start(); print(child.pid, flush=True); time.sleep(60)\n"
    )
    with subprocess.Popen([sys.executable, "-c", program], cwd=ROOT, stdout=subprocess.PIPE, text=True) as victim:
        assert victim.stdout is not None
        pid = int(victim.stdout.readline())
        until(lambda: len(family(pid)) == 2)
        members = family(pid)
        victim.kill()
    until(lambda: not any(identify(member) == (member, started) for member, started in members))


def test_signals_are_given_back() -> None:
    """A run restores the handler of SIGTERM."""
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(SystemExit), termination_raises():
        os.kill(os.getpid(), signal.SIGTERM)
    assert signal.getsignal(signal.SIGTERM) is before


def test_second_signal_does_not_break_into_the_tidying_up() -> None:
    """A second signal is ignored: Ctrl-C reaches a campaign and its runs, and the campaign ends its runs again."""
    program = (
        "import sys, time; from logwarden.training.faultlab.process import termination_raises\n"
        "with termination_raises():\n"
        "    try:\n"
        "        print('running', flush=True); time.sleep(60)\n"
        "    finally:\n"
        "        print('tidying', flush=True); time.sleep(0.3); print('tidy', flush=True)\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as run:
        assert run.stdout is not None
        assert run.stdout.readline() == "running\n"
        run.send_signal(signal.SIGINT)
        assert run.stdout.readline() == "tidying\n"
        run.send_signal(signal.SIGTERM)
        run.send_signal(signal.SIGINT)
        assert run.stdout.read() == "tidy\n"
    assert run.returncode == -signal.SIGINT


def test_command_past_its_deadline_takes_its_children_along() -> None:
    """A client that hangs is killed with all its children, and its result has no exit code."""
    with Workshop() as workshop:
        hung = workshop.run(["sh", "-c", "sleep 60 & echo $!; wait"], timeout_s=0.3)
    assert hung.code is None
    assert not hung.ok
    assert identify(int(hung.output)) is None
