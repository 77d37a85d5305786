"""Keeps the cuts of one assignment: the state of its services at one moment of reading, until it is committed.

A cut is made while lines of it are still being judged. It is written once all of them are done, and it counts once the
offsets are committed whose metadata name it. Until then the cut before it counts, and the lines since that one are read
again. Belongs to the event loop; `is_waiting` may be read from any thread.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from logwarden.daemon.state.records import MAX_MARKS, Mark


class StateEntry(NamedTuple):
    """One record for the state topic."""

    key: bytes
    value: bytes | None
    """None deletes the record."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cut:
    """The services that changed since the cut before, as of one moment."""

    end: int
    """First offset that was not read then. All lines below it must be done before the cut counts."""
    replay_from: int
    """First offset that the next owner reads: a line from there on may be in no snapshot yet."""
    entries: Sequence[StateEntry]


class Journal:
    """The cut that counts, and the one that waits to be committed. `run`: name of this period of ownership.

    `makes_cuts` False: what the topic has could not be read, so nothing is written over it.
    """

    def __init__(self, run: str, *, replay_from: int, marks: Sequence[Mark] | None, makes_cuts: bool = True) -> None:
        self.run = run
        self.marks = None if marks is None else tuple(marks)
        """The cuts that count, the newest first. None: nothing is known about them, and every record counts."""
        self.epoch = 1 + (marks[0].epoch if marks else 0)
        self.makes_cuts = makes_cuts
        self.has_committed = False
        """True once a cut of this run was committed."""
        self._replay_from = replay_from
        self._cut: Cut | None = None
        self._is_written = False

    @property
    def is_waiting(self) -> bool:
        """True while a cut is made and not committed: another one would replace it half way."""
        return self._cut is not None

    def captured(self, cut: Cut) -> None:
        """Takes a cut."""
        assert self._cut is None, "one cut at a time"
        self._cut, self._is_written = cut, False

    def at(self, position: int) -> tuple[int, tuple[Mark, ...] | None]:
        """Returns for a commit at this position where the next owner begins to read, and the marks of its metadata.

        A cut whose records the topic has not acknowledged does not count: the lines since the one before it are read
        again.
        """
        cut = self._cut_below(position) if self._is_written else None
        if cut is None:
            return self._replay_from, self.marks
        earlier = [mark for mark in self.marks or () if mark.run != self.run]
        return cut.replay_from, (Mark(self.epoch, self.run, cut.end), *earlier)[:MAX_MARKS]

    def to_write(self, position: int) -> Sequence[StateEntry]:
        """Returns what the state topic must have before a commit at this position names it; empty if it is there."""
        cut = self._cut_below(position)
        return () if cut is None or self._is_written else cut.entries

    def written(self, position: int) -> None:
        """Notes that the topic has acknowledged what `to_write` returned for this position."""
        self._is_written = self._cut_below(position) is not None

    def committed(self, position: int, marks: Sequence[Mark] | None) -> None:
        """Notes that this position was committed with metadata that name these marks."""
        cut = self._cut
        if cut is not None and marks and marks[0] == Mark(self.epoch, self.run, cut.end):
            self._replay_from, self.marks = self.at(position)
            self._cut = None
            self.has_committed = True

    def _cut_below(self, position: int) -> Cut | None:
        return self._cut if self._cut is not None and self._cut.end <= position else None
