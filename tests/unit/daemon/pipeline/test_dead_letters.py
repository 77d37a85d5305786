"""Dead letters: the original bytes, where they came from, and what is truncated so that a broker takes them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from logwarden.daemon.pipeline.dead_letters import (
    MAX_HEADER_BYTES,
    MAX_KEY_BYTES,
    MAX_VALUE_BYTES,
    burial_of_alert,
    burials,
    dead_letter_message,
    shorter_letter,
)
from logwarden.daemon.pipeline.publication import Publication, PublicationKind
from logwarden.daemon.records import DeadLetter, Delivery, Message
from tests.fakes import capture, events
from tests.oracles import LogRecord, assignment, default_decoder, profile_of

ORIGIN = ["x-original-topic", "x-original-partition", "x-original-offset", "x-original-timestamp"]
ERROR = ["x-error-class", "x-error-stage", "x-error-reason"]


def letter(record: LogRecord) -> DeadLetter:
    return DeadLetter(record=record, stage="json", reason="no text at all: ünlesbar")


def test_a_dead_letter_is_the_record_and_its_origin() -> None:
    """Value, key and headers come first and unchanged; an operator can send the record again from them."""
    record = LogRecord(b"\xff{", 7, "logs", 3, 1_700_000_000_123, b"key", (("trace", b"1"), ("trace", b"2")))
    message = dead_letter_message(letter(record), "dead")
    assert (message.topic, message.key, message.value) == ("dead", b"key", b"\xff{")
    assert message.headers == (
        ("trace", b"1"),
        ("trace", b"2"),
        ("x-original-topic", b"logs"),
        ("x-original-partition", b"3"),
        ("x-original-offset", b"7"),
        ("x-original-timestamp", b"1700000000123"),
        ("x-error-class", b"UndecodableRecord"),
        ("x-error-stage", b"json"),
        ("x-error-reason", "no text at all: ünlesbar".encode()),
    )


@pytest.mark.parametrize(("key", "expected"), [(None, b"logs/3/7"), (b"", b"")])
def test_a_dead_letter_always_has_a_key(key: bytes | None, expected: bytes) -> None:
    """A compacted topic takes no record without one; the place of the record is a key that no other record has."""
    message = dead_letter_message(letter(LogRecord(None, 7, "logs", 3, key=key)), "dead")
    assert (message.key, message.value) == (expected, b"")


@pytest.mark.parametrize("excess", [0, 1])
def test_what_exceeds_the_limits_is_truncated_and_its_size_noted(excess: int) -> None:
    """At the limit nothing changes; a byte more truncates value and key, drops the headers and notes each size."""
    value, key = b"v" * (MAX_VALUE_BYTES + excess), b"k" * (MAX_KEY_BYTES + excess)
    headers = (("ab", b"h" * (MAX_HEADER_BYTES - 2 + excess)),)
    message = dead_letter_message(letter(LogRecord(value, key=key, headers=headers)), "dead")
    assert message.value == b"v" * MAX_VALUE_BYTES
    assert message.key == b"k" * MAX_KEY_BYTES
    sizes = {name: int(size) for name, size in message.headers if name.endswith("-size")}
    if excess:
        assert sizes == {
            "x-original-size": MAX_VALUE_BYTES + 1,
            "x-original-key-size": MAX_KEY_BYTES + 1,
            "x-original-headers-size": MAX_HEADER_BYTES + 1,
        }
        assert [name for name, _ in message.headers] == [*ORIGIN, *ERROR, *sizes]
    else:
        assert sizes == {}
        assert message.headers[0] == headers[0]


def test_the_largest_dead_letter_fits_into_a_message() -> None:
    """The broker's default of 1 MiB takes the dead letter, for every limit of the input topic."""
    record = LogRecord(b"v" * 2**21, key=b"k" * 2**21, headers=(("h", b"h" * 2**21),))
    message = dead_letter_message(letter(record), "dead")
    size = len(message.value or b"") + len(message.key or b"") + sum(len(n) + len(v) for n, v in message.headers)
    assert size < 1_000_000


def test_one_large_part_leaves_the_others_whole() -> None:
    """A large value costs no header, and a header without a value counts as empty."""
    record = LogRecord(b"v" * (MAX_VALUE_BYTES + 1), key=b"key", headers=(("trace", b""),))
    message = dead_letter_message(letter(record), "dead")
    assert message.key == b"key"
    assert message.headers[0] == ("trace", b"")
    assert [name for name, _ in message.headers if name.endswith("-size")] == ["x-original-size"]


