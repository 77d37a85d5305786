"""Reads some records of a partition from an offset on, over a connection that is made for it and closed afterwards.

Joins no group, commits nothing and creates no topic. Knows records as bytes, and not what they are about.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError

from logwarden.daemon.kafka.client import EARLIEST, LATEST, ReadingClient
from logwarden.daemon.kafka.connection import connection_options, stopped, translated
from logwarden.daemon.records import Partition, Record
from logwarden.daemon.settings.kafka import KafkaSettings

MAX_BYTES = 1_048_576
"""Most bytes of one answer of a broker, unless a single batch has more."""
_POLL_MS = 500


class KafkaPieces:
    """Implements `daemon/ports.py: PieceReader`."""

    def __init__(self, settings: KafkaSettings) -> None:
        self._settings = settings

    async def read(self, partition: Partition, offset: int, most: int) -> Sequence[Record]:
        """Returns at most `most` records from this offset on, in order; none if the topic has them no more.

        Raises BrokerUnavailable if they cannot be read now, BrokerRefused if this client may not read them.
        """
        settings, options = self._settings, connection_options(self._settings)
        consumer = AIOKafkaConsumer(
            **options,
            group_id=None,
            isolation_level="read_committed",
            auto_offset_reset="none",
            max_partition_fetch_bytes=MAX_BYTES,
            fetch_max_wait_ms=settings.fetch_max_wait_ms,
        )
        client = consumer._client = ReadingClient(**options)  # which lets no broker create a topic
        place = TopicPartition(*partition)
        try:
            async with asyncio.timeout(settings.request_timeout_ms / 1000):
                await consumer.start()
                consumer.assign([place])
                begin, end = [(await client.offsets([place], which))[place] for which in (EARLIEST, LATEST)]
                if not begin <= offset < end:
                    return []
                consumer.seek(place, offset)
                return await self._collect(consumer, place, end, most)
        except (KafkaError, OSError, TimeoutError) as error:
            raise translated(error, settings) from error
        finally:
            await stopped(consumer.stop())

    @staticmethod
    async def _collect(consumer: AIOKafkaConsumer, place: TopicPartition, end: int, most: int) -> list[Record]:
        """Returns records up to the end that was known at the start."""
        found: list[Record] = []
        while len(found) < most and await consumer.position(place) < end:
            fetched = await consumer.getmany(place, timeout_ms=_POLL_MS, max_records=most - len(found))
            found += fetched.get(place, [])
        return found
