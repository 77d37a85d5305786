"""Schemas are at hand before their records are decoded; without its schema a partition waits, and only it."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import numpy as np
import pytest

from logwarden.daemon.decoding import schemas as decoding_schemas
from logwarden.daemon.errors import RegistryUnavailable, SchemaRefused
from logwarden.daemon.health import HealthState
from logwarden.daemon.pipeline import schemas
from logwarden.daemon.pipeline.in_flight import InFlight
from logwarden.daemon.pipeline.intake import Intake
from logwarden.daemon.pipeline.partitions import Assignment, Partitions
from logwarden.daemon.pipeline.phase import Phase
from logwarden.daemon.pipeline.schemas import SchemaShelf
from logwarden.daemon.readiness import reasons
from logwarden.daemon.records import Fetched, Partition, SchemaText
from logwarden.daemon.watchdog import Held, StuckJudge
from tests.fakes import LOGS, MAX_LINES, World, capture, events, metric, virtually
from tests.oracles import LogRecord, default_decoder, profile_of
from tests.schemas import EVENT, LOG, avro, avro_text, framed

AWAY = RegistryUnavailable("the schema registry http://r cannot be reached: refused", hint="check the URL")


class FakeRegistry:
    """Answers with `answers`, in order for each number; the last one stays."""

    def __init__(self, **answers: Sequence[SchemaText | Exception]) -> None:
        self.answers = {int(number[1:]): list(given) for number, given in answers.items()}
        self.asked: list[int] = []
        self.delay_s = 0.0

    async def schema(self, number: int) -> SchemaText:
        self.asked.append(number)
        await asyncio.sleep(self.delay_s)
        given = self.answers.get(number, [SchemaRefused("the registry does not have it", may_come=True)])
        answer = given.pop(0) if len(given) > 1 else given[0]
        if isinstance(answer, Exception):
            raise answer
        return answer


class SchemaWorld(World):
    """A pipeline's parts with a shelf."""

    def __init__(self, registry: FakeRegistry) -> None:
        super().__init__()
        self.registry = registry
        self.shelf = SchemaShelf(registry, self.ports.ingest_worker, self.clock, self.health, self.telemetry)
        profile = profile_of(default_decoder(schemas=self.shelf.lookup))
        raw = profile_of(default_decoder(form="raw"))
        self.partitions = Partitions(
            self.source, self.telemetry, lambda topic: raw if topic == "raw" else profile, max_context_records=100
        )
        self.intake = Intake(self.ports, self.partitions, self.lifetime, self.retries, self._drop, self.shelf)
        self.in_flight = InFlight(
            self.ports, self.partitions, self.lifetime, self.pulse, max_lines=MAX_LINES, waits=self.shelf.waits
        )
        self.running = asyncio.ensure_future(self.shelf.run(self.lifetime, self.pulse))

    async def next(self, **records: Sequence[bytes]) -> dict[Partition, list[int]]:
        """Fetches these values of partitions of `logs`, from where each stands; returns the offsets that arrive."""
        arrived: dict[Partition, list[LogRecord]] = {}
        for number, values in records.items():
            partition = Partition("logs", int(number[1:]))
            first = _only(self, partition).ledger._next
            arrived[partition] = [LogRecord(value, offset=first + at) for at, value in enumerate(values)]
        positions = {partition: found[-1].offset + 1 for partition, found in arrived.items()}
        self.source.answers = [Fetched(records=arrived, positions=positions)]
        chunks = await self.intake.next_chunks()
        self.pulse.beat()
        assert chunks is not None
        return {assignment.partition: [record.offset for record in found] for assignment, found in chunks}

    def pauses(self) -> set[Partition]:
        self.in_flight.set_pressure(0)
        return self.source.paused

    async def end(self) -> None:
        self.lifetime.advance(Phase.DRAINED)
        await self.running


@virtually
async def test_records_before_the_unknown_schema_are_read() -> None:
    """The record of the schema is in no ledger and comes again; what was read before it is not read twice."""
    world = SchemaWorld(FakeRegistry(s7=[avro_text(LOG)]))
    assignment = world.assign()
    value = framed(7, avro(EVENT))
    assert await world.next(p0=[b"one", value, b"two"]) == {LOGS[0]: [0]}
    assert world.source.seeks == [(LOGS[0], 1)]
    assert assignment.ledger.outstanding == 1
    assignment.ledger.done(np.array([0]))
    assert assignment.ledger.position() == 1, "the position of the fetch passes no record that waits"
    assert world.pauses() == {LOGS[0]}
    await asyncio.sleep(0.01)
    assert world.pauses() == set()
    assert await world.next(p0=[value, b"two"]) == {LOGS[0]: [1, 2]}
    decoded = assignment.profile.decoder.decode([LogRecord(value)])
    assert decoded.lines == [b"ERROR no stock status=503"]
    assert world.registry.asked == [7], "a schema is fetched once"
    assert metric(world.telemetry, "schema_requests_total", outcome="read") == 1
    await world.end()


