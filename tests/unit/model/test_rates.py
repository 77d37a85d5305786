"""Rates by example: when a line is said to come more often than ever."""

from __future__ import annotations

import numpy as np

from logwarden.model.rates import OF_LINE, OF_REFUSED, OF_SEVERE, Rates

SECOND = 1_000
START = 1_700_000_000_000


def counted(
    rates: Rates, seconds: list[float], *, row: int = 0, severe: bool = False, refused: bool = False
) -> list[tuple[int, int, int]]:
    """Returns count, greatest before and what was counted of the lines that passed a bound."""
    n = len(seconds)
    times = np.array([START + int(second * SECOND) for second in seconds])
    seen = rates.observe(np.full(n, row), np.zeros(n, np.int64), times, np.full(n, severe), np.full(n, refused))
    return [(int(count), int(before), int(of)) for count, before, of in zip(*seen, strict=True) if count]


def of_rows(count: int) -> Rates:
    rates = Rates(1)
    rates.grow(count)
    rates.begin(list(range(count)))
    return rates


def test_a_known_line_that_comes_more_often_than_ever_is_found_once() -> None:
    """Four in ten seconds at most so far: the tenth passes the bound of nine, and those after it are no news."""
    rates = of_rows(1)
    assert counted(rates, [0, 1, 2, 3, 11, 12, 13]) == []
    assert counted(rates, [20 + i / 10 for i in range(40)]) == [(10, 4, OF_LINE)]


def test_what_was_reached_once_is_usual() -> None:
    """The same burst again is no news; one half as large again is."""
    rates = of_rows(1)
    burst = [i / 10 for i in range(20)]
    for start in (0, 60, 120):
        assert counted(rates, [start + second for second in burst]) == []
    assert counted(rates, [180 + i / 10 for i in range(40)]) == [(34, 20, OF_LINE)]


def test_a_line_in_its_first_period_is_not_up() -> None:
    """A new line is news as such, and a burst of it has nothing to be measured by."""
    assert counted(of_rows(1), [i / 100 for i in range(500)]) == []


def test_many_different_failures_are_up_together() -> None:
    """Each line comes twice; that a service states forty failures in ten seconds is news all the same."""
    rates = of_rows(21)
    assert counted(rates, [0, 1], severe=True) == []
    found = [seen for row in range(1, 21) for seen in counted(rates, [10 + row / 10] * 2, row=row, severe=True)]
    assert found == [(7, 2, OF_SEVERE)]


def test_refusals_are_counted_apart() -> None:
    """Twenty different pages that a server refuses within ten seconds."""
    rates = of_rows(21)
    assert counted(rates, [0], refused=True) == []
    found = [seen for row in range(1, 21) for seen in counted(rates, [10 + row / 10], row=row, refused=True)]
    assert found == [(5, 1, OF_REFUSED)]


def test_a_clock_that_was_wrong_stops_no_count() -> None:
    """One line dated ten years ahead does not make all that follow one period."""
    rates = of_rows(1)
    counted(rates, [0, 1])
    counted(rates, [10 * 365 * 86_400])
    assert counted(rates, [20 + i * 5 for i in range(100)]) == []
