"""Which topics the settings choose: names as they are, patterns from the begin of a name, and never the own output."""

from __future__ import annotations

import re

import pytest
from pydantic import ValidationError

from logwarden.daemon.kafka.topics import names_of, pattern_of
from logwarden.daemon.settings.kafka import KafkaSettings


def chosen(*topics: str, of: str) -> list[str]:
    """Returns the topics of a cluster that a subscription takes."""
    pattern = pattern_of(KafkaSettings(input_topics=topics))
    assert pattern is not None
    return [topic for topic in of.split() if re.compile(pattern).match(topic)]


def test_names_alone_are_no_pattern() -> None:
    """The client then asks for these topics only, and not for all of the cluster."""
    settings = KafkaSettings(input_topics=("logs", "audit.log"))
    assert pattern_of(settings) is None
    assert names_of(settings) == ["logs", "audit.log"]


def test_a_pattern_matches_from_the_begin() -> None:
    """As librdkafka's and Vector's do: the end of a name is free, its begin is not."""
    assert chosen("^logs-", of="logs-a logs-b.c old-logs-a logs") == ["logs-a", "logs-b.c"]
    assert chosen("^logs-[0-9]+$", of="logs-1 logs-12 logs-1a") == ["logs-1", "logs-12"]
    assert chosen("^a|b", "^c", of="a1 b1 c1 d1") == ["a1", "b1", "c1"]


def test_a_name_beside_a_pattern_is_a_name() -> None:
    """A dot in it is a dot, and nothing may follow."""
    settings = KafkaSettings(input_topics=("^x", "app.log"))
    assert names_of(settings) == ["app.log"]
    assert chosen("^x", "app.log", of="app.log app-log app.log2 x") == ["app.log", "x"]


def test_the_daemons_output_and_kafkas_own_topics_never_match() -> None:
    """A daemon that reads its alerts alerts about them; a topic that begins like the output is another topic."""
    cluster = "logwarden.alerts logwarden.dead-letters logwarden.alerts2 __consumer_offsets logs"
    assert chosen("^.*", of=cluster) == ["logwarden.alerts2", "logs"]
    assert chosen("^.*", "__named", of="__named __other") == ["__named"], "a name is the operator's own word"


@pytest.mark.parametrize(
    ("topic", "words"),
    [
        ("^logs-(", "no regular expression"),
        ("^*", "no regular expression"),
        ("^a(?i)b", "no regular expression"),
        ("logs-.*", "a pattern begins with ^"),
        ("a" * 250, "at most 249"),
        ("logs a", "letters, digits"),
    ],
)
def test_what_is_neither_name_nor_pattern_is_refused(topic: str, words: str) -> None:
    """Kafka could never have such a topic: the daemon would wait for it without an end."""
    with pytest.raises(ValidationError, match=re.escape(words)):
        KafkaSettings(input_topics=(topic,))
