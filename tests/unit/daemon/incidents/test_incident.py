"""The record of an incident: its schema, its bytes, what a restart reads of it, and what people see."""

from __future__ import annotations

import io
import json
import re
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import jsonschema
import pytest
from rich.console import Console

from logwarden.daemon.commands.choosing import since_when
from logwarden.daemon.commands.formats import AlertFormat
from logwarden.daemon.commands.incident_view import render_incident
from logwarden.daemon.commands.incidents import IncidentOptions, Shown, show_incidents
from logwarden.daemon.errors import ConfigurationError
from logwarden.daemon.incidents.findings import FindingReader
from logwarden.daemon.incidents.incident import (
    build_incident,
    decode_incident,
    expired,
    incident_message,
    known_incident,
)
from logwarden.daemon.incidents.writing import milliseconds
from logwarden.daemon.kafka.compacted import CompactedTopic
from logwarden.daemon.records import KeyedRecord
from logwarden.daemon.settings.groups import Settings
from logwarden.daemon.settings.reading import read_settings
from logwarden.model.incident_fold import IncidentFold
from logwarden.model.incidents import Change, Finding, Incident, Plan, Resolution, Status
from tests.incident_schema import incident_schema
from tests.sim.incidents import BEGIN_MS, alert_value

DOCUMENT = Path(__file__).parents[4] / "docs" / "incidents.md"


PLAN = Plan(id="maintenance/7", reason="a larger disk", until_ms=BEGIN_MS + 60_000)


def incident(*lines: tuple[str, str], count: int = 1, plan: Plan | None = None) -> Incident:
    """The incident of (service, text) pairs, a second apart, each line so many times."""
    fold = IncidentFold()
    for number, (service, text) in enumerate(line for line in lines for _ in range(count)):
        fold.add(
            Finding(
                id=f"finding {number}",
                service=service,
                kind=f"{service}:{text}",
                reason="new_line",
                time_ms=BEGIN_MS + 1_000 * number,
                clock_ms=BEGIN_MS + 1_000 * number,
                evidence=1.0 + number / 100,
                text=text,
                is_failure=text.isupper(),
                plan=plan,
            )
        )
    [found] = fold.advance(0)
    return found


def test_every_record_is_what_the_schema_promises() -> None:
    """Open and ended records, long and hostile ones, are valid against the published schema."""
    hostile = incident(("a\udc80b", "x\udcff\x1b[2J\n" * 300), *((f"s{n}", f"line {n}") for n in range(99)))
    planned = build_incident(incident(("web", "DISK FULL"), plan=PLAN))
    over = replace(incident(("web", "DISK FULL")), resolution=Resolution(kind="mute", feedback="mute/1", by="ann"))
    some = build_incident(incident(("web", "DISK FULL"))), build_incident(over)
    for record in (*some, planned, expired(build_incident(hostile))):
        value = json.loads(record.encode())
        schema = incident_schema()
        schema["$defs"]["uuid"] = {"type": "string"}  # ids are short here
        jsonschema.validate(value, schema)
        assert decode_incident(record.encode()).encode() == record.encode()
    assert len(build_incident(hostile).logwarden.lines) == 32
    assert len(build_incident(hostile).encode()) < 40_000


def test_the_example_of_the_documents_is_a_record() -> None:
    """What docs/incidents.md shows is valid, and every field of it is read."""
    [example] = re.findall(r"```json\n(.*?)```", DOCUMENT.read_text(encoding="utf-8"), re.DOTALL)
    value = json.loads(example)
    jsonschema.validate(value, incident_schema())
    assert json.loads(decode_incident(example.encode()).encode()) == value


def test_a_later_version_is_none_of_ours() -> None:
    """A record of a later schema is refused, not misread."""
    value = json.loads(build_incident(incident(("web", "down"))).encode()) | {"schema_version": 2}
    with pytest.raises(ValueError, match="schema version 2, not 1"):
        decode_incident(json.dumps(value).encode())
    with pytest.raises(ValueError, match="not UTF-8"):
        decode_incident(b'{"id": "\xff"}')


