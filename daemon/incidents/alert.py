"""What an alert is: its id, its fields, its bytes and headers. Pure; described by `alert.schema.json` beside this file.

The same verdict gives the same alert whenever it is replayed, with one exception that is about the delivery and not
about the anomaly: `logwarden.detection_delay_ms`. Refuses to know when an alert is due and how it is sent.

Fields follow the Elastic Common Schema (`@timestamp`, `event`, `service`, `message`); what ECS has no field for is in
`logwarden`. Headers follow CloudEvents 1.0, Kafka binding, binary mode.
"""

from __future__ import annotations

import hashlib
import re
import uuid
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import quote

import msgspec

from logwarden.model.schema import LogLine, Verdict

SCHEMA_VERSION = 1
NAMESPACE = uuid.UUID("6d1c7f0e-35a4-5b0f-9a53-8a2f0f6f1c77")
"""Namespace of alert ids. Changing it makes every replayed alert look new, so it never changes."""
CE_TYPE = "logwarden.alert.v1"
SEVERITIES = (("critical", 0.9), ("error", 0.5), ("warning", 0.0))
"""Severity by how far the score is from the threshold (0) to certainty (1). The words are PagerDuty's four."""

Alert = dict[str, Any]

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_TOKEN = re.compile(r"[0-9A-Za-z_-]+")


def alert_id(topic: str, partition: int, service: str, offset: int, index: int) -> str:
    """The identity of the window that ends at this line; stable over replays, restarts and versions of the model."""
    return str(uuid.uuid5(NAMESPACE, _encodable(f"{topic}|{partition}|{service}|{offset}|{index}")))


def build(verdict: Verdict, *, now_ms: int | None, max_line_chars: int = 1_024) -> Alert:
    """The alert of a verdict. `now_ms`: wall clock in milliseconds for the delay, None: not known (files)."""
    window, newest = verdict.window, verdict.window.newest
    service = _encodable(window.service)
    return {
        "schema_version": SCHEMA_VERSION,
        "id": alert_id(window.topic, window.partition, window.service, newest.offset, newest.index),
        "@timestamp": rfc3339(newest.timestamp_ms),
        "event": {"kind": "alert", "category": ["process"]},
        "service": {"name": service},
        "message": _cut(newest.text, max_line_chars),
        "logwarden": {
            # Six digits: below that, float32 sums differ with the company a window has in its batch.
            "score": round(verdict.score, 6),
            "threshold": round(verdict.threshold, 6),
            "prediction": "anomaly" if verdict.is_anomaly else "normal",
            "probabilities": dict(
                zip(("normal", "anomaly"), (round(p, 6) for p in verdict.probabilities), strict=True)
            ),
            "logits": [round(logit, 4) for logit in verdict.logits],
            "severity": severity(verdict),
            "dedup_key": f"{service}:{fingerprint(newest.text)}",
            "source": {
                "topic": _encodable(window.topic),
                "partition": window.partition,
                "first_offset": window.lines[0].offset,
                "last_offset": newest.offset,
                "index": newest.index,
            },
            "lines": [_line(line, line is newest, max_line_chars) for line in window.lines],
            "history_lines": verdict.history_lines,
            "model_revision": verdict.model_revision,
            "detection_delay_ms": _delay(newest.timestamp_ms, now_ms),
        },
    }


def encode(alert: Alert) -> bytes:
    """The record's value: JSON, the same bytes for the same alert."""
    return msgspec.json.encode(alert)


def key(alert: Alert) -> bytes:
    """The record's key: the service, so that its alerts stay in order."""
    name: str = alert["service"]["name"]
    return name.encode()


def headers(alert: Alert) -> list[tuple[str, bytes]]:
    """CloudEvents attributes. Consumers may treat two records of one source and id as one event."""
    source = alert["logwarden"]["source"]
    attributes = {
        "ce_specversion": "1.0",
        "ce_id": alert["id"],
        "ce_source": f"/logwarden/{quote(source['topic'])}/{source['partition']}",
        "ce_type": CE_TYPE,
        "ce_time": alert["@timestamp"],
        "ce_subject": alert["service"]["name"],
        "content-type": "application/json",
    }
    return [(name, value.encode()) for name, value in attributes.items() if value]


def severity(verdict: Verdict) -> str:
    """One of critical, error, warning; info for what is no anomaly."""
    if not verdict.is_anomaly:
        return "info"
    room = 1.0 - verdict.threshold
    certainty = (verdict.score - verdict.threshold) / room if room > 0 else 1.0
    return next(word for word, least in SEVERITIES if certainty >= least)


def fingerprint(text: str) -> str:
    """Short hash of a line without its variable words, so that the same fault today and tomorrow is one incident."""
    masked = _TOKEN.sub(lambda word: "*" if any(c.isdigit() for c in word[0]) else word[0], text.strip())
    return hashlib.blake2s(_encodable(masked).encode(), digest_size=8).hexdigest()


def rfc3339(timestamp_ms: int | None) -> str | None:
    """UTC with milliseconds and a Z. None for no time, and for one outside the years 1 to 9999 (a broken clock)."""
    if timestamp_ms is None:
        return None
    try:
        return (_EPOCH + timedelta(milliseconds=timestamp_ms)).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    except OverflowError:
        return None


def _line(line: LogLine, newest: bool, max_chars: int) -> dict[str, Any]:
    return {
        "offset": line.offset,
        "index": line.index,
        "timestamp": rfc3339(line.timestamp_ms),
        "text": _cut(line.text, max_chars),
        "weight": round(line.weight, 4),
        "surprise": round(line.surprise, 3),
        "guilty": line.guilty,
        "newest": newest,
    }


def _delay(timestamp_ms: int | None, now_ms: int | None) -> int | None:
    if timestamp_ms is None or now_ms is None:
        return None
    return max(now_ms - timestamp_ms, 0)  # the clock of a shipper may be ahead of ours


def _cut(text: str, max_chars: int) -> str:
    text = _encodable(text)
    return text if len(text) <= max_chars else text[: max_chars - 1] + "…"


def _encodable(text: str) -> str:
    """A lone surrogate, which JSON input can smuggle into a text, would make the alert impossible to send."""
    return text.encode("utf-8", "replace").decode()
