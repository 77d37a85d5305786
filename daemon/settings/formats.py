"""Defines the setting that pins formats to topics: how it is written, and which format a topic has."""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Sequence
from typing import Annotated, get_args

from pydantic import AfterValidator, BeforeValidator, Field
from pydantic_settings import NoDecode

from logwarden.daemon.records import InputFormat
from logwarden.daemon.settings.fields import Name, list_word
from logwarden.daemon.settings.kafka import checked_topics

_FORMATS: dict[str, InputFormat] = {name: name for name in get_args(InputFormat)}
_FORM = "write topic=format, such as logs.nginx=access,^audit-=cef"


def pairs_of(pins: Sequence[str]) -> list[tuple[str, InputFormat]]:
    """Returns the pairs (topic or pattern, format) of pins written as `topic=format`."""
    return [(topic, _FORMATS[format]) for topic, _, format in (pin.rpartition("=") for pin in pins)]


def format_of(topic: str, pins: Sequence[str], otherwise: InputFormat) -> InputFormat:
    """Returns the format of a topic: the one pinned to its name, then that of the first pattern, then the other one."""
    pairs = pairs_of(pins)
    named = [format for name, format in pairs if name == topic]
    matched = [format for name, format in pairs if name.startswith("^") and re.match(name, topic)]
    return next(iter(named + matched), otherwise)


def unread_topic(pins: Sequence[str], input_topics: Sequence[str]) -> str | None:
    """Returns a topic or pattern that is pinned although no input topic can be meant by it. Returns None if all are."""
    patterns = [topic for topic in input_topics if topic.startswith("^")]
    for topic, _ in pairs_of(pins):
        if topic.startswith("^"):
            is_read = bool(patterns) or any(re.match(topic, name) for name in input_topics)
        else:
            is_read = topic in input_topics or any(re.match(pattern, topic) for pattern in patterns)
        if not is_read:
            return topic
    return None


def _pin_words(value: object) -> object:
    if not isinstance(value, str) or not value.lstrip().startswith("{"):
        return list_word(value)
    try:
        pins = json.loads(value)
    except json.JSONDecodeError:
        pins = None
    if not isinstance(pins, dict) or not all(isinstance(format, str) for format in pins.values()):
        raise ValueError('is no JSON object of topics and formats, such as {"logs.nginx": "access"}')
    return tuple(f"{topic}={format}" for topic, format in pins.items())


def _checked_pins(pins: tuple[str, ...]) -> tuple[str, ...]:
    found: dict[str, str] = {}
    for pin in pins:
        topic, equals, format = (part.strip() for part in pin.rpartition("="))
        if not equals or not topic:
            raise ValueError(f"contains {pin!r}, which names no topic or no format; {_FORM}")
        if format not in _FORMATS:
            near = difflib.get_close_matches(format, _FORMATS, n=1)
            meant = f"did you mean {near[0]}?" if near else f"write one of {', '.join(_FORMATS)}"
            raise ValueError(f"gives the topic {topic!r} the format {format!r}, which does not exist; {meant}")
        if topic in found:
            raise ValueError(f"gives the topic {topic!r} two formats; write one of them")
        found[topic] = format
    checked_topics(tuple(found))
    return tuple(f"{topic}={format}" for topic, format in found.items())


TopicFormats = Annotated[
    tuple[Name, ...],
    NoDecode,
    BeforeValidator(_pin_words),
    AfterValidator(_checked_pins),
    Field(title="list of topic=format"),
]
"""A comma list, a JSON list or a JSON object in the environment, a tuple of `topic=format` in the program."""
