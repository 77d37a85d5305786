"""Reads the alerts topic for the one member of the group that folds incidents, and the incidents topic before that.

- A group of its own, whose assignor gives all partitions to the member that runs longest: it moves only when that
  member ends. The client's assignors are classes, so the time of the start is an attribute of a class made for it.
- Without a committed offset reading begins a while ago: older alerts are no news, and the group may be a new one.
- The client may let a broker create a topic that it requests; `ReadingClient` does not.
"""

from __future__ import annotations

import asyncio
import struct
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

import structlog
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.abc import ConsumerRebalanceListener
from aiokafka.coordinator.assignors.abstract import AbstractPartitionAssignor
from aiokafka.coordinator.protocol import ConsumerProtocolMemberAssignment, ConsumerProtocolMemberMetadata
from aiokafka.errors import CommitFailedError, IllegalStateError, KafkaError, RebalanceInProgressError

from logwarden.daemon.errors import TopicUnusable
from logwarden.daemon.kafka.client import LATEST, ReadingClient
from logwarden.daemon.kafka.compacted import CompactedTopic
from logwarden.daemon.kafka.connection import check_access, connection_options, stopped, translated
from logwarden.daemon.kafka.metadata import UNKNOWN_TOPIC
from logwarden.daemon.kafka.output_topic import INCIDENTS
from logwarden.daemon.ports import Clock
from logwarden.daemon.records import AlertBatch
from logwarden.daemon.settings.kafka import KafkaSettings

log = structlog.get_logger(__name__)

GROUP_SUFFIX = "-incidents"
LOOK_BACK_MS = 600_000
"""Age of the oldest alerts that a group without a committed offset reads."""
MAX_RECORDS = 256
"""Alerts of a fetch: folding them takes some milliseconds on the event loop."""
_STANDBY_S = 0.5
_NEVER_MS = 2**31 - 1
_SINCE = struct.Struct(">q")


