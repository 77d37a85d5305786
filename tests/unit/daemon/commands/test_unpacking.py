"""Archives of six packings, whole, joined, truncated and damaged."""

from __future__ import annotations

import bz2
import gzip
import lzma
import zlib
from collections.abc import Callable, Iterator
from itertools import islice

import cramjam
import pytest

from logwarden.daemon.commands import unpacking
from logwarden.daemon.commands.unpacking import PART_BYTES, Damaged, may_be_packed, packing_of, unpacked

TEXT = b"".join(b"request %d served in %d ms\n" % (i, i * 7919 % 997) for i in range(12_000))
PACKINGS: dict[str, Callable[[bytes], bytes]] = {
    "gzip": gzip.compress,
    "xz": lzma.compress,
    "lzma": lambda data: lzma.compress(data, lzma.FORMAT_ALONE),
    "bzip2": bz2.compress,
    "zstd": lambda data: bytes(cramjam.zstd.compress(data)),
    "lz4": lambda data: bytes(cramjam.lz4.compress(data)),
}


def pieces(data: bytes, size: int = 10_000) -> Iterator[bytes]:
    yield from (data[at : at + size] for at in range(0, len(data), size))


def content(data: bytes, packing: str, size: int = 10_000) -> tuple[bytes, str | None]:
    """Returns what can be read, and the reason why the rest cannot."""
    parts: list[bytes] = []
    try:
        for part in unpacked(pieces(data, size), packing):
            assert 0 < len(part) <= PART_BYTES
            parts.append(part)
    except Damaged as error:
        return b"".join(parts), str(error)
    return b"".join(parts), None


@pytest.mark.parametrize("packing", PACKINGS)
def test_an_archive_is_recognised_and_read(packing: str) -> None:
    """The first bytes name the packing, and the content comes out, in small parts and large."""
    data = PACKINGS[packing](TEXT)
    assert packing_of(data[:10]) == packing
    assert all(may_be_packed(data[:size]) for size in range(11))
    assert content(data, packing) == (TEXT, None)
    assert content(PACKINGS[packing](b"short"), packing, size=1) == (b"short", None)


@pytest.mark.parametrize("packing", [name for name in PACKINGS if name != "lzma"])
def test_joined_archives_are_read_to_the_end(packing: str) -> None:
    """`cat a.gz b.gz` and `gzip -c >> log.gz` make files of several members."""
    half = len(TEXT) // 2
    data = PACKINGS[packing](TEXT[:half]) + PACKINGS[packing](TEXT[half:])
    assert content(data, packing) == (TEXT, None)


@pytest.mark.parametrize("packing", PACKINGS)
def test_a_truncated_archive_gives_what_is_there(packing: str) -> None:
    """A copy that broke off is read up to its end, and the end is reported."""
    data = PACKINGS[packing](TEXT)
    found, reason = content(data[: len(data) // 2], packing)
    assert TEXT.startswith(found)
    assert len(found) > 1_000 or packing == "bzip2", "bzip2 gives whole blocks of 900 kB"
    assert reason is not None
    assert f"its {packing} data ends too early" in reason


@pytest.mark.parametrize("packing", PACKINGS)
def test_bytes_behind_an_archive_are_reported(packing: str) -> None:
    """The content comes out, and what follows it is not passed over in silence."""
    found, reason = content(PACKINGS[packing](TEXT) + b"and some more bytes", packing)
    assert found == TEXT
    assert reason is not None


def test_damage_inside_gzip_is_reported() -> None:
    """A wrong checksum is no end of the file."""
    data = bytearray(gzip.compress(TEXT))
    data[-6] ^= 1
    found, reason = content(bytes(data), "gzip")
    assert TEXT.startswith(found)
    assert reason is not None
    assert reason.startswith("its gzip data is damaged: ")


def test_padding_between_members_is_no_damage() -> None:
    """Tapes and some writers fill a block with zeros."""
    data = gzip.compress(TEXT) + bytes(512) + gzip.compress(b"next\n") + bytes(512)
    assert content(data, "gzip") == (TEXT + b"next\n", None)


@pytest.mark.parametrize("packing", PACKINGS)
def test_a_bomb_fills_no_memory(packing: str) -> None:
    """Eight megabytes of zeros come out in small parts, and a reader may leave after the first ones."""
    data = PACKINGS[packing](bytes(8 << 20))
    parts = unpacked(iter([data]), packing)
    assert all(len(part) <= PART_BYTES for part in islice(parts, 5))
    assert isinstance(parts, Iterator)
    parts.close()  # type: ignore[attr-defined]


def test_an_archive_that_wants_gigabytes_is_damaged(monkeypatch: pytest.MonkeyPatch) -> None:
    """A file may demand a bounded memory only."""
    monkeypatch.setattr(unpacking, "_XZ_MEMORY_BYTES", 1 << 20)
    found, reason = content(lzma.compress(TEXT, preset=9), "xz")
    assert (found, reason) == (b"", "its xz data is damaged: Memory usage limit exceeded")


@pytest.mark.parametrize(
    "head", [b"", b"plain", b"BZh9 is no archive", b"(", b"]", b"\x1f", zlib.compress(b"x"), b"P*", b"2026-11-23"]
)
def test_a_text_is_no_archive(head: bytes) -> None:
    """A text may begin like an archive."""
    assert packing_of(head) is None