def test_the_title_is_of_the_service_that_broke_first() -> None:
    """Its first failure of weight stays the title, though a peer that complains later has more evidence."""
    broken = (("db", "odd"), ("db", "DISK FULL"), ("db", "PANIC"), *(("web", f"NO ANSWER {n}") for n in range(8)))
    assert build_incident(incident(*broken)).message.startswith("db: DISK FULL (and 10 other")
    assert build_incident(incident(("db", "odd"), ("web", "NO ANSWER"))).message.startswith("web: NO ANSWER")
    assert build_incident(incident(("db", "odd"), ("web", "odder"))).message.startswith("db: odd (")
    [weak, strong] = incident(("db", "SLOW"), ("db", "DISK FULL")).lines
    found = replace(incident(("db", "SLOW")), lines=(replace(weak, evidence=0.2), strong))
    assert build_incident(found).message.startswith("db: DISK FULL")


def test_a_failure_is_the_headline() -> None:
    """A line that states a failure comes before one with more evidence, and the rest is counted."""
    found = build_incident(incident(("db", "SLOW"), ("web", "odd"), ("web", "odder")))
    assert found.message == "db: SLOW (and 2 other distinct lines of 2 services)"
    assert found.service.name == "db"


def test_the_key_is_the_id_and_each_change_is_an_event() -> None:
    """The topic keeps the newest record of an incident; two deliveries of one change are one event."""
    record = build_incident(incident(("web", "down")))
    message = incident_message(record, "incidents")
    headers = dict(message.headers)
    assert message.key == record.id.encode()
    assert headers["ce_id"] == f"{record.id}/1".encode()
    assert (headers["ce_time"], headers["ce_type"]) == (b"2026-11-23T10:00:00.000Z", b"logwarden.incident.v1")


def test_a_restart_knows_what_was_published() -> None:
    """Status, count, severity and the times of services come back from the record."""
    known = known_incident(build_incident(incident(("web", "down"), ("db", "DISK"), count=3)))
    assert (known.status, known.revision, known.findings, known.severity) == (Status.OPEN, 1, 6, "warning")
    assert known.services == (("web", BEGIN_MS, BEGIN_MS + 2_000), ("db", BEGIN_MS + 3_000, BEGIN_MS + 5_000))
    assert milliseconds("2026-11-23T10:00:00.001Z") == BEGIN_MS + 1


def test_a_planned_incident_is_marked_and_of_the_lowest_severity() -> None:
    """A bridge leaves it out by severity or mark, a restart knows its maintenance, and people see the reason."""
    record = build_incident(incident(("web", "DISK FULL"), plan=PLAN))
    value = json.loads(record.encode())["logwarden"]
    assert value["planned"] == {"id": PLAN.id, "reason": PLAN.reason, "until": "2026-11-23T10:01:00.000Z"}
    assert value["severity"] == "info"
    assert known_incident(record).plan == PLAN
    console = Console(file=io.StringIO(), width=200)
    console.print(render_incident(record))
    assert isinstance(console.file, io.StringIO)
    assert "planned: a larger disk" in console.file.getvalue()
    assert "planned" not in json.loads(build_incident(incident(("web", "DISK FULL"))).encode())["logwarden"]


def test_people_see_which_feedback_ended_an_incident() -> None:
    """With who gave it and why. What services end by becoming quiet has no such field."""
    resolution = Resolution(kind="expected", feedback="incident/1", by="ann", reason="every night")
    record = build_incident(replace(incident(("web", "DISK FULL")), resolution=resolution))
    console = Console(file=io.StringIO(), width=200)
    console.print(render_incident(record))
    assert isinstance(console.file, io.StringIO)
    assert "expected by ann: every night" in console.file.getvalue()
    assert "resolution" not in json.loads(build_incident(incident(("web", "DISK FULL"))).encode())["logwarden"]


