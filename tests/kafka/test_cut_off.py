"""A topic is deleted and created again while the network carries nothing: no line is skipped, none has two ids."""

from __future__ import annotations

import asyncio

import pytest

from tests.kafka.broker import create_topics
from tests.kafka.evidence import eventually, produce
from tests.kafka.proxy import BLACK_HOLE, Proxy, Weather
from tests.kafka.reader import Reader
from tests.kafka.test_identity import NEW, OLD, create_again, lines, whole
from tests.kafka.topics import Topics

CUT_S = 1.0
"""Time without an answer in which a member must expect another topic: longer than that of a slow fetch."""


@pytest.mark.parametrize("weather", [BLACK_HOLE, Weather(responses_held=True)], ids=["partition", "lost responses"])
@pytest.mark.parametrize("old", [1, OLD])
async def test_a_partition_does_not_hide_a_topic_created_again(
    topics: Topics, proxy: Proxy, weather: Weather, old: int
) -> None:
    """The new topic is longer than the old position before the network carries anything again."""
    logs = topics.named("behind")
    await create_topics(topics.bootstrap, {logs: 1})
    await produce(topics.bootstrap, logs, lines("old", old))
    async with Reader.reading(proxy.bootstrap, topics.group, logs) as reader:
        await eventually(lambda: whole(reader, logs, "old", old), 20, "the old topic")
        with proxy.weather(weather):
            await create_again(topics.bootstrap, logs, NEW)
            await asyncio.sleep(CUT_S)
        await eventually(lambda: whole(reader, logs, "new", NEW), 30, "the new topic")
        new = [judged for judged in reader.judged if judged.value.startswith(b"new")]
        old_ids = {judged.alert_id for judged in reader.judged if judged.value.startswith(b"old")}
    assert len({judged.alert_id for judged in new}) == NEW, "every new line has one id, however often it is read"
    assert not old_ids & {judged.alert_id for judged in new}
