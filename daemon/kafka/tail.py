"""Reads a topic for people: commits nothing and joins no group."""

from __future__ import annotations

from collections.abc import AsyncIterator

from aiokafka import AIOKafkaConsumer
from aiokafka.errors import KafkaError

from logwarden.daemon.kafka.connection import check_access, connection_options, stopped, translated
from logwarden.daemon.settings.groups import Settings


async def tail_topic(
    settings: Settings, topic: str, *, from_beginning: bool
) -> AsyncIterator[tuple[bytes | None, bytes]]:
    """Yields (key, value) of a topic's messages as they come, for people; commits nothing, joins no group."""
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
        async for record in consumer:
            if record.value is not None:
                yield record.key, record.value
    except (KafkaError, OSError) as error:
        raise translated(error, settings.kafka) from error
    finally:
        await stopped(consumer.stop())
