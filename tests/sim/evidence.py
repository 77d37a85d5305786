"""The facts of a world's run: lines produced and scored, alerts and dead letters published, commits accepted.

Owns the facts and the breaches found so far. The invariants about them are in `tests.sim.invariants`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec

from logwarden.daemon.records import Committed, Message, Partition
from tests.sim.broker import SimBroker
from tests.sim.loop import now_s
from tests.sim.topics import ABORTED, Era, SimRecord

ALERTS, DEAD = "alerts", "dead-letters"
PLAIN, ANOMALOUS, BLANK, POISON = "plain", "anomalous", "blank", "poison"
REST = "rest"
"""A line that continues an event."""
NOISY = "noisy"
"""The service that logs nothing twice."""

Place = tuple[int, int]
"""A line of a partition: the offset of its record, and its position within the record."""


@dataclass(frozen=True, slots=True)
class Produced:
    """A record as the simulation produced it."""

    offset: int
    service: str
    kind: str
    texts: tuple[bytes, ...]
    """Its lines; none if the record is blank or unreadable."""
    at_s: float = 0.0
    first: int | None = None
    """Of a line that continues an event: the offset of the event's first line."""

    @property
    def lines(self) -> dict[Place, bytes]:
        """The lines by their places; none if its transaction was aborted."""
        if self.kind == ABORTED:
            return {}
        return {(self.offset, index): text for index, text in enumerate(self.texts)}

    @property
    def anomalous(self) -> set[Place]:
        """The lines that need an alert: the first and the last one of an anomalous record."""
        return {(self.offset, 0), (self.offset, len(self.texts) - 1)} if self.kind == ANOMALOUS else set()


@dataclass(frozen=True, slots=True)
class SeenAlert:
    """An alert as a consumer reads it."""

    id: str
    partition: Partition
    era: Era
    service: str
    offset: int
    index: int
    lines: tuple[Place, ...]
    texts: tuple[str, ...]
    shortened: bool
    """It was too large for its topic, so that lines or parts of them are left out."""
    mark: str = ""
    """The maintenance in which its line was logged."""


@dataclass(slots=True)
class Breach:
    """A broken invariant."""

    invariant: str
    detail: str
    at_s: float

    def __str__(self) -> str:
        return f"{self.invariant} at {self.at_s:.3f} s: {self.detail}"


