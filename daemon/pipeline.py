"""The data path: fetch → ingest → score → publish → commit, and what happens when partitions come and go.

Four tasks joined by queues that the number of lines in flight bounds. It knows ports only (`daemon.ports`), so the
simulation runs this very code under virtual time. Invariants, each held by a test that breaks without it:

- a line is scored by the owner of its partition, or the next one: nothing below the committed position is left undone;
- an offset is committed only after every line below it was scored and its alerts are acknowledged;
- nothing is committed for a partition after its revoke returned, and what finishes later is discarded;
- at most `max_in_flight_lines` and one fetch are in the daemon at a time.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import structlog

from daemon import alerts
from daemon.aggregator import Aggregator, Ingested, Work, by_assignment
from daemon.batcher import Batcher
from daemon.errors import BrokerUnavailable, FatalError, OffsetsGone, TaskEnded
from daemon.http import HealthState
from daemon.offsets import Assignment, PartitionLedger, decode_metadata
from daemon.ports import Clock, Scorer, Sink, Source, Worker
from daemon.records import Bounds, Committed, Message, Partition, Record, dead_letter_message
from daemon.telemetry import Telemetry
from model.verdicts import Judgement
from model.windowing import concatenate

log = structlog.get_logger(__name__)

Ints = npt.NDArray[np.int64]
Marks = list[tuple[Assignment, Ints]]


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


@dataclass(slots=True)
class _Publication:
    """Messages to send, and the lines that are done once they are acknowledged."""

    messages: list[Message]
    marks: Marks
    delays_ms: list[int] = field(default_factory=list)
    """How long after its line each alert was made."""
    dead_stages: list[str] = field(default_factory=list)


@dataclass(slots=True)
class _Judged:
    """A scored batch: what is done at once, and what is done when its alert is out."""

    quiet: Marks
    publications: list[_Publication]
    windows: int
    lines: int
    services: int


class Pipeline:
    """One member's work on its partitions. Also the listener that the source tells about rebalances."""

    def __init__(
        self,
        *,
        source: Source,
        sink: Sink,
        aggregator: Aggregator,
        scorer: Scorer,
        judgement: Judgement,
        ingest_worker: Worker,
        score_worker: Worker,
        clock: Clock,
        telemetry: Telemetry,
        health: HealthState,
        limits: PipelineLimits,
    ) -> None:
        self._source = source
        self._sink = sink
        self._aggregator = aggregator
        self._scorer = scorer
        self._judgement = judgement
        self._ingest_worker = ingest_worker
        self._score_worker = score_worker
        self._clock = clock
        self._telemetry = telemetry
        self._health = health
        self._limits = limits
        self._owned: dict[Partition, Assignment] = {}
        self._committed: dict[Partition, Committed] = {}
        self._assignments_made = 0
        self._batcher: Batcher[Work] = Batcher(max_windows=limits.max_windows, max_delay_s=limits.max_delay_s)
        self._publications: asyncio.Queue[_Publication | None] = asyncio.Queue()
        self._pulse = _Pulse()  # beats whenever work was put or done
        self._scored_pushes = 0
        self._paused = False
        self._draining = False
        self._closing = False
        self._closed = asyncio.Event()
        self._committing = asyncio.Lock()
        self._failure: BaseException | None = None
        self._tasks: list[asyncio.Task[None]] = []

    # ---------------------------------------------------------------- life

    async def run(self) -> None:
        """Works until `drain` is through. Raises what ended it otherwise."""
        loops = {
            "fetch": self._fetch_forever(),
            "score": self._score_forever(),
            "publish": self._publish_forever(),
            "commit": self._commit_forever(),
        }
        async with asyncio.TaskGroup() as group:
            self._tasks = [group.create_task(self._watch(name, loop), name=name) for name, loop in loops.items()]

    async def drain(self, budget_s: float) -> bool:
        """Stops reading, finishes what is in flight, commits. False if the budget ended it early."""
        deadline = self._clock.monotonic() + budget_s
        self._draining = True
        self._pulse.beat()
        fetching = self._tasks[0] if self._tasks else None
        while fetching and not fetching.done() and self._clock.monotonic() < deadline:
            await self._pulse.wait(0.05)
        await self._flush(before=np.inf)
        settled = await self._settle(list(self._owned.values()), deadline)
        await self._commit(max(0.1, deadline - self._clock.monotonic()))
        self._closing = True
        self._closed.set()
        self._publications.put_nowait(None)
        self._pulse.beat()
        if not settled:
            log.warning("drain_budget_spent", lines_left=self._in_flight(), replayed_by="the next owner")
            for task in self._tasks:
                task.cancel()
        return settled

    async def _watch(self, name: str, loop: Coroutine[None, None, None]) -> None:
        await loop
        if not (self._draining or self._closing):
            raise TaskEnded(name)

    # ---------------------------------------------------------------- fetch and ingest

    async def _fetch_forever(self) -> None:
        while not self._draining:
            if self._failure is not None:
                raise FatalError(f"a rebalance failed: {self._failure}") from self._failure
            self._set_pressure()
            try:
                fetched = await self._source.fetch()
            except OffsetsGone as error:
                await self._skip_gone([Partition(*p) for p in error.partitions])
                continue
            chunks = self._open(fetched)
            if chunks:
                await self._ingest(chunks)
            await self._flush(before=self._clock.monotonic() - self._limits.max_wait_s)

    def _set_pressure(self) -> None:
        """Pauses the source above the bound and resumes it below half of it, so that it does not flap."""
        in_flight = self._in_flight()
        self._telemetry.in_flight(in_flight)
        if not self._paused and in_flight >= self._limits.max_in_flight_lines:
            self._source.pause()
        elif self._paused and in_flight <= self._limits.max_in_flight_lines // 2:
            self._source.resume()
        else:
            return
        self._paused = not self._paused
        self._telemetry.paused(self._paused)

    async def _skip_gone(self, partitions: Sequence[Partition]) -> None:
        """Retention overtook us: goes on from the oldest offset kept, and says so. Never a jump to the end."""
        for partition, bounds in (await self._source.bounds(partitions)).items():
            self._telemetry.out_of_range(*partition)
            log.error("offset_out_of_range", **partition._asdict(), earliest=bounds.earliest, end=bounds.end)
            self._source.seek(partition, bounds.earliest)

    def _open(self, fetched: Mapping[Partition, Sequence[Record]]) -> list[tuple[Assignment, Sequence[Record]]]:
        """Takes records into the ledgers. Records of a partition that is going or gone are left to its next owner."""
        chunks = []
        for partition, records in fetched.items():
            assignment = self._owned.get(partition)
            if assignment is None or assignment.revoking or not records:
                continue
            self._telemetry.fetched(len(records))
            offsets = np.fromiter((record.offset for record in records), np.int64, len(records))
            ours = offsets[offsets >= assignment.ledger.score_from]
            if len(ours):
                assignment.ledger.open(ours, np.ones(len(ours), np.int64))
            chunks.append((assignment, records))
        return chunks

    async def _ingest(self, chunks: list[tuple[Assignment, Sequence[Record]]]) -> None:
        started = self._clock.monotonic()
        scored, self._scored_pushes = self._scored_pushes, 0
        ingested = await self._ingest_worker.run(self._ingest_now, chunks, started, scored)
        self._count(ingested, self._clock.monotonic() - started)
        for assignment, offsets in ingested.blank:
            self._done(assignment, offsets)
        if ingested.dead:
            self._publications.put_nowait(self._bury(ingested))
        self._put(ingested.work)

    def _ingest_now(self, chunks: list[tuple[Assignment, Sequence[Record]]], now: float, scored: int) -> Ingested:
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

    def _bury(self, ingested: Ingested) -> _Publication:
        topic = self._limits.dead_letter_topic
        for assignment, letter in ingested.dead:
            log.warning(
                "record_dead_lettered",
                topic=assignment.partition.topic,
                partition=assignment.partition.partition,
                offset=letter.record.offset,
                stage=letter.stage,
            )
        return _Publication(
            messages=[dead_letter_message(letter, topic) for _, letter in ingested.dead],
            marks=[(assignment, np.array([letter.record.offset])) for assignment, letter in ingested.dead],
            dead_stages=[letter.stage for _, letter in ingested.dead],
        )

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
            elif self._closing:
                return
            else:
                await self._pulse.wait(self._batcher.wait_s(now))

    async def _score(self, batch: list[Work]) -> None:
        started = self._clock.monotonic()
        judged = await self._score_worker.run(self._score_now, batch)
        seconds = self._clock.monotonic() - started
        self._scored_pushes += sum(work.pushes for work in batch)
        flagged = sum(len(publication.messages) for publication in judged.publications)
        self._telemetry.batch(lines=judged.lines, windows=judged.windows, alerts=flagged, seconds_score=seconds)
        log.debug("batch_scored", windows=judged.windows, alerts=flagged, seconds=round(seconds, 4))
        for assignment, offsets in judged.quiet:
            self._done(assignment, offsets)
        for publication in judged.publications:
            self._publications.put_nowait(publication)

    def _score_now(self, batch: list[Work]) -> _Judged:
        """On the score worker: scores, and makes the alerts of the few windows that call for one."""
        windows = concatenate([work.windows for work in batch])
        owners = np.concatenate([work.assignments for work in batch])
        services = np.concatenate([work.services for work in batch])
        scores = self._scorer.score(windows)
        flagged = self._judgement.anomalous(windows, scores)
        places, window = windows.fresh_lines()
        offsets = windows.columns["offset"][places]
        quiet = ~flagged[window]
        publications = []
        now_ms = self._clock.now_ms()
        for place in np.flatnonzero(flagged).tolist():
            partition = owners[place].partition
            verdict = self._judgement.verdict(
                windows, scores, place, service=services[place], topic=partition.topic, partition=partition.partition
            )
            alert = alerts.build(verdict, now_ms=now_ms, max_line_chars=self._limits.max_alert_line_chars)
            message = Message(
                topic=self._limits.alerts_topic,
                key=alerts.key(alert),
                value=alerts.encode(alert),
                headers=tuple(alerts.headers(alert)),
            )
            stamp = verdict.window.newest.timestamp_ms
            delays = [] if stamp is None else [now_ms - stamp]
            publications.append(_Publication([message], [(owners[place], offsets[window == place])], delays))
        return _Judged(
            quiet=by_assignment(owners[window[quiet]], offsets[quiet]),
            publications=publications,
            windows=len(windows),
            lines=len(offsets),
            services=len(set(services.tolist())),
        )

    # ---------------------------------------------------------------- publish

    async def _publish_forever(self) -> None:
        while True:
            publication = await self._publications.get()
            if publication is None:
                return
            batch = [publication]
            while not self._publications.empty():
                more = self._publications.get_nowait()
                if more is None:
                    self._publications.put_nowait(None)  # the end stays last
                    break
                batch.append(more)
            await self._publish(batch)

    async def _publish(self, batch: list[_Publication]) -> None:
        """Sends until acknowledged. An alert whose partition is gone is left to the next owner."""
        while batch := [p for p in batch if not all(assignment.ended for assignment, _ in p.marks)]:
            try:
                await self._sink.send([message for p in batch for message in p.messages])
            except BrokerUnavailable as error:
                self._telemetry.publish_retried()
                log.warning("publish_failed", error=str(error), retry_in_s=self._limits.publish_retry_s)
                await self._clock.sleep(self._limits.publish_retry_s)
                continue
            for publication in batch:
                self._acknowledged(publication)
            return

    def _acknowledged(self, publication: _Publication) -> None:
        for assignment, offsets in publication.marks:
            self._done(assignment, offsets)
        for stage in publication.dead_stages:
            self._telemetry.dead_lettered(stage)
        if not publication.dead_stages:
            self._telemetry.alert_published(len(publication.messages))
        for delay in publication.delays_ms:
            self._telemetry.detected(delay / 1000)

    def _done(self, assignment: Assignment, offsets: Ints) -> None:
        """Marks lines done, unless the partition is no longer ours. Lines of the replayed context were never opened."""
        if assignment.ended:
            return
        assignment.ledger.done(offsets[offsets >= assignment.ledger.score_from])
        self._pulse.beat()

    # ---------------------------------------------------------------- commit

    async def _commit_forever(self) -> None:
        while not self._closing:
            try:
                async with asyncio.timeout(self._limits.commit_interval_s):
                    await self._closed.wait()
            except TimeoutError:
                await self._commit(self._limits.revoke_budget_s)

    async def _commit(self, timeout_s: float, only: Sequence[Assignment] | None = None) -> bool:
        """Commits what moved. False if the broker did not take it; the next commit will hold it too.

        One at a time, so that an older position never follows a newer one; what happens while it waits counts.
        """
        try:
            async with asyncio.timeout(timeout_s), self._committing:
                moved = self._moved(only)
                if moved:
                    await self._source.commit(moved)
        except (BrokerUnavailable, TimeoutError) as error:
            log.warning("commit_failed", error=str(error) or "it took too long")
            return False
        if moved:
            self._committed.update(moved)
            self._telemetry.committed(len(moved))
        self._report_lag()
        return True

    def _moved(self, only: Sequence[Assignment] | None) -> dict[Partition, Committed]:
        ours = only if only is not None else [a for a in self._owned.values() if not a.revoking]
        positions = {a.partition: a.ledger.to_commit(self._limits.max_context_records) for a in ours if not a.ended}
        return {p: c for p, c in positions.items() if self._committed.get(p) != c}

    def _report_lag(self) -> None:
        for partition, assignment in self._owned.items():
            end = self._source.end(partition)
            if end is not None:
                self._telemetry.lag(*partition, max(0, end - assignment.ledger.position()))

    # ---------------------------------------------------------------- rebalance

    async def on_revoked(self, partitions: Sequence[Partition]) -> None:
        """Stop feeding → wait for what is in flight → commit → end the period of ownership."""
        try:
            going = [self._owned[p] for p in partitions if p in self._owned]
            deadline = self._clock.monotonic() + self._limits.revoke_budget_s
            for assignment in going:
                assignment.revoking = True
            if not await self._settle(going, deadline):
                log.warning("revoke_budget_spent", lines_left=sum(a.ledger.outstanding for a in going))
            await self._commit(max(0.1, deadline - self._clock.monotonic()), only=going)
            for assignment in going:
                assignment.ended = True
                del self._owned[assignment.partition]
                self._committed.pop(assignment.partition, None)
            self._health.assigned = False
            self._telemetry.rebalanced(0, len(going))
            await self._ingest_worker.run(self._aggregator.drop, going)
            log.info("partitions_revoked", partitions=len(going))
        except Exception as error:  # aiokafka swallows what a listener raises: keep it, and end the daemon
            self._fail(error)
            raise

    async def on_assigned(self, partitions: Sequence[Partition]) -> None:
        """Reads where the group is, and seeks back to where the context begins."""
        try:
            committed = await self._source.committed(partitions) if partitions else {}
            bounds = await self._source.bounds(partitions) if partitions else {}
            for partition in partitions:
                self._assign(partition, committed.get(partition), bounds[partition])
            self._paused = False
            self._source.resume()
            self._health.assigned = True
            self._telemetry.rebalanced(len(partitions), 0)
            log.info("partitions_assigned", partitions=len(partitions))
        except Exception as error:  # aiokafka swallows what a listener raises: keep it, and end the daemon
            self._fail(error)
            raise

    def _assign(self, partition: Partition, committed: Committed | None, bounds: Bounds) -> None:
        score_from, context, short = _where_to_start(committed, bounds, self._limits.max_context_records)
        if committed and not bounds.earliest <= committed.offset <= bounds.end:
            self._telemetry.out_of_range(*partition)
            log.error(
                "offset_out_of_range",
                topic=partition.topic,
                partition=partition.partition,
                committed=committed.offset,
                earliest=bounds.earliest,
                end=bounds.end,
                going_on_from=score_from,
            )
        self._telemetry.context_replayed(score_from - context, short)
        self._assignments_made += 1
        self._owned[partition] = Assignment(self._assignments_made, partition, PartitionLedger(score_from, context))
        self._source.seek(partition, context)

    async def _settle(self, assignments: Sequence[Assignment], deadline: float) -> bool:
        """Waits until nothing of these is in flight. False if the deadline came first."""
        await self._flush(before=np.inf)
        while any(a.ledger.outstanding for a in assignments):
            left = deadline - self._clock.monotonic()
            if left <= 0:
                return False
            await self._pulse.wait(left)
        return True

    def _in_flight(self) -> int:
        return sum(a.ledger.outstanding for a in self._owned.values())

    def _fail(self, error: BaseException) -> None:
        self._failure = error
        self._health.failed(str(error))


def _where_to_start(committed: Committed | None, bounds: Bounds, max_context: int) -> tuple[int, int, bool]:
    """(first offset to score, first offset to read, whether some context is gone)."""
    if committed is None or not bounds.earliest <= committed.offset <= bounds.end:
        # Nothing committed, or retention overtook us, or the topic was made anew: the oldest line kept, never the end.
        return bounds.earliest, bounds.earliest, committed is not None
    wanted = decode_metadata(committed.metadata)
    wanted = committed.offset if wanted is None else min(wanted, committed.offset)
    context = max(wanted, bounds.earliest, committed.offset - max_context)
    return committed.offset, context, context > wanted


class _Pulse:
    """Wakes everybody who waits, once per beat."""

    def __init__(self) -> None:
        self._event = asyncio.Event()

    def beat(self) -> None:
        self._event.set()
        self._event = asyncio.Event()

    async def wait(self, timeout_s: float | None) -> None:
        """Until the next beat, or for so many seconds."""
        try:
            async with asyncio.timeout(timeout_s):
                await self._event.wait()
        except TimeoutError:
            pass
