"""Makes progress durable: runs the steps of a checkpoint in order, the commit of the offsets last.

A line that is done has its alerts acknowledged, because the publisher marks it only then. A step before the offsets,
such as writing state, therefore sees acknowledged lines only; if it fails, no offset is committed. Belongs to the event
loop. Invariants: one checkpoint at a time; no commit that names a partition continues, or begins, after that partition
was closed.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence

import structlog

from logwarden.daemon.errors import BrokerUnavailable
from logwarden.daemon.pipeline.ledger import decode_marks
from logwarden.daemon.pipeline.partitions import Assignment, Partitions
from logwarden.daemon.ports import Ports
from logwarden.daemon.records import Committed, Partition

log = structlog.get_logger(__name__)

Positions = Mapping[Assignment, Committed]
Step = Callable[[Positions, float], Awaitable[None]]
"""Makes something durable that belongs to these positions, within some seconds. Raises BrokerUnavailable to keep the
offsets back."""


class Checkpoint:
    """Commits what moved since the last time. The next checkpoint repeats what one could not commit."""

    def __init__(
        self,
        ports: Ports,
        partitions: Partitions,
        max_context_records: int,
        *,
        before_offsets: Sequence[Step] = (),
    ) -> None:
        self._source = ports.source
        self._partitions = partitions
        self._telemetry = ports.telemetry
        self._health = ports.health
        self._max_context_records = max_context_records
        self._before_offsets = before_offsets
        self._last: dict[Assignment, Committed] = {}
        self._one_at_a_time = asyncio.Lock()  # an older position never follows a newer one
        self._held: list[asyncio.Timeout] = []
        """Time-outs of the commits under way that may be cut short."""

    async def commit_held(self, timeout_s: float) -> bool:
        """Commits the assignments that stay. Returns False if the broker did not take the commit."""
        return await self._bounded(self._staying, timeout_s, held=True)

    async def commit_revoked(self, revoked: Sequence[Assignment], timeout_s: float) -> bool:
        """Commits assignments that are about to end, before the group gives them to another member.

        Cuts commits of held assignments short: they may be stuck, name a revoked partition, and must not outlive it.
        """
        self._cut_held_short()
        return await self._bounded(lambda: [a for a in revoked if not a.ended], timeout_s, held=False)

    async def commit_final(self, timeout_s: float) -> bool:
        """Commits the assignments that stay, for the last time; cuts a stuck commit before it short."""
        self._cut_held_short()
        return await self._bounded(self._staying, timeout_s, held=True)

    def committed(self, assignment: Assignment) -> Committed | None:
        """Returns what was committed last for an assignment. Returns None if nothing was."""
        return self._last.get(assignment)

    def _staying(self) -> list[Assignment]:
        return [assignment for assignment in self._partitions.assignments() if not assignment.revoking]

    def _cut_held_short(self) -> None:
        for scope in self._held:
            if not scope.expired():
                scope.reschedule(0.0)

    async def _bounded(self, which: Callable[[], list[Assignment]], timeout_s: float, *, held: bool) -> bool:
        try:
            async with asyncio.timeout(timeout_s) as scope:
                if held:
                    self._held.append(scope)
                try:
                    await self._run_steps(which, timeout_s / 2)
                finally:
                    if held:
                        self._held.remove(scope)
        except (BrokerUnavailable, TimeoutError) as error:
            sentence = str(error) or "it took too long"
            self._telemetry.commit_failed()
            self._health.attempt_failed("commit", sentence)
            log.warning("commit_failed", error=sentence)
            return False
        return True

    async def _run_steps(self, which: Callable[[], list[Assignment]], patience_s: float) -> None:
        async with self._one_at_a_time:
            for step in self._before_offsets:
                await step(self._positions(which()), patience_s)
            moved = self._moved(which())  # after the waits: what became done meanwhile counts
            self._health.waiting("commit", bool(moved))
            if moved:
                await self._commit_offsets(moved)
                self._remember(moved)
                self._telemetry.committed(len(moved))
                self._health.progressed("commit")
                self._health.waiting("commit", False)
            self._report_lag()

    def _positions(self, assignments: Sequence[Assignment]) -> Positions:
        return {a: a.ledger.to_commit(self._max_context_records, a.journal, a.budgets) for a in assignments}

    def _moved(self, assignments: Sequence[Assignment]) -> Positions:
        positions = self._positions(assignments)
        return {a: position for a, position in positions.items() if self._last.get(a) != position}

    async def _commit_offsets(self, positions: Positions) -> None:
        offsets: dict[Partition, Committed] = {a.partition: position for a, position in positions.items()}
        await self._source.commit(offsets)

    def _remember(self, moved: Positions) -> None:
        for assignment, position in moved.items():
            if assignment.journal is not None:
                assignment.journal.committed(position.offset, decode_marks(position.metadata))
        self._last = {a: position for a, position in {**self._last, **moved}.items() if not a.ended}

    def _report_lag(self) -> None:
        for assignment in self._partitions.assignments():
            end = self._source.end(assignment.partition)
            if end is not None:
                records = max(0, end - assignment.ledger.position())
                self._telemetry.lag(*assignment.partition, records)
                self._health.lag(assignment.partition, records)
