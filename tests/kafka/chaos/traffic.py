"""The traffic of an episode: topics of several shapes, their producers, and what is done to the topics.

Two threads feed the plain topics and the transactional one; a task feeds the one of aiokafka. A topic that is deleted
and created again is locked meanwhile, so that every line belongs to one incarnation.
"""

from __future__ import annotations

import asyncio
import queue
import random
import threading
import time
from collections.abc import Callable, Collection
from types import TracebackType
from typing import Self

from confluent_kafka import KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient, NewPartitions, NewTopic, OffsetSpec

from tests.kafka.chaos.account import Account
from tests.kafka.chaos.taps import AsyncTransactionTap, BrokerAway, PlainTap, TransactionTap

TICK_S = 0.05
ADMIN_S = 20.0
MOST_PARTITIONS = 6

PLAIN: dict[str, tuple[int, str, float]] = {
    "many": (4, "zstd", 0.6),
    "one-a": (1, "lz4", 0.08),
    "one-b": (1, "snappy", 0.08),
    "one-c": (1, "gzip", 0.08),
    "growing": (1, "none", 0.06),
    "swept": (1, "zstd", 0.05),
    "recreated": (2, "none", 0.05),
}
"""Topic → partitions, codec, share of the plain lines."""
TRANSACTIONS, ASYNC_TRANSACTIONS = "paid", "paid-async"
SHRINKING = ("swept", "recreated")
"""Topics of which lines are deleted."""


