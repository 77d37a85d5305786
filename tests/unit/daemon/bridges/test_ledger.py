"""The ledger of a partition: what may be committed, and what the next owner repeats."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from logwarden.daemon.bridges.ledger import DeliveryLedger, ledger_of
from logwarden.daemon.records import Bounds, Committed

TOPIC, OTHER = "MkU3OEVBNTcwNTJENDM2Qg/jX6VGTf5QnuDgjRrBqMM6w", "MkU3OEVBNTcwNTJENDM2Qg/9sYx_wq-S7qDa0Zk4XJ1Gg"
"""Identities of topics as the client gives them: cluster id and topic id."""
BOUNDS = Bounds(0, 1_000, TOPIC)


def test_the_position_is_the_first_record_that_is_not_done() -> None:
    """Records behind one that is not done are not committed, and stand in the metadata."""
    ledger = ledger_of(Committed(100, ""), BOUNDS)
    for offset in range(100, 107):
        ledger.open(offset)
    ledger.done([100, 102, 103, 105, 106])
    committed = ledger.to_commit()
    assert committed == Committed(101, f"1 {TOPIC} 107 0,3")
    later = ledger_of(committed, BOUNDS)
    assert [offset for offset in range(101, 110) if not later.is_done(offset)] == [101, 104, 107, 108, 109]


def test_offsets_without_a_record_are_passed() -> None:
    """After compaction the position moves on over offsets that have no record."""
    ledger = ledger_of(Committed(100, ""), BOUNDS)
    ledger.open(104)
    ledger.passed(120)
    ledger.done([104])
    assert ledger.to_commit().offset == 120


def test_a_new_group_commits_nothing_before_the_history_is_read() -> None:
    """A crash while what is open is announced begins again, at the same begin, and takes no history for news."""
    ledger = ledger_of(None, BOUNDS)
    assert ledger.is_first
    assert ledger.to_commit() == Committed(1_000, f"1f {TOPIC} 0 ")
    ledger.open(40)  # an incident that is still open
    ledger.passed(1_000)
    later = ledger_of(ledger.to_commit(), Bounds(0, 1_500, TOPIC))
    assert later.is_first
    assert later.context_end == 1_000
    assert not later.is_done(1_000), "what came since is news"
    ledger.done([40])
    assert ledger.to_commit() == Committed(1_000, f"1 {TOPIC} 1000 ")


def test_a_commit_of_another_topic_counts_for_nothing() -> None:
    """A topic that was created again under its name is not read from the offset of the old one."""
    assert ledger_of(Committed(100, f"1 {OTHER} 107 0"), BOUNDS).is_first
    assert not ledger_of(Committed(100, f"1 {TOPIC} 107 0"), BOUNDS).is_first
    assert ledger_of(Committed(2_000, ""), BOUNDS).is_first


def test_records_that_retention_deleted_are_passed() -> None:
    """A commit below the oldest offset kept begins there."""
    assert ledger_of(Committed(100, f"1 {TOPIC} 107 0,3"), Bounds(500, 1_000, TOPIC)).context_end == 500


@given(st.lists(st.booleans(), max_size=3_000), st.integers(0, 2**40))
def test_nothing_that_is_not_done_is_ever_taken_for_done(done: list[bool], first: int) -> None:
    """Whatever is done in whatever order, the next owner repeats every record that is not; and the metadata fit."""
    ledger = DeliveryLedger(first, topic=TOPIC)
    for place in range(len(done)):
        ledger.open(first + place)
    ledger.done(first + place for place, is_done in enumerate(done) if is_done)
    committed = ledger.to_commit()
    assert len(committed.metadata) <= 4_000
    later = ledger_of(committed, Bounds(0, first + len(done), TOPIC))
    for place, is_done in enumerate(done):
        assert is_done or not later.is_done(first + place)


@given(st.lists(st.booleans(), max_size=400))
def test_a_few_hundred_waiting_records_repeat_nothing(done: list[bool]) -> None:
    """As long as the metadata suffice, the next owner repeats no record that is done."""
    ledger = DeliveryLedger(7)
    for place in range(len(done)):
        ledger.open(7 + place)
    ledger.done(7 + place for place, is_done in enumerate(done) if is_done)
    later = ledger_of(ledger.to_commit(), Bounds(0, 7 + len(done)))
    assert [later.is_done(7 + place) for place in range(len(done))] == done
