"""Bridges for the tests on a real broker: within the test's event loop, or as processes that can be killed."""

from __future__ import annotations

import asyncio
import subprocess
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition

from logwarden.daemon.commands.bridge import Bridge
from logwarden.daemon.incidents.incident import IncidentRecord, incident_message
from logwarden.daemon.settings.reading import read_settings
from tests.kafka.broker import create_topics
from tests.kafka.member import REPOSITORY, Member, Process, command
from tests.kafka.topics import Topics

PARTITIONS = 2


class IncidentTopic:
    """An incidents topic with a producer, and the settings of bridges that read it."""

    def __init__(self, topics: Topics, producer: AIOKafkaProducer) -> None:
        self._producer = producer
        self.bootstrap = topics.bootstrap
        self.name = topics.named("incidents")
        self.dead_letters = topics.named("bridge-dead")
        self.settings: dict[str, object] = {
            "KAFKA__BOOTSTRAP_SERVERS": topics.bootstrap,
            "KAFKA__INCIDENTS_TOPIC": self.name,
            "KAFKA__SESSION_TIMEOUT_MS": 6_000,
            "KAFKA__REBALANCE_TIMEOUT_MS": 6_000,
            "KAFKA__COMMIT_INTERVAL_MS": 100,
            "BRIDGE__GROUP_ID": topics.named("bridge"),
            "BRIDGE__DEAD_LETTER_TOPIC": self.dead_letters,
        }

    async def publish(self, *records: IncidentRecord) -> None:
        """Publishes records, as the daemon does, and waits until they are acknowledged."""
        messages = [incident_message(record, self.name) for record in records]
        sent = [
            await self._producer.send(self.name, one.value, key=one.key, headers=list(one.headers)) for one in messages
        ]
        await asyncio.gather(*sent)

    async def ends(self) -> dict[TopicPartition, int]:
        """Returns the end of each partition."""
        consumer = AIOKafkaConsumer(bootstrap_servers=self.bootstrap)
        await consumer.start()
        try:
            found = await consumer.end_offsets([TopicPartition(self.name, number) for number in range(PARTITIONS)])
        finally:
            await consumer.stop()
        return dict(found)


@asynccontextmanager
async def incident_topic(topics: Topics) -> AsyncIterator[IncidentTopic]:
    """Yields an empty incidents topic, beside one for dead letters."""
    producer = AIOKafkaProducer(bootstrap_servers=topics.bootstrap, acks="all", linger_ms=2)
    await producer.start()
    try:
        topic = IncidentTopic(topics, producer)
        await create_topics(topics.bootstrap, {topic.name: PARTITIONS}, configs={"cleanup.policy": "compact,delete"})
        await create_topics(topics.bootstrap, {topic.dead_letters: 1})
        yield topic
    finally:
        await producer.stop()


@asynccontextmanager
async def bridge(topic: IncidentTopic, **settings: object) -> AsyncIterator[Bridge]:
    """Yields a bridge that runs in this event loop, once each destination has its partitions; then drains it."""
    given = topic.settings | {"BRIDGE__HTTP_PORT": "0"} | settings
    running = Bridge(read_settings({f"LOGWARDEN_{name}": str(value) for name, value in given.items()}))
    stop = asyncio.Event()
    serving = asyncio.create_task(running.serve(stop))
    try:
        while any(reason.code == "not_assigned" for reason in running._facts.reasons()):
            assert not serving.done(), serving.exception()
            await asyncio.sleep(0.02)
        yield running
    finally:
        stop.set()
        assert await serving == 0


class BridgeMember(Member):
    """One `logwarden bridge` in a process of its own."""

    def __init__(self, log_path: Path, settings: Mapping[str, object]) -> None:
        super().__init__(log_path, settings, launch=_launch)
        self._settings["LOGWARDEN_BRIDGE__HTTP_PORT"] = str(self.port)


def _launch(variables: Mapping[str, str], log_path: Path) -> Process:
    with log_path.open("ab") as log:
        return subprocess.Popen(
            command("bridge"),
            env=dict(variables),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            cwd=REPOSITORY,
        )