def test_the_mark_of_an_alert_reaches_its_finding() -> None:
    """An alert within a maintenance is folded as planned; one with a mark that cannot be read is no alert."""
    planned = {"id": PLAN.id, "reason": PLAN.reason, "until": "2026-11-23T10:01:00.000Z"}
    value = json.loads(alert_value(1, "web", "disk", 0, 0.9))
    value["logwarden"]["planned"] = planned
    assert FindingReader().read(json.dumps(value).encode(), published_ms=0).plan == PLAN
    planned["until"] = "soon"
    with pytest.raises(ValueError, match="soon"):
        FindingReader().read(json.dumps(value).encode(), published_ms=0)


def test_what_is_read_of_an_alert() -> None:
    """The time of the line, or that of the publication; the evidence of its score; its system by a pattern."""
    reader = FindingReader(re.compile("^([^/]+)/"))
    found = reader.read(alert_value(1, "shop/web", "disk", 61_500, 0.99), published_ms=7)
    assert (found.time_ms, found.clock_ms, found.system, found.kind) == (BEGIN_MS + 61_500, 7, "shop", "shop/web:disk")
    assert found.evidence == pytest.approx(4.605, abs=1e-3)
    assert (found.is_failure, found.surprise, found.odd_share) == (True, 9.0, 0.0)
    assert reader.read(alert_value(9, "web", "disk", 61_500, 1.0), published_ms=7).time_ms == 7
    odd = alert_value(1, "web", "disk", 0, 0.9).replace(b"2026-11-23T10:00:00.000Z", b"this morning")
    assert reader.read(odd, published_ms=7).time_ms == 7
    normal = alert_value(1, "a", "b", 0, 0.9).replace(b"anomaly", b"normal")
    for broken in (b"", b"{}", b"[1]", b"\xff", b'{"id": "\xff"}', normal):
        with pytest.raises(ValueError):  # noqa: PT011 - the text is the decoder's
            reader.read(broken, published_ms=0)


def test_people_see_the_lines_with_their_counts() -> None:
    """The view names origin, length, lines with counts and places, and the services that followed."""
    out, words = io.StringIO(), "4 alerts on 2 distinct lines in 2 services"
    record = build_incident(incident(("db", "DISK FULL"), ("web", "status \x1b[31m500"), count=2))
    Console(file=out, width=200).print(render_incident(record, {"finding 0": "db.log:7"}))
    assert out.getvalue().splitlines() == [
        f"● WARNING  db  2026-11-23T10:00:00.000Z for 3 s  {words}  opened  {record.id}",
        "  db.log:7     2x  DISK FULL",
        "               2x  web: status \\x1b[31m500",
        "  then web",
    ]


def test_the_command_shows_the_newest_record_that_is_wanted(capsys: pytest.CaptureFixture[str]) -> None:
    """Of each incident the newest record is shown, if its service, severity and status are wanted."""
    first = build_incident(incident(("db", "DISK")))
    entries = [(b"1", first.encode()), (b"1", expired(first).encode()), (b"2", b"other"), (b"3", None)]
    for options, shown in (
        (IncidentOptions(form=AlertFormat.jsonl), 1),
        (IncidentOptions(form=AlertFormat.jsonl, services=["db"], severities=["error", "warning"]), 1),
        (IncidentOptions(form=AlertFormat.jsonl, services=["web"]), 0),
        (IncidentOptions(form=AlertFormat.jsonl, services=["web", "d*"]), 1),
        (IncidentOptions(form=AlertFormat.jsonl, severities=["critical"]), 0),
        (IncidentOptions(form=AlertFormat.jsonl, kinds=["silence"]), 0),
        (IncidentOptions(form=AlertFormat.jsonl, kinds=["silence", "new_line"]), 1),
        (IncidentOptions(form=AlertFormat.jsonl, open_only=True), 0),
        (IncidentOptions(form=AlertFormat.jsonl, since_ms=since_when("2h", BEGIN_MS)), 1),
        (IncidentOptions(form=AlertFormat.jsonl, since_ms=since_when("2026-11-23T11:00", BEGIN_MS)), 0),
        (IncidentOptions(form=AlertFormat.jsonl, limit=0), 0),
    ):
        Shown(options, Console(file=io.StringIO())).all_of(entries)
        printed = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
        assert [one["logwarden"]["change"] for one in printed] == [Change.EXPIRED] * shown


