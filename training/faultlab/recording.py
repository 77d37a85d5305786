"""The result of a run, on disk and in memory. Knows nothing of how it was recorded.

A directory with two files. `lines.jsonl.xz` has one array [seconds since start, service, file, line] per line.
`manifest.json` describes the system, the events with their times, and the hash of the lines. Times are seconds since
the recording began.
"""

import hashlib
import json
import lzma
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

LINES = "lines.jsonl.xz"
MANIFEST = "manifest.json"
RECOVERY_TAIL_S = 20.0
"""Seconds after a recovery whose lines are labelled neither normal nor anomalous, because clients notice late. An alert
in them still counts for the fault."""
RUN_GAP_S = 120.0
"""Seconds from the end of one run to the begin of the next, where runs are read as one stream."""

# Of faults: a process dies or hangs; room, memory or connections run out; a dependency fails; stored bytes or requests
# are wrong; a client has no right; a setting is wrong.
FaultCause = Literal["process", "resource", "dependency", "data", "security", "configuration"]
PlannedCause = Literal["restart", "reload", "rotation", "load", "maintenance"]
Cause = FaultCause | PlannedCause


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One log line. `t` is when it was read from `file`, at most a tenth of a second after it was written."""

    t: float
    service: str
    text: str
    file: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """A fault or a planned change.

    `services` are those that it can reach. The cause was active between `injected_at` and `cleared_at`. At
    `recovered_at` clients were served again; the runner confirms that by three answers in a row.
    """

    kind: Literal["fault", "benign"]
    name: str
    cause: Cause
    what: str
    services: tuple[str, ...]
    injected_at: float
    cleared_at: float
    recovered_at: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Recording:
    """Lines in order of arrival, events in order of injection; up to `clean_until` every client was served.

    `skipped` has the faults that could not be injected and the reasons, `dropped` the dropped lines of each service.
    """

    system: str
    versions: Mapping[str, str]
    seed: int
    started: str
    clean_until: float
    events: tuple[Event, ...]
    lines: tuple[Line, ...]
    skipped: Mapping[str, str]
    dropped: Mapping[str, int]

    @property
    def faults(self) -> tuple[Event, ...]:
        return tuple(event for event in self.events if event.kind == "fault")


class RecordingDamaged(ValueError):
    """The lines are not those of the manifest."""


def save_recording(recording: Recording, directory: Path) -> None:
    """Writes both files; the manifest last, so that a directory with a manifest is a whole recording."""
    directory.mkdir(parents=True, exist_ok=True)
    rows = (
        json.dumps([x.t, x.service, x.file, x.text], ensure_ascii=False, separators=(",", ":")) for x in recording.lines
    )
    packed = lzma.compress("".join(f"{row}\n" for row in rows).encode(), preset=9 | lzma.PRESET_EXTREME)
    (directory / LINES).write_bytes(packed)
    manifest = {
        "system": recording.system,
        "versions": dict(recording.versions),
        "seed": recording.seed,
        "started": recording.started,
        "clean_until": recording.clean_until,
        "lines_sha256": hashlib.sha256(packed).hexdigest(),
        "lines": dict(sorted(Counter(line.service for line in recording.lines).items())),
        "skipped": dict(recording.skipped),
        "dropped": dict(recording.dropped),
        "events": [asdict(event) for event in recording.events],
    }
    (directory / MANIFEST).write_text(json.dumps(manifest, indent=1) + "\n")


def load_recording(directory: Path | str) -> Recording:
    """Reads a recording. Raises RecordingDamaged if the lines do not match the manifest."""
    directory = Path(directory)
    manifest: dict[str, Any] = json.loads((directory / MANIFEST).read_text())
    packed = (directory / LINES).read_bytes()
    if hashlib.sha256(packed).hexdigest() != manifest["lines_sha256"]:
        raise RecordingDamaged(f"{directory / LINES} is not the file that {MANIFEST} was written for")
    rows = map(json.loads, lzma.decompress(packed).decode().split("\n")[:-1])
    return Recording(
        system=manifest["system"],
        versions=manifest["versions"],
        seed=manifest["seed"],
        started=manifest["started"],
        clean_until=manifest["clean_until"],
        events=tuple(Event(**{**event, "services": tuple(event["services"])}) for event in manifest["events"]),
        lines=tuple(Line(t=t, service=service, file=file, text=text) for t, service, file, text in rows),
        skipped=manifest["skipped"],
        dropped=manifest["dropped"],
    )


def lines_of(lines: Iterable[Line], event: Event, tail_s: float) -> tuple[Line, ...]:
    """Returns the lines of the services that the event can reach, from its injection to `tail_s` after recovery."""
    return tuple(
        x for x in lines if x.service in event.services and event.injected_at <= x.t <= event.recovered_at + tail_s
    )
