"""The partitions that are ours, how far each one is, and what the group was told of it.

Owns the ledgers and every commit. Knows the source only as the one who takes commits and seeks; of records, windows
and alerts it knows nothing. Invariants: one commit at a time; none that names a partition goes on, or begins, after
that partition was ended.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence

import structlog

from logwarden.daemon.errors import BrokerUnavailable
from logwarden.daemon.pipeline.ledger import Assignment, PartitionLedger, where_to_start
from logwarden.daemon.ports import Source
from logwarden.daemon.records import Bounds, Committed, Partition
from logwarden.daemon.web.metrics import Telemetry

log = structlog.get_logger(__name__)


class Ownership:
    """What we own, from `assign` to `end`."""

    def __init__(self, source: Source, telemetry: Telemetry, *, max_context_records: int) -> None:
        self._source = source
        self._telemetry = telemetry
        self._max_context_records = max_context_records
        self._owned: dict[Partition, Assignment] = {}
        self._committed: dict[Partition, Committed] = {}
        self._committing = asyncio.Lock()
        self._interruptible: list[asyncio.Timeout] = []
        self.made = 0
        """Assignments so far: the number of the newest one."""

    @property
    def all(self) -> list[Assignment]:
        """Every period of ownership that has not ended."""
        return list(self._owned.values())

    @property
    def in_flight(self) -> int:
        """Lines read and not done."""
        return sum(assignment.ledger.outstanding for assignment in self._owned.values())

    def get(self, partition: Partition) -> Assignment | None:
        """Who works on this partition now; None if it is not ours, or about to be somebody else's."""
        assignment = self._owned.get(partition)
        return None if assignment is None or assignment.revoking else assignment

    # ---------------------------------------------------------------- come and go

    def assign(self, partition: Partition, committed: Committed | None, bounds: Bounds) -> None:
        """Begins a period of ownership where the group is, and seeks back to where the context begins."""
        assert partition not in self._owned, "a partition is revoked before it is assigned again"
        score_from, context, short = where_to_start(committed, bounds, self._max_context_records)
        if committed and not bounds.earliest <= committed.offset <= bounds.end:
            self._telemetry.out_of_range(*partition)
            log.error(
                "offset_out_of_range",
                **partition._asdict(),
                committed=committed.offset,
                earliest=bounds.earliest,
                end=bounds.end,
                going_on_from=score_from,
            )
        self._telemetry.context_replayed(score_from - context, short)
        self.made += 1
        self._owned[partition] = Assignment(self.made, partition, PartitionLedger(score_from, context))
        self._source.seek(partition, context)

    def revoke(self, partitions: Sequence[Partition]) -> list[Assignment]:
        """Takes nothing more for these partitions. Those of them that were ours, to be ended by `end`."""
        going = [self._owned[partition] for partition in partitions if partition in self._owned]
        for assignment in going:
            assignment.revoking = True
        return going

    def end(self, going: Sequence[Assignment]) -> None:
        """Ends periods of ownership: what finishes later is discarded."""
        for assignment in going:
            assignment.ended = True
            if self._owned.get(assignment.partition) is assignment:
                del self._owned[assignment.partition]
                self._committed.pop(assignment.partition, None)

    # ---------------------------------------------------------------- commit

    async def commit(
        self, timeout_s: float, *, going: Sequence[Assignment] | None = None, urgent: bool = False
    ) -> bool:
        """Commits what moved. False if the broker did not take it; the next commit will hold it too.

        One at a time, so that an older position never follows a newer one; what happens while it waits counts.
        `going`: those that are about to end; without it, those that stay. `urgent`: cuts short the commits of those
        that stay, which may be stuck and must not outlive their partitions; this one holds what they held.
        """
        if urgent:
            for scope in self._interruptible:
                if not scope.expired():
                    scope.reschedule(0.0)
        try:
            async with asyncio.timeout(timeout_s) as scope:
                if going is not None:
                    await self._commit(lambda: [assignment for assignment in going if not assignment.ended])
                    return True
                self._interruptible.append(scope)
                try:
                    await self._commit(lambda: [a for a in self._owned.values() if not a.revoking])
                finally:
                    self._interruptible.remove(scope)
        except (BrokerUnavailable, TimeoutError) as error:
            log.warning("commit_failed", error=str(error) or "it took too long")
            return False
        return True

    async def _commit(self, which: Callable[[], list[Assignment]]) -> None:
        async with self._committing:
            moved = self._moved(which())
            if moved:
                await self._source.commit(moved)
                self._committed.update(moved)
                self._telemetry.committed(len(moved))
            self._report_lag()

    def _moved(self, assignments: Sequence[Assignment]) -> Mapping[Partition, Committed]:
        positions = {a.partition: a.ledger.to_commit(self._max_context_records) for a in assignments}
        return {p: position for p, position in positions.items() if self._committed.get(p) != position}

    def _report_lag(self) -> None:
        for partition, assignment in self._owned.items():
            end = self._source.end(partition)
            if end is not None:
                self._telemetry.lag(*partition, max(0, end - assignment.ledger.position()))
