"""Joins physical lines of one stream to the events that they form, within bounds of lines, bytes and time.

An event stays open only while a next line may continue it. Whether a line may be continued is a property of its masked
key, learned once per key, so a batch of ordinary lines costs one test of a set. Knows no partitions, ledgers and model:
rows are whatever the caller has, and a stream is whatever identifies a service. One thread owns it.

Cut into batches in any way, the same lines give the same events. Time closes an event twice: by the times of the
records, which a replay repeats, and by `expire`, for the last event before a silence. A replay joins what `expire` cut
if the times of the records lie close enough; nothing else differs.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Hashable, Sequence
from dataclasses import dataclass, field
from typing import Generic, Protocol, TypeVar

from logwarden.daemon.decoding.trace_lines import Trace, look_of, verdict
from logwarden.daemon.decoding.traces import condense
from logwarden.model.schema import truncated_utf8

Row = TypeVar("Row")
Row_co = TypeVar("Row_co", covariant=True)

_MAX_KEYS = 100_000
"""Masked keys whose verdict is kept; a service that logs nothing twice must not fill the memory."""
_MAX_KEY_BYTES = 32 * 1024 * 1024
"""Memory of these keys."""
_MAX_OPEN_BYTES = 32 * 1024 * 1024
"""Memory of all open events. Above it the oldest are closed."""
_LINE_BYTES = 100
"""Memory of a kept line beside its text."""
_MAX_AGE = 10
"""Time-outs in the longest event."""
_START_CHARS = 512


@dataclass(frozen=True, slots=True, kw_only=True)
class JoinLimits:
    """Bounds of an event."""

    max_lines: int = 1_000
    max_bytes: int = 262_144
    timeout_ms: int = 300
    max_line_chars: int = 4_096
    """Characters of the one line that stands for an event."""
    start_pattern: str | None = None
    """Regular expression of the lines that begin an event. None: the joiner knows traces and continuations itself."""

    @property
    def max_age_ms(self) -> int:
        """Time after which an event ends although lines continue to come."""
        return _MAX_AGE * self.timeout_ms


class Lines(Protocol[Row_co]):
    """A batch of decoded lines, as the joiner reads it."""

    @property
    def texts(self) -> Sequence[bytes]:
        """Lines, without the blanks around them."""

    @property
    def keys(self) -> Sequence[bytes]:
        """First-level keys of the masking."""

    @property
    def indented(self) -> Collection[int]:
        """Places of the lines that began with a blank."""

    def stream(self, place: int) -> Hashable:
        """Returns what only lines of one stream share."""

    def time_ms(self, place: int) -> int:
        """Returns when the line was recorded; -1 = unknown."""

    def row(self, place: int) -> Row_co:
        """Returns all that is needed to use the line later."""


@dataclass(slots=True)
class Joined(Generic[Row]):
    """A closed event of an earlier batch."""

    row: Row
    """That of its first line."""
    text: bytes
    lines: int


@dataclass(slots=True)
class Outcome(Generic[Row]):
    """What became of a batch. A place that is in none of the columns belongs to an open event, as its first line."""

    before: list[Joined[Row]] = field(default_factory=list)
    """Events of earlier batches that ended. They come before all lines of the batch."""
    kept: bytearray = field(default_factory=bytearray)
    """(n,) 1 for a line that is an event, or begins one that ended."""
    texts: dict[int, bytes] = field(default_factory=dict)
    """Texts of the kept lines that became longer."""
    absorbed: list[int] = field(default_factory=list)
    """Places of the lines that belong to an event before them."""
    after: list[Joined[Row]] = field(default_factory=list)
    """Events that ended because all open events together were too large. They come after all lines of the batch."""
    cut: int = 0
    """Events that ended at a bound."""


class _Open(Generic[Row]):
    """An event that may go on. What only a second line needs is made when there is one."""

    __slots__ = (
        "first_ms",
        "is_indented",
        "last_ms",
        "parts",
        "place",
        "row",
        "simple",
        "since",
        "size",
        "touched",
        "trace",
    )

    def __init__(self, text: bytes, at_ms: int, place: int, now: float, *, is_indented: bool, simple: bool) -> None:
        self.parts = [text]
        self.size = len(text) + _LINE_BYTES
        self.first_ms = self.last_ms = at_ms
        self.place = place
        """In the running batch; -1 = in an earlier one."""
        self.row: Row | None = None
        """None while its place is enough."""
        self.since = self.touched = now
        self.is_indented = is_indented
        self.simple = simple
        """Its second line has to be indented or of a shape that continues."""
        self.trace: Trace | None = None

    def takes(self, text: bytes, *, is_indented: bool) -> bool:
        """Returns True if the line belongs to this event."""
        if self.trace is None:
            self.trace = Trace(self.parts[0].decode("utf-8", "replace"), is_indented=self.is_indented)
        return self.trace.takes(text.decode("utf-8", "replace"), is_indented=is_indented)

    @property
    def text(self) -> bytes:
        if len(self.parts) == 1:
            return self.parts[0]
        return condense(b"\n".join(self.parts).decode("utf-8", "replace")).encode()


class Joiner(Generic[Row]):
    """All open events, at most one per stream. `may_join`: False for a row that must not belong to a first one."""

    def __init__(self, limits: JoinLimits, may_join: Callable[[Row, Row], bool] = lambda first, row: True) -> None:
        self._limits = limits
        self._may_join = may_join
        self._start = re.compile(limits.start_pattern) if limits.start_pattern else None
        self._open: dict[Hashable, _Open[Row]] = {}
        self._bytes = 0
        self._plain: set[bytes] = set()
        self._heads: dict[bytes, bool] = {}
        """Keys of the lines that may be continued. True: such an event is simple, and such a line continues none."""
        self._key_bytes = 0

    def __len__(self) -> int:
        return len(self._open)

    def rows(self) -> list[Row]:
        """Returns the first rows of all open events."""
        return [event.row for event in self._open.values() if event.row is not None]

    def join(self, lines: Lines[Row], now: float) -> Outcome[Row] | None:
        """Takes n lines in stream order. Returns None if each of them is an event of its own, as almost always."""
        heads = self._find_heads(lines.keys)
        if not heads and not self._open:
            return None
        count = len(lines.texts)
        out: Outcome[Row] = Outcome(kept=bytearray(b"\1") * count)
        fresh: dict[Hashable, int] = {}  # simple events of one line of this batch: most end at the next line
        place, number = 0, 0
        while place < count:
            while number < len(heads) and heads[number] < place:
                number += 1
            is_head = number < len(heads) and heads[number] == place
            if self._open or fresh:
                stream = lines.stream(place)
                first = fresh.pop(stream, None)
                if first is not None and (place in lines.indented or not self._heads.get(lines.keys[place], True)):
                    self._begin(stream, lines, first, out, now)
                event = self._open.get(stream)
                if event is not None and self._continues(event, lines, place):
                    self._extend(stream, event, lines, place, out, now)
                elif event is not None or is_head:
                    if event is not None:
                        self._close(stream, out)
                    if is_head and self._is_simple(lines.keys[place]):
                        fresh[stream] = place
                    elif is_head:
                        self._begin(stream, lines, place, out, now)
            elif is_head and self._is_simple(lines.keys[place]):
                fresh[lines.stream(place)] = place
            elif is_head:
                self._begin(lines.stream(place), lines, place, out, now)
            elif number == len(heads):
                break
            else:
                place = heads[number]  # nothing between here and there begins or continues an event
                continue
            place += 1
        for stream, place in fresh.items():
            self._begin(stream, lines, place, out, now)
        for event in self._open.values():
            if event.row is None:
                event.row = lines.row(event.place)
            event.place = -1
        self._make_room(out)
        return out

    def expire(self, before: float, since: float) -> list[Joined[Row]]:
        """Closes and returns the events whose last line came before `before`, or whose first one before `since`."""
        due = [key for key, event in self._open.items() if event.touched <= before or event.since <= since]
        return [self._closed(key) for key in due]

    def drop(self, is_dropped: Callable[[Row], bool]) -> None:
        """Forgets the open events of these rows."""
        for key in [k for k, event in self._open.items() if event.row is not None and is_dropped(event.row)]:
            self._bytes -= self._open.pop(key).size

    def _find_heads(self, keys: Sequence[bytes]) -> list[int]:
        """Returns the places of the lines that may be continued."""
        if self._start is not None:
            return list(range(len(keys)))
        if self._plain.issuperset(keys):
            return []
        if len(self._plain) + len(self._heads) > _MAX_KEYS or self._key_bytes > _MAX_KEY_BYTES:
            self._plain.clear()
            self._heads.clear()
            self._key_bytes = 0
        for key in set(keys).difference(self._plain, self._heads):
            self._key_bytes += len(key)
            is_head, is_simple = verdict(look_of(key))
            if is_head:
                self._heads[key] = is_simple
            else:
                self._plain.add(key)
        heads = self._heads
        return [place for place, key in enumerate(keys) if key in heads]

    def _is_simple(self, key: bytes) -> bool:
        return self._start is None and self._heads[key]

    def _begin(self, stream: Hashable, lines: Lines[Row], place: int, out: Outcome[Row], now: float) -> None:
        event: _Open[Row] = _Open(
            lines.texts[place],
            lines.time_ms(place),
            place,
            now,
            is_indented=place in lines.indented,
            simple=self._is_simple(lines.keys[place]),
        )
        self._open[stream] = event
        self._bytes += event.size
        out.kept[place] = 0

    def _continues(self, event: _Open[Row], lines: Lines[Row], place: int) -> bool:
        is_indented = place in lines.indented
        if event.simple and not is_indented and self._heads.get(lines.keys[place], True):
            return False
        at_ms, limits = lines.time_ms(place), self._limits
        if at_ms >= 0 <= event.last_ms and (
            at_ms - event.last_ms > limits.timeout_ms or at_ms - event.first_ms > limits.max_age_ms
        ):
            return False
        text = lines.texts[place]
        if self._start is not None:
            continues = self._start.search(text[:_START_CHARS].decode("utf-8", "replace")) is None
        else:
            continues = event.takes(text, is_indented=is_indented)
        if not continues:
            return False
        if event.row is None:
            event.row = lines.row(event.place)
        return self._may_join(event.row, lines.row(place))

    def _extend(
        self, stream: Hashable, event: _Open[Row], lines: Lines[Row], place: int, out: Outcome[Row], now: float
    ) -> None:
        """Adds a line to an event; at a bound, the line begins another one, which goes on as this one would."""
        text, is_indented = lines.texts[place], place in lines.indented
        out.kept[place] = 0
        if len(event.parts) >= self._limits.max_lines or event.size >= self._limits.max_bytes:
            out.cut += 1
            self._close(stream, out)
            rest: _Open[Row] = _Open(text, lines.time_ms(place), place, now, is_indented=is_indented, simple=False)
            rest.trace = event.trace
            self._open[stream] = rest
            self._bytes += rest.size
            return
        event.parts.append(b"    " + text if is_indented else text)
        size = len(event.parts[-1]) + _LINE_BYTES
        event.size += size
        self._bytes += size
        event.last_ms = lines.time_ms(place)
        event.touched = now
        event.simple = False
        out.absorbed.append(place)

    def _close(self, stream: Hashable, out: Outcome[Row]) -> None:
        """Puts an event where its first line was."""
        event = self._open[stream]
        if event.place < 0:
            out.before.append(self._closed(stream))
            return
        out.kept[event.place] = 1
        if len(event.parts) > 1:
            out.texts[event.place] = self._closed(stream).text
        else:
            self._bytes -= self._open.pop(stream).size

    def _closed(self, stream: Hashable) -> Joined[Row]:
        event = self._open.pop(stream)
        self._bytes -= event.size
        assert event.row is not None, "an event has its row when it leaves the batch of its first line"
        return Joined(event.row, truncated_utf8(event.text, self._limits.max_line_chars), len(event.parts))

    def _make_room(self, out: Outcome[Row]) -> None:
        """Closes the oldest events while all of them together are too large."""
        while self._bytes > _MAX_OPEN_BYTES:
            out.cut += 1
            out.after.append(self._closed(next(iter(self._open))))
