"""A member of a group without a model: the real source, intake, ledgers and commits, in this process.

Every line is done as soon as it is read, so that a test of reading pays for no model. Knows no topics of its own.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any, NamedTuple

import numpy as np

from logwarden.daemon.clock import SystemClock
from logwarden.daemon.errors import BrokerUnavailable
from logwarden.daemon.health import HealthState
from logwarden.daemon.incidents.alert import alert_id
from logwarden.daemon.kafka.consumer import KafkaSource
from logwarden.daemon.pipeline.checkpoint import Checkpoint
from logwarden.daemon.pipeline.intake import Intake
from logwarden.daemon.pipeline.partitions import Assignment, Partitions
from logwarden.daemon.pipeline.phase import Lifetime
from logwarden.daemon.pipeline.pulse import Pulse
from logwarden.daemon.pipeline.retries import Retries
from logwarden.daemon.ports import Ports
from logwarden.daemon.records import Partition
from logwarden.daemon.settings.kafka import KafkaSettings
from logwarden.daemon.web.metrics import PrometheusTelemetry
from tests.fakes import FakeSink, InlineWorker, metric
from tests.oracles import PROFILE

FETCH_MAX_WAIT_S = 0.05
"""How long the broker holds a fetch of a member."""


class Judged(NamedTuple):
    """A line that was read as a new one, and the id that its alert would have."""

    topic: str
    partition: int
    offset: int
    value: bytes
    alert_id: str


class Reader:
    """One member. `judged` grows as it reads; `error` is what ended it."""

    def __init__(self, bootstrap: str, group: str, *topics: str, **settings: Any) -> None:
        quick = {
            "session_timeout_ms": 6_000,
            "rebalance_timeout_ms": 6_000,
            "fetch_max_wait_ms": round(1000 * FETCH_MAX_WAIT_S),
        }
        self.source = KafkaSource(
            KafkaSettings(bootstrap_servers=bootstrap, group_id=group, input_topics=topics, **quick | settings)
        )
        clock, self.telemetry = SystemClock(), PrometheusTelemetry()
        self.health = HealthState(clock.monotonic)
        self.judged: list[Judged] = []
        self.rebalances = 0
        self.error: BaseException | None = None
        lifetime = Lifetime(Pulse())
        ports = Ports(
            source=self.source,
            sink=FakeSink(),
            ingest_worker=InlineWorker(),
            score_worker=InlineWorker(),
            clock=clock,
            telemetry=self.telemetry,
            health=self.health,
        )
        self.retries = Retries(clock, lifetime, retry_s=0.1)
        self.partitions = Partitions(self.source, self.telemetry, lambda topic: PROFILE, max_context_records=100)
        self.intake = Intake(ports, self.partitions, lifetime, self.retries, self._drop)
        self.checkpoint = Checkpoint(ports, self.partitions, 100)

    @classmethod
    @asynccontextmanager
    async def reading(cls, bootstrap: str, group: str, *topics: str, **settings: Any) -> AsyncIterator[Reader]:
        """Reads in a task until the block ends."""
        reader = cls(bootstrap, group, *topics, **settings)
        await reader.source.start(reader)
        task = asyncio.create_task(reader._run(), name="reader")
        try:
            yield reader
        finally:
            task.cancel()
            await asyncio.wait([task])
            await reader.source.stop()

    # ---------------------------------------------------------------- the group

    async def on_revoked(self, partitions: Sequence[Partition]) -> None:
        revoked = self.partitions.revoke(partitions)
        await self.checkpoint.commit_revoked(revoked, 3.0)
        self.partitions.close(revoked)

    async def on_assigned(self, partitions: Sequence[Partition]) -> None:
        committed = await self.retries.answer(lambda: self.source.committed(partitions)) if partitions else {}
        bounds = await self.retries.answer(lambda: self.source.bounds(partitions)) if partitions else {}
        assert committed is not None
        assert bounds is not None
        for partition in partitions:
            self.partitions.assign(partition, committed.get(partition), bounds[partition])
        self.rebalances += 1

    async def _drop(self, assignments: Sequence[Assignment]) -> None: ...

    # ---------------------------------------------------------------- reading

    async def _run(self) -> None:
        try:
            while True:
                await self._read_once()
        except BaseException as error:  # for the test to look at
            self.error = error
            raise

    async def _read_once(self) -> None:
        for assignment, records in await self.intake.next_chunks() or ():
            new = [record for record in records if record.offset >= assignment.ledger.score_from]
            for record in new:
                topic, partition, offset = record.topic, record.partition, record.offset
                named = alert_id(topic, partition, "service", offset, 0, incarnation=assignment.incarnation)
                self.judged.append(Judged(topic, partition, offset, record.value or b"", named))
            if new:
                assignment.ledger.done(np.array([record.offset for record in new]))
        try:
            await self.checkpoint.commit_held(3.0)
        except BrokerUnavailable:
            return

    # ---------------------------------------------------------------- evidence

    @property
    def assigned(self) -> set[Partition]:
        """The partitions that this member reads now."""
        return {assignment.partition for assignment in self.partitions.assignments()}

    def values(self, topic: str) -> list[bytes]:
        """Returns the lines of a topic, in the order in which they were judged."""
        return [line.value for line in self.judged if line.topic == topic]

    def lag(self, topic: str, partition: int = 0) -> float:
        """Returns the lag as the metric shows it."""
        return metric(self.telemetry, "lag_records", topic=topic, partition=str(partition))
