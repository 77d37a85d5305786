"""Hand-written stand-ins for the ports of one pipeline, and the parts that are built on them.

Each stand-in answers what its test lays down and records the calls. Metrics are the real ones; time is virtual where a
test is marked `virtually`.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Collection, Coroutine, Mapping, Sequence
from typing import Any, ParamSpec

import structlog

from logwarden.daemon.errors import TopicUnusable
from logwarden.daemon.health import HealthState
from logwarden.daemon.pipeline.checkpoint import Checkpoint
from logwarden.daemon.pipeline.in_flight import InFlight
from logwarden.daemon.pipeline.intake import Intake
from logwarden.daemon.pipeline.learning import FirstStarts
from logwarden.daemon.pipeline.partitions import Assignment, Partitions
from logwarden.daemon.pipeline.phase import Lifetime
from logwarden.daemon.pipeline.publisher import Publisher
from logwarden.daemon.pipeline.pulse import Pulse
from logwarden.daemon.pipeline.rebalance import Rebalance
from logwarden.daemon.pipeline.recall import Recall
from logwarden.daemon.pipeline.retries import Retries
from logwarden.daemon.pipeline.work import Begun
from logwarden.daemon.ports import Ports, RebalanceListener
from logwarden.daemon.records import Bounds, Committed, Delivery, Fetched, Message, Partition, Record
from logwarden.daemon.web.metrics import PrometheusTelemetry
from tests.oracles import PROFILE
from tests.sim.loop import run_virtual
from tests.sim.stand_ins import VirtualClock

P = ParamSpec("P")

LOGS = [Partition("logs", number) for number in range(4)]
RETRY_S = 1.0
BUDGET_S = 10.0
MAX_LINES = 10


def virtually(test: Callable[P, Coroutine[Any, Any, None]]) -> Callable[P, None]:
    """Runs an asynchronous test in virtual time."""

    @functools.wraps(test)
    def run(*args: P.args, **kwargs: P.kwargs) -> None:
        run_virtual(test(*args, **kwargs))

    return run


def metric(telemetry: PrometheusTelemetry, name: str, **labels: str) -> float:
    """Returns the value of a sample without the prefix `logwarden_`; 0 if none has these labels."""
    known = {row.name for row in telemetry.rows}
    assert any(f"logwarden_{name}" in (one, f"{one}_count", f"{one}_sum") for one in known), f"no metric {name}"
    value = telemetry._registry.get_sample_value(f"logwarden_{name}", labels)
    return 0.0 if value is None else float(value)


def events(caught: Sequence[Mapping[str, Any]], name: str) -> list[dict[str, Any]]:
    """Returns the captured log events of one name, without that name."""
    return [
        {key: value for key, value in entry.items() if key != "event"} for entry in caught if entry["event"] == name
    ]


class FakeSource:
    """Answers fetches from `answers`, in order; an exception among them is raised."""

    def __init__(self) -> None:
        self.answers: list[Mapping[Partition, Sequence[Record]] | Fetched | Exception] = []
        self.offsets: dict[Partition, Committed] = {}
        self.held: dict[Partition, Bounds] = {}
        self.refusals: list[Exception] = []
        """Raised, one for each question about offsets, before one is answered."""
        self.before_answer: Callable[[], None] = lambda: None
        """Runs while the broker answers a question or fetches."""
        self.seeks: list[tuple[Partition, int]] = []
        self.commits: list[dict[Partition, int]] = []
        self.calls: list[str] = []
        self.paused: set[Partition] = set()

    async def start(self, listener: RebalanceListener) -> None: ...

    async def fetch(self) -> Fetched:
        self.before_answer()
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer if isinstance(answer, Fetched) else Fetched(records=answer)

    async def committed(self, partitions: Sequence[Partition] | None) -> Mapping[Partition, Committed]:
        self._maybe_refuse()
        partitions = list(self.offsets) if partitions is None else partitions
        return {partition: self.offsets[partition] for partition in partitions if partition in self.offsets}

    async def bounds(self, partitions: Sequence[Partition]) -> Mapping[Partition, Bounds]:
        self._maybe_refuse()
        return {partition: self.held.get(partition, Bounds(0, 1_000)) for partition in partitions}

    def _maybe_refuse(self) -> None:
        self.before_answer()
        if self.refusals:
            raise self.refusals.pop(0)

    def silent_s(self) -> float:
        return 0.0

    def missing_topics(self) -> list[str]:
        return []

    def end(self, partition: Partition) -> int | None:
        return None

    def seek(self, partition: Partition, offset: int) -> None:
        self.seeks.append((partition, offset))

    async def commit(self, positions: Mapping[Partition, Committed]) -> None:
        self.commits.append({partition: position.offset for partition, position in positions.items()})

    def pause(self, partitions: Collection[Partition]) -> None:
        self.calls.append("pause")
        self.paused |= set(partitions)

    def resume(self, partitions: Collection[Partition]) -> None:
        self.calls.append("resume")
        self.paused -= set(partitions)

    async def stop(self) -> None: ...


class FakeSink:
    """Takes messages, after raising `refusals` one by one. Decides each message by `deliver`."""

    def __init__(self) -> None:
        self.sent: list[list[Message]] = []
        self.refusals: list[Exception] = []
        self.before_answer: Callable[[], None] = lambda: None
        self.stuck: set[str] = set()
        """Topics that take nothing."""
        self.deliver: Callable[[Message], Delivery] = lambda _: Delivery.ACKNOWLEDGED

    async def start(self) -> None: ...

    async def send(self, topic: str, messages: Sequence[Message]) -> Sequence[Delivery]:
        self.before_answer()
        if self.refusals:
            raise self.refusals.pop(0)
        if topic in self.stuck:
            raise TopicUnusable(topic, "it does not exist", hint="create it")
        self.sent.append(list(messages))
        return [self.deliver(message) for message in messages]

    async def stop(self) -> None: ...


class InlineWorker:
    """Runs functions at once, on the thread of the caller."""

    async def run(self, function: Callable[..., Any], *args: Any) -> Any:
        return function(*args)


class World:
    """The parts of one pipeline around their fakes. Build it inside a running loop."""

    def __init__(self, source: FakeSource | None = None) -> None:
        self.source = source or FakeSource()
        self.sink = FakeSink()
        self.telemetry = PrometheusTelemetry()
        self.clock = VirtualClock()
        self.health = HealthState(self.clock.monotonic)
        self.ports = Ports(
            source=self.source,
            sink=self.sink,
            ingest_worker=InlineWorker(),
            score_worker=InlineWorker(),
            clock=self.clock,
            telemetry=self.telemetry,
            health=self.health,
        )
        self.pulse = Pulse()
        self.lifetime = Lifetime(self.pulse)
        self.retries = Retries(self.clock, self.lifetime, retry_s=RETRY_S)
        self.partitions = Partitions(self.source, self.telemetry, lambda topic: PROFILE, max_context_records=100)
        self.in_flight = InFlight(self.ports, self.partitions, self.lifetime, self.pulse, max_lines=MAX_LINES)
        self.dropped: list[Assignment] = []
        self.done: list[tuple[int, list[int]]] = []
        self.intake = Intake(self.ports, self.partitions, self.lifetime, self.retries, self._drop)
        self.checkpoint = Checkpoint(self.ports, self.partitions, 100)
        self.publisher = Publisher(
            self.sink, self.clock, self.telemetry, self.health, retry_s=RETRY_S, done=self._done, moved=self.pulse.beat
        )
        self.begun: list[Begun] = []
        """What began in each rebalance."""
        self.keeps = True
        """False: services of ended assignments never continue."""
        self.drop: Callable[[Sequence[Assignment]], Coroutine[Any, Any, None]] = self._drop
        self.listener = Rebalance(
            self.ports,
            self.partitions,
            self.lifetime,
            retries=self.retries,
            in_flight=self.in_flight,
            checkpoint=self.checkpoint,
            publisher=self.publisher,
            drop=lambda assignments: self.drop(assignments),  # noqa: PLW0108 - tests replace `drop` later
            keep=self._keep,
            restore=self._restore,
            recall=Recall(self.ports, self.lifetime, group="", masks=""),
            first_starts=FirstStarts(self.ports, self.retries, at_end=False),
            budget_s=BUDGET_S,
        )

    async def _restore(self, begun: Begun) -> None:
        self.begun.append(begun)

    async def _keep(self, assignments: Sequence[Assignment]) -> Sequence[Assignment]:
        if self.keeps:
            return assignments
        await self.drop(assignments)
        return ()

    def assign(self, partition: Partition = LOGS[0], *, committed: int = 0) -> Assignment:
        """Returns a new assignment that begins at this offset."""
        self.partitions.assign(partition, Committed(committed, ""), Bounds(0, 1_000))
        found = self.partitions.active(partition)
        assert found is not None
        self.source.seeks.clear()
        return found

    async def _drop(self, assignments: Sequence[Assignment]) -> None:
        self.dropped += assignments

    def _done(self, assignment: Assignment, offsets: Any) -> None:
        self.done.append((assignment.generation, offsets.tolist()))
        if not assignment.ended:
            assignment.ledger.done(offsets)
            self.pulse.beat()


capture = structlog.testing.capture_logs
"""Collects log events instead of writing them."""
