"""What people have said about alerts: which of it applies to a line, and for how long."""

from __future__ import annotations

import re
import time
from typing import Any

import pytest

from logwarden.model import feedback
from logwarden.model.defaults import PLANNED_TAIL_MS, SETTLING_TAIL_MS
from logwarden.model.feedback import Feedback, FeedbackBook, FeedbackKind, Tails, contains, matches
from logwarden.model.incidents import Plan

EXPECTED, REAL, MUTE, MAINTENANCE = FeedbackKind
LOST = "00000000000000aa"
FULL = "00000000000000bb"


def entry(kind: FeedbackKind, given_ms: int = 0, **fields: Any) -> Feedback:
    """An entry of its own key, about the kind of lines LOST where it is a judgement."""
    given: dict[str, Any] = {"key": f"{kind}/{given_ms}", "kind": kind, "given_ms": given_ms}
    if kind in (EXPECTED, REAL):
        given["kinds"] = frozenset({LOST})
    return Feedback(**(given | fields))


def judgement(*entries: Feedback, service: str = "web", kind: str = LOST, text: str = "", at: int = 50) -> str | None:
    return FeedbackBook(entries).judgement(service, kind, text, at)


def test_an_expected_kind_of_lines_is_expected_of_its_services_only() -> None:
    """A judgement is about one kind of lines; others of the service, and the same of another one, are as they were."""
    given = entry(EXPECTED, services=("web", "shop/*"))
    assert judgement(given) == judgement(given, service="shop/api") == EXPECTED
    assert judgement(given, service="db") is judgement(given, kind=FULL) is judgement(given, service="web2") is None
    assert judgement() is None


def test_what_was_given_last_counts_in_any_order() -> None:
    """A person who calls the line a fault takes back what another one expected, and the other way round."""
    first, second = entry(EXPECTED, 10), entry(REAL, 20)
    assert judgement(first, second) == judgement(second, first) == REAL
    assert judgement(first, second, entry(EXPECTED, 30)) == EXPECTED


def test_a_judgement_applies_between_its_times() -> None:
    """By the time of the line: an older one that is read again alerts as it did, and one after the end alerts again."""
    given = entry(EXPECTED, from_ms=100, until_ms=200)
    assert [judgement(given, at=at) for at in (99, 100, 199, 200)] == [None, EXPECTED, EXPECTED, None]
    before = entry(REAL, 10, from_ms=0)
    assert judgement(before, entry(EXPECTED, 20, until_ms=60), at=70) == REAL


def test_a_mute_is_about_a_text() -> None:
    """Part of a line, with stars for what varies; a judgement given later counts, and one before does not."""
    mute = entry(MUTE, 10, pattern="check of * timed out", services=("web",))
    text = "WARN health check of db-1 timed out after 5 s"
    assert judgement(mute, text=text, kind=FULL) == MUTE
    assert judgement(mute, text="check of db-1 failed", kind=FULL) is None
    assert judgement(mute, text=text, service="db", kind=FULL) is None
    assert judgement(mute, entry(REAL, 20), text=text) == REAL
    assert judgement(mute, entry(REAL, 5), text=text) == MUTE
    assert judgement(entry(MUTE, 30, pattern="other"), mute, text=text) == MUTE


def test_a_maintenance_ends_with_a_tail() -> None:
    """Peers reconnect after a restart, so that alerts just after the end still belong to it, and later ones do not."""
    book = FeedbackBook([entry(MAINTENANCE, from_ms=1_000, until_ms=2_000, services=("web*",), reason="a disk")])
    plan, tail_ends = Plan(id="maintenance/0", reason="a disk", until_ms=2_000), 2_000 + PLANNED_TAIL_MS
    assert [book.plan("web-1", at) for at in (999, 1_000, tail_ends - 1, tail_ends)] == [None, plan, plan, None]
    settled = 2_000 + SETTLING_TAIL_MS
    found = [book.plan("web-1", at, is_failure=False) for at in (999, tail_ends, settled - 1, settled)]
    assert found == [None, plan, plan, None]
    assert book.plan("db", 1_500) is None
    assert FeedbackBook().plan("web", 0) is None


