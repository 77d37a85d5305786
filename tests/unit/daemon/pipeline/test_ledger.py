"""Examples of the offset to commit, and of foreign metadata in a commit."""

from __future__ import annotations

import json

import numpy as np
import pytest

from logwarden.daemon.pipeline.ledger import (
    PartitionLedger,
    decode_metadata,
    decode_topic,
    encode_metadata,
)
from logwarden.daemon.records import Committed


def opened(offsets: list[int], lines: list[int] | None = None, *, score_from: int = 0) -> PartitionLedger:
    ledger = PartitionLedger(score_from, score_from)
    ledger.open(np.array(offsets))
    if lines:
        ledger.grow(np.array(offsets), np.array(lines))
    return ledger


def test_the_position_is_the_lowest_line_not_done() -> None:
    """Lines done beyond a gap are not committed before the gap is closed."""
    ledger = opened([0, 1, 2, 3])
    ledger.done(np.array([1, 3]))
    assert (ledger.position(), ledger.outstanding) == (0, 2)
    ledger.done(np.array([0]))
    assert ledger.position() == 2
    ledger.done(np.array([2]))
    assert (ledger.position(), ledger.outstanding) == (4, 0)


def test_offsets_may_have_gaps() -> None:
    """Compaction and transactions leave gaps: the position does not wait for an offset without a record."""
    ledger = opened([10, 13, 20], score_from=7)
    assert ledger.position() == 10
    ledger.done(np.array([10]))
    assert ledger.position() == 13
    ledger.done(np.array([20, 13]))
    assert ledger.position() == 21


def test_a_record_is_done_with_its_last_line() -> None:
    """The position stays before a record of three lines until all three are done."""
    ledger = opened([5, 6], [3, 1])
    ledger.done(np.array([5, 6, 5]))
    assert (ledger.position(), ledger.outstanding) == (5, 1)
    ledger.done(np.array([5]))
    assert ledger.position() == 7


def test_a_record_grows_to_its_lines_once_it_is_decoded() -> None:
    """A record counts as one line before decoding, and as its number of lines afterwards, beside other batches too."""
    ledger = opened([5, 6])
    ledger.open(np.array([7, 8]))
    assert ledger.outstanding == 4
    ledger.grow(np.array([6, 8]), np.array([500, 2]))
    assert ledger.outstanding == 504
    ledger.done(np.array([5, 7, 8, *[6] * 499]))
    assert (ledger.position(), ledger.outstanding) == (6, 2)
    ledger.done(np.array([8, 6]))
    assert (ledger.position(), ledger.outstanding) == (9, 0)


def test_a_record_that_is_done_does_not_grow() -> None:
    """A position that passed a record must not return to it."""
    ledger = opened([5, 6])
    ledger.done(np.array([5]))
    with pytest.raises(AssertionError, match="only open records change"):
        ledger.grow(np.array([5]), np.array([2]))


def test_before_any_record_the_position_is_where_scoring_begins() -> None:
    """A partition without traffic is caught up, not at zero."""
    ledger = PartitionLedger(42, 30)
    assert ledger.position() == 42
    assert ledger.to_commit(1000) == Committed(42, encode_metadata(30))
    ledger.done(np.array([], np.int64))  # no line is done, so there is nothing to commit


def test_batches_of_records_are_done_in_any_order() -> None:
    """A later batch may be scored first; the position waits for the earlier one."""
    ledger = opened([0, 1])
    ledger.open(np.array([2, 3]))
    ledger.done(np.array([3, 2]))
    assert ledger.position() == 0
    ledger.done(np.array([0, 1]))
    assert ledger.position() == 4


@pytest.mark.parametrize(
    ("offsets", "reason"), [([2], "open"), ([9], "open"), ([0, 0], "once"), ([1, 1, 1], "once"), ([-1], "open")]
)
def test_our_own_mistakes_are_noticed(offsets: list[int], reason: str) -> None:
    """A line is done once, and only if it was opened: a mistake here would commit an unscored line."""
    ledger = opened([0, 1, 3], [1, 2, 1])
    with pytest.raises(AssertionError, match=reason):
        ledger.done(np.array(offsets))


def test_records_come_in_order_and_once() -> None:
    """A record that was fetched twice would be counted twice."""
    ledger = opened([0, 1])
    with pytest.raises(AssertionError, match="in order and once"):
        ledger.open(np.array([1]))


