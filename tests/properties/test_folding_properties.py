"""Folded events under any order of events, pauses and timers: nothing is lost, and a flood is few lines."""

from __future__ import annotations

import itertools
import math

from hypothesis import given
from hypothesis import strategies as st

from logwarden.daemon.folding import FIRST_S, LONGEST_S, QUIET_S, Entry, Folding

EVENTS = st.lists(
    st.tuples(
        st.sampled_from([0.0, 0.001, 1.0, 9.0, 10.0, 31.0, 59.0, 61.0, 700.0]),  # pause before it
        st.integers(0, 5),  # family
        st.integers(0, 3),  # member
        st.booleans(),  # does the timer run before it?
    ),
    max_size=80,
)


@given(events=EVENTS, max_kinds=st.integers(1, 6), max_members=st.integers(1, 3))
def test_every_event_is_a_line_or_counted(
    events: list[tuple[float, int, int, bool]], max_kinds: int, max_members: int
) -> None:
    """Lines and counts add up to the events; a line's example is the newest event of its kind so far."""
    folding: Folding[int] = Folding(max_kinds=max_kinds, max_members=max_members)
    lines: list[Entry[int]] = []
    now = 0.0
    for number, (pause, family, member, timer) in enumerate(events):
        now += pause
        if timer:
            lines += folding.due(now)
        lines += folding.take(family, member, number, now)
        assert len(folding._kinds) <= max_kinds + 1
    lines += folding.flush()
    assert sum(1 + line.folded for line in lines) == len(events)
    assert len({line.event for line in lines}) == len(lines)
    assert folding.flush() == []


@given(events=EVENTS)
def test_a_new_or_quiet_kind_shows_at_once(events: list[tuple[float, int, int, bool]]) -> None:
    """An event passes when no event of its kind came in the minute before it."""
    folding: Folding[int] = Folding()
    last: dict[tuple[int, int], float] = {}
    now = 0.0
    for number, (pause, family, member, timer) in enumerate(events):
        now += pause
        if timer:
            folding.due(now)
        lines = folding.take(family, member, number, now)
        if now - last.get((family, member), -math.inf) >= QUIET_S:
            assert Entry(number) in lines
        last[family, member] = now


@given(pauses=st.lists(st.floats(0.01, 50.0), min_size=1, max_size=300))
def test_a_kind_that_continues_is_few_lines(pauses: list[float]) -> None:
    """Between two lines of a kind lies an interval that doubles; no held event waits longer than the longest one."""
    folding: Folding[float] = Folding()
    times: list[float] = []
    now = 0.0
    for pause in pauses:
        now += pause
        while folding.wake <= now:
            tick = folding.wake
            times += [tick] * len(folding.due(tick))
        times += [now] * len(folding.take("kind", None, now, now))
    gaps = [after - before for before, after in itertools.pairwise(times)]
    assert all(gap >= min(FIRST_S * 2**n, LONGEST_S) - 1e-6 for n, gap in enumerate(gaps))
    assert all(gap <= LONGEST_S + QUIET_S for gap in gaps)
