"""Queries the broker over connections that no other part of the daemon uses, made for one question each.

A consumer whose connection died without an error receives nothing and reports nothing. What a fresh connection finds is
evidence about the broker, not about that consumer. Knows questions and answers; judges nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError

from logwarden.daemon.kafka.client import ReadingClient
from logwarden.daemon.kafka.connection import connection_options, stopped, translated
from logwarden.daemon.kafka.group import KafkaGroup
from logwarden.daemon.records import Partition
from logwarden.daemon.settings.kafka import KafkaSettings


class KafkaWitness:
    """Implements `daemon/watchdog.py: Witness`."""

    def __init__(self, settings: KafkaSettings) -> None:
        self._settings = settings

    async def ends(self, partitions: Sequence[Partition]) -> Mapping[Partition, int]:
        """Returns the offset up to which each partition can be read: records of open transactions lie behind it."""
        options = connection_options(self._settings)
        consumer = AIOKafkaConsumer(**options, group_id=None, isolation_level="read_committed")
        consumer._client = ReadingClient(**options)  # which lets no broker create a topic
        try:
            await consumer.start()
            found = await consumer.end_offsets([TopicPartition(*partition) for partition in partitions])
        except (KafkaError, OSError, TimeoutError) as error:
            raise translated(error, self._settings) from error
        finally:
            await stopped(consumer.stop())
        return {Partition(*partition): offset for partition, offset in found.items()}

    async def group_answers(self) -> None:
        """Returns once the coordinator has described the group."""
        await KafkaGroup(self._settings).describe()
