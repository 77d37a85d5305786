"""The lab on a toy system of real processes: the order of a run, what makes it invalid, its lines, its disk format."""

import itertools
import random
import time
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest

from logwarden.training.faultlab.__main__ import main
from logwarden.training.faultlab.errors import CleanBroken, NeverRecovered, ProgramMissing, UnknownFault
from logwarden.training.faultlab.labels import label
from logwarden.training.faultlab.load import Load
from logwarden.training.faultlab.recorder import Recorder, Tail
from logwarden.training.faultlab.recording import (
    Line,
    Recording,
    RecordingDamaged,
    lines_of,
    load_recording,
    save_recording,
)
from logwarden.training.faultlab.runner import record
from logwarden.training.faultlab.scenario import Client
from logwarden.training.faultlab.systems import SYSTEMS
from tests.echo import SCRIPT, Echo, until


@pytest.fixture(scope="module")
def echoed() -> Recording:
    return record(Echo(), SCRIPT, lambda text: None)


def test_run_has_every_planned_change_twice_and_every_fault_once(echoed: Recording) -> None:
    """A long run makes each planned change once before any fault and once after, and each possible fault once."""
    benign = [event for event in echoed.events if event.kind == "benign"]
    names = {"load_spike", "idle", "load_ramp", "restart"}
    assert Counter(event.name for event in benign) == dict.fromkeys(names, 2)
    assert Counter(event.name for event in benign if event.recovered_at < echoed.clean_until) == dict.fromkeys(names, 1)
    assert sorted(event.name for event in echoed.faults) == ["frozen", "sigkill"]
    assert all(event.injected_at > echoed.clean_until for event in echoed.faults)
    assert echoed.skipped == {"flood": "no water here"}
    assert {event.cause for event in echoed.faults} == {"process"}


def test_short_run_of_one_fault() -> None:
    """A short run has each planned change once, and only the chosen faults."""
    script = replace(SCRIPT, clean_s=0.5, long_s=1.0, faults=frozenset({"frozen"}))
    short = record(Echo(), script, lambda text: None)
    assert Counter(event.name for event in short.events) == dict.fromkeys(
        ("load_spike", "idle", "load_ramp", "restart", "frozen"), 1
    )


def test_unknown_fault_is_told_the_known_ones() -> None:
    """An unknown fault is an error that lists the faults of the system."""
    with pytest.raises(UnknownFault, match="flood, frozen, sigkill"):
        record(Echo(), replace(SCRIPT, clean_s=0.3, faults=frozenset({"fire"})), lambda text: None)


def test_what_happens_is_told_with_its_share() -> None:
    """The progress of a run never exceeds 99 percent before its end."""
    messages: list[str] = []
    record(Echo(), replace(SCRIPT, clean_s=0.3), messages.append)
    shares = [int(text.partition("%")[0]) for text in messages]
    assert shares == sorted(shares)
    assert 0 <= shares[0] < shares[-1] <= 99


def test_events_do_not_overlap(echoed: Recording) -> None:
    """A system recovers from one event before the next one begins."""
    for before, after in itertools.pairwise(echoed.events):
        assert before.injected_at <= before.cleared_at <= before.recovered_at + SCRIPT.probe_every_s
        assert before.recovered_at < after.injected_at


def test_lines_are_those_the_server_wrote(echoed: Recording) -> None:
    """A recording contains the lines of the server only, in order of arrival."""
    assert {line.text for line in echoed.lines} == {"ready to serve", "served one client"}
    assert [line.t for line in echoed.lines] == sorted(line.t for line in echoed.lines)
    killed = next(event for event in echoed.faults if event.name == "sigkill")
    assert "ready to serve" in {line.text for line in lines_of(echoed.lines, killed, tail_s=0.1)}


