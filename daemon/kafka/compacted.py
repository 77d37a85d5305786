"""Reads the state topic from its begin to its end, over connections that are made for it and closed afterwards.

Joins no group, commits nothing and creates no topic. Knows records as bytes.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

import structlog
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError, TopicAuthorizationFailedError

from logwarden.daemon.kafka.client import EARLIEST, LATEST, ReadingClient
from logwarden.daemon.kafka.connection import connection_options, stopped, translated
from logwarden.daemon.kafka.metadata import TOPIC_REFUSED, UNKNOWN_TOPIC
from logwarden.daemon.settings.kafka import KafkaSettings

log = structlog.get_logger(__name__)

_PARTITION_BYTES = 8 * 1024 * 1024
"""Most bytes of a partition in one answer of a broker."""

Entries = list[tuple[bytes, bytes | None]]


class KafkaStateReader:
    """Implements `daemon/ports.py: StateReader`."""

    def __init__(self, settings: KafkaSettings) -> None:
        assert settings.state_topic is not None, "without a state topic there is nothing to read"
        self._settings = settings
        self._topic = settings.state_topic

    async def read(self, partitions: Collection[int]) -> Sequence[tuple[bytes, bytes | None]]:
        options = connection_options(self._settings)
        consumer = AIOKafkaConsumer(
            **options,
            group_id=None,
            auto_offset_reset="earliest",
            max_partition_fetch_bytes=_PARTITION_BYTES,
            fetch_max_wait_ms=self._settings.fetch_max_wait_ms,
        )
        client = consumer._client = ReadingClient(**options)  # which lets no broker create a topic
        try:
            await consumer.start()
            count = await self._count(client)
            return await self._read(consumer, client, {number % count for number in partitions}) if count else []
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

    async def _read(self, consumer: AIOKafkaConsumer, client: ReadingClient, numbers: Collection[int]) -> Entries:
        wanted = [TopicPartition(self._topic, number) for number in sorted(numbers)]
        consumer.assign(wanted)
        begins = await client.offsets(wanted, EARLIEST)
        ends = await client.offsets(wanted, LATEST)
        left = {partition for partition in wanted if begins[partition] < ends[partition]}
        for partition in left:
            consumer.seek(partition, begins[partition])
        entries: Entries = []
        while left:
            fetched = await consumer.getmany(*left, timeout_ms=self._settings.fetch_max_wait_ms)
            for records in fetched.values():
                entries += [(record.key or b"", record.value) for record in records]
            for partition in list(left):
                if await consumer.position(partition) >= ends[partition]:
                    left.discard(partition)
        log.info("state_read", topic=self._topic, partitions=len(wanted), records=len(entries))
        return entries
