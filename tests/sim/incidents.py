"""A world around the desk that folds incidents: an alerts topic, an incidents topic, faults, and members that die.

Everything follows from the seed. Alerts come in two partitions, some of them twice, from services that fail in bursts.
"""

from __future__ import annotations

import asyncio
import itertools
import random
import uuid
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import replace

import msgspec

from logwarden.daemon.errors import BrokerUnavailable
from logwarden.daemon.health import HealthState
from logwarden.daemon.incidents.desk import IncidentDesk
from logwarden.daemon.incidents.findings import FindingReader
from logwarden.daemon.incidents.incident import IncidentRecord, LineFacts, decode_incident
from logwarden.daemon.records import AlertBatch, Delivery, Message
from logwarden.daemon.web.metrics import PrometheusTelemetry
from logwarden.model.feedback import Feedback, FeedbackBook, FeedbackKind
from logwarden.model.incident_fold import IncidentFold
from logwarden.model.incident_state import FoldRules
from logwarden.model.incidents import Status
from tests.fakes import capture
from tests.oracles import LogRecord
from tests.sim.loop import now_s, run_virtual
from tests.sim.stand_ins import VirtualClock

TOPIC = "incidents"
RULES = FoldRules(again_ms=60_000, update_ms=5_000, quiet_ms=30_000, max_lines=8)
LASTS_S = 900
JUDGED_S = 400
READ_S = 1.0
"""Time until a member has read the feedback."""
SENDING_MS = 1_000
"""Longest time between a look at the feedback and the record that it makes."""


def alert_value(number: int, service: str, kind: str, at_ms: int, score: float) -> bytes:
    """Returns the fields of an alert that folding reads."""
    return msgspec.json.encode(
        {
            "schema_version": 1,
            "id": str(uuid.UUID(int=number)),
            "@timestamp": None if number % 9 == 0 else f"2026-11-23T10:{at_ms // 60_000:02}:{at_ms / 1000 % 60:06.3f}Z",
            "service": {"name": service},
            "message": f"{kind} failed",
            "log": {"level": "error"},
            "logwarden": {
                "score": score,
                "prediction": "anomaly",
                "dedup_key": f"{service}:{kind}",
                "lines": [{"surprise": 1.0}, {"surprise": 9.0}],
            },
        }
    )


BEGIN_MS = 1_795_428_000_000  # 2026-11-23T10:00:00Z, when the virtual time is 0


