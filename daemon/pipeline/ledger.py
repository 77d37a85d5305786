"""Accounts for the lines of a partition between fetch and done, and so for the offset that may be committed.

A line is done when a window that judges it was scored and the broker acknowledged every alert of that window. The
position is the lowest offset not done: the backlog that Kafka's own tools show is then the true one, and a crash loses
nothing. Beside it goes the context offset: where the next owner must begin to read to rebuild the windows.

Belongs to the event loop. Arithmetic only: knows no Kafka client, no clock, no tasks.
"""

from __future__ import annotations

import json
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import msgspec
import numpy as np
import numpy.typing as npt

from logwarden.daemon.pipeline.budget_book import LEAST_FIGURES, BudgetBook, Entry
from logwarden.daemon.records import Bounds, Committed
from logwarden.daemon.state.journal import Journal
from logwarden.daemon.state.records import Mark

METADATA_VERSION = 1
NEAR_THE_END = 1_000
"""Records before the end from which reading continues after the log itself was cut."""

_MAX_CONTEXTS = 256
"""Context entries kept while the position stands still."""

Ints = npt.NDArray[np.int64]


class FirstStart(NamedTuple):
    """Where a group began with a partition. Lines before this offset are learned, and no member ever judges them."""

    offset: int
    at_ms: int
    """When the group began, by the clock of its first member."""