def test_what_settles_never_has_the_shorter_tail() -> None:
    """A longer tail for all lines is one for those that state no failure as well."""
    window = entry(MAINTENANCE, until_ms=1_000)
    book = FeedbackBook([window], tails=Tails(any_ms=60_000, settling_ms=20_000))
    assert book.plan("web", 60_999, is_failure=False) is not None
    assert book.plan("web", 60_999) is not None
    assert book.plan("web", 61_000, is_failure=False) is None


def test_of_two_maintenances_the_earlier_one_has_the_alert() -> None:
    """One that is announced later changes nothing about the alerts of one that runs."""
    early, late = entry(MAINTENANCE, 5, from_ms=5, until_ms=99), entry(MAINTENANCE, 9, from_ms=9, until_ms=99)
    found = FeedbackBook([late, early]).plan("web", 50)
    assert found is not None
    assert found.id == early.key


def test_a_system_is_named_by_the_configured_expression() -> None:
    """A maintenance of a system reaches all its services; without an expression its pattern is about services."""
    given = entry(MAINTENANCE, until_ms=99, systems=("shop",))
    assert FeedbackBook([given], system=re.compile("^([^/]+)/")).plan("shop/api", 5) is not None
    assert FeedbackBook([given], system=re.compile("^([^/]+)/")).plan("bank/api", 5) is None
    assert FeedbackBook([given]).plan("shop/api", 5) is None
    assert FeedbackBook([given]).plan("shop", 5) is not None


def test_a_key_has_one_entry() -> None:
    """The last one of a key counts, whatever it replaces."""
    assert judgement(entry(EXPECTED, 10, key="a"), entry(REAL, 5, key="a")) == REAL
    assert len(FeedbackBook([entry(EXPECTED, 10, key="a"), entry(REAL, 5, key="a")])) == 1


def test_what_does_not_fit_is_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    """Beyond the bound of a kind those given last do not count, in every replica the same ones."""
    monkeypatch.setitem(feedback.MOST, MUTE, 2)
    rows = [entry(MUTE, given, pattern=f"text {given}") for given in (4, 2, 3)] + [entry(EXPECTED, 9)]
    book = FeedbackBook(rows)
    assert [one.given_ms for one in book.refused] == [4]
    assert [one.given_ms for one in book] == [2, 3, 9]


def test_what_ended_makes_room(monkeypatch: pytest.MonkeyPatch) -> None:
    """A mute that ended, but is kept for lines that are read again, takes the place of none that is in force."""
    monkeypatch.setitem(feedback.MOST, MUTE, 2)
    rows = [entry(MUTE, given, pattern=f"text {given}", until_ms=10 * given) for given in (1, 2, 3)]
    assert [one.given_ms for one in FeedbackBook(rows).refused] == [1]
    assert [one.given_ms for one in FeedbackBook([*rows, entry(MUTE, 4, pattern="text 4")])] == [3, 4]


def test_the_memory_of_services_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """A topic with a new service in every line makes no book grow."""
    monkeypatch.setattr(feedback, "_CACHED_SERVICES", 3)
    book = FeedbackBook([entry(EXPECTED)])
    for number in range(9):
        assert book.judgement(f"s{number}", LOST, "", 0) == EXPECTED
        assert len(book._of_service) <= 3


@pytest.mark.parametrize(
    ("pattern", "name", "fits"),
    [
        ("a", "a", True),
        ("a", "ab", False),
        ("", "", True),
        ("*", "", True),
        ("a*", "a", True),
        ("a*a", "a", False),
        ("a*a", "aa", True),
        ("a*b*c", "a1b2c", True),
        ("a*b*c", "acb", False),
        ("a*b*b", "ab", False),
        ("*b*", "abc", True),
        ("a.c", "abc", False),
        ("[a]*", "[a]1", True),
    ],
)
def test_a_star_stands_for_any_text(pattern: str, name: str, fits: bool) -> None:
    """Everything else stands for itself, so that names with dots and brackets need no care."""
    assert matches(pattern, name) is fits


def test_a_hostile_pattern_takes_no_time() -> None:
    """A thousand stars against a long line of nothing but near misses."""
    began = time.thread_time()
    assert not contains("a*" * 500 + "b", "a" * 100_000)
    assert time.thread_time() - began < 1.0