class IncidentWorld:
    """The topics, and one member after the other that folds."""

    def __init__(self, seed: int) -> None:
        self.rng = random.Random(seed)
        self.alerts: list[list[LogRecord]] = [[], []]
        self.records: list[IncidentRecord] = []
        """Everything that the incidents topic took."""
        self.committed: dict[int, int] = {0: 0, 1: 0}
        self.faults = 0.1
        self.entries: list[Feedback] = []
        """The feedback that people gave; what they undid has an end."""
        self.wrong_ends: list[str] = []
        self.begun_s = 0.0
        """When the member of now was born."""
        self._write_alerts()

    def _write_alerts(self) -> None:
        rng, alerts = self.rng, list[tuple[int, str, bytes]]()
        for burst in range(6):
            begin, services = rng.randrange(0, 540_000), rng.sample("abcdef", rng.randrange(1, 5))
            for place in range(rng.randrange(1, 15)):
                at, service = begin + rng.randrange(0, 20_000), rng.choice(services)
                value = alert_value(100 * burst + place, service, rng.choice("xyz"), at, rng.choice([0.5, 0.7, 0.99]))
                alerts += [(at + late, service, value) for late in [0, 2_000][: 1 + (rng.random() < 0.2)]]
        for at, service, value in sorted(alerts):
            partition = self.alerts[ord(service) % 2]
            partition.append(
                LogRecord(value, offset=len(partition), partition=ord(service) % 2, timestamp=BEGIN_MS + at)
            )

    def published(self, partition: int) -> list[LogRecord]:
        """Returns the alerts that are in a partition by now."""
        return [one for one in self.alerts[partition] if one.timestamp <= BEGIN_MS + 1000 * now_s()]

    def trouble(self, action: str) -> None:
        """Raises an error now and then."""
        if self.rng.random() < self.faults:
            raise BrokerUnavailable("sim", f"{action} failed")

    async def lives(self) -> None:
        """Lets members fold and die, and people judge, until every incident is over."""
        judging = asyncio.create_task(self._judge_forever())
        await self._fold_and_die()
        judging.cancel()

    async def _judge_forever(self) -> None:
        """Judges incidents that are open, and takes some of it back. The last ones end by silence."""
        while now_s() < JUDGED_S:
            await asyncio.sleep(self.rng.uniform(1.0, 10.0))
            newest = {one.id: one for one in self.records}
            opened = sorted(id for id, one in newest.items() if one.logwarden.status == "open")
            if opened and self.rng.random() < 0.5:
                self._expect(newest[self.rng.choice(opened)])
            elif self.entries and self.rng.random() < 0.3:
                place = self.rng.randrange(len(self.entries))
                self.entries[place] = replace(self.entries[place], until_ms=VirtualClock().now_ms())

    def _expect(self, record: IncidentRecord) -> None:
        """Judges some lines of an incident, or all."""
        lines = record.logwarden.lines
        if self.rng.random() < 0.3:
            lines = lines[: self.rng.randrange(1, 1 + len(lines))]
        now_ms = VirtualClock().now_ms()
        self.entries.append(
            Feedback(
                key=f"feedback/{len(self.entries)}",
                kind=FeedbackKind.EXPECTED,
                given_ms=now_ms,
                from_ms=now_ms,
                services=tuple({line.service for line in lines}),
                kinds=frozenset(line.dedup_key.rpartition(":")[2] for line in lines),
                by="ann",
            )
        )

    def feedback(self) -> FeedbackBook:
        """Returns what a member has read: nothing in its first second."""
        return FeedbackBook(self.entries if now_s() > self.begun_s + READ_S else ())

    def publish(self, record: IncidentRecord) -> None:
        """Takes a record, and notes an end that feedback should have made, or should not."""
        self.records.append(record)
        facts = record.logwarden
        if facts.change != "resolved":
            return
        now_ms, knows = VirtualClock().now_ms(), now_s() > self.begun_s + READ_S + 1.0
        valid = [one for one in self.entries if one.until_ms is None or one.until_ms > now_ms - SENDING_MS]
        old = [one for one in self.entries if one.given_ms < now_ms - SENDING_MS and one.until_ms is None]
        is_whole = facts.more_lines == 0  # nobody can judge a line that is only counted
        if facts.resolution is None and knows and is_whole and self._cover(old, facts.lines):
            self.wrong_ends.append("feedback ends an incident")
        if facts.resolution is not None and not (is_whole and self._cover(valid, facts.lines)):
            self.wrong_ends.append("only feedback on all its lines ends an incident")

    @staticmethod
    def _cover(entries: Sequence[Feedback], lines: Sequence[LineFacts]) -> bool:
        return all(
            any(line.service in one.services and line.dedup_key.rpartition(":")[2] in one.kinds for one in entries)
            for line in lines
        )

    async def _fold_and_die(self) -> None:
        while now_s() < LASTS_S:
            self.begun_s = now_s()
            self.faults = 0.1 if now_s() < LASTS_S - 200 else 0.0
            desk = IncidentDesk(
                Reader(self),
                Sink(self),
                VirtualClock(),
                PrometheusTelemetry(),
                HealthState(),
                topic=TOPIC,
                rules=RULES,
                findings=FindingReader(),
                feedback=self.feedback,
            )
            task = asyncio.create_task(desk.run())
            life_s = 200.0 if now_s() > LASTS_S - 200 else self.rng.choice([3.0, 30.0, 120.0])
            await asyncio.wait([task], timeout=life_s)
            task.cancel()
            await asyncio.wait([task])

    def undisturbed(self) -> dict[str, tuple[int, tuple[str, ...]]]:
        """Returns the alerts and services of each incident of one member that nothing disturbs."""
        fold, found = IncidentFold(RULES), dict[str, tuple[int, tuple[str, ...]]]()
        reader = FindingReader()
        for record in sorted((one for part in self.alerts for one in part), key=lambda one: one.timestamp):
            fold.add(reader.read(record.value or b"", published_ms=record.timestamp))
            for one in fold.advance(record.timestamp):
                found[one.id] = (one.findings, tuple(service.name for service in one.services))
        for one in fold.advance(BEGIN_MS + 10**9):
            found[one.id] = (one.findings, tuple(service.name for service in one.services))
        return found

    def violations(self) -> list[str]:
        """Returns the names of the invariants that the topic's records break."""
        newest = {one.id: one for one in self.records}
        opened = Counter(one.id for one in self.records if one.logwarden.change == "opened")
        found = {
            one.id: (one.logwarden.alerts, tuple(service.name for service in one.logwarden.services))
            for one in newest.values()
        }
        revisions = all(
            [one.logwarden.revision for one in self.records if one.id == each]
            == list(range(1, 1 + sum(one.id == each for one in self.records)))
            for each in newest
        )
        checks = {
            "an incident opens exactly once": set(opened.values()) <= {1} and opened.keys() == newest.keys(),
            "revisions count up": revisions,
            "each alert is in exactly one incident": found == self.undisturbed(),
            "every incident ends": all(one.logwarden.status != Status.OPEN for one in newest.values()),
            "only an alert opens an incident again": all(self._opens_by_alerts(id) for id in newest),
            "a record has the alerts of the one before": all(self._grows(id) for id in newest),
        }
        return [*(name for name, holds in checks.items() if not holds), *self.wrong_ends]

    def _grows(self, id: str) -> bool:
        counts = [one.logwarden.alerts for one in self.records if one.id == id]
        return counts == sorted(counts)

    def _opens_by_alerts(self, id: str) -> bool:
        facts = [one.logwarden for one in self.records if one.id == id]
        pairs = itertools.pairwise(facts)
        return all(
            later.alerts > one.alerts for one, later in pairs if (one.status, later.status) == ("resolved", "open")
        )


