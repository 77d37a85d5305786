"""Writes the alerts of a whole batch as messages: the bytes of `build_alert(...).encode()`, much faster.

In a storm every line ends a window, and the windows of a service overlap in all lines but one. Each line is therefore
written once per batch, as the bytes around the one number that differs between windows, its weight. A window is then
a join of such pieces. No object is made per line of a window.

Runs on the score worker. Knows windows, scores and alerts; knows nothing of assignments and acknowledgements.

"Place" is a place in the flat columns of the batch, except in `AlertPlace`, where it is that of a window.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import msgspec
import numpy as np

from logwarden.daemon.incidents import alert as alerts
from logwarden.daemon.records import Message
from logwarden.model.arrays import Ints
from logwarden.model.schema import truncated
from logwarden.model.verdicts import AlertPolicy, Scores, guilty_lines, surprises
from logwarden.model.windowing import WindowBatch

_WEIGHTS = [msgspec.json.encode(number / 10_000) for number in range(10_001)]
"""The JSON of every weight, which has four digits."""
_FALSE, _TRUE = b',"guilty":false,"newest":false}', b',"guilty":true,"newest":false}'
_NEWEST = b',"guilty":true,"newest":true}'
_NO_LINES = b'"lines":[]'


@dataclass(frozen=True, slots=True, kw_only=True)
class AlertPlace:
    """One window that raises an alert, and what its alert says beside the model's answer."""

    place: int
    """Place of the window in the batch."""
    policy: AlertPolicy
    service: str
    topic: str
    partition: int
    alerts_topic: str
    incarnation: str = ""


class AlertWriter:
    """The lines of some windows of one batch, ready to be joined to alerts."""

    def __init__(self, windows: WindowBatch, scores: Scores, places: Ints, *, max_line_chars: int) -> None:
        self._windows = windows
        self._scores = scores
        self._max_line_chars = max_line_chars
        self._row = {place: row for row, place in enumerate(places.tolist())}
        weights = scores.line_weights[places]
        # As round(weight, 4): a float32 has 24 bits and 10,000 has 14, so the product is exact in the 53 of a double.
        rounded = np.rint(weights.astype(np.float64) * 10_000)
        assert not len(rounded) or 0 <= rounded.min() <= rounded.max() <= 10_000, "weights lie between 0 and 1"
        self._weights = rounded.astype(np.int64).tolist()
        self._guilty = guilty_lines(weights) if len(weights) else weights
        self._before, self._after = self._write_lines(places)

    def message(self, alert: AlertPlace, *, now_ms: int) -> Message:
        """Returns the message of one alert. `now_ms`: wall clock in milliseconds, for the delay."""
        place = alert.place
        verdict = alert.policy.verdict(
            self._windows,
            self._scores,
            place,
            service=alert.service,
            topic=alert.topic,
            partition=alert.partition,
            whole=False,
        )
        frame = alerts.build_frame(
            verdict, (), now_ms=now_ms, max_line_chars=self._max_line_chars, incarnation=alert.incarnation
        )
        head, _, tail = frame.encode().partition(_NO_LINES)  # a quote within a text would have a backslash before it
        value = b"".join([head, b'"lines":[', *self._lines(place), b"]", tail])
        return alerts.alert_message(frame, alert.alerts_topic, value)

    def _lines(self, place: int) -> list[bytes]:
        """Returns the pieces of a window's lines."""
        # A window of 3 lines that ends at place 8:
        #   before    pieces 0, 3, 6     of places 6, 7, 8; the first of them without its comma
        #   weights   pieces 1, 4, 7     of the window itself
        #   after     pieces 2, 5, 8     of places 6, 7, 8, with the words for guilty lines and the newest one
        windows = self._windows
        filled, end = int(windows.filled[place]), int(windows.ends[place]) + 1
        first, padding, row = end - filled, windows.size - filled, self._row[place]
        pieces = [b""] * (4 * filled)
        pieces[0::4] = self._before[first:end]
        pieces[1::4] = [_WEIGHTS[weight] for weight in self._weights[row][padding:]]
        pieces[2::4] = self._after[first:end]
        pieces[3::4] = [_TRUE if guilty else _FALSE for guilty in self._guilty[row, padding:].tolist()]
        pieces[0] = pieces[0][1:]
        pieces[-1] = _NEWEST
        return pieces

    def _write_lines(self, places: Ints) -> tuple[list[bytes], list[bytes]]:
        """Returns the bytes before and after the weight of each line that a window shows, by place; else empty."""
        windows = self._windows
        lines = len(windows.columns["offset"])
        before, after = [b""] * lines, [b""] * lines
        columns = windows.columns
        offsets, indexes, times = (columns[name].tolist() for name in ("offset", "index", "timestamp"))
        surprise, texts = surprises(windows, 0, lines), columns["text"]
        for i in _shown_places(windows, places):
            text = msgspec.json.encode(truncated(texts[i].decode("utf-8", "replace"), self._max_line_chars))
            before[i] = b',{"offset":%d,"index":%d,"timestamp":%s,"text":%s,"weight":' % (
                offsets[i],
                indexes[i],
                _time(times[i]),
                text,
            )
            after[i] = b',"surprise":%s' % _number(round(surprise[i], 3))
        return before, after


def _shown_places(windows: WindowBatch, places: Ints) -> list[int]:
    """Returns the places of the flat columns that at least one of these windows shows, ascending."""
    # Windows of 3 and 2 lines that end at places 4 and 5, in 7 places:
    #   begins − ends     0 0 1 0 1 −1 −1      one up at 2 and 4, one down at 5 and 6
    #   sum               0 0 1 1 2 1 0        windows that show each place
    ends = windows.ends[places] + 1
    change = np.zeros(len(windows.columns["offset"]) + 1, np.int64)
    np.add.at(change, ends - windows.filled[places], 1)
    np.add.at(change, ends, -1)
    return np.flatnonzero(np.cumsum(change)).tolist()


def _time(timestamp_ms: int) -> bytes:
    text = alerts.rfc3339(timestamp_ms) if timestamp_ms >= 0 else None
    return b"null" if text is None else b'"%s"' % text.encode()


@lru_cache(maxsize=4096)
def _number(number: float) -> bytes:
    return msgspec.json.encode(number)
