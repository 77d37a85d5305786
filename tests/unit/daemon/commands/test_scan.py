"""`logwarden scan`: the daemon's verdicts on files, with a toy model in the place of BERT."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from importlib import resources
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import jsonschema
import pytest
from rich.console import Console

from logwarden.daemon.commands import reading
from logwarden.daemon.commands.formats import AlertFormat
from logwarden.daemon.commands.scan import ScanOptions, scan
from logwarden.daemon.errors import ConfigurationError
from logwarden.daemon.ports import Engine
from logwarden.daemon.settings.groups import Settings
from logwarden.daemon.settings.reading import read_settings
from logwarden.model.verdicts import Scores
from logwarden.model.windowing import WindowBatch
from tests.scans import CALM, found, printed, scanned, toy_engine, written


def test_the_first_part_of_a_file_is_for_learning_and_the_scan_says_so(tmp_path: Path) -> None:
    """Of 42 lines 21 are for learning: a panic among them is no alert, a later one is."""
    path = written(tmp_path / "app.log", *CALM[:10], "panic: early", *CALM[:20], "panic: late", *CALM[:10])
    result = scanned(path)
    assert found(result.out) == [f"{path}:32"]  # line 11 is one of the learning lines
    assert "panic: late" in result.out
    assert result.notes == (
        f"{path}: 1 anomalous window in 42 lines; no alerts from the first 21 lines of app.log, which were for "
        "learning; to get verdicts on all lines, pass a fault-free log with --baseline\n"
    )


def test_long_files_are_learned_from_up_to_the_setting(tmp_path: Path) -> None:
    """Learning takes the lines of the setting, and at most half of the file."""
    path = written(tmp_path / "app.log", *CALM, "panic", *CALM)
    assert found(scanned(path, settings={"ALERTS__LEARNING_LINES": "4"}).out) == [f"{path}:41"]
    assert "the first 4 lines of app.log" in scanned(path, settings={"ALERTS__LEARNING_LINES": "4"}).notes


def test_a_baseline_makes_every_line_judged(tmp_path: Path) -> None:
    """Lines of the baseline are known, and every other line is new from the first one on."""
    good = written(tmp_path / "good.log", *CALM)
    bad = written(tmp_path / "bad.log", "disk full", "request served", "disk full")
    result = scanned(bad, baseline=(good,))
    assert found(result.out) == [f"{bad}:1"]
    learned, counted, run, line = result.notes.splitlines()
    assert learned == f"learned from the 40 lines of {good}"
    assert counted == f"{bad}: 1 anomalous window in 3 lines"
    assert run.startswith(f"{bad}: as a run it has evidence ")
    assert line.endswith("2 times  line 1  disk full")
    assert "user logged in" not in result.out, "the baseline's lines are in no window of the file"


def test_a_baseline_serves_every_service(tmp_path: Path) -> None:
    """Two files with one baseline: the calm lines are new in neither."""
    good = written(tmp_path / "good.log", *CALM)
    files = [written(tmp_path / name, "request served", "panic") for name in ("a.log", "b.log")]
    assert found(scanned(*files, baseline=(good,)).out) == [f"{path}:2" for path in files]


def test_files_are_services_unless_told_otherwise(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A file's name is its service, equal names get their folders, and --service makes them one history."""
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
    one = written(tmp_path / "a" / "x.log", *CALM)
    other = written(tmp_path / "b" / "x.log", "request served")
    every: dict[str, Any] = {"form": AlertFormat.jsonl, "every_verdict": True}

    def services(**options: Any) -> list[tuple[str, int]]:
        scanned(one, other, **every, **options)
        alerts = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
        return [(alert["service"]["name"], alert["logwarden"]["history_lines"]) for alert in alerts[-1:]]

    assert services() == [(str(other), 0)]
    assert services(service="shop") == [("shop", 40)]


