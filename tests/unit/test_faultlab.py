"""The lab on a toy system of real processes, and the integrity of the recording that ships with the project."""

import itertools
import json
import os
import random
import signal
import socket
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import pytest

from training.faultlab.__main__ import main
from training.faultlab.errors import CleanBroken, NeverRecovered, ProgramMissing
from training.faultlab.load import Load
from training.faultlab.process import Workshop, family, identify, termination_raises
from training.faultlab.recorder import Recorder, Tail
from training.faultlab.recording import Line, Recording, RecordingDamaged, lines_of, load, novel_lines, save
from training.faultlab.runner import record
from training.faultlab.scenario import Client, Disturbance, Script
from training.faultlab.systems import SYSTEMS

COMMITTED = Path(__file__).parents[2] / "training" / "faultlab" / "recordings" / "postgres"
SCRIPT = Script(
    seed=3,
    clean_s=1.2,
    warm_up_s=0.1,
    gap_s=0.1,
    breath_s=0.05,
    spike_s=0.05,
    idle_s=0.05,
    probe_every_s=0.05,
    recovery_deadline_s=5,
)

# Answers every byte on its socket with one and says so in its log, through a child of its own, as real servers do.
SERVER = """
import os, socket, sys, time
listener = socket.socket(socket.AF_UNIX)
if os.path.exists("socket"): os.unlink("socket")
listener.bind("socket"); listener.listen()
print("ready to serve", flush=True)
if os.fork() == 0:
    os.setsid()
    while True: time.sleep(60)
while True:
    peer, _ = listener.accept()
    try: peer.recv(1); peer.sendall(b"y")
    except OSError: continue  # the caller lost patience while we were frozen
    print("served one client", flush=True)
"""


def until(condition: Callable[[], bool], deadline_s: float = 5.0) -> None:
    deadline = time.monotonic() + deadline_s
    while not condition():
        assert time.monotonic() < deadline, "the world did not become as expected in time"
        time.sleep(0.01)


class Echo:
    """One real server, one real client, two real faults."""

    name = "echo"
    never_in_clean = "Traceback"

    def __init__(self, *, broken_clean: bool = False, for_good: bool = False) -> None:
        self._broken_clean = broken_clean
        self._for_good = for_good
        self.packages: Sequence[str] = ()

    @property
    def log_files(self) -> Mapping[str, Sequence[Path]]:
        return {"echo": (self.server.log,)}

    def missing(self) -> Sequence[str]:
        return self.packages

    def setup(self, workshop: Workshop) -> None:
        self.path = workshop.path
        self.server = workshop.child([sys.executable, "-I", "-u", "-c", SERVER], workshop.path / "echo.log")

    def start(self) -> None:
        self.server.start()
        until(self.healthy)

    def versions(self) -> Mapping[str, str]:
        return {"python": sys.version.split()[0]}

    def workload(self) -> Sequence[Client]:
        def run(rng: random.Random) -> bool:
            return self.healthy() and not self._broken_clean

        return [Client(name="caller", every_s=0.05, touches=frozenset({"echo"}), run=run)]

    def healthy(self) -> bool:
        with socket.socket(socket.AF_UNIX) as caller:
            caller.settimeout(0.2)
            try:
                caller.connect(str(self.path / "socket"))
                caller.sendall(b"x")
                return caller.recv(1) == b"y"
            except OSError:
                return False

    def faults(self) -> Sequence[Disturbance]:
        def start() -> None:
            if not self._for_good:
                self.server.start()

        return [
            Disturbance(name="sigkill", services=("echo",), inject=self.server.kill, clear=start, hold_s=0.1),
            Disturbance(
                name="frozen",
                services=("echo",),
                inject=lambda: self.server.send_tree(signal.SIGSTOP),
                clear=lambda: self.server.send_tree(signal.SIGCONT),
                hold_s=0.25,
            ),
            Disturbance(name="flood", services=("echo",), impossible="no water here"),
        ]

    def benign(self) -> Sequence[Disturbance]:
        if self._for_good:
            return []
        return [
            Disturbance(
                name="restart",
                services=("echo",),
                inject=self.server.stop,
                clear=self.server.start,
                drained=frozenset({"echo"}),
            )
        ]

    def stop(self) -> None:
        self.server.stop()


@pytest.fixture(scope="module")
def echoed() -> Recording:
    return record(Echo(), SCRIPT, lambda text: None)


def test_run_has_every_planned_change_twice_and_every_fault_once(echoed: Recording) -> None:
    """A run makes each planned change twice in its clean part, the first time early, and each possible fault once."""
    benign = [event for event in echoed.events if event.kind == "benign"]
    assert Counter(event.name for event in benign) == {"load_spike": 2, "idle": 2, "restart": 2}
    assert {event.name for event in benign if event.injected_at < echoed.clean_until / 3} == {
        event.name for event in benign
    }
    assert all(event.recovered_at < echoed.clean_until for event in benign)
    assert sorted(event.name for event in echoed.faults) == ["frozen", "sigkill"]
    assert echoed.skipped == {"flood": "no water here"}