class Reader:
    """The alerts topic as a member reads it. Each new assignment is a term."""

    def __init__(self, world: IncidentWorld) -> None:
        self._world = world
        self._term = 0
        self._positions: dict[int, int] = {}

    async def start(self) -> None:
        await asyncio.sleep(0.5)
        self._world.trouble("start")
        self._assign()

    def _assign(self) -> None:
        self._term += 1
        self._positions = dict(self._world.committed)
        self._ends = {partition: len(self._world.published(partition)) for partition in self._positions}

    async def fetch(self, partitions: Collection[int] | None = None) -> AlertBatch:
        world = self._world
        await asyncio.sleep(world.rng.uniform(0.05, 0.5))
        if world.rng.random() < world.faults / 20:
            self._assign()
            return AlertBatch(term=0)
        records = []
        for partition in sorted(partitions or self._positions):
            begin = self._positions[partition]
            found = world.published(partition)[begin : begin + world.rng.randrange(1, 12)]
            self._positions[partition] += len(found)
            records += found
        return AlertBatch(term=self._term, records=records, positions=dict(self._positions), ends=self._ends)

    async def published(self) -> Sequence[tuple[bytes, bytes | None]]:
        self._world.trouble("reading")
        return [(one.id.encode(), one.encode()) for one in self._world.records]

    async def commit(self, positions: Mapping[int, int]) -> None:
        await asyncio.sleep(0.1)
        self._world.trouble("commit")
        self._world.committed.update(positions)

    async def stop(self) -> None: ...


class Sink:
    """The incidents topic. A failure takes some records of a batch."""

    def __init__(self, world: IncidentWorld) -> None:
        self._world = world

    async def start(self) -> None: ...

    async def send(self, topic: str, messages: Sequence[Message]) -> Sequence[Delivery]:
        await asyncio.sleep(0.05)
        outcomes = []
        for message in messages:
            if self._world.rng.random() < self._world.faults / 5:
                outcomes.append(Delivery.FAILED)
                continue
            self._world.publish(decode_incident(message.value or b""))
            outcomes.append(Delivery.ACKNOWLEDGED)
        return outcomes

    async def stop(self) -> None: ...


def violations(seeds: Sequence[int]) -> Iterator[tuple[int, list[str]]]:
    """Yields (seed, the invariants that break in its world)."""
    for seed in seeds:
        world = IncidentWorld(seed)
        with capture():
            run_virtual(world.lives())
        if broken := world.violations():
            yield seed, broken
