"""Delivers the incidents topic to one destination: reads as a member of its group, sends, commits what is done.

Each destination has a courier and a group of its own, so that one which is down stops no other. A record is done when
it was delivered, joined with a later one, left out or buried. The offset committed is that of the first one not done.

Before the first record to deliver the courier reads some older ones, the context: they show which incidents the
destination has already. A group that has committed nothing announces those that are open. Belongs to the event loop.
"""

from __future__ import annotations

import asyncio
import heapq
from collections.abc import Sequence
from dataclasses import dataclass
from random import Random

import structlog

from logwarden.daemon.bridges.choice import IncidentChoice
from logwarden.daemon.bridges.dead_letters import Graveyard
from logwarden.daemon.bridges.destination import Destination
from logwarden.daemon.bridges.facts import BridgeTelemetry, DestinationFacts
from logwarden.daemon.bridges.lanes import IncidentLane, IncidentLanes
from logwarden.daemon.bridges.ledger import DeliveryLedger
from logwarden.daemon.bridges.notice import Notice
from logwarden.daemon.bridges.pace import Pace
from logwarden.daemon.bridges.reception import Reception
from logwarden.daemon.bridges.reminders import Reminders
from logwarden.daemon.errors import (
    BatchSkipped,
    BrokerUnavailable,
    DestinationUnavailable,
    LogwardenError,
    NoticeRefused,
    UnreadableBatch,
)
from logwarden.daemon.ports import Clock, Source
from logwarden.daemon.records import Committed, Partition

log = structlog.get_logger(__name__)

_BURY_AGAIN_S = 5.0
_ASK_AGAIN_S = 1.0
_SILENT_S = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class CourierLimits:
    """Bounds of one courier."""

    timeout_s: float = 10.0
    """Seconds for one notice, and at a revoke for those on their way."""
    give_up_s: float = 86_400.0
    max_waiting: int = 1_000
    """Records that are not done, above which no more are read."""
    commit_interval_s: float = 1.0
    max_age_s: float = 3_600.0


