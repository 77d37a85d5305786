"""`logwarden scan` prints incidents: what belongs together, in which order, and what a caller fails on."""

from __future__ import annotations

from pathlib import Path

import jsonschema
import pytest

from logwarden.daemon.commands.formats import AlertFormat
from logwarden.daemon.errors import ConfigurationError, IncidentsFound
from logwarden.daemon.incidents.incident import decode_incident
from tests.incident_schema import incident_schema
from tests.scans import CALM, printed, scanned, written

FOUR = {"ALERTS__LEARNING_LINES": "4"}


def timed(*lines: str, begin: int = 0, step: int = 1) -> list[str]:
    """The lines with a time before each."""
    return [
        f"2026-11-23T{at // 3600:02}:{at // 60 % 60:02}:{at % 60:02}Z {line}"
        for at, line in ((begin + step * place, line) for place, line in enumerate(lines))
    ]


def test_faults_are_incidents_with_their_lines_counted(tmp_path: Path) -> None:
    """Two outages of a file are two rows of output, each with its lines and the place of the first one."""
    lines = [*timed(*CALM), *timed("panic: disk", "panic: disk", "panic: net", begin=60), *timed(*CALM, begin=70)]
    path = written(tmp_path / "app.log", *lines, *timed("panic: disk", begin=900), *timed(*CALM, begin=950))
    result = scanned(path, lines=False, settings=FOUR)
    rows = result.out.splitlines()
    assert [row.split("  ")[2:4] for row in rows if row.startswith("●")] == [
        ["2026-11-23T00:01:00.000Z for 2 s", "3 alerts on 2 distinct lines"],
        ["2026-11-23T00:15:00.000Z for 0 s", "1 alert on 1 distinct line"],
    ]
    assert rows[1].split() == [f"{path}:41", "2x", "2026-11-23T00:01:00Z", "panic:", "disk"]
    assert f"{path}:43" in rows[2]


def test_incidents_of_several_files_are_folded_together(tmp_path: Path) -> None:
    """Files that are read one after another fail at the same time: one incident, whose origin is the earlier one."""
    late = written(tmp_path / "a.log", *timed(*CALM), *timed("panic: no answer from b", begin=65))
    early = written(tmp_path / "b.log", *timed(*CALM), *timed("panic: killed", begin=60))
    [row] = [row for row in scanned(late, early, lines=False).out.splitlines() if row.startswith("●")]
    assert "  b.log  " in row
    assert "2 alerts on 2 distinct lines in 2 services" in row


def test_lines_without_a_time_are_a_second_apart(tmp_path: Path) -> None:
    """A file without times still has more than one incident."""
    path = written(tmp_path / "app.log", *CALM, "panic", *CALM, "panic")
    assert scanned(path, lines=False, settings=FOUR).out.count("●") == 2


def test_json_lines_are_records_of_the_incidents_topic(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A program reads from a scan what it reads from the topic."""
    path = written(tmp_path / "app.log", *timed(*CALM), *timed("panic: disk", begin=60))
    scanned(path, lines=False, form=AlertFormat.jsonl)
    [record] = printed(capsys)
    jsonschema.validate(record, incident_schema())
    assert (record["service"]["name"], record["logwarden"]["alerts"]) == ("app.log", 1)
    assert decode_incident(
        repr(record).encode().replace(b"'", b'"').replace(b"False", b"false").replace(b"True", b"true")
    )


def test_a_build_may_fail_on_an_incident(tmp_path: Path) -> None:
    """A scan with --fail-on ends with exit code 4 if there was an incident, and as always without one."""
    bad = written(tmp_path / "bad.log", *timed(*CALM), *timed("panic", begin=60))
    with pytest.raises(IncidentsFound, match="1 incident was found") as ended:
        scanned(bad, lines=False, fail_on_incident=True)
    assert ended.value.exit_code == 4
    scanned(written(tmp_path / "good.log", *CALM), lines=False, fail_on_incident=True)


def test_a_file_of_feedback_applies_to_a_scan(tmp_path: Path) -> None:
    """What is expected is no incident, what was planned fails no build, and a wrong file is named at once."""
    panics = [*timed("panic: disk", begin=60), *timed("panic: net", begin=900), *timed("panic: power", begin=1800)]
    path = written(tmp_path / "app.log", *timed(*CALM), *panics, *timed(*CALM, begin=2000))
    feedback = written(
        tmp_path / "feedback.toml",
        "[[mute]]",
        'pattern = "panic: net"',
        "[[maintenance]]",
        "from = 2026-11-23T00:30:00Z",
        "until = 2026-11-23T00:40:00Z",
        'reason = "a new rack"',
    )
    settings = FOUR | {"FEEDBACK__FILE": str(feedback)}
    with pytest.raises(IncidentsFound, match="1 incident was found"):
        scanned(path, lines=False, settings=settings, fail_on_incident=True)
    printed = scanned(path, lines=False, settings=settings).out
    assert [row.split()[1] for row in printed.splitlines() if row.startswith("●")] == ["WARNING", "INFO"]
    assert "planned: a new rack" in printed
    assert "panic: net" not in printed
    feedback.write_text("[[mute", encoding="utf-8")
    with pytest.raises(ConfigurationError, match=r"feedback file .* cannot be used: the file is no TOML"):
        scanned(path, lines=False, settings=settings)
