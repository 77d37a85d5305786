"""Finds a daemon that is alive and does nothing, and ends it, because a restart helps.

`StuckJudge` is the judgement: facts with times in, a sentence out. `Watchdog` is the task that collects the facts,
queries the broker over a connection of its own, and raises. An outage is never stuck: what the broker does not answer,
and what an operator must repair outside, a restart would meet again. Belongs to the event loop; a `DeadMansSwitch` ends
the process when the loop itself stands still.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

import structlog

from logwarden.daemon.errors import BrokerRefused, BrokerUnavailable, Stuck
from logwarden.daemon.health import HealthState, Stage
from logwarden.daemon.ports import Clock, Source, Worker
from logwarden.daemon.process import DeadMansSwitch
from logwarden.daemon.records import Partition

log = structlog.get_logger(__name__)

T = TypeVar("T")

STUCK = "stuck"
"""Code of the failure in `/livez` and `/readyz`."""
TICK_S = 1.0
_ASK_S = 30.0
"""Seconds between two questions to the broker; less where the time limit is short."""
_ASK_TIMEOUT_S = 10.0
_LATE_S = 5.0
"""Seconds between two looks from which the process was suspended, or its event loop blocked."""
_LEAVE_S = 15.0
"""Seconds that a stuck daemon may take to end by itself: its clients have ten of them."""
_HINT = "restart the daemon; if this repeats, report it with the log"


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """A partition of this member."""

    partition: Partition
    position: int
    """Its lowest offset that is not done."""
    outstanding: int
    """Lines read and not done."""


class Witness(Protocol):
    """Queries the broker over a connection that nothing else uses. Raises BrokerUnavailable if none answers."""

    async def ends(self, partitions: Sequence[Partition]) -> Mapping[Partition, int]:
        """Returns the offset up to which each of these partitions can be read."""

    async def group_answers(self) -> None:
        """Returns once the group's coordinator answered."""


class StuckJudge:
    """Judges facts that it is given with the time. `timeout_s` None: nothing is ever stuck."""

    def __init__(self, health: HealthState, *, timeout_s: float | None, now: float) -> None:
        self._health = health
        self._timeout_s = timeout_s
        self._began = now
        self._held: dict[Partition, Held] = {}
        self._still: dict[Partition, float] = {}
        """Since when a partition has nothing in flight and stands at its position."""
        self._more: dict[Partition, float] = {}
        """Since when the broker has had more of such a partition, as of the first query that found it."""
        self._moved_at = now
        """When any partition had lines in flight, or moved, or was paused."""
        self._group_answers_since: float | None = None
        self._disturbed_at = now
        """When a broker was silent or an output topic blocked."""
        self._observed_at = now

    def observe(self, held: Sequence[Held], now: float) -> None:
        """Takes the partitions that this member has now. To be called every `TICK_S`."""
        if now - self._observed_at > _LATE_S:  # the process was suspended: nothing could be done meanwhile
            self._disturbed_at = self._moved_at = self._began = now
            self.nothing_answered()
        self._observed_at = now
        before, self._held = self._held, {piece.partition: piece for piece in held}
        health = self._health
        silent_s = health.silent_s
        if health.blocked_topics or (silent_s is not None and silent_s > health.unready_after_s):
            self._disturbed_at = now
        for partition, piece in self._held.items():
            old = before.get(partition)
            if piece.outstanding or health.paused or old is None or old.position != piece.position:
                self._still.pop(partition, None)
                self._moved_at = now
            else:
                self._still.setdefault(partition, now)
        for partition in self._still.keys() - self._held.keys():
            del self._still[partition]
        self._keep_more(lambda partition: partition in self._still)

    def questions(self) -> list[Partition]:
        """Returns the partitions whose ends the broker should be queried for."""
        standing = self._health.unreadable.keys() | self._health.without_schema.keys()
        return [partition for partition in self._still if partition not in standing]

    def ends_are(self, ends: Mapping[Partition, int], now: float) -> None:
        """Takes the broker's answer. Partitions without an end count as read to their end."""
        behind = {p: end for p, end in ends.items() if p in self._still and end > self._held[p].position}
        self._keep_more(lambda partition: partition in behind)
        for partition, end in behind.items():
            self._more.setdefault(partition, now)
            position = self._held[partition].position
            self._health.stalled[partition] = (
                f"The broker has {end - position} records of {partition.topic}/{partition.partition} from offset "
                f"{position} on, but this member receives none. Check the leader of the partition and this log."
            )

    def group_answered(self, now: float) -> None:
        """Takes into account that the group's coordinator answers."""
        if self._group_answers_since is None:
            self._group_answers_since = now

    def nothing_answered(self) -> None:
        """Takes into account that no broker answered: whatever stands still, a restart would not help it."""
        self._keep_more(lambda partition: False)
        self._group_answers_since = None

    def verdict(self, now: float) -> str | None:
        """Returns the sentence about what is stuck. Returns None if nothing is, or not for long enough."""
        limit, health = self._timeout_s, self._health
        if limit is None or health.draining:
            return None
        if self._more and now - min(self._more.values()) >= limit and self._nothing_came_for(now) >= limit:
            names = ", ".join(f"{p.topic}/{p.partition}" for p in sorted(self._more))
            return f"the consumer has received nothing for {limit:g} s, although the broker has more records of {names}"
        answers = self._group_answers_since
        if answers is not None and now - max(answers, self._began) >= limit and health.since_s("unassigned") >= limit:
            return f"the group has assigned nothing to this member for {limit:g} s, although its coordinator answers"
        if now - self._disturbed_at < limit:
            return None
        stages: tuple[Stage, ...] = ("ingest", "score", "publish")
        for stage in stages:
            if health.hung_s(stage) >= limit:
                return f"the stage {stage!r} has had work for {limit:g} s and finished none"
        if health.idle_s >= limit:
            return f"{health.in_flight} lines have been in flight for {limit:g} s and none was done"
        return None

    def _nothing_came_for(self, now: float) -> float:
        received_s = self._health.since_received_s  # records of the context come and move no position
        return now - self._moved_at if received_s is None else min(received_s, now - self._moved_at)

    def _keep_more(self, wanted: Callable[[Partition], bool]) -> None:
        for partition in [partition for partition in self._more if not wanted(partition)]:
            del self._more[partition]
            self._health.stalled.pop(partition, None)


