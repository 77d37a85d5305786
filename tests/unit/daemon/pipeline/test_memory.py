"""Services that come back from the state topic, and those that a member keeps compact."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
import numpy as np
import pytest

from logwarden.daemon.pipeline.ingest import Ingestor
from logwarden.daemon.pipeline.ledger import PartitionLedger
from logwarden.daemon.pipeline.limits import CutLimits
from logwarden.daemon.pipeline.partitions import Assignment
from logwarden.daemon.records import Partition
from logwarden.daemon.state.journal import Journal
from logwarden.model.lines import LineTable
from logwarden.model.stream import LogStream
from tests.oracles import PROFILE, LogRecord, records_of, restore
from tests.sim.stand_ins import encode

Entries = Sequence[tuple[bytes, bytes | None]]


def owner_at(score_from: int, *, run: str = "r", generation: int = 1) -> Assignment:
    journal = Journal(run, replay_from=score_from, marks=None)
    return Assignment(generation, Partition("logs", 0), PartitionLedger(score_from, score_from), PROFILE, "id", journal)


def ingestor_of(
    slots: int = 8,
    *,
    least_bytes: int = 1,
    max_records: int = 1_000,
    max_age_s: float = 600.0,
    most_share: float = 1e9,
    max_compact_bytes: int = 1_000_000,
) -> Ingestor:
    stream = LogStream(LineTable(512, encode, lambda *_: None), size=4, max_slots=slots)
    cuts = CutLimits(
        share=1e9,
        least_bytes=least_bytes,
        max_records=max_records,
        max_age_s=max_age_s,
        most_share=most_share,
        max_compact_bytes=max_compact_bytes,
    )
    return Ingestor(stream, max_services=slots, cuts=cuts)


def cut_of(services: str) -> Entries:
    """Returns the records of one cut behind a record of each service."""
    ingested = ingestor_of(len(services)).ingest([(owner_at(0), records_of(services))], now=0.0)
    return [(entry.key, entry.value) for _, cut in ingested.cuts for entry in cut.entries]


def ages(ingestor: Ingestor) -> dict[str, int]:
    """Returns the lines counted of each live service."""
    slots = ingestor._slots
    found = {slots.service[slot]: ingestor._stream.history.age(np.array([slot]))[0] for slot in slots.in_use()}
    return {str(name): int(age) for name, age in found.items()}


def test_offsets_that_an_operator_moves_back_count_nothing_twice() -> None:
    """Lines that a snapshot contains are judged again, and its history stays as it was."""
    ingestor, owner = ingestor_of(), owner_at(0)
    assert restore(ingestor, owner, cut_of("aab")) == 2
    found = ingestor.ingest([(owner, records_of("aab"))], now=0.0)
    assert sum(int(work.windows.fresh.sum()) for work in found.work) == 3
    assert ages(ingestor) == {"a": 2, "b": 1}
    ingestor.ingest([(owner, records_of("ab", 3))], now=0.0)
    assert ages(ingestor) == {"a": 3, "b": 2}


def test_more_services_come_back_than_there_are_slots() -> None:
    """Those without a slot stay compact, and come live with their next line."""
    ingestor, owner = ingestor_of(2), owner_at(6)
    assert restore(ingestor, owner, cut_of("abcaaa")) == 3
    assert ingestor.services == 2
    for number, service in enumerate("abc"):
        ingestor.ingest([(owner, records_of(service, 6 + number))], now=0.0)
        assert ages(ingestor)[service] == {"a": 5, "b": 2, "c": 2}[service]


def test_a_snapshot_that_cannot_be_read_is_a_new_service() -> None:
    """Its service learns again, and the others come back."""
    ingestor, owner = ingestor_of(), owner_at(2)
    assert ingestor._stream.table.fingerprint
    entries = cut_of("ab")
    broken = [(key, bytes(value or b"")[:-1] + b"\x00") if b'"a"' in key else (key, value) for key, value in entries]
    assert restore(ingestor, owner, broken) == 2
    assert ingestor.memory is not None
    assert ingestor.memory.take_counts().unreadable == 1
    ingestor.ingest([(owner, records_of("ab", 2))], now=0.0)
    assert ages(ingestor) == {"a": 1, "b": 2}


def test_compact_services_are_bounded_in_all_partitions_together() -> None:
    """Above the bound the services evicted first are forgotten and counted, and a cut deletes their records."""
    ingestor = ingestor_of(1, max_compact_bytes=4_000)
    owners = [owner_at(0), owner_at(0, generation=2)]
    written: set[bytes] = set()
    deleted: set[bytes] = set()
    forgotten = 0
    for number in range(30):
        for owner in owners:
            ingested = ingestor.ingest([(owner, [LogRecord(b"hello", number, key=b"svc-%d" % number)])], now=0.0)
            forgotten += ingested.memory.forgotten
            for _, cut in ingested.cuts:
                written |= {entry.key for entry in cut.entries if entry.value is not None}
                deleted |= {entry.key for entry in cut.entries if entry.value is None}
    assert ingestor.memory is not None
    assert forgotten > 40
    assert ingestor.memory._compact._bytes <= 4_000
    assert len(deleted) > 10
    assert deleted <= written


def test_a_cut_of_many_services_takes_no_more_than_its_share() -> None:
    """The services that changed most are written first, and every one in the end."""
    services = "abcdefghijklmnopqrstuvwxyz"
    ingestor, owner = ingestor_of(32, most_share=0.5, max_records=4 * len(services)), owner_at(0)
    written: list[set[str]] = []
    deferred = 0
    assert owner.journal is not None
    for step in range(60):
        lines = services + "a" * (3 * len(services) if step == 1 else 0)
        first = step * 4 * len(services)
        ingested = ingestor.ingest([(owner, records_of(services * 3 + lines[-len(services) :], first))], now=0.0)
        deferred += ingested.memory.deferred
        for _, cut in ingested.cuts:
            assert sum(len(entry.value or b"") for entry in cut.entries) < 4_000
            written.append({msgspec.json.decode(entry.key)[-1] for entry in cut.entries})
            owner.journal.captured(cut)
            owner.journal.written(cut.end)
            owner.journal.committed(cut.end, owner.journal.at(cut.end)[1])
    assert len(written[0]) < len(services)
    assert set().union(*written) == set(services)
    assert deferred > 0


@pytest.mark.parametrize(
    ("least_bytes", "max_records", "now", "is_due"),
    [(1_000_000, 1_000, 5.0, False), (1_000_000, 1_000, 11.0, True), (1_000_000, 2, 5.0, True), (10, 1_000, 5.0, True)],
)
def test_a_cut_is_due_by_bytes_records_or_time(least_bytes: int, max_records: int, now: float, is_due: bool) -> None:
    """A busy partition is cut by its bytes, one of many services by its records, and a quiet one by time."""
    ingestor, owner = ingestor_of(least_bytes=least_bytes, max_records=max_records, max_age_s=10.0), owner_at(0)
    restore(ingestor, owner, ())
    assert bool(ingestor.ingest([(owner, records_of("ab"))], now=now).cuts) == is_due


def test_no_cut_is_made_while_one_waits() -> None:
    """What changes meanwhile is in the next one."""
    ingestor, owner = ingestor_of(max_records=1), owner_at(0)
    [(_, first)] = ingestor.ingest([(owner, records_of("ab"))], now=0.0).cuts
    assert owner.journal is not None
    owner.journal.captured(first)
    assert not ingestor.ingest([(owner, records_of("ac", 2))], now=0.0).cuts
    owner.journal.written(2)
    owner.journal.committed(2, owner.journal.at(2)[1])
    [(_, second)] = ingestor.ingest([(owner, records_of("c", 4))], now=0.0).cuts
    assert sorted(b'"a"' in key or b'"c"' in key for key, _ in second.entries) == [True, True]
