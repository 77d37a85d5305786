"""Producers of a campaign, one per topic: plain ones with every codec, and transactional ones that abort.

Each enters its lines into the account once the broker has acknowledged them, or once their transaction has ended. They
talk to the broker directly, and survive its deaths: a line is in the topic once, whatever happens.
"""

from __future__ import annotations

import asyncio
import logging
import random
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError
from confluent_kafka import KafkaException, Producer

from tests.kafka.chaos.account import ABORTED, COMMITTED, UNKNOWN, Account

FLUSH_S = 30.0
QUEUED = 50_000
"""Lines that may wait in a producer while the broker is away."""
TRANSACTION_S = 10
"""Time after which the broker aborts the transaction of a producer that is silent."""
QUIET = logging.getLogger("chaos.librdkafka")
"""Takes the complaints of librdkafka, which retries by itself and gives up by an exception."""
QUIET.disabled = True
ABORTS = 0.3
"""Share of the transactions that their producer aborts."""


class BrokerAway(RuntimeError):
    """A producer could not finish: the fault that needed it did not happen."""


def line(number: int) -> bytes:
    """Returns a line of one of four kinds, with its number at the end."""
    kinds = (
        "session opened for user {n} by uid {m} line {number}",
        "GET /api/orders/{n} 200 in {m} ms line {number}",
        "connection from 10.0.{m}.7 port {n} closed line {number}",
        "block blk_{n} received from node {m} line {number}",
    )
    return kinds[number % len(kinds)].format(n=number * 7 % 100_003, m=number % 97, number=number).encode()


def service(number: int, partition: int) -> bytes:
    """Returns one of the two services that write into a partition."""
    return f"service-{partition}-{number // 4 % 2}".encode()


class PlainTap:
    """An idempotent producer of one topic. `lock` is held while the topic is away."""

    def __init__(self, bootstrap: str, topic: str, partitions: int, codec: str, account: Account) -> None:
        self.topic = topic
        self.partitions = partitions
        self.lock = threading.Lock()
        self._settings = {
            "bootstrap.servers": bootstrap,
            "enable.idempotence": True,
            "compression.type": codec,
            "linger.ms": 10,
            "message.timeout.ms": 300_000,
            "reconnect.backoff.max.ms": 500,
            "log_level": 0,
            "topic.metadata.refresh.interval.ms": 1_000,
        }
        self._account = account
        self._producer = Producer(self._settings, logger=QUIET)
        self._arrived: list[tuple[int, int, int]] = []
        self._failed: list[int] = []

    def send(self, count: int) -> None:
        """Sends some lines, and enters those that were acknowledged since. Skips them if too many wait already."""
        self.settle()
        if len(self._producer) > QUEUED:
            return
        for number in self._account.reserve(count):
            partition = number // 8 % self.partitions
            self._producer.produce(
                self.topic,
                value=line(number),
                key=service(number, partition),
                partition=partition,
                on_delivery=self._delivered_to(number),
            )

    def settle(self, wait_s: float = 0) -> None:
        """Enters the lines that were acknowledged since the last call."""
        self._producer.poll(wait_s)
        by_partition: dict[int, list[tuple[int, int]]] = {}
        for partition, number, offset in self._arrived:
            by_partition.setdefault(partition, []).append((number, offset))
        self._arrived.clear()
        for partition, lines in by_partition.items():
            self._account.sent(self.topic, partition, lines)
        if self._failed:
            self._account.sent(self.topic, 0, [(number, -1) for number in self._failed], UNKNOWN)
            self._failed.clear()

    def flush(self) -> None:
        """Waits until every line is acknowledged. Raises BrokerAway at the time limit."""
        left = self._producer.flush(FLUSH_S)
        self.settle()
        if left:
            raise BrokerAway(f"{left} lines for {self.topic} are not acknowledged")

    def reopen(self) -> None:
        """Begins again with a new producer: the topic is another one."""
        self._producer = Producer(self._settings, logger=QUIET)

    def knows(self, partitions: int) -> bool:
        """Returns True once this producer's own metadata have that many partitions."""
        found = self._producer.list_topics(self.topic, 5).topics[self.topic]
        return len(found.partitions) >= partitions

    def _delivered_to(self, number: int) -> Callable[[Any, Any], None]:
        def delivered(error: Any, message: Any) -> None:
            # None: the broker had the batch already, and its answer to the repeated one names no offset.
            if error is None and message.offset() is not None:
                self._arrived.append((message.partition(), number, message.offset()))
            else:
                self._failed.append(number)

        return delivered


