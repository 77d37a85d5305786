"""The reader of alerts to be folded: one member gets all partitions, and each term begins at its commit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import SimpleNamespace
from typing import Any, cast

import pytest
from aiokafka import TopicPartition
from aiokafka.errors import (
    CommitFailedError,
    IllegalStateError,
    KafkaConnectionError,
    TopicAuthorizationFailedError,
)

from logwarden.daemon.errors import BrokerRefused, BrokerUnavailable, TopicUnusable
from logwarden.daemon.kafka import alert_reader as module
from logwarden.daemon.kafka.alert_reader import LOOK_BACK_MS, KafkaAlertReader, oldest_takes_all
from logwarden.daemon.kafka.metadata import TopicsAnswer
from logwarden.daemon.records import KeyedRecord
from logwarden.daemon.settings.kafka import KafkaSettings
from tests.fakes import virtually
from tests.oracles import LogRecord

NOW_MS = 1_795_428_000_000
PARTITIONS = [TopicPartition("logwarden.alerts", number) for number in range(2)]


class Consumer:
    """A consumer with ten records in each partition, which are published a minute apart."""

    def __init__(self, **options: Any) -> None:
        self.options = options
        self.positions: dict[TopicPartition, int] = {}
        self.committed_offsets: dict[TopicPartition, int] = {}
        self.commits: list[Mapping[TopicPartition, int]] = []
        self.errors: dict[str, Exception] = {}
        self.recent = 7
        self.during_poll: Any = lambda: None
        self.stopped = False
        self.listener: Any = None

    async def start(self) -> None:
        self._maybe("start")

    async def stop(self) -> None:
        self.stopped = True

    def subscribe(self, topics: Sequence[str], *, listener: Any) -> None:
        assert topics == ["logwarden.alerts"]
        self.listener = listener

    def assignment(self) -> set[TopicPartition]:
        return set(self.positions)

    async def committed(self, partition: TopicPartition) -> int | None:
        return self.committed_offsets.get(partition)

    async def offsets_for_times(self, times: Mapping[TopicPartition, int]) -> dict[TopicPartition, Any]:
        self.asked = dict(times)
        return {each: None if self.recent < 0 else SimpleNamespace(offset=self.recent) for each in times}

    def seek(self, partition: TopicPartition, offset: int) -> None:
        self.positions[partition] = offset

    async def position(self, partition: TopicPartition) -> int:
        return self.positions[partition]

    async def getmany(self, *chosen: TopicPartition, timeout_ms: int, max_records: int) -> dict[TopicPartition, Any]:
        self._maybe("getmany")
        self.during_poll()
        found: dict[TopicPartition, Any] = {}
        for each in chosen or sorted(self.positions):
            begin, self.positions[each] = self.positions[each], 10
            found[each] = [LogRecord(b"x", offset, partition=each.partition) for offset in range(begin, 10)]
        return found

    async def commit(self, offsets: Mapping[TopicPartition, int]) -> None:
        self._maybe("commit")
        self.commits.append(offsets)

    def _maybe(self, call: str) -> None:
        if call in self.errors:
            raise self.errors.pop(call)


class Client:
    """Knows both topics, or says which are missing."""

    def __init__(self, missing: Sequence[str] = ()) -> None:
        self._missing = missing

    async def describe(self, topics: Sequence[str]) -> TopicsAnswer:
        found: list[Any] = [(3 if topic in self._missing else 0, topic, False, []) for topic in topics]
        return TopicsAnswer(brokers=[], controller_id=1, topics=found, incarnations={}, knows_ids=True)

    async def offsets(self, partitions: Sequence[TopicPartition], which: int) -> dict[TopicPartition, int]:
        return dict.fromkeys(partitions, 9)


class Group:
    """A reader that has started, and its consumer."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *, missing: Sequence[str] = ()) -> None:
        self.consumer = Consumer()
        monkeypatch.setattr(module, "AIOKafkaConsumer", self._made)
        monkeypatch.setattr(module, "ReadingClient", lambda **_: Client(missing))
        monkeypatch.setattr(module, "check_access", self._access)
        self.reader = KafkaAlertReader(KafkaSettings(), cast(Any, SimpleNamespace(now_ms=lambda: NOW_MS)))

    def _made(self, **options: Any) -> Consumer:
        self.consumer.options = options
        return self.consumer

    async def _access(self, _: KafkaSettings) -> None: ...

    async def assigned(self) -> None:
        await self.reader.start()
        self.consumer.positions = dict.fromkeys(PARTITIONS, 0)
        await self.consumer.listener.on_partitions_assigned(PARTITIONS)


@pytest.fixture
def group(monkeypatch: pytest.MonkeyPatch) -> Group:
    """A group whose topics exist."""
    return Group(monkeypatch)


