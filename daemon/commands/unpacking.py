"""Unpacks compressed bytes as a stream of parts: gzip, xz, lzma, bzip2, zstd and lz4, recognised by their first bytes.

A part has at most `PART_BYTES` bytes, however well it was packed, so a hostile archive fills no memory. What can be
read of a broken archive comes out before `Damaged` is raised. Knows nothing of lines and of text.
"""

from __future__ import annotations

import bz2
import lzma
import mmap
import os
import tempfile
import threading
import zlib
from collections.abc import Callable, Iterator
from contextlib import nullcontext, suppress
from typing import Any, Protocol

import cramjam

PART_BYTES = 1 << 18
"""Bytes of a part: a few thousand lines, enough for a full batch and less than a second of work."""
_XZ_MEMORY_BYTES = 1 << 28
"""A file may demand this memory to be unpacked. `xz -9` demands a quarter of it."""
_GZIP_FORMAT = 31

GZIP, XZ, LZMA, BZIP2, ZSTD, LZ4 = "gzip", "xz", "lzma", "bzip2", "zstd", "lz4"
_MAGIC = (
    (b"\x1f\x8b\x08", GZIP),
    (b"\xfd7zXZ\0", XZ),
    (b"]\0\0", LZMA),
    (b"\x28\xb5\x2f\xfd", ZSTD),
    (b"\x04\x22\x4d\x18", LZ4),
)
LONGEST_MAGIC = 10


class Damaged(Exception):
    """The rest of a file cannot be read. `str()` is a clause with the reason."""


def packing_of(head: bytes) -> str | None:
    """Returns the name of the packing that a file with these first bytes has, or None."""
    for magic, name in _MAGIC:
        if head.startswith(magic):
            return name
    # A text may begin with BZh1; the six bytes behind it, the digits of pi, are in no text.
    if head[:3] == b"BZh" and head[4:10] in (b"1AY&SY", b"\x17\x72\x45\x38\x50\x90"):
        return BZIP2
    # pzstd begins its files with a frame that readers skip.
    return ZSTD if len(head) >= 4 and 0x50 <= head[0] <= 0x5F and head[1:4] == b"\x2a\x4d\x18" else None


def may_be_packed(head: bytes) -> bool:
    """Returns True if the bytes behind these first ones decide whether a file is packed."""
    starts = [magic for magic, _ in _MAGIC] + [b"BZh", *(bytes([byte]) + b"\x2a\x4d\x18" for byte in range(0x50, 0x60))]
    return any(head[: len(start)] == start[: len(head)] for start in starts)


def unpacked(parts: Iterator[bytes], packing: str, *, file: int | None = None) -> Iterator[bytes]:
    """Yields the content of an archive, all its members. Raises Damaged where the rest cannot be read.

    `file`: descriptor of the regular file that the parts come from, if there is one.
    """
    if packing in (ZSTD, LZ4):
        yield from _by_frames(parts, packing, file)
    else:
        yield from _by_members(parts, packing, _DECODERS[packing])


class _Decompressor(Protocol):
    """What the decompressors of the standard library for one member have in common."""

    @property
    def eof(self) -> bool: ...
    @property
    def needs_input(self) -> bool: ...
    @property
    def unused_data(self) -> bytes: ...
    def decompress(self, data: bytes, max_length: int) -> bytes: ...


class _Gunzip:
    """Gives zlib's decompressor the form of the other two."""

    def __init__(self) -> None:
        self._zlib = zlib.decompressobj(_GZIP_FORMAT)

    @property
    def eof(self) -> bool:
        return self._zlib.eof

    @property
    def needs_input(self) -> bool:
        return not self._zlib.unconsumed_tail

    @property
    def unused_data(self) -> bytes:
        return self._zlib.unused_data

    def decompress(self, data: bytes, max_length: int) -> bytes:
        return self._zlib.decompress(self._zlib.unconsumed_tail + data, max_length)


_DECODERS: dict[str, Callable[[], _Decompressor]] = {
    GZIP: _Gunzip,
    XZ: lambda: lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=_XZ_MEMORY_BYTES),
    LZMA: lambda: lzma.LZMADecompressor(lzma.FORMAT_ALONE, memlimit=_XZ_MEMORY_BYTES),
    BZIP2: bz2.BZ2Decompressor,
}


def _by_members(parts: Iterator[bytes], packing: str, new: Callable[[], _Decompressor]) -> Iterator[bytes]:
    """Yields the content of one member after the other: `cat a.gz b.gz` makes a file of two."""
    rest = next(parts, b"")
    while rest:
        decoder = new()
        try:
            while not decoder.eof:
                if decoder.needs_input and not rest:
                    rest = next(parts, b"")
                    if not rest:
                        raise Damaged(f"its {packing} data ends too early")
                part = decoder.decompress(rest, PART_BYTES)
                rest = b""
                if part:
                    yield part
        except (zlib.error, lzma.LZMAError, OSError, EOFError) as error:
            raise Damaged(f"its {packing} data is damaged: {error}") from None
        rest = _next_member(decoder.unused_data, parts)
        if rest and packing_of(rest) != packing:
            raise Damaged(f"behind its {packing} data stand bytes that are not {packing}")


def _next_member(rest: bytes, parts: Iterator[bytes]) -> bytes:
    """Returns the bytes from the next member on, without the zeros with which some writers pad a member."""
    while len(rest := rest.lstrip(b"\0")) < LONGEST_MAGIC:
        more = next(parts, b"")
        if not more:
            break
        rest += more
    return rest


def _by_frames(parts: Iterator[bytes], packing: str, file: int | None) -> Iterator[bytes]:
    """Yields the content of zstd or lz4, all frames.

    cramjam unpacks what lies in memory or in a file. Packed bytes from a pipe therefore go into a temporary file. The
    content comes through a pipe, whose writer waits for its reader: so neither fills the memory.
    """
    codec = cramjam.zstd if packing == ZSTD else cramjam.lz4
    with tempfile.TemporaryFile() if file is None else nullcontext() as spool:
        if spool is not None:
            spool.writelines(parts)
            spool.flush()
            file = spool.fileno()
        reader, writer = os.pipe()
        errors: list[Exception] = []
        thread = threading.Thread(target=_write_content, args=(codec, file, writer, errors), daemon=True)
        thread.start()
        try:
            with open(reader, "rb", buffering=0) as pipe:
                while part := pipe.read(PART_BYTES):
                    yield part
        finally:
            thread.join()  # a reader that leaves early has closed the pipe, which ends the writer
    if errors:
        raise Damaged(f"its {packing} data ends too early or is damaged: {errors[0]}")


def _write_content(codec: Any, packed: int, writer: int, errors: list[Exception]) -> None:
    """Writes the content of a packed file into a pipe, in a thread. A reader that leaves ends it with an error."""
    content = None
    try:
        content = cramjam.File(f"/dev/fd/{writer}", read=False, write=True)
        with mmap.mmap(packed, 0, access=mmap.ACCESS_READ) as memory:
            codec.decompress_into(memory, content)
    except Exception as error:  # of a thread: the reader raises it
        errors.append(error)
    finally:
        del content  # closes its end of the pipe
        with suppress(OSError):
            os.close(writer)
