"""Stands in for aiokafka's producer: a cluster that answers as a test lays down, and records what was sent."""

from __future__ import annotations

import asyncio
from collections import namedtuple
from collections.abc import Callable
from typing import Any

from aiokafka.errors import OutOfOrderSequenceNumber, TopicAuthorizationFailedError
from aiokafka.protocol.metadata import MetadataRequest

from logwarden.daemon.settings.kafka import KafkaSettings

Answered = namedtuple("Answered", "resources")
Outcome = Exception | str | None


class Described:
    """A response to a question about topics."""

    def __init__(self, topics: list[dict[str, Any]]) -> None:
        self._topics = topics

    def to_object(self) -> dict[str, Any]:
        return {"topics": self._topics}


class Cluster:
    """The metadata of a client."""

    def __init__(self, kafka: Kafka) -> None:
        self._kafka = kafka
        self.known: set[str] = set()
        """Topics whose metadata the client has asked for."""

    def partitions_for_topic(self, topic: str) -> set[int] | None:
        return set(range(self._kafka.partitions)) if topic in self.known else None


class Client:
    """The connection of a producer: answers questions about topics."""

    def __init__(self, producer: Producer, kafka: Kafka) -> None:
        self._producer, self._kafka = producer, kafka
        self.cluster = Cluster(kafka)

    def get_random_node(self) -> int:
        return 1

    async def send(self, node: int, request: Any) -> Any:
        if isinstance(request, MetadataRequest):
            (topic,) = request._topics or []
            assert request._allow_auto_topic_creation is False, "asking must not create a topic"
            self._kafka.asked.append(topic)
            return Described([await self._kafka.describe(topic)])
        await self._kafka.happen(self._kafka.limits_error)
        ((_, topic, _),) = request._resources
        entries = [("max.message.bytes", self._kafka.max_bytes), ("cleanup.policy", self._kafka.cleanup)]
        return Answered([(self._kafka.limits_code, "", 2, topic, entries)])

    async def close(self) -> None:
        self._producer.trace.append("close client")


class Sender:
    """The part of a producer that sends."""

    def __init__(self, producer: Producer) -> None:
        self._producer = producer

    async def close(self) -> None:
        self._producer.trace.append("close sender")


class Batch:
    """A batch that is filled: its messages, in order."""

    def __init__(self) -> None:
        self.values: list[bytes] = []
        self.messages: list[dict[str, Any]] = []

    def append(self, **message: Any) -> object:
        self.values.append(message["value"])
        self.messages.append(message)
        return self


class Producer:
    """Stands in for AIOKafkaProducer."""

    def __init__(self, kafka: Kafka, options: dict[str, Any]) -> None:
        self._kafka = kafka
        self.options = options
        self.trace: list[str] = []
        self.answers: list[asyncio.Future[Any]] = []
        self.client = Client(self, kafka)
        self._sender = Sender(self)
        self._broken: set[int] = set()

    async def start(self) -> None:
        self.trace.append("start")
        if self._kafka.starts:
            await self._kafka.happen(self._kafka.starts.pop(0))

    async def stop(self) -> None:
        self.trace.append("stop")
        await self._kafka.happen(self._kafka.stop)

    async def partitions_for(self, topic: str) -> set[int]:
        """Returns the topic's partitions once the client knows them."""
        self.client.cluster.known.add(topic)
        return self.client.cluster.partitions_for_topic(topic) or set()

    def create_batch(self) -> Batch:
        return Batch()

    async def send_batch(self, batch: Batch, topic: str, *, partition: int) -> asyncio.Future[Any]:
        await self._kafka.happen(self._kafka.send)
        self._kafka.sent.append((topic, partition, batch.values))
        self._kafka.messages += batch.messages
        outcome = self._kafka.answer(batch.values)
        if partition in self._broken:
            outcome = OutOfOrderSequenceNumber()
        future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self.answers.append(future)
        if isinstance(outcome, Exception):
            self._broken.add(partition)
            future.set_exception(outcome)
        elif outcome != "hang":
            future.set_result(outcome)
        return future


class Kafka:
    """What the next producers do."""

    def __init__(self) -> None:
        self.producers: list[Producer] = []
        self.checks = 0
        self.access: Outcome = None
        self.starts: list[Outcome] = []
        self.stop: Outcome = None
        self.topics: dict[str, Outcome] = {}
        self.missing: set[str] = set()
        self.leaderless: set[str] = set()
        self.asked: list[str] = []
        self.partitions = 1
        self.max_bytes = "1048588"
        self.cleanup = "delete"
        self.limits_code = 0
        self.limits_error: Outcome = None
        self.send: Outcome = None
        self.answer: Callable[[list[bytes]], Outcome] = lambda values: "taken"
        self.sent: list[tuple[str, int, list[bytes]]] = []
        self.messages: list[dict[str, Any]] = []

    async def happen(self, event: Outcome) -> None:
        """Raises an error, or hangs at the word `hang`."""
        if isinstance(event, Exception):
            raise event
        if event == "hang":
            await asyncio.Event().wait()

    async def describe(self, topic: str) -> dict[str, Any]:
        event = self.topics.get(topic)
        if isinstance(event, TopicAuthorizationFailedError):
            return {"topic": topic, "error_code": 29, "partitions": []}
        await self.happen(event)
        leader = -1 if topic in self.leaderless else 1
        return {
            "topic": topic,
            "error_code": 3 if topic in self.missing else 0,
            "partitions": [] if topic in self.missing else [{"leader": leader}] * self.partitions,
        }

    def make(self, **options: Any) -> Producer:
        self.producers.append(Producer(self, options))
        return self.producers[-1]

    async def check(self, _: KafkaSettings) -> None:
        self.checks += 1
        await self.happen(self.access)