class TransactionTap:
    """A transactional producer of librdkafka. `send` writes one transaction and ends it."""

    def __init__(self, bootstrap: str, topic: str, partitions: int, account: Account, seed: int) -> None:
        self.topic = topic
        self.partitions = partitions
        self._settings = {
            "bootstrap.servers": bootstrap,
            "transactional.id": f"chaos-{topic}",
            "transaction.timeout.ms": TRANSACTION_S * 1_000,
            "compression.type": "lz4",
            "linger.ms": 5,
            "reconnect.backoff.max.ms": 500,
            "log_level": 0,
        }
        self._account = account
        self._random = random.Random(seed)
        self._producer: Producer | None = None

    def send(self, count: int) -> None:
        """Writes one transaction and enters its lines with their fate."""
        arrived: dict[int, list[tuple[int, int]]] = {}
        fate = UNKNOWN
        try:
            producer = self._open()
            producer.begin_transaction()
            for number in self._account.reserve(count):
                partition = number // 8 % self.partitions

                def delivered(error: Any, message: Any, number: int = number) -> None:
                    offset = message.offset() if error is None else -1
                    arrived.setdefault(message.partition(), []).append((number, offset))

                producer.produce(
                    self.topic,
                    value=line(number),
                    key=service(number, partition),
                    partition=partition,
                    on_delivery=delivered,
                )
            if producer.flush(FLUSH_S):
                raise BrokerAway("a transaction is not acknowledged")
            fate = self._end(producer)
        except (KafkaException, BrokerAway):
            # The next producer of the same name ends what this one left open.
            self._producer = None
        for partition, lines in arrived.items():
            self._account.sent(self.topic, partition, lines, fate)

    def _open(self) -> Producer:
        if self._producer is None:
            producer = Producer(self._settings, logger=QUIET)
            producer.init_transactions(FLUSH_S)
            self._producer = producer
        return self._producer

    def _end(self, producer: Producer) -> int:
        """Commits or aborts. Returns the fate of the lines. Raises KafkaException where the client cannot find out."""
        abort = self._random.random() < ABORTS
        deadline = time.monotonic() + FLUSH_S
        while True:
            try:
                if abort:
                    producer.abort_transaction(FLUSH_S)
                    return ABORTED
                producer.commit_transaction(FLUSH_S)
                return COMMITTED
            except KafkaException as failure:
                error = failure.args[0]
                if error.txn_requires_abort():
                    abort = True
                elif not error.retriable() or time.monotonic() > deadline:
                    raise


class AsyncTransactionTap:
    """A transactional producer of aiokafka. It is replaced after every failure, as its own retries may never end."""

    def __init__(self, bootstrap: str, topic: str, account: Account, seed: int) -> None:
        self.topic = topic
        self._bootstrap = bootstrap
        self._account = account
        self._random = random.Random(seed)
        self._producer: AIOKafkaProducer | None = None

    async def send(self, count: int) -> None:
        """Writes one transaction to partition 0 and enters its lines with their fate."""
        numbers = self._account.reserve(count)
        offsets: list[int] = []
        fate = ABORTED  # unless a commit is tried
        try:
            async with asyncio.timeout(FLUSH_S):
                producer = await self._open()
                await producer.begin_transaction()
                sent = [await producer.send(self.topic, value=line(n), key=service(n, 0), partition=0) for n in numbers]
                offsets = [answer.offset for answer in await asyncio.gather(*sent)]
                if self._random.random() < ABORTS:
                    await producer.abort_transaction()
                else:
                    fate = UNKNOWN
                    await producer.commit_transaction()
                    fate = COMMITTED
        except (KafkaError, OSError, TimeoutError, AssertionError):  # the last: a client that lost its only broker
            await self.close()
        offsets += [-1] * (len(numbers) - len(offsets))
        self._account.sent(self.topic, 0, zip(numbers, offsets, strict=True), fate)

    async def close(self) -> None:
        """Ends the producer, without waiting for the broker for long."""
        producer, self._producer = self._producer, None
        if producer is not None:
            with suppress(KafkaError, OSError, TimeoutError, asyncio.CancelledError):
                async with asyncio.timeout(2):
                    await producer.client.close()  # first: it fails the requests that `stop` would wait for
                    await producer.stop()

    async def _open(self) -> AIOKafkaProducer:
        if self._producer is None:
            self._producer = AIOKafkaProducer(
                bootstrap_servers=self._bootstrap,
                transactional_id=f"chaos-{self.topic}",
                transaction_timeout_ms=TRANSACTION_S * 1_000,
                compression_type="gzip",
                request_timeout_ms=5_000,
            )
            await self._producer.start()
        return self._producer