@virtually
async def test_only_the_partition_with_the_unknown_schema_waits() -> None:
    """Its neighbour is read on, and a topic of raw text asks for nothing."""
    world = SchemaWorld(FakeRegistry(s7=[AWAY]))
    world.assign(LOGS[0])
    world.assign(LOGS[1])
    world.assign(Partition("raw", 0))
    value = framed(7, avro(EVENT))
    assert await world.next(p0=[value], p1=[b"one", b"two"]) == {LOGS[1]: [0, 1]}
    world.source.answers = [Fetched(records={Partition("raw", 0): [LogRecord(value)]})]
    chunks = await world.intake.next_chunks()
    assert [assignment.partition for assignment, _ in chunks or ()] == [Partition("raw", 0)]
    assert world.pauses() == {LOGS[0]}
    await world.end()


@virtually
async def test_an_outage_of_the_registry_is_waited_out_and_named() -> None:
    """No record is lost or skipped; readiness names partition, schema and action, and forgets them afterwards."""
    world = SchemaWorld(FakeRegistry(s7=[AWAY] * 30 + [avro_text(LOG)]))
    world.health.assigned = world.health.warm = True
    world.assign()
    value = framed(7, avro(EVENT))
    with capture() as caught:
        assert await world.next(p0=[value]) == {}
        await asyncio.sleep(5)
        assert reasons(world.health) == [], "a moment is no outage"
        await asyncio.sleep(10)
    [reason] = reasons(world.health)
    assert (reason.code, reason.topic, reason.partition) == ("schema_missing", "logs", 0)
    assert reason.message == (
        "logs/0 waits for schema 7 of the schema registry. The schema registry http://r cannot be reached: refused. "
        "Check the URL."
    )
    assert events(caught, "schema_registry_unavailable")[0]["hint"] == "check the URL"
    assert 14 <= metric(world.telemetry, "schema_requests_total", outcome="unavailable") <= 16, "once a second"
    assert world.pauses() == {LOGS[0]}
    await asyncio.sleep(20)
    assert reasons(world.health) == []
    assert world.pauses() == set()
    assert await world.next(p0=[value]) == {LOGS[0]: [0]}
    await world.end()


@virtually
async def test_a_schema_that_the_registry_lacks_is_asked_for_again_before_its_records_are_buried() -> None:
    """A follower of the registry learns of a new schema a moment after its producer."""
    lacks = SchemaRefused("the registry does not have it", may_come=True)
    world = SchemaWorld(FakeRegistry(s7=[lacks, lacks, avro_text(LOG)], s8=[lacks]))
    assignment = world.assign()
    values = [framed(7, avro(EVENT)), framed(8, avro(EVENT))]
    assert await world.next(p0=values) == {}
    await asyncio.sleep(1.5)
    assert await world.next(p0=values) == {}
    await asyncio.sleep(1)
    assert await world.next(p0=values) == {LOGS[0]: [0, 1]}
    found = assignment.profile.decoder.decode([LogRecord(value) for value in values])
    assert (len(found.lines), [letter.stage for _, letter in found.dead]) == (1, ["schema"])
    assert found.dead[0][1].reason.endswith("schema 8 of the schema registry: the registry does not have it")
    assert sorted(world.registry.asked) == [7, 7, 7, 8, 8, 8]
    await world.end()


@virtually
async def test_a_refusal_counts_for_a_minute() -> None:
    """Records that follow are buried without a question; later the registry may know the schema."""
    world = SchemaWorld(FakeRegistry(s8=[SchemaRefused("its references are broken"), avro_text(LOG)]))
    world.assign()
    value = framed(8, avro(EVENT))
    assert await world.next(p0=[value]) == {}
    await asyncio.sleep(1)
    assert await world.next(p0=[value] * 3) == {LOGS[0]: [0, 1, 2]}
    assert world.registry.asked == [8]
    await asyncio.sleep(60)
    assert await world.next(p0=[value]) == {}
    await asyncio.sleep(1)
    assert await world.next(p0=[value]) == {LOGS[0]: [3]}
    assert not isinstance(world.shelf.lookup(8), str)
    await world.end()


@virtually
async def test_a_schema_that_cannot_be_used_is_a_reason_of_dead_letters() -> None:
    """Whatever a registry contains, the daemon goes on."""
    world = SchemaWorld(FakeRegistry(s7=[avro_text({"type": "array", "items": "null"})]))
    world.assign()
    with capture() as caught:
        await world.next(p0=[framed(7, b"\x02\x00")])
        await asyncio.sleep(1)
    [refused] = events(caught, "schema_refused")
    assert refused["number"] == 7
    assert "could expand" in refused["reason"]
    assert metric(world.telemetry, "schema_requests_total", outcome="refused") == 1
    await world.end()


