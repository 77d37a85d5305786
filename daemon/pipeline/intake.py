"""Takes records from the source into the ledgers of their assignments, and handles what the source cannot deliver.

Runs on the event loop. Invariants:

- a record is in its ledger before anything else happens to it;
- a record of a revoked partition is left to the next owner;
- an offset that the broker no longer has is never a jump to the end.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Sequence
from typing import Any

import numpy as np
import structlog

from logwarden.daemon.errors import BatchSkipped, OffsetsGone, TopicRecreated, UnreadableBatch
from logwarden.daemon.pipeline.partitions import Assignment, Partitions
from logwarden.daemon.pipeline.phase import Lifetime, Phase
from logwarden.daemon.pipeline.retries import Retries
from logwarden.daemon.pipeline.schemas import SchemaShelf
from logwarden.daemon.ports import Ports
from logwarden.daemon.records import Bounds, Fetched, Partition, Record

log = structlog.get_logger(__name__)

Chunks = list[tuple[Assignment, Sequence[Record]]]
Drop = Callable[[Sequence[Assignment]], Coroutine[Any, Any, None]]
"""Drops everything that the ingestor keeps about assignments."""


class Intake:
    """Fetches. `next_chunks` returns None when there is nothing more to fetch."""

    def __init__(
        self,
        ports: Ports,
        partitions: Partitions,
        lifetime: Lifetime,
        retries: Retries,
        drop: Drop,
        schemas: SchemaShelf | None = None,
    ) -> None:
        self._source = ports.source
        self._telemetry = ports.telemetry
        self._health = ports.health
        self._partitions = partitions
        self._lifetime = lifetime
        self._retries = retries
        self._drop = drop
        self._schemas = schemas
        self._unreadable_at: dict[Partition, int] = {}
        """Where the partitions stand that could not be read."""

    async def next_chunks(self) -> Chunks | None:
        """Returns the next records by assignment. Returns None once the pipeline drains."""
        generation = self._partitions.newest_generation
        try:
            fetched = await self._retries.answer(self._source.fetch)
        except OffsetsGone as error:
            await self._skip_gone([Partition(*partition) for partition in error.partitions])
            return []
        except TopicRecreated as error:
            await self._start_again([Partition(*partition) for partition in error.partitions])
            return []
        except UnreadableBatch as error:
            self._stand_still(error)
            return []
        except BatchSkipped as error:
            self._report_skipped(error)
            return []
        if fetched is None or self._lifetime.phase >= Phase.DRAINING:
            return None  # records in no ledger: the next owner reads them again
        return self._open(fetched, generation)

    def _open(self, fetched: Fetched, generation: int) -> Chunks:
        """Opens records in their ledgers. `generation`: the newest assignment when the fetch began.

        Records of a newer assignment may be from a fetch before it: they are read again from where it begins.
        """
        chunks: Chunks = []
        waiting: set[Partition] = set()
        for partition, arrived in fetched.records.items():
            assignment, records = self._partitions.active(partition), arrived
            if assignment is None or not records:
                continue
            if assignment.generation > generation:
                self._source.seek(partition, assignment.ledger.read_from)
                continue
            readable = len(records) if self._schemas is None else self._schemas.readable(assignment, records)
            if readable < len(records):  # the others come again when their schemas are here
                self._source.seek(partition, records[readable].offset)
                waiting.add(partition)
                if not readable:
                    continue
                records = records[:readable]
            self._is_readable(partition)
            self._telemetry.fetched(len(records))
            self._health.received()
            offsets = np.fromiter((record.offset for record in records), np.int64, len(records))
            new = offsets[offsets >= assignment.ledger.score_from]
            if len(new):
                assignment.ledger.open(new)
            assignment.fetched_to = int(offsets[-1]) + 1
            chunks.append((assignment, records))
        if self._schemas is not None:
            self._schemas.next_fetch(used=bool(chunks))
        for partition, position in fetched.positions.items():
            assignment = self._partitions.active(partition) if partition not in waiting else None
            if assignment is not None and assignment.generation <= generation:
                assignment.ledger.passed(position)
            if position > self._unreadable_at.get(partition, position):
                self._is_readable(partition)  # what stood there was deleted or aborted: no record of it comes
        return chunks

    def _is_readable(self, partition: Partition) -> None:
        self._unreadable_at.pop(partition, None)
        self._health.unreadable.pop(partition, None)

    def _stand_still(self, error: UnreadableBatch) -> None:
        """Reports a partition that cannot be read; the source tries its batch again from time to time."""
        partition = Partition(error.topic, error.partition)
        self._telemetry.unreadable(*partition)
        if self._partitions.active(partition) is not None:
            self._health.unreadable[partition] = str(error)
            self._unreadable_at[partition] = error.offset
        log.error("batch_unreadable", **partition._asdict(), offset=error.offset, reason=error.reason, hint=error.hint)

    def _report_skipped(self, error: BatchSkipped) -> None:
        """Reports a batch that was left out; its partition is read again."""
        partition = Partition(error.topic, error.partition)
        self._telemetry.skipped(*partition, error.last - error.first + 1)
        self._is_readable(partition)
        log.error("batch_skipped", **partition._asdict(), first=error.first, last=error.last, reason=error.reason)

    async def _skip_gone(self, partitions: Sequence[Partition]) -> None:
        """Continues at the oldest offset kept, and reports it: retention deleted the wanted ones."""
        affected = [assignment for p in partitions if (assignment := self._partitions.active(p)) is not None]
        bounds = await self._retries.answer(lambda: self._source.bounds([a.partition for a in affected]))
        if bounds is None:
            return
        for assignment in affected:
            partition = assignment.partition
            if self._partitions.active(partition) is not assignment:
                continue  # revoked, or assigned again, while the broker answered
            earliest, end, incarnation = bounds[partition]
            self._is_readable(partition)
            self._telemetry.out_of_range(*partition)
            log.error("offset_out_of_range", **partition._asdict(), earliest=earliest, end=end)
            if incarnation == assignment.incarnation and assignment.ledger.may_continue_from(earliest):
                self._source.seek(partition, earliest)
            else:  # the topic was truncated or created again: these are other lines under known offsets
                await self._replace(assignment, bounds[partition])

    async def _start_again(self, partitions: Sequence[Partition]) -> None:
        """Begins again with the new topic: the lines of the deleted one cannot be read any more."""
        affected = [assignment for p in partitions if (assignment := self._partitions.active(p)) is not None]
        bounds = await self._retries.answer(lambda: self._source.bounds([a.partition for a in affected]))
        if bounds is None:
            return
        for assignment in affected:
            partition = assignment.partition
            if self._partitions.active(partition) is assignment:
                self._is_readable(partition)
                self._telemetry.out_of_range(*partition)
                log.error("topic_recreated", **partition._asdict(), not_done=assignment.ledger.outstanding)
                await self._replace(assignment, bounds[partition])

    async def _replace(self, assignment: Assignment, bounds: Bounds) -> None:
        self._partitions.close([assignment])
        self._partitions.assign(assignment.partition, None, bounds)
        await self._drop([assignment])
