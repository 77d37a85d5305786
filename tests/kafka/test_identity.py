"""A topic that is deleted and created again under its name: nothing of it is skipped, and no id is used twice."""

from __future__ import annotations

import asyncio
import signal
import threading
import time

from aiokafka.admin import AIOKafkaAdminClient

from logwarden.daemon.pipeline.ledger import NEAR_THE_END, encode_metadata
from logwarden.daemon.records import Committed, Partition
from tests.fakes import capture, events
from tests.kafka.broker import create_topics
from tests.kafka.evidence import AlertLog, Group, eventually, produce
from tests.kafka.fleet import Fleet
from tests.kafka.member import READY_S
from tests.kafka.reader import Reader
from tests.kafka.topics import Topics

STALL_S = 0.3
"""Part of the stall: a fast machine needs less for a topic than the gap from which the source is in doubt."""
OLD, NEW = 100, 400
"""Lines of the topic that is deleted, and of the one that follows it."""


def lines(word: str, count: int) -> list[tuple[bytes | None, bytes | None, int | None]]:
    return [(None, f"{word} {number}".encode(), 0) for number in range(count)]


async def create_again(bootstrap: str, topic: str, count: int) -> None:
    """Deletes a topic, creates it again and writes lines to it."""
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap)
    await admin.start()
    await admin.delete_topics([topic])
    await admin.close()
    await create_topics(bootstrap, {topic: 1})
    await produce(bootstrap, topic, lines("new", count))


def whole(reader: Reader, topic: str, word: str, count: int) -> bool:
    return {f"{word} {number}".encode() for number in range(count)} <= set(reader.values(topic))


async def test_a_topic_created_again_is_read_from_its_begin(topics: Topics) -> None:
    """All its lines are judged, under other ids than those of the deleted topic; the other topic goes on."""
    logs, other = topics.named("again"), topics.named("other")
    await create_topics(topics.bootstrap, {logs: 1, other: 1})
    await produce(topics.bootstrap, logs, lines("old", OLD))
    async with Reader.reading(topics.bootstrap, topics.group, logs, other) as reader:
        await eventually(lambda: whole(reader, logs, "old", OLD), 20, "the old topic")
        await create_again(topics.bootstrap, logs, NEW)
        await produce(topics.bootstrap, other, lines("other", 50))
        await eventually(lambda: whole(reader, logs, "new", NEW), 60, "the new topic")
        await eventually(lambda: whole(reader, other, "other", 50), 20, "the other topic")
        ids = {word: {j.alert_id for j in reader.judged if j.value.startswith(word)} for word in (b"old", b"new")}
        assert not ids[b"old"] & ids[b"new"]
        await eventually(Group(topics.bootstrap, topics.group, logs, 1).has_committed({0: NEW}), 20, "the commit")


async def test_a_stall_does_not_hide_a_topic_created_again(topics: Topics) -> None:
    """The event loop stands still meanwhile, and the new topic is longer than the old position before it goes on."""
    logs = topics.named("stalled")
    await create_topics(topics.bootstrap, {logs: 1})
    await produce(topics.bootstrap, logs, lines("old", OLD))
    async with Reader.reading(topics.bootstrap, topics.group, logs) as reader:
        await eventually(lambda: whole(reader, logs, "old", OLD), 20, "the old topic")

        def replace_the_topic() -> None:
            asyncio.run(create_again(topics.bootstrap, logs, NEW))
            time.sleep(STALL_S)

        again = threading.Thread(target=replace_the_topic)
        again.start()
        again.join(60)  # blocks the loop, on purpose
        await eventually(lambda: whole(reader, logs, "new", NEW), 30, "the new topic")
        new = [judged for judged in reader.judged if judged.value.startswith(b"new")]
        assert len({judged.alert_id for judged in new}) == NEW, "every new line has one id, however often it is read"


