"""Consumes the input topics as a member of the consumer group. Knows the traps of the client.

- Raw bytes only: with a deserialiser one bad value would make `getmany` raise for ever.
- One assignor, never Sticky; rebalances are eager: each revokes everything (aiokafka issues 1175, 1176).
- `auto_offset_reset="none"`: the pipeline chooses positions, and an offset out of range is an incident, not a jump.
- A consumer that subscribes before its start waits there for topics that do not exist yet: subscribe afterwards.
- The admin client overlooks an answer that is an error as a whole and returns that nothing is committed; see
  `committed`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence

import structlog
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.abc import ConsumerRebalanceListener
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.coordinator.assignors.range import RangePartitionAssignor
from aiokafka.errors import (
    KafkaError,
    NoOffsetForPartitionError,
    OffsetOutOfRangeError,
    TopicAuthorizationFailedError,
)
from aiokafka.structs import OffsetAndMetadata

from logwarden.daemon.errors import BrokerRefused, BrokerUnavailable, FatalError, OffsetsGone
from logwarden.daemon.kafka.connection import (
    REFUSALS,
    check_access,
    check_codecs,
    connection_options,
    reason,
    stopped,
    translated,
)
from logwarden.daemon.ports import RebalanceListener
from logwarden.daemon.records import Bounds, Committed, Partition, Record
from logwarden.daemon.settings.groups import KafkaSettings

log = structlog.get_logger(__name__)

_TOPIC_MISSING, _TOPIC_REFUSED = 3, 29
"""Kafka's error codes for a topic asked about."""
_METADATA_MAX_AGE_MS = 10_000
"""How long a topic or partition made later may stay unseen; aiokafka's default is five minutes."""


