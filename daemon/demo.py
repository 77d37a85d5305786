"""`logwarden demo`: the main job on one machine, nothing faked but the broker's disk.

An embedded broker (librdkafka's mock cluster, in this process, spoken to over TCP), the real daemon in a process of its
own, and a recording of real PostgreSQL under real faults played into the input topic. Alerts are shown as they come; at
the end, what was found is held against what was injected. The daemon sees log lines only, never the labels.

Stands outside the daemon and uses it as an operator would: environment, topics, HTTP port, signals. It is the one place
that knows both storeys, because it plays a recording of the fault lab.
"""

from __future__ import annotations

import contextlib
import json
import re
import signal
import socket
import subprocess
import sys
import tempfile
import urllib.request
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from logwarden.daemon.clock import SystemClock
from logwarden.daemon.config import own_environment
from logwarden.daemon.errors import EXIT_DRAINED, EXIT_FATAL, ConfigurationError, FatalError
from logwarden.daemon.rendering import printable, render
from logwarden.training.faultlab import recording as recordings
from logwarden.training.faultlab.recording import Event, Recording
from rich.console import Console
from rich.table import Table
from rich.text import Text

RECORDING = Path(recordings.__file__).parent / "recordings" / "demo"
LOGS, ALERTS, DEAD = "demo.logs", "demo.alerts", "demo.dead-letters"

CLEAN_PACE, FAULT_PACE = 120.0, 20.0
"""How many recorded seconds pass in one: the quiet part in a hurry, the faults so that one can follow."""
INCIDENT_GAP_S = 20.0
"""Recorded seconds without an alert after which the next one counts as another incident."""
FAULT_TAIL_S = 15.0
"""Recorded seconds after recovery in which an alert is still counted to the fault: clients notice late."""
_FAST_CHUNK = 512  # lines between looks at the alerts when nothing else sets the pace
_START_TIMEOUT_S = 60.0
_SETTLE_TIMEOUT_S = 120.0


@dataclass(slots=True)
class DemoResult:
    """What a demo showed. Times in seconds; `recorded` times are on the recording's own clock."""

    lines: int = 0
    scored: int = 0
    windows: int = 0
    alerts: int = 0
    seconds: float = 0.0
    first_alert_s: float | None = None
    """From the start of the command to the first alert on the screen."""
    incidents: list[list[float]] = field(default_factory=list)
    """Recorded times of the alerts of each incident."""
    clean_incidents: int = 0
    unexplained_incidents: int = 0
    """After the clean part, but in the reach of no fault."""
    found: dict[str, float] = field(default_factory=dict)
    """For each fault found, recorded seconds from its injection to its first alert."""
    missed: list[str] = field(default_factory=list)
    exit_code: int = -1

    @property
    def whole(self) -> bool:
        """Nothing was lost on the way, and the daemon drained. What was found is for the summary to say."""
        return self.scored == self.lines and self.exit_code == 0


def run_demo(fast: bool, console: Console | None = None) -> int:
    """Plays the recording; returns the exit code: 0 if every line was scored and the daemon drained."""
    result = Demo(console or Console(), fast=fast).play(recordings.load_recording(RECORDING))
    return EXIT_DRAINED if result.whole else EXIT_FATAL


