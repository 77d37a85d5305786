"""The short form of an incident."""

from __future__ import annotations

import json

from logwarden.daemon.incidents.brief import MESSAGE_CHARS, brief_of
from logwarden.daemon.incidents.incident import decode_incident
from tests.unit.daemon.web.serving import NOW_MS, incident_value


def test_a_brief_counts_what_the_record_lists() -> None:
    """A long message is cut, and lists become counts, those included that the record leaves out."""
    value = json.loads(incident_value("a", services=("web", "db")))
    value["message"] = "x" * 1_000
    value["logwarden"] |= {"more_lines": 4, "more_services": 3, "planned": {"id": "m", "reason": "", "until": None}}
    brief = json.loads(brief_of(decode_incident(json.dumps(value).encode()), NOW_MS).encode())
    assert (brief["lines"], brief["services"], brief["alerts"]) == (5, 5, 3)
    assert (brief["service"], brief["severity"], brief["status"]) == ("web", "error", "open")
    assert len(brief["message"]) == MESSAGE_CHARS
    assert brief["planned"] is True
    assert "planned" not in json.loads(brief_of(decode_incident(incident_value("b")), NOW_MS).encode())
