"""Reads feedback from a file in TOML, for people who keep everything under version control.

    [[mute]]
    pattern = "health check of * timed out"
    services = ["shop/*"]

    [[expected]]
    services = ["shop/db"]
    lines = ["FATAL: the database system is starting up"]

    [[maintenance]]
    systems = ["shop"]
    from = 2026-11-28T22:00:00Z
    until = 2026-11-28T23:00:00Z
    reason = "a larger disk"

An entry applies to lines of any time, unless it has times. Pure: the caller reads the bytes.
"""

from __future__ import annotations

import hashlib
import json
import tomllib
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from logwarden.daemon.feedback.records import (
    MAX_BYTES,
    SCHEMA_VERSION,
    FeedbackRecord,
    KindOf,
    decode_feedback,
    feedback_of,
)
from logwarden.model.feedback import Feedback, FeedbackKind

_EPOCH = "1970-01-01T00:00:00.000Z"
_TABLES = frozenset({FeedbackKind.EXPECTED, FeedbackKind.MUTE, FeedbackKind.MAINTENANCE})
_TIMES = frozenset({"from", "until"})
_FIELDS = frozenset({"services", "systems", "pattern", "lines", "reason", *_TIMES})


def read_file(content: bytes, kind_of: KindOf) -> list[Feedback]:
    """Returns the feedback in a file. Raises ValueError with one sentence if any of it cannot be used."""
    if len(content) > MAX_BYTES:
        raise ValueError(f"the file has {len(content):,} bytes, and at most {MAX_BYTES:,} are read")
    try:
        tables = tomllib.loads(content.decode())
    except (UnicodeDecodeError, tomllib.TOMLDecodeError, RecursionError) as error:
        raise ValueError(f"the file is no TOML: {error}") from None
    found: dict[str, Feedback] = {}
    for name, entries in tables.items():
        if name not in _TABLES or not isinstance(entries, list):
            raise ValueError(f"{name!r} is none of {', '.join(f'[[{one}]]' for one in sorted(_TABLES))}")
        for number, entry in enumerate(entries, 1):
            try:
                record = _record(FeedbackKind(name), entry)
            except ValueError as error:
                raise ValueError(f"entry {number} of [[{name}]]: {error}") from None
            digest = hashlib.blake2b(record.encode(), digest_size=6).hexdigest()
            key = f"file/{digest}"
            found[key] = feedback_of(key, record, kind_of)
    return list(found.values())


def _record(kind: FeedbackKind, entry: Any) -> FeedbackRecord:
    """Returns an entry as a record of the topic, which has the same bounds."""
    if not isinstance(entry, Mapping):
        raise ValueError("write it as a table")
    unknown = sorted(entry.keys() - _FIELDS)
    if unknown:
        raise ValueError(f"{unknown[0]!r} is no field; there are {', '.join(sorted(_FIELDS))}")
    lines = entry.get("lines", [])
    if not isinstance(lines, list) or not all(isinstance(line, str) for line in lines):
        raise ValueError("`lines` must be a list of strings")
    times = {name: _time(name, entry[name]) for name in _TIMES & entry.keys()}
    fields = {name: entry[name] for name in ("services", "systems", "pattern", "reason") if name in entry}
    value = {
        "schema_version": SCHEMA_VERSION,
        "kind": kind,
        "given": times.get("from", _EPOCH),
        "lines": [{"service": "", "text": line} for line in lines],
        **times,
        **fields,
    }
    return decode_feedback(json.dumps(value).encode())


def _time(name: str, value: object) -> str:
    """Returns a time of TOML as text. Raises ValueError for one without a zone."""
    if not isinstance(value, datetime) or value.tzinfo is None:
        raise ValueError(f"`{name}` must be a time with a zone, such as 2026-11-28T22:00:00Z")
    return value.isoformat()
