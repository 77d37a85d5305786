"""Defines an alert: its id, its fields, its bytes and headers. Pure; `alert.schema.json` beside this file describes it.

A replay of the same verdict builds the same alert, except for `logwarden.detection_delay_ms`, which describes the
delivery and not the anomaly. Refuses to know when an alert is due and how it is sent.

Fields follow the Elastic Common Schema (`@timestamp`, `event`, `service`, `message`). Facts without a field in ECS are
in `logwarden`. Headers follow CloudEvents 1.0, Kafka binding, binary mode.
"""

from __future__ import annotations

import hashlib
import uuid
from functools import lru_cache
from urllib.parse import quote

import msgspec

from logwarden.daemon.incidents.plans import PlanFacts, plan_facts
from logwarden.daemon.incidents.quoting import quotation
from logwarden.daemon.incidents.writing import encodable, rfc3339
from logwarden.daemon.records import Message
from logwarden.model.incidents import Plan
from logwarden.model.rates import PERIOD_MS
from logwarden.model.schema import LineRate, LineSilence, LogLine, Verdict, truncated
from logwarden.model.severity import NAMES as LEVELS
from logwarden.model.severity import of_line

SCHEMA_VERSION = 1
NAMESPACE = uuid.UUID("6d1c7f0e-35a4-5b0f-9a53-8a2f0f6f1c77")
"""Namespace of alert ids. It never changes: with another one every replayed alert would look new."""
CE_TYPE = "logwarden.alert.v1"
_CE_TYPE = CE_TYPE.encode()
SEVERITIES = (("critical", 0.9), ("error", 0.5), ("warning", 0.0))
"""Severity and the least place of the score between threshold (0) and certainty (1). The words are PagerDuty's."""


class AlertEvent(msgspec.Struct, frozen=True, kw_only=True):
    """ECS `event`."""

    kind: str = "alert"
    category: tuple[str, ...] = ("process",)
    original: str | msgspec.UnsetType = msgspec.UNSET
    """The newest line's record as it was written. Not in the bytes if it states what the line states."""


class AlertService(msgspec.Struct, frozen=True, kw_only=True):
    """ECS `service`."""

    name: str


class AlertOrigin(msgspec.Struct, frozen=True, kw_only=True):
    """The place of the window in the input topic."""

    topic: str
    partition: int
    first_offset: int
    last_offset: int
    index: int
    """Position of the newest line within its record."""


class AlertLog(msgspec.Struct, frozen=True, kw_only=True):
    """The level that the newest line states, in ECS's field."""

    level: str | None
    """trace, debug, info, notice, warning, error or critical; None if the line states none."""


class AlertLine(msgspec.Struct, frozen=True, kw_only=True):
    """One line of the window."""

    offset: int
    index: int
    timestamp: str | None
    text: str
    weight: float
    """Share of the score that the line carries, 0 to 1."""
    surprise: float
    """Bits; see `model/schema.py`."""
    guilty: bool
    newest: bool


class AlertRate(msgspec.Struct, frozen=True, kw_only=True):
    """A count within ten seconds that is higher than ever before."""

    of: str
    """`line`, lines of the newest one's kind; `failures` or `refusals`, all such lines of the service."""
    count: int
    """Lines so far, with the newest."""
    most_before: int
    seconds: int = PERIOD_MS // 1_000


class AlertSilence(msgspec.Struct, frozen=True, kw_only=True):
    """A time without a line that is longer than ever before."""

    seconds: int
    longest_before: int


