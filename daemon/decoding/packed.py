"""Unpacks values that a producer compressed on its own, within a bound, and finds values that are no text at all.

The magic bytes at the beginning decide. Compression of whole batches is Kafka's own (`daemon/kafka/decompression.py`).
"""

from __future__ import annotations

import bz2
import codecs
import lzma
import re
import zlib
from collections.abc import Callable
from typing import Any

import cramjam

from logwarden.daemon.errors import UndecodableRecord

MAX_BYTES = 16 * 1024 * 1024
"""Bytes to which what a record packs may unpack: far more than a broker takes as one, far less than the memory."""
_MAX_STREAMS = 1_000
"""Packed streams, one behind the other, of which a value may consist: each costs a copy of those behind it."""
_XZ_MEMORY_BYTES = 1 << 26
"""A value may demand this memory to be unpacked."""
_MAX_FIELDS = 10_000
"""Fields from which a value is a message of protobuf for sure."""
_SAMPLE_BYTES = 4_096
_MAGIC = (
    (b"\x89PNG\r\n", "a PNG image"),
    (b"\xff\xd8\xff", "a JPEG image"),
    (b"GIF8", "a GIF image"),
    (b"%PDF-", "a PDF file"),
    (b"PK\x03\x04", "a ZIP archive"),
    (b"\x7fELF", "a program"),
    (b"Obj\x01", "an Avro file"),
    (b"PAR1", "a Parquet file"),
    (b"\xca\xfe\xba\xbe", "a Java class"),
    (b"\xac\xed\x00\x05", "a serialized Java object"),
    (b"\x80\x04\x95", "a pickled Python object"),
    (b"ElfFile\0", "a Windows event log file"),
    (b"SQLite format 3\0", "an SQLite database"),
    (b"LPKSHHRH", "a journal file of systemd"),
    (b"\xd9\xd9\xf7", "CBOR"),
    (b"7z\xbc\xaf\x27\x1c", "a 7-Zip archive"),
)
_CBOR = re.compile(rb"[\x80-\x8f\xa1-\xb7\xbf\xde](?:[\x61-\x77][a-z@_]{1,23}|[\xa1-\xb7][a-z@_]{1,23})")
"""Head of an object, and of its first key, in two formats that have no byte to mark them."""
_FRAME_BYTES, _WIDE_FRAME_BYTES = 5, 9
"""A zero and the four or eight bytes of a schema's number stand before values of a schema registry."""
_NO_TEXT = bytes(c for c in range(1, 32) if c not in b"\t\n\r\x1b\f\b")
"""Bytes of which text has few. Text of fixed width has zeros between its parts, so that these count apart."""
_CONTROLS = b"\0" + _NO_TEXT


def unpacked(value: bytes, most: int = MAX_BYTES) -> bytes:
    """Returns the content of a compressed value, else the value. Raises UndecodableRecord for more than `most` bytes.

    `most`: what is left of `MAX_BYTES` if other values of the same record were unpacked before.
    """
    unpack = _unpacker(value)
    if unpack is None:
        return value
    try:
        content = unpack(value, most)
    except (zlib.error, lzma.LZMAError, OSError, EOFError, ValueError, cramjam.DecompressionError) as error:
        if unpack is _inflated:  # two bytes of a text may look like the head of zlib
            return value
        raise UndecodableRecord(
            "packed", f"the value begins like a packed one and cannot be unpacked: {error}"
        ) from None
    if len(content) > most:
        raise UndecodableRecord("packed", f"the record would unpack to more than {MAX_BYTES:,} bytes")
    return content


def bare(value: bytes) -> bytes:
    """Returns a value without the number of its schema. Raises UndecodableRecord for files and for other schemas."""
    for magic, name in _MAGIC:
        if value.startswith(magic):
            raise UndecodableRecord("binary", f"the value is {name}, not text")
    if value[:1] == b"\0" and len(value) > _FRAME_BYTES and value.strip(b"\0") and value[:4] != codecs.BOM_UTF32_BE:
        if value[_FRAME_BYTES:].lstrip()[:1] in (b"{", b"["):  # the registry's JSON values are JSON
            return value[_FRAME_BYTES:]
        if any(value[1:_WIDE_FRAME_BYTES]) and not value[1:2].strip(b"\0"):
            number = int.from_bytes(value[1 : _FRAME_BYTES if any(value[1:_FRAME_BYTES]) else _WIDE_FRAME_BYTES], "big")
            raise UndecodableRecord("binary", f"the value is written in schema {number} of a schema registry")
    return value


def may_be_binary(value: bytes) -> bool:
    """Returns False for text of ASCII, whose control characters are those of text."""
    return not value.isascii() or len(value.translate(None, _CONTROLS)) != len(value)


