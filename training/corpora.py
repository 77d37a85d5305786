"""Reads the log recordings of training and evaluation: public ones from LOGWARDEN_DATA, and those of the fault lab.

The public ones belong to their authors and are read in place, never copied into the repository. Text and labels are
returned as published; masking, windows and splits are decided elsewhere. The only file of `training` that reads the
environment.
"""

from __future__ import annotations

import csv
import lzma
import os
import re
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt

from logwarden.training.faultlab.release import RECORDINGS, LabelledRun, load_release

ROOT_VARIABLE = "LOGWARDEN_DATA"
_DEFAULT_ROOT = Path(__file__).resolve().parents[2] / "shared" / "data"


@dataclass(frozen=True, slots=True, kw_only=True)
class BlockLines:
    """One stream of lines in time order, each belonging to a labelled block (HDFS: a block of a file)."""

    lines: list[str]
    block: npt.NDArray[np.int32]
    """(n lines,) index into `blocks`, by the first block id in the line."""
    blocks: list[str]
    anomalous: npt.NDArray[np.bool_]
    """(n blocks,) the published label of the block; single lines carry no label."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EventSession:
    """One life cycle (an HDFS block, a virtual machine) as a sequence of event ids."""

    name: str
    source: str
    anomalous: bool
    events: tuple[int, ...]
    """0-based indices into the templates of the same `EventSessions`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EventSessions:
    """Sessions over a shared list of templates; a variable part of a template is ``<*>``."""

    templates: list[str]
    sessions: list[EventSession]


@dataclass(frozen=True, slots=True, kw_only=True)
class FaultRound:
    """One run of the OpenStack workload: round 1 with a fault injected into the source, round 2 without."""

    campaign: str
    test: str
    round: int
    failed: bool
    """The published outcome of the round: an injected fault that was never triggered leaves a clean round."""
    component: str
    services: dict[str, list[str]] = field(repr=False)
    """Service name → its log events in time order; the lines of one event are joined by newlines."""

    @property
    def split_key(self) -> str:
        """Returns the key of a test; its two rounds share a fault, so a split must not separate them."""
        return f"{self.campaign}/{self.test}"


def recordings_root() -> Path:
    """Returns the folder of recordings. Raises FileNotFoundError with the variable that names another one."""
    root = Path(os.environ.get(ROOT_VARIABLE) or _DEFAULT_ROOT)
    if not root.is_dir():
        raise FileNotFoundError(f"no log recordings at {root}: set {ROOT_VARIABLE} to the folder of the recordings")
    return root


def hdfs_lines(root: Path | None = None) -> BlockLines:
    """Reads 222,579 lines of HDFS as one stream, about 3 % of the blocks anomalous. Takes about 60 MB of memory."""
    folder = _existing((root or recordings_root()) / "hdfs")
    with (folder / "anomaly_label.csv").open(encoding="utf-8") as table:
        label_of = {row["BlockId"]: row["Label"] == "Anomaly" for row in csv.DictReader(table)}
    numbers: dict[str, int] = {}
    lines: list[str] = []
    block: list[int] = []
    pattern = re.compile(r"blk_-?\d+")
    with lzma.open(folder / "HDFS_2pct.log.xz", "rt", encoding="utf-8", errors="replace") as log:
        for line in log:
            found = pattern.search(line)
            if found is None:  # a line about no block has no label
                continue
            lines.append(line.rstrip("\n"))
            block.append(numbers.setdefault(found[0], len(numbers)))
    blocks = list(numbers)
    anomalous = np.array([label_of[name] for name in blocks], bool)
    return BlockLines(lines=lines, block=np.array(block, np.int32), blocks=blocks, anomalous=anomalous)


def hdfs_sessions(root: Path | None = None) -> EventSessions:
    """Reads 33,460 HDFS blocks as event sequences. Half of them are anomalous, which is not the natural rate."""
    folder = _existing((root or recordings_root()) / "hdfs")
    return _event_sessions(folder / "HDFS_templates.csv", folder / "hdfs_sessions.tsv.xz")


def openstack_vm_sessions(root: Path | None = None) -> EventSessions:
    """Reads 5,596 life cycles of virtual machines, 651 anomalous; the file is sorted by label, so shuffle it."""
    folder = _existing((root or recordings_root()) / "openstack-vm")
    return _event_sessions(folder / "templates.csv", folder / "sessions.tsv.xz")


