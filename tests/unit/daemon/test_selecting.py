"""Names, patterns and times as people write them."""

from __future__ import annotations

import time

import pytest

from logwarden.daemon.selecting import class_names, classifier, matcher, time_of

NOW_MS = 1_795_428_000_000


@pytest.mark.parametrize(
    ("patterns", "chosen"),
    [
        ([], ["web-1", "web-12", "db[1]", "x\ny"]),
        (["web-?"], ["web-1"]),
        (["web-*", "db[1]"], ["web-1", "web-12", "db[1]"]),
        (["*"], ["web-1", "web-12", "db[1]", "x\ny"]),
        (["web"], []),
        (["web.1"], []),
    ],
)
def test_names_and_patterns_choose(patterns: list[str], chosen: list[str]) -> None:
    """A pattern matches whole names; a name with brackets is chosen by itself."""
    assert list(filter(matcher(patterns), ["web-1", "web-12", "db[1]", "x\ny"])) == chosen


def test_the_first_entry_that_matches_gives_the_class() -> None:
    """A service is in one class, and in `other` where no entry matches it."""
    entries = ["pay=pay-1", "web=pay-*", "web=web-*"]
    assert list(map(classifier(entries), ["pay-1", "pay-2", "web-7", "db"])) == ["pay", "web", "web", "other"]
    assert (class_names(entries), class_names([])) == (["other", "pay", "web"], ["other"])


def test_no_pattern_takes_long() -> None:
    """The worst pattern and the worst name take milliseconds."""
    began = time.process_time()
    assert not matcher(["*a" * 120 + "b"] * 20)("a" * 5_000)
    assert time.process_time() - began < 2.0


@pytest.mark.parametrize(
    ("text", "ms"),
    [
        ("30m", NOW_MS - 1_800_000),
        ("2h", NOW_MS - 7_200_000),
        ("7d", NOW_MS - 604_800_000),
        ("2026-11-23T10:00Z", NOW_MS),
        ("2026-11-23T10:00", NOW_MS),  # a time without a zone is UTC, as all times of the daemon
        ("2026-11-23T12:00+02:00", NOW_MS),
        ("2026-11-23", NOW_MS - 36_000_000),
    ],
)
def test_times_are_ages_or_dates(text: str, ms: int) -> None:
    """A person writes how long ago, or when."""
    assert time_of(text, NOW_MS) == ms


@pytest.mark.parametrize("text", ["", "soon", "30", "m", "-5m", "٣m", "2026-13-01", "1e9d", "9" * 400])
def test_another_text_is_no_time(text: str) -> None:
    """Nothing is guessed."""
    with pytest.raises(ValueError, match="is no time"):
        time_of(text, NOW_MS)
