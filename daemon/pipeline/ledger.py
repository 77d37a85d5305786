"""Which lines of a partition are done, and so which offset may be committed.

A line is done when a window that judges it was scored and every alert of that window is acknowledged. The position is
the lowest offset not done: the backlog that Kafka's own tools show is then the true one, and a crash loses nothing.
Beside it goes the context offset: from where the next owner must read to have the windows whole.

Arithmetic only: knows no Kafka client, no clock, no tasks.
"""

from __future__ import annotations

import json
from collections import deque

import numpy as np
import numpy.typing as npt

from logwarden.daemon.records import Bounds, Committed, Partition

METADATA_VERSION = 1

Ints = npt.NDArray[np.int64]


class PartitionLedger:
    """The lines of one partition between fetch and done, for one period of ownership.

    `score_from`: the first offset that is ours to judge; lines before it are context. `context`: the offset that the
    previous owner said was needed for that; `read_from`: where reading begins because of it.
    """

    def __init__(self, score_from: int, context: int) -> None:
        self.score_from = score_from
        self.read_from = min(context, score_from)
        self._next = score_from
        self._spans: deque[_Span] = deque()
        self._contexts: deque[tuple[int, int]] = deque([(score_from, self.read_from)])
        self.outstanding = 0
        """Lines opened and not yet done."""

    def open(self, offsets: Ints, lines: Ints) -> None:
        """Takes records into account: rising offsets, all above those before, and how many lines each holds."""
        assert len(offsets) == len(lines) > 0, "every record says how many lines it holds"
        assert offsets[0] >= self._next, "records come in order and once"
        self._spans.append(_Span(offsets, lines.astype(np.int64)))
        self._next = int(offsets[-1]) + 1
        self.outstanding += int(lines.sum())

    def may_go_on_from(self, offset: int) -> bool:
        """Whether records from this offset on would all be new to us, as lines or as context."""
        return offset >= (self.read_from if self._next == self.score_from else self._next)

    def done(self, offsets: Ints) -> None:
        """Says that one line of each of these records is done; an offset may occur more than once."""
        if not len(offsets):
            return
        starts = np.array([span.offsets[0] for span in self._spans])
        which = np.searchsorted(starts, offsets, side="right") - 1
        for number in np.unique(which).tolist():
            self._spans[number].done(offsets[which == number])
        self.outstanding -= len(offsets)

    def note_context(self, at: int, context: int) -> None:
        """Says that windows ending at offset `at` or later need nothing before the offset `context`."""
        self._contexts.append((at, min(context, at)))

    def position(self) -> int:
        """The lowest offset not done; the next offset to come if all are."""
        while self._spans and self._spans[0].left == 0:
            self._spans.popleft()
        return self._spans[0].first_left() if self._spans else self._next

    def to_commit(self, max_context: int) -> Committed:
        """Position and metadata; the context reaches back at most `max_context` offsets."""
        position = self.position()
        while len(self._contexts) > 1 and self._contexts[1][0] <= position:
            self._contexts.popleft()
        context = max(self._contexts[0][1], position - max_context)
        return Committed(position, encode_metadata(context))


class _Span:
    """Records that were opened together."""

    __slots__ = ("counts", "left", "offsets")

    def __init__(self, offsets: Ints, counts: Ints) -> None:
        self.offsets = offsets
        self.counts = counts
        self.left = int(counts.sum())

    def done(self, offsets: Ints) -> None:
        places = np.searchsorted(self.offsets, offsets)
        assert (self.offsets[np.minimum(places, len(self.offsets) - 1)] == offsets).all(), (
            "only what was opened is done"
        )
        np.subtract.at(self.counts, places, 1)
        assert (self.counts[places] >= 0).all(), "a line is done once"
        self.left -= len(offsets)

    def first_left(self) -> int:
        return int(self.offsets[np.flatnonzero(self.counts)[0]])


class Assignment:
    """A partition that is ours, for as long as it is ours. What finishes after `ended` is discarded."""

    __slots__ = ("ended", "ledger", "number", "partition", "revoking")

    def __init__(self, number: int, partition: Partition, ledger: PartitionLedger) -> None:
        self.number = number
        self.partition = partition
        self.ledger = ledger
        self.revoking = False
        self.ended = False


def where_to_start(committed: Committed | None, bounds: Bounds, max_context: int) -> tuple[int, int, bool]:
    """(first offset to score, first offset to read, whether some context is gone)."""
    if committed is None or not bounds.earliest <= committed.offset <= bounds.end:
        # Nothing committed, or retention overtook us, or the topic was made anew: the oldest line kept, never the end.
        return bounds.earliest, bounds.earliest, committed is not None
    wanted = decode_metadata(committed.metadata)
    wanted = committed.offset if wanted is None else min(wanted, committed.offset)
    context = max(wanted, bounds.earliest, committed.offset - max_context)
    return committed.offset, context, context > wanted


def encode_metadata(context: int) -> str:
    """The commit metadata; far below the broker's 4,096 bytes."""
    return json.dumps({"v": METADATA_VERSION, "context": context}, separators=(",", ":"))


def decode_metadata(metadata: str) -> int | None:
    """The context offset, or None if the metadata is absent or somebody else's."""
    try:
        values = json.loads(metadata)
    except (ValueError, RecursionError):  # the latter from brackets within brackets within brackets
        return None
    if not isinstance(values, dict) or values.get("v") != METADATA_VERSION:
        return None
    context = values.get("context")
    # Not isinstance: JSON's true would be offset 1.
    return context if type(context) is int and context >= 0 else None
