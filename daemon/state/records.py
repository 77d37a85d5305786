"""The records of the state topic: which service a record is about, and up to which line it is valid.

A key names topic, incarnation, partition and service. A value begins with what decides whether the record counts; the
snapshot behind it is read only if it does. Pure.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import msgspec

FORMAT = 1
MAX_MARKS = 8
"""Periods of ownership that a commit names: what was written by an earlier one was sorted out long ago."""


class Mark(NamedTuple):
    """A cut of one run that was committed: records of that run count up to this cut."""

    epoch: int
    """Number of the run: one more than that of the run whose commits it continues."""
    run: str
    """Name of a period of ownership, unlike that of any other."""
    cut: int
    """First offset that the member had not read when the cut was made."""


class Through(NamedTuple):
    """The first line of a service that its snapshot does not contain."""

    offset: int
    line_index: int


class StateKey(NamedTuple):
    """The service that a record is about."""

    topic: str
    incarnation: str
    partition: int
    service: str

    def encode(self) -> bytes:
        """Returns the key's bytes."""
        return msgspec.json.encode(self)


class StateValue(msgspec.Struct, array_like=True, frozen=True):
    """A record's value."""

    format: int
    masks: str
    """Fingerprint of the masking: names of lines under another one mean nothing."""
    epoch: int
    run: str
    cut: int
    is_first: bool
    """No record of this service was there before, as far as the run knows."""
    through: Through
    snapshot: bytes

    def encode(self) -> bytes:
        """Returns the value's bytes."""
        return _encoder.encode(self)


@dataclass(frozen=True, slots=True, kw_only=True)
class Restored:
    """What the state topic has about one service."""

    service: str
    through: Through
    snapshot: bytes
    is_exact: bool = True
    """False: compaction removed the record that belongs to the commit, and this one contains other lines."""
    is_covered: bool = False
    """True: a record that does not count lies above this one, so it must be written again."""


@dataclass(slots=True)
class Chosen:
    """The records that count for one partition."""

    services: list[Restored]
    unreadable: int = 0
    """Records that this release cannot read."""


Entries = Iterable[tuple[bytes, bytes | None]]

_encoder = msgspec.msgpack.Encoder()
_value_decoder = msgspec.msgpack.Decoder(StateValue)
_key_decoder = msgspec.json.Decoder(StateKey)


def by_partition(entries: Entries) -> dict[tuple[str, str, int], list[tuple[str, bytes | None]]]:
    """Groups entries (key, value) by topic, incarnation and partition, in order. Leaves out keys of other programs."""
    groups: dict[tuple[str, str, int], list[tuple[str, bytes | None]]] = {}
    for raw, value in entries:
        try:
            key = _key_decoder.decode(raw)
        except (msgspec.MsgspecError, ValueError):
            continue
        groups.setdefault((key.topic, key.incarnation, key.partition), []).append((key.service, value))
    return groups


def choose(entries: Sequence[tuple[str, bytes | None]], marks: Sequence[Mark] | None, masks: str) -> Chosen:
    """Returns the newest record of each service that counts, from the entries (service, value) of one partition.

    The services that were written last come last. A record counts if its cut was committed. One that does not is the
    trace of a member that failed between writing and committing, or that did not know that it had lost the partition.
    It is taken only where compaction left no other. `marks` None: the commit is not of a member that keeps state, such
    as an operator's, and every record counts.
    """
    # marks (2, r2, 50), (1, r1, 30), records of one service in order
    #   1 r1 cut 20      counts
    #   1 r1 cut 30      counts, and replaces it
    #   1 r1 cut 40      was never committed: does not count, and covers the one before it
    found: dict[str, Restored] = {}
    others: dict[str, Restored] = {}
    chosen = Chosen([])
    for service, data in entries:
        value = _read(data, masks, chosen)
        if value is None:
            found.pop(service, None)
            others.pop(service, None)
            continue
        restored = Restored(service=service, through=value.through, snapshot=value.snapshot)
        if _counts(value, marks):
            found.pop(service, None)
            found[service] = restored  # behind those that were written before it
            others.pop(service, None)
        elif service in found or not value.is_first:
            others[service] = restored
    for service, restored in (others | found).items():
        is_exact = service in found
        chosen.services.append(replace(restored, is_exact=is_exact, is_covered=service in others))
    return chosen


def read_value(data: bytes) -> StateValue:
    """Returns a record's value. Raises ValueError for other bytes."""
    try:
        return _value_decoder.decode(data)
    except msgspec.MsgspecError as error:
        raise ValueError(str(error)) from None


def _counts(value: StateValue, marks: Sequence[Mark] | None) -> bool:
    if marks is None:
        return True
    for mark in marks:
        if mark.run == value.run:
            return value.cut <= mark.cut
    # What an epoch before those of the marks left was sorted out by the runs after it.
    return len(marks) == MAX_MARKS and value.epoch < marks[-1].epoch


def _read(data: bytes | None, masks: str, chosen: Chosen) -> StateValue | None:
    """Returns a value that this release reads, under the masking in use. Counts the others, except deleted ones."""
    if data is None:
        return None
    try:
        value = read_value(data)
    except ValueError:
        chosen.unreadable += 1
        return None
    if value.format != FORMAT:
        chosen.unreadable += 1
        return None
    return value if value.masks == masks else None
