"""Checks the systemd unit by `systemd-analyze`, and its file of settings by the daemon's own reader."""

from __future__ import annotations

import json
import re
import tempfile
from pathlib import Path

from logwarden.daemon.settings.reading import read_settings
from tests.deploy.tools import ROOT, run, tool

UNIT = ROOT / "deploy" / "systemd" / "logwarden.service"
ENVIRONMENT = ROOT / "deploy" / "systemd" / "logwarden.env"
MOST_EXPOSED = 2.5
END_S = 10
"""Seconds that the process may need after its drain."""


def check_unit() -> list[str]:
    """Runs the checks. Returns a sentence for each."""
    analyze = tool("systemd-analyze")
    text = UNIT.read_text(encoding="utf-8")
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / UNIT.name
        copy.write_text(re.sub(r"^ExecStart=\S+", "ExecStart=/bin/true", text, flags=re.M), encoding="utf-8")
        complaints = [line for line in run([analyze, "verify", str(copy)]).splitlines() if UNIT.name in line]
        assert not complaints, complaints
        arguments = ["security", "--offline=true", "--no-pager", "--json=short", str(copy)]
        json.loads(run([analyze, *arguments]))
        limit = f"--threshold={MOST_EXPOSED * 10:.0f}"  # in tenths; above it the command fails
        overall = run([analyze, "security", "--offline=true", "--no-pager", limit, str(copy)])
    exposure = float(re.findall(r"Overall exposure level for \S+: ([0-9.]+)", overall)[0])
    return [f"systemd-analyze finds no mistake in the unit, and an exposure of {exposure} (at most {MOST_EXPOSED})"]


def variables() -> dict[str, str]:
    """Returns the variables of the file as systemd reads it, those that are commented out included."""
    text = ENVIRONMENT.read_text(encoding="utf-8")
    return dict(re.findall(r"^#?(LOGWARDEN_\w+)=(.*)$", text, re.M))


def drain_fits() -> bool:
    """Returns True if systemd waits for a drain and the end of the process before it kills."""
    [stop_s] = re.findall(r"^TimeoutStopSec=(\d+)$", UNIT.read_text(encoding="utf-8"), re.M)
    readable = {name.removesuffix("_FILE"): value for name, value in variables().items()}  # no file is mounted here
    return float(stop_s) >= read_settings(readable).shutdown.drain_timeout_s + END_S
