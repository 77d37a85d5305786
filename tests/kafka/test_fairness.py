"""A burst of new lines of one service, through a real broker and the shipped model: who waits for it."""

from __future__ import annotations

from pathlib import Path

import pytest
from aiokafka import AIOKafkaProducer

from tests.kafka.evidence import AlertLog, Place, eventually
from tests.kafka.fleet import Fleet
from tests.kafka.member import READY_S, until
from tests.kafka.neighbours import different_lines
from tests.kafka.topics import Topics

NOISY, CALM = 4_000, 20


@pytest.mark.parametrize("partition", [0, 1], ids=["another partition", "the same partition"])
async def test_a_burst_of_new_lines_delays_its_own_service_only(partition: int, topics: Topics, tmp_path: Path) -> None:
    """BERT needs ten seconds or more for the burst; the calm service's lines, sent after it, are judged meanwhile."""
    with Fleet(topics, tmp_path, "none") as fleet:
        member = fleet.start(MODEL__TABLE_ROWS=8_192)
        until(member.ready, READY_S, "the member is ready")
        async with (
            AIOKafkaProducer(bootstrap_servers=topics.bootstrap) as producer,
            AlertLog.reading(topics.bootstrap, topics.alerts) as alerts,
        ):
            for value in different_lines(NOISY):
                await producer.send(topics.logs, value, key=b"noisy", partition=partition)
            await producer.flush()
            sent = [
                await producer.send_and_wait(topics.logs, b"heartbeat %d" % number, key=b"calm", partition=1)
                for number in range(CALM)
            ]
            calm = [Place(topics.logs, 1, "calm", answer.offset) for answer in sent]
            await eventually(lambda: alerts.covers(calm), 30, "the calm lines are judged")
            noisy = sum(place.service == "noisy" for place in alerts.places)
            assert noisy < NOISY / 2, "the calm lines waited for the burst"
            assert len({tuple(found.windows) for place, found in alerts.places.items() if place in calm}) == CALM
