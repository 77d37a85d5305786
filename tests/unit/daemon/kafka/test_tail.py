"""Reading a topic for people: from where, what is left out, and that the client is stopped however it ends."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import Any

import pytest
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
