"""Defines what the ingest thread takes and returns: assignments that begin, windows to score, facts for the ledgers."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from logwarden.daemon.pipeline.partitions import Assignment
from logwarden.daemon.records import DeadLetter
from logwarden.daemon.state.choice import Choice
from logwarden.daemon.state.journal import Cut
from logwarden.model.windowing import WindowBatch

Ints = npt.NDArray[np.int64]


class MemoryCounts(NamedTuple):
    """Counts of one step."""

    forgotten: int = 0
    """Services evicted for good, because evicted ones took too much memory."""
    deferred: int = 0
    """Services that a cut left for a later one."""
    unreadable: int = 0
    """Snapshots that could not be read."""


NO_COUNTS = MemoryCounts()


@dataclass(slots=True)
class Work:
    """Windows to score, with all that is needed to use the result after their slots were reused."""

    windows: WindowBatch
    assignments: npt.NDArray[np.object_]
    """(w,) the Assignment that each window's lines came from."""
    services: npt.NDArray[np.object_]
    """(w,) service names."""
    first_ms: Ints
    """(w,) time of the first line of each window's service; -1 where it has none."""
    pushes: int
    """Batches of the log stream to report as scored afterwards."""

    def __len__(self) -> int:
        return len(self.windows)

    def without_context(self) -> Work:
        """Returns the windows with new lines: context fills rings and history and is never judged again."""
        # offsets of the fresh lines   [8, 9, 10, 11]   in windows [0, 0, 1, 1], score_from 9
        # new                          [F, T,  T,  T]
        # fresh per window             [1, 2]           the newest ones, as the offsets of a slot rise
        batch = self.windows
        score_from = np.fromiter((a.ledger.score_from for a in self.assignments), np.int64, len(batch))
        places, window = batch.fresh_lines()
        lines = batch.columns["offset"][places] >= score_from[window]
        fresh = np.bincount(window[lines], minlength=len(batch))
        new = fresh > 0
        return replace(
            self,
            windows=replace(batch, fresh=fresh).select(new),
            assignments=self.assignments[new],
            services=self.services[new],
            first_ms=self.first_ms[new],
        )


@dataclass(slots=True)
class Begun:
    """The assignments that begin in a rebalance."""

    resumed: list[tuple[Assignment, Assignment]] = field(default_factory=list)
    """(ended one, the one that continues with its services)."""
    fresh: list[Assignment] = field(default_factory=list)
    """Those of which the state topic may have something."""
    choice: Choice | None = None
    """The records that count for the fresh ones."""


@dataclass(slots=True)
class Ingested:
    """The result of one fetch. Ledgers belong to the event loop, which enters `contexts` and `grown` into them."""

    work: list[Work] = field(default_factory=list)
    blank: list[tuple[Assignment, Ints]] = field(default_factory=list)
    dead: list[tuple[Assignment, DeadLetter]] = field(default_factory=list)
    contexts: list[tuple[Assignment, int, int]] = field(default_factory=list)
    """(assignment, first offset of the fetch, oldest offset that windows from there on need)."""
    grown: list[tuple[Assignment, Ints, Ints]] = field(default_factory=list)
    """(assignment, offsets (n,), lines (n,)) of the records that contain more than one line."""
    absorbed: list[tuple[Assignment, Ints]] = field(default_factory=list)
    """Offsets of the lines that belong to an event before them, once for each line."""
    cuts: list[tuple[Assignment, Cut]] = field(default_factory=list)
    """What the services of an assignment have learned, where a cut was due."""
    lines: int = 0
    new_lines: int = 0
    """Distinct masked lines met for the first time, each embedded."""
    context_lines: int = 0
    replaced: int = 0
    odd: int = 0
    cut: int = 0
    cut_events: int = 0
    """Events of many lines that ended at a bound."""
    overflowed: int = 0
    memory: MemoryCounts = NO_COUNTS
    """What the memory of services lost meanwhile."""
    evicted: int = 0
    """Services that had to make room for others."""
