"""The demo without a broker: pace, what is shown of alerts, the comparison with the faults, and what ends it."""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import replace
from types import SimpleNamespace
from typing import Any, cast

import pytest
from rich.console import Console

from logwarden.daemon.errors import EXIT_DRAINED, EXIT_FATAL, FatalError
from logwarden.daemon.incidents.alert import build_alert
from logwarden.demo import playback
from logwarden.demo.playback import CLEAN_PACE, FAULT_PACE, Demo, DemoResult, run_demo
from logwarden.model.schema import AlertKind, LogLine, LogWindow, Verdict
from logwarden.training.faultlab.recording import Recording
from tests.tapes import fault, recording

FAULTS = [fault("broken_disk", 100, 110), fault("lost_route", 200, 210)]
TAPE = replace(
    recording(FAULTS, *((float(t), "db", f"line {t}") for t in range(0, 300, 10))),
    clean_until=60.0,
    versions={"toy": "1.0"},
)


class _Clock:
    """A clock that advances only when the demo waits for an alert or for the daemon."""

    def __init__(self) -> None:
        self.now = 0.0

    def monotonic(self) -> float:
        return self.now


class _Producer:
    """A broker inside a client: it stores lines in one partition, or refuses them."""

    def __init__(self, error: str | None = None) -> None:
        self.values: list[bytes] = []
        self._error = error

    def produce(self, topic: str, value: bytes, key: bytes, on_delivery: Callable[[Any, Any], None]) -> None:
        offset = len(self.values)
        self.values.append(value)
        on_delivery(self._error, SimpleNamespace(partition=lambda: 0, offset=lambda: offset))

    def poll(self, timeout_s: float) -> None: ...

    def flush(self, timeout_s: float) -> None: ...


class _Consumer:
    """A consumer of alerts; an empty poll takes its whole time-out."""

    def __init__(self, clock: _Clock, *values: bytes, damaged: int = 0) -> None:
        self._clock = clock
        self._values = list(values)
        self._damaged = damaged
        self.waits: list[float] = []

    def poll(self, timeout_s: float) -> Any:
        if self._damaged:
            self._damaged -= 1
            return SimpleNamespace(error=lambda: "the broker is busy")
        if self._values:
            value = self._values.pop(0)
            return SimpleNamespace(error=lambda: None, value=lambda: value)
        self.waits.append(timeout_s)
        self._clock.now += timeout_s
        return None


def _alert(offset: int) -> bytes:
    line = LogLine(text="disk failed", offset=offset, timestamp_ms=1_700_000_000_000, guilty=True, weight=1.0)
    verdict = Verdict(
        window=LogWindow(service="db", lines=(line,), topic="demo.logs", partition=0),
        probabilities=(0.1, 0.9),
        logits=(0.0, 2.0),
        threshold=0.5,
        learning=False,
        history_lines=1_000,
        model_revision="r",
        kind=AlertKind.NEW_LINE,
    )
    return build_alert(verdict, now_ms=1_700_000_000_300).encode()


def _demo(*, fast: bool = True) -> tuple[Demo, _Clock, io.StringIO]:
    screen = io.StringIO()
    demo = Demo(Console(file=screen, width=120), fast=fast)
    clock = _Clock()
    demo._clock = cast(Any, clock)
    demo._started = 0.0
    return demo, clock, screen


def _after_alerts(*offsets: int) -> tuple[DemoResult, str]:
    """Plays the tape, shows alerts of these lines and compares them with the faults. Returns figures and output."""
    demo, clock, screen = _demo()
    demo._stream(TAPE, _Producer(), _Consumer(clock))
    demo._show(TAPE, _Consumer(clock, *map(_alert, offsets)), until=clock.now)
    demo._judge(TAPE)
    demo._summarise(TAPE)
    return demo._result, screen.getvalue()


def test_alerts_are_compared_with_the_faults() -> None:
    """An alert in a fault's reach finds it with its delay; others count for the clean part or for no fault."""
    result, printed = _after_alerts(3, 11, 28)  # at 30 s (clean), 110 s (first fault), 280 s (no fault)
    assert result.alerts == 3
    assert result.incidents == [[30.0], [110.0], [280.0]]
    assert (result.clean_incidents, result.unexplained_incidents) == (1, 1)
    assert result.found == {"broken_disk": 10.0}
    assert result.missed == ["lost_route"]
    assert "not found" in printed
    assert "10.0 s of recorded time" in printed
    assert "found 1 of 2 faults" in printed


