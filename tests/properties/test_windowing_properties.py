"""The windows of a stream are those of one deque per service, whatever its batches."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from logwarden.model.windowing import WindowRings
from tests.oracles import NaiveRings, push, windows_of

SLOTS = 4
BATCHES = st.lists(st.lists(st.integers(0, SLOTS - 1), min_size=1, max_size=9), min_size=1, max_size=9)
SIZES = st.integers(1, 5)


@given(SIZES, BATCHES)
def test_rings_are_deques(size: int, batches: list[list[int]]) -> None:
    """Every batch gives the windows of the naive rings, and the same oldest line of the next windows."""
    rings, naive = WindowRings(size, SLOTS), NaiveRings(size)
    offset = 0
    for slots in batches:
        offsets = list(range(offset, offset + len(slots)))
        offset += len(slots)
        assert windows_of(push(rings, slots, offsets)) == naive.push(slots, offsets)
        needed = [naive.oldest(slot) for slot in range(SLOTS) if size > 1]  # a window of one line needs none before it
        assert rings.oldest_offsets(np.arange(SLOTS)).tolist() == [o for o in needed if o is not None]


@given(SIZES, BATCHES)
def test_windows_do_not_depend_on_how_the_stream_was_cut(size: int, batches: list[list[int]]) -> None:
    """At step 1, a replay in other batches makes the same windows with the same newest lines."""
    cut, whole = WindowRings(size, SLOTS), WindowRings(size, SLOTS)
    offset, windows = 0, []
    for slots in batches:
        windows += windows_of(push(cut, slots, list(range(offset, offset + len(slots)))))
        offset += len(slots)
    assert sorted(windows) == windows_of(
        push(whole, [slot for slots in batches for slot in slots], list(range(offset)))
    )


ACTIONS = st.lists(
    st.one_of(
        st.tuples(st.just("push"), st.lists(st.integers(0, SLOTS - 1), min_size=1, max_size=9)),
        st.tuples(st.just("flush"), st.lists(st.integers(0, SLOTS - 1), max_size=SLOTS, unique=True)),
        st.tuples(st.just("clear"), st.lists(st.integers(0, SLOTS - 1), max_size=SLOTS, unique=True)),
    ),
    max_size=12,
)


@given(st.integers(1, 5), st.integers(0, 4), ACTIONS)
def test_every_line_is_fresh_exactly_once(step: int, more: int, actions: list[tuple[str, list[int]]]) -> None:
    """Each line is new in one window, whether its step is full, flushed, or its slot evicted and reused."""
    rings, naive = WindowRings(step + more, SLOTS, step=step), NaiveRings(step + more, step)
    offset, fresh = 0, []
    for action, slots in [*actions, ("flush", list(range(SLOTS)))]:
        if action == "push":
            offsets = list(range(offset, offset + len(slots)))
            offset += len(slots)
            batch, expected = push(rings, slots, offsets), naive.push(slots, offsets)
        else:
            batch, expected = rings.flush(np.array(slots, np.int64)), naive.flush(slots)
        if action == "clear":
            rings.clear(np.array(slots, np.int64))
            naive.clear(slots)
        assert windows_of(batch) == expected
        fresh += batch.columns["offset"][batch.fresh_lines()[0]].tolist()
    assert sorted(fresh) == list(range(offset))


@given(st.integers(2, 4), st.lists(st.tuples(st.integers(0, 2), st.integers(0, SLOTS - 1)), min_size=1, max_size=20))
def test_a_slot_waits_since_its_oldest_unjudged_line(step: int, arrivals: list[tuple[int, int]]) -> None:
    """`waiting` names exactly the slots whose oldest pending line arrived at or before the given time."""
    rings = WindowRings(4, SLOTS, step=step)
    pending: dict[int, list[int]] = {slot: [] for slot in range(SLOTS)}
    now = 0
    for offset, (later, slot) in enumerate(arrivals):
        now += later
        push(rings, [slot], [offset], now=float(now))
        pending[slot] = [*pending[slot], now] if len(pending[slot]) + 1 < step else []
        for before in (now - 2, now - 1, now, float("inf")):
            expected = [s for s, came in pending.items() if came and came[0] <= before]
            assert rings.waiting(before).tolist() == expected
