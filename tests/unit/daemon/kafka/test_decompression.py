"""Batches are decompressed up to a limit, by the decoders of the client as by ours."""

from __future__ import annotations

import random
import resource
import zlib
from collections.abc import Callable, Iterator

import cramjam
import pytest
from aiokafka import codec
from aiokafka.record import default_records
from aiokafka.record.default_records import DefaultRecordBatchBuilder
from aiokafka.record.memory_records import MemoryRecords

from logwarden.daemon.errors import ConfigurationError
from logwarden.daemon.kafka import decompression
from logwarden.daemon.kafka.decompression import BatchTooLarge, bound, expanded, gunzipped, unsnapped

CODECS = {"gzip": 1, "snappy": 2, "lz4": 3, "zstd": 4}
DECODERS: dict[str, Callable[[bytes, int], bytes]] = {
    "gzip": lambda payload, limit: gunzipped(payload, limit=limit),
    "snappy": lambda payload, limit: unsnapped(payload, limit=limit),
    "lz4": lambda payload, limit: expanded(payload, limit=limit, codec=cramjam.lz4),
    "zstd": lambda payload, limit: expanded(payload, limit=limit, codec=cramjam.zstd),
}
BOMB_BYTES = 200 * 1_048_576


@pytest.fixture(autouse=True)
def bounded_as_before() -> Iterator[None]:
    """Gives later tests the default limit again: the limit belongs to the process."""
    yield
    bound(268_435_456)


def encoded(name: str, data: bytes) -> bytes:
    found: bytes = getattr(codec, f"{name}_encode")(data)
    return found


@pytest.mark.parametrize("name", CODECS)
def test_what_fits_is_what_the_client_decodes(name: str) -> None:
    """Texts of many lengths, of few words and of random bytes, up to the limit exactly."""
    source = random.Random(7)
    for size in (0, 1, 31, 1_000, 65_536, 300_000):
        for data in (b"GET /api/orders 200\n" * (size // 20), source.randbytes(size)):
            payload = encoded(name, data)
            assert DECODERS[name](payload, max(1, len(data))) == data
            if len(data) > 1:
                with pytest.raises(BatchTooLarge, match="LOGWARDEN_KAFKA__MAX_BATCH_BYTES"):
                    DECODERS[name](payload, len(data) - 1)


@pytest.mark.parametrize("name", CODECS)
def test_a_bomb_is_refused_before_it_has_its_memory(name: str) -> None:
    """200 MB of zeros: refused at a limit of 1 MB with less memory than a tenth of them."""
    payload = encoded(name, bytes(BOMB_BYTES))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(BatchTooLarge):
        DECODERS[name](payload, 1_048_576)
    assert (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1_024 < BOMB_BYTES / 10


@pytest.mark.parametrize("name", CODECS)
def test_damage_is_no_bomb(name: str) -> None:
    """A stream that is cut or begins with other bytes is refused by its codec, for its own reason."""
    payload = encoded(name, random.Random(7).randbytes(10_000))
    for damaged in (payload[:-9], b"\xa5" * 16 + payload[16:]):
        with pytest.raises((zlib.error, cramjam.DecompressionError)):
            DECODERS[name](damaged, 1_000_000)


def test_gzip_of_several_members_is_one_text() -> None:
    """Writers may end a member and begin another, and pad with zeros; the limit is for all of them."""
    payload = encoded("gzip", b"a" * 600) + encoded("gzip", b"b" * 600) + bytes(8)
    assert gunzipped(payload, limit=1_200) == b"a" * 600 + b"b" * 600
    with pytest.raises(BatchTooLarge):
        gunzipped(payload, limit=1_199)


def test_snappy_without_frames_is_read_too() -> None:
    """Some producers write the raw form; its length stands at its begin."""
    assert unsnapped(cramjam.snappy.compress_raw(b"a" * 600), limit=600) == b"a" * 600
    with pytest.raises(BatchTooLarge):
        unsnapped(cramjam.snappy.compress_raw(b"a" * 600), limit=599)


@pytest.mark.parametrize("name", CODECS)
def test_the_client_uses_the_bounded_decoders(name: str) -> None:
    """A batch as a producer writes it: read below the limit, refused above it."""
    builder = DefaultRecordBatchBuilder(2, CODECS[name], False, -1, -1, -1, 1_000_000)
    for number in range(10):
        builder.append(number, timestamp=0, key=None, value=b"x" * 1_000, headers=[])
    batch = bytes(builder.build())
    bound(20_000)
    assert len(list(MemoryRecords(batch).next_batch())) == 10
    bound(5_000)
    with pytest.raises(BatchTooLarge):
        list(MemoryRecords(batch).next_batch())


def test_a_client_that_decompresses_elsewhere_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """A release that renames its decoders is noticed at the start, and not by the first bomb."""
    monkeypatch.setattr(decompression, "_modules", list)
    with pytest.raises(ConfigurationError, match="cannot be bounded"):
        bound(5_000)


def test_the_check_leaves_the_decoders_in_place() -> None:
    """What is put in place for the check is taken away again."""
    bound(5_000)
    assert default_records.gzip_decode.func is gunzipped
    assert default_records.gzip_decode.keywords == {"limit": 5_000}
