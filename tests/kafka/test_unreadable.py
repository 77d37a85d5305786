"""A batch that cannot be read stops its own partition, is reported, and is read once it is whole again, or left out."""

from __future__ import annotations

import asyncio

import pytest

from tests.fakes import capture, events, metric
from tests.kafka.broker import Broker, create_topics
from tests.kafka.evidence import AlertLog, Group, eventually
from tests.kafka.fleet import Fleet
from tests.kafka.member import READY_S
from tests.kafka.reader import Reader
from tests.kafka.segments import batches, damaged
from tests.kafka.test_codecs import write_compressed
from tests.kafka.topics import Topics

LINES = 30
"""Of each batch."""


def batch_of_each(topics: Topics, name: str, codec: str) -> None:
    """Two batches in partition 0, three in partition 1."""
    for partition in (0, 1, 0, 1, 1):
        write_compressed(topics.bootstrap, name, codec, LINES, partition=partition)


@pytest.mark.parametrize(("codec", "valid_crc"), [("zstd", True), ("none", False)])
async def test_one_unreadable_batch_stops_one_partition(
    broker: Broker, topics: Topics, fleet: Fleet, codec: str, valid_crc: bool
) -> None:
    """The other partition and the batches before are judged, readiness names the offset, and nothing is skipped."""
    logs = topics.named("logs2")
    await create_topics(topics.bootstrap, {logs: 2})
    await asyncio.to_thread(batch_of_each, topics, logs, codec)
    second = list(batches(broker.data, logs, 1))[1]
    group = Group(topics.bootstrap, topics.group, logs, 2)
    async with AlertLog.reading(topics.bootstrap, topics.alerts) as alerts:
        with damaged(second, valid_crc=valid_crc):
            member = fleet.start(KAFKA__INPUT_TOPICS=logs)
            await eventually(lambda: member.events("batch_unreadable"), READY_S, "the report")
            await asyncio.to_thread(write_compressed, topics.bootstrap, logs, codec, LINES, partition=0)
            await eventually(lambda: alerts.covers_partition(0, range(3 * LINES)), 30, "all lines of partition 0")
            await eventually(lambda: alerts.covers_partition(1, range(LINES)), 10, "the first batch of partition 1")
            await eventually(group.has_committed({0: 3 * LINES, 1: LINES}), 10, "the commits")
            (report, *_) = member.events("batch_unreadable")
            assert (report["level"], report["partition"], report["offset"]) == ("error", 1, LINES)
            assert member.status("/readyz") == 503
            assert member.status("/livez") == 200
            assert f"{logs}/1 is stopped at offset {LINES}" in member.body("/readyz")
            assert member.metric("logwarden_unreadable_batches_total") >= 1
            assert not alerts.covers_partition_now(1, [LINES]), "nothing of the batch is judged"
        await eventually(lambda: alerts.covers_partition(1, range(3 * LINES)), 40, "the batch and those after it")
        await eventually(member.ready, 10, "readiness")
        await eventually(group.is_done, 10, "lag 0")
        assert member.terminate() == 0


@pytest.mark.parametrize(("codec", "valid_crc"), [("zstd", True), ("none", False)])
async def test_an_unreadable_batch_is_left_out_where_that_is_set(
    broker: Broker, topics: Topics, codec: str, valid_crc: bool
) -> None:
    """Exactly its offsets are skipped and reported; the batches around it and the other partition are judged once."""
    logs = topics.named("skips")
    await create_topics(topics.bootstrap, {logs: 2})
    await asyncio.to_thread(batch_of_each, topics, logs, codec)
    second = list(batches(broker.data, logs, 1))[1]
    group = Group(topics.bootstrap, topics.group, logs, 2)
    with damaged(second, valid_crc=valid_crc), capture() as caught:
        async with Reader.reading(topics.bootstrap, topics.group, logs, unreadable_batches="skip") as reader:
            await eventually(group.has_committed({0: 2 * LINES, 1: 3 * LINES}), 30, "the end of both partitions")
            judged = sorted((line.partition, line.offset) for line in reader.judged)
            skipped = metric(reader.telemetry, "skipped_offsets_total", topic=logs, partition="1")
    whole = [(0, offset) for offset in range(2 * LINES)]
    assert judged == [*whole, *((1, offset) for offset in range(3 * LINES) if not LINES <= offset < 2 * LINES)]
    assert skipped == LINES
    [report] = events(caught, "batch_skipped")
    assert (report["partition"], report["first"], report["last"]) == (1, LINES, 2 * LINES - 1)
