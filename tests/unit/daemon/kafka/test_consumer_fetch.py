"""What each error of the client means, and the start and stop of a member of the group."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest
from aiokafka import TopicPartition
from aiokafka.coordinator.assignors.range import RangePartitionAssignor
from aiokafka.errors import (
    CommitFailedError,
    GroupAuthorizationFailedError,
    IllegalStateError,
    KafkaConnectionError,
    NodeNotReadyError,
    NoOffsetForPartitionError,
    OffsetOutOfRangeError,
    RequestTimedOutError,
    TopicAuthorizationFailedError,
    UnknownMemberIdError,
)
from aiokafka.structs import OffsetAndMetadata

from logwarden.daemon.errors import BrokerRefused, BrokerUnavailable, FatalError, OffsetsGone
from logwarden.daemon.kafka import consumer as module
from logwarden.daemon.kafka.consumer import KafkaSource
from logwarden.daemon.records import Bounds, Committed, Partition
from logwarden.daemon.settings.kafka import KafkaSettings
from tests.fake_kafka import FakeConsumer, partitions_of, source_of
from tests.fakes import capture, events, virtually
from tests.sim.loop import now_s

A, B = partitions_of(2)
ALL = [Partition(*A), Partition(*B)]
NAMED_A, NAMED_B = Partition(*A), Partition(*B)


# ---------------------------------------------------------------- fetch


@virtually
async def test_a_fetch_returns_records_by_partition() -> None:
    """Each partition by our own name, its records in order."""
    found = (await source_of(FakeConsumer({A: 3, B: 2})).fetch()).records
    assert {partition: [record.offset for record in records] for partition, records in found.items()} == {
        NAMED_A: [0, 1, 2],
        NAMED_B: [0, 1],
    }


@virtually
async def test_a_partition_without_a_position_has_no_records_yet() -> None:
    """A new partition, before the listener chose where to start, is no error."""
    consumer = FakeConsumer({A: 3}, errors=[NoOffsetForPartitionError(A)])
    source = source_of(consumer)
    assert not (await source.fetch()).records
    assert len((await source.fetch()).records) == 1


@virtually
async def test_an_offset_out_of_range_names_its_partitions() -> None:
    """The pipeline decides where to go on; the client does not jump."""
    source = source_of(FakeConsumer({A: 3, B: 3}, errors=[OffsetOutOfRangeError({A: 5, B: 6})]))
    with pytest.raises(OffsetsGone) as gone:
        await source.fetch()
    assert sorted(gone.value.partitions) == [NAMED_A, NAMED_B]


@pytest.mark.parametrize("error", [TopicAuthorizationFailedError("logs"), GroupAuthorizationFailedError("g")])
@virtually
async def test_a_withdrawn_permission_ends_the_daemon(error: Exception) -> None:
    """The broker refused; a daemon that retried would look like one with an idle topic."""
    with pytest.raises(BrokerRefused, match="refused to continue"):
        await source_of(FakeConsumer({A: 3}, errors=[error])).fetch()


@pytest.mark.parametrize("error", [KafkaConnectionError("away"), NodeNotReadyError(), RequestTimedOutError("slow")])
@virtually
async def test_a_broker_that_is_away_is_tried_again(error: Exception) -> None:
    """The next fetch goes on where this one would have been."""
    source = source_of(FakeConsumer({A: 3}, errors=[error]))
    with pytest.raises(BrokerUnavailable, match="localhost:9092"):
        await source.fetch()
    assert len((await source.fetch()).records) == 1


@pytest.mark.parametrize("error", [UnknownMemberIdError("x"), IllegalStateError("x")])
@virtually
async def test_a_member_that_is_no_longer_one_ends(error: Exception) -> None:
    """Only a new client can join the group again: a restart is needed, and no retry."""
    with pytest.raises(FatalError, match="the Kafka consumer cannot continue") as ended:
        await source_of(FakeConsumer({A: 3}, errors=[error])).fetch()
    assert not isinstance(ended.value, BrokerRefused)


# ---------------------------------------------------------------- offsets


@virtually
async def test_a_commit_carries_offset_and_metadata() -> None:
    """The metadata is where the next owner reads from."""
    consumer = FakeConsumer({A: 3, B: 3})
    await source_of(consumer).commit({NAMED_A: Committed(2, "context"), NAMED_B: Committed(1, "")})
    assert consumer.commits == [{A: OffsetAndMetadata(2, "context"), B: OffsetAndMetadata(1, "")}]


@pytest.mark.parametrize("error", [CommitFailedError("overtaken"), KafkaConnectionError("x"), OSError("x")])
@virtually
async def test_a_commit_that_was_not_taken_may_be_repeated(error: Exception) -> None:
    """A rebalance that overtook it is no failure of this member."""
    with pytest.raises(BrokerUnavailable):
        await source_of(FakeConsumer({A: 3}, errors=[error])).commit({NAMED_A: Committed(2, "")})


@virtually
async def test_bounds_are_the_oldest_offset_and_the_next_one() -> None:
    """A time-out or a refusal is sorted like everywhere."""
    consumer = FakeConsumer({A: 30, B: 7}, first=5)
    source = source_of(consumer)
    assert await source.bounds([NAMED_A, NAMED_B]) == {NAMED_A: Bounds(5, 30), NAMED_B: Bounds(5, 7)}
    consumer.errors = [TimeoutError(), TopicAuthorizationFailedError("logs")]
    with pytest.raises(BrokerUnavailable):
        await source.bounds([NAMED_A])
    with pytest.raises(BrokerRefused):
        await source.bounds([NAMED_A])


@virtually
async def test_the_end_is_known_after_the_first_fetch() -> None:
    """The lag is unknown before it, and not zero."""
    consumer = FakeConsumer({A: 3})
    source = source_of(consumer)
    assert source.end(NAMED_A) is None
    consumer.watermarks[A] = 3
    assert source.end(NAMED_A) == 3


@virtually
async def test_a_pause_takes_all_partitions_and_a_resume_gives_them_back() -> None:
    """No partition stays paused where none stands still."""
    consumer = FakeConsumer({A: 3, B: 3})
    source = source_of(consumer, fetch_max_wait_ms=10)
    source.pause(ALL)
    assert not (await source.fetch()).records
    source.resume(ALL)
    assert len((await source.fetch()).records) == 2


# ---------------------------------------------------------------- start and stop


class Admin:
    """Describes topics with the error codes of the test."""

    def __init__(self, client: Client) -> None:
        self._client = client

    async def start(self) -> None:
        await self._client.step("admin start")

    async def close(self) -> None:
        await self._client.step("admin close")

    async def describe_topics(self, topics: list[str]) -> list[dict[str, Any]]:
        return [{"topic": topic, "error_code": self._client.codes.get(topic, 0)} for topic in topics]


class Client:
    """The classes of aiokafka as the module finds them, with the order in which they were used."""

    def __init__(self) -> None:
        self.trace: list[str] = []
        self.failures: dict[str, BaseException] = {}
        self.hangs: set[str] = set()
        self.codes: dict[str, int] = {}
        self.options: dict[str, Any] = {}
        self.consumer = FakeConsumer()
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
    assert options["partition_assignment_strategy"] == (RangePartitionAssignor,)
    assert options["heartbeat_interval_ms"] == 2_000
    assert options["max_poll_records"] == 7
    assert not {"value_deserializer", "key_deserializer"} & set(options)
    assert client.consumer.subscribed is not None
    topics, subscriber = client.consumer.subscribed
    assert topics == ["a", "b"]
    await subscriber.on_partitions_assigned([TopicPartition("a", 1)])
    await subscriber.on_partitions_revoked([TopicPartition("a", 1)])
    assert listener.calls == [("assigned", [Partition("a", 1)]), ("revoked", [Partition("a", 1)])]


@virtually
async def test_a_missing_topic_is_a_warning(client: Client) -> None:
    """The daemon reports the missing topic and reads it as soon as it is created."""
    client.codes = {"late": 3}
    with capture() as caught:
        await KafkaSource(KafkaSettings(input_topics=("logs", "late"))).start(Listener())
    [warning] = events(caught, "input_topic_missing")
    assert (warning["topic"], warning["log_level"]) == ("late", "warning")
    assert client.consumer.subscribed is not None


@virtually
async def test_a_topic_that_is_refused_ends_the_start(client: Client) -> None:
    """A consumer without the permission would read nothing, without an error and without an end."""
    client.codes = {"logs": 29}
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