def test_json_lines_follow_the_schema_of_the_alerts_topic(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A consumer of the alerts topic can read a scan, verdicts on calm lines included."""
    path = written(tmp_path / "app.log", *CALM, "panic \x1b[2J")
    scanned(path, form=AlertFormat.jsonl, every_verdict=True)
    schema = json.loads(
        resources.files("logwarden.daemon.incidents").joinpath("alert.schema.json").read_text(encoding="utf-8")
    )
    alerts = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    for alert in alerts:
        jsonschema.Draft202012Validator(schema).validate(alert)
    assert len(alerts) == 41
    assert [alert["logwarden"]["prediction"] for alert in alerts] == ["normal"] * 40 + ["anomaly"]
    assert alerts[-1]["logwarden"]["source"] == {
        "topic": str(path),
        "partition": 0,
        "first_offset": 9,
        "last_offset": 40,
        "index": 0,
    }
    assert alerts[-1]["logwarden"]["detection_delay_ms"] is None


def test_every_verdict_is_a_row_for_people(tmp_path: Path) -> None:
    """--all lists calm lines in one row each, with those of the learning phase marked."""
    path = written(tmp_path / "app.log", "one", "two \x1b[2J", "two \x1b[2J")
    rows = scanned(path, every_verdict=True).out.splitlines()
    assert rows[0] == f"0.990 learning {path}:1 one"
    assert rows[-1] == f"0.010 {path}:3 two"
    assert "\x1b" not in "".join(rows)


def test_structured_lines_are_read_as_the_daemon_reads_them(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """JSON gives its message and time, or has the time of the line before it; blank lines keep their numbers."""
    path = written(
        tmp_path / "app.json",
        '{"message": "request served", "@timestamp": "2024-01-01T00:00:00Z"}',
        "",
        '{"msg": "panic"}',
    )
    scanned(path, form=AlertFormat.jsonl, every_verdict=True)
    rows = [(a["message"], a["@timestamp"], a["logwarden"]["source"]["last_offset"]) for a in printed(capsys)]
    assert rows == [("request served", "2024-01-01T00:00:00.000Z", 0), ("panic", "2024-01-01T00:00:00.000Z", 2)]


def test_a_time_without_a_year_is_of_the_year_before_the_file_was_written(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A line of syslog states no year, and no line was logged months after its file was written."""
    lines = [f"{at} db postgres: panic" for at in ("Feb  3 04:00:00", "Dec 31 23:59:58", "Jan  1 00:00:01")]
    path = written(tmp_path / "messages", *lines)
    written_s = datetime(2026, 1, 2, tzinfo=UTC).timestamp()
    os.utime(path, (written_s, written_s))
    scanned(path, form=AlertFormat.jsonl, every_verdict=True)
    times = [alert["@timestamp"] for alert in printed(capsys)]
    assert times == ["2025-02-03T04:00:00.000Z", "2025-12-31T23:59:58.000Z", "2026-01-01T00:00:01.000Z"]


def test_the_time_of_a_file_from_a_repeatable_archive_states_no_year(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Such archives give their files the first second of an epoch."""
    path = written(tmp_path / "messages", "Feb  3 04:00:00 db postgres: panic")
    os.utime(path, (0, 0))
    scanned(path, form=AlertFormat.jsonl, every_verdict=True)
    [alert] = printed(capsys)
    age = datetime.now(UTC) - datetime.fromisoformat(alert["@timestamp"])
    assert timedelta(days=-4) < age < timedelta(days=366)


def test_lines_without_a_time_are_judged_at_the_time_of_the_line_before(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A failure that is repeated is counted by time. Where no line states one, a line is a second, which none shows."""
    seen: list[int] = []

    def engine(settings: Settings) -> Engine:
        toy = toy_engine(settings)

        def score(batch: WindowBatch) -> Scores:
            seen.extend(batch.newest("timestamp").tolist())
            return toy.scorer.score(batch)

        return replace(toy, scorer=SimpleNamespace(score=score))

    silent = Console(file=io.StringIO())
    lines = ("started", "2026-11-23T00:00:07Z served", "panic: x", "2026-11-23T00:00:09Z served")
    options = ScanOptions(files=[written(tmp_path / "go.log", *lines)], form=AlertFormat.jsonl, every_verdict=True)
    scan(options, read_settings({}), silent, silent, engine)
    begin_ms = int(datetime(2026, 11, 23, tzinfo=UTC).timestamp()) * 1_000
    assert seen == [0, begin_ms + 7_000, begin_ms + 7_000, begin_ms + 9_000]
    shown = [alert["@timestamp"] for alert in printed(capsys)]
    assert shown == [None, *(f"2026-11-23T00:00:0{second}.000Z" for second in (7, 7, 9))]
    seen.clear()
    path = written(tmp_path / "bare.log", "started", "served", "panic: x")
    scan(replace(options, files=[path]), read_settings({}), silent, silent, engine)
    assert seen == [0, 1_000, 2_000]
    assert [alert["@timestamp"] for alert in printed(capsys)] == [None, None, None]


@pytest.mark.parametrize("content", [b"", b"\n\n", b"\xff\xfe\x00\n", b"no newline at the end", b"crlf\r\n" * 3])
def test_odd_files_are_no_errors(tmp_path: Path, content: bytes) -> None:
    """Empty files, blank lines, binary bytes, a missing last newline and CRLF are no errors."""
    path = tmp_path / "odd.log"
    path.write_bytes(content)
    assert "anomalous windows in " in scanned(path, settings={"ALERTS__LEARNING_LINES": "10"}).notes


def test_chunks_do_not_change_the_result(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The size of the chunks in which a file is read does not change its verdicts."""
    path = written(tmp_path / "app.log", *CALM, "panic", *CALM, "panic")
    whole = scanned(path, every_verdict=True)
    monkeypatch.setattr(reading, "PART_BYTES", 7)
    assert scanned(path, every_verdict=True) == whole


def test_steps_cover_the_end_of_the_file(tmp_path: Path) -> None:
    """The last lines of a file are scored with a step of 16, although their step is not full."""
    path = written(tmp_path / "app.log", *CALM, "panic")
    assert found(scanned(path, settings={"WINDOW__STEP": "16"}).out) == [f"{path}:41"]


def test_standard_input_is_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`-` reads standard input as it arrives, with the setting's number of learning lines."""

    class Pipe(io.BytesIO):
        def seekable(self) -> bool:
            return False

    lines = "".join(f"{line}\n" for line in [*CALM, "panic"]).encode()
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=Pipe(lines)))
    result = scanned(Path("-"), settings={"ALERTS__LEARNING_LINES": "40"})
    assert found(result.out) == ["stdin:41"]


@pytest.mark.parametrize("field", ["files", "baseline"])
def test_a_file_that_cannot_be_read_ends_the_scan_before_the_model_loads(tmp_path: Path, field: str) -> None:
    """A wrong path or an empty folder is refused in one sentence, before the model loads."""
    good = written(tmp_path / "good.log", "x")
    empty = tmp_path / "empty"
    empty.mkdir()
    for wrong, words in ((tmp_path / "none.log", "cannot be read"), (empty, "there is no log file in")):
        options = ScanOptions(files=(wrong,)) if field == "files" else ScanOptions(files=(good,), baseline=(wrong,))
        with pytest.raises(ConfigurationError, match=words):
            scan(options, Settings(), Console(), Console(), lambda _: pytest.fail("loaded"))


def test_a_terminal_shows_how_far_the_scan_is(tmp_path: Path) -> None:
    """The progress bar is on standard error, so a redirected result does not contain it."""
    path = written(tmp_path / "app.log", *CALM, "panic")
    result = scanned(path, terminal=True)
    assert "%" in result.notes
    assert "\x1b" not in result.out
    assert "%" not in scanned(path, terminal=True, form=AlertFormat.jsonl).notes, "a bar would tear the JSON lines"


@pytest.mark.parametrize("level", ["info", "debug"])
def test_standard_output_has_results_only(tmp_path: Path, tiny_checkpoint: Path, level: str) -> None:
    """A reader of the results finds one JSON object per line, whatever the model and the log have to report."""
    path = written(tmp_path / "app.log", *CALM, "panic")
    variables = {name: value for name, value in os.environ.items() if not name.startswith("LOGWARDEN_")}
    variables |= {"LOGWARDEN_MODEL__PATH": str(tiny_checkpoint), "LOGWARDEN_LOG__LEVEL": level}
    command = [sys.executable, "-m", "logwarden", "scan", "--all", "--format", "jsonl", str(path)]
    done = subprocess.run(command, env=variables, capture_output=True, text=True, timeout=100, check=True)
    assert [json.loads(line)["schema_version"] for line in done.stdout.splitlines()] == [1] * (len(CALM) + 1)
