"""The start and the stop of a member of the group, and what it subscribes to."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Sequence
from typing import Any

import pytest
from aiokafka import TopicPartition
from aiokafka.coordinator.assignors.roundrobin import RoundRobinPartitionAssignor
from aiokafka.errors import InconsistentGroupProtocolError, KafkaConnectionError, KafkaError

from logwarden.daemon.errors import BrokerRefused, BrokerUnavailable, ConfigurationError, FatalError
from logwarden.daemon.kafka import consumer as module
from logwarden.daemon.kafka.consumer import KafkaSource
from logwarden.daemon.records import Partition
from logwarden.daemon.settings.kafka import KafkaSettings
from tests.fake_kafka import FakeClient, FakeConsumer, source_of
from tests.fakes import capture, events, virtually
from tests.sim.loop import now_s

LOGS = TopicPartition("logs", 0)


class Admin:
    """Describes topics with the error codes of the test."""

    def __init__(self, client: Client) -> None:
        self._client = client

    async def start(self) -> None:
        await self._client.step("admin start")

    async def close(self) -> None:
        await self._client.step("admin close")


class Client:
    """The classes of aiokafka as the module finds them, with the order in which they were used."""

    def __init__(self) -> None:
        self.trace: list[str] = []
        self.failures: dict[str, BaseException] = {}
        self.hangs: set[str] = set()
        self.options: dict[str, Any] = {}
        self.consumer = FakeConsumer()
        self.reader = FakeClient(self.consumer)
        self.consumer.start = lambda: self.step("consumer start")  # type: ignore[method-assign]
        self.consumer.stop = lambda: self.step("consumer stop")  # type: ignore[method-assign]

    async def step(self, name: str) -> None:
        self.trace.append(name)
        if name in self.hangs:
            await asyncio.Event().wait()
        if name in self.failures:
            raise self.failures[name]

    def make_consumer(self, **options: Any) -> FakeConsumer:
        self.options = options
        self.consumer._fetcher.error_future = asyncio.get_running_loop().create_future()
        return self.consumer

    async def check(self, settings: KafkaSettings) -> None:
        await self.step("check access")


class Listener:
    """Remembers the rebalances."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, list[Partition]]] = []

    async def on_revoked(self, partitions: Sequence[Partition]) -> None:
        self.calls.append(("revoked", list(partitions)))

    async def on_assigned(self, partitions: Sequence[Partition]) -> None:
        self.calls.append(("assigned", list(partitions)))


@pytest.fixture
def client(monkeypatch: pytest.MonkeyPatch) -> Client:
    """Replaces aiokafka for a source that starts now."""
    made = Client()
    monkeypatch.setattr(module, "AIOKafkaConsumer", made.make_consumer)
    monkeypatch.setattr(module, "AIOKafkaAdminClient", lambda **options: Admin(made))
    monkeypatch.setattr(module, "ReadingClient", lambda **options: made.reader)
    monkeypatch.setattr(module, "check_access", made.check)
    return made


@virtually
async def test_a_source_checks_starts_and_subscribes(client: Client) -> None:
    """A consumer that subscribed before its start would wait there for a topic that does not exist."""
    settings = KafkaSettings(input_topics=("a", "b"), session_timeout_ms=6_000, max_poll_records=7)
    source, listener = KafkaSource(settings), Listener()
    await source.start(listener)
    assert client.trace == ["check access", "admin start", "consumer start"]
    options = client.options
    assert options["enable_auto_commit"] is False, "what is not judged must not be committed"
    assert options["auto_offset_reset"] == "none"
    [assignor] = options["partition_assignment_strategy"]
    assert issubclass(assignor, RoundRobinPartitionAssignor)
    assert options["heartbeat_interval_ms"] == 2_000
    assert options["isolation_level"] == "read_committed", "lines of an aborted transaction were never written"
    assert options["max_poll_interval_ms"] > 86_400_000, "a long poll must not cost the membership"
    assert client.consumer._client is client.reader, "the client's own would let a broker create the topics"
    assert not {"value_deserializer", "key_deserializer"} & set(options)
    assert client.consumer.subscribed is not None
    subscriber = client.consumer.subscribed.pop("listener")
    assert client.consumer.subscribed == {"topics": ["a", "b"]}
    await subscriber.on_partitions_assigned([TopicPartition("a", 1)])
    await subscriber.on_partitions_revoked([TopicPartition("a", 1)])
    assert listener.calls == [("assigned", [Partition("a", 1)]), ("revoked", [Partition("a", 1)])]


@virtually
async def test_a_missing_topic_is_a_warning(client: Client) -> None:
    """The daemon reports the missing topic and reads it as soon as it is created."""
    client.reader.codes = {"late": 3}
    with capture() as caught:
        await KafkaSource(KafkaSettings(input_topics=("logs", "late"))).start(Listener())
    [warning] = events(caught, "input_topic_missing")
    assert (warning["topic"], warning["log_level"]) == ("late", "warning")
    assert client.consumer.subscribed is not None


