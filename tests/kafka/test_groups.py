"""Members of one group: how partitions are divided, which topics they read, and names that two of them share."""

from __future__ import annotations

import asyncio
import time
from contextlib import AsyncExitStack

import pytest
from aiokafka.admin import AIOKafkaAdminClient

from tests.kafka.broker import Broker, create_topics
from tests.kafka.evidence import eventually, produce
from tests.kafka.reader import Reader
from tests.kafka.topics import Topics, fresh_topics


async def existing(bootstrap: str) -> set[str]:
    """Returns the topics of the cluster."""
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap)
    await admin.start()
    try:
        return set(await admin.list_topics())
    finally:
        await admin.close()


async def test_topics_of_one_partition_spread_over_the_members(topics: Topics) -> None:
    """Four such topics and two members: two each, where one would get all of them if each topic began anew."""
    names = [topics.named(f"single-{number}") for number in range(4)]
    await create_topics(topics.bootstrap, dict.fromkeys(names, 1))
    async with AsyncExitStack() as stack:
        one, other = [
            await stack.enter_async_context(Reader.reading(topics.bootstrap, topics.group, *names)) for _ in range(2)
        ]
        await eventually(lambda: (len(one.assigned), len(other.assigned)) == (2, 2), 30, "two topics each")
        assert {partition.topic for partition in one.assigned | other.assigned} == set(names)


async def test_a_pattern_reads_topics_that_come_later(topics: Topics) -> None:
    """Within a minute, from their first line, and without a line lost in the others; never the daemon's own output."""
    pattern = f"^{topics.prefix}\\.(in-|alerts)"
    first, late = topics.named("in-first"), topics.named("in-late")
    await create_topics(topics.bootstrap, {first: 2, topics.named("other"): 1})
    settings = {"alerts_topic": topics.alerts, "dead_letter_topic": topics.dead_letters}
    async with Reader.reading(topics.bootstrap, topics.group, pattern, **settings) as reader:
        await eventually(lambda: {p.topic for p in reader.assigned} == {first}, 30, "the topic that is there")
        await create_topics(topics.bootstrap, {late: 1})
        began = time.monotonic()
        await produce(topics.bootstrap, late, [(None, b"late %d" % number, 0) for number in range(50)])
        sent = 0
        while len(reader.values(late)) < 50:
            await produce(topics.bootstrap, first, [(None, b"%d" % sent, sent % 2)])
            sent += 1
            await asyncio.sleep(0.05)
            assert time.monotonic() - began < 60, "a new topic is read within a minute"
        await eventually(lambda: len(set(reader.values(first))) == sent, 20, "the lines of the first topic")
        assert {p.topic for p in reader.assigned} == {first, late}
        admin = AIOKafkaAdminClient(bootstrap_servers=topics.bootstrap)
        await admin.start()
        await admin.delete_topics([late])
        await admin.close()
        await eventually(lambda: {p.topic for p in reader.assigned} == {first}, 60, "what is left")
        await produce(topics.bootstrap, first, [(None, b"end", 0)])
        await eventually(lambda: b"end" in reader.values(first), 20, "the topic that stays")
        assert reader.error is None


async def test_asking_for_a_topic_does_not_create_it(broker: Broker) -> None:
    """With a broker that creates what it is asked for: a mistyped name stays missing, and is read once it exists."""
    properties = broker.directory / "server.properties"
    before = properties.read_text(encoding="utf-8")
    await asyncio.to_thread(broker.kill)
    properties.write_text(before.replace("auto.create.topics.enable=false", "auto.create.topics.enable=true"))
    try:
        await asyncio.to_thread(broker.start)
        topics = await fresh_topics(broker.bootstrap)
        mistyped = topics.named("lgos")
        async with Reader.reading(topics.bootstrap, topics.group, topics.logs, mistyped) as reader:
            await eventually(lambda: len(reader.assigned) == 4, 30, "the partitions of the other topic")
            await reader.source._client.force_metadata_update()
            assert mistyped not in await existing(topics.bootstrap)
            assert reader.source.missing_topics() == [mistyped]
            await create_topics(topics.bootstrap, {mistyped: 1})
            await produce(topics.bootstrap, mistyped, [(None, b"at last", 0)])
            await eventually(lambda: reader.values(mistyped) == [b"at last"], 60, "the topic once it is there")
            assert reader.source.missing_topics() == []
    finally:
        properties.write_text(before)
        await asyncio.to_thread(broker.restart)


@pytest.mark.parametrize("together", [True, False], ids=["together", "one after the other"])
async def test_a_name_of_two_members_ends_one_of_them(topics: Topics, together: bool) -> None:
    """Exactly one ends, with the setting in its sentence; the other reads on, and few rebalances were needed.

    Two that join at once are fenced by the group. Otherwise they replace each other at every heartbeat.
    """
    async with AsyncExitStack() as stack:
        readers = []
        for _ in range(2):
            reader = Reader.reading(topics.bootstrap, topics.group, topics.logs, group_instance_id="pod-1")
            readers.append(await stack.enter_async_context(reader))
            if not together:
                await eventually(lambda: len(readers[-1].assigned) == 4, 30, "all partitions at the newest member")
        await eventually(lambda: any(reader.error for reader in readers), 60, "the end of one member")
        [ended] = [reader for reader in readers if reader.error]
        [working] = [reader for reader in readers if not reader.error]
        assert "another member uses LOGWARDEN_KAFKA__GROUP_INSTANCE_ID=pod-1" in str(ended.error)
        # The client of the one that ended is left running on purpose: it must not join again while its daemon drains.
        await eventually(lambda: len(working.assigned) == 4, 20, "all partitions at the other")
        rebalances = working.rebalances
        for number in range(20):
            await produce(topics.bootstrap, topics.logs, [(None, b"%d" % number, number % 4)])
            await asyncio.sleep(0.25)  # two heartbeats and more: a member that came back would show
        await eventually(lambda: len(set(working.values(topics.logs))) == 20, 20, "the lines")
        assert working.error is None
        assert (working.rebalances, len(working.assigned)) == (rebalances, 4)
        assert rebalances + ended.rebalances <= 12
