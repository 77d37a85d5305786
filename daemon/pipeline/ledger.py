"""Accounts for the lines of a partition between fetch and done, and so for the offset that may be committed.

A line is done when a window that judges it was scored and the broker acknowledged every alert of that window. The
position is the lowest offset not done: the backlog that Kafka's own tools show is then the true one, and a crash loses
nothing. Beside it goes the context offset: where the next owner must begin to read to rebuild the windows.

Belongs to the event loop. Arithmetic only: knows no Kafka client, no clock, no tasks.
"""

from __future__ import annotations

import json
from collections import deque
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from logwarden.daemon.records import Bounds, Committed

METADATA_VERSION = 1

Ints = npt.NDArray[np.int64]


class PartitionLedger:
    """The lines of one partition for one period of ownership.

    `score_from`: the first offset that this member judges; records before it are context. `context`: the offset that
    the previous owner committed as the begin of that context; `read_from`: where reading begins because of it.
    """

    def __init__(self, score_from: int, context: int) -> None:
        self.score_from = score_from
        self.read_from = min(context, score_from)
        self._next = score_from
        self._spans: deque[_Span] = deque()
        self._contexts: deque[tuple[int, int]] = deque([(score_from, self.read_from)])
        self.outstanding = 0
        """Lines opened and not yet done."""

    def open(self, offsets: Ints) -> None:
        """Takes records (n,) into account, each as one line until it is decoded. Offsets rise over all calls."""
        assert len(offsets), "an empty fetch opens nothing"
        assert offsets[0] >= self._next, "records come in order and once"
        self._spans.append(_Span(offsets))
        self._next = int(offsets[-1]) + 1
        self.outstanding += len(offsets)

    def passed(self, position: int) -> None:
        """Takes into account that reading continues at `position`: no record below it is still to come."""
        self._next = max(self._next, position)

    def grow(self, offsets: Ints, lines: Ints) -> None:
        """Replaces the one line of each open record (n,) by the `lines` (n,) ≥ 1 that decoding found in it."""
        for span, places in self._spans_of(offsets):
            span.grow(offsets[places], lines[places] - 1)
        self.outstanding += int(lines.sum()) - len(lines)

    def may_continue_from(self, offset: int) -> bool:
        """True if all records from this offset on would be new to the ledger, as lines or as context."""
        return offset >= (self.read_from if self._next == self.score_from else self._next)

    def done(self, offsets: Ints) -> None:
        """Marks one line of each of these records (n,) as done; an offset occurs once for each of its lines."""
        for span, places in self._spans_of(offsets):
            span.done(offsets[places])
        self.outstanding -= len(offsets)

    def note_context(self, at: int, context: int) -> None:
        """Records that windows ending at offset `at` or later need nothing before the offset `context`."""
        self._contexts.append((at, min(context, at)))

    def position(self) -> int:
        """Returns the lowest offset not done; the next offset to come if all are."""
        while self._spans and self._spans[0].left == 0:
            self._spans.popleft()
        return self._spans[0].first_left() if self._spans else self._next

    def to_commit(self, max_context: int) -> Committed:
        """Returns position and metadata; the context reaches back at most `max_context` offsets."""
        position = self.position()
        while len(self._contexts) > 1 and self._contexts[1][0] <= position:
            self._contexts.popleft()
        context = max(self._contexts[0][1], position - max_context)
        return Committed(position, encode_metadata(context))

    def _spans_of(self, offsets: Ints) -> list[tuple[_Span, npt.NDArray[np.bool_]]]:
        """Returns each span that contains some of the offsets, with a mask (n,) of those."""
        # spans begin at   [10, 40, 70]
        # offsets          [12, 41, 12, 75]
        # which            [ 0,  1,  0,  2]   the last span that begins at or before the offset
        if not len(offsets):
            return []
        starts = np.array([span.offsets[0] for span in self._spans])
        which = np.searchsorted(starts, offsets, side="right") - 1
        return [(self._spans[number], which == number) for number in np.unique(which).tolist()]


class _Span:
    """Records that were opened together, with the lines of each that are not done."""

    __slots__ = ("left", "lines", "offsets")

    def __init__(self, offsets: Ints) -> None:
        self.offsets = offsets
        self.lines = np.ones(len(offsets), np.int64)
        self.left = len(offsets)

    def grow(self, offsets: Ints, more: Ints) -> None:
        places = self._places(offsets)
        assert (self.lines[places] > 0).all(), "a record grows before any of its lines is done"
        np.add.at(self.lines, places, more)
        self.left += int(more.sum())

    def done(self, offsets: Ints) -> None:
        # `subtract.at`, because a record of several lines occurs several times: a plain -= would count it once.
        places = self._places(offsets)
        np.subtract.at(self.lines, places, 1)
        assert (self.lines[places] >= 0).all(), "a line is done once"
        self.left -= len(offsets)

    def first_left(self) -> int:
        return int(self.offsets[np.flatnonzero(self.lines)[0]])

    def _places(self, offsets: Ints) -> npt.NDArray[np.intp]:
        places = np.searchsorted(self.offsets, offsets)
        assert (self.offsets[np.minimum(places, len(self.offsets) - 1)] == offsets).all(), "only open records change"
        return places


class Start(NamedTuple):
    """Where a period of ownership begins."""

    score_from: int
    """First offset that this member judges."""
    read_from: int
    """First offset that this member reads; records before `score_from` are context."""
    is_short: bool
    """The broker no longer has all of the context."""


def where_to_start(committed: Committed | None, bounds: Bounds, max_context: int) -> Start:
    """Returns where to begin, from the committed offset, its metadata and the bounds of the partition."""
    if committed is None or not bounds.earliest <= committed.offset <= bounds.end:
        # Nothing committed, retention overtook the group, or the topic was created again: never the end.
        return Start(bounds.earliest, bounds.earliest, committed is not None)
    wanted = decode_metadata(committed.metadata)
    wanted = committed.offset if wanted is None else min(wanted, committed.offset)
    context = max(wanted, bounds.earliest, committed.offset - max_context)
    return Start(committed.offset, context, context > wanted)


def encode_metadata(context: int) -> str:
    """Returns the commit metadata; far below the broker's 4,096 bytes."""
    return json.dumps({"v": METADATA_VERSION, "context": context}, separators=(",", ":"))


def decode_metadata(metadata: str) -> int | None:
    """Returns the context offset. Returns None if the metadata is absent or of another program."""
    try:
        values = json.loads(metadata)
    except (ValueError, RecursionError):  # the latter from brackets within brackets within brackets
        return None
    if not isinstance(values, dict) or values.get("v") != METADATA_VERSION:
        return None
    context = values.get("context")
    # Not isinstance: JSON's true would be offset 1.
    return context if type(context) is int and context >= 0 else None
