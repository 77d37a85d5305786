"""Finds the offset of a batch that cannot be decoded, and stops its partition there or skips the batch.

The client raises an error at such a batch, after it dropped the records before it. The partition is then read record by
record, so that the next error comes right at the batch. Runs on the event loop.
"""

from __future__ import annotations

import asyncio
from typing import Literal

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import ConsumerStoppedError, CorruptRecordException, KafkaError, UnsupportedCodecError

from logwarden.daemon.errors import BatchSkipped, LogwardenError, UnreadableBatch
from logwarden.daemon.kafka.client import ReadingClient
from logwarden.daemon.kafka.connection import reason
from logwarden.daemon.kafka.quarantine import Quarantine
from logwarden.daemon.records import Partition

_HEADER_TIMEOUT_S = 5.0
"""Seconds for reading the header of a batch; the other partitions wait meanwhile."""


def is_of_a_batch(error: Exception) -> bool:
    """Returns True if an error of the client is about a batch: its codec's errors, not those of Kafka or the client."""
    if isinstance(error, CorruptRecordException | UnsupportedCodecError):
        return True
    return not isinstance(error, KafkaError | ConsumerStoppedError)


class UnreadableBatches:
    """The partitions that have such a batch ahead: read record by record, or standing still in the quarantine."""

    def __init__(self, consumer: AIOKafkaConsumer, client: ReadingClient, policy: Literal["stop", "skip"]) -> None:
        self._consumer = consumer
        self._client = client
        self._policy = policy
        self._period = 0
        self.one_by_one: set[TopicPartition] = set()
        self.quarantine = Quarantine()

    def clear(self) -> None:
        """Drops all of it, as the partitions are revoked."""
        self._period += 1
        self.one_by_one.clear()
        self.quarantine.clear()

    async def met(self, partition: TopicPartition, position: int, error: Exception) -> LogwardenError | None:
        """Handles an error behind the record before `position`. Returns the report about the batch, once it is found.

        A second error at the same batch is needed: the first may be the network's fault.
        """
        self._consumer.seek(partition, position)  # drops what the client has buffered: it is damaged, or half used
        if partition not in self.one_by_one:
            self.one_by_one.add(partition)
            return None
        self.one_by_one.discard(partition)
        named = Partition(*partition)
        if self._policy == "skip":
            period = self._period
            after = await self._end_of_batch(partition, position)
            if period != self._period:
                return None  # revoked meanwhile: the position is the next owner's matter
            if after is not None:
                self._consumer.seek(partition, after)
                return BatchSkipped(named, position, after - 1, reason(error))
        self.quarantine.add(named, asyncio.get_running_loop().time())
        self._consumer.pause(partition)
        return UnreadableBatch(named, position, reason(error))

    async def _end_of_batch(self, partition: TopicPartition, position: int) -> int | None:
        """Returns the offset after the batch. Returns None if no broker answers in time."""
        try:
            async with asyncio.timeout(_HEADER_TIMEOUT_S):
                return await self._client.end_of_batch(partition, position)
        except (KafkaError, OSError, TimeoutError):
            return None
