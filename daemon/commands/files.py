"""Finds the log files that a command line names: files, folders, rotated files of one log in the order of time.

A folder stands for all files below it, sorted by name. `x.log.2.gz`, `x.log.1` and `x.log` are parts of one log, and so
are `x-2026-11-23.log` and `x-2026-11-24.log`: one service, the oldest part first. Knows names; `reading.py` knows what
is in the files.
"""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from logwarden.daemon.commands.reading import STDIN, LogFile, Unreadable
from logwarden.daemon.errors import ConfigurationError

_PACKED = re.compile(r"\.(?:gz|xz|zst|zstd|bz2|lz4|lzma)\Z", re.IGNORECASE)
_DATE = re.compile(
    r"[-_.]?(?<![0-9])(20[0-9]{2})([-_.]?)(0[1-9]|1[0-2])\2(0[1-9]|[12][0-9]|3[01])(?![0-9])"
    r"(?:[-_.T]?([0-2][0-9])(?:[-_.:]?([0-5][0-9])(?:[-_.:]?([0-5][0-9]))?)?(?![0-9]))?"
)
_NUMBER = re.compile(r"\.([0-9]{1,4})\Z")
_INNER_NUMBER = re.compile(r"\.([0-9]{1,4})(?=\.[A-Za-z]+\Z)")
_NEVER = ("~",)
"""Sorts behind every date: the part that is still written has none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceFile:
    """A log file to read, with the name of its service where its lines state none."""

    file: LogFile
    service: str


@dataclass(slots=True)
class Sources:
    """The files of a command line, in the order in which they are read."""

    files: list[ServiceFile] = field(default_factory=list)
    skipped: list[str] = field(default_factory=list)
    """A sentence for each folder about its files that are no logs."""
    unreadable: list[str] = field(default_factory=list)
    """A sentence for each file in a folder that cannot be opened."""


def find_sources(paths: Sequence[Path], service: str | None = None) -> Sources:
    """Returns the log files of these files and folders. `service`: the service of all; None: one per log.

    Raises ConfigurationError for a file that is named directly and is no log, and if there is no file at all.
    """
    found = Sources()
    files: list[LogFile] = []
    seen: set[str] = set()
    for path in paths:
        if path != STDIN and path.is_dir():
            files += _in_folder(path, found, seen)
            continue
        try:
            files.append(LogFile(path))
        except Unreadable as error:
            raise ConfigurationError(
                f"the file {str(path)!r} {error}", hint="" if error.is_binary else "check the path and its permissions"
            ) from None
    if not files:
        names = ", ".join(repr(str(path)) for path in paths)
        raise ConfigurationError(f"there is no log file in {names}", hint="pass log files, or a folder of log files")
    found.files = _by_service(files, service)
    return found


def _in_folder(folder: Path, found: Sources, seen: set[str]) -> list[LogFile]:
    """Returns the log files below a folder. A file that two links lead to is read once."""
    files: list[LogFile] = []
    binary: list[str] = []
    denied: list[OSError] = []
    for root, folders, names in os.walk(folder, onerror=denied.append):
        folders.sort()
        for path in (Path(root, name) for name in sorted(names)):
            real = os.path.realpath(path)
            if real in seen:
                continue
            seen.add(real)
            if path.exists() and not path.is_file():
                binary.append(f"{path} is no file")  # a pipe would never end, and a socket cannot be opened
                continue
            try:
                files.append(LogFile(path))
            except Unreadable as error:
                if error.is_binary:
                    binary.append(f"{path} {error}")
                else:
                    found.unreadable.append(f"the file {str(path)!r} {error}")
    found.unreadable += [f"the folder {error.filename!r} cannot be read: {error.strerror}" for error in denied]
    if binary:
        files_are = "1 file that is no log" if len(binary) == 1 else f"{len(binary)} files that are no logs"
        first = binary[0] if len(binary) == 1 else f"the first: {binary[0]}"
        found.skipped.append(f"left out {files_are} in {folder}: {first}")
    return files


def _by_service(files: Sequence[LogFile], service: str | None) -> list[ServiceFile]:
    """Returns the files with their services; parts of one log stand together, at the place of the first of them."""
    names = {file.path.name for file in files}
    logs: dict[Path, list[tuple[tuple[str, ...], int, LogFile]]] = {}
    for file in files:
        name, age = (file.path.name, _AGE_OF_A_CURRENT_FILE) if file.path == STDIN else _part_of(file.path.name, names)
        logs.setdefault(file.path.with_name(name) if file.path != STDIN else STDIN, []).append((*age, file))
    by_name: dict[str, int] = {}
    for log in logs:
        by_name[log.name] = by_name.get(log.name, 0) + 1
    sources = []
    for log, parts in logs.items():
        # Logs of one name in two folders are two services, named by their paths.
        name = "stdin" if log == STDIN else log.name if by_name[log.name] == 1 else str(log)
        parts.sort(key=lambda part: part[:2])
        sources += [ServiceFile(file=file, service=service or name) for _, _, file in parts]
    return sources


Age = tuple[tuple[str, ...], int]
_AGE_OF_A_CURRENT_FILE: Age = (_NEVER, 0)


def _part_of(name: str, siblings: set[str]) -> tuple[str, Age]:
    """Returns the name of the log that a file is a part of, and a key by which its parts sort, the oldest first."""
    # x.log.2.gz      x.log   no date, −2      a greater number is older
    # x.log.1         x.log   no date, −1
    # x.log           x.log   no date, 0
    # x-2026-11-23.1.log.gz   x.log   that date, 1   within a date, a greater number is younger
    bare = _PACKED.sub("", name)
    date = _DATE.search(bare)
    if date is not None:
        rest = bare[: date.start()] + bare[date.end() :]
        number = _NUMBER.search(rest) or _INNER_NUMBER.search(rest)
        if number is not None:
            rest = rest[: number.start()] + rest[number.end() :]
        if rest.strip("-_."):
            moment = tuple(part or "" for part in date.group(1, 3, 4, 5, 6, 7))
            return rest, (moment, int(number[1]) if number else 0)
    number = _NUMBER.search(bare)
    if number is not None and bare[: number.start()]:
        return bare[: number.start()], (_NEVER, -int(number[1]))
    inner = _INNER_NUMBER.search(bare)
    if inner is not None and (whole := bare[: inner.start()] + bare[inner.end() :]) in siblings:
        return whole, (_NEVER, -int(inner[1]))
    return bare, _AGE_OF_A_CURRENT_FILE
