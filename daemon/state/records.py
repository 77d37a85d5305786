"""The records of the state topic: which service a record is about, and up to which line it is valid.

A key names topic, incarnation, partition and service. A value begins with what decides whether the record counts; the
snapshot behind it is read only if it does. Pure.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import msgspec

FORMAT = 3
MAX_MARKS = 8
"""Periods of ownership that a commit names: what was written by an earlier one was sorted out long ago."""


class UnreadableRecord(ValueError):
    """The value of a record cannot be read. Its argument is the reason: `damaged`, `format` or `masks`."""


class Mark(NamedTuple):
    """A cut of one run that was committed: records of that run count up to this cut."""

    epoch: int
    """Number of the run: one more than that of the run whose commits it continues."""
    run: str
    """Name of a period of ownership, unlike that of any other."""
    cut: int
    """First offset that the member had not read when the cut was made."""


class Through(NamedTuple):
    """The first line of a service that its snapshot does not contain."""

    offset: int
    line_index: int


def first_of(*waiting: Mapping[str, Through]) -> dict[str, Through]:
    """Returns the first line of each service in any of these."""
    first: dict[str, Through] = {}
    for lines in waiting:
        for service, line in lines.items():
            first[service] = min(line, first.get(service, line))
    return first


class StateKey(NamedTuple):
    """The service that a record is about, as one consumer group knows it."""

    group: str
    topic: str
    incarnation: str
    partition: int
    service: str

    def encode(self) -> bytes:
        """Returns the key's bytes."""
        return msgspec.json.encode(self)


class StateValue(msgspec.Struct, array_like=True, frozen=True):
    """A record's value."""

    format: int
    masks: str
    """Fingerprint of the masking: names of lines under another one mean nothing."""
    epoch: int
    run: str
    cut: int
    is_first: bool
    """No record of this service was there before, as far as the run knows."""
    has_past: bool
    """A cut of this partition was committed before this one."""
    through: Through
    snapshot: bytes

    def encode(self) -> bytes:
        """Returns the value's bytes."""
        return _encoder.encode(self)


_encoder = msgspec.msgpack.Encoder()
_value_decoder = msgspec.msgpack.Decoder(StateValue)
_key_decoder = msgspec.json.Decoder(StateKey)


def read_key(data: bytes) -> StateKey | None:
    """Returns a record's key. Returns None for one of another program."""
    try:
        return _key_decoder.decode(data)
    except (msgspec.MsgspecError, ValueError):
        return None


def read_value(data: bytes) -> StateValue:
    """Returns a record's value. Raises UnreadableRecord for one of another format, and for other bytes."""
    try:
        value = _value_decoder.decode(data)
    except msgspec.MsgspecError:
        raise UnreadableRecord("format" if _is_of_another_format(data) else "damaged") from None
    if value.format != FORMAT:
        raise UnreadableRecord("format")
    return value


def _is_of_another_format(data: bytes) -> bool:
    try:
        fields = msgspec.msgpack.decode(data)
    except (msgspec.MsgspecError, ValueError):
        return False
    return isinstance(fields, list) and bool(fields) and isinstance(fields[0], int) and fields[0] != FORMAT
