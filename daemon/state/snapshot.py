"""Writes what a log stream keeps about one service as bytes, and reads it again, value for value.

A typical service takes one to three kilobytes: texts compress well, and a hash is made again from its text. Bytes of
another format, or damaged ones, are never fatal: reading them raises UnreadableState.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from functools import lru_cache

import msgspec
import numpy as np

from logwarden.model.arrays import Bytes, Column, Floats
from logwarden.model.calm import SLOT_STATES
from logwarden.model.masking import line_hash
from logwarden.model.rates import SLOT_RATES
from logwarden.model.slot_state import KnownLines, SlotHistory, SlotRing, SlotState
from logwarden.model.stream import MEASURED
from logwarden.model.windowing import TEXT_COLUMN

_QUARTERS = 4
"""Lines count in full or a quarter in calm time, so that a count is a whole number of quarters."""
_MAX_BYTES = 16 * 1024 * 1024
"""Bytes to which a snapshot is decompressed at most."""
_DAMAGE = (ValueError, OverflowError, IndexError, zlib.error, msgspec.MsgspecError)


class UnreadableState(Exception):
    """These bytes are no snapshot that this release reads."""


class _Snapshot(msgspec.Struct, array_like=True, forbid_unknown_fields=True):
    """The layout. Its order is the format: raise `records.FORMAT` with any change."""

    age: int
    slot: list[int]
    """What `CalmCounts.of_slots` returns."""
    slot_rates: list[int]
    """What `Rates.of_slots` returns."""
    texts: list[str | int]
    """Of each known line its text, or its hash where the text is unknown."""
    counts: list[int]
    unseen: list[int]
    """Lines of the service since each known line was seen."""
    distances: bytes
    quarters: list[int]
    minutes: list[int]
    """Each minute minus the one before it."""
    rates: list[list[int]]
    """Of the known lines the counts of the present period, and the greatest before it, see `Rates.of_rows`."""
    kinds: list[int]
    """Of each line of the ring its place among the known lines; -1 for a line of `others`."""
    others: list[str | int]
    measured: bytes
    offsets: list[int]
    index: list[int]
    timestamps: list[int]
    raw: list[bytes]


_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(_Snapshot)


def encode(state: SlotState) -> bytes:
    """Returns the snapshot of a slot."""
    lines, ring = state.history.lines, state.ring
    names = lines.hashes.tolist()
    place_of = {name: place for place, name in enumerate(names)}
    kinds = [place_of.get(name, -1) for name in ring.columns["kind"].tolist()]
    others = [
        text or name
        for kind, text, name in zip(kinds, ring.texts, ring.columns["kind"].tolist(), strict=True)
        if kind < 0
    ]
    snapshot = _Snapshot(
        age=state.history.age,
        slot=state.history.calm.tolist(),
        slot_rates=state.history.rates.tolist(),
        texts=[text or name for text, name in zip(state.texts, names, strict=True)],
        counts=lines.counts.tolist(),
        unseen=(state.history.age - lines.seen_at).tolist(),
        distances=_packed(lines.distances),
        quarters=(lines.calm * _QUARTERS).astype(np.int64).tolist(),
        minutes=_steps(lines.minutes),
        rates=lines.rates.T.tolist(),
        kinds=kinds,
        others=others,
        measured=_packed(np.concatenate([ring.columns[name] for name in MEASURED])),
        offsets=_steps(ring.columns["offset"]),
        index=ring.columns["index"].tolist(),
        timestamps=_steps(ring.columns["timestamp"]),
        raw=ring.columns[TEXT_COLUMN].tolist(),
    )
    return zlib.compress(_encoder.encode(snapshot))


def decode(data: bytes) -> SlotState:
    """Returns the state of a slot. Raises UnreadableState."""
    try:
        found = _opened(data)
        history, texts = _history(found), _texts(found)
        return SlotState(history=history, texts=texts, ring=_ring(found, texts, history.lines.hashes.tolist()))
    except _DAMAGE as error:
        raise UnreadableState(str(error) or type(error).__name__) from None


def decode_history(data: bytes) -> SlotHistory:
    """Returns the history alone, in half of the time. Raises UnreadableState."""
    try:
        return _history(_opened(data))
    except _DAMAGE as error:
        raise UnreadableState(str(error) or type(error).__name__) from None


def _opened(data: bytes) -> _Snapshot:
    expander = zlib.decompressobj()
    plain = expander.decompress(data, _MAX_BYTES)
    if not expander.eof:
        raise ValueError("the snapshot is cut off or too large")
    return _decoder.decode(plain)


def _texts(found: _Snapshot) -> list[str]:
    return ["" if isinstance(text, int) else text for text in found.texts]


def _history(found: _Snapshot) -> SlotHistory:
    history = SlotHistory(
        age=found.age,
        calm=np.array(found.slot, np.int64),
        rates=np.array(found.slot_rates, np.int64),
        lines=KnownLines(
            hashes=np.array(list(map(_name, found.texts)), np.int64),
            counts=np.array(found.counts, np.int64),
            seen_at=found.age - np.array(found.unseen, np.int64),
            distances=_unpacked(found.distances),
            calm=np.array(found.quarters, np.int64) / _QUARTERS,
            minutes=np.cumsum(np.array(found.minutes, np.int64)),
            rates=np.array(found.rates, np.int64).reshape(2, -1).T,
        ),
    )
    if len({len(column) for column in history.lines}) != 1:
        raise ValueError("the columns of known lines differ in length")
    if len(set(history.lines.hashes.tolist())) < len(history.lines.hashes):
        raise ValueError("a line is known twice")
    if len(found.slot) != SLOT_STATES or len(found.slot_rates) != SLOT_RATES:
        raise ValueError("the figures of the slot are not those of this release")
    return history


def _ring(found: _Snapshot, texts: Sequence[str], names: Sequence[int]) -> SlotRing:
    others = iter(found.others)
    lines: list[str | int] = [next(others, "") if kind < 0 else texts[kind] or names[kind] for kind in found.kinds]
    columns: dict[str, Column] = {
        "kind": np.array([_name(line) for line in lines], np.int64),
        "offset": np.cumsum(np.array(found.offsets, np.int64)),
        "index": np.array(found.index, np.int32),
        "timestamp": np.cumsum(np.array(found.timestamps, np.int64)),
        TEXT_COLUMN: np.empty(len(found.raw), object),
    }
    columns[TEXT_COLUMN][:] = found.raw
    columns |= dict(zip(MEASURED, _unpacked(found.measured).reshape(len(MEASURED), -1), strict=True))
    if any(len(column) != len(lines) for column in columns.values()):
        raise ValueError("the columns of the ring differ in length")
    return SlotRing(columns=columns, texts=["" if isinstance(line, int) else line for line in lines])


@lru_cache(maxsize=65_536)  # replicas of a service log the same lines
def _name(line: str | int) -> int:
    return line if isinstance(line, int) else line_hash(line)


def _steps(values: Column) -> list[int]:
    return list(map(int, np.diff(values, prepend=0)))


def _packed(values: Floats) -> bytes:
    """Returns the bytes of floats, all first bytes before all second ones: alike bytes lie together."""
    # 1.0 and 2.0   00 00 80 3f   00 00 00 40      little-endian
    # packed        00 00   00 00   80 00   3f 40
    columns: Bytes = np.ascontiguousarray(values, "<f4").view(np.uint8).reshape(-1, 4)
    return columns.T.tobytes()


def _unpacked(data: bytes) -> Floats:
    columns = np.frombuffer(data, np.uint8).reshape(4, -1)
    return np.ascontiguousarray(columns.T).reshape(-1).view("<f4").astype(np.float32)
