"""Defines the state of one slot of a log stream as values that another process can continue from.

A slot keeps what its service has logged (`SlotHistory`), and its newest lines with what was measured of each when it
came (`SlotRing`). With both, the next line has the same window and the same measures as without the move.

Legend: k known lines · n lines of the ring
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from logwarden.model.arrays import Column, Doubles, Floats, Ints


class KnownLines(NamedTuple):
    """k distinct lines of a slot, in the order of first sight."""

    hashes: Ints
    counts: Ints
    """(k,) times seen."""
    seen_at: Ints
    """(k,) age of the slot when the line was last seen."""
    distances: Floats
    """(k,) distance to the nearest line known at first sight."""
    calm: Doubles
    """(k,) times seen in calm time, see `logwarden.model.calm`."""
    minutes: Ints
    """(k,) minute in which the line was last seen."""
    rates: Ints
    """(k, 2) what `Rates.of_rows` returns."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class SlotHistory:
    """Everything that a history keeps about one slot."""

    age: int
    """Lines counted so far."""
    calm: Ints
    """(SLOT_STATES,) what `CalmCounts.of_slots` returns of the slot."""
    rates: Ints
    """(SLOT_RATES,) what `Rates.of_slots` returns of the slot."""
    lines: KnownLines


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class SlotRing:
    """The newest lines of a slot, oldest first: those that its next window contains beside the next line."""

    columns: dict[str, Column]
    """Columns (n,) of the ring, without the line ids, which are of one process."""
    texts: list[str]
    """(n,) canonical text of each line; empty where the line table had no row for it."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class SlotState:
    """Everything that a log stream keeps about one slot."""

    history: SlotHistory
    texts: list[str]
    """(k,) canonical text of each known line; empty where it is no longer in the line table."""
    ring: SlotRing
