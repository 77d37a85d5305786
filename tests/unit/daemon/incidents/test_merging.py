"""Alerts of several partitions are taken in the order in which they were published."""

from __future__ import annotations

from logwarden.daemon.incidents.merging import HOLD_S, AlertMerge
from logwarden.daemon.records import AlertBatch
from tests.oracles import LogRecord


def batch(partition: int, *times: int, first: int = 0, end: int = 0) -> AlertBatch:
    """Alerts of one partition, published at these times, in a term whose partitions ended there."""
    records = [LogRecord(b"", first + n, partition=partition, timestamp=at) for n, at in enumerate(times)]
    return AlertBatch(term=1, records=records, positions={partition: first + len(times)}, ends={0: end, 1: end})


def taken(merge: AlertMerge, now: float) -> list[int]:
    return [record.timestamp for record in merge.take(now)]


def test_old_alerts_wait_for_those_of_the_other_partition() -> None:
    """None is taken before each partition has one at hand; then the oldest go first."""
    merge = AlertMerge({0: 3, 1: 3})
    merge.add(batch(0, 10, 30, 50, end=3), 0.0)
    assert (taken(merge, 9.0), merge.wanted(), merge.position(0)) == ([], [1], 0)
    merge.add(batch(1, 20, 40, end=3), 0.0)
    assert taken(merge, 9.0) == [10, 20, 30, 40]
    assert (merge.wanted(), merge.position(0), merge.position(1)) == ([1], 2, 2)
    merge.add(batch(1, 60, first=2, end=3), 0.0)
    assert taken(merge, 9.0) == [50, 60]


def test_a_new_alert_waits_a_second_and_lets_older_ones_go_first() -> None:
    """Two fetches of one moment are taken in the order of publication, whichever came first."""
    merge = AlertMerge({0: 0, 1: 0})
    merge.add(batch(0, 20), 100.0)
    assert taken(merge, 100.0 + HOLD_S / 2) == []
    merge.add(batch(1, 10), 100.0 + HOLD_S / 2)
    merge.add(batch(1, 30, first=1), 100.0 + HOLD_S / 2)
    assert taken(merge, 100.0 + HOLD_S) == [10, 20]
    assert taken(merge, 100.0 + 2 * HOLD_S) == [30]
    assert (merge.position(0), merge.position(1)) == (1, 2)
