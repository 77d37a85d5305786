"""The line table's ids: stable, bounded, and never taken from a line that a window still refers to."""

from __future__ import annotations

import numpy as np
import pytest
from logwarden.model.lines import OVERFLOW, PADDING, LineIndex
from logwarden.model.masking import canonical, line_hash

from tests.oracles import TableSpy, embed


def index_of(rows: int, live: list[int] | None = None) -> tuple[LineIndex, TableSpy]:
    """`live` is looked at when rows run out; the test may change it as it goes."""
    spy, alive = TableSpy(), [] if live is None else live
    return LineIndex(rows, spy.encode, spy.store, lambda: np.array(alive, np.int32)), spy


def keys(text: str) -> list[bytes]:
    return [word.encode() for word in text.split()]


def test_a_line_keeps_its_id_and_is_embedded_once() -> None:
    """The same masked line gets the same row in every batch; what a row holds is its text's embedding."""
    index, spy = index_of(10)
    first, hashes = index.lookup(keys("a b a c"))
    assert first[0] == first[2]
    assert len({*first.tolist(), PADDING, OVERFLOW}) == 5
    again, same = index.lookup(keys("c b a"))
    assert (again.tolist(), same.tolist()) == (first[[3, 1, 0]].tolist(), hashes[[3, 1, 0]].tolist())
    assert spy.encoded == ["a", "b", "c"]
    assert hashes.tolist() == [line_hash(text) for text in "abac"]
    for row in set(first.tolist()):
        np.testing.assert_array_equal(spy.rows[row], embed([index.text(row)])[0])
        np.testing.assert_array_equal(index.embeddings(np.array([row])), embed([index.text(row)]))


def test_two_forms_of_one_text_share_a_row() -> None:
    """The second level of masking decides what a line is; its exact bytes are only a short cut."""
    one, other = b"up since * * * now", b"up since */*/* now"
    assert canonical(one) == canonical(other)
    index, spy = index_of(10)
    ids, _ = index.lookup([one, other])
    assert ids[0] == ids[1]
    assert len(spy.encoded) == 1


def test_the_rows_longest_unused_are_given_up() -> None:
    """When the table is full a new line takes the place of one that nobody has said for long."""
    index, spy = index_of(6)
    index.lookup(keys("a b c d"))
    index.lookup(keys("a c d"))
    ids, _ = index.lookup(keys("e"))
    assert index.text(int(ids[0])) == "e"
    assert index.counts.evicted == 1
    index.lookup(keys("a c d"))
    assert spy.encoded == ["a", "b", "c", "d", "e"]  # b alone went
    assert index.known(np.array([line_hash("b"), line_hash("c")])).tolist() == index.lookup(keys("c"))[0].tolist()
    index.lookup(keys("b"))
    assert spy.encoded[-1] == "b"


def test_a_line_in_a_live_window_is_never_given_up() -> None:
    """A row that a ring or an unscored window refers to keeps its text and its embedding, however long unused."""
    live: list[int] = []
    index, spy = index_of(6, live)
    old, _ = index.lookup(keys("a b"))
    live += old.tolist()
    index.lookup(keys("c d"))
    for word in ("e", "f", "g", "h"):
        index.lookup(keys(word))
        assert [index.text(row) for row in old.tolist()] == ["a", "b"]
    np.testing.assert_array_equal(index.embeddings(old.astype(np.int64)), embed(["a", "b"]))
    assert spy.encoded == ["a", "b", "c", "d", "e", "f", "g", "h"]
    assert index.counts.overflowed == 0


def test_a_line_of_the_batch_at_hand_is_never_given_up() -> None:
    """New lines do not push out the lines that came beside them, known by their bytes or by their text."""
    index, _ = index_of(6)
    index.lookup([b"up * * now", b"b", b"c", b"d"])
    ids, _ = index.lookup([b"b", b"up */* now", b"x", b"y"])
    assert [index.text(row) for row in ids.tolist()] == ["b", "up * now", "x", "y"]


def test_a_full_table_of_live_lines_overflows_and_says_so() -> None:
    """A line without a row gets the row that knows nothing, but keeps its own hash, so its history is kept."""
    live: list[int] = []
    index, spy = index_of(5, live)
    live += index.lookup(keys("a b c"))[0].tolist()
    ids, hashes = index.lookup(keys("d a d"))
    assert ids.tolist() == [OVERFLOW, live[0], OVERFLOW]
    assert hashes.tolist() == [line_hash("d"), line_hash("a"), line_hash("d")]
    assert index.counts.overflowed == 2
    assert index.text(OVERFLOW) == index.text(PADDING) == ""
    assert not index.embeddings(np.array([OVERFLOW, PADDING])).any()
    assert spy.encoded == ["a", "b", "c"]
    live.clear()  # its windows are scored: now there is room
    assert index.lookup(keys("d"))[0].tolist() != [OVERFLOW]


def test_more_new_lines_than_rows_fill_the_table_and_overflow() -> None:
    """One batch may bring more lines than the table holds; the first ones get the rows."""
    index, _ = index_of(5)
    ids, hashes = index.lookup(keys("a b c d e d"))
    assert [index.text(row) for row in ids.tolist()] == ["a", "b", "c", "", "", ""]
    assert hashes.tolist() == [line_hash(text) for text in "abcded"]
    assert (len(index), index.counts.overflowed, index.counts.embedded) == (3, 3, 3)


def test_a_table_needs_a_row_for_a_line() -> None:
    """Two rows are reserved, so a table of two could hold nothing."""
    with pytest.raises(ValueError, match="more than 2 rows"):
        index_of(2)
