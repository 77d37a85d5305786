"""A snapshot is everything that a stream keeps about a service, and damaged bytes are none."""

from __future__ import annotations

import random
import zlib

import msgspec
import numpy as np
import pytest

from logwarden.daemon.state import snapshot
from logwarden.daemon.state.snapshot import UnreadableState
from logwarden.model.lines import LineTable
from logwarden.model.stream import LineColumns, LogStream
from tests.sim.stand_ins import EPOCH_MS, encode

WORDS = ("alpha", "beta", "gamma", "delta", "disk full", "connection refused")

FEW_ROWS = 48
"""Rows of a table that evicts lines, and has room for those of a batch and of the rings."""


def stream(rows: int = 4096) -> LogStream:
    return LogStream(LineTable(rows, encode, lambda *_: None), size=8, max_slots=2)


def lines(first: int, last: int) -> LineColumns:
    """Returns lines of two services; every tenth is an error."""
    chance = random.Random(first)
    texts = [
        f"{chance.choice(WORDS)} {n} of {chance.choice(WORDS)}{' ERROR' * (n % 10 == 0)}" for n in range(first, last)
    ]
    offsets = np.arange(first, last)
    return LineColumns(
        texts=[text.encode() for text in texts],
        slots=offsets % 2,
        offset=offsets,
        index=np.zeros(len(texts), np.int32),
        timestamp=np.where(offsets % 7 == 0, -1, EPOCH_MS + offsets * 900),
    )


@pytest.mark.parametrize("rows", [4096, FEW_ROWS])
def test_a_service_continues_elsewhere_as_it_would_have_here(rows: int) -> None:
    """Windows after the move have every value of those without it, also where the line table had evicted lines."""
    here, there = stream(rows), stream()
    for part in range(50):
        here.push(lines(part * 10, part * 10 + 10))
        here.scored()
    for slot in (0, 1):
        state = snapshot.decode(snapshot.encode(here.take(slot)))
        there.put_history(slot, state.history, lambda texts=state.texts: texts)  # type: ignore[misc]
        there.put_ring(slot, state.ring)
    if rows == FEW_ROWS:  # a line without a row has no vector: its distance is that of a table without it
        known = [line for line in here.take(0).texts if line]
        assert len(known) < len(here.take(0).texts)
    here_next, there_next = here.push(lines(500, 510)), there.push(lines(500, 510))
    for name in here_next.columns.keys() - {"id"}:
        if rows != FEW_ROWS or name != "distance":
            assert (here_next.windows(name) == there_next.windows(name)).all(), name


def test_a_snapshot_of_a_snapshot_is_the_same() -> None:
    """A service that logs nothing between two moves loses nothing, not even the texts that no table has."""
    here, there = stream(), stream()
    here.push(lines(0, 80))
    data = snapshot.encode(here.take(1))
    state = snapshot.decode(data)
    there.put_history(0, state.history, lambda: state.texts)
    there.put_ring(0, state.ring)
    assert snapshot.encode(there.take(0)) == data


def test_an_empty_slot_has_a_snapshot() -> None:
    """A service of which only blank records came is nothing, and comes back as nothing."""
    state = snapshot.decode(snapshot.encode(stream().take(0)))
    assert (state.history.age, state.texts, state.ring.texts) == (0, [], [])


def test_damaged_bytes_are_unreadable_and_nothing_else() -> None:
    """Bytes that were cut, flipped or never a snapshot raise the one error that the caller counts."""
    here = stream()
    here.push(lines(0, 80))
    data = snapshot.encode(here.take(0))
    plain = zlib.decompress(data)
    chance = random.Random(1)
    others = [b"", b"x", data[:-5], zlib.compress(b""), zlib.compress(msgspec.msgpack.encode([1, 2]))]
    for _ in range(300):
        flipped = bytearray(plain)
        flipped[chance.randrange(len(flipped))] ^= 1 << chance.randrange(8)
        others.append(zlib.compress(bytes(flipped)))
    for other in others:
        try:
            snapshot.decode(other)
        except UnreadableState:
            continue


def test_a_bomb_is_not_expanded() -> None:
    """A few kilobytes that would become a gigabyte are refused at the bound."""
    with pytest.raises(UnreadableState, match="too large"):
        snapshot.decode(zlib.compress(bytes(200_000_000)))
