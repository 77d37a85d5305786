"""Rings and windows by example: growing, sliding, waiting, cleared."""

from __future__ import annotations

import numpy as np
import pytest

from logwarden.model.windowing import NUMERIC_COLUMNS, WindowRings, concatenate
from tests.oracles import push, windows_of


def test_every_line_ends_a_window_of_the_lines_before_it() -> None:
    """Windows grow to their size, then slide; services do not see each other's lines."""
    rings = WindowRings(3, 2)
    assert windows_of(push(rings, [0, 1, 0, 0], [10, 11, 12, 13])) == [
        (0, [10], 1),
        (0, [10, 12], 1),
        (0, [10, 12, 13], 1),
        (1, [11], 1),
    ]
    assert windows_of(push(rings, [1, 0], [14, 15])) == [(0, [12, 13, 15], 1), (1, [11, 14], 1)]


def test_a_place_without_a_line_is_padding() -> None:
    """Before a service's first line a window holds id 0, the row of the line table that says nothing."""
    batch = push(WindowRings(4, 1), [0, 0], [7, 8])
    assert batch.windows("id").tolist() == [[0, 0, 0, 8], [0, 0, 8, 9]]
    assert batch.newest("text").tolist() == [b"line 7", b"line 8"]


def test_a_step_waits_until_it_is_full_or_flushed() -> None:
    """With step 3 the third new line makes a window; what waits longer than it may is judged with fewer."""
    rings = WindowRings(4, 2, step=3)
    assert windows_of(push(rings, [0, 0, 1], [0, 1, 2], now=10.0)) == []
    assert rings.waiting(9.9).tolist() == []
    assert rings.waiting(10.0).tolist() == [0, 1]
    assert windows_of(push(rings, [0, 0], [3, 4], now=11.0)) == [(0, [0, 1, 3], 3)]
    assert rings.waiting(10.5).tolist() == [1]  # slot 0 waits anew, since its second batch
    assert rings.waiting(11.0).tolist() == [0, 1]
    assert windows_of(rings.flush(np.array([0, 1]))) == [(0, [0, 1, 3, 4], 1), (1, [2], 1)]
    assert rings.waiting(np.inf).tolist() == []
    assert len(rings.flush(np.array([0, 1]))) == 0


def test_lines_that_fill_a_step_exactly_leave_nothing_waiting() -> None:
    """The clock of a slot stops when its last new line is judged."""
    rings = WindowRings(4, 1, step=2)
    push(rings, [0], [0], now=1.0)
    push(rings, [0], [1], now=2.0)
    assert rings.waiting(100.0).tolist() == []


def test_a_cleared_slot_begins_anew() -> None:
    """The next service in a slot sees nothing of the one before, not even what was pending."""
    rings = WindowRings(3, 2, step=2)
    push(rings, [0, 0, 0, 1], [0, 1, 2, 3])
    rings.clear(np.array([0]))
    assert rings.waiting(np.inf).tolist() == [1]
    assert rings.oldest_offsets(np.array([0])).tolist() == []
    assert windows_of(push(rings, [0, 0], [4, 5])) == [(0, [4, 5], 2)]


def test_the_ids_of_all_rings_are_alive() -> None:
    """Whatever a later window can refer to is among the ids that keep their row of the line table."""
    rings = WindowRings(2, 3)
    push(rings, [0, 0, 0, 2], [0, 1, 2, 3])
    assert set(rings.live_ids(3).tolist()) - {0} == {2, 3, 4}


def test_fresh_lines_name_their_window() -> None:
    """A flushed window judges its pending lines and no other; each fresh line is found by its place."""
    rings = WindowRings(3, 2, step=3)
    push(rings, [0, 0, 1], [0, 1, 2])
    batch = rings.flush(np.array([0, 1]))
    places, window = batch.fresh_lines()
    assert sorted(zip(window.tolist(), batch.columns["offset"][places].tolist(), strict=True)) == [
        (0, 0),
        (0, 1),
        (1, 2),
    ]


def test_batches_joined_and_cut_keep_their_windows() -> None:
    """Joining batches and picking windows out of them changes no window; an empty batch is nothing added."""
    rings = WindowRings(3, 2, step=2)
    parts = [push(rings, [0, 0, 1], [0, 1, 2]), push(rings, [1, 0, 0], [3, 4, 5]), rings.flush(np.array([0, 1]))]
    assert len(parts[2]) == 0
    everything = [window for part in parts for window in windows_of(part)]
    joined = concatenate(parts)
    assert windows_of(joined) == everything
    assert windows_of(concatenate(parts[:1])) == windows_of(parts[0])
    assert windows_of(joined.select(np.array([2, 0]))) == [everything[2], everything[0]]
    assert windows_of(joined.select(joined.slots == 1)) == [window for window in everything if window[0] == 1]
    for name in NUMERIC_COLUMNS:
        np.testing.assert_array_equal(joined.newest(name), np.concatenate([part.newest(name) for part in parts]))


@pytest.mark.parametrize("step", [0, 5])
def test_a_step_beyond_the_window_would_leave_lines_unjudged(step: int) -> None:
    """A step must lie between 1 and the size, or lines would fall between two windows."""
    with pytest.raises(ValueError, match="between 1 and the window size 4"):
        WindowRings(4, 1, step=step)


def test_no_windows_have_the_shape_of_windows() -> None:
    """A batch in which no window is due can be stacked, gathered and scored like any other."""
    batch = push(WindowRings(4, 2, step=3), [0, 1], [7, 8])
    assert len(batch) == 0
    assert batch.windows("offset").shape == batch.windows("text").shape == (0, 4)
    assert batch.newest("offset").tolist() == []
