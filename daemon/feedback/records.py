"""Defines a record of feedback: its fields, its bytes, its key. `feedback.schema.json` beside it describes it. Pure.

The key decides which record replaces which: an incident has one judgement, a text one mute, a maintenance one record.
A record without a value takes its key's feedback back. Any producer may write to the topic, so
everything that is read has a bound.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

import msgspec

from logwarden.daemon.incidents.writing import encodable, rfc3339
from logwarden.daemon.records import Message
from logwarden.model.feedback import Feedback, FeedbackKind

SCHEMA_VERSION = 1
MAX_BYTES = 262_144
MAX_KEY_CHARS = 256
MAX_NAMES = 64
"""Patterns of services, and of systems."""
MAX_LINES = 256
MAX_CHARS = 1_024
"""Characters of a name, a pattern, a reason."""
MAX_TEXT_CHARS = 4_096
LEAST_PATTERN_CHARS = 3
"""Characters of a mute beside stars and blanks: `*` would mute everything."""
KIND_CHARS = 16
FIRST_MS, LAST_MS = -62_135_596_800_000, 253_402_300_799_999
"""The first and the last millisecond that a date can name: of the years 1 to 9999."""

KindOf = Callable[[str], str]
"""Returns the name of the kind of a line, by the masks in use."""


class FeedbackLine(msgspec.Struct, frozen=True, kw_only=True):
    """One kind of lines that was judged."""

    service: str
    text: str
    dedup_key: str = ""


class FeedbackRecord(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One entry as it is written. The fields are in the order of the bytes."""

    schema_version: int
    kind: FeedbackKind
    given: str
    """When a person gave it."""
    from_time: str | None = msgspec.field(name="from", default=None)
    """First time of a line to which it applies. None: when it was given."""
    until: str | None = None
    """First time of a line to which it no longer applies. None: it has no end."""
    services: tuple[str, ...] = ()
    systems: tuple[str, ...] = ()
    pattern: str = ""
    incident: str = ""
    """Id of the incident that was judged."""
    lines: tuple[FeedbackLine, ...] = ()
    reason: str = ""
    by: str = ""
    """Who gave it."""

    def encode(self) -> bytes:
        """Returns the record's value: JSON, the same bytes for the same feedback."""
        return msgspec.json.encode(self)


_DECODER = msgspec.json.Decoder(FeedbackRecord)


def decode_feedback(value: bytes) -> FeedbackRecord:
    """Returns the feedback in a record's value. Raises ValueError with one sentence if it contains none."""
    if len(value) > MAX_BYTES:
        raise ValueError(f"the value has {len(value):,} bytes, and at most {MAX_BYTES:,} are read")
    try:
        record = _DECODER.decode(value)
    except UnicodeDecodeError as error:
        raise ValueError(f"the value is not UTF-8: {error}") from None
    if record.schema_version != SCHEMA_VERSION:
        raise ValueError(f"the feedback has schema version {record.schema_version}, not {SCHEMA_VERSION}")
    _check(record)
    return record


def _check(record: FeedbackRecord) -> None:
    names = (*record.services, *record.systems)
    texts = (*names, record.pattern, record.incident, record.reason, record.by)
    if len(record.services) > MAX_NAMES or len(record.systems) > MAX_NAMES or len(record.lines) > MAX_LINES:
        raise ValueError(
            f"the feedback names more than {MAX_NAMES} services or systems, or more than {MAX_LINES} lines"
        )
    if any(len(text) > MAX_CHARS for text in texts) or any(len(line.text) > MAX_TEXT_CHARS for line in record.lines):
        raise ValueError(f"a text of the feedback is longer than {MAX_CHARS:,} characters")
    given, begin, end = (time_ms(text) for text in (record.given, record.from_time, record.until))
    assert given is not None, "a text is no None"
    if end is not None and end < (given if begin is None else begin):
        raise ValueError("the feedback ends before it begins")
    needs = {
        FeedbackKind.MUTE: (
            len(record.pattern.replace("*", "").replace(" ", "")) >= LEAST_PATTERN_CHARS,
            f"a pattern of at least {LEAST_PATTERN_CHARS} characters beside stars and blanks",
        ),
        FeedbackKind.MAINTENANCE: (record.until is not None, "an end in `until`"),
    }
    is_there, what = needs.get(record.kind, (bool(record.lines), "lines"))
    if not is_there:
        raise ValueError(f"feedback of the kind {record.kind.value!r} needs {what}")


def time_ms(text: str | None) -> int | None:
    """Returns the milliseconds of a time with a zone. Raises ValueError for another text.

    A time near the end of the year 9999, by which some mean *for ever*, stays one that can be written again.
    """
    if text is None:
        return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        moment = None
    if moment is None or moment.tzinfo is None:
        raise ValueError(f"{text[:40]!r} is no time with a zone, such as 2026-11-23T10:00:00Z")
    return min(max(round(1000 * moment.timestamp()), FIRST_MS), LAST_MS)


def feedback_of(key: str, record: FeedbackRecord, kind_of: KindOf) -> Feedback:
    """Returns what a record means. `record` was checked.

    A kind of lines is named by the hash of its masked text, and a release may mask otherwise. So a line counts under
    its name of then, and under the name that its text has now.
    """
    given = time_ms(record.given)
    begin = time_ms(record.from_time)
    assert given is not None, "checked when it was decoded"
    named = {line.dedup_key[-KIND_CHARS:] for line in record.lines if line.dedup_key}
    masked = {kind_of(line.text) for line in record.lines if line.text and not line.text.endswith("…")}
    services = record.services or tuple(dict.fromkeys(line.service for line in record.lines if line.service))
    return Feedback(
        key=key,
        kind=record.kind,
        given_ms=given,
        from_ms=given if begin is None else begin,
        until_ms=time_ms(record.until),
        services=services,
        systems=record.systems,
        kinds=frozenset(named | masked),
        pattern=record.pattern,
        reason=record.reason,
        by=record.by,
    )


def given_at(key: str, record: FeedbackRecord) -> tuple[int, str]:
    """Returns what orders feedback: of two that contradict each other, the one that comes last counts."""
    given = time_ms(record.given)
    assert given is not None, "a text is no None"
    return given, key


def key_of(key: bytes) -> str:
    """Returns the key of a record as text. Raises ValueError for one that no feedback can have."""
    text = key.decode("utf-8", "replace")
    if not 0 < len(text) <= MAX_KEY_CHARS:
        raise ValueError(f"the key has {len(text):,} characters, and needs 1 to {MAX_KEY_CHARS}")
    return text


def feedback_message(key: str, record: FeedbackRecord | None, topic: str) -> Message:
    """Returns the message of a record. None takes back what the key has."""
    return Message(topic=topic, key=encodable(key).encode(), value=None if record is None else record.encode())


def written(time: int) -> str:
    """Returns a time as records write it."""
    text = rfc3339(time)
    assert text is not None, "times of feedback lie in the years that a date can name"
    return text