def refuse_binary(value: bytes) -> None:
    """Raises UndecodableRecord if a value of one byte per character is no text."""
    sample = value.strip(b"\0")[:_SAMPLE_BYTES]
    odd = len(sample) - len(sample.translate(None, _NO_TEXT))
    if _CBOR.match(value) and not _is_utf8(sample):
        raise UndecodableRecord("binary", "the value is CBOR or MessagePack, not text")
    if (
        odd * (4 if value.isascii() else 10) > len(sample)
        or (odd and (odd + sample.count(0)) * 4 > len(sample))
        or sample.count(0) * 3 > len(sample)
        or (odd and not _is_utf8(sample))
        or _is_message(value)
    ):
        raise UndecodableRecord("binary", "the value is binary, not text")


def _unpacker(value: bytes) -> Callable[[bytes, int], bytes] | None:
    head = value[:4]
    if head[:2] == b"\x1f\x8b":
        return _gunzipped
    if head == b"\x28\xb5\x2f\xfd":
        return _of_zstd
    if head == b"\x04\x22\x4d\x18":
        return _of_lz4
    if head[:3] == b"BZh" and value[4:10] == b"1AY&SY":
        return _of_bzip2
    if value.startswith(b"\xfd7zXZ\0"):
        return _of_xz
    if value.startswith(b"]\0\0") and value[5:13] == b"\xff" * 8:
        return _of_lzma
    if value.startswith(b"\xff\x06\0\0sNaPpY"):
        return _of_snappy
    if head[:1] == b"x" and head[1:2] in (b"\x01", b"\x5e", b"\x9c", b"\xda"):
        return _inflated
    return None


def _gunzipped(value: bytes, most: int) -> bytes:
    return _by_streams(value, most, lambda: zlib.decompressobj(31))


def _inflated(value: bytes, most: int) -> bytes:
    return _by_streams(value, most, zlib.decompressobj)


def _of_bzip2(value: bytes, most: int) -> bytes:
    return _by_streams(value, most, bz2.BZ2Decompressor)


def _of_xz(value: bytes, most: int) -> bytes:
    return _by_streams(value, most, lambda: lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=_XZ_MEMORY_BYTES))


def _of_lzma(value: bytes, most: int) -> bytes:
    return _by_streams(value, most, lambda: lzma.LZMADecompressor(lzma.FORMAT_ALONE, memlimit=_XZ_MEMORY_BYTES))


def _by_streams(value: bytes, most: int, new: Callable[[], Any]) -> bytes:
    """Returns the content of one stream after the other: packers that work in parallel write many."""
    parts: list[bytes] = []
    size, rest = 0, value
    while rest and size <= most:
        if len(parts) == _MAX_STREAMS:
            raise ValueError(f"it consists of more than {_MAX_STREAMS:,} streams")
        decoder = new()
        parts.append(decoder.decompress(rest, most - size + 1))
        size += len(parts[-1])
        if not decoder.eof and size <= most:
            raise EOFError("the stream ends too early")
        rest = decoder.unused_data.lstrip(b"\0")
    return b"".join(parts)


def _of_zstd(value: bytes, most: int) -> bytes:
    return _into_room(cramjam.zstd, value, most)


def _of_lz4(value: bytes, most: int) -> bytes:
    return _into_room(cramjam.lz4, value, most)


def _of_snappy(value: bytes, most: int) -> bytes:
    return _into_room(cramjam.snappy, value, most)


def _into_room(codec: object, value: bytes, most: int) -> bytes:
    """Returns the content, in a room that grows until the content fits or the bound is reached."""
    room = min(most + 1, max(64 * 1024, 8 * len(value)))
    while True:
        out = bytearray(room)
        try:
            return bytes(out[: codec.decompress_into(value, out)])  # type: ignore[attr-defined]
        except cramjam.DecompressionError as error:
            if "whole buffer" not in str(error) and "too small" not in str(error).lower():
                raise
            if room > most:
                return bytes(room)
            room = min(most + 1, 8 * room)


def _is_utf8(sample: bytes) -> bool:
    """Returns True for UTF-8 whose last character may be torn."""
    try:
        sample.decode()
    except UnicodeDecodeError as error:
        return error.start >= len(sample) - 3 and len(sample) == _SAMPLE_BYTES
    return True


def _is_message(value: bytes) -> bool:
    """Returns True if the value is a whole protobuf message that begins with a text or a message of its own."""
    if value[:1] not in (b"\x0a", b"\x12", b"\x1a", b"\x08") or len(value) < 3:
        return False
    if len(value.translate(None, _NO_TEXT)) == len(value):
        return False
    place, fields, size = 0, 0, len(value)
    while place < size and fields < _MAX_FIELDS:
        key, place = _varint(value, place)
        kind = key & 7
        if key >> 3 == 0 or key >> 3 > 1_000 or kind not in (0, 1, 2, 5):
            return False
        if kind == 2:
            length, place = _varint(value, place)
            place += length
        elif kind == 0:
            _, place = _varint(value, place)
        else:
            place += 8 if kind == 1 else 4
        fields += 1
    return place == size or (place < size and fields == _MAX_FIELDS)


def _varint(value: bytes, place: int) -> tuple[int, int]:
    number, shift = 0, 0
    while place < len(value) and shift < 64:
        byte = value[place]
        number |= (byte & 0x7F) << shift
        place, shift = place + 1, shift + 7
        if byte < 0x80:
            return number, place
    return 0, len(value) + 1
