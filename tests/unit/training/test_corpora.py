"""The readers of the public recordings: counts as published, labels where they belong, a clear word when absent."""

from __future__ import annotations

import itertools
import lzma
import os
import tarfile
from collections import Counter
from pathlib import Path

import pytest

from logwarden.training import corpora

DATED = "2018-06-27 01:43:47.880 22237"


def recordings() -> Path:
    """The data folder, or a skip, or (where the data are required) a failure."""
    try:
        return corpora.recordings_root()
    except FileNotFoundError as reason:
        if os.environ.get("LOGWARDEN_REQUIRE_DATA") == "1":
            raise
        pytest.skip(str(reason))  # the recordings belong to their authors; CI requires them and fails above


def test_an_absent_folder_says_how_to_name_one(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A caller without the recordings reads the variable that names them."""
    monkeypatch.setenv("LOGWARDEN_DATA", str(tmp_path / "nowhere"))
    with pytest.raises(FileNotFoundError, match="LOGWARDEN_DATA"):
        corpora.hdfs_lines()


def test_an_incomplete_folder_names_what_it_lacks(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A folder without one of the recordings is reported by that recording's name."""
    monkeypatch.setenv("LOGWARDEN_DATA", str(tmp_path))
    with pytest.raises(FileNotFoundError, match="openstack-vm"):
        corpora.openstack_vm_sessions()
    with pytest.raises(FileNotFoundError, match=r"unlabelled\.tar\.xz"):
        corpora.unlabelled_streams()


def test_the_lines_of_a_traceback_belong_to_the_error_that_raised_it() -> None:
    """Continuations are joined: without a head, or with the repeated head of the library and no request context."""
    lines = [
        f"{DATED} INFO nova.compute [req-1 a b] started",
        f"{DATED} ERROR nova.compute [req-2 a b] it failed",
        f"{DATED} ERROR nova.compute Traceback (most recent call last):",
        f"{DATED} ERROR nova.compute   File x",
        "Its value may be ignored.",
        f"{DATED} ERROR nova.compute [-] it failed again",
        f"{DATED} ERROR nova.network plain text of another logger",
    ]
    assert corpora.join_continuations(lines) == [
        lines[0],
        f"{lines[1]}\nTraceback (most recent call last):\n  File x\nIts value may be ignored.",
        lines[5],
        lines[6],
    ]


def test_rounds_come_one_after_another(tmp_path: Path) -> None:
    """An archive of two rounds yields two rounds, the last one included, each with its own services and outcome."""
    folder = tmp_path / "openstack-faults"
    for path, text in {
        "Nova/Test_1/round_1/api.log": "one\n",
        "Nova/Test_1/round_1/compute.log": "two\nthree\n",
        "Nova/Test_1/round_2/api.log": "",
    }.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(text)
    with tarfile.open(folder / "logs.tar.xz", "w:xz") as archive:
        for log in sorted(folder.rglob("*.log")):
            archive.add(log, log.relative_to(folder))
    (folder / "sessions.csv").write_text(
        "campaign,test,round,outcome,fault_type,component,lines\n"
        "Nova,Test_1,1,FAILURE,x,/nova/a.py,3\nNova,Test_1,2,NO_FAILURE,x,/nova/a.py,0\n"
    )
    first, second = corpora.openstack_fault_rounds(tmp_path)
    assert (first.round, first.failed, second.round, second.failed) == (1, True, 2, False)
    assert first.services == {"api": ["one"], "compute": ["two\nthree"]}
    assert second.services == {"api": []}
    assert first.split_key == second.split_key == "Nova/Test_1"


def test_event_numbers_become_indices_of_templates(tmp_path: Path) -> None:
    """Published ids count from 1 and lists from 0; both spellings of the label are understood."""
    folder = tmp_path / "openstack-vm"
    folder.mkdir()
    (folder / "templates.csv").write_text("first <*>\nsecond\n")
    with lzma.open(folder / "sessions.tsv.xz", "wt") as out:
        out.write("normal\tsrc\tvm-1\t1 2 1\nanomaly\tsrc\tvm-2\t2\n")
    found = corpora.openstack_vm_sessions(tmp_path)
    assert found.templates == ["first <*>", "second"]
    assert [(s.name, s.anomalous, s.events) for s in found.sessions] == [
        ("vm-1", False, (0, 1, 0)),
        ("vm-2", True, (1,)),
    ]


@pytest.mark.data
def test_hdfs_is_one_stream_of_labelled_blocks() -> None:
    """222,579 lines in time order over 11,501 blocks, of which 350 are anomalous."""
    hdfs = corpora.hdfs_lines(recordings())
    assert (len(hdfs.lines), len(hdfs.blocks), int(hdfs.anomalous.sum())) == (222_579, 11_501, 350)
    assert all(hdfs.blocks[at] in line for line, at in itertools.islice(zip(hdfs.lines, hdfs.block, strict=True), 500))
    stamps = [line[:13] for line in hdfs.lines]
    assert stamps == sorted(stamps)


@pytest.mark.data
def test_session_tables_are_complete() -> None:
    """The published counts of sessions and anomalies, with every event among the templates."""
    root = recordings()
    for table, sessions, anomalous in (
        (corpora.hdfs_sessions(root), 33_460, 16_838),
        (corpora.openstack_vm_sessions(root), 5_596, 651),
    ):
        assert (len(table.sessions), sum(s.anomalous for s in table.sessions)) == (sessions, anomalous)
        assert all(0 <= event < len(table.templates) for s in table.sessions for event in s.events)


@pytest.mark.data
def test_fault_rounds_lose_no_line() -> None:
    """1,358 rounds, two per test; joined events hold every one of the 1,589,274 published lines."""
    rounds, failed, lines = Counter[str](), 0, 0
    for found in corpora.openstack_fault_rounds(recordings()):
        rounds[found.split_key] += 1
        failed += found.failed
        lines += sum(event.count("\n") + 1 for events in found.services.values() for event in events)
    assert (sum(rounds.values()), len(rounds), set(rounds.values())) == (1_358, 679, {2})
    assert failed == 385
    assert lines == 1_589_274


@pytest.mark.data
def test_unlabelled_streams_are_there() -> None:
    """Sixteen recordings of mixed systems, HDFS among them under a name that training can leave out."""
    streams = corpora.unlabelled_streams(recordings())
    assert len(streams) == 16
    assert len(streams["HDFS_2k"]) == 2_000
    assert all(lines for lines in streams.values())
