"""Bounds what a compressed batch may expand to: 300 MB of text fit into a gzip batch of half a megabyte.

The client decompresses a batch as a whole, by functions that its modules of records look up by name. `bound` replaces
these names by decoders that stop at a limit, for every client of this process, and checks that the client uses them.
Source of the xerial framing of snappy: the client's `codec.py`.
"""

from __future__ import annotations

import functools
import struct
import zlib
from collections.abc import Callable, Iterator
from typing import Any

import cramjam
import numpy as np
from aiokafka.record import default_records, legacy_records
from aiokafka.record.default_records import DefaultRecordBatchBuilder
from aiokafka.record.memory_records import MemoryRecords

from logwarden.daemon.errors import ConfigurationError

_GZIP = 1
_GZIP_FORMAT = 31
"""zlib's number for a gzip header and trailer around 32 KiB of window."""
_XERIAL = b"\x82SNAPPY\x00"
_XERIAL_HEADER_BYTES = 16
_FULL = "failed to write whole buffer"
"""The words of the codecs' language, Rust, for an output that takes no more."""
_LENGTH = struct.Struct(">i")

Decoder = Callable[[Any], bytes]


class BatchTooLarge(Exception):
    """A batch would expand beyond the limit."""

    def __init__(self, limit: int) -> None:
        super().__init__(f"it would expand to more than {limit:,} bytes, the limit of LOGWARDEN_KAFKA__MAX_BATCH_BYTES")


def bound(limit: int) -> None:
    """Makes every client of this process refuse batches that expand beyond `limit` bytes.

    Raises ConfigurationError if the installed client decompresses in another way.
    """
    decoders: dict[str, Decoder] = {
        "gzip_decode": functools.partial(gunzipped, limit=limit),
        "snappy_decode": functools.partial(unsnapped, limit=limit),
        "lz4_decode": functools.partial(expanded, limit=limit, codec=cramjam.lz4),
        "zstd_decode": functools.partial(expanded, limit=limit, codec=cramjam.zstd),
    }
    modules = _modules()
    for module in modules:
        for name in decoders.keys() & vars(module).keys():
            setattr(module, name, decoders[name])
    if not _is_in_force(modules):
        raise ConfigurationError(
            "the installed aiokafka decompresses batches in a way that cannot be bounded",
            hint="install the version that constraints.txt names",
        )


def gunzipped(payload: Any, *, limit: int) -> bytes:
    """Returns the content of one or more gzip members. Raises BatchTooLarge beyond `limit` bytes."""
    parts: list[bytes] = []
    size, rest = 0, bytes(payload)
    while rest:
        decoder = zlib.decompressobj(_GZIP_FORMAT)
        part = decoder.decompress(rest, limit - size + 1)
        size += len(part)
        if size > limit:
            raise BatchTooLarge(limit)
        if not decoder.eof:
            raise zlib.error("the gzip stream ends too early")
        parts.append(part)
        rest = decoder.unused_data.lstrip(b"\0")  # some writers pad
    return b"".join(parts)


def unsnapped(payload: Any, *, limit: int) -> bytes:
    """Returns the content of raw or xerial-framed snappy. Raises BatchTooLarge beyond `limit` bytes."""
    size, parts = 0, []
    for block in _snappy_blocks(bytes(payload)):
        size += cramjam.snappy.decompress_raw_len(block)  # stands before the block's content
        if size > limit:
            raise BatchTooLarge(limit)
        parts.append(bytes(cramjam.snappy.decompress_raw(block)))
    return b"".join(parts)


def _snappy_blocks(payload: bytes) -> Iterator[bytes]:
    if not payload.startswith(_XERIAL):
        yield payload
        return
    # 16 bytes of header, then length 5, 5 bytes, length 3, 3 bytes: blocks at 20 to 25 and at 29 to 32
    place = _XERIAL_HEADER_BYTES
    while place < len(payload):
        (length,) = _LENGTH.unpack_from(payload, place)
        place += _LENGTH.size
        yield payload[place : place + length]
        place += length


def expanded(payload: Any, *, limit: int, codec: Any) -> bytes:
    """Returns the content of lz4 or zstd, decoded by `codec`. Raises BatchTooLarge beyond `limit` bytes."""
    room = np.empty(limit, np.uint8)  # the system gives memory to the part that is written
    try:
        size = codec.decompress_into(bytes(payload), room)
    except cramjam.DecompressionError as error:
        if _FULL in str(error):
            raise BatchTooLarge(limit) from None
        raise
    return room[:size].tobytes()


def _modules() -> list[Any]:
    """Returns the modules that decompress: those compiled to machine code where the client has them."""
    found: list[Any] = [default_records, legacy_records]
    for module in (default_records, legacy_records):
        for name in ("DefaultRecordBatch", "LegacyRecordBatch"):
            kind = getattr(module, name, None)
            if kind is not None and kind.__module__ != module.__name__:
                found.append(__import__(kind.__module__, fromlist=[name]))
    return found


def _is_in_force(modules: list[Any]) -> bool:
    """Returns True if the client calls a decoder that was put in place, as a batch of one record shows."""
    called: list[bytes] = []

    def noting(payload: Any, *, real: Decoder) -> bytes:
        called.append(b"")
        return real(payload)

    owners = [(module, module.gzip_decode) for module in modules if hasattr(module, "gzip_decode")]
    builder = DefaultRecordBatchBuilder(2, _GZIP, False, -1, -1, -1, 65_536)
    builder.append(0, timestamp=0, key=None, value=b"x" * 100, headers=[])
    try:
        for module, real in owners:
            module.gzip_decode = functools.partial(noting, real=real)
        batch = MemoryRecords(bytes(builder.build())).next_batch()
        return len(list(batch)) == 1 and bool(called)
    finally:
        for module, real in owners:
            module.gzip_decode = real
