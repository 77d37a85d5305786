"""Which files a command line names, and which of them are parts of one log."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from logwarden.daemon.commands.files import Sources, find_sources
from logwarden.daemon.errors import ConfigurationError


def made(folder: Path, *names: str) -> list[Path]:
    paths = [folder / name for name in names]
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"{path.name}\n")
    return paths


def services(sources: Sources, folder: Path) -> list[tuple[str, str]]:
    return [(source.service, os.path.relpath(source.file.path, folder)) for source in sources.files]


@pytest.mark.parametrize(
    ("service", "parts"),
    [
        ("x.log", ["x.log.10", "x.log.2.gz", "x.log.1", "x.log"]),
        ("x.log", ["x.log-20261122.gz", "x.log-20261123", "x.log"]),
        ("x.log", ["x-2026-11-22.0.log.gz", "x-2026-11-22.1.log.gz", "x-2026-11-23.0.log", "x.log"]),
        ("x.log", ["x.2026-11-22.log", "x.2026-11-23.log"]),
        ("x.log", ["x-2026-11-23T09-00-00.log", "x-2026-11-23T10-00-00.log", "x.log"]),
        ("x.log", ["x.2.log", "x.1.log", "x.log"]),
        ("syslog", ["syslog.3.xz", "syslog.2.xz", "syslog.1", "syslog"]),
    ],
)
def test_parts_of_a_log_are_one_service_the_oldest_first(tmp_path: Path, service: str, parts: list[str]) -> None:
    """Rotated by number or by date, named directly or by their folder, in any order."""
    paths = made(tmp_path, *parts)
    wanted = [(service, part) for part in parts]
    assert services(find_sources([tmp_path]), tmp_path) == wanted
    assert services(find_sources(paths[::-1]), tmp_path) == wanted


def test_other_numbers_in_names_are_other_services(tmp_path: Path) -> None:
    """Instances of a service are numbered, too."""
    made(tmp_path, "web-1.log", "web-2.log", "worker.1.txt", "20261123", "v1.2")
    found = dict(services(find_sources([tmp_path]), tmp_path))
    assert found == {name: name for name in ("web-1.log", "web-2.log", "worker.1.txt", "20261123")} | {"v1": "v1.2"}


def test_a_folder_is_read_to_its_leaves(tmp_path: Path) -> None:
    """All files below a folder are read, sorted; equal names are named by their paths."""
    made(tmp_path, "b/x.log", "a/x.log", "a/deep/y.log", "z.log")
    assert services(find_sources([tmp_path]), tmp_path) == [
        ("z.log", "z.log"),
        (str(tmp_path / "a/x.log"), "a/x.log"),
        ("y.log", "a/deep/y.log"),
        (str(tmp_path / "b/x.log"), "b/x.log"),
    ]


def test_a_file_behind_two_links_is_read_once(tmp_path: Path) -> None:
    """Containers' logs are links to files in a folder beside them; a link to a folder is not followed."""
    (log,) = made(tmp_path, "pods/0.log")
    (tmp_path / "containers").mkdir()
    (tmp_path / "containers" / "shop.log").symlink_to(log)
    (tmp_path / "containers" / "loop").symlink_to(tmp_path)
    assert services(find_sources([tmp_path]), tmp_path) == [("shop.log", "containers/shop.log")]


def test_what_is_no_log_is_left_out_of_a_folder(tmp_path: Path) -> None:
    """A note names the first one and counts the others; a broken link is a file that cannot be read."""
    made(tmp_path, "x.log")
    for name in ("a.bin", "b.bin"):
        (tmp_path / name).write_bytes(bytes(range(256)) * 20)
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "gone.log").symlink_to(tmp_path / "nowhere")
    found = find_sources([tmp_path])
    assert services(found, tmp_path) == [("x.log", "x.log")]
    (note,) = found.skipped
    assert note.startswith(
        f"left out 3 files that are no logs in {tmp_path}: the first: {tmp_path / 'a.bin'} is binary"
    )
    assert found.unreadable == [f"the file {str(tmp_path / 'gone.log')!r} cannot be read: No such file or directory"]


def test_a_service_may_be_given(tmp_path: Path) -> None:
    """--service names the service of all files."""
    made(tmp_path, "x.log", "y.log")
    assert {service for service, _ in services(find_sources([tmp_path], "shop"), tmp_path)} == {"shop"}


@pytest.mark.parametrize("name", ["none.log", "core"])
def test_a_file_that_is_named_must_be_a_log(tmp_path: Path, name: str) -> None:
    """A missing file and a binary one are refused in one sentence."""
    (tmp_path / "core").write_bytes(bytes(range(256)) * 20)
    with pytest.raises(ConfigurationError, match=rf"^the file '{tmp_path / name}' (cannot be read|is binary)"):
        find_sources([tmp_path / name])