class Demo:
    """One showing."""

    def __init__(self, console: Console, *, fast: bool) -> None:
        self._console = console
        self._fast = fast
        self._clock = SystemClock()
        self._started = self._clock.monotonic()
        self._placed: dict[tuple[int, int], int] = {}  # (partition, offset) → place in the recording
        self._alert_times: list[float] = []
        self._result = DemoResult()

    def play(self, recording: Recording) -> DemoResult:
        """Shows the whole recording."""
        kafka = _require_confluent()
        self._introduce(recording)
        producer = kafka.Producer({"test.mock.num.brokers": 1, "bootstrap.servers": "", "linger.ms": 5})
        bootstrap = _address(producer)
        consumer = kafka.Consumer({"bootstrap.servers": bootstrap, "group.id": "demo", "auto.offset.reset": "earliest"})
        for topic in (LOGS, ALERTS):
            producer.list_topics(topic, 10)  # asking for a topic makes it, in this broker
        consumer.subscribe([ALERTS])
        with tempfile.TemporaryDirectory() as directory, _Daemon(bootstrap, Path(directory) / "daemon.log") as daemon:
            self._wait(daemon.ready, _START_TIMEOUT_S, daemon, "the daemon to be ready")
            self._say(f"daemon ready after {self._elapsed():.1f} s; playing {len(recording.lines):,} recorded lines")
            played_from = self._clock.monotonic()
            self._stream(recording, producer, consumer)
            self._settle(recording, daemon, consumer)
            self._result.seconds = self._clock.monotonic() - played_from
            self._result.scored = int(daemon.metric("logwarden_scored_lines_total"))
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

    def _settle(self, recording: Recording, daemon: _Daemon, consumer: Any) -> None:
        """Waits until the daemon has scored all and the alerts stop coming."""
        total = len(recording.lines)
        self._wait(
            lambda: daemon.metric("logwarden_scored_lines_total") >= total,
            _SETTLE_TIMEOUT_S,
            daemon,
            "every line scored",
            meanwhile=lambda: self._show(recording, consumer, until=self._clock.monotonic() + 0.1),
        )
        published = daemon.metric("logwarden_anomalies_total")
        self._wait(
            lambda: self._result.alerts >= published,
            10.0,
            daemon,
            "every alert",
            meanwhile=lambda: self._show(recording, consumer, until=self._clock.monotonic() + 0.1),
        )

    def _remember(self, place: int) -> Any:
        def delivered(error: Any, message: Any) -> None:
            if error is not None:
                raise FatalError(f"the embedded broker did not take a line: {error}")
            self._placed[message.partition(), message.offset()] = place

        return delivered

    def _show(self, recording: Recording, consumer: Any, *, until: float) -> None:
        """Shows alerts as they come; the first of an incident whole, the rest as a count in the summary."""
        while True:
            message = consumer.poll(max(0.0, until - self._clock.monotonic()))
            if message is None or message.error():
                if self._clock.monotonic() >= until:
                    return
                continue
            self._alert(recording, json.loads(message.value()))

    def _alert(self, recording: Recording, alert: dict[str, Any]) -> None:
        source = alert["logwarden"]["source"]
        place = self._placed.get((source["partition"], source["last_offset"]))
        if place is None:  # its delivery report is still on the way
            return
        line = recording.lines[place]
        self._result.alerts += 1
        if self._result.first_alert_s is None:
            self._result.first_alert_s = self._elapsed()
        new = not self._alert_times or line.t - max(self._alert_times) > INCIDENT_GAP_S
        self._alert_times.append(line.t)
        if new:
            self._console.print(render(alert, place=f"at {_minutes(line.t)} of the recording"))

    # ---------------------------------------------------------------- judging

    def _judge(self, recording: Recording) -> None:
        """Holds the alerts against the labels. The labels are read here for the first time."""
        result = self._result
        for t in sorted(self._alert_times):
            if result.incidents and t - result.incidents[-1][-1] <= INCIDENT_GAP_S:
                result.incidents[-1].append(t)
            else:
                result.incidents.append([t])
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

    # ---------------------------------------------------------------- talking

    def _introduce(self, recording: Recording) -> None:
        versions = ", ".join(f"{name} {version}" for name, version in recording.versions.items())
        self._console.rule("[bold]logwarden demo")
        self._say(f"a recording of real {recording.system} ({versions}), {_minutes(recording.lines[-1].t)} long")
        self._say(
            f"clean until {_minutes(recording.clean_until)}, then {len(recording.faults)} faults injected for real"
        )

    def _announce(self, event: Event) -> None:
        text = Text(f"▼ {_minutes(event.injected_at)}  injected: {event.name.replace('_', ' ')}", "bold magenta")
        self._console.print(text)

    def _summarise(self, recording: Recording) -> None:
        result = self._result
        table = Table(title="what was injected, and what was found", title_style="bold", show_edge=False)
        for column in ("fault", "services it can reach", "first alert after"):
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
        self._say(f"{result.lines:,} lines, {result.scored:,} scored, {result.windows:,} windows, {pace:,.0f} lines/s")
        self._say(
            f"{result.alerts} alerts in {len(result.incidents)} incidents: {result.clean_incidents} in the clean part, "
            f"{result.unexplained_incidents} elsewhere without a fault"
        )
        if result.first_alert_s is not None:
            self._say(f"first alert on the screen {result.first_alert_s:.1f} s after the start")
        self._say(
            f"found {len(result.found)} of {len(recording.faults)} faults; the daemon drained, exit {result.exit_code}"
        )

    def _say(self, text: str) -> None:
        self._console.print(Text(printable(text)))

    def _elapsed(self) -> float:
        return self._clock.monotonic() - self._started

    def _wait(self, holds: Any, timeout_s: float, daemon: _Daemon, what: str, meanwhile: Any = None) -> None:
        deadline = self._clock.monotonic() + timeout_s
        pause = meanwhile or daemon.nap
        while not holds():
            if not daemon.is_running:
                raise FatalError(f"the daemon ended while the demo waited for {what}: {daemon.last_words()}")
            if self._clock.monotonic() > deadline:
                raise FatalError(f"the demo waited {timeout_s:.0f} s in vain for {what}")
            pause()


