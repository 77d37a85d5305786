"""Makes cuts of what the services of an assignment have learned, and brings services back from such cuts.

A service is in one of two forms: live in a slot of the log stream, or compact, as the bytes of its snapshot. Restored
services are put into slots as far as there are free ones; evicted ones become compact. The ingest thread owns it.
Invariants:

- a cut contains every service that logged a line since the cut before;
- a line that a restored snapshot contains is not counted again.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial

import numpy as np
import numpy.typing as npt
import structlog

from logwarden.daemon.pipeline.backlog import LineBatch
from logwarden.daemon.pipeline.compact import CompactServices
from logwarden.daemon.pipeline.limits import CutLimits
from logwarden.daemon.pipeline.partitions import Assignment
from logwarden.daemon.pipeline.slots import ServiceSlots
from logwarden.daemon.pipeline.work import MemoryCounts
from logwarden.daemon.state import snapshot
from logwarden.daemon.state.choice import Choice, Place, Restored
from logwarden.daemon.state.journal import Cut, StateEntry
from logwarden.daemon.state.records import (
    FORMAT,
    StateKey,
    StateValue,
    Through,
)
from logwarden.daemon.state.snapshot import UnreadableState
from logwarden.model.stream import LogStream

log = structlog.get_logger(__name__)

Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]

_SPARE_PAIRS = 100_000
"""Pairs of the history that stay free when services come back: above its bound it would evict what they know."""
_YOUNG_BYTES = 700
"""Size of a record before any was written: that of a service with few lines."""


@dataclass(slots=True)
class _Period:
    """What the memory keeps about one assignment."""

    unwritten: set[str]
    """Compact services that changed since the last cut."""
    written: set[str]
    """Services that have a record in the state topic."""
    cut_at: float
    cut_end: int
    deleted: set[str] = field(default_factory=set)
    """Services that were forgotten and have a record, which the next cut deletes."""
    learns: bool = False
    """No cut contains yet what was learned before the group's first start."""
    input_bytes: int = 0
    """Since the last cut."""
    record_bytes: float = _YOUNG_BYTES
    """Mean size of a record of the last cut."""


