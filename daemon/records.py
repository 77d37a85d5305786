"""Defines the nouns that travel through the daemon: partitions, records, offsets, messages. Data only."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol


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


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """Something to produce."""

    topic: str
    key: bytes | None
    value: bytes | None
    headers: tuple[tuple[str, bytes], ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class DeadLetter:
    """A record without a readable log line, and why it is none."""

    record: Record
    stage: str
    reason: str
