"""The line table's ids: stable, bounded, and never taken from a line that a window still refers to."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from logwarden.model.lines import OVERFLOW, PADDING, LineTable
from logwarden.model.masking import canonical, line_hash
from tests.oracles import TableSpy, embed


class Lookups:
    """A table, and the ids that are alive whenever it is asked."""

    def __init__(self, table: LineTable, live: list[int]) -> None:
        self._table, self._live = table, live

    def lookup(self, keys: list[bytes]) -> tuple[np.ndarray, np.ndarray]:
        return self._table.lookup(keys, lambda: np.array(self._live, np.int32))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._table, name)

    def __len__(self) -> int:
        return len(self._table)


def table_of(rows: int, live: list[int] | None = None) -> tuple[Lookups, TableSpy]:
    """A table whose lookups know of the ids in `live`, which the test may change as it goes."""
    spy, alive = TableSpy(), [] if live is None else live
    return Lookups(spy.table(rows), alive), spy


def keys(text: str) -> list[bytes]:
    return [word.encode() for word in text.split()]


def test_a_line_keeps_its_id_and_is_embedded_once() -> None:
    """The same masked line gets the same row in every batch; what a row holds is its text's embedding."""
    table, spy = table_of(10)
    first, hashes = table.lookup(keys("a b a c"))
    assert first[0] == first[2]
    assert len({*first.tolist(), PADDING, OVERFLOW}) == 5
    again, same = table.lookup(keys("c b a"))
    assert (again.tolist(), same.tolist()) == (first[[3, 1, 0]].tolist(), hashes[[3, 1, 0]].tolist())
    assert spy.encoded == ["a", "b", "c"]
    assert hashes.tolist() == [line_hash(text) for text in "abac"]
    for row in set(first.tolist()):
        np.testing.assert_array_equal(spy.rows[row], embed([table.text(row)])[0])
        np.testing.assert_array_equal(table.embeddings(np.array([row])), embed([table.text(row)]))


def test_two_forms_of_one_text_share_a_row() -> None:
    """The second level of masking decides what a line is; its exact bytes are only a short cut."""
    one, other = b"up since * * * now", b"up since */*/* now"
    assert canonical(one) == canonical(other)
    table, spy = table_of(10)
    ids, _ = table.lookup([one, other])
    assert ids[0] == ids[1]
    assert len(spy.encoded) == 1


def test_the_rows_longest_unused_are_given_up() -> None:
    """When the table is full a new line takes the place of one that nobody has said for long."""
    table, spy = table_of(6)
    table.lookup(keys("a b c d"))
    table.lookup(keys("a c d"))
    ids, _ = table.lookup(keys("e"))
    assert table.text(int(ids[0])) == "e"
    assert table.counts.evicted == 1
    table.lookup(keys("a c d"))
    assert spy.encoded == ["a", "b", "c", "d", "e"]  # b alone went
    assert table.known(np.array([line_hash("b"), line_hash("c")])).tolist() == table.lookup(keys("c"))[0].tolist()
    table.lookup(keys("b"))
    assert spy.encoded[-1] == "b"


def test_a_quarter_of_the_table_is_evicted_at_once() -> None:
    """The choice of victims costs a scan of the table, so one of them pays for many new lines."""
    table, _ = table_of(22)
    table.lookup(keys("a b c d e f g h i j k l m n o p q r s t"))
    table.lookup(keys("u"))
    assert (table.counts.evicted, len(table)) == (5, 16)


def test_a_line_in_a_live_window_is_never_given_up() -> None:
    """A row that a ring or an unscored window refers to keeps its text and its embedding, however long unused."""
    live: list[int] = []
    table, spy = table_of(6, live)
    old, _ = table.lookup(keys("a b"))
    live += old.tolist()
    table.lookup(keys("c d"))
    for word in ("e", "f", "g", "h"):
        table.lookup(keys(word))
        assert [table.text(row) for row in old.tolist()] == ["a", "b"]
    np.testing.assert_array_equal(table.embeddings(old.astype(np.int64)), embed(["a", "b"]))
    assert spy.encoded == ["a", "b", "c", "d", "e", "f", "g", "h"]
    assert table.counts.overflowed == 0