def test_the_context_is_that_of_the_position() -> None:
    """The metadata names the oldest line of the windows from the position on, not that of the newest batch."""
    ledger = PartitionLedger(100, 90)
    ledger.open(np.arange(100, 110))
    ledger.note_context(100, 95)
    ledger.open(np.arange(110, 120))
    ledger.note_context(110, 104)
    ledger.done(np.arange(100, 109))
    assert ledger.to_commit(1000) == Committed(109, encode_metadata(95))
    ledger.done(np.array([109]))
    assert ledger.to_commit(1000) == Committed(110, encode_metadata(104))


def test_the_context_is_bounded() -> None:
    """A quiet service does not make the next owner read the whole partition again."""
    ledger = PartitionLedger(100, 0)
    assert ledger.to_commit(30) == Committed(100, encode_metadata(70))
    assert ledger.to_commit(0) == Committed(100, encode_metadata(100))


@pytest.mark.parametrize("context", [0, 7, 2**63 - 1])
def test_metadata_goes_through_the_broker(context: int) -> None:
    """The next owner reads the metadata that the last owner wrote, far below the broker's limit."""
    assert decode_metadata(encode_metadata(context)) == context
    assert len(encode_metadata(context)) < 100


def test_metadata_name_the_topic_where_it_is_known() -> None:
    """Earlier releases read the same context, and commits of theirs name no topic."""
    topic = "k6OML180SvSr3xgJMymFKQ/DZbJUmpfREqInm0_5nS0TQ"
    ledger = PartitionLedger(100, 90, topic)
    metadata = ledger.to_commit(1_000).metadata
    assert json.loads(metadata) == {"v": 1, "context": 90, "topic": topic}
    assert (decode_metadata(metadata), decode_topic(metadata)) == (90, topic)
    assert len(encode_metadata(2**63 - 1, topic)) < 200
    assert encode_metadata(90) == '{"v":1,"context":90}'
    for foreign in (encode_metadata(90), '{"v":1,"topic":7}', '{"v":2,"topic":"x"}', "x", "[" * 4000):
        assert decode_topic(foreign) == ""


@pytest.mark.parametrize(
    "metadata",
    [
        "",
        "null",
        "7",
        "[]",
        "{}",
        '"context"',
        "a consumer of ours",
        '{"v":1}',
        '{"v":2,"context":5}',
        '{"context":5}',
        '{"v":1,"context":-1}',
        '{"v":1,"context":"5"}',
        '{"v":1,"context":5.5}',
        '{"v":1,"context":null}',
        '{"v":1,"context":true}',
        '{"v":1,"context":NaN}',
        '{"v":1,"context":5',
        "[" * 4000,
        '{"v":1,"context":' + "9" * 5000 + "}",
    ],
)
def test_metadata_of_others_is_none_of_ours(metadata: str) -> None:
    """Metadata that another tool committed for the group is ignored, whatever it contains."""
    assert decode_metadata(metadata) is None


def test_a_stuck_line_costs_no_memory() -> None:
    """An alert that cannot be delivered for a day holds the position, and a million lines behind it leave no trace."""
    ledger = opened([0])
    for first in range(1, 1_000_000, 500):
        offsets = np.arange(first, first + 500)
        ledger.open(offsets)
        ledger.note_context(first, first - 32)
        ledger.done(offsets)
    assert (ledger.position(), ledger.outstanding) == (0, 1)
    assert len(ledger._spans) == 1
    assert len(ledger._contexts) <= 256
    ledger.done(np.array([0]))
    assert ledger.position() == 1_000_001
    assert 999_000 < (decode_metadata(ledger.to_commit(10**9).metadata) or 0) < 1_000_000


def test_lines_stuck_in_every_fetch_keep_only_themselves() -> None:
    """A fetch with one undone line keeps that line, not the arrays of its 500 records."""
    ledger = PartitionLedger(0, 0)
    for first in range(0, 50_000, 500):
        ledger.open(np.arange(first, first + 500))
        ledger.done(np.arange(first + 1, first + 500))
    assert ledger.outstanding == len(ledger._spans) == sum(len(span.offsets) for span in ledger._spans) == 100


def test_offsets_without_records_are_passed() -> None:
    """A transaction's marker or a compacted record leaves no lag, once everything before it is done."""
    ledger = opened([3, 4])
    ledger.passed(9)
    assert ledger.position() == 3
    ledger.done(np.array([3, 4]))
    assert ledger.position() == 9
    ledger.passed(7)
    assert ledger.position() == 9
