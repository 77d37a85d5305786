"""What each destination is sent, against the limits and fields that its service documents."""

from __future__ import annotations

import json
from email import message_from_bytes, policy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from logwarden.daemon.bridges.alertmanager import alert_of, labels_of
from logwarden.daemon.bridges.mail import address_of, mail_of
from logwarden.daemon.bridges.notice import Action, Notice, Quoting, ending_of, one_line
from logwarden.daemon.bridges.opsgenie import alert_body, note_of
from logwarden.daemon.bridges.otlp import EVENT, request_of
from logwarden.daemon.bridges.pagerduty import event_of
from logwarden.daemon.bridges.slack import message_of
from logwarden.daemon.bridges.webhook import NAMES, filled, template_of, values_of
from logwarden.daemon.incidents.incident import IncidentRecord, ResolutionFacts
from tests.bridge_stand_ins import FIRST, incident, incident_id

NOW_MS = 1_795_800_000_000
QUOTING = Quoting(lines=5, link="https://logwarden.example/?incident={id}")
HOSTILE = (
    "<!channel> <https://evil.example|here> @here & ```end``` \x1b[31mred\r\nBcc: all@example.org",
    '"}],"severity":"info","x":[{"y":"',
    "${severity} $$ {{ .Labels }} {id} %s",
    "\u202etxt.exe\u2028line",
    "x" * 5_000,
)


def text(most: int, least: int = 0) -> dict[str, Any]:
    """Returns the schema of a text within these limits."""
    return {"type": "string", "maxLength": most, "minLength": least}


