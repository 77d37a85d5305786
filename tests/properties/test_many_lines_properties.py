"""Records of no, one and many lines, with crashes between: nothing is lost, and every line keeps its alert id."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import cast

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from logwarden.daemon.pipeline.ingest import Ingestor
from logwarden.daemon.pipeline.judge import ScoredBatch, WindowJudge
from logwarden.daemon.pipeline.ledger import PartitionLedger, where_to_start
from logwarden.daemon.pipeline.partitions import Assignment
from logwarden.daemon.ports import Engine
from logwarden.daemon.records import Bounds, Committed, Partition
from logwarden.model.stream import LogStream
from logwarden.model.verdicts import AlertPolicy
from tests.oracles import EventPerTextLine, LogRecord, TableSpy, default_decoder, profile_of
from tests.unit.daemon.pipeline.test_judge import Clock, Scorer

LOGS = Partition("logs", 0)
RECORDS = st.lists(st.sampled_from([0, 0, 1, 1, 1, 2, 7, 500]), min_size=1, max_size=7)
SIZE = 4
Line = tuple[int, int]
"""(offset, index)"""


def record(offset: int, lines: int) -> LogRecord:
    texts = [f"record {offset} line {i} 100" for i in range(lines)]
    return LogRecord("\n".join(texts).encode(), offset=offset, key=b"web")


class Member:
    """One owner of the partition, from the committed offset to its crash. Synchronous; every line raises an alert."""

    def __init__(self, committed: Committed | None, end: int) -> None:
        start = where_to_start(committed, Bounds(0, end), max_context=1_000)
        plain = default_decoder()
        decoder = EventPerTextLine.__new__(EventPerTextLine)
        decoder.__dict__.update(plain.__dict__)
        self.owner = Assignment(1, LOGS, PartitionLedger(start.score_from, start.read_from), profile_of(decoder))
        policy = AlertPolicy(threshold=0.5, learning_lines=0, model_revision="r")
        self.engine = Engine(scorer=Scorer(), table=TableSpy().table(4096), policy=policy)
        self.ingestor = Ingestor(LogStream(self.engine.table, size=SIZE, max_slots=2), max_services=2)
        self.read_from = start.read_from

    def take(self, records: Sequence[LogRecord]) -> ScoredBatch:
        """Opens, decodes and judges records of one fetch, as the pipeline does."""
        ledger = self.owner.ledger
        new = np.array([r.offset for r in records if r.offset >= ledger.score_from])
        if len(new):
            ledger.open(new)
        ingested = self.ingestor.ingest([(self.owner, records)], now=0.0)
        for _, at, context in ingested.contexts:
            ledger.note_context(at, context)
        for _, offsets, lines in ingested.grown:
            ledger.grow(offsets, lines)
        for _, offsets in ingested.blank:
            ledger.done(offsets)
        if not ingested.work:  # the batcher never hands out an empty batch
            return ScoredBatch(quiet=[], publications=[], windows=0, lines=0)
        return WindowJudge(Clock()).judge(self.engine, ingested.work)


@settings(max_examples=60)
@given(RECORDS, st.lists(st.tuples(st.integers(1, 4), st.floats(0, 1)), min_size=1, max_size=5))
def test_nothing_is_lost_and_ids_are_stable(counts: list[int], lives: list[tuple[int, float]]) -> None:
    """However many members crash with a part of the alerts acknowledged, each line gets one id, and none is skipped.

    `counts`: lines of each record. `lives`: for each member, records per fetch and the share of alerts that the broker
    acknowledges before the member crashes; a last member finishes.
    """
    records = [record(offset, lines) for offset, lines in enumerate(counts)]
    every_line = {(offset, index) for offset, lines in enumerate(counts) for index in range(lines)}
    ids: dict[Line, str] = {}
    windows: dict[Line, list[str]] = {}
    committed: Committed | None = None
    for size, share in [*lives, (3, 1.0)]:
        member = Member(committed, len(records))
        for start in range(member.read_from, len(records), size):
            batch = member.take(records[start : start + size])
            assert batch.quiet == [], "every line raises an alert"
            for publication in batch.publications[: round(len(batch.publications) * share)]:
                alert = json.loads(cast(bytes, publication.message.value))
                source = alert["logwarden"]["source"]
                line = (source["last_offset"], source["index"])
                assert ids.setdefault(line, alert["id"]) == alert["id"], "a replay repeats the id"
                shown = [shown["text"] for shown in alert["logwarden"]["lines"]]
                assert windows.setdefault(line, shown) == shown, "a replay shows the same window"
                publication.owner.ledger.done(publication.offsets)
        committed = member.owner.ledger.to_commit(1_000)
        done = {line for line in every_line if line in ids}
        below = {line for line in every_line if line[0] < committed.offset}
        assert below <= done, "an offset is committed only when all lines below it are done"
    assert committed is not None
    assert committed.offset == len(records)
    assert ids.keys() == every_line
    assert len(set(ids.values())) == len(every_line), "no two lines share an id"


@given(RECORDS)
def test_lines_in_flight_are_counted_as_lines(counts: list[int]) -> None:
    """A record is one line until it is decoded, and as many as it contains afterwards; blank ones are done at once."""
    member = Member(None, len(counts))
    member.take([record(offset, lines) for offset, lines in enumerate(counts)])
    assert member.owner.ledger.outstanding == sum(counts)


def test_a_ledger_that_does_not_grow_breaks_the_property(monkeypatch: pytest.MonkeyPatch) -> None:
    """Counted as one line, a record of many would be done with its first, and a crash would lose the others."""
    monkeypatch.setattr(PartitionLedger, "grow", lambda *_: None)
    member = Member(None, 1)
    batch = member.take([record(0, 7)])
    lines = np.concatenate([publication.offsets for publication in batch.publications])
    with pytest.raises(AssertionError, match="a line is done once"):
        member.owner.ledger.done(lines)