@virtually
async def test_a_term_begins_at_its_commit(group: Group) -> None:
    """Reading begins at the commit, or else at the alerts of ten minutes ago; what is there by then is old."""
    await group.assigned()
    group.consumer.committed_offsets[PARTITIONS[0]] = 4
    batch = await group.reader.fetch()
    assert [(record.partition, record.offset) for record in batch.records] == [
        *((0, offset) for offset in range(4, 10)),
        *((1, offset) for offset in range(7, 10)),
    ]
    assert (batch.term, batch.positions, batch.ends) == (1, {0: 10, 1: 10}, {0: 9, 1: 9})
    assert set(group.consumer.asked.values()) == {NOW_MS - LOOK_BACK_MS}
    assert group.consumer.options["group_id"] == "logwarden-incidents"
    assert (await group.reader.fetch([1])).records == []


@virtually
async def test_a_new_group_without_recent_alerts_begins_at_the_end(group: Group) -> None:
    """A group that is new does not publish the incidents of last week."""
    group.consumer.recent = -1
    await group.assigned()
    assert [record.offset for record in (await group.reader.fetch()).records] == [9, 9]


@virtually
async def test_a_member_without_partitions_stands_by(group: Group) -> None:
    """Another member folds; this one waits for its turn."""
    await group.reader.start()
    assert (await group.reader.fetch()).term == 0


@virtually
async def test_a_rebalance_begins_another_term(group: Group) -> None:
    """Alerts that arrive in the middle of a rebalance are read again by the term that follows."""
    await group.assigned()
    listener = group.consumer.listener
    await group.reader.fetch()
    group.consumer.committed_offsets = dict.fromkeys(PARTITIONS, 2)
    group.consumer.during_poll = lambda: listener._begin_term(PARTITIONS)
    assert (await group.reader.fetch()).term == 0
    group.consumer.during_poll = lambda: None
    batch = await group.reader.fetch()
    assert (batch.term, batch.records[0].offset) == (2, 2)
    await listener.on_partitions_revoked(PARTITIONS)
    group.consumer.errors["getmany"] = IllegalStateError("no assignment")
    assert (await group.reader.fetch()).term == 0
    assert (await group.reader.fetch()).term == 3


@virtually
async def test_commits_of_a_lost_term_are_dropped(group: Group) -> None:
    """A member that lost its partitions commits nothing, and goes on; an outage is told to the desk."""
    await group.assigned()
    await group.reader.commit({0: 5})
    assert group.consumer.commits == [{PARTITIONS[0]: 5}]
    group.consumer.errors["commit"] = CommitFailedError("another generation")
    await group.reader.commit({0: 6})
    group.consumer.errors["commit"] = KafkaConnectionError("down")
    with pytest.raises(BrokerUnavailable):
        await group.reader.commit({0: 6})
    assert len(group.consumer.commits) == 1


@virtually
async def test_a_failure_is_the_daemons_word_for_it(group: Group) -> None:
    """Errors of the client come out as the daemon's, and the consumer is stopped once."""
    group.consumer.errors["start"] = TopicAuthorizationFailedError("logwarden.alerts")
    with pytest.raises(BrokerRefused):
        await group.reader.start()
    await group.assigned()
    group.consumer.errors["getmany"] = KafkaConnectionError("down")
    with pytest.raises(BrokerUnavailable):
        await group.reader.fetch()
    await group.reader.stop()
    await group.reader.stop()
    assert group.consumer.stopped


@virtually
async def test_a_missing_topic_is_named_with_its_command(monkeypatch: pytest.MonkeyPatch) -> None:
    """The command creates a topic that keeps the newest record of each incident."""
    group = Group(monkeypatch, missing=["logwarden.incidents"])
    with pytest.raises(TopicUnusable) as raised:
        await group.reader.start()
    assert "--create --topic logwarden.incidents --partitions 3 --config cleanup.policy=compact" in raised.value.hint


@virtually
async def test_what_is_published_is_read_from_the_incidents_topic(
    group: Group, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The reader of compacted topics reads all partitions of this one."""
    seen: list[str] = []

    class Compacted:
        def __init__(self, _: KafkaSettings, topic: str) -> None:
            self._topic = topic

        async def read_all(self) -> list[KeyedRecord]:
            seen.append(self._topic)
            return [KeyedRecord(b"id", b"record", 7, 2)]

    monkeypatch.setattr(module, "CompactedTopic", Compacted)
    assert await group.reader.published() == [(b"id", b"record")]
    assert seen == ["logwarden.incidents"]


def test_the_member_that_runs_longest_gets_everything() -> None:
    """All partitions go to the oldest member; one that states no start, and one of the same moment, come later."""
    old, new = oldest_takes_all(1_000), oldest_takes_all(2_000)
    cluster = SimpleNamespace(partitions_for_topic=lambda topic: {0, 1} if topic == "alerts" else None)
    members = {
        "a": SimpleNamespace(subscription=["alerts"], user_data=b""),
        "b": new.metadata(["alerts", "other"]),
        "c": old.metadata(["alerts"]),
        "d": old.metadata(["alerts"]),
    }
    assigned = {
        member: {topic: numbers for topic, numbers in given.assignment if numbers}
        for member, given in new.assign(cluster, members).items()
    }
    assert assigned == {"a": {}, "b": {}, "c": {"alerts": [0, 1]}, "d": {}}
    old.on_assignment(None)
