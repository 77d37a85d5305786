"""Windows keep their lines, whatever a small line table evicts."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from logwarden.model.lines import OVERFLOW
from logwarden.model.masking import line_hash
from logwarden.model.stream import LogStream
from tests.oracles import TableSpy, embed, log_lines

WORDS = [chr(ord("a") + i) * 3 for i in range(14)]
BATCHES = st.lists(st.lists(st.sampled_from(WORDS), min_size=1, max_size=6), min_size=1, max_size=12)


@given(st.integers(3, 12), BATCHES)
def test_an_id_always_stands_for_its_text(rows: int, batches: list[list[str]]) -> None:
    """A looked-up line's row contains its text, hash and embedding, or is the overflow, whatever was evicted."""
    spy = TableSpy()
    table = spy.table(rows)
    for batch in batches:
        ids, hashes = table.lookup([word.encode() for word in batch], lambda: np.zeros(0, np.int32))
        assert hashes.tolist() == [line_hash(word) for word in batch]
        for line_id, word in zip(ids.tolist(), batch, strict=True):
            if line_id != OVERFLOW:
                assert table.text(line_id) == word
                np.testing.assert_array_equal(spy.rows[line_id], embed([word])[0])
        assert len(table) <= rows - 2
        if len(set(batch)) <= rows - 2:
            assert OVERFLOW not in ids


@given(st.integers(6, 20), st.integers(1, 3), BATCHES, st.integers(0, 3))
def test_no_window_ever_loses_a_line(rows: int, step: int, batches: list[list[str]], unscored: int) -> None:
    """Every id in rings and unscored batches leads to the pushed line, or to the overflow."""
    spy, offset = TableSpy(), 0
    stream = LogStream(spy.table(rows), size=3, step=step, max_slots=2)
    waiting = []
    for number, batch in enumerate(batches):
        lines = log_lines(batch, [number % 2] * len(batch), offset)
        offset += len(batch)
        waiting.append(stream.push(lines))
        while len(waiting) > unscored:
            windows = waiting.pop(0)
            for texts, ids in zip(windows.windows("text").ravel(), windows.windows("id").ravel(), strict=True):
                if ids > OVERFLOW:
                    assert stream.table.text(int(ids)) == texts.decode()
                    np.testing.assert_array_equal(spy.rows[int(ids)], embed([texts.decode()])[0])
            stream.scored()
