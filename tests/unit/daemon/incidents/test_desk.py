"""The task that folds alerts: what it publishes, what it does about failures, and who folds."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Iterable, Mapping, Sequence

from logwarden.daemon.errors import BrokerUnavailable, TopicUnusable
from logwarden.daemon.health import HealthState
from logwarden.daemon.incidents.desk import IncidentDesk
from logwarden.daemon.incidents.findings import FindingReader
from logwarden.daemon.incidents.incident import IncidentRecord, ResolutionFacts, decode_incident
from logwarden.daemon.records import AlertBatch, Delivery, Message
from logwarden.daemon.web.metrics import PrometheusTelemetry
from logwarden.model.feedback import NO_FEEDBACK, Feedback, FeedbackBook, FeedbackKind
from logwarden.model.incident_state import FoldRules
from tests.fakes import FakeSink, capture, events, metric, virtually
from tests.oracles import LogRecord
from tests.sim.incidents import BEGIN_MS, alert_value
from tests.sim.stand_ins import VirtualClock


class Reader:
    """Returns its batches one after the other, then nothing new."""

    def __init__(self, *batches: AlertBatch, failures: Sequence[Exception] = ()) -> None:
        self.batches = list(batches)
        self.failures = list(failures)
        self.entries: list[tuple[bytes, bytes | None]] = []
        self.commits: list[Mapping[int, int]] = []
        self.last = AlertBatch(term=0)

    async def start(self) -> None:
        if self.failures:
            raise self.failures.pop(0)

    async def fetch(self, partitions: Collection[int] | None = None) -> AlertBatch:
        await asyncio.sleep(0.1)
        if self.batches:
            self.last = self.batches.pop(0)
            return self.last
        return AlertBatch(term=self.last.term, positions=self.last.positions, ends=self.last.ends)

    async def published(self) -> Sequence[tuple[bytes, bytes | None]]:
        return self.entries

    async def commit(self, positions: Mapping[int, int]) -> None:
        self.commits.append(positions)
        if len(self.commits) == 1:
            raise BrokerUnavailable("here", "the first commit is lost")

    async def stop(self) -> None: ...


def batch(*values: bytes, term: int = 1) -> AlertBatch:
    records = [LogRecord(value, offset=place, timestamp=BEGIN_MS + 1_000 * place) for place, value in enumerate(values)]
    return AlertBatch(term=term, records=records, positions={0: len(records)}, ends={0: len(records)})


class Watcher:
    """Collects what it learns."""

    def __init__(self) -> None:
        self.remembered: list[IncidentRecord] = []
        self.watched: list[IncidentRecord] = []

    def remember(self, records: Iterable[IncidentRecord]) -> None:
        self.remembered = list(records)

    async def watch(self, record: IncidentRecord) -> None:
        self.watched.append(record)


class Office:
    """A desk with a sink, its facts, and what it published."""

    def __init__(self, reader: Reader, watcher: Watcher | None = None) -> None:
        self.book = NO_FEEDBACK
        self.sink, self.telemetry = FakeSink(), PrometheusTelemetry()
        self.health = HealthState()
        self.desk = IncidentDesk(
            reader,
            self.sink,
            VirtualClock(),
            self.telemetry,
            self.health,
            topic="incidents",
            rules=FoldRules(),
            findings=FindingReader(),
            watcher=watcher,
            feedback=lambda: self.book,
        )

    async def for_s(self, seconds: float) -> None:
        task = asyncio.create_task(self.desk.run())
        await asyncio.wait([task], timeout=seconds)
        task.cancel()
        await asyncio.wait([task])

    def changes(self) -> list[tuple[str, int]]:
        records = [decode_incident(message.value or b"") for sent in self.sink.sent for message in sent]
        return [(record.logwarden.change, record.logwarden.alerts) for record in records]


ALERTS = [alert_value(number, "web", "disk", 1_000 * number, 0.9) for number in range(1, 4)]


@virtually
async def test_alerts_become_an_incident_that_ends_with_the_silence() -> None:
    """Three alerts are an incident; a minute without another one resolves it, although no alert moves the clock."""
    reader = Reader(batch(*ALERTS, b"no alert", ALERTS[0]))
    office = Office(reader)
    await office.for_s(100)
    assert [change for change, _ in office.changes()] == ["opened", "updated", "resolved"]
    assert office.changes()[-1] == ("resolved", 3)
    outcomes = {name: metric(office.telemetry, "folded_alerts_total", outcome=name) for name in ("folded", "duplicate")}
    assert outcomes == {"folded": 3, "duplicate": 1}
    assert metric(office.telemetry, "folded_alerts_total", outcome="unreadable") == 1
    assert office.health.incidents == "folding"
    assert reader.commits[:2] == [{0: 0}] * 2, "a replay needs the first alert, and a lost commit is made again"


EXPECTED = Feedback(
    key="incident/one",
    kind=FeedbackKind.EXPECTED,
    given_ms=0,
    services=("web",),
    kinds=frozenset({"disk"}),
    reason="every night",
    by="ann",
)


@virtually
async def test_feedback_ends_an_incident_and_taking_it_back_opens_nothing() -> None:
    """An incident that people expect is over at the next look, with who said so. After a restart it is still over."""
    office = Office(Reader(batch(*ALERTS)))
    working = asyncio.create_task(office.for_s(40))
    await asyncio.sleep(3)
    assert [change for change, _ in office.changes()] == ["opened"]
    office.book = FeedbackBook([EXPECTED])
    await asyncio.sleep(3)
    assert office.changes()[1:] == [("resolved", 3)]
    record = decode_incident(office.sink.sent[-1][-1].value or b"")
    assert record.logwarden.resolution == ResolutionFacts(
        kind="expected", feedback="incident/one", by="ann", reason="every night"
    )
    office.book = NO_FEEDBACK
    await working
    assert len(office.changes()) == 2
    assert metric(office.telemetry, "incidents_open", severity=record.logwarden.severity, service_class="other") == 0
    reader = Reader(batch(*ALERTS))
    reader.entries = [(b"", message.value) for sent in office.sink.sent for message in sent]
    successor = Office(reader)
    await successor.for_s(100)
    assert successor.changes() == []


@virtually
async def test_a_failure_is_shown_and_tried_again() -> None:
    """While the topic is missing, readiness and the metric show it, the log has one line, and nothing else ends."""
    missing = TopicUnusable("incidents", "it does not exist", hint="create it with `kafka-topics.sh --create`")
    office = Office(Reader(batch(*ALERTS), failures=[missing, missing, RuntimeError("a bug")]))
    with capture() as caught:
        await office.for_s(2)
        assert "does not exist. Create it with `kafka-topics.sh --create`." in office.health.incidents
        assert metric(office.telemetry, "incidents_failing") == 1
        await office.for_s(30)
    assert len(events(caught, "incidents_bug")) == 1
    reasons = [event["reason"].split(".")[0] for event in events(caught, "incidents_not_folded")]
    assert reasons[0] == "The topic 'incidents' cannot be written to: it does not exist"
    assert len(reasons) == 2
    assert office.changes()[0][0] == "opened"
    assert (office.health.incidents, metric(office.telemetry, "incidents_failing")) == ("folding", 0)


@virtually
async def test_a_standby_folds_nothing_and_says_so() -> None:
    """A member without the partitions of the alerts topic waits, and is not unready for that."""
    office = Office(Reader())
    await office.for_s(5)
    assert office.health.incidents == "standby"
    assert office.sink.sent == []


@virtually
async def test_a_record_that_is_too_large_is_shortened() -> None:
    """A topic that takes short records only gets the line with the most evidence."""
    many = [alert_value(number, "web", "long " * 20 + str(number), 100 * number, 0.9) for number in range(1, 30)]
    office = Office(Reader(batch(*many)))
    office.sink.deliver = lambda message: (
        Delivery.TOO_LARGE if len(message.value or b"") > 2_000 else Delivery.ACKNOWLEDGED
    )
    await office.for_s(50)
    last: Message = office.sink.sent[-1][0]
    facts = decode_incident(last.value or b"").logwarden
    assert (len(facts.lines), facts.more_lines) == (1, 28)
    assert (
        metric(office.telemetry, "incident_records_total", change="opened", severity="error", service_class="other")
        == 1
    )


@virtually
async def test_an_open_incident_without_alerts_is_ended() -> None:
    """An incident whose alerts retention has removed would stay open for good."""
    first = Office(Reader(batch(*ALERTS)))
    await first.for_s(5)
    reader = Reader(AlertBatch(term=1, positions={0: 9}, ends={0: 9}))
    reader.entries = [(message.key or b"", message.value) for sent in first.sink.sent for message in sent]
    reader.entries += [(b"other", b"no incident"), (b"deleted", None)]
    second = Office(reader)
    await second.for_s(5)
    assert [change for change, _ in second.changes()] == ["expired"]


@virtually
async def test_a_watcher_learns_of_old_and_new_incidents() -> None:
    """What looks at incidents over weeks knows those of the topic, the oldest first, and each that is published."""
    first = Office(Reader(batch(alert_value(1, "web", "disk", 0, 0.9), alert_value(2, "db", "lost", 200_000, 0.9))))
    await first.for_s(600)
    before = [decode_incident(message.value or b"") for sent in first.sink.sent for message in sent]
    assert len({one.id for one in before}) == 2
    watcher, reader = Watcher(), Reader(batch(alert_value(3, "shop", "late", 900_000, 0.9)))
    reader.entries = [(one.id.encode(), one.encode()) for one in reversed(before)]
    second = Office(reader, watcher)
    await second.for_s(5)
    assert [one.service.name for one in watcher.remembered] == ["web", "db"]
    published = [decode_incident(message.value or b"") for sent in second.sink.sent for message in sent]
    assert [one.id for one in watcher.watched] == [one.id for one in published if one.logwarden.change == "opened"]
    assert watcher.watched