def test_every_dead_letter_is_a_publication() -> None:
    """Each goes to the topic of its own profile, marks its own offset, and is logged without its text."""
    one = assignment(1)
    other = assignment(2, profile=profile_of(default_decoder(), dead_letter_topic="elsewhere"))
    with capture() as caught:
        made = burials([(one, letter(LogRecord(b"secret", 5))), (other, letter(LogRecord(b"secret", 9)))])
    assert [(p.message.topic, p.owner, p.offsets.tolist()) for p in made] == [
        ("dead", one, [5]),
        ("elsewhere", other, [9]),
    ]
    assert all(p.offsets.dtype == np.int64 for p in made)
    assert {(p.kind, p.stage, p.delay_ms) for p in made} == {(PublicationKind.DEAD_LETTER, "json", None)}
    assert events(caught, "record_dead_lettered") == [
        {"topic": "logs", "partition": number, "offset": offset, "stage": "json", "log_level": "warning"}
        for number, offset in ((1, 5), (2, 9))
    ]
    assert "secret" not in str(caught)


def test_a_letter_that_is_too_large_becomes_shorter_until_nothing_is_left() -> None:
    """Value and key are halved, the record's own headers go, and each size is noted once, as it was."""
    record = LogRecord(b"v" * 1_000, 7, "logs", 3, key=b"k" * 300, headers=(("x-original-size", b"mine"), ("b", b"2")))
    message: Message | None = dead_letter_message(letter(record), "dead")
    sizes = []
    while message is not None:
        last, message = message, shorter_letter(message)
        sizes.append(len(last.value or b""))
    assert sizes == [1_000, 500, 250, 125, 64]
    assert last.key == b"k" * 64
    noted = {"x-original-size": b"1000", "x-original-key-size": b"300"}
    assert last.headers == (*dead_letter_message(letter(record), "dead").headers[2:], *noted.items())


def test_a_short_letter_with_large_headers_loses_these() -> None:
    """The headers of the record may be the reason why the topic does not take it."""
    message = dead_letter_message(letter(LogRecord(b"short", headers=(("novel", b"h" * 1_000),))), "dead")
    shorter = shorter_letter(message)
    assert shorter is not None
    assert (shorter.value, shorter.headers) == (b"short", message.headers[1:])
    assert shorter_letter(shorter) is None


def test_an_alert_that_no_topic_takes_is_buried_whole() -> None:
    """The dead letter contains the alert before it was shortened, its id, its place, and the answer of the topic."""
    whole = Message(topic="alerts", key=b"web", value=b"{whole}", headers=(("ce_id", b"the-id"),))
    owner = assignment(3)
    publication = Publication(
        kind=PublicationKind.ALERT,
        content=replace(whole, value=b"{"),
        whole=whole,
        owner=owner,
        offsets=np.array([41, 42]),
        delay_ms=7,
        refusals=2,
    )
    buried = burial_of_alert(publication, Delivery.TOO_LARGE)
    assert (buried.kind, buried.stage, buried.delay_ms, buried.refusals) == (
        PublicationKind.DEAD_LETTER,
        "publish",
        None,
        0,
    )
    assert (buried.owner, buried.offsets.tolist()) == (owner, [41, 42])
    message = buried.message
    assert (message.topic, message.key, message.value) == ("dead", b"web", b"{whole}")
    assert dict(message.headers) == {
        "x-original-topic": b"logs",
        "x-original-partition": b"3",
        "x-original-offset": b"42",
        "x-alert-id": b"the-id",
        "x-error-class": b"UndeliverableAlert",
        "x-error-stage": b"publish",
        "x-error-reason": b"the topic alerts answered: too_large",
    }
    nameless = replace(publication, whole=replace(whole, key=b"", value=b"x" * (MAX_VALUE_BYTES + 1)))
    message = burial_of_alert(nameless, Delivery.REFUSED).message
    assert (message.key, len(message.value or b"")) == (b"logs/3/42", MAX_VALUE_BYTES)
    assert message.headers[-1] == ("x-original-size", b"%d" % (MAX_VALUE_BYTES + 1))
