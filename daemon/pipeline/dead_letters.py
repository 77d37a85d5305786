"""Turns records without a readable log line into dead letters: the original bytes, and why they could not be read."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import structlog

from logwarden.daemon.pipeline.partitions import Assignment
from logwarden.daemon.pipeline.publication import Publication, PublicationKind
from logwarden.daemon.records import DeadLetter, Message

log = structlog.get_logger(__name__)

MAX_VALUE_BYTES = 512 * 1024
MAX_KEY_BYTES = 128 * 1024
MAX_HEADER_BYTES = 128 * 1024
"""Together below the 1 MiB that a broker accepts by default."""


def dead_letter_message(letter: DeadLetter, topic: str) -> Message:
    """Returns the original bytes, key and headers, with headers about their origin.

    A record from a topic of large messages may exceed the broker's limit together with these headers: such a value or
    key is truncated and such headers are dropped; `x-original-size`, `-key-size` and `-headers-size` give their sizes.
    """
    record = letter.record
    value, key = record.value or b"", record.key
    headers = tuple((name, value) for name, value in record.headers)
    sizes = (
        ("x-original-size", len(value), MAX_VALUE_BYTES),
        ("x-original-key-size", len(key or b""), MAX_KEY_BYTES),
        ("x-original-headers-size", sum(len(n) + len(v or b"") for n, v in headers), MAX_HEADER_BYTES),
    )
    truncated = {name: str(size).encode() for name, size, limit in sizes if size > limit}
    return Message(
        topic=topic,
        key=key if key is None else key[:MAX_KEY_BYTES],
        value=value[:MAX_VALUE_BYTES],
        headers=(
            *(() if "x-original-headers-size" in truncated else headers),
            ("x-original-topic", record.topic.encode()),
            ("x-original-partition", str(record.partition).encode()),
            ("x-original-offset", str(record.offset).encode()),
            ("x-original-timestamp", str(record.timestamp).encode()),
            ("x-error-class", b"UndecodableRecord"),
            ("x-error-stage", letter.stage.encode()),
            ("x-error-reason", letter.reason.encode()),
            *truncated.items(),
        ),
    )


def burial(dead: Iterable[tuple[Assignment, DeadLetter]]) -> Publication:
    """Returns the publication of the dead letters of one fetch; logs each of them, without its text."""
    messages, marks, stages = [], [], []
    for assignment, letter in dead:
        log.warning(
            "record_dead_lettered", **assignment.partition._asdict(), offset=letter.record.offset, stage=letter.stage
        )
        messages.append(dead_letter_message(letter, assignment.profile.dead_letter_topic))
        marks.append((assignment, np.array([letter.record.offset])))
        stages.append(letter.stage)
    return Publication(kind=PublicationKind.DEAD_LETTERS, messages=tuple(messages), marks=marks, stages=tuple(stages))