def openstack_fault_rounds(root: Path | None = None) -> Iterator[FaultRound]:
    """Yields 1,358 rounds in the order of the archive, one in memory at a time; all of them take about 10 s."""
    folder = _existing((root or recordings_root()) / "openstack-faults")
    with (folder / "sessions.csv").open(encoding="utf-8") as table:
        rows = {f"{r['campaign']}/{r['test']}/round_{r['round']}": r for r in csv.DictReader(table)}
    current, services = "", dict[str, list[str]]()
    with tarfile.open(folder / "logs.tar.xz", "r|xz") as archive:
        for member in archive:
            path, _, file = member.name.rpartition("/")
            stored = archive.extractfile(member)
            if stored is None or not file.endswith(".log"):
                continue
            if path != current and services:
                yield _fault_round(rows[current], services)
                services = {}
            current = path
            text = stored.read().decode("utf-8", "replace")
            services[file.removesuffix(".log")] = join_continuations(text.splitlines())
    if services:
        yield _fault_round(rows[current], services)


def faultlab(root: Path = RECORDINGS) -> list[LabelledRun]:
    """Reads the recordings of the fault lab: three runs of every system, every line labelled.

    Takes about a second per 100,000 lines. `LabelledRun` has the part of a run in the two fixed splits. Raises
    RecordingsMissing if `root` has no recordings, and RecordingDamaged if a file is not the one that was labelled.
    """
    return load_release(root)


def unlabelled_streams(root: Path | None = None) -> dict[str, list[str]]:
    """Returns file name without suffix → raw lines, for systems without labels (70 k lines, 12 MB)."""
    path = _existing((root or recordings_root()) / "unlabelled.tar.xz")
    streams = {}
    with tarfile.open(path, "r|xz") as archive:
        for member in archive:
            stored = archive.extractfile(member)
            if stored is not None and member.name.endswith(".log"):
                text = stored.read().decode("utf-8", "replace")
                streams[Path(member.name).stem] = text.splitlines()
    return streams


# An event of OpenStack's logging library opens with time, process, level and logger; the lines of a traceback repeat
# that prefix, but only the first line of the event is followed by the request's context in brackets.
_OSLO_HEAD = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{3} \d+ [A-Z]+ \S+ ")
_OSLO_CONTEXT = re.compile(r"\[(?:req-|-\]|None)")


def join_continuations(lines: list[str]) -> list[str]:
    """Joins each line that continues an event (tracebacks, multi-line messages) to its head line by a newline.

    A continuation has no head of its own, or repeats the head of the event before it without a request context. A log
    shipper for OpenStack has the same rule.
    """
    events: list[list[str]] = []
    open_head = ""
    for line in lines:
        head = _OSLO_HEAD.match(line)
        if head is None:
            continues = bool(events)
        else:
            continues = head[0] == open_head and not _OSLO_CONTEXT.match(line, head.end())
        if not continues:
            events.append([line])
            open_head = head[0] if head else ""
        else:
            # The repeated prefix has no information: keep the rest.
            events[-1].append(line[head.end() :] if head else line)
    return ["\n".join(event) for event in events]


def _event_sessions(templates: Path, sessions: Path) -> EventSessions:
    texts = _existing(templates).read_text(encoding="utf-8").splitlines()
    found = []
    with lzma.open(_existing(sessions), "rt", encoding="utf-8") as table:
        for line in table:
            label, source, name, ids = line.rstrip("\n").split("\t")
            events = tuple(int(number) - 1 for number in ids.split())
            anomalous = label in ("1", "anomaly")
            found.append(EventSession(name=name, source=source, anomalous=anomalous, events=events))
    return EventSessions(templates=texts, sessions=found)


def _fault_round(row: dict[str, str], services: dict[str, list[str]]) -> FaultRound:
    return FaultRound(
        campaign=row["campaign"],
        test=row["test"],
        round=int(row["round"]),
        failed=row["outcome"] == "FAILURE",
        component=row["component"],
        services=services,
    )


def _existing(path: Path) -> Path:
    if not path.exists():
        raise FileNotFoundError(f"the recordings contain no {path.name}; put it at {path}")
    return path
