"""Defines the nouns that travel through the daemon: partitions, records, offsets, messages. Data only."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Literal, NamedTuple, Protocol

InputFormat = Literal[
    "auto",
    "raw",
    "json",
    "otlp",
    "xml",
    "syslog",
    "cri",
    "logfmt",
    "access",
    "w3c",
    "cef",
    "leef",
    "glog",
    "avro",
    "protobuf",
]
"""Format of the records of a topic. Of `auto`, the decoder decides record by record; the others are promised."""


Entries = Iterable[tuple[bytes, bytes | None]]
"""Records of a compacted topic in the order of their offsets: key and value. None deletes what the key had."""


class KeyedRecord(NamedTuple):
    """A record of a topic in which the newest record of a key counts."""

    key: bytes
    value: bytes | None
    """None deletes what the key had."""
    time_ms: int = 0
    """Time of publication."""
    partition: int = 0


class Partition(NamedTuple):
    """A partition of a topic: the unit of order and of ownership."""

    topic: str
    partition: int


class Record(Protocol):
    """What a consumer returns, as far as the daemon reads it. aiokafka's ConsumerRecord is one."""

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
    """The offsets in a partition now: the oldest one kept, and the one the next record will get."""

    earliest: int
    end: int
    incarnation: str = ""
    """Identity of the topic, which another topic of the same name does not have. Empty if the broker reports none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AlertBatch:
    """What one fetch of the alerts topic brought, to the member that folds incidents."""

    term: int
    """Number of the assignment: another one means that everything is read again. 0: another member folds."""
    records: Sequence[Record] = ()
    """In order per partition."""
    positions: Mapping[int, int] = field(default_factory=dict)
    """Partition → the offset that is read next."""
    ends: Mapping[int, int] = field(default_factory=dict)
    """Partition → its end when the term began."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FollowedEntries:
    """A piece of a topic that is followed."""

    entries: Sequence[tuple[bytes, bytes | None, int]] = ()
    """Key, value and time of publication of each record, in order per partition."""
    partitions: Sequence[int] = ()
    """The partition of each record. Empty: all are of one."""
    is_caught_up: bool = False
    """True once everything was passed on that the topic had at the start."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fetched:
    """What one fetch brought."""

    records: Mapping[Partition, Sequence[Record]] = field(default_factory=dict)
    """In order per partition, at least one each."""
    positions: Mapping[Partition, int] = field(default_factory=dict)
    """Offset from which each partition of this fetch is read next. It also passes offsets without a record for readers,
    such as transaction markers, records of aborted transactions, and records that compaction removed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """Something to produce."""

    topic: str
    key: bytes | None
    value: bytes | None
    headers: tuple[tuple[str, bytes], ...] = ()
    partition: int | None = None
    """Number of the partition; one beyond the topic's last is taken modulo their number. None: chosen by the key."""


class Delivery(Enum):
    """The outcome of one message."""

    ACKNOWLEDGED = "acknowledged"
    """All in-sync replicas have it."""
    FAILED = "failed"
    """It may or may not be in the topic: send it again."""
    TOO_LARGE = "too_large"
    """The topic takes no message of this size: send a smaller one."""
    REFUSED = "refused"
    """The topic will never take it, whatever its size."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SchemaText:
    """A schema as a registry returns it."""

    kind: str
    """AVRO, PROTOBUF or JSON."""
    text: str
    """Of Protobuf, a file's serialized description in base64."""
    references: tuple[tuple[str, str], ...] = ()
    """(name, text) of each schema that it refers to, those first to which others refer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DeadLetter:
    """A record without a readable log line, and why it is none."""

    record: Record
    stage: str
    reason: str
