"""The connection of a reader to the cluster: requests topics, offsets and batches, and creates nothing.

The consumer's own client requests topics by name, which lets a broker create them, and overlooks the ids of topics.
This one replaces it. Knows requests and answers; knows nothing of positions and of the group.
"""

from __future__ import annotations

import random
import struct
from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from ipaddress import ip_address
from typing import Any

from aiokafka import TopicPartition
from aiokafka.client import AIOKafkaClient, ConnectionGroup
from aiokafka.errors import (
    KafkaError,
    LeaderNotAvailableError,
    NodeNotReadyError,
    UnknownTopicOrPartitionError,
    for_code,
)
from aiokafka.protocol.fetch import FetchRequest
from aiokafka.protocol.offset import OffsetRequest

from logwarden.daemon.kafka.metadata import TopicsAnswer, TopicsRequest, answer_of

EARLIEST, LATEST = -2, -1
"""Kafka's names for the oldest offset kept and for the one that the next record will get."""
_READ_ALL, _READ_COMMITTED = 0, 1
"""Levels of isolation. Of Kafka's own tools it is the first: the end of a partition includes open transactions."""
_BATCH_HEADER = struct.Struct(">qiibIhi")
"""Base offset, length, leader epoch, magic, CRC, attributes, last offset minus base offset."""
_BOOTSTRAP = ("bootstrap", ConnectionGroup.DEFAULT)


class ReadingClient(AIOKafkaClient):  # type: ignore[misc]  # aiokafka ships no types
    """The consumer's client, which never lets a broker create a topic and knows the ids of topics."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.incarnations: Mapping[str, str] = {}
        """Identity of each topic that was requested last. Empty where the brokers know no ids."""
        self.knows_ids = True
        """False once a broker answered that has no ids of topics."""
        self.in_doubt = False
        """Something happened since the identities were requested last: a lost connection, or a fetch that was refused
        because its topic was missing. Or a topic was missing then."""

    async def describe(self, topics: Collection[str] | None) -> TopicsAnswer:
        """Returns what a broker knows about these topics, or about all. Raises KafkaError if none answers."""
        nodes = [broker.nodeId for broker in self.cluster.brokers()] + ["bootstrap"] * (_BOOTSTRAP in self._conns)
        random.shuffle(nodes)
        cause: Exception = NodeNotReadyError("no broker is connected")
        for node in nodes:
            connection = await self._get_conn(node)
            if connection is None:
                continue
            try:
                answer = answer_of(await connection.send(TopicsRequest(None if topics is None else sorted(topics))))
            except (KafkaError, TimeoutError) as error:
                cause = error
                continue
            self.knows_ids = answer.knows_ids
            return answer
        raise cause

    async def identify(self, topics: Collection[str]) -> Mapping[str, str]:
        """Returns the identity of each of these topics, as of now; without those that have none."""
        if not topics or not self.knows_ids:
            return {}
        answer = await self.describe(topics)
        others = {topic: identity for topic, identity in self.incarnations.items() if topic not in topics}
        self.incarnations = {**others, **answer.incarnations}
        return answer.incarnations

    async def confirm(self, topics: Collection[str]) -> None:
        """Requests the identities of all topics that are read. Ends the doubt, unless one of them is missing."""
        self.in_doubt = False
        found = await self.identify(topics)
        if self.knows_ids and not found.keys() >= set(topics):
            self.in_doubt = True  # the first fetch that succeeds may be the first of another topic

    async def offsets(
        self, partitions: Sequence[TopicPartition], which: int, *, is_committed: bool = False
    ) -> dict[TopicPartition, int]:
        """Returns the EARLIEST or LATEST offset of each partition. Raises KafkaError if one of them has no answer.

        `is_committed`: the latest one in front of the first open transaction, which is where readers of committed
        records stop.
        """
        isolation = _READ_COMMITTED if is_committed else _READ_ALL
        await self._maybe_wait_metadata()
        asked: dict[int, dict[str, list[tuple[int, int]]]] = defaultdict(lambda: defaultdict(list))
        for partition in partitions:
            asked[self._leader(partition)][partition.topic].append((partition.partition, which))
        found: dict[TopicPartition, int] = {}
        for node, topics in asked.items():
            answer = await self.send(node, OffsetRequest(-1, isolation, list(topics.items())))
            for topic, answered in answer.topics:
                for number, code, *rest in answered:
                    if code:
                        raise self._failed(code, topic)
                    found[TopicPartition(topic, number)] = rest[-1] if answer.API_VERSION else rest[0][0]
        return found

    async def end_of_batch(self, partition: TopicPartition, offset: int) -> int:
        """Returns the first offset after the batch at this offset, from the batch's header, which is not compressed.

        Returns the next offset if the header itself is damaged.
        """
        request = FetchRequest(500, 1, 1, _READ_ALL, [(partition.topic, [(partition.partition, offset, 1)])])
        answer = await self.send(self._leader(partition), request)
        [(topic, [(_, code, end, *rest)])] = answer.topics
        if code:
            raise self._failed(code, topic)
        batch = rest[-1] or b""
        after = offset + 1
        if len(batch) >= _BATCH_HEADER.size:
            base, _, _, magic, _, _, last = _BATCH_HEADER.unpack_from(batch)
            if magic == 2 and last >= 0 and base <= offset <= base + last < end:
                after = base + last + 1
        return int(after)

    def _leader(self, partition: TopicPartition) -> int:
        node = self.cluster.leader_for_partition(partition)
        if node is None or node == -1:
            self.force_metadata_update()
            raise (UnknownTopicOrPartitionError if node is None else LeaderNotAvailableError)(partition)
        return int(node)

    def _failed(self, code: int, topic: str) -> KafkaError:
        error = for_code(code)(topic)
        if error.invalid_metadata:
            self.force_metadata_update()
        return error

    def local_host(self) -> str | None:
        """Returns the address from which this client reaches its brokers, another one than loopback where it has both.

        Returns None without a connection.
        """
        writers = [connection._writer for connection in self._conns.values() if connection._writer is not None]
        names = [writer.get_extra_info("sockname") for writer in writers]
        hosts = [str(name[0]) for name in names if isinstance(name, tuple)]
        return min(hosts, key=lambda host: ip_address(host.partition("%")[0]).is_loopback, default=None)

    # ---------------------------------------------------------------- what the consumer calls

    async def _metadata_update(self, cluster_metadata: Any, topics: Collection[str]) -> bool:
        """Does what the client's own does, by `describe`."""
        try:
            answer = await self.describe(topics or None)
        except (KafkaError, TimeoutError):
            cluster_metadata.failed_update(None)
            return False
        if not answer.brokers:
            return False
        self.incarnations = answer.incarnations
        cluster_metadata.update_metadata(answer)
        if _BOOTSTRAP in self._conns and self.cluster.brokers():
            self._conns.pop(_BOOTSTRAP).close()
        return True

    def force_metadata_update(self) -> Any:
        self.in_doubt = True  # the client calls this at every sign that its metadata are old
        return super().force_metadata_update()