def test_events_do_not_overlap(echoed: Recording) -> None:
    """Nothing is done to a system that has not recovered from the thing before."""
    for before, after in itertools.pairwise(echoed.events):
        assert before.injected_at <= before.cleared_at <= before.recovered_at + SCRIPT.probe_every_s
        assert before.recovered_at < after.injected_at


def test_lines_are_those_the_server_wrote(echoed: Recording) -> None:
    """A recording holds the server's words and none of ours, in order of arrival."""
    assert {line.text for line in echoed.lines} == {"ready to serve", "served one client"}
    assert [line.t for line in echoed.lines] == sorted(line.t for line in echoed.lines)
    killed = next(event for event in echoed.faults if event.name == "sigkill")
    assert "ready to serve" in {line.text for line in lines_of(echoed.lines, killed, tail_s=0.1)}


def test_planned_restart_teaches_the_banner(echoed: Recording) -> None:
    """A restart banner that was seen in a planned restart is nothing new after a SIGKILL."""
    assert all(novel_lines(echoed, event, tail_s=0.1) == () for event in echoed.faults)


def test_clean_part_with_failing_client_is_no_recording() -> None:
    """A client that is not served before the faults begin ends the run without a result."""
    with pytest.raises(CleanBroken) as caught:
        record(Echo(broken_clean=True), SCRIPT, lambda text: None)
    assert "caller" in caught.value.evidence[0]


def test_fault_that_lasts_is_no_recording() -> None:
    """A system that does not come back within the deadline ends the run and leaves nothing behind."""
    system = Echo(for_good=True)
    script = Script(seed=3, clean_s=0.3, warm_up_s=0, gap_s=0, breath_s=0, spike_s=0, idle_s=0, probe_every_s=0.05,
                    recovery_deadline_s=0.5)  # fmt: skip
    with pytest.raises(NeverRecovered):
        record(system, script, lambda text: None)
    assert not system.path.exists()


def test_missing_program_names_its_package() -> None:
    """Who lacks a program is told what to install, before anything is started."""
    system = Echo()
    system.packages = ("echo-server",)
    with pytest.raises(ProgramMissing, match=r"apt-get install .* echo-server"):
        record(system, SCRIPT, lambda text: None)


