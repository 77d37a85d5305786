"""The budget of alerts: which episodes of a service's day are within it."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from logwarden.model.budget import DAY_MS, AlertBudget

MINUTE = 60_000


def used_up(times: list[int], per_day: int = 2, service: str = "shop") -> list[bool]:
    return [bool(over) for over in AlertBudget().used_up([service] * len(times), times, per_day)]


def test_the_first_episodes_of_a_day_are_within_the_budget() -> None:
    """Two episodes are allowed and the third is not, however many lines each of them has."""
    times = [0, 10, 20, 10 * MINUTE, 10 * MINUTE + 30_000, 20 * MINUTE, 20 * MINUTE + 5]
    assert used_up(times) == [False] * 5 + [True] * 2


def test_lines_less_than_a_minute_apart_are_one_episode() -> None:
    """A burst of an hour is one episode, because no minute of it is quiet."""
    assert used_up([second * 59_999 for second in range(60)], per_day=1) == [False] * 60
    assert used_up([0, MINUTE], per_day=1) == [False, True]


def test_a_budget_is_free_again_a_day_later() -> None:
    """An episode that is a day old counts no longer."""
    assert used_up([0, 10 * MINUTE, DAY_MS]) == [False, False, False]
    assert used_up([0, 10 * MINUTE, DAY_MS - 1]) == [False, False, True]


def test_a_noisy_service_has_no_free_episode_until_it_is_calm() -> None:
    """Episodes beyond the budget count too: after a noisy day the next begins without a budget."""
    noisy = [i * 5 * MINUTE for i in range(600)]
    assert used_up(noisy) == [False] * 2 + [True] * 598
    assert used_up([*noisy, noisy[-1] + DAY_MS])[-1] is False


def test_an_episode_keeps_what_was_decided_at_its_begin() -> None:
    """An episode within the budget does not lose its end because the day before it moves on."""
    assert used_up([0, 10 * MINUTE, DAY_MS - 30_000, DAY_MS + 20_000]) == [False, False, True, True]


def test_services_have_budgets_of_their_own() -> None:
    """A noisy service uses up nothing of its neighbour's."""
    budget = AlertBudget()
    places = [("noisy", 0), ("noisy", 5 * MINUTE), ("noisy", 10 * MINUTE), ("calm", 10 * MINUTE)]
    found = budget.used_up([name for name, _ in places], [time for _, time in places], 2)
    assert found.tolist() == [False, False, True, False]


def test_a_line_without_a_time_uses_up_nothing() -> None:
    """Nobody knows on which day it was written."""
    assert used_up([-1] * 10, per_day=1) == [False] * 10


def test_the_services_in_memory_are_bounded() -> None:
    """The service without an alert for the longest time begins anew."""
    budget = AlertBudget(most_services=2)
    budget.used_up(["a", "b", "a", "c"], [0, MINUTE, 2 * MINUTE, 3 * MINUTE], 1)
    assert budget.used_up(["a"], [4 * MINUTE], 1).tolist() == [True]
    assert budget.used_up(["b"], [5 * MINUTE], 1).tolist() == [False]


@given(
    st.lists(st.tuples(st.sampled_from("ab"), st.integers(0, 3 * DAY_MS)), max_size=40),
    st.lists(st.integers(0, 40), max_size=5),
    st.integers(1, 4),
)
def test_the_cut_into_batches_changes_no_decision(lines: list[tuple[str, int]], cuts: list[int], per_day: int) -> None:
    """Batches of any size decide as one batch does."""
    whole = AlertBudget().used_up([s for s, _ in lines], [t for _, t in lines], per_day).tolist()
    budget, parts = AlertBudget(), []
    bounds = [0, *sorted(min(cut, len(lines)) for cut in cuts), len(lines)]
    for begin, end in itertools.pairwise(bounds):
        part = lines[begin:end]
        parts += budget.used_up([s for s, _ in part], [t for _, t in part], per_day).tolist()
    assert parts == whole


@pytest.mark.parametrize("per_day", [1, 3, 50])
def test_no_more_episodes_than_the_budget_are_found_free_within_a_day(per_day: int) -> None:
    """A service that alerts every five minutes has its budget a day, and no more."""
    free = sum(not over for over in used_up([i * 5 * MINUTE for i in range(287)], per_day))
    assert free == per_day