class KafkaSource:
    """A member of the consumer group, reading the input topics."""

    def __init__(self, settings: KafkaSettings) -> None:
        check_codecs()  # here and not at the first compressed batch, which may come days later
        self._settings = settings
        self._consumer: AIOKafkaConsumer | None = None
        self._admin: AIOKafkaAdminClient | None = None

    async def start(self, listener: RebalanceListener) -> None:
        settings = self._settings
        await check_access(settings)
        options = connection_options(settings)
        self._admin = AIOKafkaAdminClient(**options)
        self._consumer = AIOKafkaConsumer(
            **options,
            group_id=settings.group_id,
            group_instance_id=settings.group_instance_id,
            enable_auto_commit=False,
            auto_offset_reset="none",
            partition_assignment_strategy=(RangePartitionAssignor,),
            session_timeout_ms=settings.session_timeout_ms,
            rebalance_timeout_ms=settings.rebalance_timeout_ms,
            heartbeat_interval_ms=min(3000, settings.session_timeout_ms // 3),
            metadata_max_age_ms=_METADATA_MAX_AGE_MS,
            fetch_max_wait_ms=settings.fetch_max_wait_ms,
            max_poll_records=settings.max_poll_records,
        )
        try:
            async with asyncio.timeout(settings.request_timeout_ms / 1000):
                await self._admin.start()
                await self._consumer.start()
                await self._look_for(settings.input_topics)
            self._consumer.subscribe(list(settings.input_topics), listener=_Listener(listener))
        except (KafkaError, OSError, TimeoutError) as error:
            await self.stop()
            raise translated(error, settings) from error
        except BaseException:
            await self.stop()
            raise

    async def fetch(self) -> Mapping[Partition, Sequence[Record]]:
        assert self._consumer is not None, "fetch comes after start"
        try:
            batch = await self._consumer.getmany(timeout_ms=self._settings.fetch_max_wait_ms)
        except NoOffsetForPartitionError:
            return {}  # a new partition, in the moment before our listener chose where to start
        except OffsetOutOfRangeError as error:
            raise OffsetsGone([Partition(*p) for p in error.args[0]]) from None
        except REFUSALS as error:
            raise BrokerRefused(f"the Kafka broker refused to go on: {reason(error)}") from error
        except KafkaError as error:
            if error.retriable:
                raise BrokerUnavailable(self._settings.bootstrap_servers, reason(error)) from error
            # A task inside the client ended, or the group put us out for good: only a new client can join again.
            raise FatalError(f"the Kafka consumer cannot go on: {reason(error)}") from error
        return {Partition(*partition): records for partition, records in batch.items()}

    async def committed(self, partitions: Sequence[Partition]) -> Mapping[Partition, Committed]:
        assert self._admin is not None, "committed comes after start"
        # Only the admin client returns the metadata; asked without names it would return all groups' partitions.
        wanted = [TopicPartition(*partition) for partition in partitions]
        try:
            found = await self._admin.list_consumer_group_offsets(self._settings.group_id, partitions=wanted)
        except (KafkaError, OSError, TimeoutError) as error:
            raise translated(error, self._settings) from error
        if len(found) < len(wanted):
            # The broker names every partition asked for, with -1 where nothing is committed. Without them its answer
            # was an error that the admin client overlooked; to believe it would start from the oldest line kept.
            raise BrokerUnavailable(self._settings.bootstrap_servers, "the group's offsets are not loaded yet")
        return {
            Partition(*partition): Committed(entry.offset, entry.metadata or "")
            for partition, entry in found.items()
            if entry.offset >= 0
        }

    async def bounds(self, partitions: Sequence[Partition]) -> Mapping[Partition, Bounds]:
        assert self._consumer is not None, "bounds comes after start"
        wanted = [TopicPartition(*partition) for partition in partitions]
        try:
            earliest = await self._consumer.beginning_offsets(wanted)
            end = await self._consumer.end_offsets(wanted)
        except (KafkaError, OSError, TimeoutError) as error:
            raise translated(error, self._settings) from error
        return {Partition(*p): Bounds(earliest[p], end[p]) for p in wanted}

    def end(self, partition: Partition) -> int | None:
        """The high watermark as of the last fetch; None before the first."""
        assert self._consumer is not None, "end comes after start"
        watermark = self._consumer.highwater(TopicPartition(*partition))
        return None if watermark is None else int(watermark)

    def seek(self, partition: Partition, offset: int) -> None:
        assert self._consumer is not None, "seek comes after start"
        self._consumer.seek(TopicPartition(*partition), offset)

    async def commit(self, positions: Mapping[Partition, Committed]) -> None:
        assert self._consumer is not None, "commit comes after start"
        try:
            await self._consumer.commit(
                {TopicPartition(*p): OffsetAndMetadata(c.offset, c.metadata) for p, c in positions.items()}
            )
        except (KafkaError, OSError) as error:
            # A commit that a rebalance overtook is refused; the next owner starts from the one before it.
            raise BrokerUnavailable(self._settings.bootstrap_servers, reason(error)) from error

    def pause(self) -> None:
        assert self._consumer is not None, "pause comes after start"
        self._consumer.pause(*self._consumer.assignment())

    def resume(self) -> None:
        assert self._consumer is not None, "resume comes after start"
        self._consumer.resume(*self._consumer.paused())

    async def stop(self) -> None:
        for stop in (self._consumer.stop if self._consumer else None, self._admin.close if self._admin else None):
            if stop is not None:
                await stopped(stop())
        self._consumer = self._admin = None

    async def _look_for(self, topics: Sequence[str]) -> None:
        """Says which topics are not there yet; raises for those that we may not see."""
        assert self._admin is not None, "only called from start"
        for found in await self._admin.describe_topics(list(topics)):
            if found["error_code"] == _TOPIC_REFUSED:
                raise TopicAuthorizationFailedError(found["topic"])
            if found["error_code"] == _TOPIC_MISSING:
                log.warning("input_topic_missing", topic=found["topic"], hint="it is read as soon as it is created")


class _Listener(ConsumerRebalanceListener):  # type: ignore[misc]  # aiokafka ships no types
    def __init__(self, listener: RebalanceListener) -> None:
        self._listener = listener

    async def on_partitions_revoked(self, revoked: Sequence[TopicPartition]) -> None:
        await self._listener.on_revoked([Partition(*p) for p in revoked])

    async def on_partitions_assigned(self, assigned: Sequence[TopicPartition]) -> None:
        await self._listener.on_assigned([Partition(*p) for p in assigned])
