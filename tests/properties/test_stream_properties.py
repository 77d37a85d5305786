"""Lines that are replayed behind a snapshot are not counted twice."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from logwarden.model.history import History
from logwarden.model.masking import canonical
from logwarden.model.stream import LogStream
from logwarden.model.windowing import WindowBatch
from tests.oracles import NaiveHistory, TableSpy, log_lines, plain_state

SLOTS = 3
WORDS = [chr(ord("a") + i) * 3 for i in range(12)]
LINES = st.lists(st.tuples(st.integers(0, SLOTS - 1), st.sampled_from(WORDS)), min_size=1, max_size=40)
CUTS = st.lists(st.integers(1, 9), min_size=1, max_size=8)


def stream_of(**bounds: int) -> LogStream:
    """A stream whose table has met every word, as a table of a running process or one from a cache has."""
    stream = LogStream(TableSpy().table(), size=4, max_slots=SLOTS, **bounds)
    stream.table.lookup([word.encode() for word in WORDS], lambda: np.zeros(0, np.int32))
    return stream


def state_of(history: History) -> list[str]:
    return [plain_state(history, slot) for slot in range(SLOTS)]


def parts(count: int, cuts: list[int]) -> list[slice]:
    """Slices over `count` lines; the cuts are repeated until they suffice."""
    found: list[slice] = []
    start = 0
    while start < count:
        end = min(count, start + cuts[len(found) % len(cuts)])
        found.append(slice(start, end))
        start = end
    return found


def push(stream: LogStream, lines: list[tuple[int, str]], first: int, counted: np.ndarray | None = None) -> WindowBatch:
    columns = log_lines([word for _, word in lines], [slot for slot, _ in lines], first)
    batch = stream.push(columns, counted=counted)
    stream.scored()
    return batch


def measured(batches: list[WindowBatch]) -> dict[int, tuple[float, float, float]]:
    """Offset → what the history measured of the line there."""
    return {
        int(offset): (float(count), float(age), float(distance))
        for batch in batches
        for offset, count, age, distance in zip(
            *(batch.newest(name) for name in ("offset", "log_count", "log_age", "distance")), strict=True
        )
    }


@given(LINES, CUTS, CUTS, st.integers(0, 40), st.integers(0, 12))
def test_replayed_lines_are_not_counted_twice(
    lines: list[tuple[int, str]], cuts: list[int], others: list[int], contained: int, replayed: int
) -> None:
    """After a restart every later line is measured as it would have been without one, wherever the replay began."""
    whole, before, after = stream_of(), stream_of(), stream_of()
    expected = [push(whole, lines[part], part.start) for part in parts(len(lines), cuts)]
    contained = min(contained, len(lines))
    for part in parts(contained, cuts):
        push(before, lines[part], part.start)
    for slot in range(SLOTS):
        after.history.put(slot, before.history.take(slot))
    start = max(0, contained - replayed)
    found = []
    for part in parts(len(lines) - start, others):
        places = np.arange(len(lines))[start:][part]
        part_lines = [lines[place] for place in places.tolist()]
        found.append(push(after, part_lines, int(places[0]), places >= contained))
    later = {offset: values for offset, values in measured(expected).items() if offset >= contained}
    again = {offset: values for offset, values in measured(found).items() if offset >= contained}
    assert later.keys() == again.keys()
    for offset, values in later.items():
        np.testing.assert_allclose(again[offset], values, atol=1e-4)  # a snapshot has four digits of a distance
    assert state_of(after.history) == state_of(whole.history)


@given(st.lists(st.tuples(st.integers(0, SLOTS - 1), st.sampled_from(WORDS), st.booleans()), min_size=1), CUTS)
def test_a_line_that_is_not_counted_leaves_no_trace(lines: list[tuple[int, str, bool]], cuts: list[int]) -> None:
    """Counted and uncounted lines in any order and cut are measured as by a dictionary of the counted ones."""
    stream, naive = stream_of(), NaiveHistory()
    texts = {word: index for index, word in enumerate(canonical(word.encode()) for word in WORDS)}
    found: dict[int, tuple[float, float, float]] = {}
    expected: dict[int, tuple[float, float]] = {}
    for part in parts(len(lines), cuts):
        batch = lines[part]
        counted = np.array([count for _, _, count in batch])
        found |= measured([push(stream, [(slot, word) for slot, word, _ in batch], part.start, counted)])
        for offset, (slot, word, count) in enumerate(batch, part.start):
            line = texts[word]
            if count:
                times, age, _ = naive.observe(slot, line)
            else:  # as the newest line that was counted, without itself
                times, age = max(0, naive.count[slot, line] - 1), max(0, naive.age[slot] - 1)
            expected[offset] = (np.log2(1 + times), np.log2(1 + age))
    for offset, (log_count, log_age) in expected.items():
        np.testing.assert_allclose(found[offset][:2], (log_count, log_age), rtol=1e-6)
