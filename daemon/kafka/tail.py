"""Reads a topic for people: commits nothing and joins no group."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError

from logwarden.daemon.kafka.connection import check_access, connection_options, stopped, translated
from logwarden.daemon.settings.groups import Settings

_POLL_MS, _MAX_RECORDS = 1_000, 500


async def tail_topic(
    settings: Settings, topic: str, *, from_beginning: bool, since_ms: int | None = None, follow: bool = True
) -> AsyncIterator[tuple[bytes | None, bytes]]:
    """Yields (key, value) of a topic's messages as they come, for people; commits nothing, joins no group.

    `since_ms`: begins with the messages published at this time; None: with the next one, or the oldest. `follow` False:
    ends with the messages that were there at the start.
    """
    await check_access(settings.kafka)
    consumer = AIOKafkaConsumer(
        topic,
        **connection_options(settings.kafka),
        group_id=None,
        isolation_level="read_committed",
        auto_offset_reset="earliest" if from_beginning else "latest",
    )
    try:
        await consumer.start()
        if since_ms is not None:
            await _seek(consumer, since_ms)
        async for record in consumer if follow else _until_the_end(consumer):
            if record.value is not None:
                yield record.key, record.value
    except (KafkaError, OSError) as error:
        raise translated(error, settings.kafka) from error
    finally:
        await stopped(consumer.stop())


async def _seek(consumer: AIOKafkaConsumer, since_ms: int) -> None:
    """Begins at the first messages of this time of publication, or at the ends where there are none."""
    partitions = consumer.assignment()
    found = await consumer.offsets_for_times(dict.fromkeys(partitions, max(since_ms, 0)))
    ends = await consumer.end_offsets(partitions)
    for partition in partitions:
        first = found.get(partition)
        consumer.seek(partition, ends[partition] if first is None else first.offset)


async def _until_the_end(consumer: AIOKafkaConsumer) -> AsyncIterator[Any]:
    """Yields the records that are there now."""
    ends: dict[TopicPartition, int] = await consumer.end_offsets(consumer.assignment())
    left = {partition: end for partition, end in ends.items() if await consumer.position(partition) < end}
    while left:
        fetched = await consumer.getmany(*left, timeout_ms=_POLL_MS, max_records=_MAX_RECORDS)
        for partition, records in fetched.items():
            for record in records:
                if record.offset < ends[partition]:
                    yield record
        # The last offsets may have no record: transaction markers, and what compaction removed.
        left = {partition: end for partition, end in left.items() if await consumer.position(partition) < end}
