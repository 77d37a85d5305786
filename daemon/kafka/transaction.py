"""Writes to one topic in a transaction: readers of committed records see all of its messages, or none of them.

A message's place in the log is that of its writing, and it counts once the transaction is committed. So its writer can
read what is in front of it, and take it back. One that dies takes it back as well: the next transaction ends that of
before, or else the broker does. Knows records as bytes, and not what they are about.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError, TransactionalIdAuthorizationFailed

from logwarden.daemon.errors import TopicUnusable
from logwarden.daemon.kafka.compacted import CompactedTopic
from logwarden.daemon.kafka.connection import check_access, connection_options, stopped, translated
from logwarden.daemon.kafka.outlet import cut_off
from logwarden.daemon.ports import TRANSACTION_TIMEOUT_S
from logwarden.daemon.records import KeyedRecord, Message
from logwarden.daemon.settings.kafka import KafkaSettings


class TopicTransactions:
    """Implements `daemon/ports.py: Transactions`. One is open at a time: a second one ends the first."""

    def __init__(self, settings: KafkaSettings, topic: str) -> None:
        self._settings = settings
        self._topic = topic

    @asynccontextmanager
    async def begin(self) -> AsyncIterator[TopicTransaction]:
        """Yields a transaction, which is taken back at the end unless it was committed.

        Raises BrokerUnavailable if the brokers cannot do so now, TopicUnusable if they do not let this client.
        """
        settings, transactional_id = self._settings, f"{self._topic}.removal"
        producer = AIOKafkaProducer(
            **connection_options(settings),
            acks="all",
            transactional_id=transactional_id,
            transaction_timeout_ms=int(TRANSACTION_TIMEOUT_S * 1000),
        )
        transaction = TopicTransaction(producer, settings, self._topic)
        try:
            await check_access(settings)
            await producer.start()
            await producer.begin_transaction()
            yield transaction
        except TransactionalIdAuthorizationFailed as error:
            user = settings.sasl_username or "this client"
            raise TopicUnusable(
                self._topic,
                f"the broker does not let {user} use the transactional id {transactional_id!r}",
                hint=f"allow it with `kafka-acls.sh --bootstrap-server {settings.bootstrap_servers} --add "
                f"--allow-principal User:{user} --operation Write --operation Describe "
                f"--transactional-id {transactional_id}`",
            ) from error
        except (KafkaError, OSError, TimeoutError) as error:
            raise translated(error, settings) from error
        finally:
            await transaction.close()


class TopicTransaction:
    """See `daemon/ports.py: Transaction`."""

    def __init__(self, producer: AIOKafkaProducer, settings: KafkaSettings, topic: str) -> None:
        self._producer = producer
        self._topic = topic
        self._reader = CompactedTopic(settings, topic)
        self._is_open = False

    async def send(self, messages: Sequence[Message]) -> None:
        self._is_open = True
        sent = [await self._producer.send(self._topic, key=one.key, value=one.value) for one in messages]
        await asyncio.gather(*sent)

    async def read(self) -> Sequence[KeyedRecord]:
        return await self._reader.read_all(is_committed=False)

    async def commit(self) -> None:
        await self._producer.commit_transaction()
        self._is_open = False

    async def close(self) -> None:
        """Takes the messages back unless they were committed, and disconnects."""
        if self._is_open:
            await stopped(self._producer.abort_transaction())
        await stopped(cut_off(self._producer))
