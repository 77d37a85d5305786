"""Chooses the topics to read: names, and patterns that begin with ^. Knows the rules, and no client."""

from __future__ import annotations

import re
from collections.abc import Sequence

from logwarden.daemon.settings.kafka import KafkaSettings


def names_of(settings: KafkaSettings) -> list[str]:
    """Returns the input topics that are given by name."""
    return [topic for topic in settings.input_topics if not topic.startswith("^")]


def pattern_of(settings: KafkaSettings) -> str | None:
    """Returns one regular expression for all input topics. Returns None if no input topic is a pattern.

    A pattern matches from the begin of a name, as librdkafka's and Vector's do. It matches neither Kafka's own topics,
    which begin with two underscores, nor the topics that the daemon writes: it would read its own alerts.
    """
    names = names_of(settings)
    if len(names) == len(settings.input_topics):
        return None
    outputs = (settings.alerts_topic, settings.dead_letter_topic, settings.state_topic)
    written = _any_of([re.escape(name) for name in outputs if name])
    matched = _any_of([f"(?:{topic})" for topic in settings.input_topics if topic.startswith("^")])
    named = f"{_any_of([re.escape(name) for name in names])}\\Z|" if names else ""
    return f"(?:{named}(?!__)(?!{written}\\Z)(?:{matched}))"


def _any_of(patterns: Sequence[str]) -> str:
    return f"(?:{'|'.join(patterns)})"