def test_planned_restart_teaches_the_banner(echoed: Recording) -> None:
    """A restart banner that was seen in a planned restart is nothing new after a SIGKILL."""
    (labels,) = label([echoed])
    assert sorted(labels.silent) == ["frozen", "sigkill"]


def test_clean_part_with_failing_client_is_no_recording() -> None:
    """A client that is not served before the faults begin ends the run without a result."""
    with pytest.raises(CleanBroken) as caught:
        record(Echo(broken_clean=True), SCRIPT, lambda text: None)
    assert "caller" in caught.value.evidence[0]


def test_client_that_fails_long_after_a_fault_makes_the_run_invalid() -> None:
    """A failure between two faults makes the run invalid too."""
    with pytest.raises(CleanBroken) as caught:
        record(Echo(broken_later=True), replace(SCRIPT, tail_s=0.1), lambda text: None)
    assert "caller" in caught.value.evidence[0]


def test_fault_that_lasts_is_no_recording() -> None:
    """A system that does not come back within the deadline ends the run and leaves nothing behind."""
    system = Echo(for_good=True)
    with pytest.raises(NeverRecovered):
        record(system, replace(SCRIPT, clean_s=0.3, recovery_deadline_s=0.5), lambda text: None)
    assert not system.path.exists()


def test_missing_program_names_its_package() -> None:
    """A missing program is an error with the package to install, before any process is started."""
    system = Echo()
    system.packages = ("echo-server",)
    with pytest.raises(ProgramMissing, match=r"apt-get install .* echo-server"):
        record(system, SCRIPT, lambda text: None)


def test_command_line_lists_the_systems(capsys: pytest.CaptureFixture[str]) -> None:
    """The list of systems needs no installed server."""
    assert main(["list"]) == 0
    assert capsys.readouterr().out.split() == sorted(SYSTEMS)


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
    """Lines of a service beyond the cap are dropped, and the recording counts them."""
    log = tmp_path / "log"
    log.write_text("".join(f"line {n}\n" for n in range(10)))
    recorder = Recorder({"loud": (log,)}, lambda: 0.0, cap=4)
    recorder.poll(1.5)
    assert recorder.lines() == tuple(Line(t=1.5, service="loud", text=f"line {n}", file="log") for n in range(4))
    assert recorder.dropped == {"loud": 6}
    with log.open("a") as more:
        more.write("afterwards\n")
    recorder.poll(10.5)
    assert recorder.lines()[-1].text == "afterwards"
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


def test_usual_load_swings_and_gives_way(monkeypatch: pytest.MonkeyPatch) -> None:
    """The number of lanes swings by itself; idle time and drained services have priority."""
    monkeypatch.setattr("logwarden.training.faultlab.load._SWING_S", (0.01, 0.05))
    inside: Counter[str] = Counter()
    seen: set[int] = set()

    def run(rng: random.Random) -> bool:
        inside["now"] += 1
        time.sleep(0.01)
        seen.add(inside["now"])
        inside["now"] -= 1
        return True

    crowd = Load([Client(name="c", every_s=0.001, touches=frozenset({"s"}), run=run)], 1, time.monotonic, (1, 4))
    crowd.start()
    try:
        until(lambda: {1, 4} <= seen)
        for lanes, drained in ((0, frozenset[str]()), (1, frozenset({"s"}))):
            with crowd.shaped(lanes=lanes, drained=drained):
                assert inside["now"] == 0
                done = crowd.runs["c"]
                time.sleep(0.2)
                assert crowd.runs["c"] == done
    finally:
        crowd.stop()


def test_recording_survives_the_disk(tmp_path: Path, echoed: Recording) -> None:
    """A loaded recording equals the saved one, and a changed byte is an error."""
    save_recording(echoed, tmp_path)
    assert load_recording(tmp_path) == echoed
    packed = tmp_path / "lines.jsonl.xz"
    packed.write_bytes(packed.read_bytes() + b"\0")
    with pytest.raises(RecordingDamaged):
        load_recording(tmp_path)