class AlertFindings(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Facts about the anomaly for which ECS has no field."""

    score: float
    threshold: float
    prediction: str
    probabilities: dict[str, float]
    logits: tuple[float, ...]
    severity: str
    kind: str = ""
    """See `logwarden.model.schema.AlertKind`; empty in alerts of earlier releases."""
    rate: AlertRate | None = None
    """Only for the kinds of a rate."""
    silence: AlertSilence | None = None
    """Only for a silence, of which the newest line is the last before it."""
    dedup_key: str
    source: AlertOrigin
    lines: tuple[AlertLine, ...]
    """Oldest first."""
    history_lines: int
    model_revision: str
    detection_delay_ms: int | None
    shortened: bool = False
    """True if lines are missing or truncated because the topic takes no larger message. Otherwise not in the bytes."""
    planned: PlanFacts | None = None
    """None: it was not announced, and the bytes do not contain the field."""


_EVENT = AlertEvent()


class Alert(msgspec.Struct, frozen=True, kw_only=True):
    """An anomaly as it is published. The fields are in the order of the bytes."""

    schema_version: int
    id: str
    timestamp: str | None = msgspec.field(name="@timestamp")
    event: AlertEvent
    service: AlertService
    message: str
    log: AlertLog
    logwarden: AlertFindings

    def encode(self) -> bytes:
        """Returns the record's value: JSON, the same bytes for the same alert."""
        return msgspec.json.encode(self)


def decode_alert(value: bytes) -> Alert:
    """Returns the alert in a record's value. Raises ValueError if it contains none of this schema version."""
    try:
        alert = _DECODER.decode(value)
    except UnicodeDecodeError as error:
        raise ValueError(f"the value is not UTF-8: {error}") from None
    if alert.schema_version != SCHEMA_VERSION:
        raise ValueError(f"the alert has schema version {alert.schema_version}, not {SCHEMA_VERSION}")
    return alert


_DECODER = msgspec.json.Decoder(Alert)


def message_of(text: str, silence: LineSilence | None) -> str:
    """Returns what people read first: the newest line, and what is missing behind it."""
    return text if silence is None else f"{silence.sentence} {text}"


def alert_id(
    topic: str,
    partition: int,
    service: str,
    offset: int,
    index: int,
    *,
    incarnation: str = "",
    is_silence: bool = False,
) -> str:
    """Returns the identity of the window that ends at this line; stable over replays, restarts and model versions.

    `incarnation`: identity of the topic, which a later topic of this name, or one of another cluster, does not have.
    `is_silence`: the alert is about what is missing behind the line.
    """
    named = f"{topic}@{incarnation}" if incarnation else topic  # no topic's name contains @
    place = f"{offset}|{index}|silence" if is_silence else f"{offset}|{index}"
    name = encodable(f"{named}|{partition}|{service}|{place}").encode()
    # As str(uuid.uuid5(NAMESPACE, name)), in a third of the time: SHA-1, with the version and the variant in its bits.
    digest = bytearray(hashlib.sha1(NAMESPACE.bytes + name, usedforsecurity=False).digest()[:16])
    digest[6] = digest[6] & 0x0F | 0x50
    digest[8] = digest[8] & 0x3F | 0x80
    text = digest.hex()
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"


def build_alert(
    verdict: Verdict,
    *,
    now_ms: int | None,
    max_line_chars: int = 1_024,
    incarnation: str = "",
    original: bytes = b"",
    max_original_chars: int = 0,
    plan: Plan | None = None,
) -> Alert:
    """Builds the alert of a verdict.

    `now_ms`: wall clock in milliseconds for the delay; None in scans of files. `original`: see `quotation`.
    """
    window, newest = verdict.window, verdict.window.newest
    quoted = quotation(original, newest.text, max_original_chars)
    service = encodable(window.service)
    # Six digits: the digits after them depend on the other windows of the batch, by the order of float32 sums.
    normal, anomaly = verdict.probabilities
    return Alert(
        schema_version=SCHEMA_VERSION,
        id=alert_id(
            window.topic,
            window.partition,
            window.service,
            newest.offset,
            newest.index,
            incarnation=incarnation,
            is_silence=verdict.silence is not None,
        ),
        timestamp=rfc3339(newest.timestamp_ms),
        event=_EVENT if quoted is None else AlertEvent(original=quoted),
        service=AlertService(name=service),
        message=_shown(message_of(newest.text, verdict.silence), max_line_chars),
        log=AlertLog(level=None if verdict.silence else level_of(newest.text)),
        logwarden=AlertFindings(
            score=round(verdict.score, 6),
            threshold=round(verdict.threshold, 6),
            prediction="anomaly" if verdict.is_anomaly else "normal",
            probabilities={"normal": round(normal, 6), "anomaly": round(anomaly, 6)},
            logits=tuple(round(logit, 4) for logit in verdict.logits),
            severity=severity(verdict.score, verdict.threshold) if verdict.is_anomaly else "info",
            kind=verdict.kind,
            rate=None if verdict.rate is None else rate_facts(verdict.rate),
            silence=None if verdict.silence is None else silence_facts(verdict.silence),
            dedup_key=f"{service}:{kind_name(newest.kind)}",
            source=AlertOrigin(
                topic=encodable(window.topic),
                partition=window.partition,
                first_offset=window.lines[0].offset,
                last_offset=newest.offset,
                index=newest.index,
            ),
            lines=tuple(_line(line, line is newest, max_line_chars) for line in window.lines),
            history_lines=verdict.history_lines,
            model_revision=verdict.model_revision,
            detection_delay_ms=_delay(newest.timestamp_ms, now_ms),
            planned=None if plan is None else plan_facts(plan),
        ),
    )


def silence_facts(silence: LineSilence) -> AlertSilence:
    """Returns a silence as alerts show it."""
    return AlertSilence(seconds=silence.seconds, longest_before=silence.longest_before)


def rate_facts(rate: LineRate) -> AlertRate:
    """Returns a rate as alerts show it."""
    return AlertRate(of=rate.of, count=rate.counted, most_before=rate.before)


def level_of(text: str) -> str | None:
    """Returns the name of the level that a line states. Returns None if it states none."""
    level = of_line(text)
    return None if level is None else LEVELS[level].lower()


def alert_message(alert: Alert, topic: str) -> Message:
    """Returns the message of an alert. Its key is the service, so that the alerts of a service stay in order."""
    return Message(topic=topic, key=alert.service.name.encode(), value=alert.encode(), headers=tuple(headers(alert)))


def id_in(message: Message) -> str:
    """Returns the id of the alert in a message."""
    return dict(message.headers)["ce_id"].decode()


def headers(alert: Alert) -> list[tuple[str, bytes]]:
    """Returns CloudEvents attributes. A consumer may treat two records of one source and id as one event."""
    source = alert.logwarden.source
    return cloud_event(alert.id, source.topic, source.partition, alert.timestamp, alert.service.name.encode())


def cloud_event(
    alert_id: str, topic: str, partition: int, timestamp: str | None, service: bytes
) -> list[tuple[str, bytes]]:
    """Returns the headers of an alert with these facts; those without a value are left out."""
    fields = [
        ("ce_specversion", b"1.0"),
        ("ce_id", alert_id.encode()),
        ("ce_source", _ce_source(topic, partition)),
        ("ce_type", _CE_TYPE),
    ]
    if timestamp:
        fields.append(("ce_time", timestamp.encode()))
    if service:
        fields.append(("ce_subject", service))
    fields.append(("content-type", b"application/json"))
    return fields


@lru_cache(maxsize=1024)
def _ce_source(topic: str, partition: int) -> bytes:
    return f"/logwarden/{quote(topic)}/{partition}".encode()


def severity(score: float, threshold: float) -> str:
    """Returns critical, error or warning for the score of an anomaly."""
    room = 1.0 - threshold
    certainty = (score - threshold) / room if room > 0 else 1.0
    for word, least in SEVERITIES:
        if certainty >= least:
            return word
    return SEVERITIES[-1][0]  # a score below the threshold is no anomaly


def kind_name(kind: int) -> str:
    """Returns the name of a kind of lines: 16 hexadecimal digits of the hash of its masked line."""
    return f"{kind & 0xFFFF_FFFF_FFFF_FFFF:016x}"


def _line(line: LogLine, newest: bool, max_chars: int) -> AlertLine:
    return AlertLine(
        offset=line.offset,
        index=line.index,
        timestamp=rfc3339(line.timestamp_ms),
        text=_shown(line.text, max_chars),
        weight=round(line.weight, 4),
        surprise=round(line.surprise, 3),
        guilty=line.guilty,
        newest=newest,
    )


def _delay(timestamp_ms: int | None, now_ms: int | None) -> int | None:
    if timestamp_ms is None or now_ms is None:
        return None
    return max(now_ms - timestamp_ms, 0)  # the clock of a shipper may be ahead of this machine's


def _shown(text: str, max_chars: int) -> str:
    return truncated(encodable(text), max_chars)
