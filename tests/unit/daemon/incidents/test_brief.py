"""The short form of an incident."""

from __future__ import annotations

import json

from logwarden.daemon.incidents.brief import MESSAGE_CHARS, REASON_CHARS, brief_of
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


def test_a_brief_names_the_feedback_that_ended_the_incident() -> None:
    """A list shows which feedback ended an incident, in a text of bounded length; the others have no such field."""
    value = json.loads(incident_value("a", status="resolved"))
    value["logwarden"]["resolution"] = {"kind": "mute", "feedback": "mute/1", "by": "ann", "reason": "x" * 1_000}
    brief = json.loads(brief_of(decode_incident(json.dumps(value).encode()), NOW_MS).encode())
    assert brief["resolution"] == {
        "kind": "mute",
        "feedback": "mute/1",
        "by": "ann",
        "reason": "x" * (REASON_CHARS - 1) + "…",
    }
    assert "resolution" not in json.loads(brief_of(decode_incident(incident_value("b")), NOW_MS).encode())
