"""Fuzzes the ledger and its commits over many owners: random fetches, finished lines, commits, crashes.

Each owner reads a partition of random records from where the commit before it leads, and finishes lines in any order.
Oracle: lists and sets. The position is the lowest line not done; nothing below a commit is undone; the next owner reads
every line of its services' next windows; memory is bounded by the lines in flight.
"""

from __future__ import annotations

import random
from collections import Counter, deque
from dataclasses import dataclass, field

import numpy as np

from logwarden.daemon.pipeline.ledger import PartitionLedger, decode_metadata, where_to_start
from logwarden.daemon.records import Bounds, Committed

FOREVER = 10**9
MAX_ENTRIES = 300
"""Bound on the ledger's context entries, whatever stays undone."""


@dataclass(slots=True)
class Topic:
    """A partition: the service and the number of lines of each record; None where a reader sees no record."""

    records: list[tuple[str, int] | None]
    window: int
    earliest: int = 0
    scored: set[int] = field(default_factory=set)
    """Offsets of records whose lines were all done by some owner."""


class Owner:
    """One period of ownership: the real ledger, and what it should know."""

    def __init__(self, topic: Topic, committed: Committed | None, max_context: int) -> None:
        start = where_to_start(committed, Bounds(topic.earliest, len(topic.records)), max_context)
        self.ledger = PartitionLedger(start.score_from, start.read_from)
        self.start = start
        self.topic = topic
        self.position = start.read_from
        self.end = start.score_from
        self.undone: Counter[int] = Counter()
        self.left: dict[int, int] = {}
        self.rings: dict[str, deque[int]] = {}
        self.most_in_flight = 0

    def fetch(self, most: int) -> None:
        """Reads up to `most` offsets as the daemon does: context entry first, then its records, then the position."""
        stop = min(len(self.topic.records), self.position + most)
        found = [(o, r) for o in range(self.position, stop) if (r := self.topic.records[o]) is not None]
        self.position = stop
        if found:
            self._take(found)
        self.ledger.passed(stop)
        self.end = max(self.end, stop)

    def _take(self, found: list[tuple[int, tuple[str, int]]]) -> None:
        first = found[0][0]
        new = [(offset, lines) for offset, (_, lines) in found if offset >= self.ledger.score_from]
        if new:
            offsets, lines = (np.array(column, np.int64) for column in zip(*new, strict=True))
            self.ledger.open(offsets)
            self.ledger.note_context(first, self._oldest_needed(first))
            many = lines > 1
            self.ledger.grow(offsets[many], lines[many])
            self.ledger.done(offsets[lines == 0])
        else:
            self.ledger.note_context(first, self._oldest_needed(first))
        for offset, (service, count) in found:
            ring = self.rings.setdefault(service, deque(maxlen=self.topic.window - 1))
            ring.extend([offset] * count)
            if offset < self.ledger.score_from:
                continue
            if count:
                self.undone[offset] = count
            else:
                self.topic.scored.add(offset)
        self.most_in_flight = max(self.most_in_flight, self.undone.total())

    def _oldest_needed(self, otherwise: int) -> int:
        return min((ring[0] for ring in self.rings.values() if ring), default=otherwise)

    def finish(self, rng: random.Random, share: float, keep: int | None) -> None:
        """Finishes a share of the lines in flight, in any order, but never the line `keep`."""
        lines = [offset for offset in self.undone.elements() if offset != keep]
        rng.shuffle(lines)
        chosen = lines[: round(len(lines) * share)]
        for start in range(0, len(chosen), 7):
            self.ledger.done(np.array(chosen[start : start + 7], np.int64))
        self.undone -= Counter(chosen)
        self.topic.scored |= {offset for offset in chosen if not self.undone[offset]}

    def check(self, max_context: int) -> Committed:
        """Compares the ledger with the lists. Returns what it would commit."""
        position = min(self.undone, default=self.end)
        assert self.ledger.position() == position, f"the position is {self.ledger.position()}, not {position}"
        assert self.ledger.outstanding == self.undone.total(), "lines in flight are counted"
        committed = self.ledger.to_commit(max_context)
        assert committed.offset == position
        context = decode_metadata(committed.metadata)
        assert context is not None, "this program reads its own metadata"
        assert position - max_context <= context <= position or context == position
        self._check_context(position, context, max_context)
        undone = [o for o, r in enumerate(self.topic.records[:position]) if r and o >= self.topic.earliest]
        undone = [offset for offset in undone if offset not in self.topic.scored]
        assert not undone, f"{undone} are below the position {position}, and no owner finished them"
        self._check_memory()
        return committed

    def _check_context(self, position: int, context: int, max_context: int) -> None:
        """The next owner reads all lines that windows from `position` on need, as far as this owner read them."""
        lowest = max(position - max_context, self.start.read_from)
        rings: dict[str, deque[int]] = {}
        for offset in range(self.start.read_from, position):
            record = self.topic.records[offset]
            if record is not None:
                rings.setdefault(record[0], deque(maxlen=self.topic.window - 1)).extend([offset] * record[1])
        needed = min((ring[0] for ring in rings.values() if ring), default=position)
        assert context <= max(needed, lowest), f"context begins at {context}, windows from {position} on need {needed}"

    def _check_memory(self) -> None:
        spans, contexts = len(self.ledger._spans), len(self.ledger._contexts)
        assert spans <= self.undone.total(), f"{spans} spans for {self.undone.total()} lines in flight"
        assert contexts <= MAX_ENTRIES, f"{contexts} context entries"