@dataclass(slots=True)
class Evidence:
    """Facts, in the order of their events."""

    tell: Callable[[str], None] | None = None
    """Receives each line of the trace."""
    step: int = 1
    """The window step: an alert covers at most this number of lines, the last ones of its window."""
    partitions: Sequence[Partition] = ()
    """The input partitions; the text of a line begins with the number of its own."""
    produced: dict[Era, list[Produced]] = field(default_factory=dict)
    """What each offset contains, for a reader or not."""
    before: dict[Era, int] = field(default_factory=dict)
    """The end of each partition when the first member started."""
    leaves_out: bool = False
    """The time for what is learned of these lines is short."""
    first: dict[Era, int] = field(default_factory=dict)
    """The first offset that a group committed which began at the end. Lines below it are never judged, or were judged
    by a member that failed before that commit."""
    scored: dict[tuple[Era, Place], list[str]] = field(default_factory=dict)
    """The members that scored each line as new, one entry per time."""
    scored_at: dict[tuple[Era, Place], float] = field(default_factory=dict)
    """The time of each line's first score."""
    events: dict[tuple[Era, Place], list[bytes]] = field(default_factory=dict)
    """What was scored at a place: the texts, one entry per time."""
    entered: set[tuple[Era, Place]] = field(default_factory=set)
    """Lines that were lines of some member's windows, also those of its context, which are not scored."""
    breaches: list[Breach] = field(default_factory=list)
    trace: list[str] = field(default_factory=list)
    commits: list[tuple[str, Mapping[Partition, Committed]]] = field(default_factory=list)
    alerts: list[SeenAlert] = field(default_factory=list)
    alerted: set[tuple[Era, Place]] = field(default_factory=set)
    """Every line that an alert covers."""
    buried: set[tuple[Era, int]] = field(default_factory=set)
    allowed: dict[tuple[Era, Place], set[str]] = field(default_factory=dict)
    """What may become of an anomalous line, by the feedback of the members that scored it: see `tests.sim.contract`."""
    anomalous: dict[tuple[Era, Place], Any] = field(default_factory=dict)
    """The anomalous lines that were judged beside feedback."""
    given: dict[str, int] = field(default_factory=dict)
    """How often each key of feedback was acknowledged to a person."""
    probes: dict[str, Callable[[], str | None]] = field(default_factory=dict)
    """By member: a function that returns the exceeded bound, or None."""
    _read: dict[str, int] = field(default_factory=dict)

    def note(self, event: str, who: str, **facts: object) -> None:
        line = f"{_now_s():10.3f}  {who:<10} {event} " + " ".join(f"{k}={v}" for k, v in facts.items())
        self.trace.append(line)
        if self.tell:
            self.tell(line)

    def breach(self, invariant: str, detail: str) -> None:
        breach = Breach(invariant, detail, _now_s())
        self.breaches.append(breach)
        self.note("BREACH", "world", of=breach)

    def score(self, name: str, text: bytes, place: Place) -> None:
        """Notes that a member scored a line as new."""
        line = (era_of(self.partitions, text), place)
        self.scored.setdefault(line, []).append(name)
        self.scored_at.setdefault(line, now_s())
        self.events.setdefault(line, []).append(text)

    def enter(self, text: bytes, place: Place) -> None:
        """Notes that a line, or an event that begins with it, entered the window of its service."""
        self.entered.add((era_of(self.partitions, text), place))

    def times_scored(self, era: Era, record: Produced, place: Place) -> int:
        """Returns how often a line was scored, alone or as a part of the event that an earlier line began."""
        times = len(self.scored.get((era, place), []))
        if record.first is not None:
            before = range(record.first, record.offset)  # the rest of an event that was cut begins within it
            whole = (text for offset in before for text in self.events.get((era, (offset, 0)), ()))
            times += sum(record.texts[0] in text for text in whole)
        return times

    def look(self, name: str) -> None:
        """Checks the bounds of a member."""
        beyond = self.probes[name]() if name in self.probes else None
        if beyond:
            self.breach("bounded", f"{name}: {beyond}")

    def committing(self, name: str, positions: Mapping[Partition, Committed]) -> None:
        self.commits.append((name, dict(positions)))
        self.note("commit", name, **{f"p{p.partition}": c.offset for p, c in positions.items()})

    def take_outputs(self, broker: SimBroker) -> Sequence[SeenAlert]:
        """Reads the alerts and dead letters published since the last call. Returns the alerts."""
        for record in self._news(broker, DEAD):
            self._bury(record.headers, record.value)
        fresh = [self._seen(msgspec.json.decode(record.value or b"")) for record in self._news(broker, ALERTS)]
        for alert in fresh:
            self.alerted.update((alert.era, place) for place in alert.lines[-self.step :])
        self.alerts.extend(fresh)
        return fresh

    def refused(self, message: Message) -> None:
        """Notes a message that its topic will never take. Nobody can have the last one: that of a dead letter."""
        if message.topic == DEAD:
            self._bury(message.headers, message.value)

    def _bury(self, raw_headers: Sequence[tuple[str, bytes]], value: bytes | None) -> None:
        headers = dict(raw_headers)
        if headers["x-error-class"] == b"UndeliverableAlert":
            alert = self._seen(msgspec.json.decode(value or b""))
            self.alerted.update((alert.era, place) for place in alert.lines[-self.step :])
            return
        topic, partition = headers["x-original-topic"].decode(), int(headers["x-original-partition"])
        self.buried.add((Era(topic, partition, int(headers["era"])), int(headers["x-original-offset"])))

    def _news(self, broker: SimBroker, topic: str) -> Sequence[SimRecord]:
        records = broker.output(topic).records
        start, self._read[topic] = self._read.get(topic, 0), len(records)
        return records[start:]

    def _seen(self, alert: dict[str, Any]) -> SeenAlert:
        source = alert["logwarden"]["source"]
        lines = alert["logwarden"]["lines"]
        return SeenAlert(
            id=alert["id"],
            partition=Partition(source["topic"], source["partition"]),
            era=era_of(self.partitions, lines[-1]["text"].encode()),
            service=alert["service"]["name"],
            offset=source["last_offset"],
            index=source["index"],
            lines=tuple((line["offset"], line["index"]) for line in lines),
            texts=tuple(line["text"] for line in lines),
            shortened=alert["logwarden"].get("shortened", False),
            mark=alert["logwarden"].get("planned", {}).get("id", ""),
        )


def era_of(partitions: Sequence[Partition], text: bytes) -> Era:
    """Returns where a line was produced, from the begin of its text: `p3.1` is the second incarnation of the fourth."""
    number, incarnation = text[1 : text.index(b" ")].split(b".")
    return Era(*partitions[int(number)], int(incarnation))


def _now_s() -> float:
    try:
        return asyncio.get_running_loop().time()
    except RuntimeError:  # the world has ended; the last checks run after it
        return float("inf")
