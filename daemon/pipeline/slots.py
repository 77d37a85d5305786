"""Gives each service of an assignment a slot of the log stream, and chooses the services that make room for others.

The ingest thread owns it. Knows slots and names; knows nothing of lines, windows and familiarity.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import numpy.typing as npt

from logwarden.daemon.pipeline.partitions import Assignment

Ints = npt.NDArray[np.int64]

_EVICTED_SHARE = 16


class ServiceSlots:
    """At most `max_services` slots. Arrays are by slot."""

    def __init__(self, max_services: int) -> None:
        self.max_services = max_services
        self.owner = np.empty(max_services, object)
        """Assignment of each slot."""
        self.service = np.empty(max_services, object)
        """Name of each slot's service."""
        self.is_new = np.zeros(max_services, bool)
        """True for a slot that got its service since the last look at it."""
        self._slots: dict[int, dict[str, int]] = {}  # by assignment number, then service
        self._free = list(range(max_services - 1, -1, -1))
        self._last_used = np.zeros(max_services, np.int64)
        self._tick = 1  # 0 is the last use of a free slot

    def __len__(self) -> int:
        """Slots in use."""
        return self.max_services - len(self._free)

    @property
    def free(self) -> int:
        """Slots that no service has."""
        return len(self._free)

    @property
    def generations(self) -> list[int]:
        """Numbers of the assignments that have slots."""
        return list(self._slots)

    def in_use(self) -> Ints:
        """Returns the slots in use."""
        return np.flatnonzero(self._last_used)

    def of(self, assignment: Assignment) -> Mapping[str, int]:
        """Returns the slots of an assignment by service."""
        return self._slots.get(assignment.generation, {})

    def by_assignment(self) -> list[tuple[Assignment, Ints]]:
        """Returns the assignments that have services, each with the slots of its services."""
        found = [np.fromiter(slots.values(), np.int64, len(slots)) for slots in self._slots.values() if slots]
        return [(self.owner[slots[0]], slots) for slots in found]

    def find(
        self, assignments: Sequence[Assignment], services: Sequence[str], opened: Callable[[Assignment, str], int]
    ) -> Ints:
        """Returns the slots (n,) of n lines' services. `opened` returns the slot of a service that has none."""
        self._tick += 1
        found: list[int | None] = []
        for assignment, service in zip(assignments, services, strict=True):
            found.append(self._slots.setdefault(assignment.generation, {}).get(service))
        known = np.array([slot for slot in found if slot is not None], np.int64)
        self._last_used[known] = self._tick  # before any eviction, so that no slot of this batch is evicted
        if len(known) < len(found):
            for place, slot in enumerate(found):
                if slot is None:  # unless it is the service's second line in the batch that brought it
                    assignment, service = assignments[place], services[place]
                    again = self._slots[assignment.generation].get(service)
                    found[place] = opened(assignment, service) if again is None else again
        return np.array(found, np.int64)

    def numbers_of(self, assignment: Assignment) -> Ints:
        """Returns the slots of an assignment."""
        return np.array(list(self.of(assignment).values()), np.int64)

    def open(self, assignment: Assignment, service: str) -> int:
        """Gives a free slot to a service."""
        slot = self._slots.setdefault(assignment.generation, {})[service] = self._free.pop()
        self.owner[slot] = assignment
        self.service[slot] = service
        self.is_new[slot] = True
        self._last_used[slot] = self._tick
        return slot

    def idle_longest(self) -> Ints:
        """Returns the slots idle for longest, a sixteenth of all, but none of the current batch."""
        candidates = np.flatnonzero(self._last_used < self._tick)
        share = max(1, self.max_services // _EVICTED_SHARE)
        victims = candidates[np.argsort(self._last_used[candidates], kind="stable")][:share]
        assert len(victims), "a batch never holds more services than there are slots"
        return victims

    def release(self, slots: Ints) -> None:
        """Takes slots away from their services."""
        for slot in slots.tolist():
            services = self._slots.get(self.owner[slot].generation)
            if services is not None:
                services.pop(self.service[slot], None)
        self.owner[slots] = None
        self.service[slots] = None
        self._last_used[slots] = 0
        self._free.extend(slots.tolist())

    def hand_over(self, before: Assignment, after: Assignment) -> None:
        """Gives the slots of one assignment to another one."""
        slots = self._slots.pop(before.generation, {})
        self._slots[after.generation] = slots
        for slot in slots.values():
            self.owner[slot] = after

    def drop(self, assignment: Assignment) -> Ints:
        """Takes all slots away from the services of an assignment, and returns them."""
        slots = np.array(list(self._slots.pop(assignment.generation, {}).values()), np.int64)
        self.release(slots)
        return slots
