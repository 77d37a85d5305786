"""Messages to the broker: what each error means, and that a producer that failed is replaced by a new one."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from aiokafka.errors import (
    KafkaConnectionError,
    MessageSizeTooLargeError,
    OutOfOrderSequenceNumber,
    TopicAuthorizationFailedError,
    UnknownTopicOrPartitionError,
)

from logwarden.daemon.errors import BrokerRefused, BrokerUnavailable
from logwarden.daemon.kafka import producer as module
from logwarden.daemon.kafka.connection import STOP_TIMEOUT_S
from logwarden.daemon.kafka.producer import KafkaSink
from logwarden.daemon.records import Message
from logwarden.daemon.settings.kafka import KafkaSettings
from tests.fakes import capture, events, virtually
from tests.sim.loop import now_s

SETTINGS = KafkaSettings(request_timeout_ms=5_000)


class Closing:
    """A part of the client that can be closed."""

    def __init__(self, producer: Producer, name: str) -> None:
        self._producer, self._name = producer, name

    async def close(self) -> None:
        self._producer.trace.append(f"close {self._name}")


class Producer:
    """Stands in for AIOKafkaProducer. An answer of None never comes."""

    def __init__(self, kafka: Kafka, options: dict[str, Any]) -> None:
        self._kafka = kafka
        self.options = options
        self.trace: list[str] = []
        self.answers: list[asyncio.Future[Any]] = []
        self.client = Closing(self, "client")
        self._sender = Closing(self, "sender")

    async def start(self) -> None:
        self.trace.append("start")
        if self._kafka.starts:
            await self._kafka.happen(self._kafka.starts.pop(0))

    async def stop(self) -> None:
        self.trace.append("stop")
        await self._kafka.happen(self._kafka.stop)

    async def partitions_for(self, topic: str) -> set[int]:
        await self._kafka.happen(self._kafka.topics.get(topic))
        return {0}

    async def send(self, topic: str, **message: Any) -> asyncio.Future[Any]:
        if isinstance(self._kafka.send, Exception):
            raise self._kafka.send
        future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self.answers.append(future)
        self._kafka.sent.append((topic, message))
        outcome = self._kafka.outcomes.pop(0) if self._kafka.outcomes else "taken"
        if isinstance(outcome, Exception):
            future.set_exception(outcome)
        elif outcome is not None:
            future.set_result(outcome)
        return future


class Kafka:
    """What the next producers do."""

    def __init__(self) -> None:
        self.producers: list[Producer] = []
        self.checks = 0
        self.access: Exception | None = None
        self.starts: list[Exception | str | None] = []
        self.stop: Exception | str | None = None
        self.topics: dict[str, Exception | str] = {}
        self.send: Exception | None = None
        self.outcomes: list[Exception | str | None] = []
        self.sent: list[tuple[str, dict[str, Any]]] = []

    async def happen(self, event: Exception | str | None) -> None:
        """Raises an error, or hangs at the word `hang`."""
        if isinstance(event, Exception):
            raise event
        if event == "hang":
            await asyncio.Event().wait()

    def make(self, **options: Any) -> Producer:
        self.producers.append(Producer(self, options))
        return self.producers[-1]

    async def check(self, _: KafkaSettings) -> None:
        self.checks += 1
        await self.happen(self.access)


@pytest.fixture
def kafka(monkeypatch: pytest.MonkeyPatch) -> Kafka:
    """Replaces aiokafka for a sink."""
    made = Kafka()
    monkeypatch.setattr(module, "AIOKafkaProducer", made.make)
    monkeypatch.setattr(module, "check_access", made.check)
    return made


def message(value: bytes = b"v", topic: str = "alerts") -> Message:
    return Message(topic=topic, key=b"k", value=value, headers=(("a", b"1"),))


# ---------------------------------------------------------------- start and stop


@virtually
async def test_a_producer_waits_for_all_replicas(kafka: Kafka) -> None:
    """An acknowledged alert survives the loss of a broker, and a retry of the client doubles none."""
    await KafkaSink(SETTINGS).start()
    [producer] = kafka.producers
    assert (producer.options["acks"], producer.options["enable_idempotence"]) == ("all", True)
    assert producer.options["max_request_size"] > 2**20, "the broker's own limit decides"
    assert kafka.checks == 1


@pytest.mark.parametrize("trouble", [UnknownTopicOrPartitionError(), "hang"], ids=["missing", "silent"])
@virtually
async def test_a_missing_output_topic_is_a_warning(kafka: Kafka, trouble: Exception | str) -> None:
    """The daemon starts: what belongs there waits until the topic is created."""
    kafka.topics = {SETTINGS.alerts_topic: trouble}
    with capture() as caught:
        await KafkaSink(SETTINGS).start()
    assert [event["topic"] for event in events(caught, "output_topic_missing")] == [SETTINGS.alerts_topic]
    assert now_s() <= 2.0


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
    assert kafka.producers[0].trace == ["start", "close client", "close sender"]
    await sink.stop()
    assert "stop" not in kafka.producers[0].trace
    await sink.start()
    assert len(kafka.producers) == 2


@virtually
async def test_stopping_takes_a_bounded_time_and_happens_once(kafka: Kafka) -> None:
    """A broker that is down must not delay the exit."""
    kafka.stop = "hang"
    sink = KafkaSink(SETTINGS)
    await sink.start()
    await sink.stop()
    await sink.stop()
    assert now_s() == STOP_TIMEOUT_S
    assert kafka.producers[0].trace == ["start", "stop"]


# ---------------------------------------------------------------- send


@virtually
async def test_messages_are_sent_as_they_are(kafka: Kafka) -> None:
    """Topic, key, value and headers, in order; one producer for all sends."""
    sink = KafkaSink(SETTINGS)
    await sink.start()
    await sink.send("alerts", [message(b"1"), message(b"2")])
    await sink.send("alerts", [message(b"3")])
    assert [(topic, m["value"], m["key"], m["headers"]) for topic, m in kafka.sent] == [
        ("alerts", b"1", b"k", [("a", b"1")]),
        ("alerts", b"2", b"k", [("a", b"1")]),
        ("alerts", b"3", b"k", [("a", b"1")]),
    ]
    assert len(kafka.producers) == 1


@virtually
async def test_a_message_that_is_too_large_names_its_size(kafka: Kafka) -> None:
    """A retry would be refused again: the sentence names the settings to raise or lower."""
    kafka.outcomes = ["taken", MessageSizeTooLargeError("x")]
    sink = KafkaSink(SETTINGS)
    with pytest.raises(BrokerRefused) as refused:
        await sink.send("alerts", [message(b"small"), message(b"x" * 1_234_567)])
    assert str(refused.value) == "the Kafka broker refused a message of 1,234,567 bytes for 'alerts'"
    assert "max.message.bytes" in refused.value.hint


@virtually
async def test_a_refused_message_ends_the_daemon(kafka: Kafka) -> None:
    """A permission that was withdrawn does not come back by itself."""
    kafka.outcomes = [TopicAuthorizationFailedError("alerts")]
    with pytest.raises(BrokerRefused, match="refused to take a message"):
        await KafkaSink(SETTINGS).send("alerts", [message()])


@pytest.mark.parametrize(
    "outcome", [KafkaConnectionError("away"), OutOfOrderSequenceNumber(), OSError("away"), None], ids=str
)
@virtually
async def test_a_producer_that_failed_is_replaced(kafka: Kafka, outcome: Exception | None) -> None:
    """Its sequence numbers are not to be trusted: the next send begins with a new one, and a check of the access."""
    sink = KafkaSink(SETTINGS)
    await sink.start()
    kafka.outcomes = [outcome]
    with pytest.raises(BrokerUnavailable):
        await sink.send("alerts", [message()])
    assert now_s() == (5.0 if outcome is None else 0.0)
    assert kafka.producers[0].trace == ["start", "close client", "close sender"], "it is not waited for"
    await sink.send("alerts", [message()])
    assert len(kafka.producers) == 2
    assert kafka.checks == 2


@virtually
async def test_a_deleted_topic_is_named_and_waited_for(kafka: Kafka) -> None:
    """An operator who deleted it finds its name; the alerts wait until it is there again."""
    kafka.outcomes = [UnknownTopicOrPartitionError()]
    with pytest.raises(BrokerUnavailable, match="the topic 'alerts' cannot be written to"):
        await KafkaSink(SETTINGS).send("alerts", [message(), message(), message()])
    assert kafka.producers[0].trace[-1] == "close sender"


@virtually
async def test_an_error_before_the_answer_is_the_same(kafka: Kafka) -> None:
    """The client may raise when it takes a message, not only when the broker answers."""
    kafka.send = KafkaConnectionError("closed")
    with pytest.raises(BrokerUnavailable, match="closed"):
        await KafkaSink(SETTINGS).send("alerts", [message()])
    assert kafka.producers[0].trace[-1] == "close sender"


@virtually
async def test_answers_without_a_waiter_are_cancelled(kafka: Kafka) -> None:
    """An error that came to one of them later would be logged as never retrieved."""
    kafka.outcomes = [None, KafkaConnectionError("away"), None]
    with pytest.raises(BrokerUnavailable):
        await KafkaSink(SETTINGS).send("alerts", [message(), message(), message()])
    assert all(answer.done() for answer in kafka.producers[0].answers)
    assert kafka.producers[0].answers[2].cancelled()


@virtually
async def test_without_access_there_is_no_new_producer(kafka: Kafka) -> None:
    """A password that was changed meanwhile is found at the next send."""
    kafka.access = BrokerRefused("wrong password")
    with pytest.raises(BrokerRefused, match="wrong password"):
        await KafkaSink(SETTINGS).send("alerts", [message()])
    assert kafka.producers == []
