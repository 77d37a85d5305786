"""`logwarden scan`: services, folders, archives and documents, and that the daemon reads the same."""

from __future__ import annotations

import gzip
import io
import json
import os
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
from rich.console import Console
from typer.testing import CliRunner

from logwarden.daemon.__main__ import app
from logwarden.daemon.clock import SystemClock
from logwarden.daemon.commands.formats import AlertFormat
from logwarden.daemon.commands.scan import ScanOptions, scan
from logwarden.daemon.engine.stream import open_stream
from logwarden.daemon.errors import ConfigurationError, FatalError
from logwarden.daemon.pipeline.ingest import Ingestor
from logwarden.daemon.pipeline.judge import WindowJudge
from logwarden.daemon.profiles import profiles_of
from logwarden.daemon.settings.groups import Settings
from logwarden.daemon.settings.reading import read_settings
from tests.oracles import LogRecord, assignment
from tests.scans import CALM, found, printed, scanned, toy_engine, written


def test_what_the_daemon_would_bury_is_counted(tmp_path: Path) -> None:
    """A line that the decoder gives up is in the summary, with the reason of the first one."""
    path = written(tmp_path / "app.json", '{"message": "served"}', "[1, 2", '{"message": "served"}')
    result = scanned(path, settings={"INPUT__FORMAT": "json"})
    assert "in 3 lines; 1 record could not be read, the first: line 2, " in result.notes
    assert "is not JSON" in result.notes


def test_the_option_pins_the_format(tmp_path: Path) -> None:
    """A file of access logs with another line in it is read like a topic of them."""
    request = '192.0.2.7 - - [23/Nov/2026:10:00:00 +0000] "GET /cart HTTP/1.1" 200 157'
    path = written(tmp_path / "access.log", request, "who wrote this", request)
    arguments = ["scan", str(path), "--input-format", "access"]
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 0, result.output
    assert "in 3 lines; 1 record could not be read, the first: line 2, the value is not an access log" in result.stderr
    with pytest.raises(ConfigurationError, match="INPUT__FORMAT is 'acess', but it must be one of auto, raw, json"):
        CliRunner().invoke(app, [*arguments[:-1], "acess"], catch_exceptions=False)


def test_a_scan_quotes_the_line_as_it_was_written(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Files have the same offsets, and none quotes another's line; the baseline is not kept."""
    good = written(tmp_path / "good.log", *CALM)
    one = written(tmp_path / "one.log", *CALM[:2], '{"message": "panic", "level": "error"}')
    two = written(tmp_path / "two.log", *CALM[:2], "panic")
    scanned(one, two, baseline=[good], form=AlertFormat.jsonl)
    quoted = {alert["logwarden"]["source"]["topic"]: alert["event"].get("original") for alert in printed(capsys)}
    assert quoted == {str(one): '{"message": "panic", "level": "error"}', str(two): None}


def test_lines_belong_to_the_service_that_they_state(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Each service has its own history and its own learning lines; --service overrides what the lines state."""
    lines = [json.dumps({"message": text, "service": "shop"}) for text in CALM]
    path = written(tmp_path / "all.jsonl", *lines, '{"message": "panic", "service": "till"}', "panic", "panic")
    result = scanned(path, form=AlertFormat.jsonl, every_verdict=True)
    alerts = printed(capsys)
    assert [a["service"]["name"] for a in alerts[-4:]] == ["shop", "till", "all.jsonl", "all.jsonl"]
    assert [a["logwarden"]["history_lines"] for a in alerts[-4:]] == [39, 0, 0, 1]
    assert [a["logwarden"]["prediction"] for a in alerts[-4:]] == ["normal", "normal", "normal", "anomaly"]
    assert "no alerts from the first lines of each of its 3 services, 22 in all" in result.notes
    scanned(path, form=AlertFormat.jsonl, every_verdict=True, service="one")
    assert [(a["service"]["name"], a["logwarden"]["history_lines"]) for a in printed(capsys)[-1:]] == [("one", 42)]


def test_half_of_the_events_are_for_learning(tmp_path: Path) -> None:
    """A trace counts as the one event that it is, so that a file of traces gets verdicts, too."""
    trace = ["Traceback (most recent call last):", *['  File "a.py", line 1, in f'] * 20, "KeyError: 'card'"]
    path = written(tmp_path / "app.log", *trace * 3, *CALM[:1] * 3, "panic")
    result = scanned(path)
    assert found(result.out) == [f"{path}:70"]
    assert "from the first 4 lines of app.log" in result.notes


def test_a_pipe_beside_a_file_changes_nothing_for_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a pipe the setting's lines are for learning; of the file beside it, half."""

    class Pipe(io.BytesIO):
        def seekable(self) -> bool:
            return False

    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=Pipe(b"panic\n" * 4)))
    path = written(tmp_path / "app.log", *CALM, "panic")
    assert found(scanned(Path("-"), path).out) == [f"{path}:41"]


def test_a_baseline_teaches_the_services_that_it_states(tmp_path: Path) -> None:
    """Lines of a baseline that name a service are known to it alone; the others are known to every file."""
    good = written(tmp_path / "good.log", '{"message": "request served", "service": "shop"}', "cache refreshed")
    lines = [json.dumps({"message": "request served", "service": name}) for name in ("shop", "till")]
    files = [written(tmp_path / name, *lines, "cache refreshed") for name in ("a.log", "b.log")]
    assert found(scanned(*files, baseline=(good,)).out) == [f"{files[0]}:2"]


