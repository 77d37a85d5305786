"""Entries of `journalctl -o export` in a file become one record each."""

from __future__ import annotations

from pathlib import Path

import pytest

from logwarden.daemon.commands import journal_entries as module
from logwarden.daemon.commands.file_records import parts_of
from logwarden.daemon.commands.journal_entries import JournalFramer
from logwarden.daemon.commands.reading import LogFile, NumberedLine
from tests.oracles import default_decoder

LONG = b"MESSAGE\n" + len(b"no plums\n\nat all").to_bytes(8, "little") + b"no plums\n\nat all\n"
FILE = (
    b"__CURSOR=s=1\n__REALTIME_TIMESTAMP=1795430000500000\n_SYSTEMD_UNIT=orchard.service\nPRIORITY=3\n"
    + LONG
    + b"_PID=7\n\n"
    b"__CURSOR=s=2\n__REALTIME_TIMESTAMP=1795430001500000\nSYSLOG_IDENTIFIER=shed\nPRIORITY=6\nMESSAGE=all ripe\n"
)


def test_a_file_of_entries_is_read_entry_by_entry(tmp_path: Path) -> None:
    """An entry has text, service and time; a blank line inside of a long field ends nothing."""
    path = tmp_path / "journal.export"
    path.write_bytes(FILE)
    records = [record for part in parts_of(LogFile(path), "file") for record in part.records]
    assert [record.offset for record in records] == [0, 10]
    decoded = default_decoder().decode(records)
    assert decoded.lines == [b"ERROR no plums at all", b"INFO all ripe"]
    assert decoded.services == ["orchard", "shed"]
    assert decoded.timestamps == [1_795_430_000_500, 1_795_430_001_500]


def test_an_endless_entry_is_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    """A file that only looks like a journal does not fill the memory."""
    monkeypatch.setattr(module, "MAX_ENTRY_BYTES", 100)
    lines = [NumberedLine(number, b"__A=" + b"x" * 20) for number in range(50)]
    framer = JournalFramer()
    assert max(len(line.text) for line in (*framer.framed(lines), *framer.rest())) < 150