class ServiceMemory:
    """The compact services, and the marks of live ones. `masks`: fingerprint of the masking."""

    def __init__(self, stream: LogStream, slots: ServiceSlots, limits: CutLimits, *, masks: str) -> None:
        self._stream = stream
        self._slots = slots
        self._limits = limits
        self._masks = masks
        self._changed = np.zeros(slots.max_services, bool)
        self._written_age = np.zeros(slots.max_services, np.int64)
        self._written_kinds = np.zeros(slots.max_services, np.int64)
        self._compact = CompactServices(limits.max_compact_bytes)
        self._dormant: dict[int, bytes] = {}
        """Snapshots of live slots whose newest lines are not in the rings yet: their next line puts them there."""
        self._periods: dict[int, _Period] = {}
        self.forgotten = self.deferred = self.unreadable = 0

    def take_counts(self) -> MemoryCounts:
        """Returns what was counted since the last call."""
        counts = MemoryCounts(self.forgotten, self.deferred, self.unreadable)
        self.forgotten = self.deferred = self.unreadable = 0
        return counts

    # ---------------------------------------------------------------- services come back

    def restore(self, assignments: Sequence[Assignment], choice: Choice, now: float) -> int:
        """Begins periods with what the state topic has of them. Returns the number of services that came back."""
        services = 0
        for assignment in assignments:
            chosen = choice.of(
                Place(assignment.partition.topic, assignment.incarnation, assignment.partition.partition)
            )
            self._begin(assignment, chosen, now)
            services += len(chosen)
        return services

    def hand_over(self, before: Assignment, after: Assignment) -> None:
        """Lets an assignment continue with what is kept about another one."""
        self._compact.hand_over(before.generation, after.generation)
        period = self._periods.pop(before.generation, None)
        if period is not None:
            self._periods[after.generation] = period

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
        period.written.update(restored.service for restored in services)
        compact = len(services)
        while compact and self._slots.free and self._stream.history.room > _SPARE_PAIRS:
            compact -= 1  # from the end: the services written last are put into slots first
            restored = services[compact]
            slot = self._slots.open(assignment, restored.service)
            self._stream.history.join(np.array([slot]), np.array([assignment.system]))
            self._put(slot, restored.service, restored.snapshot, changed=restored.is_covered)
        for restored in services[:compact]:
            self._keep(assignment, restored.service, restored.snapshot)
            period.unwritten |= {restored.service} if restored.is_covered else set()
        for restored in services:
            assignment.through[restored.service] = restored.through
            assignment.replay_until = max(assignment.replay_until, restored.through.offset + 1)

    def opened(self, assignment: Assignment, service: str, slot: int) -> None:
        """Puts the history of a compact service, if it is one, into the slot that it just got."""
        period = self._periods.get(assignment.generation)
        data = self._compact.pop(assignment.generation, service)
        if period is not None and data is not None:
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
        ledger = assignment.ledger
        begun = _Period(set(), set(), now, ledger.read_from, learns=ledger.learn_to > 0)
        return self._periods.setdefault(assignment.generation, begun)

    # ---------------------------------------------------------------- services go

    def evicted(self, slots: Ints) -> None:
        """Keeps services compact that lose their slots now."""
        for slot in slots.tolist():
            period = self._periods.get(self._slots.owner[slot].generation)
            if period is not None:
                service = self._slots.service[slot]
                self._keep(self._slots.owner[slot], service, self._snapshot(slot))
                if self._changed[slot]:
                    period.unwritten.add(service)
        self._forget_slots(slots)

    def drop(self, assignment: Assignment, slots: Ints) -> None:
        """Drops everything about an assignment, which had these slots."""
        self._periods.pop(assignment.generation, None)
        self._compact.drop(assignment.generation)
        self._forget_slots(slots)

    def _forget_slots(self, slots: Ints) -> None:
        self._changed[slots] = False
        self._written_age[slots] = self._written_kinds[slots] = 0
        for slot in slots.tolist():
            self._dormant.pop(slot, None)

    # ---------------------------------------------------------------- cuts

    def arrived(self, assignment: Assignment, size: int, now: float) -> None:
        """Counts bytes of input."""
        self._period(assignment, now).input_bytes += size

    def is_due(self, assignment: Assignment, end: int, now: float, *, lines_wait: bool = False) -> bool:
        """Returns True if a cut should be made now; `end`: the first offset that is not read.

        `lines_wait`: some lines below it are in no history yet.
        """
        period = self._periods.get(assignment.generation)
        journal = assignment.journal
        if period is None or journal is None or journal.is_waiting or not journal.makes_cuts or end <= period.cut_end:
            return False
        if period.learns and end >= assignment.replay_until and not lines_wait:
            return True  # at once: a restart would learn it all again
        if end <= assignment.replay_until:
            return False
        limits = self._limits
        if end - period.cut_end >= limits.max_records or now - period.cut_at >= limits.max_age_s:
            return True
        if period.input_bytes < limits.least_bytes:
            return False
        changed = len(period.unwritten) + int(self._changed[self._slots.numbers_of(assignment)].sum())
        return period.input_bytes >= changed * period.record_bytes / limits.share

    def cut(self, assignment: Assignment, end: int, waiting: Mapping[str, Through], now: float) -> Cut:
        """Returns the services that changed since the last cut. `waiting`: the first line of each that waits.

        Where their records would take more than their share of the input, the services that changed
        least are left for a later cut: after a crash they lack the lines since their last record.
        """
        period, journal = self._periods[assignment.generation], assignment.journal
        assert journal is not None, "only an assignment with a journal makes cuts"
        snapshots = self._changed_services(assignment, period, now)
        everything = Through(end, 0)
        place = (assignment.partition.topic, assignment.incarnation, assignment.partition.partition)
        entries = [
            StateEntry(
                StateKey(self._limits.group, *place, service).encode(),
                StateValue(
                    format=FORMAT,
                    masks=self._masks,
                    epoch=journal.epoch,
                    run=journal.run,
                    cut=end,
                    is_first=service not in period.written,
                    has_past=journal.has_committed or bool(journal.marks),
                    through=waiting.get(service, everything),
                    snapshot=data,
                ).encode(),
            )
            for service, data in snapshots.items()
        ]
        if entries:
            period.record_bytes = sum(len(entry.key) + len(entry.value or b"") for entry in entries) / len(entries)
        gone = sorted(period.deleted - snapshots.keys())
        entries += [StateEntry(StateKey(self._limits.group, *place, service).encode(), None) for service in gone]
        period.deleted.clear()
        period.written |= snapshots.keys()
        period.cut_at, period.cut_end, period.input_bytes, period.learns = now, end, 0, False
        return Cut(end=end, replay_from=min([end, *(line.offset for line in waiting.values())]), entries=entries)

    def _changed_services(self, assignment: Assignment, period: _Period, now: float) -> dict[str, bytes]:
        """Returns the snapshots for a cut, within its share of the input; those of evicted services come first."""
        limits = self._limits
        room = max(limits.least_bytes, period.input_bytes) * limits.most_share
        if period.learns or now - period.cut_at >= limits.max_age_s:
            room = np.inf  # a quiet partition writes once in hours what it has
        compact = self._compact.of(assignment.generation)
        snapshots = {service: compact[service] for service in period.unwritten if service in compact}
        period.unwritten.clear()
        room -= sum(map(len, snapshots.values()))
        slots = self._slots.numbers_of(assignment)
        slots = slots[self._changed[slots]]
        history = self._stream.history
        ages, kinds = history.age(slots), history.distinct(slots)
        growth = (ages + 1) / (self._written_age[slots] + 1) + np.maximum(kinds - self._written_kinds[slots], 0)
        order = np.argsort(-growth, kind="stable")
        for place, slot in enumerate(slots[order].tolist()):
            if room <= 0:
                self.deferred += len(slots) - place
                break
            data = snapshots[self._slots.service[slot]] = self._snapshot(slot)
            room -= len(data)
            self._changed[slot] = False
            self._written_age[slot], self._written_kinds[slot] = ages[order[place]], kinds[order[place]]
        return snapshots

    def _snapshot(self, slot: int) -> bytes:
        dormant = self._dormant.get(slot)  # no line since it came back
        return snapshot.encode(self._stream.take(slot)) if dormant is None else dormant

    def _keep(self, assignment: Assignment, service: str, data: bytes) -> None:
        for generation, forgotten in self._compact.put(assignment.generation, service, data):
            self.forgotten += 1
            period = self._periods[generation]
            period.unwritten.discard(forgotten)
            if forgotten in period.written:
                period.written.discard(forgotten)
                period.deleted.add(forgotten)

    def _report_unreadable(self, service: str, error: UnreadableState) -> None:
        self.unreadable += 1
        log.warning("state_unreadable", service=service, error=str(error), hint="the service learns again")


def _texts(data: bytes) -> Sequence[str]:
    return snapshot.decode(data).texts
