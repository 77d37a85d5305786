"""Produces alerts and dead letters. One producer at a time; one that failed is replaced by a new one.

Knows messages and acknowledgements; refuses to know what is in a message.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import structlog
from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError, MessageSizeTooLargeError, UnknownTopicOrPartitionError

from logwarden.daemon.errors import BrokerRefused, BrokerUnavailable, TopicUnusable
from logwarden.daemon.kafka.connection import (
    REFUSALS,
    check_access,
    connection_options,
    reason,
    stopped,
    translated,
)
from logwarden.daemon.records import Delivery, Message
from logwarden.daemon.settings.kafka import KafkaSettings

log = structlog.get_logger(__name__)

_TOPIC_TIMEOUT_S = 2.0
_MAX_BATCH_BYTES = 256 * 1024  # aiokafka's default of 16 KiB fits one or two alerts, and each batch is a round trip
_MAX_MESSAGE_BYTES = 2 * 1024 * 1024  # above the broker's default of 1 MiB, so that the broker's own setting decides


class KafkaSink:
    """An idempotent producer that waits for all in-sync replicas."""

    def __init__(self, settings: KafkaSettings) -> None:
        self._settings = settings
        self._producer: AIOKafkaProducer | None = None

    async def start(self) -> None:
        """Connects and logs the missing output topics; a broker that creates topics by itself creates them now."""
        await self._connect()
        assert self._producer is not None, "connected"
        for topic in (self._settings.alerts_topic, self._settings.dead_letter_topic):
            try:
                async with asyncio.timeout(_TOPIC_TIMEOUT_S):
                    await self._producer.partitions_for(topic)
            except REFUSALS as error:
                raise translated(error, self._settings) from error
            except (KafkaError, OSError, TimeoutError):
                log.warning("output_topic_missing", topic=topic, hint="create it; what belongs there waits until then")

    async def send(self, topic: str, messages: Sequence[Message]) -> Sequence[Delivery]:
        if self._producer is None:  # an earlier send failed; its producer's sequence numbers are not to be trusted
            await self._connect()
        assert self._producer is not None, "connected"
        sent: list[asyncio.Future[Any]] = []
        try:
            async with asyncio.timeout(self._settings.request_timeout_ms / 1000):
                for m in messages:
                    future = await self._producer.send(topic, value=m.value, key=m.key, headers=list(m.headers))
                    sent.append(future)  # one by one: after a failure, `finally` needs the futures before it
                await asyncio.gather(*sent)
            return [Delivery.ACKNOWLEDGED] * len(messages)
        except MessageSizeTooLargeError as error:
            largest = max(messages, key=lambda message: len(message.value or b""))
            raise BrokerRefused(
                f"the Kafka broker refused a message of {len(largest.value or b''):,} bytes for {largest.topic!r}",
                hint="raise the topic's max.message.bytes, or lower LOGWARDEN_ALERTS__MAX_LINE_CHARS",
            ) from error
        except REFUSALS as error:
            raise BrokerRefused(f"the Kafka broker refused to take a message: {reason(error)}") from error
        except UnknownTopicOrPartitionError as error:
            await self._give_up()
            raise TopicUnusable(topic, "it does not exist", hint=f"create the topic {topic}") from error
        except (KafkaError, OSError, TimeoutError) as error:
            await self._give_up()
            raise BrokerUnavailable(self._settings.bootstrap_servers, reason(error)) from error
        finally:
            for answer in sent:  # their results are not needed any more
                answer.cancel()

    async def stop(self) -> None:
        producer, self._producer = self._producer, None
        if producer is not None:
            await stopped(producer.stop())

    async def _connect(self) -> None:
        await check_access(self._settings)
        self._producer = AIOKafkaProducer(
            **connection_options(self._settings),
            acks="all",
            enable_idempotence=True,
            linger_ms=5,
            max_batch_size=_MAX_BATCH_BYTES,
            max_request_size=_MAX_MESSAGE_BYTES,
        )
        try:
            async with asyncio.timeout(self._settings.request_timeout_ms / 1000):
                await self._producer.start()
        except (KafkaError, OSError, TimeoutError) as error:
            await self._give_up()
            raise translated(error, self._settings) from error

    async def _give_up(self) -> None:
        """Ends a producer without waiting for its messages: the next producer sends all of them again.

        Its own `stop` would wait for the broker that does not answer. Cancelled half way, it would continue in the
        background, one more at each retry, as long as the outage lasts.
        """
        producer, self._producer = self._producer, None
        if producer is not None:
            await stopped(_cut_off(producer))


async def _cut_off(producer: AIOKafkaProducer) -> None:
    await producer.client.close()  # first: it fails the requests that the sender would wait for
    if producer._sender is not None:
        await producer._sender.close()
