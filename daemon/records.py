"""The nouns that travel through the daemon: partitions, records, messages. Data only; behaviour lives elsewhere."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

MAX_DEAD_LETTER_BYTES = 512 * 1024


class Partition(NamedTuple):
    """A partition of a topic: the unit of order and of ownership."""

    topic: str
    partition: int


class Record(Protocol):
    """What a consumer returns, as far as we read it. aiokafka's ConsumerRecord is one."""

    @property
    def topic(self) -> str: ...
    @property
    def partition(self) -> int: ...
    @property
    def offset(self) -> int: ...
    @property
    def timestamp(self) -> int: ...
    @property
    def key(self) -> bytes | None: ...
    @property
    def value(self) -> bytes | None: ...
    @property
    def headers(self) -> Sequence[tuple[str, bytes]]: ...


class Committed(NamedTuple):
    """What the group committed for a partition."""

    offset: int
    metadata: str


class Bounds(NamedTuple):
    """The offsets that a partition holds now: the oldest one kept, and the one the next record will get."""

    earliest: int
    end: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """Something to produce."""

    topic: str
    key: bytes | None
    value: bytes | None
    headers: tuple[tuple[str, bytes], ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class DeadLetter:
    """A record that held no log line, and why."""

    record: Record
    stage: str
    reason: str


def dead_letter_message(letter: DeadLetter, topic: str) -> Message:
    """The original bytes, key and headers, and where they came from.

    A value near the broker's size limit would not fit with our headers; it is cut, and `x-original-size` says so.
    """
    record = letter.record
    value = record.value or b""
    cut = (("x-original-size", str(len(value)).encode()),) if len(value) > MAX_DEAD_LETTER_BYTES else ()
    return Message(
        topic=topic,
        key=record.key,
        value=value[:MAX_DEAD_LETTER_BYTES],
        headers=(
            *((name, value) for name, value in record.headers),
            ("x-original-topic", record.topic.encode()),
            ("x-original-partition", str(record.partition).encode()),
            ("x-original-offset", str(record.offset).encode()),
            ("x-original-timestamp", str(record.timestamp).encode()),
            ("x-error-class", b"UndecodableRecord"),
            ("x-error-stage", letter.stage.encode()),
            ("x-error-reason", letter.reason.encode()),
            *cut,
        ),
    )
