"""Measures what keeping the state of services costs: `python -m tests.bench.state`.

Reads the recordings of the fault lab as records of one partition each, without a broker and without scores. Prints the
size of a service's snapshot, the bytes written for each input byte, the CPU beside the same work without state, and the
time that 20,000 services take to come back. Vectors of lines are stand-ins, so BERT is in no figure. Asserts nothing.
"""

from __future__ import annotations

import statistics
import time
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import msgspec

from logwarden.daemon.pipeline.ingest import Ingestor
from logwarden.daemon.pipeline.ledger import PartitionLedger
from logwarden.daemon.pipeline.limits import CutLimits
from logwarden.daemon.pipeline.partitions import Assignment
from logwarden.daemon.records import Partition
from logwarden.daemon.state.journal import Journal
from logwarden.daemon.state.records import read_value
from logwarden.model.lines import LineTable
from logwarden.model.stream import LogStream
from logwarden.training.faultlab.recording import load_recording
from logwarden.training.faultlab.release import RECORDINGS, runs_below
from tests.oracles import PROFILE
from tests.oracles import restore as read_back
from tests.sim.stand_ins import EPOCH_MS, encode
from tests.sim.topics import SimRecord

POLL = 2_048
SERVICES = 20_000
REPEATS = 5
LINES = 40_000
"""Lines of the longest stream whose CPU is measured."""


class Written(NamedTuple):
    """A record of the state topic."""

    key: bytes
    value: bytes


class Member:
    """The ingest thread's half of a member, with one partition."""

    def __init__(self, cuts: CutLimits | None, *, services: int = 256) -> None:
        table = LineTable(32_768, encode, lambda *_: None)
        self.ingestor = Ingestor(LogStream(table, max_slots=services), max_services=services, cuts=cuts)
        journal = None if cuts is None else Journal("bench", replay_from=0, marks=())
        self.owner = Assignment(1, Partition("logs", 0), PartitionLedger(0, 0), PROFILE, "topic", journal)
        self.written: list[Written] = []
        self.written_in = 0
        """Input bytes when the last cut was made."""

    def read(self, records: Sequence[SimRecord]) -> None:
        """Ingests a poll; what a cut contains is written and committed at once."""
        ingested = self.ingestor.ingest([(self.owner, records)], now=0.0, new_lines=8_192)
        self.ingestor.scored(sum(work.pushes for work in ingested.work))
        for _, cut in ingested.cuts:
            assert self.owner.journal is not None
            self.owner.journal.captured(cut)
            entries = self.owner.journal.to_write(cut.end)
            self.written += [Written(entry.key, entry.value or b"") for entry in entries]
            self.owner.journal.written(cut.end)
            self.owner.journal.committed(cut.end, self.owner.journal.at(cut.end)[1])


def main() -> None:
    streams = dict(recordings())
    cost(streams)
    restore([entry for records in streams.values() for entry in cut_of(records[:LINES])])
    sizes_of(streams)


def sizes_of(streams: dict[str, list[SimRecord]]) -> None:
    """Prints the size of snapshots, and the share of the input that is written."""
    sizes: list[int] = []
    total_in = total_out = total_zipped = 0
    for name, records in streams.items():
        member = Member(CutLimits())
        for poll in polls(records):
            member.read(poll)
        last = {entry.key: entry.value for entry in member.written}
        of_cut = list({len(value) for value in last.values()})
        sizes += [len(value) for value in last.values()]
        bytes_in = sum(len(record.value or b"") for record in records)
        bytes_out = sum(len(entry.key) + len(entry.value) for entry in member.written)
        total_in, total_out = total_in + bytes_in, total_out + bytes_out
        total_zipped += len(zlib.compress(b"".join(map(b"".join, member.written))))
        middle = statistics.median(of_cut) if of_cut else 0
        print(
            f"{name:<14}{len(records):>9,} records {bytes_in / 1e6:>7.1f} MB in, {bytes_out / 1e3:>8.1f} kB of state "
            f"({bytes_out / bytes_in:.2%}), {len(last):>3} services of {middle:,.0f} bytes"
        )
    print(f"\na service: median {statistics.median(sizes):,.0f} bytes, largest {max(sizes):,}")
    print(f"written: {total_out / total_in:.2%} of the input's bytes, {total_zipped / total_in:.2%} compressed again")


def cost(streams: dict[str, list[SimRecord]]) -> None:
    """Measures CPU with and without state, in turns."""
    longest = max(streams.values(), key=len)[:LINES]
    spent: dict[bool, list[float]] = {True: [], False: []}
    for _ in range(REPEATS):
        for keeps in (True, False):
            member = Member(CutLimits() if keeps else None)
            started = time.process_time()
            for poll in polls(longest):
                member.read(poll)
            spent[keeps].append((time.process_time() - started) / len(longest) * 1e6)
    with_state, without = (statistics.median(spent[keeps]) for keeps in (True, False))
    print(
        f"\ningest: {with_state:.2f} µs CPU a line with state, {without:.2f} without: {with_state / without - 1:+.1%}"
    )


def cut_of(records: list[SimRecord]) -> list[Written]:
    member = Member(CutLimits(least_bytes=1, share=1.0))
    member.read(records)
    return member.written


def restore(entries: Sequence[Written]) -> None:
    """Measures how long `SERVICES` services take, as the services of the recordings many times over."""
    many = []
    for number in range(SERVICES):
        entry = entries[number % len(entries)]
        *place, service = msgspec.json.decode(entry.key)
        key = msgspec.json.encode([*place, f"{service}-{number}"])
        many.append((key, entry.value))
    member = Member(CutLimits(), services=SERVICES)
    owner = member.owner
    owner.journal = Journal("next", replay_from=0, marks=None)
    started, cpu = time.perf_counter(), time.process_time()
    services = read_back(member.ingestor, owner, many)
    print(
        f"restored {services:,} services ({sum(len(v) for _, v in many) / 1e6:.0f} MB): "
        f"{time.perf_counter() - started:.1f} s, {time.process_time() - cpu:.1f} s CPU"
    )
    assert read_value(entries[0].value).run == "bench"


def recordings() -> Iterator[tuple[str, list[SimRecord]]]:
    """Yields each system with the records of all its runs, one after the other."""
    for system, runs in runs_below(RECORDINGS).items():
        records: list[SimRecord] = []
        for run in runs:
            for line in load_recording(Path(run)).lines:
                place = ("logs", 0, len(records))
                records.append(
                    SimRecord(*place, int(line.t * 1000) + EPOCH_MS, line.service.encode(), line.text.encode())
                )
        yield system, records


def polls(records: Sequence[SimRecord]) -> Iterator[Sequence[SimRecord]]:
    for start in range(0, len(records), POLL):
        yield records[start : start + POLL]


if __name__ == "__main__":
    main()
