"""Writes the alerts of a whole batch as messages: the bytes of `build_alert(...).encode()`, much faster.

In a storm every line ends a window, and the windows of a service overlap in all lines but one. Each line is therefore
written once per batch, as the bytes around the one number that differs between windows, its weight. An alert is a list
of such pieces, which are joined when it is sent. No object is made per line of a window.

Runs on the score worker. Knows windows, scores and alerts; knows nothing of assignments and acknowledgements.

A place is one in the flat columns, except where it is named as that of a window in the batch.
"""

from __future__ import annotations

from functools import lru_cache

import msgspec
import numpy as np

from logwarden.daemon.incidents import alert
from logwarden.daemon.incidents.plans import plan_facts
from logwarden.daemon.incidents.quoting import quotation
from logwarden.daemon.incidents.writing import encodable, rfc3339
from logwarden.daemon.records import Message, Partition
from logwarden.model.arrays import Ints, Texts
from logwarden.model.incidents import Plan
from logwarden.model.kinds import KINDS, is_rate, is_silence
from logwarden.model.schema import LineSilence, truncated
from logwarden.model.verdicts import AlertPolicy, Scores, guilty_lines, rate_of, silence_of, surprises
from logwarden.model.windowing import WindowBatch

_WEIGHTS = np.array([msgspec.json.encode(number / 10_000) for number in range(10_001)], object)
"""The JSON of every weight, which has four digits."""
_GUILT = np.array([b',"guilty":false,"newest":false}', b',"guilty":true,"newest":false}'], object)
_HEADERS_BYTES = 1_024
"""Memory of an alert's headers."""
_NEWEST = b',"guilty":true,"newest":true}'
_FRAME = (
    b'{"schema_version":%d,"id":"%s","@timestamp":%s,"event":{"kind":"alert","category":["process"]%s},'
    b'"service":{"name":%s},"message":%s,"log":{"level":%s},"logwarden":{"score":%s,"threshold":%s,"prediction":"%s",'
    b'"probabilities":{"normal":%s,"anomaly":%s},"logits":[%s,%s],"severity":"%s","kind":"%s"%s,"dedup_key":%s:%s",'
    b'"source":{"topic":%s,"partition":%d,"first_offset":%d,"last_offset":%d,"index":%d},"lines":['
)
_END = b'],"history_lines":%d,"model_revision":%s,"detection_delay_ms":%s%s}}'


class AlertDraft:
    """An alert before its pieces are joined: a tenth of its bytes, as it shares its lines with the alerts beside it."""

    __slots__ = ("_headers", "_key", "_pieces", "size", "topic", "waiting_bytes")

    def __init__(
        self, topic: str, key: bytes, pieces: list[bytes], headers: list[tuple[str, bytes]], own_bytes: int
    ) -> None:
        self.topic = topic
        self._key = key
        self._pieces = pieces
        self._headers = headers
        self.size = sum(map(len, pieces))
        """Bytes of the message's value."""
        self.waiting_bytes = own_bytes + 8 * len(pieces) + _HEADERS_BYTES
        """Memory of the draft, and of its newest line. Other alerts count the other lines."""

    def message(self) -> Message:
        """Returns the message."""
        return Message(topic=self.topic, key=self._key, value=b"".join(self._pieces), headers=tuple(self._headers))


