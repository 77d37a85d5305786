"""Runs the data path: fetch → ingest → score → publish → commit, as five loops and one phase.

Knows ports only (`daemon/ports.py`), so the simulation runs this very code under virtual time. Invariants, each held by
a test that breaks without it:

- the owner of its partition scores a line, or the next owner does: nothing below the committed position is left undone;
- an offset is committed only after every line below it was scored and its alerts are acknowledged;
- nothing is committed for a partition after its revoke returned, and what finishes later is discarded;
- at most `max_in_flight_lines` and one fetch are in the daemon at a time.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt
import structlog

from logwarden.daemon.errors import FatalError
from logwarden.daemon.pipeline.batcher import Batcher
from logwarden.daemon.pipeline.checkpoint import Checkpoint
from logwarden.daemon.pipeline.dead_letters import burials
from logwarden.daemon.pipeline.in_flight import InFlight
from logwarden.daemon.pipeline.ingest import Ingestor
from logwarden.daemon.pipeline.intake import Chunks, Intake
from logwarden.daemon.pipeline.judge import WindowJudge
from logwarden.daemon.pipeline.last_alerts import LastAlerts
from logwarden.daemon.pipeline.learning import FirstStarts, Learning
from logwarden.daemon.pipeline.limits import PipelineLimits
from logwarden.daemon.pipeline.pace import EmbeddingPace
from logwarden.daemon.pipeline.partitions import Assignment, Partitions, ProfileOf
from logwarden.daemon.pipeline.phase import Lifetime, Phase, watched
from logwarden.daemon.pipeline.publisher import Publisher
from logwarden.daemon.pipeline.pulse import Pulse
from logwarden.daemon.pipeline.rebalance import LAST_COMMIT_S, Rebalance
from logwarden.daemon.pipeline.recall import Recall
from logwarden.daemon.pipeline.retries import Retries
from logwarden.daemon.pipeline.schemas import SchemaShelf
from logwarden.daemon.pipeline.service_facts import ServiceFacts, report_ingested, report_services
from logwarden.daemon.pipeline.state_writer import StateWriter
from logwarden.daemon.pipeline.work import Begun, Ingested, Work
from logwarden.daemon.ports import Engine, Ports

log = structlog.get_logger(__name__)

GOODBYE_S = 1.0
"""Seconds that the loops may take to end by themselves after a drain: a fetch that waits for records needs half."""

FLUSH_S = 0.1
"""Seconds between two looks for lines that have waited long enough for their window's step."""