async def test_a_frozen_member_does_not_skip_a_topic_created_again(topics: Topics, fleet: Fleet) -> None:
    """SIGSTOP for the time that it takes, a whole daemon: each offset of the old topic has an alert in the new one."""
    logs = topics.named("frozen")
    await create_topics(topics.bootstrap, {logs: 1})
    await produce(topics.bootstrap, logs, lines("old", OLD))
    group = Group(topics.bootstrap, topics.group, logs, 1)
    async with AlertLog.reading(topics.bootstrap, topics.alerts) as alerts:
        member = fleet.start(KAFKA__INPUT_TOPICS=logs)
        await eventually(lambda: alerts.covers_offsets(range(OLD)), READY_S, "the old topic")
        await eventually(group.has_committed({0: OLD}), 10, "its commit")
        member.signal(signal.SIGSTOP)
        await create_again(topics.bootstrap, logs, NEW)
        member.signal(signal.SIGCONT)
        await eventually(lambda: alerts.covers_offsets(range(NEW)), 30, "the new topic")
        await eventually(group.has_committed({0: NEW}), 10, "the commit")
        await alerts.read()
        ids = [len(delivered.ids) for place, delivered in sorted(alerts.places.items()) if place.offset < OLD]
        assert ids == [2] * OLD, "one id for the line of each topic"
        assert member.events("topic_recreated")
        assert member.terminate() == 0


async def test_a_topic_created_again_while_the_member_was_away(topics: Topics) -> None:
    """The committed offset is that of another topic, although it is in range: reading begins at the first line."""
    logs = topics.named("away")
    await create_topics(topics.bootstrap, {logs: 1})
    await produce(topics.bootstrap, logs, lines("old", OLD))
    async with Reader.reading(topics.bootstrap, topics.group, logs) as reader:
        await eventually(lambda: whole(reader, logs, "old", OLD), 20, "the old topic")
        await eventually(Group(topics.bootstrap, topics.group, logs, 1).has_committed({0: OLD}), 10, "its commit")
    await create_again(topics.bootstrap, logs, NEW)
    partition = Partition(logs, 0)
    # The broker forgets the offsets of a deleted topic some time later; a member of an earlier release kept them.
    with capture() as caught:
        async with Reader.reading(topics.bootstrap, topics.group, logs) as reader:
            await eventually(lambda: whole(reader, logs, "new", NEW), 20, "the new topic")
            stale = Committed(OLD, encode_metadata(OLD, "cluster/another-topic"))
            await eventually(lambda: reader.lag(logs) == 0, 10, "the commit")
            await reader.source.commit({partition: stale})
        async with Reader.reading(topics.bootstrap, topics.group, logs) as reader:
            await eventually(lambda: whole(reader, logs, "new", NEW), 20, "the new topic, from its begin")
    [incident, *_] = events(caught, "topic_recreated")
    assert (incident["topic"], incident["committed"], incident["going_on_from"]) == (logs, OLD, 0)


async def test_a_log_that_was_cut_is_read_from_near_its_end(topics: Topics) -> None:
    """Committed behind the end, as after an unclean election: a thousand lines again, and not the whole topic."""
    logs, count = topics.named("cut"), 2_500
    await create_topics(topics.bootstrap, {logs: 1})
    await produce(topics.bootstrap, logs, lines("line", count))
    partition = Partition(logs, 0)
    async with Reader.reading(topics.bootstrap, topics.group, logs) as reader:
        await eventually(lambda: len(reader.judged) == count, 20, "all lines")
        await eventually(lambda: reader.lag(logs) == 0, 10, "the commit")
        identity = reader.partitions.assignments()[0].incarnation
        assert identity
        await reader.source.commit({partition: Committed(count + 10, encode_metadata(count, identity))})
    with capture() as caught:
        async with Reader.reading(topics.bootstrap, topics.group, logs) as reader:
            await eventually(lambda: len(reader.judged) >= NEAR_THE_END, 20, "the lines near the end")
            await eventually(Group(topics.bootstrap, topics.group, logs, 1).has_committed({0: count}), 10, "the commit")
            assert [judged.offset for judged in reader.judged] == list(range(count - NEAR_THE_END, count))
    assert len(events(caught, "offset_out_of_range")) == 1