def test_a_document_over_several_lines_is_one_event(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Pretty-printed JSON is placed at its first line, and each element of an array at its own."""
    events = [{"message": "served", "service": "shop"}, {"message": "panic", "service": "shop"}]
    path = tmp_path / "events.json"
    path.write_text(
        "".join(json.dumps(event, indent=2) + "\n" for event in events) + json.dumps(events, indent=2) + "\n"
    )
    scanned(path, form=AlertFormat.jsonl, every_verdict=True)
    places = [(a["message"], a["logwarden"]["source"]["last_offset"] + 1) for a in printed(capsys)]
    assert [(message.split()[-1], line) for message, line in places] == [
        ("served", 1),
        ("panic", 5),
        ("served", 10),
        ("panic", 14),
    ]


def test_a_folder_is_its_logs_in_the_order_of_time(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Rotated files are one service, the oldest first; a binary file is left out with a note."""
    written(tmp_path / "x.log", "newest")
    written(tmp_path / "x.log.1", "middle")
    (tmp_path / "x.log.2.gz").write_bytes(gzip.compress(b"oldest\n"))
    (tmp_path / "core").write_bytes(bytes(range(256)) * 40)
    result = scanned(tmp_path, form=AlertFormat.jsonl, every_verdict=True)
    alerts = printed(capsys)
    assert [a["message"] for a in alerts] == ["oldest", "middle", "newest"]
    assert [a["service"]["name"] for a in alerts] == ["x.log"] * 3
    assert [a["logwarden"]["history_lines"] for a in alerts] == [0, 1, 2]
    assert f"left out 1 file that is no log in {tmp_path}: {tmp_path / 'core'} is binary" in result.notes


def test_what_can_be_read_of_a_truncated_archive_is_judged(tmp_path: Path) -> None:
    """The lines before the break are judged; then the scan ends with a sentence and exit code 1."""
    path = tmp_path / "app.log.gz"
    whole = gzip.compress(
        "".join(f"{line}\n" for line in [*CALM, "panic"]).encode() + os.urandom(50_000).hex().encode()
    )
    path.write_bytes(whole[:-20_000])
    out, notes = io.StringIO(), io.StringIO()
    with pytest.raises(FatalError, match=r"was read in part only: its gzip data ends too early") as error:
        scan(ScanOptions(files=(path,)), Settings(), Console(file=out, width=300), Console(file=notes), toy_engine)
    assert error.value.exit_code == 1
    assert f"{path}:41" in out.getvalue()
    assert "the file was read in part only" in notes.getvalue()


def test_a_binary_file_is_refused(tmp_path: Path) -> None:
    """A file that is no text is named in one sentence with exit code 2, before the model loads."""
    path = tmp_path / "app.log"
    path.write_bytes(bytes(range(256)) * 40)
    with pytest.raises(ConfigurationError, match=r"app.log' is binary: pass a text file"):
        scan(ScanOptions(files=(path,)), Settings(), Console(), Console(), lambda _: pytest.fail("loaded"))


def test_a_scan_and_the_daemon_report_the_same(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The same lines give alerts with the same fields and values, from a file as from a topic."""
    lines = [*CALM, '{"level": "error", "message": "panic", "service": "shop"}', "panic: bare"]
    path = written(tmp_path / "app.log", *lines)
    settings = read_settings({"LOGWARDEN_ALERTS__LEARNING_LINES": "0"})
    scanned(path, form=AlertFormat.jsonl, settings={"ALERTS__LEARNING_LINES": "0"})
    from_file = {a["logwarden"]["source"]["last_offset"]: a for a in printed(capsys)}
    engine = toy_engine(settings)
    ingestor = Ingestor(open_stream(engine, settings, max_slots=8), max_services=8)
    owner = assignment(profile=profiles_of(settings)("logs"))
    records = [LogRecord(line.encode(), offset=at, timestamp=-1, key=b"app.log") for at, line in enumerate(lines)]
    ingested = ingestor.ingest([(owner, records)], 0.0)
    work = [*ingested.work, *ingestor.flush(float("inf"))]
    publications = WindowJudge(SystemClock()).judge(engine, work).publications
    from_topic = {}
    for publication in publications:
        alert = json.loads(publication.message.value or b"")
        from_topic[alert["logwarden"]["source"]["last_offset"]] = alert
    assert len(from_file) >= 4
    assert from_file.keys() == from_topic.keys()
    for at, alert in from_file.items():
        for own in (alert, from_topic[at]):
            del own["id"], own["logwarden"]["source"]["topic"], own["logwarden"]["source"]["partition"]
        assert alert == from_topic[at]


def test_a_file_without_a_readable_line_is_refused(tmp_path: Path) -> None:
    """A packed file of no known packing ends the command with an error; one readable line makes it a log."""
    path = tmp_path / "app.log"
    path.write_bytes(b"\x8b\x12\x80" + bytes(range(128, 256)) * 4 + b"\n")
    with pytest.raises(FatalError, match=r"no line of the file .* could be read: line 1, the value is binary"):
        scanned(path)
    path.write_bytes(path.read_bytes() + b"request 7 served\n")
    assert "1 record could not be read" in scanned(path).notes
