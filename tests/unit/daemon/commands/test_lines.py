"""`logwarden lines`: what the daemon reads, as rows to be labelled."""

from __future__ import annotations

import gzip
import io
import json
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from logwarden.daemon.commands.lines import print_lines
from logwarden.daemon.errors import ConfigurationError, FatalError
from logwarden.daemon.settings.reading import read_settings
from tests.scans import written

TRACE = (
    "2026-11-23 18:18:01.761 INFO served",
    "2026-11-23 18:18:02.761 ERROR Traceback (most recent call last):",
    '  File "x.py", line 3',
    "ValueError: bad",
    "2026-11-23 18:18:03.761 INFO served again",
)


def printed(
    *files: Path, numbers: Path | None = None, service: str | None = None, **settings: str
) -> tuple[list[Any], str]:
    """Returns the rows and the notes."""
    out, notes = io.StringIO(), io.StringIO()
    given = read_settings({f"LOGWARDEN_{name}": value for name, value in settings.items()})
    print_lines(files, numbers, service, given, out, Console(file=notes, width=300))
    return [json.loads(row) for row in out.getvalue().splitlines()], notes.getvalue()


@pytest.mark.parametrize("number", ["2", "3", "4", "3-4", "4:ValueError: bad"])
def test_a_trace_is_one_row_whichever_line_is_named(number: str, tmp_path: Path) -> None:
    """A trace of three lines is one event for the daemon, so any of its lines labels it, and it alone."""
    log = written(tmp_path / "app.log", *TRACE)
    rows, notes = printed(log, numbers=written(tmp_path / "numbers", number, ""))
    assert [(row["line"], row["label"]) for row in rows] == [(1, 0), (2, 1), (5, 0)]
    assert rows[0]["time"] == "2026-11-23T18:18:01.761+00:00"
    assert "ValueError: bad" in rows[1]["text"]
    assert rows[1]["service"] == "app.log"
    assert "3 events, 1 of them labelled anomalous" in notes


def test_what_a_record_states_is_what_is_printed(tmp_path: Path) -> None:
    """A line of JSON becomes the text, service and time that the daemon takes from it; --service overrides."""
    row = {"time": "2026-11-23T18:18:01Z", "message": "lost the disk", "service": "shop", "level": "error"}
    log = written(tmp_path / "app.json", json.dumps(row), json.dumps({"message": "served"}))
    rows, _ = printed(log)
    assert (rows[0]["service"], rows[0]["time"]) == ("shop", "2026-11-23T18:18:01.000+00:00")
    assert "lost the disk" in rows[0]["text"]
    assert "{" not in rows[0]["text"]
    assert (rows[1]["service"], rows[1]["time"]) == ("app.json", None)
    assert {row["service"] for row in printed(log, service="all")[0]} == {"all"}


def test_numbers_of_several_logs_name_their_log(tmp_path: Path) -> None:
    """As grep prints them; a number without a file is refused there, and so is what is no number."""
    one, two = written(tmp_path / "one.log", "a b", "c d"), written(tmp_path / "two.log", "e f", "g h")
    rows, _ = printed(one, two, numbers=written(tmp_path / "numbers", f"{two}:2:g h", f"{one}:1"))
    assert [row["label"] for row in rows] == [1, 0, 0, 1]
    for row, files in (("1", (one, two)), ("0", (one,)), ("3-2", (one,)), ("first", (one,)), ("1 2", (one,))):
        with pytest.raises(ConfigurationError, match="numbers:1 names no line of the log"):
            printed(*files, numbers=written(tmp_path / "numbers", row))


def test_what_cannot_be_read_is_counted(tmp_path: Path) -> None:
    """A record that the daemon would bury is in no row, and in the notes."""
    log = written(tmp_path / "app.json", '{"message": "served"}', "[1, 2", '{"message": "served"}')
    rows, notes = printed(log, INPUT__FORMAT="json")
    assert [row["line"] for row in rows] == [1, 3]
    assert "1 record could not be read, the first: line 2, " in notes


def test_a_damaged_file_is_printed_as_far_as_it_goes(tmp_path: Path) -> None:
    """An archive that breaks off is an error at the end, and files that are no logs are named at once."""
    packed = gzip.compress(b"".join(b"served %d\n" % number for number in range(30_000)), compresslevel=0)
    (tmp_path / "app.log.gz").write_bytes(packed[: len(packed) // 2])
    (tmp_path / "program").write_bytes(b"\x7fELF" + bytes(100))
    out, notes = io.StringIO(), io.StringIO()
    with pytest.raises(FatalError, match="was read in part only"):
        print_lines([tmp_path], None, None, read_settings({}), out, Console(file=notes, width=300))
    assert out.getvalue().count("\n") > 1_000
    assert "left out 1 file that is no log" in notes.getvalue()