class Courier:
    """The courier of one destination. `serve` ends by an error or a cancellation only."""

    def __init__(
        self,
        destination: Destination,
        source: Source,
        graveyard: Graveyard,
        clock: Clock,
        telemetry: BridgeTelemetry,
        facts: DestinationFacts,
        *,
        choice: IncidentChoice,
        limits: CourierLimits,
        random: Random,
    ) -> None:
        self._destination = destination
        self._name = destination.name
        self._source = source
        self._graveyard = graveyard
        self._clock = clock
        self._telemetry = telemetry
        self._facts = facts
        self._limits = limits
        self._pace = Pace(random)
        self._lanes = IncidentLanes(all_updates=destination.all_updates, is_stale=self._is_stale)
        self._reminders = Reminders(destination, self._lanes)
        self._reception = Reception(
            self._lanes, choice, clock.monotonic, lambda reason: telemetry.left_out(self._name, reason)
        )
        self._committed: dict[Partition, Committed] = {}
        self._queue: list[tuple[float, int, str]] = []
        """Moment when it is due, number and incident of each lane with a notice that waits."""
        self._number = 0
        self._on_their_way: set[asyncio.Task[None]] = set()
        self._changed = asyncio.Event()
        self._is_paused = False
        self._is_closing = False

    # ---------------------------------------------------------------- the group

    async def on_assigned(self, partitions: Sequence[Partition]) -> None:
        """Chooses where each partition is read. Waits until a broker answers."""
        while True:
            try:
                committed = await self._source.committed(partitions)
                bounds = await self._source.bounds(partitions)
                begins = [self._reception.open(each, committed.get(each), bounds[each]) for each in partitions]
                await self._source.commit(self._reception.begins())
                break
            except BrokerUnavailable as error:
                self._facts.trouble("broker_unavailable", str(error), error.hint)
                await self._clock.sleep(_ASK_AGAIN_S)
        for partition, offset in zip(partitions, begins, strict=True):
            self._source.seek(partition, offset)
        self._is_closing = False
        self._facts.works("broker_unavailable")
        self._facts.assigned(True, len(partitions))
        log.info("incidents_assigned", destination=self._name, partitions=len(partitions))

    async def on_revoked(self, partitions: Sequence[Partition]) -> None:
        """Ends what is on its way, commits, and drops everything: the group revokes all partitions at once."""
        self._is_closing = True
        await self._finish()
        await self._commit()
        self._reception.close()
        self._committed.clear()
        self._queue.clear()
        self._facts.assigned(False)
        self._is_paused = False

    async def close(self) -> None:
        """Ends what is on its way, and commits. Nothing is sent afterwards."""
        self._is_closing = True
        await self._finish()
        await self._commit()

    async def _finish(self) -> None:
        """Waits for the notices on their way: one that arrived later could overtake the next owner's."""
        if self._on_their_way:
            await asyncio.wait(self._on_their_way, timeout=self._limits.timeout_s)
        if late := list(self._on_their_way):
            for task in late:
                task.cancel()
            await asyncio.wait(late)

    # ---------------------------------------------------------------- the loops

    async def serve(self) -> None:
        """Reads, sends, reminds and commits. The source must be started with this courier as its listener."""
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._read(), name=f"{self._name}-read")
                group.create_task(self._send(group), name=f"{self._name}-send")
                group.create_task(self._keep_committing(), name=f"{self._name}-commit")
                if self._destination.remind_s is not None:
                    group.create_task(self._keep_reminding(self._destination.remind_s, group))
        except* LogwardenError as errors:
            raise _first(errors) from errors

    async def _read(self) -> None:
        while True:
            try:
                fetched = await self._source.fetch()
            except (UnreadableBatch, BatchSkipped) as error:
                if self._facts.trouble("batch_unreadable", str(error), error.hint):
                    log.error("incidents_unreadable", destination=self._name, reason=str(error))
                continue
            for lane in self._reception.take(fetched):
                self._queue_up(lane)
            self._press()
            self._changed.set()

    def _press(self) -> None:
        """Reads no more while many records wait, and continues when half of them are done."""
        waiting, limit = self._reception.waiting, self._limits.max_waiting
        if waiting >= limit and not self._is_paused:
            self._is_paused = True
            self._source.pause(list(self._reception.ledgers))
        elif waiting <= limit // 2 and self._is_paused:
            self._is_paused = False
            self._source.resume(list(self._reception.ledgers))

    def _is_stale(self, published_ms: int) -> bool:
        return self._clock.now_ms() - published_ms > 1000 * self._limits.max_age_s

    # ---------------------------------------------------------------- sending

    def _queue_up(self, lane: IncidentLane) -> None:
        if lane.waiting and lane.sending is None and not lane.is_queued and not lane.is_busy:
            lane.is_queued = True
            self._number += 1
            due_at = max(lane.due_at, self._clock.monotonic())  # so that no news overtakes a retry that is due
            heapq.heappush(self._queue, (due_at, self._number, lane.id))
            self._changed.set()

    async def _send(self, group: asyncio.TaskGroup) -> None:
        while True:
            self._changed.clear()
            now = self._clock.monotonic()
            while not self._is_closing and self._queue and self._queue[0][0] <= now:
                if not self._pace.may_send(now, len(self._on_their_way), self._destination.at_once):
                    break
                _, _, id = heapq.heappop(self._queue)
                lane = self._lanes.get(id)
                if lane is not None and lane.is_queued:
                    lane.is_queued = False
                    self._start(group, lane)
            await self._until_changed(now)

    def _start(self, group: asyncio.TaskGroup, lane: IncidentLane) -> None:
        notice = self._lanes.begin(lane)
        self._track(group.create_task(self._deliver(lane, notice), name=f"{self._name}-notice"))

    def _track(self, task: asyncio.Task[None]) -> None:
        self._on_their_way.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._on_their_way.discard(task)
        self._changed.set()

    async def _until_changed(self, now: float) -> None:
        """Waits until something may be sent: an event, or the moment when the first notice is due."""
        moments = [self._queue[0][0]] if self._queue else []
        if moments and self._pace.not_before > now:
            moments = [max(moments[0], self._pace.not_before)]
        timeout = max(0.001, moments[0] - now) if moments and moments[0] > now else None
        try:
            async with asyncio.timeout(timeout):
                await self._changed.wait()
        except TimeoutError:
            pass

    async def _deliver(self, lane: IncidentLane, notice: Notice) -> None:
        ledger = self._reception.ledgers[lane.partition]
        try:
            async with asyncio.timeout(self._limits.timeout_s * self._destination.round_trips + 1.0):
                await self._destination.deliver(notice)
        except NoticeRefused as error:
            await self._bury(lane, ledger, notice, str(error))
        except DestinationUnavailable as error:
            await self._failed(lane, ledger, notice, error)
        except TimeoutError:
            await self._failed(lane, ledger, notice, DestinationUnavailable(f"{self._name} did not answer in time"))
        except Exception as error:  # a bug about one incident must not keep all others back
            log.exception("bridge_bug", destination=self._name, incident=lane.id)
            await self._bury(lane, ledger, notice, f"the bridge met a bug of logwarden ({type(error).__name__})")
        else:
            self._delivered(lane, ledger, notice)
        if self._lanes.get(lane.id) is lane:
            self._queue_up(lane)

    def _delivered(self, lane: IncidentLane, ledger: DeliveryLedger, notice: Notice) -> None:
        self._pace.taken()
        offsets = self._lanes.delivered(lane)
        ledger.done(offsets)
        self._facts.delivered += 1
        delay_s = max(0.0, (self._clock.now_ms() - notice.published_ms) / 1000)
        self._telemetry.delivered(self._name, notice.action.value, delay_s)
        for _ in offsets[1:]:
            self._telemetry.left_out(self._name, "joined")
        if self._facts.works("destination_failing"):
            log.info("destination_works", destination=self._name)

    async def _failed(
        self, lane: IncidentLane, ledger: DeliveryLedger, notice: Notice, error: DestinationUnavailable
    ) -> None:
        now = self._clock.monotonic()
        self._pace.failed(now, error.retry_after_s)
        self._telemetry.retried(self._name)
        since = lane.first_failed_at
        if since is not None and now - since > self._limits.give_up_s:
            await self._bury(lane, ledger, notice, f"given up after {self._limits.give_up_s:g} s: {error}")
            return
        self._lanes.again(lane, self._pace.again_at(now, lane.attempts + 1), now)
        if self._pace.is_down and self._facts.trouble("destination_failing", str(error), error.hint):
            log.warning("destination_failing", destination=self._name, error=str(error), hint=error.hint)

    async def _bury(self, lane: IncidentLane, ledger: DeliveryLedger, notice: Notice, reason: str) -> None:
        try:
            await self._graveyard.bury(self._name, notice, reason)
        except LogwardenError as error:
            now = self._clock.monotonic()
            self._lanes.again(lane, now + _BURY_AGAIN_S, now)
            if self._facts.trouble("dead_letters_blocked", str(error), error.hint):
                log.warning("dead_letters_blocked", destination=self._name, error=str(error), hint=error.hint)
            return
        self._facts.works("dead_letters_blocked")
        ledger.done(self._lanes.buried(lane))
        self._telemetry.buried(self._name)
        log.warning("incident_buried", destination=self._name, incident=lane.id, reason=reason)

    async def _keep_reminding(self, every_s: float, group: asyncio.TaskGroup) -> None:
        while True:
            await self._clock.sleep(every_s)
            if not self._is_closing and (due := self._reminders.take()):
                self._track(group.create_task(self._remind(due), name=f"{self._name}-reminder"))

    async def _remind(self, lanes: Sequence[IncidentLane]) -> None:
        await self._reminders.send(lanes)
        for lane in lanes:
            self._queue_up(lane)

    # ---------------------------------------------------------------- commits

    async def _keep_committing(self) -> None:
        while True:
            await self._clock.sleep(self._limits.commit_interval_s)
            self._report()
            await self._commit()

    def _report(self) -> None:
        now = self._clock.monotonic()
        facts = self._facts
        facts.waiting, facts.announced = self._reception.waiting, self._lanes.announced
        self._telemetry.standing(
            self._name,
            waiting=facts.waiting,
            oldest_s=self._lanes.oldest_s(now),
            announced=facts.announced,
            is_failing=facts.is_failing,
        )
        missing = self._source.missing_topics()
        facts.note(
            "incidents_topic_missing", f"the topic {missing[0]!r} does not exist" if missing else "", "create it"
        )
        is_silent = self._source.silent_s() > _SILENT_S
        facts.note("broker_silent", "no broker answers a fetch" if is_silent else "", "check that the brokers run")

    async def _commit(self) -> None:
        wanted = self._reception.to_commit()
        changed = {each: position for each, position in wanted.items() if self._committed.get(each) != position}
        if not changed:
            return
        try:
            await self._source.commit(changed)
        except BrokerUnavailable as error:  # the next one covers it; until then a restart repeats more
            log.debug("bridge_commit_failed", destination=self._name, error=str(error))
            self._facts.trouble("commits_failing", str(error), error.hint)
        else:
            self._committed.update(changed)
            self._facts.works("commits_failing")


def _first(group: BaseExceptionGroup[LogwardenError]) -> LogwardenError:
    """Returns the first plain error of a group."""
    for error in group.exceptions:
        return _first(error) if isinstance(error, BaseExceptionGroup) else error
    raise AssertionError("an exception group is never empty")
