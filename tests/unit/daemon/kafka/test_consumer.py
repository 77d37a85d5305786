"""The Kafka source's reading of a client that reports less than the broker answered."""

from __future__ import annotations

from typing import Any, cast

import pytest
from aiokafka import TopicPartition
from aiokafka.errors import NodeNotReadyError
from aiokafka.structs import OffsetAndMetadata

from logwarden.daemon.errors import BrokerUnavailable
from logwarden.daemon.kafka.consumer import KafkaSource
from logwarden.daemon.records import Committed, Partition
from tests.fake_kafka import FakeConsumer, source_of

ASKED = [Partition("logs", 0), Partition("logs", 1)]


class Admin:
    """Returns the answers of the test."""

    def __init__(self, answer: dict[TopicPartition, OffsetAndMetadata] | Exception) -> None:
        self._answer = answer

    async def list_consumer_group_offsets(self, *_: Any, **__: Any) -> dict[TopicPartition, OffsetAndMetadata]:
        if isinstance(self._answer, Exception):
            raise self._answer
        return self._answer


def source(answer: dict[TopicPartition, OffsetAndMetadata] | Exception) -> KafkaSource:
    consumer = FakeConsumer()
    made = source_of(consumer)
    made._use(cast(Any, consumer), consumer._client, cast(Any, Admin(answer)))
    return made


async def test_nothing_committed_is_an_answer() -> None:
    """A broker lists each requested partition; -1 is one without a committed offset."""
    answer = {
        TopicPartition("logs", 0): OffsetAndMetadata(7, "context"),
        TopicPartition("logs", 1): OffsetAndMetadata(-1, ""),
    }
    assert await source(answer).committed(ASKED) == {ASKED[0]: Committed(7, "context")}


async def test_all_commits_of_the_group_are_those_of_its_topics() -> None:
    """A topic that does not exist yet has no partition; no answer for those that do is no answer."""
    answer = {TopicPartition("logs", 0): OffsetAndMetadata(7, "context")}
    found, nothing = source(answer), source({})
    for each in (found, nothing):
        consumer = cast(FakeConsumer, each._consumer)
        consumer.subscribed_topics, consumer.known_topics = {"logs", "late"}, {"logs"}
    assert await found.committed(None) == {ASKED[0]: Committed(7, "context")}
    with pytest.raises(BrokerUnavailable):
        await nothing.committed(None)


@pytest.mark.parametrize("answer", [{}, NodeNotReadyError()], ids=["a group that is being loaded", "no node"])
async def test_no_answer_is_not_nothing_committed(answer: dict[TopicPartition, OffsetAndMetadata] | Exception) -> None:
    """Just after a restart the broker answers COORDINATOR_LOAD_IN_PROGRESS or NOT_COORDINATOR, which the client drops:
    to believe the empty rest would read every line again."""
    with pytest.raises(BrokerUnavailable):
        await source(answer).committed(ASKED)