def test_a_line_of_the_batch_at_hand_is_never_given_up() -> None:
    """New lines do not push out the lines that came beside them, known by their bytes or by their text."""
    table, _ = table_of(6)
    table.lookup([b"up * * now", b"b", b"c", b"d"])
    ids, _ = table.lookup([b"b", b"up */* now", b"x", b"y"])
    assert [table.text(row) for row in ids.tolist()] == ["b", "up * now", "x", "y"]


def test_a_full_table_of_live_lines_overflows_and_says_so() -> None:
    """A line without a row gets the row that knows nothing, but keeps its own hash, so its history is kept."""
    live: list[int] = []
    table, spy = table_of(5, live)
    live += table.lookup(keys("a b c"))[0].tolist()
    ids, hashes = table.lookup(keys("d a d"))
    assert ids.tolist() == [OVERFLOW, live[0], OVERFLOW]
    assert hashes.tolist() == [line_hash("d"), line_hash("a"), line_hash("d")]
    assert table.counts.overflowed == 2
    assert table.text(OVERFLOW) == table.text(PADDING) == ""
    assert not table.embeddings(np.array([OVERFLOW, PADDING])).any()
    assert spy.encoded == ["a", "b", "c"]
    live.clear()  # its windows are scored: now there is room
    assert table.lookup(keys("d"))[0].tolist() != [OVERFLOW]


def test_more_new_lines_than_rows_fill_the_table_and_overflow() -> None:
    """One batch may bring more lines than the table holds; the first ones get the rows."""
    table, _ = table_of(5)
    ids, hashes = table.lookup(keys("a b c d e d"))
    assert [table.text(row) for row in ids.tolist()] == ["a", "b", "c", "", "", ""]
    assert hashes.tolist() == [line_hash(text) for text in "abcded"]
    assert (len(table), table.counts.overflowed, table.counts.embedded) == (3, 3, 3)


def test_endless_forms_of_one_text_do_not_fill_the_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """Bytes that all stand for one text are forgotten when they are too many; the text keeps its row."""
    monkeypatch.setattr("logwarden.model.lines._KEYS_PER_ROW", 1)
    table, spy = table_of(5)
    rows = {int(table.lookup([b"up since *" + b" *" * stars + b" now"])[0][0]) for stars in range(40)}
    assert len(rows) == len(spy.encoded) == 1
    assert len(table._by_key) <= 6


def test_a_table_needs_a_row_for_a_line() -> None:
    """Two rows are reserved, so a table of two could hold nothing."""
    with pytest.raises(ValueError, match="more than 2 rows"):
        table_of(2)


def test_long_keys_are_kept_as_digests() -> None:
    """Lines of eight kilobytes with one beginning are one text: their forms must not fill the memory, and are found."""
    spy = TableSpy()
    table = spy.table(64)
    keys = [
        b"select " + b"column " * 140 + bytes([97 + number % 26]) * (number + 1) + b"x" * 7_000 for number in range(50)
    ]
    ids, _ = table.lookup(keys, lambda: np.zeros(0, np.int32))
    assert len(set(ids.tolist())) == 1
    assert sum(map(len, table._by_key)) < 50 * 40
    assert all(key in table for key in keys)
    again, _ = table.lookup(keys, lambda: np.zeros(0, np.int32))
    assert again.tolist() == ids.tolist()
    assert table.counts.embedded == 1


def test_unknown_keys_are_those_that_would_be_embedded() -> None:
    """A new form of a known text costs nothing, so it is no new line, and is remembered."""
    spy = TableSpy()
    table = spy.table(64)
    table.lookup([b"user * logged in"], lambda: np.zeros(0, np.int32))
    forms = [b"user * logged in", b"disk full", b"user *  logged in", b"disk full"]
    assert canonical(forms[2]) == canonical(forms[0])
    assert table.unknown(forms) == [1, 3]
    assert forms[2] in table
    assert b"disk full" not in table
    assert table.counts.embedded == 1
