"""Stand-ins for Kafka, the model and the threads of one daemon, which record the order in which they begin and end."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence

import numpy as np

from logwarden.daemon.ports import Engine, RebalanceListener
from logwarden.daemon.records import Committed, Delivery, Fetched, FollowedEntries, Message, Partition
from logwarden.daemon.roster import GroupDescription
from logwarden.daemon.settings.groups import Settings
from logwarden.daemon.settings.reading import read_settings
from logwarden.model.verdicts import AlertPolicy, Scores
from logwarden.model.windowing import WindowBatch
from tests.fakes import LOGS, FakeSink, FakeSource, InlineWorker
from tests.oracles import TableSpy


class Source(FakeSource):
    """Assigns one partition at its start. A fetch takes a moment, and runs `on_fetch` first."""

    def __init__(self, life: Life) -> None:
        super().__init__()
        self.life = life
        self.on_fetch: Callable[[], None] = lambda: None
        self.fetch_s = 0.001
        self.hanging_commits = False

    async def start(self, listener: RebalanceListener) -> None:
        self.life.begin("source")
        await self.life.start_hangs("source")
        await listener.on_assigned(LOGS[:1])

    async def fetch(self) -> Fetched:
        self.on_fetch()
        await asyncio.sleep(self.fetch_s)
        return await super().fetch() if self.answers else Fetched()

    async def commit(self, positions: Mapping[Partition, Committed]) -> None:
        if self.hanging_commits:
            await asyncio.Event().wait()
        await super().commit(positions)

    async def stop(self) -> None:
        self.life.end("source")
        await self.life.hang("source")


class Sink(FakeSink):
    """Takes every message, or hangs."""

    def __init__(self, life: Life) -> None:
        super().__init__()
        self.life = life
        self.hangs = False

    async def start(self) -> None:
        self.life.begin("sink")
        await self.life.start_hangs("sink")

    async def send(self, topic: str, messages: Sequence[Message]) -> Sequence[Delivery]:
        if self.hangs:
            await asyncio.Event().wait()
        return await super().send(topic, messages)

    async def stop(self) -> None:
        self.life.end("sink")
        await self.life.hang("sink")


class Witness:
    """A broker that has no more than this member read, and whose group answers."""

    def __init__(self) -> None:
        self.found: dict[Partition, int] = {}

    async def ends(self, partitions: Sequence[Partition]) -> Mapping[Partition, int]:
        return self.found

    async def group_answers(self) -> None: ...


class State:
    """A state topic without records."""

    async def read(self, *_: object) -> None: ...


class Coordinator:
    """The coordinator of a group that has no other member."""

    async def describe(self) -> GroupDescription:
        return GroupDescription(members=(), is_stable=True)


class Incidents:
    """A topic whose records are followed."""

    def __init__(self) -> None:
        self.entries: list[tuple[bytes, bytes | None, int]] = []

    async def follow(self, since_ms: int) -> AsyncIterator[FollowedEntries]:
        yield FollowedEntries(entries=self.entries, is_caught_up=True)
        await asyncio.Event().wait()


class Worker(InlineWorker):
    """A worker without a thread, as virtual time knows none."""

    def __init__(self, life: Life, name: str) -> None:
        self._life = life
        self._name = name

    def close(self) -> None:
        self._life.end(self._name)


class AlarmedScorer:
    """Finds every window anomalous."""

    def score(self, batch: WindowBatch) -> Scores:
        rows = len(batch)
        return Scores(
            logits=np.tile(np.array([0.0, 1.0], np.float32), (rows, 1)),
            probability=np.full(rows, 0.97),
            line_weights=np.full((rows, batch.size), 1 / batch.size, np.float32),
        )


class Life:
    """Everything that a service builds, and the order in which it begins and ends."""

    def __init__(self) -> None:
        self.trace: list[str] = []
        self.times: list[float] = []
        self.refusals: dict[str, list[Exception]] = {"source": [], "sink": []}
        self.failing_stops: dict[str, BaseException] = {}
        self.hanging_stops: set[str] = set()
        self.hanging_starts: set[str] = set()
        self.source = Source(self)
        self.sink = Sink(self)
        self.witness = Witness()
        self.state = State()
        self.group = Coordinator()
        self.incidents = Incidents()
        self.feedback = Incidents()
        self.engine = Engine(
            scorer=AlarmedScorer(),
            table=TableSpy().table(),
            policy=AlertPolicy(threshold=0.5, learning_lines=0, model_revision="test"),
        )

    def begin(self, name: str) -> None:
        self.trace.append(f"start {name}")
        self.times.append(asyncio.get_running_loop().time())
        if self.refusals[name]:
            raise self.refusals[name].pop(0)

    async def hang(self, name: str) -> None:
        if name in self.hanging_stops:
            await asyncio.Event().wait()

    async def start_hangs(self, name: str) -> None:
        if name in self.hanging_starts:
            await asyncio.Event().wait()

    def end(self, name: str) -> None:
        self.trace.append(f"stop {name}")
        if name in self.failing_stops:
            raise self.failing_stops[name]


def settings_of(**values: str) -> Settings:
    values = {
        "HTTP__PORT": "none",
        "KAFKA__INPUT_TOPICS": "logs",
        "KAFKA__FIRST_START": "earliest",
        "KAFKA__INCIDENTS_TOPIC": "none",
    } | values
    return read_settings({f"LOGWARDEN_{name}": value for name, value in values.items()})


def later(seconds: float, action: Callable[[], None]) -> None:
    asyncio.get_running_loop().call_later(seconds, action)
