"""Makes training windows without labels: real streams of many systems, with real messages of others injected.

Text learned from one or two labelled systems does not transfer, and familiarity does. So the head learns from many
streams how an unfamiliar line that names a failure differs from its neighbours. Lines and histories are real; only the
place of a foreign message is synthetic. The windows are for training alone: no figure is measured on them.

A window's label is about its newest line: is it part of a failure?

    anomaly  the newest line is unfamiliar and severe, alone or after others of its kind
    likely   several lines at once that the service never logged before, of any content
    normal   lines as they came
             a new but harmless line
             a severe line that this service logs all the time
             a harmless line after a severe one, which had its own window
             lines of a restart that earlier restarts logged too

Legend: n lines of a stream · K distinct lines of it · P messages of a pool · E encoder width
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from logwarden.model.defaults import WINDOW_SIZE as SIZE
from logwarden.training.encoder.source_messages import SourceMessage
from logwarden.training.head.foreign import FAILURE, SEVERE_WORDS, ForeignMessages, messages
from logwarden.training.head.windows import Floats, Ids, LineTexts, MeasuredStream, WindowSet, measure

MIN_AGE = 200
"""Lines of a stream before its first window ends. Fewer than the daemon's LEARNING_LINES: several streams have only
2,000 lines. The head's own `learning_lines` is the same number."""
_POOL = 300  # foreign messages per stream and kind


@dataclass(frozen=True, slots=True)
class _Pool:
    """P foreign messages with headers of one stream."""

    rows: Ids
    """(P,) rows of the table."""
    distance: Floats
    """(P, K) distance to the nearest of the first k + 1 distinct lines of the stream."""


@dataclass(frozen=True, slots=True)
class _Stream:
    rows: Ids
    """(n,) rows of the table."""
    measured: MeasuredStream
    known: Ids
    """(n,) distinct lines of the stream up to and including each line."""
    severe_newest: np.ndarray
    """(n,) lines with a severe word."""
    severe: _Pool
    benign: _Pool


