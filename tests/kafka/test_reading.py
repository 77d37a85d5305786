"""What producers write: transactions, aborted ones, and batches that expand to more than fits into memory."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from aiokafka import TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, RecordsToDelete

from logwarden.daemon.records import Partition
from tests.fakes import metric
from tests.kafka.broker import create_topics
from tests.kafka.evidence import Group, eventually, produce
from tests.kafka.reader import FETCH_MAX_WAIT_S, Reader
from tests.kafka.topics import Topics

confluent_kafka = pytest.importorskip("confluent_kafka", reason="librdkafka's client is in the extra `demo`")

MIB = 1_048_576


def transact(bootstrap: str, topic: str, *outcomes: tuple[str, int, bool]) -> None:
    """Writes transactions in order: the word of their lines, how many, and True to commit or False to abort."""
    producer = confluent_kafka.Producer({"bootstrap.servers": bootstrap, "transactional.id": f"{topic}.writer"})
    producer.init_transactions(30)
    for word, count, commits in outcomes:
        producer.begin_transaction()
        for number in range(count):
            producer.produce(topic, f"{word} {number}", partition=0)
        producer.flush(30)  # an abort would drop what is still in the client
        producer.commit_transaction(30) if commits else producer.abort_transaction(30)


async def test_lines_of_aborted_transactions_are_not_read_and_leave_no_lag(topics: Topics) -> None:
    """Lines of committed transactions are judged once; Kafka's own lag and the metric are 0 behind the markers."""
    logs = topics.named("transactions")
    await create_topics(topics.bootstrap, {logs: 1})
    group = Group(topics.bootstrap, topics.group, logs, 1)
    written = (("a", 20, True), ("lost", 20, False), ("b", 20, True), ("lost too", 5, False))
    async with Reader.reading(topics.bootstrap, topics.group, logs) as reader:
        await asyncio.to_thread(transact, topics.bootstrap, logs, *written)
        kept = [f"{word} {number}".encode() for word in "ab" for number in range(20)]
        await eventually(lambda: len(reader.judged) >= len(kept), 20, "the committed lines")
        await eventually(group.is_done, 10, "a committed offset at the end of the partition")
        await eventually(lambda: reader.lag(logs) == 0, 5, "lag 0 in the metric")
        assert reader.values(logs) == kept
        assert await group.ends() == {0: 65 + 4}, "each transaction ends with a marker"
        await produce(topics.bootstrap, logs, [(None, b"after", 0)])
        await eventually(lambda: reader.values(logs) == [*kept, b"after"], 10, "the line after the last marker")


async def test_an_open_transaction_is_lag_until_it_ends(topics: Topics) -> None:
    """Its lines wait, as Kafka's own tools show; a member that starts meanwhile does not take them for a cut log."""
    logs = topics.named("open")
    await create_topics(topics.bootstrap, {logs: 1})
    group = Group(topics.bootstrap, topics.group, logs, 1)
    writer = confluent_kafka.Producer({"bootstrap.servers": topics.bootstrap, "transactional.id": f"{logs}.writer"})
    await produce(topics.bootstrap, logs, [(None, b"before", 0)])
    await asyncio.to_thread(writer.init_transactions, 30)
    writer.begin_transaction()
    writer.produce(logs, "in it", partition=0)
    await asyncio.to_thread(writer.flush, 30)
    await produce(topics.bootstrap, logs, [(None, b"behind", 0)])
    await group.commit(0, 2)  # of a member that read everything
    async with Reader.reading(topics.bootstrap, topics.group, logs) as reader:
        await eventually(lambda: reader.assigned, 20, "the partition")
        await asyncio.to_thread(writer.commit_transaction, 30)
        await eventually(lambda: reader.values(logs) == [b"behind"], 20, "what follows the committed offset")
        await eventually(group.is_done, 10, "lag 0")


async def test_lines_that_were_deleted_unread_leave_no_lag(topics: Topics) -> None:
    """Retention takes all of them while the member pauses: an incident, and the group is at the end without one."""
    logs = topics.named("deleted")
    await create_topics(topics.bootstrap, {logs: 1})
    group, partition = Group(topics.bootstrap, topics.group, logs, 1), Partition(logs, 0)
    async with Reader.reading(topics.bootstrap, topics.group, logs) as reader:
        await eventually(lambda: reader.assigned, 20, "the partition")
        reader.source.pause([partition])
        await asyncio.sleep(20 * FETCH_MAX_WAIT_S)  # a fetch that is under way would still bring them
        await produce(topics.bootstrap, logs, [(None, b"unread", 0)] * 50)
        admin = AIOKafkaAdminClient(bootstrap_servers=topics.bootstrap)
        await admin.start()
        await admin.delete_records({TopicPartition(logs, 0): RecordsToDelete(before_offset=50)})
        await admin.close()
        reader.source.resume([partition])
        await eventually(group.has_committed({0: 50}), 20, "the end of the partition")
        assert reader.judged == []
        assert metric(reader.telemetry, "out_of_range_offsets_total", topic=logs, partition="0") == 1


def pack(bootstrap: str, topic: str, codec: str, records: list[bytes]) -> None:
    """Writes records as one compressed batch into partition 0."""
    settings: dict[str, Any] = {"batch.size": 64 * MIB, "message.max.bytes": 64 * MIB, "linger.ms": 500}
    producer = confluent_kafka.Producer({"bootstrap.servers": bootstrap, "compression.type": codec, **settings})
    for record in records:
        producer.produce(topic, record, partition=0)
    assert producer.flush(60) == 0


@pytest.mark.parametrize("codec", ["gzip", "snappy", "lz4", "zstd"])
async def test_a_batch_that_expands_too_far_stops_its_partition(topics: Topics, codec: str) -> None:
    """The other partition is read meanwhile, the report names the limit, and a higher limit reads the batch."""
    logs = topics.named(f"bomb.{codec}")
    await create_topics(topics.bootstrap, {logs: 2})
    await produce(topics.bootstrap, logs, [(None, b"first", 0)])
    await asyncio.to_thread(pack, topics.bootstrap, logs, codec, [b"0" * 100_000] * 30)
    async with Reader.reading(topics.bootstrap, topics.group, logs, max_batch_bytes=MIB) as reader:
        await eventually(lambda: "MAX_BATCH_BYTES" in str([*reader.health.unreadable.values()]), 20, "the report")
        await produce(topics.bootstrap, logs, [(None, b"beside", 1)])
        await eventually(lambda: b"beside" in reader.values(logs), 10, "the other partition")
        assert sorted(reader.values(logs)) == [b"beside", b"first"]
    async with Reader.reading(topics.bootstrap, topics.group, logs, max_batch_bytes=4 * MIB) as reader:
        await eventually(lambda: [len(v) for v in reader.values(logs) if len(v) > 9] == [100_000] * 30, 20, "the batch")
