"""Topics compressed with each of Kafka's codecs, written by librdkafka, read by the daemon through a real broker.

`python -m tests.kafka.test_codecs` reads 200,000 lines of each codec and prints how many are left.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.kafka.broker import Broker, create_topics
from tests.kafka.evidence import Group
from tests.kafka.fleet import Fleet
from tests.kafka.member import READY_S, until
from tests.kafka.segments import CODECS, batches
from tests.kafka.topics import Topics, fresh_topics
from tests.models import save_tiny

confluent_kafka = pytest.importorskip("confluent_kafka", reason="librdkafka's client is in the extra `demo`")

LINES = 5_000
"""Lines of each codec, which make several batches."""
QUIET = {"ALERTS__THRESHOLD": 1, "ALERTS__LEARNING_LINES": 1000}


def write_compressed(bootstrap: str, topic: str, codec: str, lines: int, *, partition: int | None = None) -> None:
    """Writes lines of a few services in batches compressed with one codec; returns when all are acknowledged."""
    producer = confluent_kafka.Producer(
        {"bootstrap.servers": bootstrap, "compression.type": codec, "linger.ms": 50, "queue.buffering.max.messages": 0}
    )
    for number in range(lines):
        text = f"GET /api/orders/{number} 200 in {number % 97} ms"
        where = {} if partition is None else {"partition": partition}
        producer.produce(topic, key=f"service-{number % 5}", value=text, **where)
        if number % 1_000 == 0:
            producer.poll(0)
    assert producer.flush(60) == 0, "every line is acknowledged"


def read_by_a_daemon(broker: Broker, topics: Topics, fleet: Fleet, codecs: Sequence[str], lines: int) -> dict[str, int]:
    """Lets one daemon read a topic of each codec. Returns the lines of each topic that are not done at the end."""
    names = {codec: topics.named(codec) for codec in codecs}
    asyncio.run(create_topics(topics.bootstrap, dict.fromkeys(names.values(), 1)))
    for codec, name in names.items():
        write_compressed(topics.bootstrap, name, codec, lines)
        assert {batch.codec for batch in batches(broker.data, name)} == {codec}, "the broker keeps what was written"
    member = fleet.start(**QUIET, KAFKA__INPUT_TOPICS=",".join(names.values()))
    until(member.ready, READY_S, "partitions")
    until(lambda: member.metric("logwarden_scored_lines_total") >= lines * len(names), 600, "every line scored")
    groups = {codec: Group(topics.bootstrap, topics.group, name, 1) for codec, name in names.items()}
    until(lambda: sum(asyncio.run(group.lag()) for group in groups.values()) == 0, 30, "lag 0")
    assert member.metric("logwarden_scored_lines_total") == lines * len(names), "no line is scored twice"
    assert member.terminate() == 0
    return {codec: asyncio.run(group.lag()) for codec, group in groups.items()}


async def test_every_codec_is_read(broker: Broker, topics: Topics, fleet: Fleet) -> None:
    """Lines compressed with gzip, snappy, lz4 and zstd are scored and committed like plain ones."""
    left = await asyncio.to_thread(read_by_a_daemon, broker, topics, fleet, CODECS, LINES)
    assert left == dict.fromkeys(CODECS, 0)


def main() -> int:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--lines", type=int, default=200_000, help="lines of each codec")
    lines = options.parse_args().lines
    with tempfile.TemporaryDirectory() as directory, Broker.create(directory) as broker:
        for number, codec in enumerate(itertools.islice(CODECS, 1, None)):
            folder = Path(directory, str(number))
            folder.mkdir()
            topics = asyncio.run(fresh_topics(broker.bootstrap))
            with Fleet(topics, folder, save_tiny(folder / "model"), quiet=True) as fleet:
                left = read_by_a_daemon(broker, topics, fleet, [codec], lines)
            print(f"{codec:8} {lines:,} lines written, {left[codec]} not scored and committed", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
