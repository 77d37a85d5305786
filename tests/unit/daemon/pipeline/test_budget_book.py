"""The budgets of alerts travel with the commits: a crash anywhere changes no decision."""

from __future__ import annotations

import json
import random

import pytest

from logwarden.daemon.pipeline.budget_book import BudgetBook, Entry, key_of
from logwarden.daemon.pipeline.ledger import decode_budgets, encode_metadata
from logwarden.model.budget import AlertBudget

MINUTE = 60_000
PER_DAY = 3


class Member:
    """Judges windows that are due, and commits."""

    def __init__(self, before: list[Entry]) -> None:
        self.book = BudgetBook(before)
        self._budget = AlertBudget()
        for key, episodes in self.book.take_before():
            self._budget.put(key, episodes)

    def judge(self, window: tuple[int, int, int]) -> bool:
        """Returns True for a window (offset, service, time) of a service that had used up its budget."""
        offset, service, time_ms = window
        self.book.counted(offset, service, time_ms, PER_DAY)
        return bool(self._budget.used_up([service], [time_ms], PER_DAY)[0])


@pytest.mark.parametrize("seed", range(40))
def test_a_crash_anywhere_changes_no_decision(seed: int) -> None:
    """Members that die between commits decide of each window what one member decides that lives on."""
    rng = random.Random(seed)
    time_ms, windows = 10**12, []
    for offset in range(400):
        time_ms += rng.choice((0, 1_000, MINUTE, 40 * MINUTE, 400 * MINUTE))
        windows.append((offset // 2, key_of(f"service-{rng.randrange(4)}"), time_ms - rng.randrange(3_000)))
    undisturbed = Member([])
    wanted = [undisturbed.judge(window) for window in windows]
    assert any(wanted)
    assert not all(wanted)
    found: dict[int, bool] = {}
    member, position, done = Member([]), 0, 0
    while done < len(windows):
        ahead = min(len(windows), done + rng.randrange(1, 60))
        for place in range(done, ahead):
            found[place] = member.judge(windows[place])
            assert found[place] == wanted[place], place
        position = rng.randrange(position, windows[ahead - 1][0] + 1) if ahead < len(windows) else position
        committed = encode_metadata(0, budgets=member.book.at(position))
        done = ahead
        if rng.random() < 0.5 and ahead < len(windows):
            member = Member(decode_budgets(committed))
            done = next(place for place, window in enumerate(windows) if window[0] >= position)
    assert len(found) == len(windows)


def test_metadata_stay_below_the_limit_of_the_broker() -> None:
    """Of a partition in which every service has alerts, the newest are kept."""
    book = BudgetBook()
    for number in range(5_000):
        for episode in range(PER_DAY):
            book.counted(number, key_of(f"service-{number}"), 10**12 + number * 1_000 + episode * 3 * MINUTE, PER_DAY)
    entries = book.at(10_000)
    assert 30 < len(entries) < 60
    assert entries[0][0] == key_of("service-4999")
    assert len(encode_metadata(10**9, "cluster/topic", budgets=entries)) < 2_200


def test_nothing_is_written_while_no_service_has_an_alert() -> None:
    """The metadata of a quiet partition are those of a release before."""
    assert encode_metadata(3, budgets=BudgetBook().at(10)) == encode_metadata(3)


@pytest.mark.parametrize("value", ["7", "[1]", '[["a", 2, 3, 4]]', "[[1, 2, 3]]", "null", "{}", "[[]]"])
def test_damaged_budgets_are_none(value: str) -> None:
    """A day begins anew then, and no member stops."""
    assert decode_budgets(f'{{"v":1,"context":3,"budgets":{value}}}') == []


def test_metadata_are_json() -> None:
    """Other tools read what a commit says."""
    entry = [key_of("app"), 10**12, 1, 5_000]
    assert json.loads(encode_metadata(3, budgets=[entry]))["budgets"] == [entry]
