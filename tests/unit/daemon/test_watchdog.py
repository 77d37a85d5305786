"""The task beside the pipeline: it collects facts, queries the broker, and ends a daemon that stands still."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from logwarden.daemon import watchdog
from logwarden.daemon.errors import EXIT_STUCK, BrokerUnavailable, Stuck
from logwarden.daemon.health import HealthState
from logwarden.daemon.readiness import reasons
from logwarden.daemon.records import Partition
from logwarden.daemon.watchdog import Held, Watchdog, WatchedWorker
from tests.fakes import FakeSource, virtually
from tests.sim.loop import now_s
from tests.sim.stand_ins import VirtualClock

LOGS = Partition("logs", 0)


class Switch:
    """Stands for the thread that would end this process."""

    made: list[Switch]

    def __init__(self) -> None:
        self.holds: list[float | None] = []
        self.is_released = False
        self.made.append(self)

    def hold(self, seconds: float | None) -> None:
        self.holds.append(seconds)

    def release(self) -> None:
        self.is_released = True


@pytest.fixture(autouse=True)
def switches(monkeypatch: pytest.MonkeyPatch) -> list[Switch]:
    Switch.made = []
    monkeypatch.setattr(watchdog, "DeadMansSwitch", Switch)
    return Switch.made


class Witness:
    """Answers with `found`, after `takes_s`; raises `refusal` instead if there is one."""

    def __init__(self) -> None:
        self.found: Mapping[Partition, int] = {}
        self.refusal: Exception | None = None
        self.takes_s = 0.0
        self.queries: list[tuple[float, Sequence[Partition]]] = []

    async def ends(self, partitions: Sequence[Partition]) -> Mapping[Partition, int]:
        self.queries.append((asyncio.get_running_loop().time(), list(partitions)))
        await asyncio.sleep(self.takes_s)
        if self.refusal is not None:
            raise self.refusal
        return self.found

    async def group_answers(self) -> None:
        await self.ends([])


class Source(FakeSource):
    """Reports what a test lays down."""

    def __init__(self) -> None:
        super().__init__()
        self.silent = 0.0
        self.missing: list[str] = []

    def silent_s(self) -> float:
        return self.silent

    def missing_topics(self) -> list[str]:
        return self.missing


class World:
    """A watchdog over work that lasts for a number of seconds. Build it inside a running loop."""

    def __init__(self, timeout_s: float | None = 300.0) -> None:
        self.clock = VirtualClock()
        self.health = HealthState(self.clock.monotonic, assigned=True, warm=True)
        self.witness = Witness()
        self.held = [Held(partition=LOGS, position=7, outstanding=0)]
        self.source = Source()
        self.watchdog = Watchdog(self.health, self.clock, self.source, self.witness, timeout_s=timeout_s)

    async def work(self, seconds: float) -> str:
        return await self.watchdog.over(self._last(seconds), lambda: self.held)

    async def _last(self, seconds: float) -> str:
        await asyncio.sleep(seconds)
        return "done"


@virtually
async def test_work_that_ends_is_returned() -> None:
    """A calm hour ends as it would without a watchdog, and nothing of it remains."""
    world = World()
    world.witness.found = {LOGS: 7}
    assert await world.work(3_600) == "done"
    assert Switch.made[0].is_released
    assert len(asyncio.all_tasks()) == 1


@virtually
async def test_a_silent_consumer_ends_the_work() -> None:
    """The daemon that stays connected and receives nothing ends with its own exit code."""
    world = World()
    world.witness.found = {LOGS: 9}
    with pytest.raises(BaseExceptionGroup) as raised:
        await world.work(3_600)
    stuck = raised.value.exceptions[0]
    assert isinstance(stuck, Stuck)
    assert (stuck.exit_code, stuck.hint) == (EXIT_STUCK, "restart the daemon; if this repeats, report it with the log")
    assert 330 <= asyncio.get_running_loop().time() <= 332
    assert not world.health.live
    assert world.health.failure == str(stuck)
    [switch] = Switch.made
    assert not switch.is_released, "this end may hang as well"
    assert switch.holds[-1] == 15.0


@virtually
async def test_the_thread_lets_the_process_live_as_long_as_the_loop_turns() -> None:
    """Each look at the facts gives the process the whole time again."""
    world = World(timeout_s=60.0)
    await world.work(100)
    assert set(Switch.made[0].holds) == {60.0}
    assert len(Switch.made[0].holds) >= 100


@virtually
async def test_an_error_of_the_work_is_its_own() -> None:
    """The watchdog hides no failure, and its thread ends no process that failed by itself."""
    world = World()

    async def fail() -> None:
        raise ValueError("a bug")

    with pytest.raises(BaseExceptionGroup) as raised:
        await world.watchdog.over(fail(), list)
    assert [str(error) for error in raised.value.exceptions] == ["a bug"]
    assert Switch.made[0].is_released


@virtually
async def test_facts_are_collected_every_second() -> None:
    """Lines in flight and the silence of the broker are known to the probes at once."""
    world = World()
    world.held = [Held(partition=LOGS, position=7, outstanding=3), Held(partition=LOGS, position=0, outstanding=4)]
    world.source.silent, world.source.missing = 25.0, ["lgos"]
    await asyncio.sleep(30)
    await world.work(2)
    assert world.health.in_flight == 7
    assert world.health.silent_s == pytest.approx(26, abs=1.1)
    assert list(world.health.missing_topics) == ["lgos"]


@virtually
async def test_topics_are_missing_once_the_group_has_assigned() -> None:
    """A client that has not joined yet may not know any topic, and none of them is missing for that."""
    world = World()
    world.health.assigned, world.source.missing = False, ["logs"]
    await world.work(2)
    assert dict(world.health.missing_topics) == {}
    world.health.assigned = True
    await world.work(2)
    assert list(world.health.missing_topics) == ["logs"]


@virtually
async def test_a_member_that_fetches_nothing_waits_for_no_answer() -> None:
    """A spare has no partitions, and a paused member sends no fetch: neither knows when a broker answered."""
    world = World()
    await world.work(1)
    assert world.health.since_progress_s("fetch") is not None
    for held, paused in (([], False), (world.held, True)):
        world.held, world.health.paused = held, paused
        before = world.health.since_progress_s("fetch") or 0.0
        await world.work(5)
        assert world.health.silent_s is None
        assert world.health.since_progress_s("fetch") == before + 5


@virtually
async def test_the_broker_is_queried_at_a_steady_pace() -> None:
    """An idle member costs a request in half a minute; a short time limit costs more."""
    world = World()
    await world.work(100)
    assert [at for at, _ in world.witness.queries] == [30.0, 60.0, 90.0]
    assert world.witness.queries[0][1] == [LOGS]
    hasty = World(timeout_s=20.0)
    await hasty.work(9)
    assert len(hasty.witness.queries) == 4


@virtually
async def test_a_partition_in_work_is_no_question() -> None:
    """Lines in flight show that the consumer receives; the broker is spared the request."""
    world = World()
    world.held = [Held(partition=LOGS, position=7, outstanding=3)]
    await world.work(100)
    assert world.witness.queries == []


@pytest.mark.parametrize("refusal", [BrokerUnavailable("b:9092", "gone"), TimeoutError()])
def test_a_broker_that_does_not_answer_is_an_outage(refusal: Exception) -> None:
    """A restart would meet the same outage, so the member waits for as long as it takes."""

    @virtually
    async def waits() -> None:
        world = World()
        world.witness.refusal = refusal
        assert await world.work(10_000) == "done"

    waits()


@virtually
async def test_a_query_that_hangs_stops_nothing() -> None:
    """The facts are collected beside it, and it ends after ten seconds."""
    world = World(timeout_s=60.0)
    world.witness.takes_s = 1e6
    assert await world.work(200) == "done"
    assert len(world.witness.queries) > 5
    assert len(Switch.made[0].holds) >= 200


@virtually
async def test_a_member_that_is_never_assigned_ends() -> None:
    """The group's coordinator answers, and yet no rebalance completes."""
    world = World()
    world.health.assigned = False
    with pytest.raises(BaseExceptionGroup):
        await world.work(3_600)
    assert world.health.failure == (
        "the group has assigned nothing to this member for 300 s, although its coordinator answers"
    )


