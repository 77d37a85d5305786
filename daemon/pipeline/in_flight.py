"""Bounds the lines between fetch and done, in all and per partition, and waits for them.

Counts lines, not records: a record counts as one line until it is decoded, and as its lines from then on.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from logwarden.daemon.pipeline.partitions import Assignment, Partitions
from logwarden.daemon.pipeline.phase import Lifetime, Phase
from logwarden.daemon.pipeline.pulse import Pulse
from logwarden.daemon.ports import Ports
from logwarden.daemon.records import Partition

_PARTITION_SHARE = 0.75
"""Share of the lines that one of several partitions may have in flight: a noisy one leaves room for the others."""
MAX_BACKLOG_BYTES = 32 * 1024 * 1024
"""Memory of the lines of one partition that wait for an embedding."""


class InFlight:
    """Pauses partitions at `max_lines`, and resumes them at half of that, so that they do not flap.

    `backlog_bytes`: memory of the lines of an assignment that wait for an embedding. `waits`: True for an assignment
    whose next record waits for its schema.
    """

    def __init__(
        self,
        ports: Ports,
        partitions: Partitions,
        lifetime: Lifetime,
        pulse: Pulse,
        *,
        max_lines: int,
        backlog_bytes: Callable[[Assignment], int] = lambda assignment: 0,
        waits: Callable[[Assignment], bool] = lambda assignment: False,
    ) -> None:
        self._source = ports.source
        self._clock = ports.clock
        self._telemetry = ports.telemetry
        self._health = ports.health
        self._partitions = partitions
        self._lifetime = lifetime
        self._pulse = pulse
        self._max_lines = max_lines
        self._backlog_bytes = backlog_bytes
        self._waits = waits
        self._paused: set[Partition] = set()
        self.is_paused = False
        """All partitions are paused."""

    def set_pressure(self, waiting: int, *, outputs_are_full: bool = False) -> None:
        """Pauses or resumes partitions.

        `waiting`: windows in the batcher, and records that are on their way to it. `outputs_are_full`: what
        waits for an output topic has no room for another record, whatever that contains.
        """
        lines = self._partitions.lines_in_flight
        self._telemetry.in_flight(lines)
        # A revoke that ran out of time leaves windows in the batcher that no ledger counts any more.
        load = max(lines, waiting)
        if load >= self._max_lines or outputs_are_full:
            self.is_paused = True
        elif load <= self._max_lines // 2:
            self.is_paused = False
        assignments = self._partitions.assignments()
        paused = {a.partition for a in assignments if self.is_paused or self._must_pause(a, len(assignments))}
        before, self._paused = self._paused, paused
        if before - paused:
            self._source.resume(before - paused)
        if paused - before:
            self._source.pause(paused - before)
        self._telemetry.paused(bool(paused))
        self._health.paused = self.is_paused

    def resume(self) -> None:
        """Resumes all partitions when some were just assigned: a pause belongs to those before them."""
        self._source.resume([assignment.partition for assignment in self._partitions.assignments()])
        self._paused = set()
        self.is_paused = False
        self._telemetry.paused(False)
        self._health.paused = False

    def _must_pause(self, assignment: Assignment, assigned: int) -> bool:
        """Returns True for a partition with more than its share of what is in flight, or without a schema."""
        if self._waits(assignment):
            return True
        lines = assignment.ledger.outstanding / self._max_lines / (_PARTITION_SHARE if assigned > 1 else 1.0)
        fullness = max(lines, self._backlog_bytes(assignment) / MAX_BACKLOG_BYTES)
        return fullness > 0.5 if assignment.partition in self._paused else fullness >= 1.0

    async def settle(self, assignments: Sequence[Assignment], deadline: float) -> bool:
        """Waits until no line of these assignments is in flight. Returns False if the deadline came first.

        Returns False at once where the loops have ended: nothing in flight will be done then.
        """
        while any(a.ledger.outstanding for a in assignments if not a.ended):
            left_s = deadline - self._clock.monotonic()
            if left_s <= 0 or self._lifetime.phase is Phase.ENDED:
                return False
            await self._pulse.wait(left_s)
        return True
