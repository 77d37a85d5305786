"""`logwarden demo`: the daemon's main job on one machine, real except for the broker's disk.

The broker is embedded: librdkafka's mock cluster, in this process, reached over TCP. The real daemon runs in a process
of its own. A recording of real PostgreSQL under real faults is played into the input topic. Alerts are shown as they
arrive, and the summary compares them with the injected faults. The daemon reads log lines only, never the labels.

Stands outside the daemon and uses it as an operator would: environment, topics, HTTP port, signals. It is the only
module that imports both storeys, because it plays a recording of the fault lab.
"""

from __future__ import annotations

import tempfile
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from logwarden.daemon.clock import SystemClock
from logwarden.daemon.commands.rendering import printable, render
from logwarden.daemon.errors import EXIT_DRAINED, EXIT_FATAL, FatalError
from logwarden.daemon.incidents.alert import Alert, decode_alert
from logwarden.daemon.incidents.findings import FindingReader
from logwarden.demo.daemon_process import ALERTS, DEAD, LOGS, DaemonProcess, broker_address, require_confluent
from logwarden.model.incident_fold import IncidentFold
from logwarden.model.incidents import Change
from logwarden.training.faultlab import recording as recordings
from logwarden.training.faultlab.recording import RECOVERY_TAIL_S, Event, Recording

RECORDING = Path(recordings.__file__).parent / "recordings" / "demo"
CLEAN_PACE, FAULT_PACE = 120.0, 20.0
"""Recorded seconds per second: the clean part is played fast, the faults slowly enough to follow."""
_FAST_CHUNK = 512  # lines between two polls of the alerts topic with --fast
_START_TIMEOUT_S = 60.0
_SETTLE_TIMEOUT_S = 120.0


@dataclass(slots=True)
class DemoResult:
    """Figures of a demo. Times are in seconds; `recorded` times are on the recording's own clock."""

    lines: int = 0
    scored: int = 0
    joined: int = 0
    """Lines that belong to the event of an earlier line, which was scored."""
    windows: int = 0
    alerts: int = 0
    seconds: float = 0.0
    first_alert_s: float | None = None
    """From the start of the command to the first alert on the screen."""
    incidents: list[list[float]] = field(default_factory=list)
    """Recorded times of the alerts of each incident that opened, ascending."""
    clean_incidents: int = 0
    unexplained_incidents: int = 0
    """Incidents after the clean part that belong to no fault."""
    found: dict[str, float] = field(default_factory=dict)
    """For each fault found, recorded seconds from its injection to its first alert."""
    missed: list[str] = field(default_factory=list)
    exit_code: int = -1

    @property
    def whole(self) -> bool:
        """True if every line was scored and the daemon drained. The summary reports the faults found."""
        return self.scored + self.joined == self.lines and self.exit_code == 0


def run_demo(fast: bool, console: Console | None = None) -> int:
    """Plays the recording. Returns the exit code: 0 if every line was scored and the daemon drained."""
    result = Demo(console or Console(), fast=fast).play(recordings.load_recording(RECORDING))
    return EXIT_DRAINED if result.whole else EXIT_FATAL


