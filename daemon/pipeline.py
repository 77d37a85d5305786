"""The data path: fetch → ingest → score → publish → commit, and what happens when partitions come and go.

Four tasks joined by queues that the number of lines in flight bounds. It knows ports only (`logwarden.daemon.ports`),
so the simulation runs this very code under virtual time. Invariants, each held by a test that breaks without it:

- a line is scored by the owner of its partition, or the next one: nothing below the committed position is left undone;
- an offset is committed only after every line below it was scored and its alerts are acknowledged;
- nothing is committed for a partition after its revoke returned, and what finishes later is discarded;
- at most `max_in_flight_lines` and one fetch are in the daemon at a time.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt
import structlog
from logwarden.daemon.aggregator import Aggregator, Ingested, Work
from logwarden.daemon.batcher import Batcher
from logwarden.daemon.errors import BrokerUnavailable, FatalError, OffsetsGone, TaskEnded
from logwarden.daemon.http import HealthState
from logwarden.daemon.judging import Judge
from logwarden.daemon.offsets import Assignment
from logwarden.daemon.ownership import Ownership
from logwarden.daemon.ports import Clock, Scorer, Sink, Source, Worker
from logwarden.daemon.publisher import Publisher, burial
from logwarden.daemon.pulse import Pulse
from logwarden.daemon.records import Partition, Record
from logwarden.daemon.telemetry import Telemetry
from logwarden.model.verdicts import AlertPolicy

log = structlog.get_logger(__name__)

T = TypeVar("T")
Chunks = list[tuple[Assignment, Sequence[Record]]]

GOODBYE_S = 1.0
"""So long may the tasks take to end by themselves after a drain: a fetch that waits for records needs half of it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PipelineLimits:
    """Everything the pipeline is bounded by. Times in seconds."""

    alerts_topic: str
    dead_letter_topic: str
    max_windows: int
    max_delay_s: float
    max_wait_s: float
    """How long a line may wait for its window's step to fill."""
    max_in_flight_lines: int
    max_context_records: int
    commit_interval_s: float
    revoke_budget_s: float
    """Shared by all waits of one revoke; what is not done by then is replayed by the next owner."""
    max_alert_line_chars: int
    publish_retry_s: float = 1.0


