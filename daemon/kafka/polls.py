"""Takes records out of the client's buffer: a share from every partition, bounded in records and in bytes.

The client's own poll empties the buffer of one partition before it takes from the next, and counts records only. Here
the partition that waited longest comes first, and how many records a call takes follows the size of those before. The
only file that knows the client's buffer (checked against aiokafka 0.14 by `Buffer.check`). Runs on the event loop.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError

from logwarden.daemon.errors import ConfigurationError
from logwarden.daemon.records import Record

POLL_BYTES = 16 * 1024 * 1024
"""Keys and values after which a poll ends. It goes beyond by one call's records at most."""
LEAST_SHARE = 64
"""Records that a poll may take from a partition, however many partitions wait: fewer would make too many polls."""
_CALL_RECORDS = 128
"""Records of one call: the sizes of the next ones are unknown."""
_FIRST_RECORDS = 1
"""Records of the first call in a partition, whose sizes are unknown altogether."""


class Buffer:
    """Records that the client has fetched and that no poll has taken."""

    def __init__(self, consumer: AIOKafkaConsumer) -> None:
        self._consumer = consumer

    def check(self) -> None:
        """Raises ConfigurationError if the installed client is not built as this file expects."""
        fetcher, subscription = self._consumer._fetcher, self._consumer._subscription
        expected = (
            (fetcher, "_records"),
            (fetcher, "_create_fetch_waiter"),
            (fetcher, "error_future"),
            (subscription, "reassignment_in_progress"),
            (self._consumer._coordinator, "check_errors"),
        )
        missing = [name for owner, name in expected if not hasattr(owner, name)]
        if missing:
            raise ConfigurationError(
                f"the installed aiokafka has no {', '.join(missing)}, so the daemon cannot read with it",
                hint="install the version that constraints.txt names",
            )

    def partitions(self) -> list[TopicPartition]:
        """Returns the partitions of which the client has records, or an error."""
        return [] if self._consumer._subscription.reassignment_in_progress else list(self._consumer._fetcher._records)

    def drop(self, partition: TopicPartition, position: int) -> None:
        """Makes the client fetch again from a position."""
        self._consumer.seek(partition, position)

    async def wait(self, timeout_s: float) -> None:
        """Waits until something arrives. Raises what the group's coordinator or the client's fetcher failed with."""
        fetcher = self._consumer._fetcher
        self._consumer._coordinator.check_errors()
        if fetcher.error_future.done():
            fetcher.error_future.result()
            raise KafkaError("the client's fetcher ended")
        waiter = fetcher._create_fetch_waiter()
        await asyncio.wait([waiter], timeout=timeout_s)
        if waiter.done():
            waiter.result()
        else:
            waiter.cancel()


@dataclass(slots=True)
class Poll:
    """What one poll took: records by partition, positions after them, and the partitions that cannot be read."""

    records: dict[TopicPartition, list[Record]] = field(default_factory=dict)
    positions: dict[TopicPartition, int] = field(default_factory=dict)
    errors: dict[TopicPartition, Exception] = field(default_factory=dict)
    size: int = 0


class FairPolls:
    """Polls that take from every waiting partition in turn."""

    def __init__(self, consumer: AIOKafkaConsumer, *, max_records: int, max_bytes: int = POLL_BYTES) -> None:
        self._consumer = consumer
        self._max_records = max_records
        self._max_bytes = max_bytes
        self._turn = 0
        self._last_turn: dict[TopicPartition, int] = {}
        self._record_bytes: dict[TopicPartition, float] = {}

    def forget(self) -> None:
        """Drops what is known about revoked partitions."""
        self._last_turn.clear()
        self._record_bytes.clear()

    async def poll(self, waiting: Sequence[TopicPartition], one_by_one: Collection[TopicPartition]) -> Poll:
        """Takes from each of these partitions at most its share.

        Records of `one_by_one` are taken one at a time, so that an error comes right behind the last good record.
        """
        self._turn += 1
        share = max(LEAST_SHARE, self._max_records // max(1, len(waiting)))
        room, poll = self._max_records, Poll()
        for partition in sorted(waiting, key=lambda p: self._last_turn.get(p, 0)):
            if room <= 0 or poll.size >= self._max_bytes:
                break
            self._last_turn[partition] = self._turn
            records: list[Record] = []
            try:
                await self._take(partition, min(share, room), records, poll, careful=partition in one_by_one)
            except Exception as error:  # of the client, or of a codec's library: the caller knows them apart
                poll.errors[partition] = error
            if records:
                poll.records[partition] = records
            if partition in self._consumer.assignment():
                poll.positions[partition] = await self._consumer.position(partition)
            room -= len(records)
        return poll

    async def _take(
        self, partition: TopicPartition, share: int, records: list[Record], poll: Poll, *, careful: bool
    ) -> None:
        while len(records) < share and poll.size < self._max_bytes:
            count = 1 if careful else self._count(partition, min(share - len(records), _CALL_RECORDS), poll)
            found = await self._consumer.getmany(partition, timeout_ms=0, max_records=count)
            taken: Sequence[Record] = found.get(partition, ())
            if not taken:
                return
            sizes = [len(record.value or b"") + len(record.key or b"") for record in taken]
            poll.size += sum(sizes)
            # The largest one, which slowly falls: large records rarely come alone.
            self._record_bytes[partition] = max(*sizes, 0.9 * self._record_bytes.get(partition, 0.0), 1.0)
            records.extend(taken)

    def _count(self, partition: TopicPartition, most: int, poll: Poll) -> int:
        each = self._record_bytes.get(partition)
        if each is None:
            return _FIRST_RECORDS
        return max(1, min(most, int((self._max_bytes - poll.size) / each)))
