"""Makes cuts of what the services of an assignment have learned, and brings services back from such cuts.

A service is in one of two forms: live in a slot of the log stream, or compact, as the bytes of its snapshot. Restored
services are put into slots as far as there are free ones; evicted ones become compact. The ingest thread owns it.
Invariants:

- a cut contains every service that logged a line since the cut before;
- a line that a restored snapshot contains is not counted again.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import numpy.typing as npt
import structlog

from logwarden.daemon.pipeline.backlog import LineBatch
from logwarden.daemon.pipeline.partitions import Assignment
from logwarden.daemon.pipeline.slots import ServiceSlots
from logwarden.daemon.state import snapshot
from logwarden.daemon.state.journal import Cut, StateEntry
from logwarden.daemon.state.records import (
    FORMAT,
    Entries,
    Restored,
    StateKey,
    StateValue,
    Through,
    by_partition,
    choose,
)
from logwarden.daemon.state.snapshot import UnreadableState
from logwarden.model.stream import LogStream

log = structlog.get_logger(__name__)

Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]

MAX_COMPACT_BYTES = 64 * 1024 * 1024
"""Memory of the compact services of one assignment. Above it those evicted first are forgotten."""
_ENTRY_BYTES = 300
"""Memory of a compact service beside its snapshot."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CutLimits:
    """When an assignment makes a cut. The state topic gets about `share` of the input's bytes."""

    share: float = 0.02
    least_bytes: int = 256 * 1024
    """Input bytes between two cuts, however small a cut is."""
    max_records: int = 50_000
    """Input records between two cuts, however large a cut is: the next owner reads them again."""
    max_age_s: float = 600.0
    """Seconds after which the next record makes a cut, however few records there were."""


@dataclass(slots=True)
class _Period:
    """What the memory keeps about one assignment."""

    compact: dict[str, bytes]
    """Snapshots of services without a slot, those without a line for longest first."""
    unwritten: set[str]
    """Compact services that changed since the last cut."""
    written: set[str]
    """Services that have a record in the state topic."""
    cut_at: float
    cut_end: int
    compact_bytes: int = 0
    input_bytes: int = 0
    """Since the last cut."""
    cut_bytes: int = 0
    """Of the last cut."""


