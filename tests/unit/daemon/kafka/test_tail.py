"""Reading a topic for people: from where, what is left out, and that the client is stopped however it ends."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import aclosing
from types import SimpleNamespace
from typing import Any

import pytest
from aiokafka import TopicPartition
from aiokafka.errors import KafkaConnectionError, TopicAuthorizationFailedError

from logwarden.daemon.errors import BrokerRefused, BrokerUnavailable
from logwarden.daemon.kafka import tail as module
from logwarden.daemon.kafka.tail import tail_topic
from logwarden.daemon.settings.groups import Settings
from logwarden.daemon.settings.kafka import KafkaSettings
from tests.oracles import LogRecord


class Consumer:
    """Yields its records, then raises its error if there is one."""

    def __init__(self) -> None:
        self.records: list[LogRecord] = []
        self.start_error: Exception | None = None
        self.end_error: Exception | None = None
        self.arguments: tuple[Any, ...] = ()
        self.options: dict[str, Any] = {}
        self.stops = 0

    def make(self, *arguments: Any, **options: Any) -> Consumer:
        self.arguments, self.options = arguments, options
        return self

    async def start(self) -> None:
        if self.start_error is not None:
            raise self.start_error

    async def stop(self) -> None:
        self.stops += 1

    async def __aiter__(self) -> AsyncIterator[LogRecord]:
        for record in self.records:
            yield record
        if self.end_error is not None:
            raise self.end_error


class Partition(Consumer):
    """A topic of one partition with records at some offsets, and an end that has no record behind the last one."""

    PLACE = TopicPartition("alerts", 0)

    def __init__(self) -> None:
        super().__init__()
        self.at = 0
        self.end = 10
        self.times: dict[int, int] = {}
        """Time of publication → the first offset since."""

    def assignment(self) -> set[TopicPartition]:
        return {self.PLACE}

    async def offsets_for_times(self, times: dict[TopicPartition, int]) -> dict[TopicPartition, SimpleNamespace | None]:
        offset = self.times.get(times[self.PLACE])
        return {self.PLACE: None if offset is None else SimpleNamespace(offset=offset)}

    async def end_offsets(self, _: object) -> dict[TopicPartition, int]:
        return {self.PLACE: self.end}

    async def position(self, _: TopicPartition) -> int:
        return self.at

    def seek(self, _: TopicPartition, offset: int) -> None:
        self.at = offset

    async def getmany(self, *_: TopicPartition, **__: int) -> dict[TopicPartition, list[LogRecord]]:
        found = [record for record in self.records if record.offset >= self.at][:2]
        # Behind the last record is an offset without one: a transaction marker.
        self.at = found[-1].offset + 1 if found else self.end
        return {self.PLACE: found} if found else {}


@pytest.fixture
def partition(monkeypatch: pytest.MonkeyPatch) -> Partition:
    """Replaces aiokafka for a tail that ends."""
    made = Partition()

    async def check(_: KafkaSettings) -> None: ...

    monkeypatch.setattr(module, "AIOKafkaConsumer", made.make)
    monkeypatch.setattr(module, "check_access", check)
    return made


@pytest.mark.parametrize(
    ("since_ms", "values"),
    [(None, [b"0", b"2", b"5", b"8"]), (7, [b"5", b"8"]), (-3, [b"0", b"2", b"5", b"8"]), (99, [])],
)
async def test_a_tail_begins_at_a_time_and_ends_with_what_is_there(
    partition: Partition, since_ms: int | None, values: list[bytes]
) -> None:
    """It ends although the last offset has no record, and leaves what arrives meanwhile to the next one."""
    partition.records = [LogRecord(b"%d" % offset, offset=offset) for offset in (0, 2, 5, 8, 10, 11)]
    partition.times = {7: 5, 0: 0}
    pairs = tail_topic(Settings(), "alerts", from_beginning=True, since_ms=since_ms, follow=False)
    assert [value async for _, value in pairs] == values
    assert partition.stops == 1


async def test_an_empty_topic_ends_at_once(partition: Partition) -> None:
    """A topic without records has nothing to wait for."""
    partition.end = 0
    pairs = tail_topic(Settings(), "alerts", from_beginning=True, follow=False)
    assert [value async for _, value in pairs] == []


@pytest.fixture
def consumer(monkeypatch: pytest.MonkeyPatch) -> Consumer:
    """Replaces aiokafka for a tail."""
    made = Consumer()

    async def check(_: KafkaSettings) -> None: ...

    monkeypatch.setattr(module, "AIOKafkaConsumer", made.make)
    monkeypatch.setattr(module, "check_access", check)
    return made


async def read(*, from_beginning: bool = False) -> list[tuple[bytes | None, bytes]]:
    return [pair async for pair in tail_topic(Settings(), "alerts", from_beginning=from_beginning)]


async def test_messages_come_with_their_keys_and_tombstones_do_not(consumer: Consumer) -> None:
    """A deleted key is nothing to show; an empty value is."""
    consumer.records = [LogRecord(b"1", key=b"a"), LogRecord(None, key=b"a"), LogRecord(b"")]
    assert await read() == [(b"a", b"1"), (None, b"")]
    assert consumer.stops == 1


@pytest.mark.parametrize(("from_beginning", "reset"), [(True, "earliest"), (False, "latest")])
async def test_a_tail_joins_no_group(consumer: Consumer, from_beginning: bool, reset: str) -> None:
    """A group would take partitions away from the daemon, or commit over it."""
    await read(from_beginning=from_beginning)
    assert consumer.arguments == ("alerts",)
    assert consumer.options["group_id"] is None
    assert consumer.options["auto_offset_reset"] == reset
    assert consumer.options["isolation_level"] == "read_committed", "as the daemon reads, whoever wrote the topic"


async def test_an_error_at_the_start_or_later_is_sorted(consumer: Consumer) -> None:
    """The command's user reads one sentence, and the client is stopped."""
    consumer.start_error = KafkaConnectionError("away")
    with pytest.raises(BrokerUnavailable, match="away"):
        await read()
    consumer.start_error, consumer.end_error = None, TopicAuthorizationFailedError("alerts")
    with pytest.raises(BrokerRefused):
        await read()
    assert consumer.stops == 2


async def test_a_reader_that_leaves_stops_the_client(consumer: Consumer) -> None:
    """Ctrl-C in the middle of a topic leaves no connection behind."""
    consumer.records = [LogRecord(b"1"), LogRecord(b"2")]
    async with aclosing(tail_topic(Settings(), "alerts", from_beginning=True)) as messages:  # type: ignore[type-var]
        assert await anext(messages) == (None, b"1")
    assert consumer.stops == 1


async def test_access_is_checked_first(consumer: Consumer, monkeypatch: pytest.MonkeyPatch) -> None:
    """A wrong password is one sentence from the check; the client would only report that it cannot bootstrap."""

    async def refuse(_: KafkaSettings) -> None:
        raise BrokerRefused("the Kafka broker refused the user")

    monkeypatch.setattr(module, "check_access", refuse)
    with pytest.raises(BrokerRefused, match="refused the user"):
        await read()
    assert consumer.stops == 0, "no client was made"
