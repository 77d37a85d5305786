"""Messages to the broker: one outcome each, what each error means, and that a producer that failed is replaced."""

from __future__ import annotations

import asyncio

import pytest
from aiokafka.errors import (
    ClusterAuthorizationFailedError,
    KafkaConnectionError,
    MessageSizeTooLargeError,
    RecordListTooLargeError,
    TopicAuthorizationFailedError,
    UnknownError,
    UnsupportedVersionError,
)
from aiokafka.partitioner import DefaultPartitioner
from aiokafka.record.default_records import DefaultRecordBatchBuilder

from logwarden.daemon.errors import BrokerRefused, BrokerUnavailable, TopicUnusable
from logwarden.daemon.kafka import outlet as module
from logwarden.daemon.kafka.connection import STOP_TIMEOUT_S
from logwarden.daemon.kafka.producer import KafkaSink
from logwarden.daemon.records import Delivery, Message
from logwarden.daemon.settings.kafka import KafkaSettings
from tests.fakes import capture, events, virtually
from tests.sim.loop import now_s
from tests.unit.daemon.kafka.stand_ins import Kafka

SETTINGS = KafkaSettings(request_timeout_ms=5_000, state_topic=None)
ACK, FAILED, TOO_LARGE, REFUSED = Delivery.ACKNOWLEDGED, Delivery.FAILED, Delivery.TOO_LARGE, Delivery.REFUSED


@pytest.fixture
def kafka(monkeypatch: pytest.MonkeyPatch) -> Kafka:
    """Replaces aiokafka for a sink."""
    made = Kafka()
    monkeypatch.setattr(module, "AIOKafkaProducer", made.make)
    monkeypatch.setattr(module, "check_access", made.check)
    return made


def message(value: bytes = b"v", key: bytes = b"k") -> Message:
    return Message(topic="alerts", key=key, value=value, headers=(("a", b"1"),))


CLOSED = ["start", "close client", "close sender"]

# ---------------------------------------------------------------- start and stop


@virtually
async def test_a_producer_waits_for_all_replicas(kafka: Kafka) -> None:
    """An acknowledged alert survives the loss of a broker, and a retry of the client doubles none."""
    await KafkaSink(SETTINGS).start()
    assert len(kafka.producers) == 2, "one for each topic"
    for producer in kafka.producers:
        assert (producer.options["acks"], producer.options["enable_idempotence"]) == ("all", True)
        assert producer.options["compression_type"] == "zstd"
    plain = KafkaSettings(compression="none")
    await KafkaSink(plain).start()
    assert kafka.producers[-1].options["compression_type"] is None


@virtually
async def test_a_missing_output_topic_is_a_warning(kafka: Kafka) -> None:
    """The daemon starts, and names the command; what belongs there waits until the topic is created."""
    kafka.missing = {SETTINGS.alerts_topic}
    kafka.leaderless = {SETTINGS.dead_letter_topic}
    with capture() as caught:
        await KafkaSink(SETTINGS).start()
    missing, leaderless = events(caught, "output_topic_missing")
    assert (missing["topic"], leaderless["topic"]) == (SETTINGS.alerts_topic, SETTINGS.dead_letter_topic)
    assert "kafka-topics.sh --bootstrap-server localhost:9092 --create --topic logwarden.alerts" in missing["hint"]
    assert "none of its partitions has a leader" in leaderless["error"]


@virtually
async def test_a_refused_output_topic_ends_the_start(kafka: Kafka) -> None:
    """Better now than at the first alert."""
    kafka.topics = {SETTINGS.dead_letter_topic: TopicAuthorizationFailedError("dead")}
    with pytest.raises(BrokerRefused):
        await KafkaSink(SETTINGS).start()


@pytest.mark.parametrize("trouble", [KafkaConnectionError("away"), OSError("away"), "hang"])
@virtually
async def test_a_start_that_fails_leaves_no_producer(kafka: Kafka, trouble: Exception | str) -> None:
    """Its tasks would go on in the background, one set more at each try."""
    kafka.starts = [trouble]
    sink = KafkaSink(SETTINGS)
    with pytest.raises(BrokerUnavailable):
        await sink.start()
    assert now_s() <= 5.0
    assert kafka.producers[0].trace == CLOSED
    await sink.stop()
    assert "stop" not in kafka.producers[0].trace
    await sink.start()
    assert len(kafka.producers) == 3


