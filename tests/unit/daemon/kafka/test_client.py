"""The reader's client: what it sends to a broker, and what it reads in the answers."""

from __future__ import annotations

import struct
from types import SimpleNamespace
from typing import Any, cast

import pytest
from aiokafka import TopicPartition
from aiokafka.errors import (
    KafkaConnectionError,
    LeaderNotAvailableError,
    NodeNotReadyError,
    NotLeaderForPartitionError,
    UnknownTopicOrPartitionError,
)
from aiokafka.protocol.metadata import MetadataResponse_v0, MetadataResponse_v5
from aiokafka.structs import BrokerMetadata

from logwarden.daemon.kafka.client import EARLIEST, LATEST, ReadingClient
from logwarden.daemon.kafka.metadata import TopicsRequest, answer_of

LOGS = TopicPartition("logs", 1)


def flexible(*, version: int, topics: list[tuple[int, str, bytes]]) -> Any:
    """Returns a broker's answer as the client decodes it from bytes."""
    shape = TopicsRequest([]).prepare({3: (0, version)}).RESPONSE_TYPE
    partitions: list[Any] = [(0, 0, 1, 5, [1], [1], [], {})]
    fields = [
        0,
        [(1, "host", 9092, None, {})],
        "cluster",
        1,
        [(code, name, identity, False, partitions, 0, {}) for code, name, identity in topics],
        *([0] if version == 10 else []),
        {},
    ]
    return shape.decode(shape(*fields).encode())


@pytest.mark.parametrize("version", [10, 11, 12])
def test_an_answer_with_ids_is_read(version: int) -> None:
    """Cluster and topic make the identity; a topic with an error, or of a cluster without ids, has none."""
    response = flexible(
        version=version, topics=[(0, "logs", b"\x01" * 16), (3, "none", bytes(16)), (0, "old", bytes(16))]
    )
    answer = answer_of(response)
    assert answer.incarnations == {"logs": "cluster/AQEBAQEBAQEBAQEBAQEBAQ"}
    assert answer.errors == {"none": 3}
    assert (answer.knows_ids, answer.brokers, answer.controller_id) == (True, [(1, "host", 9092, None)], 1)
    assert answer.topics[0] == (0, "logs", False, [(0, 0, 1, [1], [1], [])])


def test_an_answer_without_ids_is_read() -> None:
    """Of brokers before 2.8, and of the embedded one."""
    newer = MetadataResponse_v5(0, [(1, "host", 9092, None)], "cluster", 1, [(0, "logs", False, [])])
    oldest = MetadataResponse_v0([(1, "host", 9092)], [(0, "logs", [])])
    for response, controller in ((newer, 1), (oldest, -1)):
        answer = answer_of(response)
        assert (answer.knows_ids, answer.incarnations, answer.controller_id) == (False, {}, controller)
        assert [tuple(broker) for broker in answer.brokers] == [(1, "host", 9092, None)]
        assert [tuple(topic) for topic in answer.topics] == [(0, "logs", False, [])]


@pytest.mark.parametrize("version", range(13))
def test_no_request_lets_a_broker_create_a_topic(version: int) -> None:
    """From version 4 on, which is older than every broker that is supported; the request says so in each layout."""
    request = TopicsRequest(["logs"]).prepare(
        {3: (version, version)} if version not in range(6, 10) else {3: (0, version)}
    )
    assert getattr(request, "allow_auto_topic_creation", False) is False
    assert version == request.API_VERSION if version not in range(6, 10) else 5
    assert b"logs" in request.encode()
    everything = TopicsRequest(None).prepare({3: (0, version)})
    assert b"logs" not in everything.encode()


class Network:
    """A connection to node 1, whose answers are those of the test."""

    def __init__(self, *answers: Any) -> None:
        self.answers = list(answers)
        self.sent: list[Any] = []
        self.client = ReadingClient(bootstrap_servers="host:9092")
        self.client.cluster = cast(
            Any,
            SimpleNamespace(
                brokers=lambda: {BrokerMetadata(1, "host", 9092, None)},
                leader_for_partition={LOGS: 1, TopicPartition("logs", 2): -1}.get,
                update_metadata=self.sent.append,
                failed_update=self.sent.append,
            ),
        )
        self.client._get_conn = self._connection
        self.client.send = lambda node, request: self.answer(request)

    async def _connection(self, node: int) -> Any:
        return SimpleNamespace(send=self.answer)

    async def answer(self, request: Any) -> Any:
        self.sent.append(request)
        found = self.answers.pop(0)
        if isinstance(found, Exception):
            raise found
        return found