def test_exception_leaves_no_process() -> None:
    """Servers, their children in other sessions and the directory are gone when the block raises, even if frozen."""
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
    """However the recorder dies, SIGKILL included, its servers and its directory are swept away."""
    program = (
        "import sys, time; from training.faultlab.process import Workshop, termination_raises\n"
        "with termination_raises(), Workshop() as shop:\n"
        "    child = shop.child([sys.executable, '-c', 'import time; time.sleep(60)'], shop.path / 'log')\n"
        "    child.start(); orphan = shop.open(['sleep', '60'])\n"
        "    print(child.pid, orphan.pid, shop.path, flush=True); time.sleep(60)\n"
    )
    command = [sys.executable, "-c", program]
    with subprocess.Popen(
        command, cwd=COMMITTED.parents[3], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as victim:
        assert victim.stdout is not None
        server, client, path = victim.stdout.readline().split()
        assert identify(int(server)) is not None
        victim.send_signal(number)
        victim.wait(10)
    until(lambda: not Path(path).exists())
    assert identify(int(server)) is None
    assert identify(int(client)) is None


def test_command_line_lists_the_systems(capsys: pytest.CaptureFixture[str]) -> None:
    """Whoever asks what can be recorded is told, without any server being there."""
    assert main(["list"]) == 0
    assert capsys.readouterr().out.split() == sorted(SYSTEMS)


def test_signals_are_given_back() -> None:
    """After a run SIGTERM means again what it meant before."""
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(SystemExit), termination_raises():
        os.kill(os.getpid(), signal.SIGTERM)
    assert signal.getsignal(signal.SIGTERM) is before


def test_command_past_its_deadline_takes_its_children_along() -> None:
    """A client that hangs is killed with everything it has started, and says that it did not end by itself."""
    with Workshop() as workshop:
        hung = workshop.run(["sh", "-c", "sleep 60 & echo $!; wait"], timeout_s=0.3)
    assert hung.code is None
    assert not hung.ok
    assert identify(int(hung.output)) is None


def test_tail_waits_for_the_end_of_a_line_and_follows_rotation(tmp_path: Path) -> None:
    """Half a line is not a line; a replaced or emptied file is read from its beginning."""
    log = tmp_path / "log"
    tail = Tail(log)
    assert tail.read() == []
    log.write_text("one\ntw")
    assert tail.read() == ["one"]
    with log.open("a") as more:
        more.write("o\n\n")
    assert tail.read() == ["two"]
    log.rename(tmp_path / "log.1")
    log.write_text("three\n")
    assert tail.read() == ["three"]
    log.write_text("4\n")
    assert tail.read() == ["4"]


def test_storm_is_cut_and_counted(tmp_path: Path) -> None:
    """A service that writes more than the cap is cut there, and the recording says by how much."""
    log = tmp_path / "log"
    log.write_text("".join(f"line {n}\n" for n in range(10)))
    recorder = Recorder({"loud": (log,)}, lambda: 0.0, cap=4)
    recorder.poll(1.5)
    assert recorder.lines() == tuple(Line(t=1.5, service="loud", text=f"line {n}") for n in range(4))
    assert recorder.dropped == {"loud": 6}


def test_load_opens_and_closes_its_lanes() -> None:
    """A spike runs several copies of a client at once; in a drained block none runs."""
    inside: Counter[str] = Counter()
    most = [0]

    def run(rng: random.Random) -> bool:
        inside["now"] += 1
        most[0] = max(most[0], inside["now"])
        time.sleep(0.02)
        inside["now"] -= 1
        return True

    clock = itertools.count()
    crowd = Load([Client(name="c", every_s=0.001, touches=frozenset({"s"}), run=run)], 1, lambda: float(next(clock)))
    crowd.start()
    try:
        until(lambda: crowd.runs["c"] > 3)
        assert most[0] == 1
        with crowd.shaped(lanes=5, drained=frozenset()):
            until(lambda: most[0] >= 3)
        with crowd.shaped(lanes=1, drained=frozenset({"s"})):
            done = crowd.runs["c"]
            assert inside["now"] == 0
            time.sleep(0.05)
            assert crowd.runs["c"] == done
    finally:
        crowd.stop()
    assert crowd.failures() == ()


def test_recording_survives_the_disk(tmp_path: Path, echoed: Recording) -> None:
    """What is saved is what is loaded, and a changed byte is noticed."""
    save(echoed, tmp_path)
    assert load(tmp_path) == echoed
    packed = tmp_path / "lines.jsonl.xz"
    packed.write_bytes(packed.read_bytes() + b"\0")
    with pytest.raises(RecordingDamaged):
        load(tmp_path)


@pytest.fixture(scope="module")
def committed() -> Recording:
    return load(COMMITTED)


def test_committed_recording_is_small_and_whole(committed: Recording) -> None:
    """The shipped recording matches its hash, holds three services, lost no line and fits beside the code."""
    assert sum(path.stat().st_size for path in COMMITTED.iterdir()) <= 1_000_000
    assert {line.service for line in committed.lines} == {"postgres-primary", "postgres-replica", "pgbouncer"}
    assert 4_000 <= len(committed.lines) <= 12_000
    assert not committed.dropped
    counted = Counter(line.service for line in committed.lines)
    assert counted == json.loads((COMMITTED / "manifest.json").read_text())["lines"]
    assert all(before.t <= after.t for before, after in itertools.pairwise(committed.lines))


def test_committed_recording_is_clean_first(committed: Recording) -> None:
    """Eight minutes and more pass before the first fault, with each planned change twice and early once."""
    assert committed.clean_until >= 480
    assert all(event.injected_at > committed.clean_until for event in committed.faults)
    benign = [event for event in committed.events if event.kind == "benign"]
    assert all(event.recovered_at < committed.clean_until for event in benign)
    assert set(Counter(event.name for event in benign).values()) == {2}
    early = {event.name for event in benign if event.injected_at < committed.clean_until / 3}
    assert early == {event.name for event in benign} >= {
        "config_reload", "pooler_reload", "replica_restart", "load_spike", "idle",
    }  # fmt: skip


def test_committed_recording_has_its_faults_apart(committed: Recording) -> None:
    """At least five faults were injected, each over for 20 s before the next, all within the recording."""
    assert len(committed.faults) >= 5
    for before, after in itertools.pairwise(committed.faults):
        assert before.injected_at < before.cleared_at
        assert max(before.cleared_at, before.recovered_at) + 20 <= after.injected_at
    assert committed.faults[-1].recovered_at < committed.lines[-1].t


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        ("backend_sigkill", "was terminated by signal 9: Killed"),
        ("primary_sigkill", "database system was interrupted"),
        ("connection_exhaustion", "remaining connection slots are reserved"),
        ("wrong_password_burst", "password authentication failed"),
        ("deadlock", "deadlock detected"),
        ("disk_full", "No space left on device"),
        ("replica_frozen", "terminating walsender process due to replication timeout"),
        ("bad_config_reload", "invalid value for parameter"),
    ],
)
def test_committed_fault_left_its_words(committed: Recording, fault: str, words: str) -> None:
    """Every fault was real: PostgreSQL itself speaks of it while it lasts, and never in the clean part."""
    event = next(event for event in committed.faults if event.name == fault)
    assert any(words in line.text for line in lines_of(committed.lines, event, tail_s=10))
    assert not any(words in line.text for line in committed.lines if line.t <= committed.clean_until)