async def test_following_shows_later_changes_only(capsys: pytest.CaptureFixture[str]) -> None:
    """What was shown is not shown again when the topic is followed from its begin."""
    first = build_incident(incident(("db", "DISK")))

    async def records() -> AsyncIterator[tuple[bytes | None, bytes]]:
        for value in (first.encode(), b"other", expired(first).encode(), first.encode()):
            yield b"1", value

    shown = Shown(IncidentOptions(form=AlertFormat.jsonl), Console(file=io.StringIO()))
    shown.all_of([(b"1", first.encode())])
    await shown.follow(records())
    changes = [json.loads(line)["logwarden"]["change"] for line in capsys.readouterr().out.splitlines()]
    assert changes == ["opened", "expired"]


async def test_the_command_reads_the_topic_and_follows_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """The newest records are printed first, and then what arrives; without a topic there is a sentence."""
    first = build_incident(incident(("db", "DISK")))

    async def read(_: CompactedTopic) -> list[KeyedRecord]:
        return [KeyedRecord(b"1", first.encode())]

    async def tail(
        _: Settings, topic: str, *, from_beginning: bool, **_options: object
    ) -> AsyncIterator[tuple[bytes | None, bytes]]:
        assert (topic, from_beginning) == ("found", True)
        yield b"1", expired(first).encode()

    monkeypatch.setattr(CompactedTopic, "read_all", read)
    monkeypatch.setattr("logwarden.daemon.kafka.tail.tail_topic", tail)
    for follow, limit, shown in ((False, None, ["opened"]), (True, None, ["opened", "expired"]), (True, 1, ["opened"])):
        out = io.StringIO()
        settings = read_settings({"LOGWARDEN_KAFKA__INCIDENTS_TOPIC": "found"})
        console = Console(file=out, width=200)
        await show_incidents(IncidentOptions(follow=follow, limit=limit), settings, console)
        assert [row.split("  ")[-2] for row in out.getvalue().splitlines() if row.startswith("●")] == shown
    none = read_settings({"LOGWARDEN_KAFKA__INCIDENTS_TOPIC": "none"})
    with pytest.raises(ConfigurationError, match="'yesterday' is no time"):
        since_when("yesterday", BEGIN_MS)
    with pytest.raises(ConfigurationError, match="there is no incidents topic"):
        await show_incidents(IncidentOptions(), none, Console(file=io.StringIO()))


def test_a_narrow_terminal_keeps_what_people_need() -> None:
    """The id stays whole, since feedback names it; a line that does not fit leaves out its time and not its words."""
    out = io.StringIO()
    line = "2026-11-23 10:00:00.123 UTC [4711] FATAL: could not extend file: No space left on device"
    record = build_incident(incident(("a-service-with-a-very-long-name", line), count=2))
    Console(file=out, width=70).print(render_incident(record))
    header, *rows = out.getvalue().splitlines()
    assert record.id in "".join(rows)
    assert record.id not in header
    assert rows[-1] == "       2x  FATAL: could not extend file: No space left on device"
    wide = io.StringIO()
    Console(file=wide, width=200).print(render_incident(record))
    assert line in wide.getvalue()
    assert record.id in wide.getvalue().splitlines()[0]
