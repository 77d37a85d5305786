"""Follows a topic from a moment on, over connections of its own: joins no group, commits nothing, creates no topic.

Knows records as bytes, and not what they are about.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError, TopicAuthorizationFailedError

from logwarden.daemon.errors import BrokerUnavailable, TopicMissing
from logwarden.daemon.kafka.client import LATEST, ReadingClient
from logwarden.daemon.kafka.connection import check_access, connection_options, stopped, translated
from logwarden.daemon.kafka.metadata import TOPIC_REFUSED, UNKNOWN_TOPIC
from logwarden.daemon.records import FollowedEntries
from logwarden.daemon.settings.kafka import KafkaSettings

MAX_RECORDS = 500
"""Records taken at once: decoding them takes some milliseconds on the event loop."""
_POLL_MS = 1_000
_COUNT_AGAIN = 60
"""Polls without a record between two looks at the number of partitions."""


class FollowedTopic:
    """Implements `daemon/ports.py: TopicFollower`."""

    def __init__(self, settings: KafkaSettings, topic: str, *, creation: str = "") -> None:
        """`creation`: options of the command that creates the topic, for the hint."""
        self._settings = settings
        self._topic = topic
        self._creation = creation

    async def follow(self, since_ms: int) -> AsyncIterator[FollowedEntries]:
        """Yields records from this time of publication on, as they come, and an empty piece where none comes.

        Raises TopicMissing if the topic does not exist, BrokerUnavailable if it cannot be read now or got partitions,
        BrokerRefused if this client may not read it.
        """
        settings, options = self._settings, connection_options(self._settings)
        await check_access(settings)
        consumer = AIOKafkaConsumer(
            **options,
            group_id=None,
            isolation_level="read_committed",
            auto_offset_reset="earliest",
            fetch_max_wait_ms=settings.fetch_max_wait_ms,
        )
        client = consumer._client = ReadingClient(**options)  # which lets no broker create a topic
        try:
            async with asyncio.timeout(settings.request_timeout_ms / 1000):
                await consumer.start()
                left = await self._seek(consumer, client, since_ms)
            count, quiet = len(consumer.assignment()), 0
            while True:
                fetched = await consumer.getmany(timeout_ms=_POLL_MS, max_records=MAX_RECORDS)
                for partition in list(left):
                    if await consumer.position(partition) >= left[partition]:
                        del left[partition]
                entries = [
                    (each.key or b"", each.value, each.timestamp) for arrived in fetched.values() for each in arrived
                ]
                partitions = [each.partition for arrived in fetched.values() for each in arrived]
                yield FollowedEntries(entries=entries, partitions=partitions, is_caught_up=not left)
                quiet = 0 if entries else quiet + 1
                if quiet % _COUNT_AGAIN == _COUNT_AGAIN - 1 and await self._count(client) != count:
                    raise BrokerUnavailable(settings.bootstrap_servers, f"the partitions of {self._topic!r} changed")
        except (KafkaError, OSError, TimeoutError) as error:
            raise translated(error, settings) from error
        finally:
            await stopped(consumer.stop())

    async def _seek(
        self, consumer: AIOKafkaConsumer, client: ReadingClient, since_ms: int
    ) -> dict[TopicPartition, int]:
        """Begins at the first records since then. Returns the ends of the partitions that have some."""
        partitions = [TopicPartition(self._topic, number) for number in range(await self._count(client))]
        consumer.assign(partitions)
        ends = await client.offsets(partitions, LATEST, is_committed=True)  # a writer that died holds up no start
        found = await consumer.offsets_for_times(dict.fromkeys(partitions, max(since_ms, 0)))
        left = {}
        for partition in partitions:
            first = found.get(partition)
            begin = ends[partition] if first is None else first.offset
            consumer.seek(partition, begin)
            if begin < ends[partition]:
                left[partition] = ends[partition]
        return left

    async def _count(self, client: ReadingClient) -> int:
        answer = await client.describe([self._topic])
        code = answer.errors.get(self._topic, 0)
        if code == UNKNOWN_TOPIC:
            command = (
                f"kafka-topics.sh --bootstrap-server {self._settings.bootstrap_servers} --create --topic {self._topic} "
                f"--partitions 1{self._creation}"
            )
            hint = f"create it with `{command}`" if self._creation else "create it"
            raise TopicMissing(self._topic, "it does not exist", hint=hint, use="read")
        if code == TOPIC_REFUSED:
            raise TopicAuthorizationFailedError(self._topic)
        if code:
            raise KafkaError(f"the topic {self._topic!r} cannot be described now (error {code})")
        return len(answer.topics[0][3])