def fuzz(seed: int) -> None:
    """Lets owners follow each other until every line is done; now and then one line stays undone for long."""
    rng = random.Random(f"ledger {seed}")
    if rng.random() < 0.05:
        _stand_still(rng)
        return
    topic = Topic(_records(rng, rng.choice((20, 100, 400))), window=rng.randint(2, 8))
    max_context = rng.choice((0, 5, 50, FOREVER))
    committed: Committed | None = None
    for number in range(rng.randint(1, 6)):
        owner = Owner(topic, committed, max_context)
        for _ in range(rng.randint(1, 40)):
            committed = _step(rng, owner, committed, max_context)
        if rng.random() < 0.3 and number:  # retention
            topic.earliest = rng.randint(topic.earliest, min(len(topic.records), topic.earliest + 20))
    owner = Owner(topic, committed, max_context)
    while owner.position < len(topic.records):
        owner.fetch(30)
    owner.finish(rng, 1.0, None)
    assert owner.check(max_context).offset == len(topic.records), "the last owner commits the end"


def _stand_still(rng: random.Random) -> None:
    """One line stays undone over a thousand fetches."""
    topic = Topic([(rng.choice("abc"), 1) for _ in range(1_000)], window=3)
    owner = Owner(topic, None, FOREVER)
    while owner.position < len(topic.records):
        owner.fetch(rng.randint(1, 2))
        owner.finish(rng, 1.0, 0)
        owner._check_memory()
    owner.check(FOREVER)


def _records(rng: random.Random, count: int) -> list[tuple[str, int] | None]:
    holes = rng.choice((0.0, 0.2, 0.8))
    services = "abcdefgh"[: rng.randint(1, 8)]
    return [
        None if rng.random() < holes else (rng.choice(services), rng.choice((0, 1, 1, 1, 3, 20))) for _ in range(count)
    ]


def _step(rng: random.Random, owner: Owner, committed: Committed | None, max_context: int) -> Committed | None:
    kind = rng.random()
    if kind < 0.4:
        owner.fetch(rng.randint(1, 25))
    elif kind < 0.75:
        stuck = min(owner.undone, default=None) if rng.random() < 0.7 else None
        owner.finish(rng, rng.random(), stuck)
    now = owner.check(max_context)
    return now if kind > 0.8 else committed