class ServiceMemory:
    """The compact services, and the marks of live ones. `masks`: fingerprint of the masking."""

    def __init__(self, stream: LogStream, slots: ServiceSlots, limits: CutLimits, *, masks: str) -> None:
        self._stream = stream
        self._slots = slots
        self._limits = limits
        self._masks = masks
        self._changed = np.zeros(slots.max_services, bool)
        self._dormant: dict[int, bytes] = {}
        """Snapshots of live slots whose newest lines are not in the rings yet: their next line puts them there."""
        self._periods: dict[int, _Period] = {}
        self.forgotten = 0
        """Services that were evicted for good."""
        self.unreadable = 0
        """Records and snapshots that could not be read."""

    # ---------------------------------------------------------------- services come back

    def restore(self, assignments: Sequence[Assignment], entries: Entries, now: float) -> tuple[int, int]:
        """Begins periods with what the state topic has of them, in records (key, value).

        Returns the number of services that came back, and of records that could not be read.
        """
        before = self.unreadable
        services = 0
        groups = by_partition(entries)
        for assignment in assignments:
            topic, number = assignment.partition
            marks = None if assignment.journal is None else assignment.journal.marks
            chosen = choose(groups.get((topic, assignment.incarnation, number), ()), marks, self._masks)
            self.unreadable += chosen.unreadable
            self._begin(assignment, chosen.services, now)
            services += len(chosen.services)
        return services, self.unreadable - before

    def _begin(self, assignment: Assignment, services: Sequence[Restored], now: float) -> None:
        period = self._period(assignment, now)
        log.info(
            "state_restored",
            **assignment.partition._asdict(),
            services=len(services),
            not_exact=sum(not restored.is_exact for restored in services),
            read_from=assignment.ledger.read_from,
            judge_from=assignment.ledger.score_from,
        )
        live = len(services) - min(len(services), self._slots.free)  # the first that gets a slot
        for number, restored in enumerate(services):
            service, data = restored.service, restored.snapshot
            assignment.through[service] = restored.through
            assignment.replay_until = max(assignment.replay_until, restored.through.offset + 1)
            period.written.add(service)
            if number < live:
                self._keep(period, service, data)
                period.unwritten |= {service} if restored.is_covered else set()
            else:
                slot = self._slots.open(assignment, service)
                self._stream.history.join(np.array([slot]), np.array([assignment.generation]))
                self._put(slot, service, data, changed=restored.is_covered)

    def opened(self, assignment: Assignment, service: str, slot: int) -> None:
        """Puts the history of a compact service, if it is one, into the slot that it just got."""
        period = self._periods.get(assignment.generation)
        data = None if period is None else period.compact.pop(service, None)
        if period is not None and data is not None:
            period.compact_bytes -= len(data) + _ENTRY_BYTES
            self._put(slot, service, data, changed=service in period.unwritten)
            period.unwritten.discard(service)

    def _put(self, slot: int, service: str, data: bytes, *, changed: bool) -> None:
        self._changed[slot] = changed
        try:
            self._stream.put_history(slot, snapshot.decode_history(data), partial(_texts, data))
        except UnreadableState as error:
            self._report_unreadable(service, error)
        else:
            self._dormant[slot] = data

    def unseen(self, lines: LineBatch) -> tuple[LineBatch, Bools | None]:
        """Returns the lines that are in no restored snapshot, and (n,) False for those that are and must be judged.

        The latter come only if the committed offset was moved back by hand: the history contains them already.
        """
        keep: list[int] = []
        counted: list[bool] = []
        for place, (owner, service, offset, index) in enumerate(
            zip(lines.owners, lines.services, lines.offsets, lines.index, strict=True)
        ):
            is_known = owner.is_known(service, offset, index)
            if is_known and offset < owner.ledger.score_from:
                continue
            keep.append(place)
            counted.append(not is_known)
        if len(keep) < len(lines):
            lines = LineBatch(*([column[place] for place in keep] for column in lines.columns))
        return lines, None if all(counted) else np.array(counted, bool)

    def logging(self, slots: Ints) -> None:
        """Marks slots that log lines now, and puts the newest lines of restored ones into the rings before these."""
        self._changed[slots] = True
        if self._dormant:
            for slot in self._dormant.keys() & set(slots.tolist()):
                owner: Assignment = self._slots.owner[slot]
                data, service = self._dormant.pop(slot), self._slots.service[slot]
                through = owner.through.get(service)
                # Behind a commit that was moved back, these lines come again, and are judged again.
                if through is None or through.offset <= owner.ledger.score_from:
                    self._put_newest(slot, service, data)

    def _put_newest(self, slot: int, service: str, data: bytes) -> None:
        try:
            self._stream.put_ring(slot, snapshot.decode(data).ring)
        except UnreadableState as error:
            self._report_unreadable(service, error)

    def _period(self, assignment: Assignment, now: float) -> _Period:
        begun = _Period({}, set(), set(), now, assignment.ledger.read_from)
        return self._periods.setdefault(assignment.generation, begun)

    # ---------------------------------------------------------------- services go

    def evicted(self, slots: Ints) -> None:
        """Keeps services compact that lose their slots now."""
        for slot in slots.tolist():
            period = self._periods.get(self._slots.owner[slot].generation)
            if period is not None:
                service = self._slots.service[slot]
                self._keep(period, service, self._snapshot(slot))
                if self._changed[slot]:
                    period.unwritten.add(service)
        self._forget_slots(slots)

    def drop(self, assignment: Assignment, slots: Ints) -> None:
        """Drops everything about an assignment, which had these slots."""
        self._periods.pop(assignment.generation, None)
        self._forget_slots(slots)

    def _forget_slots(self, slots: Ints) -> None:
        self._changed[slots] = False
        for slot in slots.tolist():
            self._dormant.pop(slot, None)

    # ---------------------------------------------------------------- cuts

    def arrived(self, assignment: Assignment, size: int, now: float) -> None:
        """Counts bytes of input."""
        self._period(assignment, now).input_bytes += size

    def is_due(self, assignment: Assignment, end: int, now: float) -> bool:
        """Returns True if a cut should be made now; `end`: the first offset that is not read."""
        period = self._periods.get(assignment.generation)
        journal = assignment.journal
        if (
            period is None
            or journal is None
            or journal.is_waiting
            or end <= max(period.cut_end, assignment.replay_until)
        ):
            return False
        limits = self._limits
        return (
            period.input_bytes >= max(limits.least_bytes, period.cut_bytes / limits.share)
            or end - period.cut_end >= limits.max_records
            or now - period.cut_at >= limits.max_age_s
        )

    def cut(self, assignment: Assignment, end: int, waiting: Mapping[str, Through], now: float) -> Cut:
        """Returns the services that changed since the last cut. `waiting`: the first line of each that waits."""
        period, journal = self._periods[assignment.generation], assignment.journal
        assert journal is not None, "only an assignment with a journal makes cuts"
        snapshots = {service: period.compact[service] for service in period.unwritten}
        for service, slot in self._slots.of(assignment).items():
            if self._changed[slot]:
                snapshots[service] = self._snapshot(slot)
                self._changed[slot] = False
        period.unwritten.clear()
        everything = Through(end, 0)
        place = (assignment.partition.topic, assignment.incarnation, assignment.partition.partition)
        entries = [
            StateEntry(
                StateKey(*place, service).encode(),
                StateValue(
                    format=FORMAT,
                    masks=self._masks,
                    epoch=journal.epoch,
                    run=journal.run,
                    cut=end,
                    is_first=service not in period.written,
                    through=waiting.get(service, everything),
                    snapshot=data,
                ).encode(),
            )
            for service, data in snapshots.items()
        ]
        period.written |= snapshots.keys()
        period.cut_at, period.cut_end, period.input_bytes = now, end, 0
        period.cut_bytes = sum(len(entry.key) + len(entry.value) for entry in entries)
        return Cut(end=end, replay_from=min([end, *(line.offset for line in waiting.values())]), entries=entries)

    def _snapshot(self, slot: int) -> bytes:
        dormant = self._dormant.get(slot)  # no line since it came back
        return snapshot.encode(self._stream.take(slot)) if dormant is None else dormant

    def _keep(self, period: _Period, service: str, data: bytes) -> None:
        period.compact[service] = data
        period.compact_bytes += len(data) + _ENTRY_BYTES
        while period.compact_bytes > MAX_COMPACT_BYTES and len(period.compact) > 1:
            oldest = next(iter(period.compact))
            period.compact_bytes -= len(period.compact.pop(oldest)) + _ENTRY_BYTES
            period.unwritten.discard(oldest)
            self.forgotten += 1

    def _report_unreadable(self, service: str, error: UnreadableState) -> None:
        self.unreadable += 1
        log.warning("state_unreadable", service=service, error=str(error), hint="the service learns again")


def _texts(data: bytes) -> Sequence[str]:
    return snapshot.decode(data).texts


def first_of(*waiting: Mapping[str, Through]) -> dict[str, Through]:
    """Returns the first line of each service in any of these."""
    first: dict[str, Through] = {}
    for lines in waiting:
        for service, line in lines.items():
            first[service] = min(line, first.get(service, line))
    return first
