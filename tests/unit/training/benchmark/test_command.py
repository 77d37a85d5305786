"""The benchmark as a whole, on short runs of two systems: files, figures, what is left out, and the cache."""

from __future__ import annotations

import json
from pathlib import Path
from xml.etree import ElementTree

import pytest

from logwarden.training import corpora
from logwarden.training.benchmark import command
from logwarden.training.benchmark.ablations import ALL
from logwarden.training.benchmark.command import Options, benchmark, last_look, renew_kinds
from logwarden.training.benchmark.public import PublicTask, public_tables
from logwarden.training.evaluation import grouping
from logwarden.training.faultlab.release import LAST_LOOK_RECORDINGS
from tests.recorded import short_release
from tests.recordings import blocks, fault_rounds, machines

SYSTEMS = ("mosquitto", "squid")


def test_the_benchmark_writes_its_files_and_goes_on_where_it_stopped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Two systems without public data: every table is there, what was left out is named, and again is the same."""
    monkeypatch.setenv(corpora.ROOT_VARIABLE, str(tmp_path / "absent"))
    monkeypatch.setattr(command, "PUBLIC", {"hdfs": True})
    monkeypatch.setattr(command, "DROPPED", (ALL, "margin"))
    monkeypatch.setattr(command, "monotone_services", lambda model: [])
    short_release(tmp_path / "recordings", SYSTEMS, 3)
    short_release(tmp_path / "recordings" / LAST_LOOK_RECORDINGS.name, ("redis",), 2)
    options = Options(tmp_path / "first", tmp_path / "recordings", tmp_path / "cache", jobs=1, seeds=1)
    found = benchmark(options)
    assert tuple(found["systems"]) == SYSTEMS
    assert all(found["systems"][system]["faults"] > 0 for system in SYSTEMS)
    assert found["left_out"] == [f"hdfs: {corpora.ROOT_VARIABLE} names no folder with the public data sets"]
    assert {"without margin", "without the floor"} < set(found["ablations"])
    folder = options.root / command.PLOTS
    stored = json.loads((folder / command.FIGURES).read_text())
    assert stored["model"] == found["model"]
    for plot in folder.glob("*.svg"):
        ElementTree.parse(plot)
    text = (options.root / command.DOCUMENT).read_text()
    assert all(system in text for system in SYSTEMS)
    assert [line.split(maxsplit=2)[2] for line in capsys.readouterr().err.splitlines()] == [
        *SYSTEMS,
        f"without {ALL}",
        "without margin",
        "redis",
        "figures",
        "documents",
    ]
    made = {path: path.stat().st_mtime_ns for path in (tmp_path / "cache").iterdir()}
    again = benchmark(Options(tmp_path / "again", options.recordings, options.cache, jobs=1, seeds=1))
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "cache").iterdir()} == made
    assert (tmp_path / "again" / command.DOCUMENT).read_text() == text
    assert again["faultlab"].keys() == found["faultlab"].keys()
    document = tmp_path / "again" / command.DOCUMENT
    figures = document.parent / command.PLOTS / command.FIGURES
    stored["kinds"] = stored["incidents"] = {}
    figures.write_text(json.dumps(stored))
    for cache in (options.cache, tmp_path / "empty"):
        renewed = renew_kinds(Options(tmp_path / "again", options.recordings, cache, jobs=1, seeds=1))
        assert renewed["kinds"]["peace"]["silence"].keys() == found["kinds"]["peace"]["new_line"].keys()
        assert document.read_text() == text
    figures.write_text(json.dumps(stored | {"model": "another"}))
    with pytest.raises(ValueError, match="is of the model another; run the whole benchmark"):
        renew_kinds(Options(tmp_path / "again", options.recordings, options.cache, jobs=1, seeds=1))
    with pytest.raises(ValueError, match="does not exist; run the whole benchmark"):
        renew_kinds(Options(tmp_path, options.recordings, options.cache, jobs=1, seeds=1))
    assert tuple(found["last_look"]["systems"]) == ("redis",)
    assert "redis" not in found["systems"]
    the_section_alone_can_be_written_again(options, text)


def the_section_alone_can_be_written_again(options: Options, text: str) -> None:
    """The last look alone gives the same document, and refuses figures of another model."""
    figures = options.root / command.PLOTS / command.FIGURES
    written = json.loads(figures.read_text())
    figures.write_text(json.dumps(written | {"last_look": None}))
    last_look(options)
    assert (options.root / command.DOCUMENT).read_text() == text
    assert "## Last look" in text
    figures.write_text(json.dumps(written | {"model": "another"}))
    with pytest.raises(ValueError, match="is of the model another; run the whole benchmark"):
        last_look(options)


def test_public_data_give_rows_and_are_measured_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Blocks, rounds, machines and raw lines each give their rows; a second time they come from the cache."""
    monkeypatch.setattr(corpora, "hdfs_lines", lambda: blocks(1_500, 150))
    monkeypatch.setattr(corpora, "openstack_fault_rounds", lambda: iter(fault_rounds(40)))
    monkeypatch.setattr(corpora, "openstack_vm_sessions", machines)
    monkeypatch.setattr(grouping, "measure", dict)
    for name in ("hdfs", "openstack-faults", "openstack-vm"):
        found = public_tables(PublicTask(name, seeds=1, cache=tmp_path))
        assert found["rows"], name
    assert public_tables(PublicTask("grouping", seeds=1, cache=tmp_path))["systems"] == {}
    monkeypatch.setattr(corpora, "openstack_vm_sessions", None)
    assert public_tables(PublicTask("openstack-vm", seeds=1, cache=tmp_path)) == found