class _Daemon:
    """`logwarden run` in a process of its own, pointed at the embedded broker."""

    def __init__(self, bootstrap: str, log_path: Path) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self._port = probe.getsockname()[1]
        self._log_path = log_path
        self._variables = {
            "LOGWARDEN_KAFKA__BOOTSTRAP_SERVERS": bootstrap,
            "LOGWARDEN_KAFKA__INPUT_TOPICS": LOGS,
            "LOGWARDEN_KAFKA__ALERTS_TOPIC": ALERTS,
            "LOGWARDEN_KAFKA__DEAD_LETTER_TOPIC": DEAD,
            "LOGWARDEN_HTTP__HOST": "127.0.0.1",
            "LOGWARDEN_HTTP__PORT": str(self._port),
        }

    def __enter__(self) -> _Daemon:
        with self._log_path.open("wb") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "logwarden", "run"],
                env=own_environment() | self._variables,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        return self

    def __exit__(self, *_: object) -> None:
        if self.is_running:
            self._process.kill()
        self._process.wait()

    @property
    def is_running(self) -> bool:
        return self._process.poll() is None

    def ready(self) -> bool:
        return self._get("/readyz") is not None

    def metric(self, name: str) -> float:
        """A counter's value; 0 while the daemon does not answer."""
        text = self._get("/metrics")
        if text is None:
            return 0.0
        found = re.findall(rf"^{name}(?:{{[^}}]*}})? (\S+)$", text, re.MULTILINE)
        assert found, f"the daemon has a metric {name}"
        return sum(map(float, found))

    def nap(self) -> None:
        """A short wait that ends early if the daemon does."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(0.1)

    def stop(self) -> int:
        """SIGTERM, as an orchestrator would; the daemon drains."""
        self._process.send_signal(signal.SIGTERM)
        return self._process.wait(45)

    def last_words(self) -> str:
        lines = self._log_path.read_text(errors="replace").strip().splitlines()
        return lines[-1] if lines else "it said nothing"

    def _get(self, path: str) -> str | None:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self._port}{path}", timeout=2) as answer:
                return str(answer.read().decode())
        except OSError:
            return None


def _require_confluent() -> Any:
    try:
        import confluent_kafka
    except ImportError:
        raise ConfigurationError(
            "the demo's embedded broker is not installed", hint="pip install 'logwarden[demo]', or run `make demo`"
        ) from None
    return confluent_kafka


def _address(producer: Any) -> str:
    brokers: Sequence[Any] = list(producer.list_topics(timeout=10).brokers.values())
    return ",".join(f"{broker.host}:{broker.port}" for broker in brokers)


def _reaches(fault: Event, t: float) -> bool:
    return fault.injected_at <= t <= fault.recovered_at + FAULT_TAIL_S


def _minutes(seconds: float) -> str:
    return f"{int(seconds // 60)}:{int(seconds % 60):02d}"