@virtually
async def test_stopping_takes_a_bounded_time_and_happens_once(kafka: Kafka) -> None:
    """A broker that is down must not delay the exit; the producers stop side by side."""
    kafka.stop = "hang"
    sink = KafkaSink(SETTINGS)
    await sink.start()
    await sink.stop()
    await sink.stop()
    assert now_s() == STOP_TIMEOUT_S
    assert [producer.trace for producer in kafka.producers] == [["start", "stop"]] * 2


# ---------------------------------------------------------------- send


@virtually
async def test_messages_are_sent_as_they_are(kafka: Kafka) -> None:
    """Topic, key, value and headers, in order and together; one producer for all sends to a topic."""
    sink = KafkaSink(SETTINGS)
    await sink.start()
    assert await sink.send("logwarden.alerts", [message(b"1"), message(b"2")]) == [ACK, ACK]
    assert await sink.send("logwarden.alerts", [message(b"3")]) == [ACK]
    assert kafka.sent == [("logwarden.alerts", 0, [b"1", b"2"]), ("logwarden.alerts", 0, [b"3"])]
    assert {(m["key"], tuple(m["headers"])) for m in kafka.messages} == {(b"k", (("a", b"1"),))}
    assert len(kafka.producers) == 2


@virtually
async def test_a_key_chooses_the_partition_as_in_every_client(kafka: Kafka) -> None:
    """A service stays in its partition, whichever program writes there; its messages stay in order."""
    kafka.partitions = 7
    keys = [b"service-%d" % number for number in range(30)]
    await KafkaSink(SETTINGS).send("alerts", [message(key, key) for key in keys])
    partitions = list(range(7))
    for _, partition, values in kafka.sent:
        for key in values:
            assert DefaultPartitioner()(key, partitions, partitions) == partition
    assert sorted(key for _, _, values in kafka.sent for key in values) == sorted(keys)


@virtually
async def test_a_batch_fits_into_what_the_topic_takes(kafka: Kafka) -> None:
    """The limit of a topic is one on a whole batch: many small messages beyond it are several batches."""
    kafka.max_bytes = "60000"
    outcomes = await KafkaSink(SETTINGS).send("alerts", [message(b"x" * 6_000) for _ in range(300)])
    assert outcomes == [ACK] * 300
    sizes = [len(values) for _, _, values in kafka.sent]
    assert sum(sizes) == 300
    assert max(sizes) * 6_000 < 60_000
    assert min(sizes[:-1]) >= 8, "and not one by one"


def test_the_size_of_a_message_is_never_underestimated() -> None:
    """The broker measures what the client builds."""
    one = Message(topic="t", key=b"k" * 300, value=b"v" * 70_000, headers=(("naïve", b"1" * 200), ("b", b"")))
    builder = DefaultRecordBatchBuilder(2, 0, 0, -1, -1, 0, 1 << 20)
    builder.append(0, None, one.key, one.value, list(one.headers))
    assert builder.size() <= module._BATCH_HEADER_BYTES + module._size(one) <= builder.size() + 60


@virtually
async def test_a_message_that_cannot_fit_is_not_sent(kafka: Kafka) -> None:
    """The others are delivered, and the producer stays."""
    kafka.max_bytes = "1000"
    sink = KafkaSink(SETTINGS)
    assert await sink.send("alerts", [message(b"1"), message(b"x" * 1_000), message(b"2")]) == [ACK, TOO_LARGE, ACK]
    assert [values for _, _, values in kafka.sent] == [[b"1", b"2"]]
    assert len(kafka.producers) == 1


