"""Reads the codec of a topic's batches from the broker's disk, and damages a batch.

Source of the layout: Kafka's documentation, "Record Batch", magic 2. Knows files, and neither clients nor logwarden.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from aiokafka.record.util import calc_crc32c

CODECS = ("none", "gzip", "snappy", "lz4", "zstd")
"""Names of the codecs, by the number in a batch's attributes."""
_HEADER = struct.Struct(">qiibIh")
"""Base offset, length of what follows, leader epoch, magic, CRC, attributes; 23 of the 61 bytes of a header."""
_BEFORE_LENGTH = 12
"""Bytes of a batch that its length does not count: base offset and length."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """One batch in a segment file. `position` and `size` are bytes of that file."""

    path: Path
    position: int
    size: int
    base_offset: int
    codec: str


def batches(data: Path, topic: str, partition: int = 0) -> Iterator[Batch]:
    """Yields the batches of a partition in order of their offsets. `data`: the broker's log.dirs."""
    for path in sorted((data / f"{topic}-{partition}").glob("*.log")):
        content = path.read_bytes()
        position = 0
        # two batches of 100 bytes: position 0, length 88 → size 12 + 88 → position 100, length 88 → position 200
        while position + _HEADER.size <= len(content):
            base, length, _, magic, _, attributes = _HEADER.unpack_from(content, position)
            if not length:
                break  # a segment is preallocated with zeros
            assert magic == 2, "Kafka writes nothing older"
            size = _BEFORE_LENGTH + length
            yield Batch(path=path, position=position, size=size, base_offset=base, codec=CODECS[attributes & 7])
            position += size


_CRC_AT, _CHECKED_FROM, _RECORDS_FROM = 17, 21, 61
"""Bytes of a batch: where its CRC stands, where the bytes begin that the CRC covers, where the records begin."""


@contextmanager
def damaged(batch: Batch, *, valid_crc: bool) -> Iterator[None]:
    """Damages the records of a batch on disk and restores it afterwards.

    `valid_crc`: the CRC fits the damage, as if a producer had written a batch that does not decompress.
    """
    with batch.path.open("r+b", buffering=0) as segment:
        segment.seek(batch.position)
        whole = segment.read(batch.size)
        broken = bytearray(whole)
        broken[_RECORDS_FROM : _RECORDS_FROM + 16] = b"\xa5" * 16
        if valid_crc:
            struct.pack_into(">I", broken, _CRC_AT, calc_crc32c(bytes(broken[_CHECKED_FROM:])))
        segment.seek(batch.position)
        segment.write(broken)
        try:
            yield
        finally:
            segment.seek(batch.position)
            segment.write(whole)
