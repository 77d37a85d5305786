"""Keeps the partitions that stand still at a batch which cannot be read, and when each is tried again. Pure."""

from __future__ import annotations

from logwarden.daemon.records import Partition

RETRY_S = 10.0
"""Seconds until the batch is fetched again: another replica may have a whole copy, once it leads."""


class Quarantine:
    """Partitions by the time of their next attempt."""

    def __init__(self) -> None:
        self._due_at: dict[Partition, float] = {}

    def __contains__(self, partition: object) -> bool:
        return partition in self._due_at

    def add(self, partition: Partition, now: float) -> None:
        """Stops a partition until `RETRY_S` seconds from now."""
        self._due_at[partition] = now + RETRY_S

    def take_due(self, now: float) -> list[Partition]:
        """Removes and returns the partitions whose batch should be fetched again."""
        due = [partition for partition, at in self._due_at.items() if at <= now]
        for partition in due:
            del self._due_at[partition]
        return due

    def clear(self) -> None:
        """Removes all partitions, as they are revoked."""
        self._due_at.clear()
