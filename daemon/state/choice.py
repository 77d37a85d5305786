"""Chooses from the records of the state topic those that count for the next owners of partitions. Pure.

Takes the records in the order of their offsets, a few at a time, and keeps one or two of each service: memory does not
grow with the length of the topic.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

from logwarden.daemon.records import Entries
from logwarden.daemon.state.records import (
    MAX_MARKS,
    Mark,
    StateValue,
    Through,
    UnreadableRecord,
    read_key,
    read_value,
)

Marks = Sequence[Mark] | None
"""The cuts that a commit names. None: the commit is not of a member that keeps state, such as an operator's."""

MAX_BYTES = 256 * 1024 * 1024
"""Memory of the records that are chosen. Above it the services written first are left out."""
_ENTRY_BYTES = 400
"""Memory of a chosen record beside its snapshot."""


class Place(NamedTuple):
    """A partition of one incarnation of an input topic."""

    topic: str
    incarnation: str
    partition: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Restored:
    """What the state topic has about one service."""

    service: str
    through: Through
    snapshot: bytes
    is_exact: bool = True
    """False: compaction removed the record that belongs to the commit, and this one contains other lines."""
    is_covered: bool = False
    """True: the next cut contains the service, because its record does not count for the owner after this one."""


class _Candidates:
    """The records of one partition."""

    def __init__(self, marks: Marks) -> None:
        self.marks = marks
        self.counting: dict[str, Restored] = {}
        """The newest record of each service that counts; the services written last come last."""
        self.others: dict[str, Restored] = {}
        """The newest record of a service that lies above the one that counts, or where none does."""
        self.newest: dict[str, Restored] = {}
        """The newest record of each service, kept only where the commit names no cut."""
        self.has_past = False
        """A record was written after a commit that named a cut."""

    def delete(self, service: str) -> int:
        """Forgets a service. Returns the bytes that it took."""
        return sum(
            _size(found) for kept in (self.counting, self.others, self.newest) if (found := kept.pop(service, None))
        )

    def pass_over(self, service: str) -> int:
        """Takes a record that cannot be read: the one below it is better than none. Returns the bytes that it frees."""
        below = self.counting.pop(service, None)
        return 0 if below is None else -_put(self.others, below) + _size(below)

    def add(self, service: str, value: StateValue) -> int:
        """Takes a record. Returns the bytes that it takes more than the one that it replaces."""
        restored = Restored(service=service, through=value.through, snapshot=value.snapshot)
        more = 0
        if self.marks is not None and not self.marks:
            self.has_past = self.has_past or value.has_past
            more += _put(self.newest, restored)
        if _counts(value, self.marks):
            covering = self.others.pop(service, None)
            return more + _put(self.counting, restored) - (0 if covering is None else _size(covering))
        if service in self.counting or not value.is_first:
            more += _put(self.others, restored)
        return more

    def oldest(self) -> str | None:
        """Returns the service written first."""
        return next(iter(self.newest or self.counting or self.others), None)

    def chosen(self) -> list[Restored]:
        """Returns one record of each service, those written last behind the others."""
        if self.has_past:  # the group lost its offsets: what its members had learned stays true
            return [replace(restored, is_covered=True) for restored in self.newest.values()]
        found = []
        for service, restored in (self.others | self.counting).items():
            is_exact = service in self.counting
            is_covered = service in self.others or self.marks is None
            found.append(replace(restored, is_exact=is_exact, is_covered=is_covered))
        return found


class Choice:
    """The records that count for some partitions, given the cuts that the commit of each names.

    A record counts if its cut was committed. One that does not is the trace of a member that failed between writing and
    committing, or that did not know that it had lost the partition. It is taken only where compaction left no other.
    Without marks every record counts.
    """

    # marks (2, r2, 50), (1, r1, 30), records of one service in order
    #   1 r1 cut 20      counts
    #   1 r1 cut 30      counts, and replaces it
    #   1 r1 cut 40      was never committed: does not count, and covers the one before it

    def __init__(self, marks: Mapping[Place, Marks], *, group: str, masks: str, max_bytes: int = MAX_BYTES) -> None:
        self._candidates = {place: _Candidates(of_place) for place, of_place in marks.items()}
        self._group = group
        self._masks = masks
        self._max_bytes = max_bytes
        self._bytes = 0
        self.passed_over: Counter[str] = Counter()
        """Records that this release does not read, by reason: `damaged`, `format` or `masks`."""
        self.left_out = 0
        """Services that found no room."""

    def take(self, entries: Entries) -> None:
        """Takes the next records. Those of other groups, partitions and programs are left out."""
        for raw, data in entries:
            key = read_key(raw)
            if key is None or key.group != self._group:
                continue
            candidates = self._candidates.get(Place(key.topic, key.incarnation, key.partition))
            if candidates is not None:
                self._take_one(candidates, key.service, data)
        while self._bytes > self._max_bytes:
            self._leave_one_out()

    def of(self, place: Place) -> list[Restored]:
        """Returns what counts for a partition; empty for one that was not asked for."""
        candidates = self._candidates.get(place)
        return [] if candidates is None else candidates.chosen()

    def places(self) -> Iterator[Place]:
        """Returns the partitions whose records are chosen."""
        return iter(self._candidates)

    def _take_one(self, candidates: _Candidates, service: str, data: bytes | None) -> None:
        if data is None:
            self._bytes -= candidates.delete(service)
            return
        try:
            value = read_value(data)
            if value.masks != self._masks:
                raise UnreadableRecord("masks")
        except UnreadableRecord as error:
            self.passed_over[str(error)] += 1
            self._bytes -= candidates.pass_over(service)
        else:
            self._bytes += candidates.add(service, value)

    def _leave_one_out(self) -> None:
        largest = max(self._candidates.values(), key=lambda found: len(found.counting) + len(found.others))
        service = largest.oldest()
        assert service is not None, "bytes are taken by services"
        self._bytes -= largest.delete(service)
        self.left_out += 1


def _counts(value: StateValue, marks: Marks) -> bool:
    if marks is None:
        return True
    for mark in marks:
        if mark.run == value.run:
            return value.cut <= mark.cut
    # What an epoch before those of the marks left was sorted out by the runs after it.
    return len(marks) == MAX_MARKS and value.epoch < marks[-1].epoch


def _put(kept: dict[str, Restored], restored: Restored) -> int:
    """Puts a record behind all others. Returns the bytes that it takes more than the one before it."""
    before = kept.pop(restored.service, None)
    kept[restored.service] = restored
    return _size(restored) - (0 if before is None else _size(before))


def _size(restored: Restored) -> int:
    return len(restored.snapshot) + _ENTRY_BYTES
