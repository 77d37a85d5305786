"""Timed events and the batches that they must make."""

from __future__ import annotations

import pytest

from logwarden.daemon.pipeline.batcher import Batcher


def batcher() -> Batcher[str]:
    """Returns a batcher of words: a word is a piece of work with a window per letter."""
    return Batcher(max_windows=4, max_delay_s=0.5)


@pytest.mark.parametrize(
    ("events", "batches"),
    [
        # (time, the work that arrived, or None to check for a due batch)
        ([(0.0, "a"), (0.4, None), (0.5, None)], [[], ["a"]]),
        ([(0.0, "aa"), (0.1, "bb"), (0.1, None)], [["aa", "bb"]]),
        ([(0.0, "aaa"), (0.1, "bb"), (0.1, None), (0.2, None), (0.6, None)], [["aaa"], [], ["bb"]]),
        ([(0.0, "aaaaaa"), (0.0, None), (0.0, None)], [["aaaaaa"], []]),
        ([(0.0, "a"), (0.0, "bbbb"), (0.0, None), (0.0, None)], [["a"], ["bbbb"]]),
        ([(0.0, "a"), (0.1, "b"), (0.2, "c"), (0.5, None), (0.9, None)], [["a", "b", "c"], []]),
        ([(0.0, "aa"), (0.0, "bb"), (0.0, "cc"), (0.0, None), (0.1, None), (0.5, None)], [["aa", "bb"], [], ["cc"]]),
        ([(0.0, ""), (0.1, None), (0.5, None)], [[], [""]]),  # work without windows must not wait without end either
        ([(0.0, None)], [[]]),
    ],
)
def test_a_batch_leaves_full_or_in_time(events: list[tuple[float, str | None]], batches: list[list[str]]) -> None:
    """A batch is due with enough windows, or when its oldest has waited long enough, in order and unsplit."""
    waiting, taken = batcher(), []
    for now, work in events:
        if work is None:
            taken.append(waiting.take(now))
        else:
            waiting.put(work, now)
    assert taken == batches


def test_the_wait_is_that_of_the_oldest() -> None:
    """`wait_s` returns the seconds until the next batch, and 0 once there are enough windows."""
    waiting = batcher()
    assert waiting.wait_s(7.0) is None
    waiting.put("a", 7.0)
    waiting.put("b", 7.25)
    assert waiting.wait_s(7.25) == 0.25
    assert waiting.wait_s(9.0) == 0.0
    waiting.put("cc", 7.25)
    assert waiting.wait_s(7.25) == 0.0


def test_at_the_end_whatever_is_left_is_due() -> None:
    """A drain does not wait for delays, and takes no more than one batch at a time."""
    waiting = batcher()
    for work in ("aaa", "bb", "c"):
        waiting.put(work, 0.0)
    assert waiting.take(0.0, closing=True) == ["aaa"]
    assert waiting.take(0.0, closing=True) == ["bb", "c"]
    assert waiting.take(0.0, closing=True) == []


def test_the_length_is_the_windows_that_wait() -> None:
    """The backlog is counted in windows, without those already taken."""
    waiting = batcher()
    for work in ("aaa", "bb"):
        waiting.put(work, 0.0)
    assert len(waiting) == 5
    waiting.take(0.0)
    assert len(waiting) == 2
    waiting.take(0.0, closing=True)
    assert len(waiting) == 0
