"""An alert quotes the record as it was written, where the text of the line is another."""

from __future__ import annotations

import json

import pytest

from logwarden.daemon.incidents.alert import build_alert, decode_alert
from logwarden.daemon.incidents.quoting import quotation
from logwarden.daemon.incidents.shortening import shorter_alert
from tests.unit.daemon.incidents.test_alert import VALIDATOR, verdict

JSON = b'{"level": "error", "message": "no stock"}'


@pytest.mark.parametrize(
    ("record", "text", "chars", "quoted"),
    [
        (JSON, "ERROR no stock", 1_024, JSON.decode()),
        (JSON + b"\n", "ERROR no stock", 1_024, JSON.decode()),
        (JSON, "ERROR no stock", 10, '{"level":…'),
        (JSON, "ERROR no stock", 0, None),
        (b"", "ERROR no stock", 1_024, None),
        (b"no stock\r\n", "no stock", 1_024, None),
        (b"x" * 90, "x" * 49 + "…", 1_024, None),
        ("{Bücher}".encode()[:3], "y", 1_024, "{B"),
        ("{磁盘}".encode()[:3], "y", 1_024, "{"),
        (b"\xff\xfe{\0", "y", 1_024, None),
        (b"\0\0\0\0\7abc", "y", 1_024, None),
        ("{磁盘空间不足}".encode("gb18030"), "y", 1_024, None),
    ],
)
def test_a_record_is_quoted_where_it_states_something_else(
    record: bytes, text: str, chars: int, quoted: str | None
) -> None:
    """Neither what the line states already nor what is no text is quoted, and no character is torn."""
    assert quotation(record, text, chars) == quoted


def test_a_quotation_is_truncated_with_the_lines() -> None:
    """A record that is longer than all lines does not keep an alert from its topic."""
    whole = build_alert(verdict("short"), now_ms=None, original=b"{" + b"y" * 5_000, max_original_chars=9_000)
    assert len(whole.encode()) > 5_000
    shorter = shorter_alert(whole.encode())
    assert shorter is not None
    assert len(shorter) < 3_000
    VALIDATOR.validate(json.loads(shorter))
    alert = decode_alert(shorter)
    assert str(alert.event.original).startswith("{yyyy")
    assert alert.message == "short"
