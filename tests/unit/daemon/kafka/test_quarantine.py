"""Partitions that stand still: when each is due, and what a revoke does."""

from __future__ import annotations

from logwarden.daemon.kafka.quarantine import RETRY_S, Quarantine
from tests.fakes import LOGS


def test_a_partition_is_due_after_the_wait_and_once() -> None:
    """Each partition has a time of its own; taken, it is no longer inside."""
    quarantine = Quarantine()
    quarantine.add(LOGS[0], now=100.0)
    quarantine.add(LOGS[1], now=105.0)
    assert quarantine.take_due(100.0 + RETRY_S - 0.001) == []
    assert LOGS[0] in quarantine
    assert quarantine.take_due(100.0 + RETRY_S) == [LOGS[0]]
    assert LOGS[0] not in quarantine
    assert LOGS[1] in quarantine
    assert quarantine.take_due(100.0 + RETRY_S) == []
    assert quarantine.take_due(1_000.0) == [LOGS[1]]


def test_a_partition_that_fails_again_waits_again() -> None:
    """The wait counts from the last failure."""
    quarantine = Quarantine()
    quarantine.add(LOGS[0], now=0.0)
    quarantine.add(LOGS[0], now=5.0)
    assert quarantine.take_due(RETRY_S) == []
    assert quarantine.take_due(5.0 + RETRY_S) == [LOGS[0]]


def test_a_revoke_empties_it() -> None:
    """A partition of another member is not tried again here."""
    quarantine = Quarantine()
    quarantine.add(LOGS[0], now=0.0)
    quarantine.clear()
    assert LOGS[0] not in quarantine
    assert quarantine.take_due(1_000.0) == []