PAGERDUTY = {
    "type": "object",
    "required": ["event_action", "dedup_key"],
    "additionalProperties": False,
    "properties": {
        "event_action": {"enum": ["trigger", "acknowledge", "resolve"]},
        "dedup_key": text(255, 1),
        "client": text(1_024),
        "client_url": text(2_048),
        "links": {"type": "array", "items": {"required": ["href"], "properties": {"href": text(2_048, 1), "text": {}}}},
        "payload": {
            "type": "object",
            "required": ["summary", "source", "severity"],
            "additionalProperties": False,
            "properties": {
                "summary": text(1_024, 1),
                "source": text(255, 1),
                "severity": {"enum": ["critical", "error", "warning", "info"]},
                "timestamp": {"type": "string", "format": "date-time"},
                "component": text(255),
                "group": text(255),
                "class": text(255),
                "custom_details": {"type": "object"},
            },
        },
    },
    "if": {"properties": {"event_action": {"const": "trigger"}}},
    "then": {"required": ["payload"]},
}
OPSGENIE = {
    "type": "object",
    "required": ["message"],
    "additionalProperties": False,
    "properties": {
        "message": text(130, 1),
        "alias": text(512, 1),
        "description": text(15_000),
        "tags": {"type": "array", "maxItems": 20, "items": text(50, 1)},
        "details": {"type": "object", "additionalProperties": {"type": "string"}},
        "entity": text(512),
        "source": text(100),
        "priority": {"enum": ["P1", "P2", "P3", "P4", "P5"]},
    },
}
ALERTMANAGER = {
    "type": "object",
    "required": ["labels"],
    "additionalProperties": False,
    "properties": {
        "labels": {
            "type": "object",
            "required": ["alertname", "incident", "service", "severity"],
            "propertyNames": {"pattern": "^[a-zA-Z_][a-zA-Z0-9_]*$"},
            "additionalProperties": text(1_000, 1),
        },
        "annotations": {
            "type": "object",
            "propertyNames": {"pattern": "^[a-zA-Z_][a-zA-Z0-9_]*$"},
            "additionalProperties": {"type": "string"},
        },
        "startsAt": {"type": "string", "pattern": r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$"},
        "endsAt": {"type": "string", "pattern": r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$"},
        "generatorURL": {"type": "string", "format": "uri"},
    },
}
SLACK = {
    "type": "object",
    "required": ["text", "attachments"],
    "properties": {
        "text": text(40_000, 1),
        "attachments": {
            "maxItems": 1,
            "items": {
                "required": ["fallback", "color", "fields"],
                "properties": {
                    "color": {"pattern": "^#[0-9a-f]{6}$"},
                    "text": text(7_000),
                    "fields": {
                        "maxItems": 10,
                        "items": {
                            "required": ["title", "value", "short"],
                            "properties": {"value": text(2_000), "short": {"type": "boolean"}},
                        },
                    },
                    "ts": {"type": "integer"},
                },
            },
        },
    },
}


def notice(record: IncidentRecord, announced: IncidentRecord | None = None) -> Notice:
    """Returns the notice of a record."""
    action = Action.TRIGGER if record.logwarden.status == "open" else Action.RESOLVE
    return Notice(record=record, action=action, announced=announced, published_ms=NOW_MS)


def check(document: Any, schema: dict[str, Any]) -> None:
    """Raises an error if a document, as it is sent, is not of this schema."""
    Draft202012Validator(schema).validate(json.loads(json.dumps(document)))


def all_payloads(record: IncidentRecord, quoting: Quoting = QUOTING) -> dict[str, Any]:
    """Returns what each destination of JSON is sent about a record, checked against its schema."""
    told = notice(record)
    found: dict[str, Any] = {
        "pagerduty": event_of(told, quoting),
        "opsgenie": alert_body(record, quoting),
        "alertmanager": alert_of(record, quoting, NOW_MS, 600_000),
        "slack": message_of(told, quoting),
    }
    schemas: dict[str, dict[str, Any]] = {
        "pagerduty": PAGERDUTY,
        "opsgenie": OPSGENIE,
        "alertmanager": ALERTMANAGER,
        "slack": SLACK,
    }
    for name, document in found.items():
        check(document, schemas[name])
    return found


@pytest.mark.parametrize("status", ["open", "resolved", "expired"])
@pytest.mark.parametrize("severity", ["critical", "error", "warning", "info"])
def test_payloads_are_within_the_limits_of_their_services(status: str, severity: str) -> None:
    """Whatever the state of an incident, each service is sent what it takes."""
    record = incident(
        status=status, severity=severity, texts=HOSTILE, services=[f"service-{n}" * 30 for n in range(30)]
    )
    found = all_payloads(record)
    assert found["pagerduty"]["dedup_key"] == found["opsgenie"]["alias"] == incident_id("one")
    assert found["pagerduty"]["event_action"] == ("trigger" if status == "open" else "resolve")


@given(st.text(max_size=400), st.text(min_size=1, max_size=300), st.integers(0, 32))
def test_no_text_of_a_log_breaks_a_payload(line: str, service: str, lines: int) -> None:
    """Any line and any name of a service give payloads of the services' forms."""
    line, service = (each.encode("utf-8", "replace").decode() for each in (line, service))
    if one_line(service):  # a service without a visible name has no label, which Alertmanager would refuse
        all_payloads(incident(texts=[line], services=[service]), Quoting(lines=lines))


def test_without_quoted_lines_no_text_of_a_log_leaves() -> None:
    """Where lines are secret, names and counts are sent and no line is."""
    record = incident(texts=["password=hunter2 refused"])
    quiet = Quoting(lines=0)
    told = notice(record)
    sent = [json.dumps(all_payloads(record, quiet)), str(request_of(told, quiet, NOW_MS))]
    sent += [str(mail_of(told, quiet, address_of("a@example.org"), [address_of("b@example.org")], NOW_MS))]
    sent += [json.dumps(values_of(told, quiet))]
    assert all("db-1" in each for each in sent)
    assert not any("hunter2" in each for each in sent)


# ---------------------------------------------------------------- Alertmanager


def test_an_open_alert_ends_ahead_and_an_ended_one_now() -> None:
    """An alert that is sent no more ends by itself; an end before the begin would be refused."""
    alert = alert_of(incident(), QUOTING, NOW_MS, 600_000)
    assert alert["startsAt"] == FIRST
    assert alert["endsAt"] > alert["startsAt"]
    assert alert["generatorURL"] == f"https://logwarden.example/?incident={incident_id('one')}"
    ahead = alert_of(incident(status="resolved", first_seen="2099-01-01T00:00:00.000Z"), QUOTING, NOW_MS, 0)
    assert ahead["startsAt"] == ahead["endsAt"]
    undated = alert_of(incident(first_seen=None), QUOTING, NOW_MS, 0)
    assert undated["startsAt"] == undated["endsAt"]


def test_labels_stay_while_an_incident_grows() -> None:
    """More lines and revisions change no label, because an alert with other labels is another alert."""
    later = incident(revision=7, texts=["other", "lines"], services=("db-1", "web"))
    assert labels_of(incident()) == labels_of(later)
    assert labels_of(incident(severity="critical")) != labels_of(later)
    assert labels_of(incident(planned=True, severity="info"))["planned"] == "true"


# ---------------------------------------------------------------- chat and mail


def test_a_chat_obeys_no_line() -> None:
    """Mentions, links and blocks of code in a log line arrive as text."""
    words = json.dumps(message_of(notice(incident(texts=HOSTILE[:1])), QUOTING), ensure_ascii=False)
    assert "<" not in words
    assert "@here" not in words
    assert words.count("```") == 2


def test_a_chat_is_told_what_is_worse_and_what_is_over() -> None:
    """Begin, worse and end differ in the first word and the colour."""
    begin = message_of(notice(incident()), QUOTING)
    worse = message_of(notice(incident(severity="critical"), announced=incident()), QUOTING)
    over = message_of(notice(incident(status="resolved")), QUOTING)
    assert [each["text"].split(":")[0] for each in (begin, worse, over)] == ["ERROR", "CRITICAL (worse)", "RESOLVED"]
    assert len({each["attachments"][0]["color"] for each in (begin, worse, over)}) == 3


def test_every_end_by_feedback_has_its_reason() -> None:
    """Whoever looks at a page that closed by itself sees who expects the incident, and why, on one line."""
    words = "expected by ann: every night"
    reason = ResolutionFacts(kind="expected", feedback="incident/1", by="ann", reason="every\nnight")
    over = notice(incident(status="resolved", resolution=reason))
    ann = address_of("ann@example.org")
    mail = message_from_bytes(mail_of(over, QUOTING, ann, [ann], NOW_MS).as_bytes(), policy=policy.default)
    assert f"Ended:      {words}" in mail.get_content()
    assert message_of(over, QUOTING)["text"].startswith(f"RESOLVED ({words}): ")
    assert event_of(over, QUOTING)["payload"]["summary"] == f"Resolved: {words}"
    assert "payload" not in event_of(notice(incident(status="resolved")), QUOTING)
    assert alert_of(over.record, QUOTING, NOW_MS, 0)["annotations"]["resolution"] == words
    assert values_of(over, QUOTING)["resolution"] == words
    assert words in str(request_of(over, QUOTING, NOW_MS))
    assert note_of(over.record) == f"logwarden: the incident is resolved, {words}"
    assert note_of(incident(status="expired")) == "logwarden: the incident is expired"
    bare = ResolutionFacts(kind="maintenance", feedback="file/1", by="", reason="")
    assert ending_of(incident(status="resolved", resolution=bare)) == "planned"


def test_a_mail_keeps_its_headers_whatever_a_line_contains() -> None:
    """A line end in a log line begins no header, and the messages of an incident are one thread."""
    people = [address_of("Ops <ops@example.org>"), address_of("b@example.org")]
    first = mail_of(notice(incident(texts=HOSTILE[:1])), QUOTING, address_of("a@example.org"), people, NOW_MS)
    read = message_from_bytes(first.as_bytes(), policy=policy.default)
    assert read["Bcc"] is None
    assert read["To"] == "Ops <ops@example.org>, b@example.org"
    assert read["Subject"].startswith("[logwarden] ERROR db-1: ")
    over = mail_of(notice(incident(status="resolved", revision=2)), QUOTING, people[0], people, NOW_MS)
    assert over["References"] == first["References"]
    assert over["Message-ID"] != first["Message-ID"]
    again = mail_of(notice(incident(texts=HOSTILE[:1])), QUOTING, address_of("a@example.org"), people, NOW_MS + 9_000)
    assert again["Message-ID"] == first["Message-ID"]


# ---------------------------------------------------------------- OTLP


@pytest.mark.parametrize(("severity", "number"), [("critical", 21), ("error", 17), ("warning", 13), ("info", 9)])
def test_a_log_record_has_the_name_and_the_number(severity: str, number: int) -> None:
    """Collectors route by the event's name and the severity's number."""
    request = request_of(notice(incident(severity=severity)), QUOTING, NOW_MS)
    [resource] = request.resource_logs
    [record] = resource.scope_logs[0].log_records
    assert record.event_name == EVENT == "logwarden.incident"
    assert record.severity_number == number
    assert record.time_unix_nano < record.observed_time_unix_nano == NOW_MS * 1_000_000
    names = {pair.key: pair.value for pair in record.attributes}
    assert names["incident.id"].string_value == incident_id("one")
    assert names["incident.revision"].int_value == 1
    assert names["log.record.uid"].string_value == f"{incident_id('one')}/1", "a repeated message is one record"
    assert names["incident.planned"].bool_value is False
    assert resource.resource.attributes[0].value.string_value == "db-1"


# ---------------------------------------------------------------- templates


def test_a_template_takes_values_and_keeps_its_shape() -> None:
    """A string with names becomes text, one that is a name alone takes the value, and a dollar can be written."""
    template = template_of(
        b'{"title": "${severity}: ${message}", "n": "${alerts}", "who": "${services}", "all": ["${planned}", 1, null],'
        b' "text": "in ${services}, $$5, $x", "kinds": "${kinds} ", "lines": "${lines}"}'
    )
    record = incident(texts=HOSTILE[1:2], services=("db-1", "web"))
    document = filled(template, values_of(notice(record), QUOTING))
    assert document["title"] == f"error: {one_line(record.message, 1_000)}"
    assert document["n"] == 9
    assert document["who"] == ["db-1", "web"]
    assert document["all"] == [False, 1, None]
    assert document["text"] == "in db-1, web, $5, $x"
    assert document["lines"][0]["count"] == 5


def test_values_are_not_filled_again() -> None:
    """A log line that looks like a name of the template stays as it is."""
    record = incident(texts=["${severity}"])
    assert filled("${message}", values_of(notice(record), QUOTING)) == "db-1: ${severity}"
    assert filled("x ${message}", values_of(notice(record), QUOTING)) == "x db-1: ${severity}"


def test_every_name_has_a_value() -> None:
    """A template may use exactly the names that the documentation lists."""
    assert values_of(notice(incident()), QUOTING).keys() == NAMES


@pytest.mark.parametrize(
    ("content", "words"),
    [(b'{"a": "${sevirity}"}', "sevirity"), (b"{", "no JSON"), (b"[" * 100_000, "no JSON"), (b" " * 300_000, "bytes")],
)
def test_a_wrong_template_is_refused_at_the_start(content: bytes, words: str) -> None:
    """A typing error is found when the bridge starts, and not with the first incident."""
    with pytest.raises(ValueError, match=words):
        template_of(content)
