"""Joins the lines of a file to events, by the daemon's own rules (`daemon/pipeline/joining.py`).

A file has no times at which its lines were recorded, so an event ends at the next line that does not continue it.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Hashable, Sequence
from dataclasses import dataclass
from itertools import compress
from typing import NamedTuple

from logwarden.daemon.pipeline.joining import Joiner, JoinLimits

Mask = Callable[[Sequence[bytes]], list[bytes]]


class FileRow(NamedTuple):
    """A line of a file, or the event that begins with it."""

    offset: int
    """Number of the line, from 0."""
    line_index: int
    """Position within the record."""
    timestamp: int
    text: bytes


@dataclass(frozen=True, slots=True)
class _Lines:
    """See `logwarden.daemon.pipeline.joining.Lines`."""

    rows: Sequence[FileRow]
    texts: Sequence[bytes]
    keys: Sequence[bytes]
    indented: Collection[int]

    def stream(self, place: int) -> Hashable:
        return None

    def time_ms(self, place: int) -> int:
        return -1

    def row(self, place: int) -> FileRow:
        return self.rows[place]


class FileEvents:
    """The open event of one file. `limits` None: no line is joined."""

    def __init__(self, limits: JoinLimits | None, mask: Mask) -> None:
        self._joiner: Joiner[FileRow] | None = Joiner(limits) if limits else None
        self._mask = mask

    def take(self, rows: Sequence[FileRow], indented: Collection[int]) -> list[FileRow]:
        """Returns the events that ended. `indented`: places of the rows that began with a blank."""
        texts = [row.text for row in rows]
        if self._joiner is None or not rows:
            return list(rows)
        outcome = self._joiner.join(_Lines(rows, texts, self._mask(texts), indented), now=0.0)
        if outcome is None:
            return list(rows)
        kept = list(rows)
        for place, text in outcome.texts.items():
            kept[place] = rows[place]._replace(text=text)
        before = [event.row._replace(text=event.text) for event in outcome.before]
        after = [event.row._replace(text=event.text) for event in outcome.after]
        return [*before, *compress(kept, outcome.kept), *after]

    def end(self) -> list[FileRow]:
        """Returns the event that was open at the end of the file."""
        closed = [] if self._joiner is None else self._joiner.expire(float("inf"), float("inf"))
        return [event.row._replace(text=event.text) for event in closed]