class SyntheticWindows:
    """Draws windows from measured streams. Deterministic in the seed."""

    def __init__(
        self, texts: LineTexts, streams: Mapping[str, Sequence[str]], statements: Sequence[SourceMessage], *, seed: int
    ) -> None:
        self._texts = texts
        self._rng = np.random.default_rng(seed)
        long = [measure(texts, lines) for lines in streams.values() if len(lines) > 2 * MIN_AGE]
        # A raised message that names no failure ("expected str") does not differ from others: it would be noise.
        self._severe = [s.text for s in statements if s.severe and FAILURE.search(s.text)]
        self._benign = [s.text for s in statements if not s.severe and not SEVERE_WORDS.search(s.text)]
        for stream in long:  # messages that real systems logged, beside messages in source code
            severe, benign = messages(stream.texts)
            self._severe += severe
            self._benign += benign
        self._statement_rows = (texts.rows(self._severe), texts.rows(self._benign))
        self._streams = [self._prepare(stream) for stream in long]
        table = texts.table()
        self._streams = [self._with_distances(stream, table) for stream in self._streams]
        self.table = torch.from_numpy(texts.vectors())

    def draw(self, count: int) -> WindowSet:
        """Returns `count` windows; kinds and streams are in fixed proportions."""
        makers = (
            (0.20, self._as_it_came, 0.0),
            (0.08, self._new_but_harmless, 0.0),
            (0.10, self._injected_harmless, 0.0),
            (0.08, self._after_something_severe, 0.0),
            (0.08, self._familiar_and_severe, 0.0),
            (0.12, self._restart, 0.0),
            (0.28, self._unfamiliar_and_severe, 1.0),
            (0.03, self._burst_of_new, 0.6),
            (0.10, self._text_alone, -1.0),
        )
        shares = np.array([share for share, _, _ in makers])
        ids = np.zeros((count, SIZE), np.int32)
        familiarity = np.zeros((count, SIZE, 3), np.float32)
        labels = np.zeros(count, np.float32)
        kinds = self._rng.choice(len(makers), count, p=shares / shares.sum())
        for place, kind in enumerate(kinds):
            _, make, label = makers[kind]
            stream = self._streams[self._rng.integers(len(self._streams))]
            own_label = make(stream, ids[place], familiarity[place])
            labels[place] = label if own_label is None else own_label
            self._shorten(ids[place], familiarity[place])
        return WindowSet(self.table, ids, familiarity, labels)

    def as_they_came(self, most: int = 20_000) -> WindowSet:
        """Returns unchanged windows whose newest line names no failure, in stream order, from line MIN_AGE on."""
        per_stream = most // len(self._streams)
        ends = [
            (s, end)
            for s in self._streams
            for end in range(MIN_AGE, len(s.rows))[:per_stream]
            if not s.severe_newest[end]
        ]
        ids = np.zeros((len(ends), SIZE), np.int32)
        familiarity = np.zeros((len(ends), SIZE, 3), np.float32)
        for place, (stream, end) in enumerate(ends):
            self._real(stream, end, ids[place], familiarity[place])
        return WindowSet(self.table, ids, familiarity, np.zeros(len(ends), np.float32))

    # ---------------------------------------------------------------- kinds: each fills one window, may set its label

    def _as_it_came(self, stream: _Stream, ids: Ids, familiarity: Floats) -> float | None:
        end = self._place(stream)
        self._real(stream, end, ids, familiarity)
        # A new line that names a failure may be one. It has no label, so the label is half.
        rare = familiarity[-1, 1] - familiarity[-1, 0] > 6
        return 0.5 if rare and stream.severe_newest[end] else None

    def _new_but_harmless(self, stream: _Stream, ids: Ids, familiarity: Floats) -> float | None:
        new = np.flatnonzero((stream.measured.log_count[MIN_AGE:] < 1.1) & ~stream.severe_newest[MIN_AGE:])
        end = MIN_AGE + int(self._rng.choice(new)) if len(new) else self._place(stream)
        self._real(stream, end, ids, familiarity)
        return None

    def _injected_harmless(self, stream: _Stream, ids: Ids, familiarity: Floats) -> float | None:
        end = self._place(stream)
        self._real(stream, end, ids, familiarity)
        self._inject(
            stream, stream.benign, end, ids, familiarity, places=self._last(1, 2), count=int(self._rng.integers(0, 3))
        )
        return None

    def _after_something_severe(self, stream: _Stream, ids: Ids, familiarity: Floats) -> float | None:
        end = self._place(stream)
        for _ in range(8):  # look for a newest line that the service logs often
            if stream.measured.log_count[end] > 4:
                break
            end = self._place(stream)
        self._real(stream, end, ids, familiarity)
        places = self._rng.choice(SIZE - 1, self._rng.integers(1, 7), replace=False)
        self._inject(stream, stream.severe, end, ids, familiarity, places=np.sort(places), count=0)
        return None if stream.measured.log_count[end] > 3 else 0.2

    def _familiar_and_severe(self, stream: _Stream, ids: Ids, familiarity: Floats) -> float | None:
        end = self._place(stream)
        self._real(stream, end, ids, familiarity)
        age = 2 ** float(familiarity[-1, 1])
        count = int(age * 2 ** -self._rng.uniform(1, 6)) + 3
        self._inject(stream, stream.severe, end, ids, familiarity, places=self._last(1, 6), count=count)
        return None

    def _restart(self, stream: _Stream, ids: Ids, familiarity: Floats) -> float | None:
        end = self._place(stream)
        self._real(stream, end, ids, familiarity)
        count = int(self._rng.integers(1, 6))
        self._inject(stream, stream.benign, end, ids, familiarity, places=self._last(4, 16), count=count)
        if self._rng.random() < 0.6:  # a stop and a start log severe lines too, and never exactly the same
            count = int(self._rng.integers(0, 9))
            self._inject(stream, stream.severe, end, ids, familiarity, places=self._last(1, 4), count=count)
        return None

    def _unfamiliar_and_severe(self, stream: _Stream, ids: Ids, familiarity: Floats) -> float | None:
        end = self._place(stream)
        self._real(stream, end, ids, familiarity)
        if self._rng.random() < 0.25:  # one message repeatedly, as a failing loop logs it
            places, same = np.sort(self._rng.choice(SIZE, self._rng.integers(2, 10), replace=False)), True
            places[-1] = SIZE - 1
        else:
            places, same = self._last(1, 2 if self._rng.random() < 0.5 else 7), False
        count = 0 if self._rng.random() < 0.8 else int(self._rng.integers(1, 3))
        self._inject(stream, stream.severe, end, ids, familiarity, places=places, count=count, same=same)
        return None

    def _burst_of_new(self, stream: _Stream, ids: Ids, familiarity: Floats) -> float | None:
        end = self._place(stream)
        self._real(stream, end, ids, familiarity)
        self._inject(stream, stream.benign, end, ids, familiarity, places=self._last(4, 12), count=0)
        return None

    def _text_alone(self, stream: _Stream, ids: Ids, familiarity: Floats) -> float | None:
        """Fills a window without history: only the text of the newest line decides."""
        severe = bool(self._rng.random() < 0.5)
        lines = int(self._rng.integers(1, SIZE + 1))
        if self._rng.random() < 0.5:
            self._real(stream, self._place(stream), ids, familiarity)
            pool = stream.severe if severe else stream.benign
            ids[-1] = self._rng.choice(pool.rows)
        else:
            ids[:] = self._rng.choice(self._statement_rows[1], SIZE)
            ids[-1] = self._rng.choice(self._statement_rows[0 if severe else 1])
        ids[: SIZE - lines] = 0
        familiarity[:] = 0
        return float(severe)

    # ---------------------------------------------------------------- parts

    def _place(self, stream: _Stream) -> int:
        return int(self._rng.integers(MIN_AGE, len(stream.rows)))

    def _last(self, low: int, high: int) -> np.ndarray:
        """Returns places of a run at the end of the window, with some gaps."""
        # count 3, reach 5 in a window of 32: three of the last five places, the newest line among them.
        #   choice of (0…4)   [0, 3, 4]
        #   SIZE - reach + …  [27, 30, 31]
        count = int(self._rng.integers(low, high))
        reach = min(SIZE, count + int(self._rng.integers(0, 4)))
        places = SIZE - reach + np.sort(self._rng.choice(reach, count, replace=False))
        places[-1] = SIZE - 1
        return places

    def _real(self, stream: _Stream, end: int, ids: Ids, familiarity: Floats) -> None:
        # A window is right-aligned; with size 4:
        #   end 1: part 0…1, at 2…3   two places of padding on the left
        #   end 9: part 6…9, at 0…3
        part = slice(max(0, end - SIZE + 1), end + 1)
        at = slice(SIZE - (part.stop - part.start), SIZE)
        ids[at] = stream.rows[part]
        familiarity[at, 0] = stream.measured.log_count[part]
        familiarity[at, 1] = stream.measured.log_age[part]
        familiarity[at, 2] = stream.measured.distance[part]

    def _inject(
        self,
        stream: _Stream,
        pool: _Pool,
        end: int,
        ids: Ids,
        familiarity: Floats,
        *,
        places: np.ndarray,
        count: int,
        same: bool = False,
    ) -> None:
        chosen = np.full(len(places), self._rng.integers(len(pool.rows))) if same else None
        chosen = self._rng.integers(len(pool.rows), size=len(places)) if chosen is None else chosen
        # A message injected twice counts its own earlier line. With count = 1 and messages [5, 5, 8]:
        #   times      [1, 2, 1]
        #   log_count  [log2(2), log2(3), log2(2)]
        seen: dict[int, int] = {}
        known = max(0, int(stream.known[end]) - 1)
        for place, message in zip(places.tolist(), chosen.tolist(), strict=True):
            times = count + seen.get(message, 0)
            seen[message] = seen.get(message, 0) + 1
            ids[place] = pool.rows[message]
            familiarity[place, 0] = np.log2(1 + times)
            familiarity[place, 2] = pool.distance[message, known]

    def _shorten(self, ids: Ids, familiarity: Floats) -> None:
        """Removes the oldest lines of every eighth window, as after a service's first lines in a partition."""
        if self._rng.random() < 0.125:
            cut = int(self._rng.integers(1, SIZE - 1))
            ids[:cut] = 0
            familiarity[:cut] = 0

    # ---------------------------------------------------------------- preparation

    def _prepare(self, measured: MeasuredStream) -> _Stream:
        # known counts the first sights of rows:
        #   rows   [4, 4, 7, 4, 9]
        #   first  [0, 2, 4]    places of the first sights
        #   known  [1, 1, 2, 2, 3]
        rows = self._texts.rows(measured.texts)
        _, first = np.unique(rows, return_index=True)
        new = np.zeros(len(rows), np.int32)
        new[first] = 1
        severe = np.array([SEVERE_WORDS.search(text) is not None for text in measured.texts])
        foreign = ForeignMessages(self._severe, self._benign, self._rng)
        pools = [self._texts.rows(foreign.behind_headers(measured.texts, _POOL, severe=s)) for s in (True, False)]
        empty = np.zeros((0, 0), np.float32)
        return _Stream(rows, measured, np.cumsum(new), severe, _Pool(pools[0], empty), _Pool(pools[1], empty))

    def _with_distances(self, stream: _Stream, table: Floats) -> _Stream:
        _, first = np.unique(stream.rows, return_index=True)
        distinct = table[stream.rows[np.sort(first)]]  # K, E; in the order of first sight
        pools = []
        for pool in (stream.severe, stream.benign):
            # The best similarity so far, line by line:
            #   products of one message  [.2, .9, .5]    to the three distinct lines
            #   accumulated maximum      [.2, .9, .9]
            #   distance                 [.8, .1, .1]    column k: nearest of the first k + 1 lines
            similar = np.maximum.accumulate(table[pool.rows] @ distinct.T, axis=1)  # P, K
            pools.append(_Pool(pool.rows, (1 - similar).clip(0, 1).astype(np.float32)))
        return _Stream(stream.rows, stream.measured, stream.known, stream.severe_newest, pools[0], pools[1])
