"""Following a topic: where it begins, when it has caught up, and what ends it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import aclosing
from types import SimpleNamespace
from typing import Any, cast

import pytest
from aiokafka import TopicPartition
from aiokafka.errors import KafkaConnectionError, TopicAuthorizationFailedError

from logwarden.daemon.errors import BrokerRefused, BrokerUnavailable, TopicMissing
from logwarden.daemon.kafka import followed as module
from logwarden.daemon.kafka.followed import FollowedTopic
from logwarden.daemon.kafka.metadata import TOPIC_REFUSED, UNKNOWN_TOPIC
from logwarden.daemon.records import FollowedEntries
from logwarden.daemon.settings.kafka import KafkaSettings
from tests.oracles import LogRecord

A, B = TopicPartition("found", 0), TopicPartition("found", 1)


class Topic:
    """A topic of two partitions; consumer and client in one."""

    def __init__(self) -> None:
        self.code = 0
        self.count = 2
        self.ends = {A: 4, B: 0}
        self.firsts: dict[TopicPartition, int | None] = {A: 1, B: None}
        self.fetches: list[dict[TopicPartition, list[LogRecord]] | Exception] = []
        self.at: dict[TopicPartition, int] = {}
        self.since: object = None
        self.stops = 0

    def make(self, **options: Any) -> Topic:
        assert options.get("group_id") is None
        return self

    async def start(self) -> None: ...

    async def stop(self) -> None:
        self.stops += 1

    async def describe(self, topics: list[str]) -> SimpleNamespace:
        numbers = [None] * self.count
        return SimpleNamespace(errors=dict.fromkeys(topics, self.code), topics=[(0, "", False, numbers)])

    async def offsets(self, _: object, __: int, *, is_committed: bool) -> dict[TopicPartition, int]:
        assert is_committed
        return self.ends

    async def offsets_for_times(self, times: dict[TopicPartition, int]) -> dict[TopicPartition, SimpleNamespace | None]:
        self.since = set(times.values())
        return {each: None if at is None else SimpleNamespace(offset=at) for each, at in self.firsts.items()}

    def assign(self, partitions: list[TopicPartition]) -> None:
        self.at = dict.fromkeys(partitions, -1)

    def assignment(self) -> set[TopicPartition]:
        return set(self.at)

    def seek(self, partition: TopicPartition, offset: int) -> None:
        self.at[partition] = offset

    async def position(self, partition: TopicPartition) -> int:
        return self.at[partition]

    async def getmany(self, **_: int) -> dict[TopicPartition, list[LogRecord]]:
        answer = self.fetches.pop(0) if self.fetches else {}
        if isinstance(answer, Exception):
            raise answer
        for partition, records in answer.items():
            self.at[partition] = records[-1].offset + 1
        return answer


@pytest.fixture
def topic(monkeypatch: pytest.MonkeyPatch) -> Topic:
    """Replaces aiokafka."""
    made = Topic()

    async def check(_: KafkaSettings) -> None: ...

    monkeypatch.setattr(module, "AIOKafkaConsumer", made.make)
    monkeypatch.setattr(module, "ReadingClient", made.make)
    monkeypatch.setattr(module, "check_access", check)
    return made


async def followed(pieces: int, since_ms: int = 7) -> list[FollowedEntries]:
    found: list[FollowedEntries] = []
    async with aclosing(cast(Any, FollowedTopic(KafkaSettings(), "found").follow(since_ms))) as source:
        async for piece in source:
            found.append(piece)
            if len(found) == pieces:
                break
    return found


async def test_records_come_from_a_time_on_until_all_are_there_and_later(topic: Topic) -> None:
    """The first pieces are what the topic has since then; once it has been read, what arrives follows."""
    one, two = LogRecord(b"1", offset=1, key=b"a", timestamp=9), LogRecord(None, offset=3, timestamp=10)
    topic.fetches = [{A: [one]}, {A: [two]}, {}, {B: [LogRecord(b"new", offset=0, key=b"b", timestamp=11)]}]
    assert await followed(4) == [
        FollowedEntries(entries=[(b"a", b"1", 9)], partitions=[0], is_caught_up=False),
        FollowedEntries(entries=[(b"", None, 10)], partitions=[0], is_caught_up=True),
        FollowedEntries(entries=[], partitions=[], is_caught_up=True),
        FollowedEntries(entries=[(b"b", b"new", 11)], partitions=[0], is_caught_up=True),
    ]
    assert (topic.since, topic.stops) == ({7}, 1)


async def test_a_topic_without_news_is_caught_up_at_once(topic: Topic) -> None:
    """Where nothing was published since then, reading begins at the ends."""
    topic.firsts = {A: None, B: None}
    [piece] = await followed(1, since_ms=-5)
    assert piece.is_caught_up
    assert (topic.at, topic.since) == ({A: 4, B: 0}, {0})


@pytest.mark.parametrize(
    ("code", "error", "words"),
    [
        (UNKNOWN_TOPIC, TopicMissing, "'found' cannot be read: it does not exist"),
        (TOPIC_REFUSED, BrokerRefused, "refused this client"),
        (99, BrokerUnavailable, "cannot be described now"),
    ],
)
async def test_a_topic_that_cannot_be_read_is_sorted(
    topic: Topic, code: int, error: type[Exception], words: str
) -> None:
    """The reader learns whether to create the topic, to allow it, or to wait; the client is stopped."""
    topic.code = code
    with pytest.raises(error, match=words):
        await followed(1)
    assert topic.stops == 1


@pytest.mark.parametrize(
    ("failure", "error"),
    [(KafkaConnectionError("away"), BrokerUnavailable), (TopicAuthorizationFailedError("found"), BrokerRefused)],
)
async def test_a_failure_in_the_middle_ends_it(topic: Topic, failure: Exception, error: type[Exception]) -> None:
    """What fails later is sorted as well, and the caller begins again."""
    topic.fetches = [{}, failure]
    with pytest.raises(error):
        await followed(5)
    assert topic.stops == 1


async def test_a_partition_that_is_added_is_found(topic: Topic) -> None:
    """A quiet minute after a partition was added, reading ends, so that the next attempt reads all of them."""
    topic.ends, topic.firsts = {A: 0, B: 0}, {A: None, B: None}
    assert len(await followed(200)) == 200
    source = FollowedTopic(KafkaSettings(), "found").follow(0)
    assert (await anext(source)).is_caught_up
    topic.count = 3
    with pytest.raises(BrokerUnavailable, match="the partitions of 'found' changed"):
        await _exhausted(source, 70)


async def _exhausted(source: AsyncIterator[FollowedEntries], most: int) -> None:
    for _ in range(most):
        await anext(source)