@pytest.mark.parametrize("unknown", [UnsupportedVersionError(), 29], ids=str)
@virtually
async def test_limits_that_the_broker_does_not_tell_are_learnt(kafka: Kafka, unknown: Exception | int) -> None:
    """Without permission to read the configuration, refusals make the batches smaller until they fit."""
    kafka.limits_error, kafka.limits_code = (unknown, 0) if isinstance(unknown, Exception) else (None, unknown)
    limit = 30_000
    error = RecordListTooLargeError()
    kafka.answer = lambda values: error if sum(map(len, values)) > limit else "taken"
    sink = KafkaSink(SETTINGS)
    outcomes = await sink.send("alerts", [message(b"x" * 6_000) for _ in range(40)] + [message(b"y" * 40_000)])
    assert outcomes == [ACK] * 40 + [TOO_LARGE]
    assert len(kafka.producers) <= 8
    kafka.sent.clear()
    for _ in range(4):
        assert await sink.send("alerts", [message(b"x" * 6_000) for _ in range(10)]) == [ACK] * 10
    sizes = [sum(map(len, values)) for _, _, values in kafka.sent]
    assert max(sizes) <= limit, "what was learnt stays"
    assert len(sizes) <= 14


@virtually
async def test_limits_are_asked_again_after_a_refusal_and_from_time_to_time(kafka: Kafka) -> None:
    """An operator who changes the topic's limit needs no restart."""
    sink = KafkaSink(SETTINGS)
    assert await sink.send("alerts", [message(b"x" * 600)]) == [ACK]
    kafka.max_bytes = "500"
    kafka.answer = lambda values: MessageSizeTooLargeError() if sum(map(len, values)) > 500 else "taken"
    assert await sink.send("alerts", [message(b"x" * 600), message(b"x" * 300)]) == [TOO_LARGE, ACK]
    kafka.max_bytes, kafka.answer = "1000", lambda values: "taken"
    assert await sink.send("alerts", [message(b"x" * 600)]) == [TOO_LARGE]
    await asyncio.sleep(301)
    assert await sink.send("alerts", [message(b"x" * 600)]) == [ACK]


@virtually
async def test_a_refused_message_is_found_among_the_others(kafka: Kafka) -> None:
    """The broker's answer is about a batch: it becomes smaller until the one message is known."""
    kafka.answer = lambda values: UnknownError() if b"bad" in values else "taken"
    messages = [message(b"bad" if number == 77 else b"%d" % number) for number in range(128)]
    outcomes = await KafkaSink(SETTINGS).send("alerts", messages)
    assert outcomes == [REFUSED if number == 77 else ACK for number in range(128)]


@virtually
async def test_a_failure_keeps_the_order_within_a_partition(kafka: Kafka) -> None:
    """The broker refuses the batches behind a gap, so that the next producer sends them in order."""
    kafka.max_bytes = "200"
    failures = iter([KafkaConnectionError("away")])
    kafka.answer = lambda values: next(failures, "taken") if b"2" in values[0] else "taken"
    messages = [message(b"%d" % number * 50) for number in range(8)]
    sink = KafkaSink(SETTINGS)
    assert await sink.send("alerts", messages) == [ACK] * 8, "a try that delivered something is followed by another"
    taken = [values[0][:1] for _, _, values in kafka.sent]
    assert taken[-6:] == [b"2", b"3", b"4", b"5", b"6", b"7"]


@pytest.mark.parametrize("outcome", [KafkaConnectionError("away"), OSError("away"), "hang"], ids=str)
@virtually
async def test_a_producer_that_failed_is_replaced(kafka: Kafka, outcome: Exception | str) -> None:
    """Its sequence numbers are not to be trusted: the next send begins with a new one. Other topics keep theirs."""
    sink = KafkaSink(SETTINGS)
    await sink.start()
    kafka.answer = lambda values: outcome
    with pytest.raises(BrokerUnavailable):
        await sink.send("logwarden.alerts", [message()])
    assert now_s() == (5.0 if outcome == "hang" else 0.0)
    assert kafka.producers[0].trace == CLOSED, "it is not waited for"
    assert kafka.producers[1].trace == ["start"]
    kafka.answer = lambda values: "taken"
    await sink.send("logwarden.alerts", [message()])
    assert len(kafka.producers) == 3
    assert kafka.checks == 3


