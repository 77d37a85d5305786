"""Messages of the state topic: each in the partition of its lines, and a topic that is compacted."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from logwarden.daemon.errors import TopicUnusable
from logwarden.daemon.kafka import outlet as module
from logwarden.daemon.kafka.producer import KafkaSink
from tests.fakes import capture, events, virtually
from tests.unit.daemon.kafka.stand_ins import Kafka
from tests.unit.daemon.kafka.test_producer import SETTINGS, message


@pytest.fixture
def kafka(monkeypatch: pytest.MonkeyPatch) -> Kafka:
    """Replaces aiokafka for a sink."""
    made = Kafka()
    monkeypatch.setattr(module, "AIOKafkaProducer", made.make)
    monkeypatch.setattr(module, "check_access", made.check)
    return made


@virtually
async def test_a_message_may_name_its_partition(kafka: Kafka) -> None:
    """State lies in the partition of its lines, and in one of those that there are where the topic has fewer."""
    kafka.partitions = 4
    numbers = [0, 3, 4, 9]
    await KafkaSink(SETTINGS).send("state", [replace(message(b"%d" % n), partition=n) for n in numbers])
    assert {partition: values for _, partition, values in kafka.sent} == {0: [b"0", b"4"], 3: [b"3"], 1: [b"9"]}


@virtually
async def test_a_state_topic_is_compacted(kafka: Kafka) -> None:
    """The command that creates it has the right options, and a topic that deletes old records is warned about."""
    sink = KafkaSink(SETTINGS.model_copy(update={"state_topic": "state"}))
    with capture() as caught:
        await sink.send("state", [message()])
    assert [event["topic"] for event in events(caught, "state_topic_not_compacted")] == ["state"]
    kafka.cleanup = "compact"
    with capture() as caught:
        await asyncio.sleep(301)
        await sink.send("state", [message()])
    assert not events(caught, "state_topic_not_compacted") + events(caught, "output_topic_compacted")
    kafka.missing.add("state")
    with pytest.raises(TopicUnusable) as raised:
        await KafkaSink(SETTINGS.model_copy(update={"state_topic": "state"})).send("state", [message()])
    assert "cleanup.policy=compact" in raised.value.hint
