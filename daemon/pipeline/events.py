"""Joins the lines of assigned partitions to events: gives `daemon/pipeline/joining.py` its rows and takes its results.

An event has the offset, the index and the time of its first line, whose offset stays undone until the event is. The
lines that continue it are done at once, as blanks are: no position passes the first line before the event is done, so
the next owner reads all of them again. The ingest thread owns it. Invariants:

- the lines of a service stay in order;
- a line that this member has to judge never belongs to an event of the context, which is judged already;
- nor does a line that is in no restored snapshot belong to an event that is in one.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Hashable, Sequence
from dataclasses import dataclass
from itertools import compress

from logwarden.daemon.pipeline.backlog import LineBatch, WaitingLine
from logwarden.daemon.pipeline.joining import Joined, Joiner, JoinLimits
from logwarden.daemon.pipeline.partitions import Assignment
from logwarden.daemon.state.records import Through

Mask = Callable[[Sequence[bytes]], list[bytes]]


@dataclass(slots=True)
class Taken:
    """What became of a batch of lines."""

    ready: LineBatch | None
    """Events that ended, and lines that are events of their own; None if there are none."""
    absorbed: Sequence[tuple[Assignment, int]] = ()
    """(assignment, offset) of each line that belongs to an event before it."""
    cut: int = 0
    """Events that ended at a bound."""


@dataclass(frozen=True, slots=True)
class _Lines:
    """See `logwarden.daemon.pipeline.joining.Lines`."""

    batch: LineBatch
    indented: Collection[int]
    recorded_ms: Callable[[int], int]

    @property
    def texts(self) -> Sequence[bytes]:
        return self.batch.texts

    @property
    def keys(self) -> Sequence[bytes]:
        return self.batch.keys

    def stream(self, place: int) -> Hashable:
        return self.batch.owners[place].generation, self.batch.services[place]

    def time_ms(self, place: int) -> int:
        return self.recorded_ms(place)

    def row(self, place: int) -> WaitingLine:
        return self.batch.line(place)


class OpenEvents:
    """The open events of all assignments, at most one per service of each. `limits` None: no line is joined."""

    def __init__(self, limits: JoinLimits | None, mask: Mask) -> None:
        self._joiner: Joiner[WaitingLine] | None = Joiner(limits, _both_are_new_or_context) if limits else None
        self._timeout_s = limits.timeout_ms / 1_000 if limits else 0.0
        self._max_age_s = limits.max_age_ms / 1_000 if limits else 0.0
        self._mask = mask

    def __len__(self) -> int:
        return 0 if self._joiner is None else len(self._joiner)

    def join(self, batch: LineBatch, indented: Collection[int], recorded_ms: Callable[[int], int], now: float) -> Taken:
        """Takes n ≥ 1 lines. `indented`: places of lines that began with a blank; `recorded_ms`: time of a record."""
        outcome = self._joiner.join(_Lines(batch, indented, recorded_ms), now) if self._joiner is not None else None
        if outcome is None:
            return Taken(batch)
        absorbed = [(batch.owners[place], batch.offsets[place]) for place in outcome.absorbed]
        if outcome.texts:
            for place, key in zip(outcome.texts, self._mask(list(outcome.texts.values())), strict=True):
                batch.texts[place], batch.keys[place] = outcome.texts[place], key
        if not all(outcome.kept):
            batch = LineBatch(*(list(compress(column, outcome.kept)) for column in batch.columns))
        before, after = self._batch(outcome.before), self._batch(outcome.after)
        ready = [part for part in (before, batch, after) if part]
        return Taken(LineBatch.joined(ready) if ready else None, absorbed, outcome.cut)

    def expire(self, now: float, *, all_of_them: bool) -> LineBatch | None:
        """Closes the events that no line has continued for the time-out; None if there are none."""
        if self._joiner is None:
            return None
        forever = float("inf")
        if all_of_them:
            return self._batch(self._joiner.expire(forever, forever))
        return self._batch(self._joiner.expire(now - self._timeout_s, now - self._max_age_s))

    def oldest(self, assignment: Assignment) -> int | None:
        """Returns the lowest offset of an open event of an assignment; None if it has none."""
        rows = [] if self._joiner is None else self._joiner.rows()
        return min((row.offset for row in rows if row.owner is assignment), default=None)

    def first_lines(self, assignment: Assignment) -> dict[str, Through]:
        """Returns the first line of each open event of an assignment, by service."""
        rows = [] if self._joiner is None else self._joiner.rows()
        return {row.service: Through(row.offset, row.line_index) for row in rows if row.owner is assignment}

    def drop(self, assignments: Sequence[Assignment]) -> None:
        """Drops the open events of these assignments."""
        if self._joiner is not None:
            dropped = set(assignments)
            self._joiner.drop(lambda row: row.owner in dropped)

    def _batch(self, events: Sequence[Joined[WaitingLine]]) -> LineBatch | None:
        if not events:
            return None
        many = [place for place, event in enumerate(events) if event.lines > 1]
        keys = [event.row.key for event in events]
        if many:
            for place, key in zip(many, self._mask([events[place].text for place in many]), strict=True):
                keys[place] = key
        return LineBatch.of(
            [event.row._replace(text=event.text, key=key) for event, key in zip(events, keys, strict=True)]
        )


def _both_are_new_or_context(first: WaitingLine, line: WaitingLine) -> bool:
    return _kind(first) == _kind(line)


def _kind(line: WaitingLine) -> tuple[bool, bool]:
    owner = line.owner
    return line.offset < owner.ledger.score_from, owner.is_known(line.service, line.offset, line.line_index)