@virtually
async def test_a_topic_that_is_refused_ends_the_start(client: Client) -> None:
    """A consumer without the permission would read nothing, without an error and without an end."""
    client.reader.codes = {"logs": 29}
    with pytest.raises(BrokerRefused, match="logs"):
        await KafkaSource(KafkaSettings()).start(Listener())
    assert client.trace[-2:] == ["consumer stop", "admin close"]
    assert client.consumer.subscribed is None


@pytest.mark.parametrize("failing", ["admin start", "consumer start"])
@pytest.mark.parametrize("error", [KafkaConnectionError("away"), OSError("away"), TimeoutError("away")])
@virtually
async def test_a_failed_start_stops_what_was_started(client: Client, failing: str, error: Exception) -> None:
    """A client left behind would go on in the background; the next try begins with new ones."""
    client.failures = {failing: error}
    source = KafkaSource(KafkaSettings())
    with pytest.raises(BrokerUnavailable, match="away"):
        await source.start(Listener())
    assert client.trace[-2:] == ["consumer stop", "admin close"]
    client.failures.clear()
    await source.start(Listener())


@virtually
async def test_a_start_that_hangs_ends_with_the_time_out(client: Client) -> None:
    """aiokafka's own start may wait without an end while brokers are down."""
    client.hangs = {"consumer start"}
    with pytest.raises(BrokerUnavailable):
        await KafkaSource(KafkaSettings(request_timeout_ms=5_000)).start(Listener())
    assert now_s() == 5.0
    assert client.trace[-2:] == ["consumer stop", "admin close"]


@virtually
async def test_a_cancelled_start_stops_what_was_started_too(client: Client) -> None:
    """No client is left behind, for every way in which a start can end."""
    client.hangs = {"consumer start"}
    starting = asyncio.create_task(KafkaSource(KafkaSettings()).start(Listener()))
    await asyncio.sleep(1)
    starting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await starting
    assert client.trace[-2:] == ["consumer stop", "admin close"]


@virtually
async def test_no_access_means_no_client(client: Client) -> None:
    """The reason of a refusal comes from the check; nothing is built before it."""
    client.failures = {"check access": BrokerRefused("wrong password")}
    source = KafkaSource(KafkaSettings())
    with pytest.raises(BrokerRefused, match="wrong password"):
        await source.start(Listener())
    await source.stop()
    assert client.trace == ["check access"]


@virtually
async def test_stopping_stops_both_and_once(client: Client) -> None:
    """A consumer that fails to stop does not keep the admin client; a second stop does nothing."""
    client.failures = {"consumer stop": KafkaConnectionError("away")}
    source = KafkaSource(KafkaSettings())
    await source.start(Listener())
    with capture() as caught:
        await source.stop()
        await source.stop()
    assert client.trace[3:] == ["consumer stop", "admin close"]
    assert len(events(caught, "client_stop_failed")) == 1


@virtually
async def test_a_pattern_is_subscribed_as_one_expression(client: Client) -> None:
    """Names beside a pattern are part of it, because the client takes either names or a pattern."""
    source = KafkaSource(KafkaSettings(input_topics=("^logs-", "audit")))
    client.reader.codes = {"audit": 3}
    with capture() as caught:
        await source.start(Listener())
    assert client.consumer.subscribed is not None
    pattern = re.compile(client.consumer.subscribed["pattern"])
    assert [bool(pattern.match(topic)) for topic in ("logs-a", "audit", "audits", "other")] == [
        True,
        True,
        False,
        False,
    ]
    assert [entry["topic"] for entry in events(caught, "input_topic_missing")] == ["audit"]
    assert source.missing_topics() == ["audit"], "a pattern without a topic is not a missing topic"
    client.consumer.known_topics = {"audit"}
    assert source.missing_topics() == []


@pytest.mark.parametrize(
    ("error", "words", "hint"),
    [
        (InconsistentGroupProtocolError("x"), "divide its partitions in another way", "an earlier release"),
        (KafkaError("FencedInstanceId()"), "GROUP_INSTANCE_ID=pod-1", "its own name"),
    ],
)
@virtually
async def test_a_group_that_does_not_take_this_member_names_the_cause(error: Exception, words: str, hint: str) -> None:
    """An upgrade from another way of dividing partitions, and a name that another member has."""
    consumer = FakeConsumer({LOGS: 0}, errors=[])
    source = source_of(consumer, group_instance_id="pod-1")
    consumer.coordinator_errors = [error]
    with pytest.raises(FatalError, match=words) as ended:
        await source.fetch()
    assert hint in ended.value.hint


@virtually
async def test_a_client_of_another_build_ends_the_start(client: Client) -> None:
    """A release that renames its buffer is refused at the start, and not at the first record."""
    del client.consumer._subscription.reassignment_in_progress
    with pytest.raises(ConfigurationError, match="reassignment_in_progress"):
        await KafkaSource(KafkaSettings()).start(Listener())
    assert client.trace[-2:] == ["consumer stop", "admin close"]
