"""Bounds the lines between fetch and done, and waits for them.

Counts lines, not records: a record counts as one line until it is decoded, and as its lines from then on.
"""

from __future__ import annotations

from collections.abc import Sequence

from logwarden.daemon.pipeline.partitions import Assignment, Partitions
from logwarden.daemon.pipeline.phase import Lifetime, Phase
from logwarden.daemon.pipeline.pulse import Pulse
from logwarden.daemon.ports import Ports
from logwarden.daemon.records import Partition


class InFlight:
    """Pauses the source at `max_lines`, and resumes it at half of that, so that it does not flap."""

    def __init__(
        self, ports: Ports, partitions: Partitions, lifetime: Lifetime, pulse: Pulse, *, max_lines: int
    ) -> None:
        self._source = ports.source
        self._clock = ports.clock
        self._telemetry = ports.telemetry
        self._partitions = partitions
        self._lifetime = lifetime
        self._pulse = pulse
        self._max_lines = max_lines
        self.is_paused = False

    def set_pressure(self, waiting_windows: int) -> None:
        """Pauses or resumes the source. `waiting_windows`: windows in the batcher."""
        lines = self._partitions.lines_in_flight
        self._telemetry.in_flight(lines)
        # A revoke that ran out of time leaves windows in the batcher that no ledger counts any more.
        load = max(lines, waiting_windows)
        if not self.is_paused and load >= self._max_lines:
            self._source.pause(self._held())
            self._set_paused(True)
        elif self.is_paused and load <= self._max_lines // 2:
            self.resume()

    def resume(self) -> None:
        """Resumes the source, also when partitions were just assigned: a pause belongs to those before them."""
        self._source.resume(self._held())
        self._set_paused(False)

    def _held(self) -> list[Partition]:
        return [assignment.partition for assignment in self._partitions.assignments()]

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

    def _set_paused(self, now: bool) -> None:
        self.is_paused = now
        self._telemetry.paused(now)