class SlowWorker:
    """Runs functions after one another, each after a pause."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self.one = asyncio.Lock()

    async def run(self, function: Any, *args: Any) -> Any:
        async with self.one:
            await asyncio.sleep(self.seconds)
            return function(*args)


@virtually
async def test_a_worker_reports_what_runs_on_it() -> None:
    """A function that hangs on its thread leaves its stage waiting; one that returns is progress."""
    health = HealthState(VirtualClock().monotonic)
    worker = WatchedWorker(SlowWorker(5.0), health, "score")
    first, second = asyncio.create_task(worker.run(abs, -1)), asyncio.create_task(worker.run(abs, -2))
    await asyncio.sleep(4)
    assert (health.waited_s("score"), health.since_progress_s("score")) == (4, None)
    assert await first == 1
    await asyncio.sleep(3)
    assert health.waited_s("score") == 3, "the second function still runs"
    assert await second == 2
    assert (health.waited_s("score"), health.since_progress_s("score")) == (0, 0)


@virtually
async def test_a_function_that_raises_is_no_progress() -> None:
    """Its stage waits no longer, and the error is the caller's."""
    health = HealthState(VirtualClock().monotonic)
    worker = WatchedWorker(SlowWorker(1.0), health, "ingest")
    with pytest.raises(ValueError, match="invalid literal"):
        await worker.run(int, "a")
    assert (health.waited_s("ingest"), health.since_progress_s("ingest")) == (0, None)


@virtually
async def test_a_thread_that_hangs_is_no_silent_broker() -> None:
    """Behind a hung ingest thread nothing is fetched: the thread is what ends the daemon, and no broker is accused."""
    world = World()
    world.held = [Held(partition=LOGS, position=7, outstanding=5)]
    world.health.waiting("ingest", True)
    began = now_s()
    world.source.silent_s = lambda: now_s() - began  # type: ignore[method-assign]
    with pytest.raises(ExceptionGroup):
        await world.work(1_000)
    assert [reason.code for reason in reasons(world.health)] == ["stuck", "ingest_stalled"]
    assert now_s() - began < 330
