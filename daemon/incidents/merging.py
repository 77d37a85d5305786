"""Puts the alerts of several partitions into the order in which they were published.

One fetch returns alerts of one partition, and the next one those of another. Folded in that order, two members could
make different incidents of the same alerts. So alerts that were there when a term began wait until each partition has
one at hand. Newer ones wait a second for those of other partitions. Pure.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Iterator, Mapping

from logwarden.daemon.records import AlertBatch, Record

HOLD_S = 1.0
"""Seconds for which a new alert waits. Fetches of different partitions lie closer together."""


class AlertMerge:
    """The alerts of one term that were fetched and not taken. `ends`: of the partitions when the term began."""

    def __init__(self, ends: Mapping[int, int]) -> None:
        self._ends = ends
        self._read: dict[int, int] = {}
        self._waiting: dict[int, deque[tuple[Record, float]]] = {partition: deque() for partition in ends}

    @property
    def partitions(self) -> Collection[int]:
        """Returns the partitions of which something is known."""
        return self._read.keys()

    def add(self, batch: AlertBatch, now: float) -> None:
        """Adds the alerts of a fetch, which may be taken from some time on."""
        self._read.update(batch.positions)
        for record in batch.records:
            is_old = record.offset < self._ends.get(record.partition, 0)
            self._waiting.setdefault(record.partition, deque()).append((record, now + (0.0 if is_old else HOLD_S)))

    def wanted(self) -> list[int]:
        """Returns the partitions that must be fetched before another alert is taken; empty if any may be."""
        return [
            partition
            for partition, end in self._ends.items()
            if not self._waiting[partition] and self._read.get(partition, 0) < end
        ]

    def position(self, partition: int) -> int:
        """Returns the offset of the first alert of a partition that was not taken."""
        waiting = self._waiting.get(partition)
        return waiting[0][0].offset if waiting else self._read.get(partition, 0)

    def take(self, now: float) -> Iterator[Record]:
        """Yields alerts whose turn it is, the ones published first before the others."""
        while not self.wanted():
            heads = [queue[0] for queue in self._waiting.values() if queue]
            # The alert that waited long enough lets those go first that were published before it.
            if not any(due <= now for _, due in heads):
                return
            first = min((record for record, _ in heads), key=lambda record: (record.timestamp, record.partition))
            yield self._waiting[first.partition].popleft()[0]