class Watchdog:
    """Runs beside the pipeline, as long as it works."""

    def __init__(
        self,
        health: HealthState,
        clock: Clock,
        source: Source,
        witness: Witness,
        *,
        timeout_s: float | None,
    ) -> None:
        self._health = health
        self._clock = clock
        self._witness = witness
        self._timeout_s = timeout_s
        self._source = source
        self._ask_s = _ASK_S if timeout_s is None else max(TICK_S, min(_ASK_S, timeout_s / 10))

    async def over(self, work: Coroutine[Any, Any, T], held: Callable[[], Sequence[Held]]) -> T:
        """Returns the result of `work`, whose partitions are `held`. Raises Stuck, in a group, if it stands still."""
        switch = DeadMansSwitch()
        judge = StuckJudge(self._health, timeout_s=self._timeout_s, now=self._clock.monotonic())
        try:
            async with asyncio.TaskGroup() as group:
                loops = (self._watch(judge, held, switch), self._ask_forever(judge))
                tasks = [group.create_task(loop, name="watchdog") for loop in loops]
                result = await work
                for task in tasks:
                    task.cancel()
        finally:
            if self._health.failure_code != STUCK:  # otherwise the switch stays armed: this end may hang as well
                switch.release()
        return result

    async def _watch(self, judge: StuckJudge, held: Callable[[], Sequence[Held]], switch: DeadMansSwitch) -> None:
        while True:
            switch.hold(self._timeout_s)
            pieces = held()
            self._health.in_flight = sum(piece.outstanding for piece in pieces)
            self._health.silent(self._source.silent_s() if pieces and self._is_fetching() else None)
            if self._health.assigned:  # before that the client may not know any topic yet
                self._health.missing(self._source.missing_topics())
            now = self._clock.monotonic()
            judge.observe(pieces, now)
            sentence = judge.verdict(now)
            if sentence is not None:
                switch.hold(_LEAVE_S)
                self._health.failed(sentence, code=STUCK)
                log.critical("stuck", reason=sentence, hint=_HINT)
                raise Stuck(sentence, hint=_HINT)
            await self._clock.sleep(TICK_S)

    def _is_fetching(self) -> bool:
        """Returns False while this member requests no records: a broker that sends none then is not silent.

        Behind an ingest thread that hangs nothing is fetched, once the client has a batch of each partition.
        """
        return not self._health.paused and self._health.hung_s("ingest") <= _LATE_S

    async def _ask_forever(self, judge: StuckJudge) -> None:
        while True:
            await self._clock.sleep(self._ask_s)
            await self._ask(judge)

    async def _ask(self, judge: StuckJudge) -> None:
        questions = judge.questions()
        try:
            async with asyncio.timeout(_ASK_TIMEOUT_S):
                if not self._health.assigned:
                    await self._witness.group_answers()
                    judge.group_answered(self._clock.monotonic())
                elif questions:
                    judge.ends_are(await self._witness.ends(questions), self._clock.monotonic())
        except (BrokerUnavailable, BrokerRefused, TimeoutError):
            judge.nothing_answered()


class WatchedWorker:
    """A worker that reports when a function is running and when it has finished."""

    def __init__(self, worker: Worker, health: HealthState, stage: Stage) -> None:
        self._worker = worker
        self._health = health
        self._stage = stage
        self._running = 0

    async def run(self, function: Callable[..., T], *args: Any) -> T:
        """Runs `function(*args)` on the worker, and returns its result."""
        self._running += 1
        self._health.waiting(self._stage, True)
        try:
            result = await self._worker.run(function, *args)
        finally:
            self._running -= 1
            self._health.waiting(self._stage, self._running > 0)
        self._health.progressed(self._stage)
        return result
