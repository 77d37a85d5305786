"""Events over time, in a bounded number of bins."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from logwarden.model.activity import MAX_BINS, ActivityCounter


def counted(times: list[int]) -> ActivityCounter:
    counter = ActivityCounter()
    for time in times:
        counter.add(time)
    return counter


def test_bins_are_seconds_at_first_and_double() -> None:
    """Seconds without an event are zeros, and a longer time has wider bins."""
    found = counted([10_500, 10_900, 12_000]).counts()
    assert (found.begin_ms, found.width_ms, found.counts) == (10_000, 1_000, (2, 0, 1))
    wide = counted([0, 1_000, 1_000 * MAX_BINS]).counts()
    assert (wide.begin_ms, wide.width_ms, wide.counts[0], wide.counts[-1]) == (0, 2_000, 2, 1)


@given(
    st.lists(st.integers(0, 10**13), min_size=1, max_size=60).flatmap(
        lambda times: st.tuples(st.just(times), st.permutations(times))
    )
)
def test_the_order_of_events_changes_nothing(orders: tuple[list[int], list[int]]) -> None:
    """Every event is in one bin, the bins are bounded, and late events give the same bins."""
    times, shuffled = orders
    found = counted(times).counts()
    assert found == counted(shuffled).counts()
    assert sum(found.counts) == len(times)
    assert len(found.counts) <= MAX_BINS
    assert found.begin_ms <= min(times) < found.begin_ms + found.width_ms
