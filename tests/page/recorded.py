"""Incidents of the demo's recording, as the shipped model finds them: the page's tests show what people would see."""

from __future__ import annotations

import contextlib
import io
import json
import tempfile
import time
from datetime import UTC, datetime
from functools import cache
from pathlib import Path

from rich.console import Console

from logwarden.daemon.commands.formats import AlertFormat
from logwarden.daemon.commands.scan import ScanOptions, load_engine, scan
from logwarden.daemon.incidents.findings import FindingReader
from logwarden.daemon.incidents.incident import IncidentRecord, build_incident
from logwarden.daemon.incidents.writing import milliseconds
from logwarden.daemon.settings.reading import read_settings
from logwarden.model.incident_fold import IncidentFold
from logwarden.training.faultlab.recording import Recording, load_recording
from logwarden.training.faultlab.release import RECORDINGS

LOGS = "logs"
END_S = 5.0
"""Seconds since the recording's last line, when it is played."""


@cache
def recording() -> Recording:
    """Returns the demo's recording."""
    return load_recording(RECORDINGS / "demo")


@cache
def begin_s() -> float:
    """Returns when the recording began, if its last line was logged some seconds ago."""
    return time.time() - END_S - recording().lines[-1].t


@cache
def records() -> tuple[bytes, ...]:
    """Returns the records of the input topic."""
    return tuple(
        json.dumps(
            {
                "service": line.service,
                "@timestamp": datetime.fromtimestamp(begin_s() + line.t, UTC).isoformat(),
                "message": line.text,
            }
        ).encode()
        for line in recording().lines
    )


@cache
def alerts() -> tuple[bytes, ...]:
    """Returns the alerts topic, as the shipped model fills it."""
    out = io.StringIO()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "recording.jsonl"
        path.write_bytes(b"\n".join(records()))
        with contextlib.redirect_stdout(out):
            scan(
                ScanOptions(files=[path], form=AlertFormat.jsonl, lines=True),
                read_settings({}),
                Console(file=io.StringIO()),
                Console(file=io.StringIO()),
                load_engine,
            )
    found = [json.loads(row) for row in out.getvalue().splitlines()]
    for alert in found:
        alert["logwarden"]["source"]["topic"] = LOGS
    return tuple(json.dumps(alert).encode() for alert in found)


@cache
def incidents() -> tuple[tuple[IncidentRecord, int], ...]:
    """Returns every record of the incidents topic with its time of publication, in that order."""
    fold, reader = IncidentFold(), FindingReader()
    found: list[tuple[IncidentRecord, int]] = []
    for offset, value in enumerate(alerts()):
        at = milliseconds(json.loads(value)["@timestamp"])
        found += [(build_incident(change), at) for change in fold.advance(at)]
        fold.add(reader.read(value, published_ms=at, place=(0, offset)))
    now = round(1_000 * time.time())
    found += [(build_incident(change), now) for change in fold.advance(now)]
    return tuple(found)