class Pipeline:
    """One member's work on its partitions. Also the listener that the source tells about rebalances."""

    def __init__(
        self,
        *,
        source: Source,
        sink: Sink,
        aggregator: Aggregator,
        scorer: Scorer,
        judgement: AlertPolicy,
        ingest_worker: Worker,
        score_worker: Worker,
        clock: Clock,
        telemetry: Telemetry,
        health: HealthState,
        limits: PipelineLimits,
    ) -> None:
        self._source = source
        self._aggregator = aggregator
        self._ingest_worker = ingest_worker
        self._score_worker = score_worker
        self._clock = clock
        self._telemetry = telemetry
        self._health = health
        self._limits = limits
        self._ownership = Ownership(source, telemetry, max_context_records=limits.max_context_records)
        self._judge = Judge(
            scorer,
            judgement,
            clock,
            alerts_topic=limits.alerts_topic,
            max_alert_line_chars=limits.max_alert_line_chars,
        )
        self._batcher: Batcher[Work] = Batcher(max_windows=limits.max_windows, max_delay_s=limits.max_delay_s)
        self._publisher = Publisher(sink, clock, telemetry, retry_s=limits.publish_retry_s, done=self._done)
        self._pulse = Pulse()  # beats whenever work was put or done
        self._scored_pushes = 0
        self._paused = False
        self._draining = False
        self._closed = asyncio.Event()  # drained: the tasks may end
        self._over = False  # the tasks have ended: nothing in flight will ever be done
        self._failure: BaseException | None = None
        self._tasks: list[asyncio.Task[None]] = []

    # ---------------------------------------------------------------- life

    async def run(self) -> None:
        """Works until `drain` is through. Raises what ended it otherwise."""
        loops = {
            "fetch": self._fetch_forever,
            "score": self._score_forever,
            "publish": self._publisher.run,
            "commit": self._commit_forever,
        }
        try:
            async with asyncio.TaskGroup() as group:
                self._tasks = [group.create_task(self._watch(name, loop), name=name) for name, loop in loops.items()]
        finally:
            self._over = True
            self._pulse.beat()  # whoever waits for work in flight would wait for ever

    async def drain(self, budget_s: float) -> bool:
        """Stops reading, finishes what is in flight, commits. False if the budget ended it early."""
        deadline = self._clock.monotonic() + budget_s
        self._draining = True
        self._pulse.beat()
        settled = await self._settle(self._ownership.all, deadline)
        await self._ownership.commit(max(0.1, deadline - self._clock.monotonic()), urgent=True)
        self._closed.set()
        self._publisher.end()
        self._pulse.beat()
        if not settled:
            log.warning("drain_budget_spent", lines_left=self._ownership.in_flight, replayed_by="the next owner")
        elif self._tasks:
            await asyncio.wait(self._tasks, timeout=min(GOODBYE_S, max(0.1, deadline - self._clock.monotonic())))
        for task in self._tasks:  # what still waits now waits for nothing that we need
            task.cancel()
        return settled

    async def _watch(self, name: str, loop: Callable[[], Coroutine[None, None, None]]) -> None:
        await loop()
        if not self._draining:
            raise TaskEnded(name)

    # ---------------------------------------------------------------- fetch and ingest

    async def _fetch_forever(self) -> None:
        while not self._draining:
            if self._failure is not None:
                raise FatalError(f"a rebalance failed: {self._failure}") from self._failure
            self._set_pressure()
            asked = self._ownership.made
            try:
                fetched = await self._answer(self._source.fetch)
            except OffsetsGone as error:
                await self._skip_gone([Partition(*p) for p in error.partitions])
                continue
            if fetched is None or self._draining:
                return  # not taken into any ledger: the next owner reads them again
            chunks = self._open(fetched, asked)
            if chunks:
                await self._ingest(chunks)
            await self._flush(before=self._clock.monotonic() - self._limits.max_wait_s)

    def _set_pressure(self) -> None:
        """Pauses the source above the bound and resumes it below half of it, so that it does not flap."""
        in_flight = self._ownership.in_flight
        self._telemetry.in_flight(in_flight)
        # A revoke that ran out of time leaves windows in the batcher that no ledger counts any more.
        held = max(in_flight, len(self._batcher))
        if not self._paused and held >= self._limits.max_in_flight_lines:
            self._source.pause()
        elif self._paused and held <= self._limits.max_in_flight_lines // 2:
            self._source.resume()
        else:
            return
        self._paused = not self._paused
        self._telemetry.paused(self._paused)

    async def _skip_gone(self, partitions: Sequence[Partition]) -> None:
        """Retention overtook us: goes on from the oldest offset kept, and says so. Never a jump to the end."""
        gone = [assignment for p in partitions if (assignment := self._ownership.get(p)) is not None]
        bounds = await self._answer(lambda: self._source.bounds([assignment.partition for assignment in gone]))
        if bounds is None:
            return
        for assignment in gone:
            partition = assignment.partition
            if self._ownership.get(partition) is not assignment:
                continue  # it went, or came anew, while we asked
            earliest, end = bounds[partition]
            self._telemetry.out_of_range(*partition)
            log.error("offset_out_of_range", **partition._asdict(), earliest=earliest, end=end)
            if assignment.ledger.may_go_on_from(earliest):
                self._source.seek(partition, earliest)
            else:  # the topic was cut at its end or made anew: these are other lines under offsets we know
                self._ownership.end([assignment])
                self._ownership.assign(partition, None, bounds[partition])
                await self._ingest_worker.run(self._aggregator.drop, [assignment])

    def _open(self, fetched: Mapping[Partition, Sequence[Record]], asked: int) -> Chunks:
        """Takes records into the ledgers. Records of a partition that is going or gone are left to its next owner.

        `asked`: the newest assignment when these were asked for. What was under way while a partition came to us may
        be from before: it is read again from where we want to begin.
        """
        chunks = []
        for partition, records in fetched.items():
            assignment = self._ownership.get(partition)
            if assignment is None or not records:
                continue
            if assignment.number > asked:
                self._source.seek(partition, assignment.ledger.read_from)
                continue
            self._telemetry.fetched(len(records))
            offsets = np.fromiter((record.offset for record in records), np.int64, len(records))
            ours = offsets[offsets >= assignment.ledger.score_from]
            if len(ours):
                assignment.ledger.open(ours, np.ones(len(ours), np.int64))
            chunks.append((assignment, records))
        return chunks

    async def _ingest(self, chunks: Chunks) -> None:
        started = self._clock.monotonic()
        scored, self._scored_pushes = self._scored_pushes, 0
        ingested = await self._ingest_worker.run(self._ingest_now, chunks, started, scored)
        self._count(ingested, self._clock.monotonic() - started)
        for assignment, offsets in ingested.blank:
            self._done(assignment, offsets)
        if ingested.dead:
            self._publisher.put(burial(ingested, self._limits.dead_letter_topic))
        self._put(ingested.work)

    def _ingest_now(self, chunks: Chunks, now: float, scored: int) -> Ingested:
        self._aggregator.scored(scored)
        return self._aggregator.ingest([c for c in chunks if not c[0].ended], now)

    async def _flush(self, before: float) -> None:
        work = await self._ingest_worker.run(self._aggregator.flush, before) if self._aggregator.waits else []
        self._put(work)

    def _put(self, work: Sequence[Work]) -> None:
        for piece in work:
            self._batcher.put(piece, self._clock.monotonic())
        if work:
            self._pulse.beat()

    def _count(self, ingested: Ingested, seconds: float) -> None:
        telemetry = self._telemetry
        telemetry.ingested(ingested.lines, seconds)
        telemetry.embedded(ingested.new_lines)
        telemetry.decoded_with_replacement(ingested.replaced)
        telemetry.cut_lines(ingested.cut)
        telemetry.empty_lines(sum(len(offsets) for _, offsets in ingested.blank))
        telemetry.table_overflow(ingested.overflowed)
        telemetry.services(self._aggregator.services)
        telemetry.table_rows(self._aggregator.table_rows)

    # ---------------------------------------------------------------- score

    async def _score_forever(self) -> None:
        while True:
            now = self._clock.monotonic()
            batch = self._batcher.take(now, closing=self._draining)
            if batch:
                await self._score(batch)
            elif self._closed.is_set():
                return
            else:
                await self._pulse.wait(self._batcher.wait_s(now))

    async def _score(self, batch: list[Work]) -> None:
        started = self._clock.monotonic()
        judged = await self._score_worker.run(self._judge.judge, batch)
        seconds = self._clock.monotonic() - started
        self._scored_pushes += sum(work.pushes for work in batch)
        flagged = sum(len(publication.messages) for publication in judged.publications)
        self._telemetry.batch(lines=judged.lines, windows=judged.windows, alerts=flagged, seconds_score=seconds)
        log.debug("batch_scored", windows=judged.windows, alerts=flagged, seconds=round(seconds, 4))
        for assignment, offsets in judged.quiet:
            self._done(assignment, offsets)
        for publication in judged.publications:
            self._publisher.put(publication)

    def _done(self, assignment: Assignment, offsets: npt.NDArray[np.int64]) -> None:
        """Marks lines done, unless the partition is no longer ours. Lines of the replayed context were never opened."""
        if assignment.ended:
            return
        assignment.ledger.done(offsets[offsets >= assignment.ledger.score_from])
        self._pulse.beat()

    # ---------------------------------------------------------------- commit

    async def _commit_forever(self) -> None:
        while not self._closed.is_set():
            try:
                async with asyncio.timeout(self._limits.commit_interval_s):
                    await self._closed.wait()
            except TimeoutError:
                await self._ownership.commit(self._limits.revoke_budget_s)

    # ---------------------------------------------------------------- rebalance

    async def on_revoked(self, partitions: Sequence[Partition]) -> None:
        """Stop feeding → wait for what is in flight → commit → end the period of ownership."""
        deadline = self._clock.monotonic() + self._limits.revoke_budget_s
        going = self._ownership.revoke(partitions)
        try:
            try:
                if not await self._settle(going, deadline):
                    log.warning("revoke_budget_spent", lines_left=sum(a.ledger.outstanding for a in going))
                left_s = max(0.1, deadline - self._clock.monotonic())
                await self._ownership.commit(left_s, going=going, urgent=True)
            finally:  # whatever happened, they are somebody else's now
                self._end(going)
            await self._in_time("drop", self._ingest_worker.run(self._aggregator.drop, going), deadline)
        except Exception as error:  # aiokafka swallows what a listener raises: keep it, and end the daemon
            self._fail(error)
            raise

    async def on_assigned(self, partitions: Sequence[Partition]) -> None:
        """Reads where the group is, and seeks back to where the context begins."""
        try:
            committed = await self._answer(lambda: self._source.committed(partitions)) if partitions else {}
            bounds = await self._answer(lambda: self._source.bounds(partitions)) if partitions else {}
            if committed is None or bounds is None or self._draining:
                return  # we are going: nothing begins any more
            for partition in partitions:
                self._ownership.assign(partition, committed.get(partition), bounds[partition])
            self._source.resume()
            self._paused = False
            self._telemetry.paused(False)
            self._health.assigned = True
            self._telemetry.rebalanced(len(partitions), 0)
            log.info("partitions_assigned", partitions=len(partitions))
        except Exception as error:  # aiokafka swallows what a listener raises: keep it, and end the daemon
            self._fail(error)
            raise

    def _end(self, going: Sequence[Assignment]) -> None:
        self._ownership.end(going)
        self._publisher.forget_the_gone()
        self._health.assigned = False
        self._telemetry.rebalanced(0, len(going))
        log.info("partitions_revoked", partitions=len(going))
        self._pulse.beat()

    async def _answer(self, ask: Callable[[], Awaitable[T]]) -> T | None:
        """What the broker says, as soon as it says something; None if we were told to go before that.

        There is no hurry to give up: without the answer there is nothing to read, and readiness shows it.
        """
        while not self._over:
            try:
                return await ask()
            except BrokerUnavailable as error:
                if self._draining:
                    break
                log.warning("broker_unavailable", error=str(error), retry_in_s=self._limits.publish_retry_s)
                await self._clock.sleep(self._limits.publish_retry_s)
        return None

    async def _settle(self, assignments: Sequence[Assignment], deadline: float) -> bool:
        """Waits until nothing of these is in flight. False if the deadline came first, or nobody works any more."""
        if not await self._in_time("flush", self._flush(before=np.inf), deadline):
            return False
        while any(a.ledger.outstanding for a in assignments if not a.ended):
            left_s = deadline - self._clock.monotonic()
            if left_s <= 0 or self._over:
                return False
            await self._pulse.wait(left_s)
        return True

    async def _in_time(self, name: str, work: Coroutine[Any, Any, Any], deadline: float) -> bool:
        """Waits for what must not be given up half way. False if it still goes on, by itself, at the deadline."""
        task = asyncio.create_task(work, name=name)
        await asyncio.wait([task], timeout=max(0.0, deadline - self._clock.monotonic()))
        if task.done():
            task.result()
        return task.done()

    def _fail(self, error: BaseException) -> None:
        self._failure = error
        self._health.failed(str(error))