@virtually
async def test_a_fault_of_a_reader_ends_no_daemon(monkeypatch: pytest.MonkeyPatch) -> None:
    """Otherwise the daemon would end at the same schema after every restart."""

    def broken(_: SchemaText) -> decoding_schemas.RecordSchema:
        raise ZeroDivisionError

    monkeypatch.setattr(schemas, "compiled", broken)
    world = SchemaWorld(FakeRegistry(s7=[avro_text(LOG)]))
    world.assign()
    await world.next(p0=[framed(7, b"x")])
    await asyncio.sleep(1)
    assert world.shelf.lookup(7) == "logwarden failed to read the schema: ZeroDivisionError(); report this fault"
    await world.end()


@virtually
async def test_schemas_are_bounded_and_those_in_use_stay(monkeypatch: pytest.MonkeyPatch) -> None:
    """Numbers cost memory for a while only, and no schema goes before its records are decoded, or while it is used."""
    monkeypatch.setattr(schemas, "MAX_SCHEMAS", 2)
    world = SchemaWorld(FakeRegistry(**{f"s{n}": [avro_text(LOG)] for n in range(1, 200)}))
    assignment = world.assign()
    for first in range(2, 190, 4):
        values = [framed(number, avro(EVENT)) for number in (first, first + 1, 1, first + 2, first + 3)]
        assert await world.next(p0=values) == {}
        await asyncio.sleep(1)
        at = assignment.ledger._next
        assert await world.next(p0=values) == {LOGS[0]: list(range(at, at + 5))}
        assert not any(isinstance(world.shelf.lookup(number), str) for number in (1, *range(first, first + 4)))
        assert len(world.shelf._entries) <= 2 + 5 * 5
    assert world.registry.asked.count(1) == 1
    await world.end()


@virtually
async def test_a_fetch_needs_a_bounded_number_of_schemas(monkeypatch: pytest.MonkeyPatch) -> None:
    """A topic of random numbers is read in parts; none of its records is lost."""
    monkeypatch.setattr(schemas, "_PER_FETCH", 3)
    world = SchemaWorld(FakeRegistry(**{f"s{n}": [avro_text(LOG)] for n in range(1, 20)}))
    world.assign()
    values = [framed(number, avro(EVENT)) for number in range(1, 8)]
    assert await world.next(p0=values) == {}
    await asyncio.sleep(1)
    assert sorted(world.registry.asked) == [1, 2, 3]
    assert await world.next(p0=values) == {LOGS[0]: [0, 1, 2]}
    assert world.source.seeks[-1] == (LOGS[0], 3)
    await world.end()


@virtually
async def test_a_revoked_partition_waits_for_nothing() -> None:
    """The next owner waits in its place, and a question nobody needs is not repeated."""
    world = SchemaWorld(FakeRegistry(s7=[AWAY]))
    assignment = world.assign()
    await world.next(p0=[framed(7, avro(EVENT))])
    await asyncio.sleep(3)
    world.partitions.revoke([LOGS[0]])
    world.partitions.close([assignment])
    await asyncio.sleep(3)
    asked = len(world.registry.asked)
    await asyncio.sleep(30)
    assert len(world.registry.asked) == asked
    assert not world.health.without_schema
    assert not world.shelf.waits(assignment)
    again = world.assign()
    await world.next(p0=[framed(7, avro(EVENT))])
    assert world.shelf.waits(again)
    await world.end()


@virtually
async def test_a_slow_registry_delays_nothing_else() -> None:
    """The question is asked beside the work, and a drain does not wait for its answer's records."""
    registry = FakeRegistry(s7=[avro_text(LOG)])
    registry.delay_s = 25.0
    world = SchemaWorld(registry)
    world.assign(LOGS[0])
    world.assign(LOGS[1])
    await world.next(p0=[framed(7, avro(EVENT))])
    await asyncio.sleep(0)
    for offset in range(3):
        assert await world.next(p1=[b"one"]) == {LOGS[1]: [offset]}
    await asyncio.sleep(26)
    assert not world.shelf.waits(_only(world, LOGS[0]))
    await world.end()


def _only(world: World, partition: Partition) -> Assignment:
    found = world.partitions.active(partition)
    assert found is not None
    return found


def test_a_value_inside_another_one_has_no_schema() -> None:
    """Only the schemas of whole records are fetched; one inside an envelope is a dead letter."""
    shelf = SchemaShelf.__new__(SchemaShelf)
    shelf._entries = {}
    assert shelf.lookup(7) == "a value inside another one is not read by its schema"


def test_a_partition_that_waits_for_a_schema_is_not_stuck() -> None:
    """No restart would bring the schema, so the watchdog does not ask the broker about such a partition."""
    health = HealthState(assigned=True, warm=True)
    judge = StuckJudge(health, timeout_s=300.0, now=0.0)
    for now in (0.0, 1.0):
        judge.observe([Held(partition=partition, position=7, outstanding=0) for partition in LOGS[:2]], now)
    assert judge.questions() == LOGS[:2]
    health.without_schema[LOGS[0]] = "logs/0 waits for schema 7"
    assert judge.questions() == LOGS[1:2]
