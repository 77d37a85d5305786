"""Follows the rebalances of the consumer group. The listener that the source calls.

Revoke: stop new work → wait for what is in flight, within a budget → commit → close. Assign: read the committed offsets
and seek to where each context begins. aiokafka logs and swallows what a listener raises, so a failure is kept in the
lifetime, where the fetch loop finds it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from typing import Any

import structlog

from logwarden.daemon.pipeline.checkpoint import Checkpoint
from logwarden.daemon.pipeline.in_flight import InFlight
from logwarden.daemon.pipeline.intake import Drop
from logwarden.daemon.pipeline.ledger import may_restore
from logwarden.daemon.pipeline.partitions import Assignment, Partitions
from logwarden.daemon.pipeline.phase import Lifetime, Phase
from logwarden.daemon.pipeline.publisher import Publisher
from logwarden.daemon.pipeline.retries import Retries
from logwarden.daemon.ports import Ports
from logwarden.daemon.records import Partition
from logwarden.daemon.state.records import Entries

log = structlog.get_logger(__name__)

Restore = Callable[[Sequence[Assignment], Entries], Coroutine[Any, Any, None]]
"""Brings back what services of new assignments have learned, from records of the state topic."""

LAST_COMMIT_S = 0.1
"""Seconds that a last commit gets where the budget is spent already."""


class Rebalance:
    """Implements `daemon/ports.py: RebalanceListener`, and the waits that a revoke and a drain share."""

    def __init__(
        self,
        ports: Ports,
        partitions: Partitions,
        lifetime: Lifetime,
        *,
        retries: Retries,
        in_flight: InFlight,
        checkpoint: Checkpoint,
        publisher: Publisher,
        drop: Drop,
        restore: Restore,
        budget_s: float,
    ) -> None:
        self._source = ports.source
        self._clock = ports.clock
        self._telemetry = ports.telemetry
        self._health = ports.health
        self._partitions = partitions
        self._lifetime = lifetime
        self._retries = retries
        self._in_flight = in_flight
        self._checkpoint = checkpoint
        self._publisher = publisher
        self._drop = drop
        self._restore = restore
        self._state = ports.state
        self._budget_s = budget_s

    async def on_revoked(self, partitions: Sequence[Partition]) -> None:
        """Finishes and commits what the budget allows, then closes the assignments; the next owner does the rest."""
        deadline = self._clock.monotonic() + self._budget_s
        revoked = self._partitions.revoke(partitions)
        try:
            try:
                if not await self.settle(revoked, deadline):
                    log.warning("revoke_budget_spent", lines_left=sum(a.ledger.outstanding for a in revoked))
                left_s = max(LAST_COMMIT_S, deadline - self._clock.monotonic())
                await self._checkpoint.commit_revoked(revoked, left_s)
            finally:  # whatever happened, the partitions belong to another member now
                self._close(revoked)
            await self._in_time("drop", self._drop(revoked), deadline)
        except Exception as error:  # aiokafka swallows what a listener raises: keep it, and end the daemon
            self._fail(error)
            raise

    async def on_assigned(self, partitions: Sequence[Partition]) -> None:
        """Begins periods of ownership at the committed offsets."""
        try:
            committed = await self._retries.answer(lambda: self._source.committed(partitions)) if partitions else {}
            bounds = await self._retries.answer(lambda: self._source.bounds(partitions)) if partitions else {}
            if committed is None or bounds is None or self._lifetime.phase >= Phase.DRAINING:
                return  # this member stops: no period of ownership begins any more
            entries = await self._retries.answer(lambda: self._read_state(partitions)) if partitions else ()
            if entries is None or self._lifetime.phase >= Phase.DRAINING:
                return
            begun = [self._partitions.assign(p, committed.get(p), bounds[p]) for p in partitions]
            restorable = [a for a in begun if may_restore(committed.get(a.partition), bounds[a.partition])]
            await self._restore(restorable, entries)  # enters the ingest thread's queue before any of their records
            self._in_flight.resume()
            self._health.assigned = True
            self._health.partitions = len(partitions)
            self._telemetry.rebalanced(len(partitions), 0)
            log.info("partitions_assigned", partitions=len(partitions))
        except Exception as error:  # aiokafka swallows what a listener raises: keep it, and end the daemon
            self._fail(error)
            raise

    async def settle(self, assignments: Sequence[Assignment], deadline: float) -> bool:
        """Waits until nothing is in flight. Returns False at the deadline.

        The ingest loop makes the windows of waiting lines meanwhile, because their assignments are being revoked.
        """
        self._lifetime.changed()
        return await self._in_flight.settle(assignments, deadline)

    async def _read_state(self, partitions: Sequence[Partition]) -> Entries:
        if self._state is None:
            return ()
        return await self._state.read({partition.partition for partition in partitions})

    def _close(self, revoked: Sequence[Assignment]) -> None:
        self._partitions.close(revoked)
        self._publisher.drop_ended()
        for assignment in revoked:
            self._health.unreadable.pop(assignment.partition, None)
            self._health.without_schema.pop(assignment.partition, None)
        self._health.assigned = False
        self._telemetry.rebalanced(0, len(revoked))
        log.info("partitions_revoked", partitions=len(revoked))
        self._lifetime.changed()

    async def _in_time(self, name: str, work: Coroutine[Any, Any, None], deadline: float) -> bool:
        """Waits for work that must not be cancelled half way. Returns False if it continues past the deadline."""
        task = asyncio.create_task(work, name=name)
        await asyncio.wait([task], timeout=max(0.0, deadline - self._clock.monotonic()))
        if task.done():
            task.result()
        return task.done()

    def _fail(self, error: BaseException) -> None:
        self._lifetime.failure = error
        self._health.failed(str(error))