class KafkaAlertReader(ConsumerRebalanceListener):  # type: ignore[misc]  # aiokafka ships no types
    """Implements `daemon/ports.py: AlertReader`."""

    def __init__(self, settings: KafkaSettings, clock: Clock) -> None:
        assert settings.incidents_topic is not None, "without an incidents topic nothing is folded"
        self._settings = settings
        self._topic = settings.incidents_topic
        self._clock = clock
        self._since_ms = clock.now_ms()
        self._consumer: AIOKafkaConsumer | None = None
        self._client: ReadingClient | None = None
        self._term = 0
        self._is_new = False
        self._ends: Mapping[int, int] = {}

    async def start(self) -> None:
        settings = self._settings
        await check_access(settings)
        options = connection_options(settings)
        self._consumer = AIOKafkaConsumer(
            **options,
            group_id=settings.group_id + GROUP_SUFFIX,
            enable_auto_commit=False,
            auto_offset_reset="earliest",
            isolation_level="read_committed",
            partition_assignment_strategy=(oldest_takes_all(self._since_ms),),
            session_timeout_ms=settings.session_timeout_ms,
            rebalance_timeout_ms=settings.rebalance_timeout_ms,
            heartbeat_interval_ms=min(3000, settings.session_timeout_ms // 3),
            max_poll_interval_ms=_NEVER_MS,
            fetch_max_wait_ms=settings.fetch_max_wait_ms,
        )
        self._client = self._consumer._client = ReadingClient(**options)
        try:
            async with asyncio.timeout(settings.request_timeout_ms / 1000):
                await self._consumer.start()
                await self._require_topics(self._client)
            self._consumer.subscribe([settings.alerts_topic], listener=self)
        except (KafkaError, OSError, TimeoutError) as error:
            raise translated(error, settings) from error

    async def _require_topics(self, client: ReadingClient) -> None:
        topics = (self._settings.alerts_topic, self._topic)
        errors = (await client.describe(topics)).errors
        for topic, options in zip(topics, ("", INCIDENTS), strict=True):
            if errors.get(topic) == UNKNOWN_TOPIC:
                command = (
                    f"kafka-topics.sh --bootstrap-server {self._settings.bootstrap_servers} --create --topic {topic} "
                    f"--partitions 3{options}"
                )
                raise TopicUnusable(topic, "it does not exist", hint=f"create it with `{command}`")

    # ---------------------------------------------------------------- the group

    async def on_partitions_revoked(self, revoked: Sequence[TopicPartition]) -> None:
        self._is_new = False

    async def on_partitions_assigned(self, assigned: Sequence[TopicPartition]) -> None:
        self._begin_term(assigned)

    def _begin_term(self, assigned: Collection[TopicPartition]) -> None:
        self._term += 1
        self._is_new = bool(assigned)

    # ---------------------------------------------------------------- reading

    async def fetch(self, partitions: Collection[int] | None = None) -> AlertBatch:
        assert self._consumer is not None, "fetch comes after start"
        consumer, topic = self._consumer, self._settings.alerts_topic
        try:
            if not consumer.assignment():
                await asyncio.sleep(_STANDBY_S)
                return AlertBatch(term=0)
            term = self._term
            if self._is_new:
                await self._seek(consumer, sorted(consumer.assignment()))
            chosen = [TopicPartition(topic, number) for number in partitions or ()]
            found = await consumer.getmany(
                *(each for each in chosen if each in consumer.assignment()),
                timeout_ms=self._settings.fetch_max_wait_ms,
                max_records=MAX_RECORDS,
            )
            if term != self._term:  # a rebalance: these alerts are read again by the next term
                return AlertBatch(term=0)
            return AlertBatch(
                term=term,
                records=[record for records in found.values() for record in records],
                positions={each.partition: await consumer.position(each) for each in consumer.assignment()},
                ends=self._ends,
            )
        except IllegalStateError:  # the assignment changed in the middle: the next term reads from the commit on
            self._begin_term(consumer.assignment())
            return AlertBatch(term=0)
        except (KafkaError, OSError, TimeoutError) as error:
            raise translated(error, self._settings) from error

    async def _seek(self, consumer: AIOKafkaConsumer, assigned: Sequence[TopicPartition]) -> None:
        """Chooses where the term begins to read, and notes which alerts are old then."""
        assert self._client is not None, "made with the consumer"
        term = self._term
        self._ends = {each.partition: end for each, end in (await self._client.offsets(assigned, LATEST)).items()}
        since = dict.fromkeys(assigned, self._clock.now_ms() - LOOK_BACK_MS)
        recent = await consumer.offsets_for_times(since)
        for each in assigned:
            committed, offset = await consumer.committed(each), recent.get(each)
            if committed is None:
                committed = self._ends[each.partition] if offset is None else offset.offset
            consumer.seek(each, committed)
        if term == self._term:
            self._is_new = False

    async def published(self) -> Sequence[tuple[bytes, bytes | None]]:
        return [record[:2] for record in await CompactedTopic(self._settings, self._topic).read_all()]

    async def commit(self, positions: Mapping[int, int]) -> None:
        assert self._consumer is not None, "commit comes after start"
        topic = self._settings.alerts_topic
        offsets = {TopicPartition(topic, number): offset for number, offset in positions.items()}
        try:
            await self._consumer.commit(offsets)
        except (CommitFailedError, IllegalStateError, RebalanceInProgressError):
            log.debug("incident_commit_refused", term=self._term)  # the next term begins at the commit before
        except (KafkaError, OSError, TimeoutError) as error:
            raise translated(error, self._settings) from error

    async def stop(self) -> None:
        consumer, self._consumer = self._consumer, None
        if consumer is not None:
            await stopped(consumer.stop())


def oldest_takes_all(since_ms: int) -> type[AbstractPartitionAssignor]:
    """Returns the assignor of a member that was started at this time: the oldest member gets every partition."""

    class OldestTakesAll(AbstractPartitionAssignor):  # type: ignore[misc]  # aiokafka ships no types
        name = "logwarden-oldest-takes-all"

        @classmethod
        def assign(cls, cluster: Any, members: Mapping[str, Any]) -> dict[str, Any]:
            oldest = min(members, key=lambda member: (_started(members[member].user_data), member))
            topics = {topic for metadata in members.values() for topic in metadata.subscription}
            everything = [(topic, sorted(cluster.partitions_for_topic(topic) or ())) for topic in sorted(topics)]
            return {
                member: ConsumerProtocolMemberAssignment(0, everything if member == oldest else [], b"")
                for member in members
            }

        @classmethod
        def metadata(cls, topics: Iterable[str]) -> Any:
            return ConsumerProtocolMemberMetadata(0, list(topics), _SINCE.pack(since_ms))

        @classmethod
        def on_assignment(cls, assignment: Any) -> None: ...

    return OldestTakesAll


def _started(data: bytes) -> int:
    """Returns when a member was started. One that does not state it counts as the newest."""
    return int(_SINCE.unpack(data)[0]) if len(data or b"") == _SINCE.size else 2**62
