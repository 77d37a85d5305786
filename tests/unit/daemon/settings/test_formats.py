"""Formats of topics: every way to write them, and a sentence about each mistake."""

from __future__ import annotations

import pytest

from logwarden.daemon.errors import ConfigurationError
from logwarden.daemon.settings.reading import read_settings


def formats_of(pins: str, topics: str = "app,web,^audit-") -> tuple[str, ...]:
    variables = {"LOGWARDEN_INPUT__FORMATS": pins, "LOGWARDEN_KAFKA__INPUT_TOPICS": topics}
    return read_settings(variables).input.formats


@pytest.mark.parametrize(
    ("written", "read"),
    [
        ("", ()),
        ("web=access", ("web=access",)),
        (" web = access , app=json,", ("web=access", "app=json")),
        ('["web=access", "app=json"]', ("web=access", "app=json")),
        ('{"web": "access", "^audit-[a-z]{1,3}": "cef"}', ("web=access", "^audit-[a-z]{1,3}=cef")),
        ("^audit-(?=fw)=cef", ("^audit-(?=fw)=cef",)),
        ("^w=access", ("^w=access",)),
        ("audit-fw=cef", ("audit-fw=cef",)),
    ],
)
def test_formats_may_be_written_in_several_ways(written: str, read: tuple[str, ...]) -> None:
    """A comma list is short, and an object of JSON takes every pattern."""
    assert formats_of(written) == read


@pytest.mark.parametrize(
    ("written", "words"),
    [
        ("web=acess", "gives the topic 'web' the format 'acess', which does not exist; did you mean access"),
        ("web=%%%", "which does not exist; write one of auto, raw, json"),
        ("web", "contains 'web', which names no topic or no format; write topic=format"),
        ("=json", "contains '=json', which names no topic or no format"),
        ("web=json,web=raw", "gives the topic 'web' two formats"),
        ("we b=json", "'we b' is not the name of a topic"),
        ("^a(=json", "is no regular expression"),
        ('{"web": 1}', "is no JSON object of topics and formats"),
        ('{"web"', "is no JSON object of topics and formats"),
        ("wep=json", "gives the topic 'wep' a format, but the daemon does not read that topic"),
    ],
)
def test_a_mistake_is_found_at_start(written: str, words: str) -> None:
    """A wrong name would leave a topic to recognition, and nobody would notice."""
    with pytest.raises(ConfigurationError) as caught:
        formats_of(written)
    assert str(caught.value).startswith("LOGWARDEN_INPUT__FORMATS ")
    assert words in str(caught.value)


def test_a_pattern_that_can_match_no_input_topic_is_a_mistake() -> None:
    """Without patterns among the input topics all names are known at start."""
    with pytest.raises(ConfigurationError, match="'\\^audit-' a format, but"):
        formats_of("^audit-=cef", topics="app,web")
    assert formats_of("^ap=json", topics="app,web") == ("^ap=json",)


def test_the_format_of_all_topics_has_the_same_names() -> None:
    """One list of names holds for all topics, for single topics, and for scans."""
    assert read_settings({"LOGWARDEN_INPUT__FORMAT": "leef"}).input.format == "leef"
    with pytest.raises(ConfigurationError, match="must be one of auto, raw, json, otlp"):
        read_settings({"LOGWARDEN_INPUT__FORMAT": "text"})