class Demo:
    """One run of the demo."""

    def __init__(self, console: Console, *, fast: bool) -> None:
        self._console = console
        self._fast = fast
        self._clock = SystemClock()
        self._started = self._clock.monotonic()
        self._placed: dict[tuple[int, int], int] = {}  # (partition, offset) → place in the recording
        self._alert_times: list[float] = []
        self._fold, self._reader = IncidentFold(), FindingReader()
        self._times_of: dict[str, list[float]] = {}  # id of an incident → recorded times of its alerts
        self._opened: list[str] = []
        self._result = DemoResult()

    def play(self, recording: Recording) -> DemoResult:
        """Plays the whole recording and returns the figures."""
        kafka = require_confluent()
        self._introduce(recording)
        producer = kafka.Producer({"test.mock.num.brokers": 1, "bootstrap.servers": "", "linger.ms": 5})
        bootstrap = broker_address(producer)
        consumer = kafka.Consumer({"bootstrap.servers": bootstrap, "group.id": "demo", "auto.offset.reset": "earliest"})
        for topic in (LOGS, ALERTS, DEAD):
            producer.list_topics(topic, 10)  # this broker creates a topic at the first request for its metadata
        consumer.subscribe([ALERTS])
        with (
            tempfile.TemporaryDirectory() as directory,
            DaemonProcess(bootstrap, Path(directory) / "daemon.log") as daemon,
        ):
            self._wait(daemon.ready, _START_TIMEOUT_S, daemon, "the daemon's readiness")
            self._note(f"daemon ready after {self._elapsed():.1f} s; playing {len(recording.lines):,} recorded lines")
            played_from = self._clock.monotonic()
            self._stream(recording, producer, consumer)
            self._settle(recording, daemon, consumer)
            self._result.seconds = self._clock.monotonic() - played_from
            self._result.scored = int(daemon.metric("logwarden_scored_lines_total"))
            self._result.joined = int(daemon.metric("logwarden_joined_lines_total"))
            self._result.windows = int(daemon.metric("logwarden_windows_total"))
            self._result.exit_code = daemon.stop()
        consumer.close()
        self._judge(recording)
        self._summarise(recording)
        return self._result

    # ---------------------------------------------------------------- playing

    def _stream(self, recording: Recording, producer: Any, consumer: Any) -> None:
        events = sorted(recording.faults, key=lambda event: event.injected_at)
        announced, due = 0, self._clock.monotonic()
        before = 0.0
        for place, line in enumerate(recording.lines):
            pace = CLEAN_PACE if line.t <= recording.clean_until else FAULT_PACE
            due += (line.t - before) / pace
            before = line.t
            while announced < len(events) and events[announced].injected_at <= line.t:
                self._announce(events[announced])
                announced += 1
            producer.produce(LOGS, line.text.encode(), line.service.encode(), on_delivery=self._remember(place))
            producer.poll(0)
            now = self._clock.monotonic()
            if self._fast and place % _FAST_CHUNK == 0:
                producer.flush(10)
                self._show(recording, consumer, until=now)
            elif not self._fast and due - now > 0.02:
                producer.flush(10)
                self._show(recording, consumer, until=due)
        producer.flush(30)
        self._result.lines = len(recording.lines)

    def _settle(self, recording: Recording, daemon: DaemonProcess, consumer: Any) -> None:
        """Waits until the daemon has scored every line and every alert is shown."""
        total = len(recording.lines)
        self._wait(
            lambda: (
                daemon.metric("logwarden_scored_lines_total") + daemon.metric("logwarden_joined_lines_total") >= total
            ),
            _SETTLE_TIMEOUT_S,
            daemon,
            "the scores of all lines",
            meanwhile=lambda: self._show(recording, consumer, until=self._clock.monotonic() + 0.1),
        )
        published = daemon.metric("logwarden_anomalous_windows_total")
        self._wait(
            lambda: self._result.alerts >= published,
            10.0,
            daemon,
            "the alerts of all anomalies",
            meanwhile=lambda: self._show(recording, consumer, until=self._clock.monotonic() + 0.1),
        )

    def _remember(self, place: int) -> Any:
        def delivered(error: Any, message: Any) -> None:
            if error is not None:
                raise FatalError(f"the embedded broker refused a line: {error}", hint="run the demo again")
            self._placed[message.partition(), message.offset()] = place

        return delivered

    def _show(self, recording: Recording, consumer: Any, *, until: float) -> None:
        """Shows each incident as it opens, and counts the rest for the summary."""
        while True:
            message = consumer.poll(max(0.0, until - self._clock.monotonic()))
            if message is None or message.error():
                if self._clock.monotonic() >= until:
                    return
                continue
            self._alert(recording, decode_alert(message.value()))

    def _alert(self, recording: Recording, alert: Alert) -> None:
        """Folds an alert as the daemon would, by the recording's clock, which runs faster here than the daemon's."""
        source = alert.logwarden.source
        place = self._placed.get((source.partition, source.last_offset))
        if place is None:  # the producer's delivery report of this line has not arrived yet
            return
        line = recording.lines[place]
        self._result.alerts += 1
        if self._result.first_alert_s is None:
            self._result.first_alert_s = self._elapsed()
        self._alert_times.append(line.t)
        at = round(1000 * line.t)
        finding = self._reader.read(alert.encode(), published_ms=at)
        incident = self._fold.add(replace(finding, time_ms=at, clock_ms=at))
        if incident is not None:
            self._times_of.setdefault(incident, []).append(line.t)
        for change in self._fold.advance(at):
            if change.change is Change.OPENED:
                self._opened.append(change.id)
                self._console.print(render(alert, place=f"at {_minutes(line.t)} of the recording"))

    # ---------------------------------------------------------------- judging

    def _judge(self, recording: Recording) -> None:
        """Compares the alerts with the labels, which are read here for the first time."""
        result = self._result
        result.incidents = [sorted(self._times_of[incident]) for incident in self._opened]
        result.clean_incidents = sum(incident[0] <= recording.clean_until for incident in result.incidents)
        for fault in recording.faults:
            within = [t for t in sorted(self._alert_times) if _reaches(fault, t)]
            if within:
                result.found[fault.name] = max(0.0, within[0] - fault.injected_at)
            else:
                result.missed.append(fault.name)
        result.unexplained_incidents = sum(
            incident[0] > recording.clean_until
            and not any(_reaches(fault, t) for fault in recording.faults for t in incident)
            for incident in result.incidents
        )

    # ---------------------------------------------------------------- notes

    def _introduce(self, recording: Recording) -> None:
        versions = ", ".join(f"{name} {version}" for name, version in recording.versions.items())
        self._console.rule("[bold]logwarden demo")
        self._note(f"a recording of real {recording.system} ({versions}), {_minutes(recording.lines[-1].t)} long")
        self._note(f"fault-free until {_minutes(recording.clean_until)}, then {len(recording.faults)} real faults")

    def _announce(self, event: Event) -> None:
        text = Text(f"▼ {_minutes(event.injected_at)}  injected: {event.name.replace('_', ' ')}", "bold magenta")
        self._console.print(text)

    def _summarise(self, recording: Recording) -> None:
        result = self._result
        table = Table(title="injected faults and their first alerts", title_style="bold", show_edge=False)
        for column in ("fault", "affected services", "first alert after"):
            table.add_column(column)
        for fault in recording.faults:
            delay = result.found.get(fault.name)
            verdict = (
                Text("not found", "bold red") if delay is None else Text(f"{delay:.1f} s of recorded time", "green")
            )
            table.add_row(fault.name.replace("_", " "), ", ".join(fault.services), verdict)
        self._console.print()
        self._console.print(table)
        pace = result.lines / result.seconds if result.seconds else 0.0
        joined = f"{result.joined:,} joined to these" if result.joined else "none joined"
        self._note(f"{result.lines:,} lines, {result.scored:,} scored, {joined}, {pace:,.0f} lines/s")
        self._note(
            f"{result.alerts} alerts in {len(result.incidents)} incidents: {result.clean_incidents} in the fault-free "
            f"part, {result.unexplained_incidents} later without a fault"
        )
        if result.first_alert_s is not None:
            self._note(f"first alert on the screen {result.first_alert_s:.1f} s after the start")
        self._note(
            f"found {len(result.found)} of {len(recording.faults)} faults; the daemon ended with exit code "
            f"{result.exit_code}"
        )

    def _note(self, text: str) -> None:
        self._console.print(Text(printable(text)))

    def _elapsed(self) -> float:
        return self._clock.monotonic() - self._started

    def _wait(self, condition: Any, timeout_s: float, daemon: DaemonProcess, what: str, meanwhile: Any = None) -> None:
        deadline = self._clock.monotonic() + timeout_s
        pause = meanwhile or daemon.nap
        while not condition():
            if not daemon.is_running:
                raise FatalError(f"the daemon ended while the demo waited for {what}: {daemon.last_line()}")
            if self._clock.monotonic() > deadline:
                raise FatalError(
                    f"the demo waited {timeout_s:.0f} s for {what} without success", hint="retry on a less busy machine"
                )
            pause()


def _reaches(fault: Event, t: float) -> bool:
    return fault.injected_at <= t <= fault.recovered_at + RECOVERY_TAIL_S


def _minutes(seconds: float) -> str:
    return f"{int(seconds // 60)}:{int(seconds % 60):02d}"
