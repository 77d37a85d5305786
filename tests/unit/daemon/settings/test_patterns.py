"""An operator's regular expression is refused by name if it is none, or if some line would keep it busy."""

from __future__ import annotations

import time

import pytest

from logwarden.daemon.errors import ConfigurationError
from logwarden.daemon.settings.patterns import checked_pattern
from logwarden.daemon.settings.reading import read_settings


@pytest.mark.parametrize(
    "pattern",
    [
        r"^\d{4}-\d\d-\d\d",
        r"^\d+-\d+-\d+ \d+:\d+:\d+[.,]\d+ +(INFO|WARN) ",
        r"(?P<time>\d{4}-\d\d-\d\dT\S+)\s+\[(?P<level>\w+)\]",
        r"(?:\d{1,3}\.){3}\d{1,3}",
        r".*error.*",
        r"(?<!x)a++b",
        "",
    ],
)
def test_a_usual_expression_is_taken(pattern: str) -> None:
    """What people write to find the begin of an event stays as it is."""
    assert checked_pattern(pattern) == pattern


@pytest.mark.parametrize(
    ("pattern", "reason"),
    [
        ("[", "is not a regular expression"),
        ("(?P<a>x)(?P<a>y)", "is not a regular expression"),
        (r"(a+)+$", "repeats a repetition"),
        (r"(\w+\s?)*$", "repeats a repetition"),
        (r"(?:(?:x*)y?){5,}z", "repeats a repetition"),
        (r"(?=(b+)*c)", "repeats a repetition"),
        (r"(a|a)*$", "repeats a repetition or alternatives"),
        (r"(error|e\w\wor){20,}!", "repeats a repetition or alternatives"),
        (r"\s+\s+\s+\s+=", "takes too long"),
        (r".*.*.*.*=", "takes too long"),
        (r"([α-ω]{1,15}){1,15}!", "takes too long"),
        (r"(?:[+;]{1,12}){1,12}!", "takes too long"),
        (r"(?:(?:[pq][xy]){1,9}){9}!", "takes too long"),
        (r"[^\x00-\x7f]+[^\x00-\x7f]+[^\x00-\x7f]+[^\x00-\x7f]+=", "takes too long"),
    ],
)
def test_an_expression_without_an_end_is_refused(pattern: str, reason: str) -> None:
    """A refusal comes in seconds, although the expression itself would take days."""
    started = time.process_time()
    with pytest.raises(ValueError, match=reason):
        checked_pattern(pattern)
    assert time.process_time() - started < 20


def test_the_refusal_names_the_setting() -> None:
    """The operator reads which variable to change."""
    with pytest.raises(ConfigurationError, match=r"LOGWARDEN_JOIN__START_PATTERN.*repeats a repetition"):
        read_settings({"LOGWARDEN_KAFKA__BOOTSTRAP_SERVERS": "a:1", "LOGWARDEN_JOIN__START_PATTERN": "(a+)+$"})
