"""Compressed topics without Java: the source reads each codec from an embedded broker, and misses no library."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest
from aiokafka import codec as codecs

from logwarden.daemon.errors import ConfigurationError
from logwarden.daemon.kafka.consumer import KafkaSource
from logwarden.daemon.records import Partition
from logwarden.daemon.settings.kafka import KafkaSettings

confluent_kafka = pytest.importorskip("confluent_kafka", reason="the embedded broker is in the extra `demo`")


class Listener:
    """Begins every partition at its first record, as a pipeline without commits does."""

    def __init__(self, source: KafkaSource) -> None:
        self._source = source

    async def on_revoked(self, partitions: Sequence[Partition]) -> None: ...

    async def on_assigned(self, partitions: Sequence[Partition]) -> None:
        for partition in partitions:
            self._source.seek(partition, 0)


@pytest.fixture(scope="module")
def embedded() -> Any:
    """Yields a client whose process contains the embedded broker."""
    return confluent_kafka.Producer({"test.mock.num.brokers": 1, "bootstrap.servers": ""})


@pytest.mark.parametrize("codec", ["gzip", "snappy", "lz4", "zstd"])
async def test_a_compressed_batch_is_read_from_the_embedded_broker(embedded: Any, codec: str) -> None:
    """The source returns the values that librdkafka compressed."""
    broker = next(iter(embedded.list_topics(f"in.{codec}", 10).brokers.values()))
    address = f"{broker.host}:{broker.port}"
    producer = confluent_kafka.Producer({"bootstrap.servers": address, "compression.type": codec, "linger.ms": 20})
    sent = [f"the same beginning, line {number}".encode() for number in range(500)]
    for line in sent:
        producer.produce(f"in.{codec}", value=line)
    assert producer.flush(10) == 0
    source = KafkaSource(KafkaSettings(bootstrap_servers=address, input_topics=(f"in.{codec}",), group_id=codec))
    read: list[tuple[int, int, bytes | None]] = []
    try:
        await source.start(Listener(source))
        async with asyncio.timeout(20):
            while len(read) < len(sent):
                for partition, records in (await source.fetch()).records.items():
                    read += [(partition.partition, record.offset, record.value) for record in records]
    finally:
        await source.stop()
    assert sorted(value or b"" for _, _, value in read) == sorted(sent)


def test_a_missing_library_is_named_at_the_start(monkeypatch: pytest.MonkeyPatch) -> None:
    """A missing cramjam is reported before the first read, with the three codecs and the package to install."""
    monkeypatch.setattr(codecs, "cramjam", None)
    with pytest.raises(ConfigurationError, match=r"snappy, lz4, zstd .* cramjam") as refused:
        KafkaSource(KafkaSettings())
    assert "pip install" in refused.value.hint
