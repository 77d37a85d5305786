"""The setting that lets single services learn differently."""

from __future__ import annotations

import math

import pytest

from logwarden.daemon.engine.loading import learning_rules
from logwarden.daemon.errors import ConfigurationError
from logwarden.daemon.settings.reading import read_settings
from logwarden.model.learning import LearningNeed


def test_services_and_patterns_have_their_own_lines_and_days() -> None:
    """A part that is not written is the common one, hours are parts of a day, and the first match counts."""
    learning = "web-*=200,cron=2d,batch=500/12h,web-1=9,a=b=7"
    settings = read_settings({"LOGWARDEN_ALERTS__LEARNING": learning, "LOGWARDEN_ALERTS__LEARNING_DAYS": "7"})
    rules = learning_rules(settings.alerts)
    needs = {name: rules.of(name) for name in ("web-1", "cron", "batch", "a=b", "other")}
    assert needs == {
        "web-1": LearningNeed(200, 7.0),
        "cron": LearningNeed(1_000, 2.0),
        "batch": LearningNeed(500, 0.5),
        "a=b": LearningNeed(7, 7.0),
        "other": LearningNeed(1_000, 7.0),
    }
    lines_only = read_settings({"LOGWARDEN_ALERTS__LEARNING_DAYS": "none", "LOGWARDEN_ALERTS__LEARNING_LINES": "5"})
    assert learning_rules(lines_only.alerts).of("x") == LearningNeed(5, math.inf)


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ("web", "contains 'web', which names no service"),
        ("=200", "contains '=200', which names no service"),
        ("web=", "gives 'web' the learning ''"),
        ("web=often", "gives 'web' the learning 'often'"),
        ("web=10001", "lines are at most 10000"),
        ("web=0d", "days are more than 0"),
        ("web=5/999d", "at most 366"),
        ("web=5,web=6", "names the service 'web' twice"),
        (f"{'x' * 257}=5", "names no service"),
    ],
)
def test_a_wrong_learning_is_a_sentence(value: str, words: str) -> None:
    """What cannot be meant is refused at the start, with the form that is right."""
    with pytest.raises(ConfigurationError, match=words):
        read_settings({"LOGWARDEN_ALERTS__LEARNING": value})
