"""Decides which record of a key counts in the feedback topic, for all who read it. Pure.

A compacted topic keeps the last record of a key in each partition. A key lies in more than one if partitions were
added, or if clients choose them differently. Then the record that was published last counts, a removal as well:

    partition 0   k: "first"  at 12:00     →   k is "second", and scattered: the newer record may be
    partition 1   k: "second" at 12:05         removed by another client, and "first" comes back

Of two of the same millisecond it is that of the higher partition, so that the order of reading changes nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Generic, TypeVar

from logwarden.daemon.feedback.records import FeedbackRecord, decode_feedback, key_of
from logwarden.daemon.records import KeyedRecord

MOST_KEYS = 16_384
"""Keys of the topic that are kept. Further ones are counted, and do not count."""

Item = TypeVar("Item")
_Last = Mapping[int, tuple[int, Item | None]]
"""By partition: time of publication and value of the last record. None: it was taken back there."""


class NewestRecords(Generic[Item]):
    """The records of a topic: of at most `MOST_KEYS` keys with a value, and removals of twice as many."""

    def __init__(self) -> None:
        self._most = MOST_KEYS
        self._filled = 0
        self._last: dict[str, dict[int, tuple[int, Item | None]]] = {}
        self.newest: dict[str, Item] = {}
        """By key, what counts."""
        self.scattered: dict[str, tuple[int, int]] = {}
        """Keys of which an older record has a value in another partition, and two of their partitions."""

    def put(self, key: str, value: Item | None, *, time_ms: int = 0, partition: int = 0) -> bool:
        """Takes a record; those of a partition in their order. Returns False for one beyond the bound.

        `value`: None for a record that takes back what the key has, or that cannot be read.
        """
        parts = self._last.get(key, {})
        had_value = _has_value(parts)
        if value is not None and not had_value and self._filled >= self._most:
            return False
        if value is None and not parts and len(self._last) >= 3 * self._most:
            return True
        parts[partition] = time_ms, value
        self._last[key] = parts
        self._filled += _has_value(parts) - had_value
        self._choose(key, parts)
        return True

    def _choose(self, key: str, parts: _Last[Item]) -> None:
        newest = max(parts, key=lambda partition: (parts[partition][0], partition))
        value = parts[newest][1]
        if value is None:
            self.newest.pop(key, None)
        else:
            self.newest[key] = value
        older = [each for each, (_, found) in parts.items() if found is not None and each != newest]
        if older:
            self.scattered[key] = min(older[0], newest), max(older[0], newest)
        else:  # what is older has been taken back in its own partition
            self.scattered.pop(key, None)


def readable(records: Iterable[KeyedRecord]) -> dict[str, FeedbackRecord]:
    """Returns the feedback of a topic that counts, by its keys and in their order. Passes over what is none."""
    found = NewestRecords[FeedbackRecord]()
    for record in records:
        try:
            value = None if record.value is None else read_record(record.key, record.value)
        except ValueError:
            value = None
        found.put(name_of(record.key), value, time_ms=record.time_ms, partition=record.partition)
    return dict(sorted(found.newest.items()))


def read_record(key: bytes, value: bytes) -> FeedbackRecord:
    """Returns the feedback in a record. Raises ValueError if its key or its value cannot be used."""
    key_of(key)
    return decode_feedback(value)


def name_of(key: bytes) -> str:
    """Returns the name under which a key is kept, also of one that is too long for feedback."""
    return key[:512].decode("utf-8", "replace")


def _has_value(parts: _Last[Item]) -> bool:
    return any(value is not None for _, value in parts.values())