@virtually
async def test_a_partition_without_a_leader_fails_alone(kafka: Kafka) -> None:
    """What the other partitions acknowledged is done, and is not sent again."""
    kafka.partitions = 2
    first, second = (
        next(key for key in map(str.encode, "abcdefgh") if DefaultPartitioner()(key, [0, 1], [0, 1]) == partition)
        for partition in (0, 1)
    )
    kafka.answer = lambda values: "hang" if values[0] == first else "taken"
    outcomes = await KafkaSink(SETTINGS).send("alerts", [message(first, first), message(second, second)])
    assert outcomes == [FAILED, ACK]
    assert now_s() == 5.0


@virtually
async def test_a_topic_that_is_deleted_is_found_missing_within_seconds(kafka: Kafka) -> None:
    """The client would look for its leader until the time-out of a request; what it was sent has no answer."""
    sink = KafkaSink(KafkaSettings(request_timeout_ms=40_000))
    assert await sink.send("alerts", [message()]) == [ACK]
    kafka.missing, kafka.answer = {"alerts"}, lambda values: "hang"
    with pytest.raises(TopicUnusable, match="it does not exist"):
        await sink.send("alerts", [message()])
    assert now_s() == 3.0
    with pytest.raises(TopicUnusable, match="it does not exist"):
        await sink.send("alerts", [message()])
    assert now_s() == 3.0
    kafka.missing, kafka.answer = set(), lambda values: "taken"
    assert await sink.send("alerts", [message()]) == [ACK]
    assert all(answer.done() for answer in kafka.producers[0].answers) or kafka.producers[0].trace == CLOSED


@virtually
async def test_a_slow_answer_is_waited_for(kafka: Kafka) -> None:
    """A topic that is there, on a broker that is slow, keeps its producer until the request's own time-out."""
    sink = KafkaSink(KafkaSettings(request_timeout_ms=40_000))
    kafka.answer = lambda values: "hang"
    asyncio.get_running_loop().call_later(10, lambda: kafka.producers[0].answers[0].set_result("taken"))
    assert await sink.send("alerts", [message()]) == [ACK]
    assert now_s() == 10.0


@virtually
async def test_a_forbidden_topic_waits_for_the_operator(kafka: Kafka) -> None:
    """A permission may be given while the daemon runs: the topic is blocked, with the command that gives it."""
    kafka.answer = lambda values: TopicAuthorizationFailedError("alerts")
    sink = KafkaSink(SETTINGS)
    with pytest.raises(TopicUnusable, match="does not let this client write") as refused:
        await sink.send("alerts", [message()])
    assert "kafka-acls.sh --add --producer" in refused.value.hint
    kafka.topics = {"alerts": TopicAuthorizationFailedError("alerts")}
    with pytest.raises(TopicUnusable):
        await sink.send("alerts", [message()])
    kafka.topics, kafka.answer = {}, lambda values: "taken"
    assert await sink.send("alerts", [message()]) == [ACK]


@virtually
async def test_refused_credentials_are_no_matter_of_one_topic(kafka: Kafka) -> None:
    """A password that was changed meanwhile is found at the next connection."""
    kafka.access = BrokerRefused("wrong password")
    with pytest.raises(BrokerRefused, match="wrong password"):
        await KafkaSink(SETTINGS).send("alerts", [message()])
    assert kafka.producers == []
    kafka.access, kafka.starts = None, [ClusterAuthorizationFailedError("no")]
    with pytest.raises(BrokerRefused, match="refused"):
        await KafkaSink(SETTINGS).send("alerts", [message()])


@virtually
async def test_an_error_before_the_answer_is_the_same(kafka: Kafka) -> None:
    """The client may raise when it takes a batch, not only when the broker answers."""
    kafka.send = KafkaConnectionError("closed")
    with pytest.raises(BrokerUnavailable, match="closed"):
        await KafkaSink(SETTINGS).send("alerts", [message()])
    assert kafka.producers[0].trace == CLOSED


@virtually
async def test_a_compacted_topic_is_warned_about_once(kafka: Kafka) -> None:
    """Alerts of a service, and dead letters of one key, would replace each other."""
    kafka.cleanup = "compact,delete"
    sink = KafkaSink(SETTINGS)
    with capture() as caught:
        await sink.send("dead", [message()])
        await asyncio.sleep(301)
        await sink.send("dead", [message()])
    assert [event["topic"] for event in events(caught, "output_topic_compacted")] == ["dead"]
