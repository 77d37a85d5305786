"""Keeps services without a slot as the bytes of their snapshots, within one bound for all assignments of a member.

The ingest thread owns it. Knows generations, names and bytes; knows nothing of what is in them.
"""

from __future__ import annotations

from collections.abc import Mapping

MAX_COMPACT_BYTES = 128 * 1024 * 1024
"""Memory of compact services. Above it those without a line for longest are forgotten."""
ENTRY_BYTES = 300
"""Memory of a compact service beside its snapshot."""


class CompactServices:
    """Snapshots by assignment number and service, those without a line for longest first."""

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._bytes = 0
        self._services: dict[int, dict[str, bytes]] = {}

    def of(self, generation: int) -> Mapping[str, bytes]:
        """Returns the compact services of an assignment."""
        return self._services.get(generation, {})

    def put(self, generation: int, service: str, data: bytes) -> list[tuple[int, str]]:
        """Takes a service. Returns those that are forgotten for it: of the assignment that has the most."""
        self.pop(generation, service)
        self._services.setdefault(generation, {})[service] = data
        self._bytes += len(data) + ENTRY_BYTES
        forgotten = []
        while self._bytes > self._max_bytes:
            largest = max(self._services, key=lambda number: len(self._services[number]))
            oldest = next(iter(self._services[largest]))
            self.pop(largest, oldest)
            forgotten.append((largest, oldest))
        return forgotten

    def pop(self, generation: int, service: str) -> bytes | None:
        """Removes a service. Returns its snapshot, or None where it is not compact."""
        services = self._services.get(generation)
        data = None if services is None else services.pop(service, None)
        if data is not None:
            self._bytes -= len(data) + ENTRY_BYTES
            if not services:
                del self._services[generation]
        return data

    def drop(self, generation: int) -> None:
        """Drops the services of an assignment."""
        services = self._services.pop(generation, {})
        self._bytes -= sum(len(data) + ENTRY_BYTES for data in services.values())

    def hand_over(self, before: int, after: int) -> None:
        """Gives the services of one assignment to another one."""
        if before in self._services:
            self._services[after] = self._services.pop(before)
