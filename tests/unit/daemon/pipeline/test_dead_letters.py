"""Dead letters: the original bytes, where they came from, and what is truncated so that a broker takes them."""

from __future__ import annotations

import numpy as np
import pytest

from logwarden.daemon.pipeline.dead_letters import (
    MAX_HEADER_BYTES,
    MAX_KEY_BYTES,
    MAX_VALUE_BYTES,
    burial,
    dead_letter_message,
)
from logwarden.daemon.pipeline.publication import PublicationKind
from logwarden.daemon.records import DeadLetter
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


@pytest.mark.parametrize("key", [None, b""])
def test_no_key_and_an_empty_key_differ(key: bytes | None) -> None:
    """A key decides the partition, so its absence is kept; a record without a value has an empty one."""
    message = dead_letter_message(letter(LogRecord(None, key=key)), "dead")
    assert (message.key, message.value) == (key, b"")


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


def test_the_dead_letters_of_a_fetch_are_one_publication() -> None:
    """Each goes to the topic of its own profile, marks its own offset, and is logged without its text."""
    one = assignment(1)
    other = assignment(2, profile=profile_of(default_decoder(), dead_letter_topic="elsewhere"))
    with capture() as caught:
        publication = burial([(one, letter(LogRecord(b"secret", 5))), (other, letter(LogRecord(b"secret", 9)))])
    assert publication.kind is PublicationKind.DEAD_LETTERS
    assert [message.topic for message in publication.messages] == ["dead", "elsewhere"]
    assert [(owner, offsets.tolist()) for owner, offsets in publication.marks] == [(one, [5]), (other, [9])]
    assert all(offsets.dtype == np.int64 for _, offsets in publication.marks)
    assert (publication.stages, publication.delays_ms) == (("json", "json"), ())
    assert events(caught, "record_dead_lettered") == [
        {"topic": "logs", "partition": number, "offset": offset, "stage": "json", "log_level": "warning"}
        for number, offset in ((1, 5), (2, 9))
    ]
    assert "secret" not in str(caught)
