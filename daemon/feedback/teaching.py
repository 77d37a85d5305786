"""Turns judged alerts into labelled lines, from which `logwarden train` learns. Pure.

An alert has the lines before it, which is what a history needs. The line that was judged has a label: 1 if people call
it real, 0 if they expect it. The others have none.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from logwarden.daemon.feedback.giving import Entries, is_over
from logwarden.daemon.feedback.records import KIND_CHARS, given_at
from logwarden.daemon.incidents.alert import Alert, decode_alert
from logwarden.model.feedback import FeedbackKind

_LABELS = {FeedbackKind.REAL: 1, FeedbackKind.EXPECTED: 0}
_Place = tuple[str, int, int, int]
"""Topic, partition, offset and index of a line."""


def rows_of(entries: Entries, alerts: Iterable[bytes], now_ms: int) -> Iterator[dict[str, Any]]:
    """Yields the labelled rows of all alerts on lines that were judged, in the order of their times, each line once."""
    labels = _labels(entries, now_ms)
    rows: dict[_Place, dict[str, Any]] = {}
    for value in alerts:
        try:
            alert = decode_alert(value)
        except ValueError:  # another producer's record, or one of another version
            continue
        label = labels.get(alert.logwarden.dedup_key)
        if label is None:
            continue
        for place, row in _rows(alert):
            known = rows.setdefault(place, row)
            if place == _newest(alert):
                known["label"] = label
    yield from sorted(rows.values(), key=lambda row: row["time"] or "")


def _labels(entries: Entries, now_ms: int) -> dict[str, int]:
    """Returns the label of each judged service and kind of lines: that of the judgement given last.

    Lines that are expected no longer have none: a person may have taken it back.
    """
    found: dict[str, int] = {}
    for _, record in sorted(entries.items(), key=lambda row: given_at(*row)):
        if record.kind in _LABELS and (record.kind is FeedbackKind.REAL or not is_over(record, now_ms)):
            for line in record.lines:
                if len(line.dedup_key) > KIND_CHARS:
                    found[line.dedup_key] = _LABELS[record.kind]
    return found


def _newest(alert: Alert) -> _Place:
    source = alert.logwarden.source
    return source.topic, source.partition, source.last_offset, source.index


def _rows(alert: Alert) -> Iterator[tuple[_Place, dict[str, Any]]]:
    source = alert.logwarden.source
    for line in alert.logwarden.lines:
        row = {"service": alert.service.name, "time": line.timestamp, "text": line.text, "label": None}
        yield (source.topic, source.partition, line.offset, line.index), row
