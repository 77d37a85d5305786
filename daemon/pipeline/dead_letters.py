"""Makes dead letters: of records without a readable log line, and of alerts that their topic will never take.

A dead letter has a key, because a compacted topic takes none without. It is the record's own key, so that an operator
can send the record again; dead letters of one key replace each other in such a topic, and the sink warns about it.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

import numpy as np
import structlog

from logwarden.daemon.incidents.alert import id_in
from logwarden.daemon.pipeline.partitions import Assignment
from logwarden.daemon.pipeline.publication import Publication, PublicationKind
from logwarden.daemon.records import DeadLetter, Delivery, Message

log = structlog.get_logger(__name__)

MAX_VALUE_BYTES = 512 * 1024
MAX_KEY_BYTES = 128 * 1024
MAX_HEADER_BYTES = 128 * 1024
"""Together below the 1 MiB that a broker accepts by default."""
_LEAST_VALUE_BYTES = 64
"""A shorter value identifies no record: its headers must do."""


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
        key=_place(record.topic, record.partition, record.offset) if key is None else key[:MAX_KEY_BYTES],
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


def burials(dead: Iterable[tuple[Assignment, DeadLetter]]) -> list[Publication]:
    """Returns the publications of the dead letters of one fetch; logs each of them, without its text."""
    publications = []
    for assignment, letter in dead:
        log.warning(
            "record_dead_lettered", **assignment.partition._asdict(), offset=letter.record.offset, stage=letter.stage
        )
        publications.append(
            Publication(
                kind=PublicationKind.DEAD_LETTER,
                content=dead_letter_message(letter, assignment.profile.dead_letter_topic),
                owner=assignment,
                offsets=np.array([letter.record.offset]),
                stage=letter.stage,
            )
        )
    return publications


def burial_of_alert(publication: Publication, outcome: Delivery) -> Publication:
    """Returns the dead letter of an alert that its topic will never take: the whole alert, and its id in a header."""
    message = publication.whole or publication.message
    topic, partition = publication.owner.partition
    offset, value = int(publication.offsets.max()), message.value or b""
    size = {"x-original-size": str(len(value)).encode()} if len(value) > MAX_VALUE_BYTES else {}
    letter = Message(
        topic=publication.owner.profile.dead_letter_topic,
        key=message.key or _place(topic, partition, offset),
        value=value[:MAX_VALUE_BYTES],
        headers=(
            ("x-original-topic", topic.encode()),
            ("x-original-partition", str(partition).encode()),
            ("x-original-offset", str(offset).encode()),
            ("x-alert-id", id_in(message).encode()),
            ("x-error-class", b"UndeliverableAlert"),
            ("x-error-stage", b"publish"),
            ("x-error-reason", f"the topic {message.topic} answered: {outcome.value}".encode()),
            *size.items(),
        ),
    )
    return replace(
        publication,
        kind=PublicationKind.DEAD_LETTER,
        content=letter,
        delay_ms=None,
        stage="publish",
        whole=None,
        refusals=0,
    )


def shorter_letter(message: Message) -> Message | None:
    """Returns a dead letter of half the value, without the record's own headers. Returns None if it is too short."""
    # The record's own headers come first, and may have any name: (trace, x-original-topic, x-error-stage, …).
    value, key = message.value or b"", message.key or b""
    names = [name for name, _ in message.headers]
    origin = len(names) - 1 - names[::-1].index("x-original-topic")
    if len(value) <= _LEAST_VALUE_BYTES and len(key) <= _LEAST_VALUE_BYTES and origin == 0:
        return None
    sizes = {"x-original-size": len(value), "x-original-key-size": len(key)}
    noted = [
        (name, str(size).encode())
        for name, size in sizes.items()
        if size > _LEAST_VALUE_BYTES and name not in names[origin:]
    ]
    return replace(
        message,
        value=value[: max(len(value) // 2, _LEAST_VALUE_BYTES)],
        key=key[: max(len(key) // 2, _LEAST_VALUE_BYTES)],
        headers=(*message.headers[origin:], *noted),
    )


def _place(topic: str, partition: int, offset: int) -> bytes:
    """Returns the key of a dead letter without one: unique, and the same for every delivery."""
    return f"{topic}/{partition}/{offset}".encode()