class PartitionLedger:
    """The lines of one partition for one period of ownership.

    `score_from`: the first offset that this member judges; records before it are context. `context`: the offset that
    the previous owner committed as the begin of that context; `read_from`: where reading begins because of it. `topic`:
    identity of the topic, for the commit's metadata. `first`: where the group began, if it began at the topic's end.
    """

    def __init__(self, score_from: int, context: int, topic: str = "", first: FirstStart | None = None) -> None:
        self.score_from = score_from
        self.topic = topic
        self.first = first
        self.read_from = min(context, score_from)
        self.reached = self.read_from
        """No record below this offset is still to come, context included."""
        self._next = score_from
        self._spans: list[_Span] = []
        """Those with a line that is not done, in order. Their number is bounded by the lines in flight, however long
        one line stays undone."""
        self._starts: list[int] = []
        """First offset of each span when it was opened."""
        self._contexts: list[tuple[int, int]] = [(score_from, self.read_from)]
        self.outstanding = 0
        """Lines opened and not yet done."""

    @property
    def learn_to(self) -> int:
        """The offset before which lines are learned in this period of ownership; 0 if none are."""
        return self.first.offset if self.first is not None and self.read_from < self.first.offset else 0

    def open(self, offsets: Ints) -> None:
        """Takes records (n,) into account, each as one line until it is decoded. Offsets rise over all calls."""
        assert len(offsets), "an empty fetch opens nothing"
        assert offsets[0] >= self._next, "records come in order and once"
        self._spans.append(_Span(offsets))
        self._starts.append(int(offsets[0]))
        self._next = int(offsets[-1]) + 1
        self.outstanding += len(offsets)

    def passed(self, position: int) -> None:
        """Takes into account that reading continues at `position`: no record below it is still to come."""
        self._next = max(self._next, position)
        self.reached = max(self.reached, position)

    def grow(self, offsets: Ints, lines: Ints) -> None:
        """Replaces the one line of each open record (n,) by the `lines` (n,) ≥ 1 in it. The offsets rise."""
        for number, part in self._parts(offsets):
            self._spans[number].grow(offsets[part], lines[part] - 1)
        self.outstanding += int(lines.sum()) - len(lines)

    def may_continue_from(self, offset: int) -> bool:
        """True if all records from this offset on would be new to the ledger, as lines or as context."""
        return offset >= (self.read_from if self._next == self.score_from else self._next)

    def done(self, offsets: Ints) -> None:
        """Marks one line of each of these records (n,) as done; an offset occurs once for each of its lines."""
        for number, part in self._parts(offsets := np.sort(offsets)):
            self._spans[number].done(offsets[part])
            if not self._spans[number].left:
                del self._spans[number], self._starts[number]
        self.outstanding -= len(offsets)

    def note_context(self, at: int, context: int) -> None:
        """Records that windows ending at offset `at` or later need nothing before the offset `context`."""
        context = min(context, at)
        if context == self._contexts[-1][1]:
            return  # the entry before already covers these windows
        self._contexts.append((at, context))
        if len(self._contexts) > _MAX_CONTEXTS:
            self._thin_contexts()

    def position(self) -> int:
        """Returns the lowest offset not done; the next offset to come if all are."""
        return self._spans[0].first_left() if self._spans else self._next

    def to_commit(
        self, max_context: int, journal: Journal | None = None, budgets: BudgetBook | None = None
    ) -> Committed:
        """Returns position and metadata; the context reaches back at most `max_context` offsets.

        With a `journal` it begins at the cut that counts then: the lines before are in snapshots.
        """
        position = self.position()
        current = bisect_right(self._contexts, position, key=lambda entry: entry[0]) - 1
        del self._contexts[: max(0, current)]
        context, marks = (self._contexts[0][1], None) if journal is None else journal.at(position)
        if self.learn_to > self.reached:  # until all of it is read, another owner learns again from the begin
            context = self.read_from
        used = [] if budgets is None else budgets.at(position)
        context = max(context, position - max_context)
        return Committed(position, encode_metadata(context, self.topic, marks, self.first, used))

    def continued(self) -> PartitionLedger:
        """Returns a ledger that begins where all lines of this one are done; its windows need the same context."""
        position = self.position()
        ledger = PartitionLedger(position, position, self.topic, self.first)
        at = bisect_right(self._contexts, position, key=lambda entry: entry[0]) - 1
        ledger._contexts = [(position, min(position, self._contexts[max(0, at)][1]))]
        return ledger

    def _thin_contexts(self) -> None:
        """Halves the entries that pile up while one line stays undone. The next owner may read a little more."""
        # entries   (10, 5) (20, 12) (30, 11) (40, 30) (50, 44)
        # thinned   (10, 5) (20, 11)          (40, 30) (50, 44)    each covers the one after it, which goes
        entries = self._contexts
        pairs = zip(entries[1:-1:2], [*entries[2:-1:2], entries[-1]], strict=False)
        self._contexts = [entries[0], *((at, min(context, after)) for (at, context), (_, after) in pairs), entries[-1]]

    def _parts(self, offsets: Ints) -> Iterator[tuple[int, slice]]:
        """Yields the number of each span that contains some of the rising offsets, with the slice of those."""
        # spans begin at   [10, 40, 70]
        # offsets          [12, 12, 41, 75]
        # yields           0 [0:2], 1 [2:3], 2 [3:4]   each up to the begin of the next span
        start = 0
        while start < len(offsets):
            number = bisect_right(self._starts, int(offsets[start])) - 1
            assert number >= 0, "only open records change"
            is_last = number + 1 == len(self._starts)
            end = len(offsets) if is_last else int(np.searchsorted(offsets, self._starts[number + 1]))
            yield number, slice(start, end)  # the caller may remove this span now
            start = end


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
        if self.left <= len(self.offsets) // 2:  # fewer than half of the records have a line left: keep only these
            undone = self.lines > 0
            self.offsets, self.lines = self.offsets[undone], self.lines[undone]

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
    first: FirstStart | None = None
    """Where the group began, if it began at the topic's end."""


