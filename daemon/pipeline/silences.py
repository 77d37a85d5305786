"""Finds the services that have fallen silent, once for each silence. In use where the kind `silence` is switched on.

Whether a service is silent is seen from the lines of the others of its partition, so a partition that falls silent as a
whole, or whose lines are not fetched, raises nothing. A silence has no line of its own, and no offset waits for its
alert. After a restart it is found again and has the same id. Owned by the ingest thread.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np

from logwarden.daemon.pipeline.partitions import Assignment
from logwarden.daemon.pipeline.slots import ServiceSlots
from logwarden.model.arrays import Ints
from logwarden.model.rhythm import Silence
from logwarden.model.stream import LogStream
from logwarden.model.windowing import WindowBatch

LOOK_S = 1.0
"""Seconds between two looks at the services of a partition."""


class Silences:
    """The silences that were found. Looks at what is in the stream."""

    def __init__(self, stream: LogStream, slots: ServiceSlots, now_ms: Callable[[], int]) -> None:
        """`now_ms`: the wall clock, beyond which no line's clock is believed."""
        self._stream = stream
        self._slots = slots
        self._now_ms = now_ms
        self._found_after = np.full(slots.max_services, -1)  # time of the line before the last silence of each slot
        self._looked: dict[int, float] = {}

    def windows(self, assignments: Sequence[Assignment], now: float) -> Iterator[WindowBatch]:
        """Yields the newest windows of the services of these partitions that fell silent. `now`: monotonic seconds."""
        for assignment in assignments:
            if assignment.ingested_to <= assignment.ledger.score_from:
                continue  # what is read again was found by its owner
            if now - self._looked.get(assignment.generation, -LOOK_S) >= LOOK_S:
                # A look of longer ago counts as none, so that ended assignments leave nothing.
                self._looked = {one: at for one, at in self._looked.items() if now - at < LOOK_S}
                self._looked[assignment.generation] = now
                found = self._new(self._stream.history.silent(self._slots.numbers_of(assignment), self._now_ms()))
                if len(found.slots):
                    yield self._stream.silent(found)

    def forget(self, slots: Ints) -> None:
        """Lets the silences of these slots be found again: their services, or the owner of their alerts, are others."""
        self._found_after[slots] = -1

    def _new(self, silence: Silence) -> Silence:
        new = self._found_after[silence.slots] != silence.after_ms
        self._found_after[silence.slots[new]] = silence.after_ms[new]
        return Silence(*(column[new] for column in silence))
