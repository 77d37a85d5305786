"""Reads a compacted topic from its begin to its end, over connections that are made for it and closed afterwards.

Joins no group, commits nothing and creates no topic. Knows records as bytes, and not what they are about.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence

import structlog
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError, TopicAuthorizationFailedError

from logwarden.daemon.errors import TopicUnusable
from logwarden.daemon.kafka.client import EARLIEST, LATEST, ReadingClient
from logwarden.daemon.kafka.connection import connection_options, stopped, translated
from logwarden.daemon.kafka.metadata import TOPIC_REFUSED, UNKNOWN_TOPIC
from logwarden.daemon.records import Entries, KeyedRecord, Record
from logwarden.daemon.settings.kafka import KafkaSettings

log = structlog.get_logger(__name__)

_PARTITION_BYTES = 8 * 1024 * 1024
"""Most bytes of a partition in one answer of a broker."""
_Take = Callable[[Sequence[Record]], None]
_MOST = 2_000
"""Records taken at once: the event loop answers probes between them."""


class CompactedTopic:
    """Reads one topic as it is at the moment of reading. Implements `daemon/ports.py: StateReader`."""

    def __init__(self, settings: KafkaSettings, topic: str) -> None:
        self._settings = settings
        self._topic = topic

    async def read(self, partitions: Collection[int], take: Callable[[Entries], None]) -> None:
        """Passes all records (key, value) to `take`, a few at a time, those of a partition in order.

        `partitions`: numbers, where a topic with fewer partitions has those of higher numbers from its first one on
        again. Passes none if the topic does not exist. Raises BrokerUnavailable if it cannot be read now.
        Raises TopicUnusable if this client may not read it.
        """
        await self._pass(partitions, lambda records: take([(one.key or b"", one.value) for one in records]))

    async def read_all(self, *, is_committed: bool = True) -> list[KeyedRecord]:
        """Returns all records. Raises what `read` raises.

        `is_committed`: False for records of open and of aborted transactions as well.
        """
        found: list[KeyedRecord] = []

        def take(records: Sequence[Record]) -> None:
            found.extend(KeyedRecord(one.key or b"", one.value, one.timestamp, one.partition) for one in records)

        await self._pass(None, take, is_committed=is_committed)
        return found

    async def _pass(self, partitions: Collection[int] | None, take: _Take, *, is_committed: bool = True) -> None:
        """Passes the records of these partitions, or of all, to `take`."""
        options = connection_options(self._settings)
        consumer = AIOKafkaConsumer(
            **options,
            group_id=None,
            isolation_level="read_committed" if is_committed else "read_uncommitted",
            auto_offset_reset="earliest",
            max_partition_fetch_bytes=_PARTITION_BYTES,
            fetch_max_wait_ms=self._settings.fetch_max_wait_ms,
        )
        client = consumer._client = ReadingClient(**options)  # which lets no broker create a topic
        try:
            await consumer.start()
            count = await self._count(client)
            numbers = range(count) if partitions is None else partitions
            if count:
                await self._read(consumer, client, {number % count for number in numbers}, take, is_committed)
        except TopicAuthorizationFailedError as error:
            user = self._settings.sasl_username or "this client"
            raise TopicUnusable(
                self._topic,
                f"the broker does not let {user} read it",
                hint=f"allow it with `kafka-acls.sh --bootstrap-server {self._settings.bootstrap_servers} --add "
                f"--allow-principal User:{user} --operation Read --operation Describe --topic {self._topic}`",
                use="read",
            ) from error
        except (KafkaError, OSError, TimeoutError) as error:
            raise translated(error, self._settings) from error
        finally:
            await stopped(consumer.stop())

    async def _count(self, client: ReadingClient) -> int:
        """Returns the number of the topic's partitions; 0 if it does not exist."""
        answer = await client.describe([self._topic])
        code = answer.errors.get(self._topic, 0)
        if code == UNKNOWN_TOPIC:
            return 0
        if code == TOPIC_REFUSED:
            raise TopicAuthorizationFailedError(self._topic)
        if code:
            raise KafkaError(f"the topic {self._topic!r} cannot be described now (error {code})")
        return len(answer.topics[0][3])

    async def _read(
        self,
        consumer: AIOKafkaConsumer,
        client: ReadingClient,
        numbers: Collection[int],
        take: _Take,
        is_committed: bool,
    ) -> None:
        wanted = [TopicPartition(self._topic, number) for number in sorted(numbers)]
        consumer.assign(wanted)
        begins = await client.offsets(wanted, EARLIEST)
        ends = await client.offsets(wanted, LATEST, is_committed=is_committed)
        left = {partition for partition in wanted if begins[partition] < ends[partition]}
        for partition in left:
            consumer.seek(partition, begins[partition])
        records = 0
        while left:
            fetched = await consumer.getmany(*left, timeout_ms=self._settings.fetch_max_wait_ms, max_records=_MOST)
            for arrived in fetched.values():
                records += len(arrived)
                take(arrived)
            for partition in list(left):
                if await consumer.position(partition) >= ends[partition]:
                    left.discard(partition)
                    consumer.pause(partition)
        log.info("compacted_topic_read", topic=self._topic, partitions=len(wanted), records=records)