def where_to_start(committed: Committed | None, bounds: Bounds, max_context: int) -> Start:
    """Returns where to begin, from the committed offset, its metadata and the bounds of the partition."""
    earliest, end, incarnation = bounds
    if committed is None:
        return Start(earliest, earliest, False)
    if incident_of(committed, bounds):
        topic = decode_topic(committed.metadata)
        if committed.offset > end and topic and topic == incarnation:
            # The log itself was cut, as by an unclean election. What is left was judged, except for lines that were
            # written behind the cut before this member read on.
            near = max(earliest, end - NEAR_THE_END)
            return Start(near, near, True)
        # Retention overtook the group, or the topic was created again, for all that is known: never the end.
        return Start(earliest, earliest, True)
    wanted = decode_metadata(committed.metadata)
    wanted = committed.offset if wanted is None else min(wanted, committed.offset)
    context = max(wanted, earliest, committed.offset - max_context)
    return Start(committed.offset, context, context > wanted, decode_first(committed.metadata))


def incident_of(committed: Committed, bounds: Bounds) -> str:
    """Returns why reading cannot continue at the committed offset, as the name of an event; empty if it can."""
    topic = decode_topic(committed.metadata)
    if topic and bounds.incarnation and topic != bounds.incarnation:
        return "topic_recreated"
    return "" if bounds.earliest <= committed.offset <= bounds.end else "offset_out_of_range"


def may_restore(committed: Committed | None, bounds: Bounds) -> bool:
    """Returns False where offsets of the commit are those of other lines now, so that no snapshot belongs to them."""
    if committed is None:
        return True
    return incident_of(committed, bounds) != "topic_recreated" and committed.offset <= bounds.end


def encode_metadata(
    context: int,
    topic: str = "",
    marks: Sequence[Mark] | None = None,
    first: FirstStart | None = None,
    budgets: Sequence[Entry] = (),
) -> str:
    """Returns the commit metadata; below the broker's 4,096 bytes. `topic`: its identity, if that is known.

    `marks`: the cuts of the state topic that count with this commit, the newest first. `first`: where the group began.
    `budgets`: see `BudgetBook.at`.
    The version stays: earlier releases read the context of these metadata, and overlook the rest.
    """
    values: dict[str, object] = {"v": METADATA_VERSION, "context": context}
    values |= ({"topic": topic} if topic else {}) | ({} if marks is None else {"state": list(marks)})
    values |= ({} if first is None else {"first": list(first)}) | ({"budgets": budgets} if budgets else {})
    return json.dumps(values, separators=(",", ":"))


def decode_metadata(metadata: str) -> int | None:
    """Returns the context offset. Returns None if the metadata is absent or of another program."""
    context = _values(metadata).get("context")
    # Not isinstance: JSON's true would be offset 1.
    return context if type(context) is int and context >= 0 else None


def decode_topic(metadata: str) -> str:
    """Returns the identity of the topic to which a commit belongs; empty if it is unknown."""
    topic = _values(metadata).get("topic")
    return topic if isinstance(topic, str) else ""


def decode_marks(metadata: str) -> tuple[Mark, ...] | None:
    """Returns the cuts of the state topic that count, the newest first. Returns None if the metadata name none."""
    marks = _values(metadata).get("state")
    try:
        return None if marks is None else tuple(msgspec.convert(marks, list[Mark]))
    except msgspec.ValidationError:
        return None


def decode_first(metadata: str) -> FirstStart | None:
    """Returns where the group began. Returns None if it judged all that the partition held then, or is older."""
    try:
        return msgspec.convert(_values(metadata).get("first"), FirstStart | None)
    except msgspec.ValidationError:
        return None


def decode_budgets(metadata: str) -> list[Entry]:
    """Returns the budgets of services as of a commit; empty if the metadata have none, or damaged ones."""
    try:
        found = msgspec.convert(_values(metadata).get("budgets", []), list[list[int]])
    except msgspec.ValidationError:
        return []
    return [entry for entry in found if len(entry) >= LEAST_FIGURES]


def _values(metadata: str) -> dict[str, object]:
    try:
        values = json.loads(metadata)
    except (ValueError, RecursionError):  # the latter from brackets within brackets within brackets
        return {}
    return values if isinstance(values, dict) and values.get("v") == METADATA_VERSION else {}
