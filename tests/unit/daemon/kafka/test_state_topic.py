"""Messages of the state topic: each in the partition of its lines, and a topic that is compacted."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from types import SimpleNamespace

import pytest
from aiokafka.admin import NewTopic

from logwarden.daemon.errors import TopicMissing
from logwarden.daemon.kafka import outlet as module
from logwarden.daemon.kafka import state_topic
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


@pytest.mark.parametrize("kind", ["state", "incidents", "feedback"])
@virtually
async def test_a_topic_of_what_lasts_is_compacted(kafka: Kafka, kind: str) -> None:
    """A topic of state, incidents or feedback that deletes old records is warned about, and a compacted one is not."""
    sink = KafkaSink(SETTINGS.model_copy(update={f"{kind}_topic": "kept"}))
    with capture() as caught:
        await sink.send("kept", [message()])
    assert [event["topic"] for event in events(caught, f"{kind}_topic_not_compacted")] == ["kept"]
    kafka.cleanup = "compact"
    with capture() as caught:
        await asyncio.sleep(301)
        await sink.send("kept", [message()])
    assert not events(caught, f"{kind}_topic_not_compacted") + events(caught, "output_topic_compacted")


class Admin:
    """Stands in for aiokafka's admin client: creates topics, unless the cluster refuses."""

    def __init__(self, kafka: Kafka, code: int) -> None:
        self._kafka, self._code = kafka, code
        self.created: list[NewTopic] = []

    def __call__(self, **_: object) -> Admin:
        return self

    async def start(self) -> None: ...

    async def close(self) -> None: ...

    async def create_topics(self, topics: list[NewTopic]) -> SimpleNamespace:
        self.created += topics
        if not self._code:
            self._kafka.missing -= {topic.name for topic in topics}
        return SimpleNamespace(topic_errors=[(topic.name, self._code, "") for topic in topics])


@virtually
async def test_a_missing_state_topic_is_created(kafka: Kafka, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is compacted, and has as many partitions as the input topic with the most."""
    admin = Admin(kafka, 0)
    monkeypatch.setattr(state_topic, "AIOKafkaAdminClient", admin)
    kafka.missing, kafka.partitions = {"state"}, 12
    await KafkaSink(SETTINGS.model_copy(update={"state_topic": "state"})).send("state", [message()])
    assert [(topic.name, topic.num_partitions) for topic in admin.created] == [("state", 12)]
    assert admin.created[0].topic_configs["cleanup.policy"] == "compact"
    assert len(kafka.sent) == 1


@pytest.mark.parametrize(("may_create", "code"), [(False, 0), (True, 29)], ids=["not allowed", "refused"])
@virtually
async def test_where_it_cannot_be_created_the_command_is_named(
    kafka: Kafka, monkeypatch: pytest.MonkeyPatch, may_create: bool, code: int
) -> None:
    """The daemon starts all the same, and what the operator runs is complete."""
    monkeypatch.setattr(state_topic, "AIOKafkaAdminClient", Admin(kafka, code))
    kafka.missing = {"state"}
    sink = KafkaSink(SETTINGS.model_copy(update={"state_topic": "state", "create_state_topic": may_create}))
    with capture() as caught:
        await sink.start()
    [warning] = events(caught, "state_topic_missing")
    assert "--create --topic state --partitions 3" in warning["hint"]
    assert "cleanup.policy=compact" in warning["hint"]
    with pytest.raises(TopicMissing):
        await sink.send("state", [message()])