def test_alerts_of_one_incident_are_shown_once() -> None:
    """Alerts that follow each other within the gap are one incident, and only its first one is printed."""
    result, printed = _after_alerts(10, 11, 12)
    assert result.incidents == [[100.0, 110.0, 120.0]]
    assert printed.count("disk failed") == 1
    assert "at 1:40 of the recording" in printed


def test_a_demo_without_alerts_has_no_first_one() -> None:
    """The summary of a silent daemon reports no time of a first alert, and both faults as missed."""
    result, printed = _after_alerts()
    assert result.first_alert_s is None
    assert "first alert on the screen" not in printed
    assert printed.count("not found") == 2


def test_an_alert_without_its_line_is_left_out() -> None:
    """An alert whose line has no delivery report yet has no place in the recording."""
    result, _ = _after_alerts(len(TAPE.lines))
    assert result.alerts == 0


def test_an_unreadable_poll_is_tried_again_until_the_time() -> None:
    """An error of the consumer is no alert and does not end the wait before its time."""
    demo, clock, _ = _demo()
    consumer = _Consumer(clock, damaged=2)
    demo._show(TAPE, consumer, until=5.0)
    assert clock.now == 5.0
    assert consumer.waits == [5.0]


def test_faults_are_played_slowly_and_the_clean_part_fast() -> None:
    """Each line waits for its recorded time, at the pace of its part; faults are announced before their lines."""
    demo, clock, screen = _demo(fast=False)
    producer = _Producer()
    demo._stream(TAPE, producer, _Consumer(clock))
    assert producer.values == [line.text.encode() for line in TAPE.lines]
    assert clock.now == pytest.approx(60 / CLEAN_PACE + (290 - 60) / FAULT_PACE)
    announced = [line for line in screen.getvalue().splitlines() if "injected" in line]
    assert announced == ["▼ 1:40  injected: broken disk", "▼ 3:20  injected: lost route"]


def test_fast_play_does_not_wait() -> None:
    """With --fast no line waits for its recorded time."""
    demo, clock, _ = _demo(fast=True)
    demo._stream(TAPE, _Producer(), _Consumer(clock))
    assert clock.now == 0.0
    assert demo._result.lines == len(TAPE.lines)


def test_a_refused_line_ends_the_demo() -> None:
    """A line that the embedded broker refuses would be missing from the figures."""
    demo, clock, _ = _demo()
    with pytest.raises(FatalError, match="refused a line: queue full"):
        demo._stream(TAPE, _Producer("queue full"), _Consumer(clock))


def test_a_daemon_that_ends_is_reported_with_its_last_line() -> None:
    """The demo does not wait for a daemon that has ended, and quotes the reason from its log."""
    demo, _, _ = _demo()
    daemon = cast(Any, SimpleNamespace(is_running=False, nap=None, last_line=lambda: "port in use"))
    with pytest.raises(FatalError, match="waited for its readiness: port in use"):
        demo._wait(lambda: False, 60.0, daemon, "its readiness")


def test_a_wait_has_an_end() -> None:
    """A daemon that never becomes ready ends the demo after the time-out with a hint."""
    demo, clock, _ = _demo()
    naps: list[float] = []

    def nap() -> None:
        naps.append(clock.now)
        clock.now += 1.0

    daemon = cast(Any, SimpleNamespace(is_running=True, nap=nap))
    with pytest.raises(FatalError, match="waited 3 s for its readiness") as ended:
        demo._wait(lambda: False, 3.0, daemon, "its readiness")
    assert ended.value.hint == "retry on a less busy machine"
    assert len(naps) == 4


@pytest.mark.parametrize(
    ("lines", "scored", "daemon", "code"),
    [(9, 9, 0, EXIT_DRAINED), (9, 8, 0, EXIT_FATAL), (9, 9, 1, EXIT_FATAL)],
)
def test_the_exit_code_follows_lines_and_drain(
    lines: int, scored: int, daemon: int, code: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The demo succeeds if every line was scored and the daemon drained; the faults found do not matter."""

    def play(self: Demo, tape: Recording) -> DemoResult:
        assert tape.faults
        return DemoResult(lines=lines, scored=scored, exit_code=daemon, missed=["one"])

    monkeypatch.setattr(playback.Demo, "play", play)
    assert run_demo(True, Console(file=io.StringIO())) == code


def test_the_introduction_names_versions_and_length() -> None:
    """A viewer reads the real system, its versions, the length and the number of faults before the first line."""
    demo, _, screen = _demo()
    demo._introduce(TAPE)
    assert "real toy (toy 1.0), 4:50 long" in screen.getvalue()
    assert "fault-free until 1:00, then 2 real faults" in screen.getvalue()