class Traffic:
    """Lines into every topic from the entry into its context; the exit stops and flushes. Its methods block."""

    def __init__(
        self, bootstrap: str, prefix: str, account: Account, *, lines_per_s: float, transactions: bool, seed: int
    ) -> None:
        self._prefix = prefix
        self._account = account
        self._lines_per_s = lines_per_s
        self._admin = AdminClient({"bootstrap.servers": bootstrap, "reconnect.backoff.max.ms": 500, "log_level": 0})
        self._taps = {
            name: PlainTap(bootstrap, self.topic(name), partitions, codec, account)
            for name, (partitions, codec, _) in PLAIN.items()
        }
        self._paid = TransactionTap(bootstrap, self.topic(TRANSACTIONS), 2, account, seed) if transactions else None
        self._paid_async = (
            AsyncTransactionTap(bootstrap, self.topic(ASYNC_TRANSACTIONS), account, seed) if transactions else None
        )
        self._random = random.Random(seed)
        self._bursts: queue.SimpleQueue[tuple[str, int]] = queue.SimpleQueue()
        self._ending = threading.Event()
        self._threads = [threading.Thread(target=self._feed, name="plain", daemon=True)]
        if transactions:
            self._threads.append(threading.Thread(target=self._feed_paid, name="paid", daemon=True))
        self._task: asyncio.Task[None] | None = None
        self.error: BaseException | None = None
        """The failure that ended a thread; the campaign must not continue without its traffic."""

    def topic(self, name: str) -> str:
        """Returns the full name of a topic."""
        return f"{self._prefix}.{name}"

    @property
    def topics(self) -> dict[str, int]:
        """Every input topic and its partitions at the beginning."""
        found = {self.topic(name): partitions for name, (partitions, _, _) in PLAIN.items()}
        if self._paid is not None:
            found |= {self.topic(TRANSACTIONS): 2, self.topic(ASYNC_TRANSACTIONS): 1}
        return found

    @property
    def shrinking(self) -> Collection[str]:
        """Topics of which lines are deleted."""
        return [self.topic(name) for name in SHRINKING]

    async def __aenter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        if self._paid_async is not None:
            self._task = asyncio.create_task(self._feed_paid_async(), name="paid-async")
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None
    ) -> None:
        await self.end()

    async def end(self) -> None:
        """Stops, and waits until the broker has acknowledged every line. May be called twice."""
        self._ending.set()
        for thread in self._threads:
            await asyncio.to_thread(thread.join)
        if self._task is not None and self._paid_async is not None:
            await self._task
            await self._paid_async.close()
        for tap in self._taps.values():
            await asyncio.to_thread(tap.flush)

    # ---------------------------------------------------------------- deeds on topics

    def burst(self, name: str, count: int) -> None:
        """Sends many lines at once, in the thread of the plain topics."""
        self._bursts.put((name, count))

    def recreate(self, name: str, away_s: float) -> None:
        """Deletes a topic and creates it again. Raises BrokerAway or KafkaException if the broker does not answer."""
        tap = self._taps[name]
        with tap.lock:
            tap.flush()
            self._admin.delete_topics([tap.topic], request_timeout=ADMIN_S)[tap.topic].result(ADMIN_S)
            time.sleep(away_s)
            deadline = time.monotonic() + ADMIN_S
            new = NewTopic(tap.topic, tap.partitions, 1)
            while True:
                try:
                    self._admin.create_topics([new], request_timeout=ADMIN_S)[tap.topic].result(ADMIN_S)
                    break
                except KafkaException:
                    if time.monotonic() > deadline:
                        raise
                    time.sleep(TICK_S)
            self._account.recreated(tap.topic)
            tap.reopen()

    def grow(self, name: str) -> bool:
        """Adds a partition to a topic and writes to it. Returns False if the topic has enough."""
        tap = self._taps[name]
        wanted = tap.partitions + 1
        if wanted > MOST_PARTITIONS:
            return False
        new = NewPartitions(tap.topic, wanted)
        self._admin.create_partitions([new], request_timeout=ADMIN_S)[tap.topic].result(ADMIN_S)
        deadline = time.monotonic() + ADMIN_S
        while not tap.knows(wanted):
            if time.monotonic() > deadline:
                raise BrokerAway(f"{tap.topic} did not grow")
            time.sleep(TICK_S)
        with tap.lock:
            tap.partitions = wanted
        return True

    def sweep(self, name: str, share: float, burst: int) -> int:
        """Sends lines and deletes a share of what is in the topic. Returns the oldest offset kept."""
        tap = self._taps[name]
        with tap.lock:
            tap.send(burst)
            tap.flush()
            place = TopicPartition(tap.topic, 0)
            ends = self._admin.list_offsets({place: OffsetSpec.latest()}, request_timeout=ADMIN_S)[place].result(
                ADMIN_S
            )
            before = int(ends.offset) - int(burst * (1 - share))
            where = TopicPartition(tap.topic, 0, before)
            self._account.deleted(tap.topic, 0, before)  # first: a member may already miss them while we wait
            self._admin.delete_records([where], request_timeout=ADMIN_S)[where].result(ADMIN_S)
        return before

    # ---------------------------------------------------------------- feeding

    def _feed(self) -> None:
        self._kept(self._feed_plain)

    def _feed_plain(self) -> None:
        while not self._ending.wait(TICK_S):
            wanted = [(name, self._share(share)) for name, (_, _, share) in PLAIN.items()]
            while not self._bursts.empty():
                wanted.append(self._bursts.get())
            for name, count in wanted:
                tap = self._taps[name]
                # Not blocking: a topic that is away must not stop the others.
                if tap.lock.acquire(blocking=False):
                    try:
                        tap.send(count)
                    finally:
                        tap.lock.release()

    def _share(self, share: float) -> int:
        wanted = self._lines_per_s * TICK_S * share
        return int(wanted) + (self._random.random() < wanted % 1)

    def _feed_paid(self) -> None:
        assert self._paid is not None
        paid = self._paid
        self._kept(lambda: self._repeat(paid.send))

    def _repeat(self, send: Callable[[int], None]) -> None:
        while not self._ending.wait(2 * TICK_S):
            send(self._random.randint(2, 30))

    async def _feed_paid_async(self) -> None:
        assert self._paid_async is not None
        while not self._ending.is_set():
            await self._paid_async.send(self._random.randint(2, 20))
            await asyncio.sleep(3 * TICK_S)

    def _kept(self, feed: Callable[[], None]) -> None:
        try:
            feed()
        except BaseException as error:  # kept for the campaign, which runs in another thread
            self.error = error