async def test_identities_are_requested_and_kept() -> None:
    """Those of other topics stay; a topic that has none any more loses its own."""
    known = flexible(version=12, topics=[(0, "logs", b"\x01" * 16), (0, "other", b"\x02" * 16)])
    missing = flexible(version=12, topics=[(3, "logs", bytes(16))])
    client = Network(known, missing).client
    assert set(await client.identify(["logs", "other"])) == {"logs", "other"}
    assert await client.identify(["logs"]) == {}
    assert set(client.incarnations) == {"other"}
    assert await client.identify([]) == {}


async def test_doubt_lasts_while_a_topic_is_missing() -> None:
    """The first fetch that succeeds may be the first of another topic; brokers without ids leave no doubt."""
    missing, there = (
        flexible(version=12, topics=[(3, "logs", bytes(16))]),
        flexible(version=12, topics=[(0, "logs", b"\x01" * 16)]),
    )
    network = Network(missing, there, MetadataResponse_v5(0, [], None, 1, [(0, "logs", False, [])]))
    network.client.force_metadata_update()
    for expected in (True, False, False):
        await network.client.confirm(["logs"])
        assert network.client.in_doubt is expected
    network.client.force_metadata_update()
    await network.client.confirm(["logs"])
    assert not network.client.in_doubt, "a broker without ids is not asked again"


async def test_every_node_is_asked_before_the_question_fails() -> None:
    """The last cause is the reason; without a node there is one as well."""
    network = Network(KafkaConnectionError("away"))
    with pytest.raises(KafkaConnectionError, match="away"):
        await network.client.describe(["logs"])
    network.client.cluster.brokers = set
    with pytest.raises(NodeNotReadyError):
        await network.client.describe(["logs"])


async def test_the_consumers_refresh_is_by_the_same_question() -> None:
    """It fills the client's metadata and the identities, and reports a failure as the client's own does."""
    network = Network(flexible(version=12, topics=[(0, "logs", b"\x01" * 16)]), TimeoutError())
    assert await network.client._metadata_update(network.client.cluster, {"logs"}) is True
    assert set(network.client.incarnations) == {"logs"}
    assert network.sent[1].topics[0][1] == "logs"
    assert await network.client._metadata_update(network.client.cluster, set()) is False
    assert network.sent[-1] is None


def offsets_answer(code: int, offset: int, version: int = 3) -> Any:
    rest = (-1, offset) if version else ([offset],)
    return SimpleNamespace(API_VERSION=version, topics=[("logs", [(1, code, *rest)])])


async def test_offsets_include_open_transactions() -> None:
    """As Kafka's own tools count: otherwise a committed offset could lie behind the end."""
    network = Network(
        offsets_answer(0, 44), offsets_answer(0, 43), offsets_answer(0, 7, version=0), offsets_answer(6, 0)
    )
    assert await network.client.offsets([LOGS], LATEST) == {LOGS: 44}
    assert network.sent[0]._isolation_level == 0
    assert await network.client.offsets([LOGS], LATEST, is_committed=True) == {LOGS: 43}
    assert network.sent[1]._isolation_level == 1
    assert await network.client.offsets([LOGS], EARLIEST) == {LOGS: 7}
    with pytest.raises(NotLeaderForPartitionError):
        await network.client.offsets([LOGS], LATEST)
    assert network.client.in_doubt, "the metadata are refreshed before the next try"


async def test_a_partition_without_a_leader_is_no_reason_to_name_its_topic() -> None:
    """The client's own question would, and a broker would create the topic."""
    for partition, error in (("logs", 2), LeaderNotAvailableError), (("logs", 9), UnknownTopicOrPartitionError):
        with pytest.raises(error):
            await Network().client.offsets([TopicPartition(*partition)], LATEST)


def batch(base: int, last: int, *, magic: int = 2) -> bytes:
    return struct.pack(">qiibIhi", base, 100, 0, magic, 0, 0, last) + bytes(60)


@pytest.mark.parametrize(
    ("header", "after"),
    [
        (batch(30, 29), 60),
        (batch(25, 20), 46),
        (batch(30, 0), 31),
        (batch(30, 29, magic=7), 31),
        (batch(30, -5), 31),
        (batch(30, 70), 31),
        (batch(31, 3), 31),
        (b"", 31),
        (None, 31),
    ],
    ids=["whole", "its middle", "one record", "other magic", "negative", "beyond the end", "later", "nothing", "none"],
)
async def test_the_end_of_a_batch_is_in_its_header(header: bytes | None, after: int) -> None:
    """Where the header cannot be right, one offset is skipped and no more."""
    answer = SimpleNamespace(topics=[("logs", [(1, 0, 100, -1, [], header)])])
    assert await Network(answer).client.end_of_batch(LOGS, 30) == after
    failed = SimpleNamespace(topics=[("logs", [(1, 6, 100, header)])])
    with pytest.raises(NotLeaderForPartitionError):
        await Network(failed).client.end_of_batch(LOGS, 30)
