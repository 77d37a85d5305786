"""Repeated events in the log: which pass at once, which are counted, and when the counts come out."""

from __future__ import annotations

import itertools
import math

import pytest

from logwarden.daemon.folding import FIRST_S, LONGEST_S, QUIET_S, Entry, Folding, template_of


def run(folding: Folding[str], times: list[float], until: float, kind: str = "a") -> list[tuple[float, Entry[str]]]:
    """Returns (time, line) of one kind's events at `times`, with a timer that never sleeps too long."""
    lines: list[tuple[float, Entry[str]]] = []
    for at in [*times, until]:
        while folding.wake <= at:
            tick = folding.wake
            lines += [(tick, line) for line in folding.due(tick)]
        if at < until:
            lines += [(at, line) for line in folding.take(kind, None, f"{kind}{at:g}", at)]
    return lines


def test_a_single_event_is_a_line_at_once() -> None:
    """Nothing is held, so nothing comes later."""
    assert run(Folding(), [5.0], 10_000) == [(5.0, Entry("a5"))]


def test_a_kind_that_continues_is_a_line_with_its_count_per_interval() -> None:
    """First the event, then lines after 10, 20, 40 seconds and so on, each with its newest event."""
    lines = run(Folding(), [second / 10 for second in range(3_000)], 400)
    assert [round(at, 6) for at, _ in lines] == [0, 10, 30, 70, 150, 310]
    assert [line.folded for _, line in lines] == [0, 98, 199, 399, 799, 1499]
    assert lines[1][1].event == "a9.9"


def test_the_interval_stays_at_ten_minutes() -> None:
    """A kind that never ends is six lines an hour."""
    lines = run(Folding(), [float(second) for second in range(36_000)], 36_000)
    gaps = [after - before for (before, _), (after, _) in itertools.pairwise(lines)]
    assert max(gaps) == LONGEST_S
    assert len([at for at, _ in lines if at >= 3_600 * 9]) == 6


def test_a_kind_that_stops_gets_its_last_count_out() -> None:
    """The count is not older than the quiet minute, although the interval would last longer."""
    lines = run(Folding(), [float(second) for second in range(1_000)], 10_000)
    assert lines[-1] == (999 + QUIET_S, Entry("a999", lines[-1][1].folded))
    assert sum(1 + line.folded for _, line in lines) == 1_000


def test_a_quiet_kind_begins_again() -> None:
    """The next incident shows at once and counts in short intervals, however long the last one was."""
    folding: Folding[str] = Folding()
    run(folding, [float(second) for second in range(2_000)], 2_100)
    assert run(folding, [2_100.0, 2_101.0, 2_102.0], 2_110.1) == [
        (2_100.0, Entry("a2100")),
        (2_110.0, Entry("a2102", 1)),
    ]


def test_one_late_event_carries_no_count() -> None:
    """A line that stands for itself alone is an ordinary line."""
    assert run(Folding(), [0.0, 1.0], 100) == [(0.0, Entry("a0")), (FIRST_S, Entry("a1", 0))]


def test_kinds_do_not_hide_each_other() -> None:
    """The first event of another kind passes in the middle of a flood."""
    folding: Folding[str] = Folding()
    for at in range(1_000):
        folding.take("flood", None, "flood", at / 1_000)
    assert folding.take("rare", None, "rare", 1.0) == [Entry("rare")]


def test_many_partitions_are_one_family() -> None:
    """An event on a thousand partitions at once is some lines, not a thousand."""
    folding: Folding[str] = Folding()
    lines = [line for n in range(1_000) for line in folding.take("dead", n, f"dead {n}", 0.0)]
    assert len(lines) == 17
    assert folding.flush() == [Entry("dead 999", 1_000 - 17 - 1)]


def test_too_many_kinds_are_counted_together() -> None:
    """Messages that all differ are bounded in memory and in lines."""
    folding: Folding[str] = Folding(max_kinds=8)
    lines = [line for n in range(1_000) for line in folding.take(n, None, f"kind {n}", 0.0)]
    assert len(lines) == 9
    assert folding.flush() == [Entry("kind 999", 1_000 - 9 - 1)]
    assert folding.wake == math.inf


def test_forgotten_members_make_room() -> None:
    """A family is full of those that were seen lately, not of those of last week."""
    folding: Folding[str] = Folding(max_members=1)
    folding.take("dead", 0, "0", 0.0)
    assert folding.take("dead", 1, "1", QUIET_S) == [Entry("1")]
    assert folding.take("dead", 2, "2", QUIET_S) == [Entry("2")], "the first beyond the place that 1 took"
    assert folding.take("dead", 3, "3", QUIET_S) == []


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Heartbeat failed for generation 7", "Heartbeat failed for generation 128"),
        ("no route to 10.0.0.7:9092", "no route to 192.168.1.1:29092"),
        ("<Producer object at 0x7f2290>", "<Producer object at 0x55ab01>"),
        ("member 0b1a4c1e-9f0a-4c57-8e2e-2f6f3c1d9a10 left", "member 7e1a4c1e-1111-4c57-8e2e-2f6f3c1d9aff left"),
    ],
)
def test_numbers_and_addresses_do_not_make_a_kind(one: str, other: str) -> None:
    """What differs from event to event is not what happened."""
    assert template_of(one) == template_of(other)


def test_words_make_a_kind() -> None:
    """Two different messages stay two kinds, and the name of a kind is short."""
    assert template_of("commit failed") != template_of("fetch failed")
    assert len(template_of("x" * 100_000)) <= 200
