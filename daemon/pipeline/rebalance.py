"""Follows the rebalances of the consumer group. The listener that the source calls.

Revoke: stop new work → wait for what is in flight, within a budget → commit → close. Assign: read the committed offsets
and seek to where each context begins. aiokafka logs and swallows what a listener raises, so a failure is kept in the
lifetime, where the fetch loop finds it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Mapping, Sequence
from typing import Any

import structlog

from logwarden.daemon.pipeline.checkpoint import Checkpoint
from logwarden.daemon.pipeline.in_flight import InFlight
from logwarden.daemon.pipeline.intake import Drop
from logwarden.daemon.pipeline.learning import FirstStarts
from logwarden.daemon.pipeline.ledger import incident_of, may_restore
from logwarden.daemon.pipeline.partitions import Assignment, Partitions, marks_of
from logwarden.daemon.pipeline.phase import Lifetime, Phase
from logwarden.daemon.pipeline.publisher import Publisher
from logwarden.daemon.pipeline.recall import Recall
from logwarden.daemon.pipeline.retries import Retries
from logwarden.daemon.pipeline.work import Begun
from logwarden.daemon.ports import Ports
from logwarden.daemon.records import Bounds, Committed, Partition
from logwarden.daemon.state.choice import Place

log = structlog.get_logger(__name__)

Keep = Callable[[Sequence[Assignment]], Coroutine[Any, Any, Sequence[Assignment]]]
"""Keeps the services of assignments that ended. Returns the assignments that can be continued, and drops the others."""


Restore = Callable[[Begun], Coroutine[Any, Any, None]]
"""Brings back what services of new assignments have learned."""

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
        keep: Keep,
        restore: Restore,
        recall: Recall,
        first_starts: FirstStarts,
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
        self._keep = keep
        self._restore = restore
        self._recall = recall
        self._first_starts = first_starts
        self._budget_s = budget_s
        self._kept: dict[Partition, tuple[Assignment, Committed]] = {}
        """Ended assignments whose services are still in memory, with what they committed last."""
        self._round = 0

    async def on_revoked(self, partitions: Sequence[Partition]) -> None:
        """Finishes and commits what the budget allows, then closes the assignments; the next owner does the rest."""
        deadline = self._clock.monotonic() + self._budget_s
        revoked = self._partitions.revoke(partitions)
        finished: dict[Assignment, Committed] = {}
        try:
            try:
                if not await self.settle(revoked, deadline):
                    log.warning("revoke_budget_spent", lines_left=sum(a.ledger.outstanding for a in revoked))
                left_s = max(LAST_COMMIT_S, deadline - self._clock.monotonic())
                if await self._checkpoint.commit_revoked(revoked, left_s):
                    finished = self._finished(revoked)
            finally:  # whatever happened, the partitions belong to another member now
                self._close(revoked)
            await self._in_time("drop", self._drop_or_keep(revoked, finished), deadline)
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
            resumable = await self._resumable(committed, bounds)
            marks = {
                _place(p, bounds[p]): marks_of(committed.get(p), bounds[p])
                for p in partitions
                if p not in resumable and may_restore(committed.get(p), bounds[p])
            }
            choice = await self._recall.choice(marks)
            without = [p for p in partitions if p not in committed and not (choice and choice.of(_place(p, bounds[p])))]
            firsts = await self._first_starts.choose(without, bounds)
            if firsts is None or self._lifetime.phase >= Phase.DRAINING:
                return
            begun = Begun(choice=choice)
            for partition in partitions:
                if partition in resumable:
                    before = resumable[partition]
                    begun.resumed.append((before, self._partitions.resume(before)))
                    continue
                assignment = self._partitions.assign(
                    partition,
                    committed.get(partition),
                    bounds[partition],
                    makes_cuts=choice is not None,
                    first=firsts.get(partition),
                )
                if may_restore(committed.get(partition), bounds[partition]):
                    begun.fresh.append(assignment)
            self._in_flight.resume()  # before anything is awaited: the next look at the pressure may pause them again
            await self._restore(begun)  # enters the ingest thread's queue before any of their records
            self._health.assigned = True
            self._health.partitions = len(partitions)
            self._telemetry.rebalanced(len(partitions), 0)
            log.info("partitions_assigned", partitions=len(partitions), continued=len(begun.resumed))
        except Exception as error:  # aiokafka swallows what a listener raises: keep it, and end the daemon
            self._fail(error)
            raise

    async def settle(self, assignments: Sequence[Assignment], deadline: float) -> bool:
        """Waits until nothing is in flight. Returns False at the deadline.

        The ingest loop makes the windows of waiting lines meanwhile, because their assignments are being revoked.
        """
        self._lifetime.changed()
        return await self._in_flight.settle(assignments, deadline)

    def _finished(self, revoked: Sequence[Assignment]) -> dict[Assignment, Committed]:
        """Returns the assignments that have read and judged everything below their commit, each with that commit."""
        found = {}
        for assignment in revoked:
            ledger, journal = assignment.ledger, assignment.journal
            committed = self._checkpoint.committed(assignment)
            if (
                committed is not None
                and not ledger.outstanding
                and ledger.position() == committed.offset <= ledger.reached
                and assignment.replay_until <= committed.offset
                and (journal is None or journal.makes_cuts)
            ):
                found[assignment] = committed
        return found

    async def _drop_or_keep(self, revoked: Sequence[Assignment], finished: Mapping[Assignment, Committed]) -> None:
        """Drops what belongs to assignments that ended, except where they may come back as they are."""
        now = self._round
        await self._drop([assignment for assignment in revoked if assignment not in finished])
        kept = await self._keep(list(finished)) if finished else ()
        if self._round != now:  # too late: the next assignment has begun without them
            await self._drop(kept)
            return
        self._kept |= {assignment.partition: (assignment, finished[assignment]) for assignment in kept}

    async def _resumable(
        self, committed: Mapping[Partition, Committed], bounds: Mapping[Partition, Bounds]
    ) -> dict[Partition, Assignment]:
        """Returns the kept assignments of partitions that come back unchanged. Drops the others.

        Unchanged means that no other member has committed since: the group's offset is the one of this member, and its
        lines are those of the same topic.
        """
        self._round += 1
        kept, self._kept = self._kept, {}
        found = {
            partition: assignment
            for partition, (assignment, at) in kept.items()
            if committed.get(partition) == at
            and bounds[partition].incarnation == assignment.incarnation
            and not incident_of(at, bounds[partition])
        }
        await self._drop([assignment for partition, (assignment, _) in kept.items() if partition not in found])
        return found

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


def _place(partition: Partition, bounds: Bounds) -> Place:
    return Place(partition.topic, bounds.incarnation, partition.partition)