class Pipeline:
    """One member's work on its partitions."""

    def __init__(
        self,
        ports: Ports,
        *,
        ingestor: Ingestor,
        engine: Engine,
        profile_of: ProfileOf,
        limits: PipelineLimits,
        schemas: SchemaShelf | None = None,
    ) -> None:
        self.engine = engine
        """The model in use. May be replaced at any time: each batch is judged by the engine of its beginning."""
        self._ports = ports
        self._ingestor = ingestor
        self._limits = limits
        self._pulse = Pulse()  # beats whenever work was put or done
        self._lifetime = Lifetime(self._pulse)
        self._retries = Retries(ports.clock, self._lifetime, retry_s=limits.retry_s)
        self.partitions = Partitions(
            ports.source,
            ports.telemetry,
            profile_of,
            max_context_records=limits.max_context_records,
            learn_records=limits.learn_records,
            keeps_state=bool(limits.state_topic),
        )
        state = StateWriter(ports, limits.state_topic)
        self._checkpoint = Checkpoint(ports, self.partitions, limits.max_context_records, before_offsets=[state.write])
        self._in_flight = InFlight(
            ports,
            self.partitions,
            self._lifetime,
            self._pulse,
            max_lines=limits.max_in_flight_lines,
            backlog_bytes=ingestor.backlog.bytes_of,
            waits=schemas.waits if schemas else lambda assignment: False,
        )
        self._schemas = schemas
        self._intake = Intake(ports, self.partitions, self._lifetime, self._retries, self._drop, schemas)
        self._learning = Learning(ports, self.partitions, ingestor, seconds=limits.learn_s)
        self._judge = WindowJudge(ports.clock)
        self._batcher: Batcher[Work] = Batcher(max_windows=limits.max_windows, max_delay_s=limits.max_delay_s)
        self._publisher = Publisher(
            ports.sink,
            ports.clock,
            ports.telemetry,
            ports.health,
            retry_s=limits.retry_s,
            done=self._done,
            moved=self._pulse.beat,
            max_waiting_bytes=limits.max_waiting_bytes,
        )
        self.listener = self._make_listener(ports)
        self._arrived: Chunks = []  # of one fetch, until the ingest loop takes them
        self._arrived_at = 0.0
        self._scored_pushes = self._ingesting = 0  # the latter: records that are neither windows nor in the backlog yet
        self._pace = EmbeddingPace()
        self.last_alerts = LastAlerts()
        self._tasks: list[asyncio.Task[None]] = []

    def _make_listener(self, ports: Ports) -> Rebalance:
        return Rebalance(
            ports,
            self.partitions,
            self._lifetime,
            retries=self._retries,
            in_flight=self._in_flight,
            checkpoint=self._checkpoint,
            publisher=self._publisher,
            drop=self._drop,
            keep=self._keep,
            restore=self._restore,
            recall=Recall(ports, self._lifetime, group=self._limits.group, masks=self._ingestor.masks),
            first_starts=FirstStarts(ports, self._retries, at_end=self._limits.starts_at_end),
            budget_s=self._limits.revoke_budget_s,
        )

    # ---------------------------------------------------------------- life

    async def run(self) -> None:
        """Works until `drain` is through. Raises the error that ended it otherwise."""
        loops = {
            "fetch": self._fetch_forever,
            "ingest": self._ingest_forever,
            "score": self._score_forever,
            "publish": self._publisher.run,
            "commit": self._commit_forever,
        }
        if (shelf := self._schemas) is not None:
            loops["schemas"] = lambda: shelf.run(self._lifetime, self._pulse)
        try:
            async with asyncio.TaskGroup() as group:
                self._tasks = [
                    group.create_task(watched(name, loop, self._lifetime), name=name) for name, loop in loops.items()
                ]
        finally:
            self._lifetime.advance(Phase.ENDED)  # a waiter for work in flight would never wake up

    async def drain(self, budget_s: float) -> bool:
        """Stops reading, finishes what is in flight, commits. Returns False if the budget ended it early."""
        deadline = self._ports.clock.monotonic() + budget_s
        self._lifetime.advance(Phase.DRAINING)
        settled = await self.listener.settle(self.partitions.assignments(), deadline)
        await self._checkpoint.commit_final(self._left_s(deadline))
        self._lifetime.advance(Phase.DRAINED)
        self._publisher.end()
        if not settled:
            log.warning("drain_budget_spent", lines_left=self.partitions.lines_in_flight, replayed_by="the next owner")
        elif self._tasks:
            await asyncio.wait(self._tasks, timeout=min(GOODBYE_S, self._left_s(deadline)))
        for task in self._tasks:  # what still waits now waits for nothing that is needed
            task.cancel()
        return settled

    def _left_s(self, deadline: float) -> float:
        return max(LAST_COMMIT_S, deadline - self._ports.clock.monotonic())

    # ---------------------------------------------------------------- fetch and ingest

    async def _fetch_forever(self) -> None:
        while self._lifetime.phase < Phase.DRAINING:
            failure = self._lifetime.failure
            if failure is not None:
                raise FatalError(f"a rebalance failed: {failure}") from failure
            waiting = len(self._batcher) + self._ingesting + len(self._ingestor.events)
            self._in_flight.set_pressure(waiting, outputs_are_full=self._publisher.is_full())
            await self._learning.look()
            chunks = await self._intake.next_chunks()
            if chunks is None:
                return
            self._arrived, self._arrived_at = chunks, self._ports.clock.monotonic()
            self._ingesting += sum(len(records) for _, records in chunks)
            self._pulse.beat()
            while self._arrived and self._lifetime.phase < Phase.DRAINING:
                await self._pulse.wait(None)

    async def _ingest_forever(self) -> None:
        while True:
            chunks, self._arrived = self._arrived, []
            if chunks:
                self._pulse.beat()  # the next fetch may run beside this step
                await self._ingest(chunks)
            if self._ingestor.backlog:  # after the known lines that arrived, which do not wait for it
                await self._advance()
            elif not chunks:
                if self._lifetime.phase >= Phase.DRAINED:
                    return
                await self._pulse.wait(FLUSH_S if self._ingestor.waits or self._ingestor.events else None)
            await self._flush()

    async def _ingest(self, chunks: Chunks) -> None:
        ingested = await self._on_ingest_thread(self._ingest_now, chunks)
        self._account(ingested)
        for letter in burials(ingested.dead):
            self._publisher.put(letter)
        self._put(ingested.work)
        self._ingesting -= sum(len(records) for _, records in chunks)

    async def _advance(self) -> None:
        self._put((await self._on_ingest_thread(self._advance_now)).work)

    async def _on_ingest_thread(self, step: Callable[..., Ingested], *args: object) -> Ingested:
        started = self._ports.clock.monotonic()
        scored, self._scored_pushes = self._scored_pushes, 0
        ingested, facts = await self._ports.ingest_worker.run(self._with_facts, step, *args, started, scored)
        seconds = self._ports.clock.monotonic() - started
        self._pace.learn(ingested.new_lines, seconds)
        report_ingested(self._ports, ingested, seconds)
        report_services(self._ports, facts, ingested, keeps_state=bool(self._limits.state_topic))
        self._ports.telemetry.table_rows(self._ingestor.table_rows)
        return ingested

    def _with_facts(self, step: Callable[..., Ingested], *args: object) -> tuple[Ingested, ServiceFacts]:
        ingested, clock = step(*args), self._ports.clock
        return ingested, self._ingestor.book.facts(self.engine.policy.rules, clock.monotonic(), clock.now_ms())

    def _advance_now(self, now: float, scored: int) -> Ingested:
        self._ingestor.scored(scored)
        return self._ingestor.advance(now, new_lines=self._pace.new_lines)

    def _ingest_now(self, chunks: Chunks, now: float, scored: int) -> Ingested:
        self._ingestor.scored(scored)
        active = [chunk for chunk in chunks if not chunk[0].ended]
        return self._ingestor.ingest(active, now, new_lines=self._pace.new_lines)

    def _account(self, ingested: Ingested) -> None:
        """Enters the result of a fetch into the ledgers, before any of its lines can be done."""
        for assignment, at, context in ingested.contexts:
            assignment.ledger.note_context(at, context)
        for assignment, offsets, lines in ingested.grown:
            if not assignment.ended:
                assignment.ledger.grow(offsets, lines)
        for assignment, cut in ingested.cuts:
            if assignment.journal is not None:
                assignment.journal.captured(cut)
        for assignment, offsets in (*ingested.blank, *ingested.absorbed):
            self._done(assignment, offsets)

    def _close_now(self, all_of_them: bool, until: float, now: float, scored: int) -> Ingested:
        self._ingestor.scored(scored)
        return self._ingestor.close_events(min(now, until), new_lines=self._pace.new_lines, all_of_them=all_of_them)

    async def _flush(self) -> None:
        """Ends what has waited long enough for its next line, or everything that waits if the lines must end.

        First the events that may be continued, then the windows whose step is not full.
        """
        ending = self._lifetime.phase >= Phase.DRAINING or self.partitions.are_ending
        if self._ingestor.events:
            # Lines that arrived while a step took long may continue an event: no silence lasts beyond their arrival.
            until = self._arrived_at if self._arrived else np.inf
            self._put((await self._on_ingest_thread(self._close_now, ending, until)).work)
        if self._ingestor.waits:
            before = np.inf if ending else self._ports.clock.monotonic() - self._limits.max_wait_s
            self._put(await self._ports.ingest_worker.run(self._ingestor.flush, before))

    async def _drop(self, assignments: Sequence[Assignment]) -> None:
        self.last_alerts.forget({assignment.partition for assignment in assignments})
        await self._ports.ingest_worker.run(self._ingestor.drop, assignments)

    async def _keep(self, assignments: Sequence[Assignment]) -> Sequence[Assignment]:
        return await self._ports.ingest_worker.run(self._ingestor.keep, assignments)

    async def _restore(self, begun: Begun) -> None:
        now = self._ports.clock.monotonic()
        restored = await self._ports.ingest_worker.run(self._ingestor.begin, begun, now)
        self._ports.telemetry.state_restored(restored)
        self._ports.health.services_restored += restored

    def _put(self, work: Sequence[Work]) -> None:
        for piece in work:
            self._batcher.put(piece, self._ports.clock.monotonic())
        if work:
            self._pulse.beat()

    # ---------------------------------------------------------------- score

    async def _score_forever(self) -> None:
        while True:
            now = self._ports.clock.monotonic()
            if self._alerts_are_stuck():  # to score more would only make more alerts, in memory
                await self._pulse.wait(None)
                continue
            batch = self._batcher.take(now, closing=self._lifetime.phase >= Phase.DRAINING)
            if batch:
                await self._score(batch)
            elif self._lifetime.phase >= Phase.DRAINED:
                return
            else:
                await self._pulse.wait(self._batcher.wait_s(now))

    def _alerts_are_stuck(self) -> bool:
        topics = {assignment.profile.alerts_topic for assignment in self.partitions.assignments()}
        return self._lifetime.phase < Phase.DRAINED and any(map(self._publisher.is_full, topics))

    async def _score(self, batch: list[Work]) -> None:
        clock = self._ports.clock
        started = clock.monotonic()
        scored = await self._ports.score_worker.run(self._judge.judge, self.engine, batch, self._ports.feedback())
        seconds = clock.monotonic() - started
        self._scored_pushes += sum(work.pushes for work in batch)
        alerts = len(scored.publications)
        self._ports.telemetry.batch(lines=scored.lines, windows=scored.windows, alerts=alerts, seconds_score=seconds)
        if scored.withheld:
            self._ports.telemetry.withheld(scored.withheld)
        for reason, windows in scored.suppressed.items():
            self._ports.telemetry.suppressed(reason, windows)
        if scored.planned:
            self._ports.telemetry.planned(scored.planned)
        log.debug("batch_scored", windows=scored.windows, alerts=alerts, seconds=round(seconds, 4))
        for assignment, offsets in scored.quiet:
            self._done(assignment, offsets)
        for publication in scored.publications:
            self._publisher.put(publication)
            if publication.alert is not None:
                self.last_alerts.note(publication.owner.partition, publication.service, publication.alert)

    def _done(self, assignment: Assignment, offsets: npt.NDArray[np.int64]) -> None:
        """Marks lines done, unless their assignment has ended. Lines of the replayed context were never opened."""
        if assignment.ended:
            return
        assignment.done(offsets[offsets >= assignment.ledger.score_from])
        self._pulse.beat()

    # ---------------------------------------------------------------- commit

    async def _commit_forever(self) -> None:
        while not await self._lifetime.drained(self._limits.commit_interval_s):
            await self._checkpoint.commit_held(self._limits.revoke_budget_s)