class AlertWriter:
    """The lines and answers of some windows of one batch, ready to be joined to alerts."""

    def __init__(self, windows: WindowBatch, scores: Scores, places: Ints, *, max_line_chars: int) -> None:
        self._windows = windows
        self._row = {place: row for row, place in enumerate(places.tolist())}
        weights = scores.line_weights[places]
        # As round(weight, 4): a float32 has 24 bits and 10,000 has 14, so the product is exact in the 53 of a double.
        rounded = np.rint(weights.astype(np.float64) * 10_000)
        assert not len(rounded) or 0 <= rounded.min() <= rounded.max() <= 10_000, "weights lie between 0 and 1"
        self._weights: list[list[bytes]] = _WEIGHTS[rounded.astype(np.int64)].tolist()
        self._guilty: list[list[bytes]] = (
            _GUILT[guilty_lines(weights).astype(np.int64)].tolist() if len(weights) else []
        )
        self._scores: list[float] = scores.probability[places].tolist()
        self._logits: list[list[float]] = scores.logits[places].tolist()
        # As many lines as `history_lines` gives: log2(1 + lines) is known to more digits than a line is away.
        self._history: list[int] = np.rint(np.exp2(windows.newest("log_age")[places].astype(np.float64)) - 1).tolist()
        self._ends: list[int] = windows.ends[places].tolist()
        self._filled: list[int] = windows.filled[places].tolist()
        self._kind_numbers: list[int] = scores.kinds[places].tolist()
        self._has_rate: list[bool] = is_rate(scores.kinds[places]).tolist()
        self._is_silence: list[bool] = is_silence(scores.kinds[places]).tolist()
        self._max_chars = max_line_chars
        self._write_lines(places, max_line_chars)

    def draft(
        self,
        place: int,
        policy: AlertPolicy,
        *,
        service: str,
        partition: Partition,
        alerts_topic: str,
        now_ms: int,
        incarnation: str = "",
        original: bytes = b"",
        max_original_chars: int = 0,
        plan: Plan | None = None,
    ) -> AlertDraft:
        """Returns the alert of the window at a place of the batch.

        `now_ms`: wall clock in milliseconds, for the delay. `incarnation`: see `alert_id`. `original`: the record of
        the newest line, see `quotation`. `plan`: the maintenance in which it was logged.
        """
        row = self._row[place]
        end, score, history = self._ends[row], self._scores[row], int(self._history[row])
        offset, index, time_ms = self._offsets[end], self._indexes[end], self._times[end]
        normal_logit, anomaly_logit = self._logits[row]
        # One call for all numbers of the answer, which are separated by commas and contain none.
        figures = (score, policy.threshold, 1.0 - score, normal_logit, anomaly_logit)
        digits = (6, 6, 6, 4, 4)
        answer = msgspec.json.encode(tuple(map(round, figures, digits)))[1:-1].split(b",")
        is_anomaly = score >= policy.threshold and history >= policy.learning_lines
        name, quoted = _service(service)
        timestamp = rfc3339(time_ms) if time_ms >= 0 else None
        silence = silence_of(self._windows, place) if self._is_silence[row] else None
        identity = alert.alert_id(
            *partition, service, offset, index, incarnation=incarnation, is_silence=silence is not None
        )
        newest = self._windows.columns["text"][end].decode("utf-8", "replace")
        frame = _FRAME % (
            alert.SCHEMA_VERSION,
            identity.encode(),
            _quoted_time(timestamp),
            _original(quotation(original, newest, max_original_chars)),
            quoted,
            self._texts[end] if silence is None else self._message(newest, silence),
            b"null" if silence is not None else _quoted_level(newest),
            answer[0],
            answer[1],
            b"anomaly" if is_anomaly else b"normal",
            answer[2],
            answer[0],
            answer[3],
            answer[4],
            alert.severity(score, policy.threshold).encode() if is_anomaly else b"info",
            KINDS[self._kind_numbers[row]].encode(),
            self._measured(place, silence) if self._has_rate[row] or silence is not None else b"",
            quoted[:-1],
            alert.kind_name(self._kinds[end]).encode(),
            _quoted(partition.topic),
            partition.partition,
            self._offsets[end - self._filled[row] + 1],
            offset,
            index,
        )
        delay = b"null" if time_ms < 0 else b"%d" % max(now_ms - time_ms, 0)
        headers = alert.cloud_event(identity, encodable(partition.topic), partition.partition, timestamp, name)
        planned = b"" if plan is None else b',"planned":%s' % msgspec.json.encode(plan_facts(plan))
        last = _END % (history, _quoted(policy.model_revision), delay, planned)
        own_bytes = len(frame) + len(last) + len(self._texts[end]) + len(self._before[end]) + len(self._after[end])
        return AlertDraft(alerts_topic, name, [frame, *self._lines(row), last], headers, own_bytes)

    def _message(self, newest: str, silence: LineSilence) -> bytes:
        return msgspec.json.encode(truncated(alert.message_of(newest, silence), self._max_chars))

    def _measured(self, place: int, silence: LineSilence | None) -> bytes:
        """Returns the rate that went up in a window, or its silence."""
        if silence is not None:
            return b',"silence":' + msgspec.json.encode(alert.silence_facts(silence))
        return b',"rate":' + msgspec.json.encode(alert.rate_facts(rate_of(self._windows, place)))

    def _lines(self, row: int) -> list[bytes]:
        """Returns the pieces of a window's lines."""
        # A window of 3 lines that ends at place 8, a row of weights with one place of padding:
        #   before    pieces 0, 4, 8     of places 6, 7, 8; the first of them without its comma
        #   weights   pieces 1, 5, 9     columns 1, 2, 3 of the row
        #   after     pieces 2, 6, 10    of places 6, 7, 8
        #   guilty    pieces 3, 7, 11    columns 1, 2, 3; the last of them is the newest line's
        filled, end = self._filled[row], self._ends[row] + 1
        first, padding = end - filled, self._windows.size - filled
        pieces = [b""] * (4 * filled)
        pieces[0::4] = self._before[first:end]
        pieces[1::4] = self._weights[row][padding:]
        pieces[2::4] = self._after[first:end]
        pieces[3::4] = self._guilty[row][padding:]
        pieces[0] = pieces[0][1:]
        pieces[-1] = _NEWEST
        return pieces

    def _write_lines(self, places: Ints, max_chars: int) -> None:
        """Writes the text of each line that a window shows, and the bytes before and after its weight."""
        columns = self._windows.columns
        texts: Texts = columns["text"]
        self._offsets, self._indexes, self._times, self._kinds = (
            columns[name].tolist() for name in ("offset", "index", "timestamp", "kind")
        )
        surprise = surprises(columns["log_age"], columns["log_count"])
        self._texts, self._before, self._after = ([b""] * len(texts) for _ in range(3))
        for i in _shown_places(self._windows, places):
            text = msgspec.json.encode(truncated(texts[i].decode("utf-8", "replace"), max_chars))
            time = _quoted_time(rfc3339(self._times[i]) if self._times[i] >= 0 else None)
            facts = (self._offsets[i], self._indexes[i], time, text)
            self._texts[i] = text
            self._before[i] = b',{"offset":%d,"index":%d,"timestamp":%s,"text":%s,"weight":' % facts
            self._after[i] = b',"surprise":%s' % _number(round(surprise[i], 3))


def _original(text: str | None) -> bytes:
    return b"" if text is None else b',"original":%s' % msgspec.json.encode(text)


def _quoted_level(text: str) -> bytes:
    level = alert.level_of(text)
    return b"null" if level is None else b'"%s"' % level.encode()


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


def _quoted_time(text: str | None) -> bytes:
    return b"null" if text is None else b'"%s"' % text.encode()


@lru_cache(maxsize=1024)
def _quoted(text: str) -> bytes:
    return msgspec.json.encode(encodable(text))


@lru_cache(maxsize=4096)
def _service(service: str) -> tuple[bytes, bytes]:
    """Returns the bytes of a service's name, and its JSON."""
    return encodable(service).encode(), _quoted(service)


@lru_cache(maxsize=4096)
def _number(number: float) -> bytes:
    return msgspec.json.encode(number)
