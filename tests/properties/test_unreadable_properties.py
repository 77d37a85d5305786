"""Whatever cannot be read, and however a poll cuts the records: each readable record arrives once and in order."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from logwarden.daemon.kafka.quarantine import RETRY_S
from logwarden.daemon.records import Partition
from tests.fake_kafka import FakeConsumer, Reading, partitions_of, source_of
from tests.sim.loop import run_virtual

PARTITIONS = st.lists(st.tuples(st.integers(0, 12), st.none() | st.integers(0, 11)), min_size=1, max_size=3)
"""For each partition its length, and the offset of a batch that cannot be read."""


@given(PARTITIONS, st.integers(1, 15), st.integers(1, 15), st.floats(0.0, 25.0))
def test_each_readable_record_arrives_once(
    partitions: list[tuple[int, int | None]], max_poll: int, max_poll_records: int, healed_at: float
) -> None:
    """Up to its unreadable batch before another replica leads, and the whole partition soon afterwards."""
    names = partitions_of(len(partitions))
    consumer = FakeConsumer(
        {name: length for name, (length, _) in zip(names, partitions, strict=True)},
        {name: bad for name, (length, bad) in zip(names, partitions, strict=True) if bad is not None and bad < length},
        max_poll=max_poll,
    )
    damaged = dict(consumer.unreadable)

    async def life() -> Reading:
        source = source_of(consumer, max_poll_records=max_poll_records)
        reading = await Reading().read(source, healed_at)
        for name in names:
            readable = list(range(damaged.get(name, consumer.lengths[name])))
            arrived = reading.offsets.get(Partition(*name), [])
            assert arrived == readable[: len(arrived)]
            if healed_at > 5.0:
                assert arrived == readable
        consumer.unreadable.clear()
        return await reading.read(source, healed_at + 2 * RETRY_S)

    reading = run_virtual(life())
    for name in names:
        assert reading.offsets.get(Partition(*name), []) == list(range(consumer.lengths[name]))
    assert {(partition, offset) for _, partition, offset in reading.unreadable} <= {
        (Partition(*name), bad) for name, bad in damaged.items()
    }
