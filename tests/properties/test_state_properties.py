"""A member that is killed at any point, or that evicts services, measures every line as an undisturbed one does."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from logwarden.daemon.pipeline.ingest import Ingestor
from logwarden.daemon.pipeline.ledger import PartitionLedger, decode_marks, decode_metadata, encode_metadata
from logwarden.daemon.pipeline.limits import CutLimits
from logwarden.daemon.pipeline.partitions import Assignment
from logwarden.daemon.pipeline.work import Work
from logwarden.daemon.records import Committed, Partition
from logwarden.daemon.state.journal import Journal
from logwarden.model.lines import LineTable
from logwarden.model.stream import MEASURED, LogStream
from tests.oracles import PROFILE, LogRecord, restore
from tests.sim.stand_ins import EPOCH_MS, encode

KINDS = (b"request served", b"cache refreshed", b"ERROR disk failure", b"user logged in", b"WARN slow answer")
SERVICES = b"abcdef"
LINES = st.lists(st.tuples(st.sampled_from(SERVICES), st.sampled_from(KINDS), st.integers(0, 90_000)), max_size=120)
STEPS = st.lists(
    st.tuples(st.integers(1, 25), st.integers(0, 30), st.booleans(), st.booleans()), min_size=1, max_size=20
)
"""Records of a fetch, lines that are done later than the fetch, a commit or none, a kill or none."""
CUTS = CutLimits(share=1_000.0, most_share=1e6, least_bytes=1, max_records=1_000)


@dataclass
class Group:
    """A partition whose owners are killed. The topic and the committed position outlive them."""

    records: Sequence[LogRecord]
    slots: int
    topic: list[tuple[bytes, bytes | None]] = field(default_factory=list)
    committed: Committed = field(default_factory=lambda: Committed(0, encode_metadata(0, marks=())))
    found: dict[int, list[tuple[float, ...]]] = field(default_factory=dict)
    """What was measured of the lines of each window that was judged, by the offset of its newest line."""
    runs: int = 0

    def begin(self) -> None:
        """Starts an owner at what was committed."""
        self.runs += 1
        read_from = decode_metadata(self.committed.metadata)
        assert read_from is not None
        marks = decode_marks(self.committed.metadata)
        journal = Journal(f"r{self.runs}", replay_from=read_from, marks=marks)
        ledger = PartitionLedger(self.committed.offset, read_from)
        self.owner = Assignment(self.runs, Partition("logs", 0), ledger, PROFILE, "topic", journal)
        stream = LogStream(LineTable(512, encode, lambda *_: None), size=4, max_slots=self.slots)
        self.ingestor = Ingestor(stream, max_services=self.slots, cuts=CUTS)
        restore(self.ingestor, self.owner, self.topic)
        self.position = read_from

    def read(self, count: int) -> None:
        """Reads records, and judges every window of them at once."""
        records = self.records[self.position : self.position + count]
        if not records:
            return
        self.position += len(records)
        ingested = self.ingestor.ingest([(self.owner, records)], now=0.0)
        for work in ingested.work:
            self._judge(work)
        for _, cut in ingested.cuts:
            assert self.owner.journal is not None
            self.owner.journal.captured(cut)

    def commit(self, late: int, *, is_accepted: bool) -> None:
        """Writes what a commit needs, and commits: all lines but the last `late` ones are done."""
        journal = self.owner.journal
        assert journal is not None
        offset = max(self.owner.ledger.score_from, self.committed.offset, self.position - late)
        self.topic += journal.to_write(offset)
        journal.written(offset)
        context, marks = journal.at(offset)
        if is_accepted:
            self.committed = Committed(offset, encode_metadata(context, marks=marks))
            journal.committed(offset, marks)

    def _judge(self, work: Work) -> None:
        columns = [work.windows.columns[name] for name in MEASURED]
        for number in range(len(work)):
            places = work.windows.ends[number] - np.arange(work.windows.filled[number])
            offset = int(work.windows.newest("offset")[number])
            measures = tuple(float(value) for column in columns for value in column[places])
            found = self.found.setdefault(offset, [])
            if measures not in found:
                found.append(measures)


def records_of(lines: Sequence[tuple[int, bytes, int]]) -> list[LogRecord]:
    return [
        LogRecord(kind, offset, timestamp=EPOCH_MS + at, key=bytes([service]))
        for offset, (service, kind, at) in enumerate(lines)
    ]


def undisturbed(records: Sequence[LogRecord], slots: int) -> dict[int, list[tuple[float, ...]]]:
    group = Group(records, slots)
    group.begin()
    group.read(len(records))
    return group.found


@given(LINES, STEPS)
def test_a_kill_at_any_point_changes_no_window(
    lines: list[tuple[int, bytes, int]], steps: list[tuple[int, int, bool, bool]]
) -> None:
    """Every window has one value at every reading, which is that of a member that reads everything at once."""
    records = records_of(lines)
    group = Group(records, len(SERVICES))
    group.begin()
    for count, late, commits, is_killed in steps:
        group.read(count)
        if commits or is_killed:
            group.commit(late, is_accepted=commits)
        if is_killed:
            group.begin()
    group.begin()
    group.read(len(records))
    assert group.found == undisturbed(records, len(SERVICES))


@given(LINES, st.integers(1, 3))
def test_a_service_that_was_evicted_knows_its_past(lines: list[tuple[int, bytes, int]], slots: int) -> None:
    """With fewer slots than services, every line has the count, the age and the window that it has with enough."""
    own = [name for name in MEASURED if name not in ("elsewhere", "distance")]  # of the service alone

    def measures_of(group: Group) -> dict[int, set[tuple[float, ...]]]:
        places = [MEASURED.index(name) for name in own]
        found = {}
        for offset, windows in group.found.items():
            tables = [np.array(window).reshape(len(MEASURED), -1)[places] for window in windows]
            found[offset] = {tuple(table.ravel().tolist()) for table in tables}
        return found

    records = records_of(lines)
    few, enough = Group(records, slots), Group(records, len(SERVICES))
    for group in (few, enough):
        group.begin()
        for _ in range(0, len(records), 7):
            group.read(7)
    assert measures_of(few) == measures_of(enough)
