"""The nouns that travel through the daemon: partitions, records, messages. Data only; behaviour lives elsewhere."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

MAX_DEAD_LETTER_BYTES = 512 * 1024
MAX_DEAD_LETTER_KEY_BYTES = 128 * 1024
MAX_DEAD_LETTER_HEADER_BYTES = 128 * 1024
"""Together below the 1 MiB that a broker takes by default."""


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

    What comes from a topic of large messages, or near the broker's limit, would not fit with our headers: such a value
    or key is cut and such headers are left out; `x-original-size`, `-key-size` and `-headers-size` say so.
    """
    record = letter.record
    value, key = record.value or b"", record.key
    headers = tuple((name, value) for name, value in record.headers)
    sizes = (
        ("x-original-size", len(value), MAX_DEAD_LETTER_BYTES),
        ("x-original-key-size", len(key or b""), MAX_DEAD_LETTER_KEY_BYTES),
        ("x-original-headers-size", sum(len(n) + len(v or b"") for n, v in headers), MAX_DEAD_LETTER_HEADER_BYTES),
    )
    cut = {name: str(size).encode() for name, size, limit in sizes if size > limit}
    return Message(
        topic=topic,
        key=key if key is None else key[:MAX_DEAD_LETTER_KEY_BYTES],
        value=value[:MAX_DEAD_LETTER_BYTES],
        headers=(
            *(() if "x-original-headers-size" in cut else headers),
            ("x-original-topic", record.topic.encode()),
            ("x-original-partition", str(record.partition).encode()),
            ("x-original-offset", str(record.offset).encode()),
            ("x-original-timestamp", str(record.timestamp).encode()),
            ("x-error-class", b"UndecodableRecord"),
            ("x-error-stage", letter.stage.encode()),
            ("x-error-reason", letter.reason.encode()),
            *cut.items(),
        ),
    )
