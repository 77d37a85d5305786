"""The alert and the incident that docs/reading.md explains, from the log of a full disk; and its picture of the window.

`python -m tests.reading_page` draws the picture again and prints both records, after the model has changed.
"""

from __future__ import annotations

import json
import lzma
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
PICTURE = ROOT / "docs" / "pictures" / "window.svg"
RECORDING = ROOT / "training" / "faultlab" / "recordings" / "demo" / "lines.jsonl.xz"
SERVICE = "postgres-primary"
QUIET_LINES = 4172
"""As in the tutorial: lines before the first fault."""
FULL_DISK = "No space left on device"

TITLE = "The window of the full disk"
BAR_PX, STEP_PX, LEFT_PX = 12, 20, 64
BITS_PX, WEIGHT_PX = 7, 80
BITS_BASE, WEIGHT_BASE = 150, 280
USUAL, GUILTY = "#4263a8", "#b3261e"


@dataclass(frozen=True)
class Records:
    """What `logwarden scan` prints about the fault."""

    alert: dict[str, Any]
    incident: dict[str, Any]


def records() -> Records:
    """Scans the log as docs/reading.md does. Returns the first alert and the incident of the full disk."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        rows = map(json.loads, lzma.decompress(RECORDING.read_bytes()).splitlines())
        lines = [row[3] for row in rows if row[1] == SERVICE]
        (folder / "before.log").write_text("\n".join(lines[:QUIET_LINES]) + "\n", encoding="utf-8")
        (folder / "after.log").write_text("\n".join(lines[QUIET_LINES:]) + "\n", encoding="utf-8")
        alert = next(one for one in _scan(folder, "--lines") if FULL_DISK in one["message"])
        incident = next(
            one for one in _scan(folder) if any(FULL_DISK in line["text"] for line in one["logwarden"]["lines"])
        )
    return Records(alert=alert, incident=incident)


def _scan(folder: Path, *options: str) -> Sequence[dict[str, Any]]:
    command = [sys.executable, "-m", "logwarden", "scan", "after.log", "--baseline", "before.log"]
    command += ["--service", SERVICE, "--format", "jsonl", *options]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("LOGWARDEN_")}
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, check=True)
    return [json.loads(line) for line in done.stdout.splitlines()]


def picture(alert: Mapping[str, Any]) -> str:
    """Returns the window of an alert as SVG: surprise and weight of each line, the guilty ones in another colour."""
    lines = alert["logwarden"]["lines"]
    parts = [
        '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 760 330" font-family="sans-serif" font-size="12">',
        '<rect width="760" height="330" fill="#fff"/>',
        f'<text x="20" y="24" font-size="15">{TITLE}: {len(lines)} lines, oldest on the left</text>',
        '<text x="20" y="46">surprise in bits</text><text x="20" y="186">weight in the score</text>',
        *(_tick(f"{bits}", BITS_BASE - bits * BITS_PX) for bits in (0, 5, 10)),
        *(_tick(f"{share:g}", WEIGHT_BASE - share * WEIGHT_PX) for share in (0, 0.5, 1)),
    ]
    for place, line in enumerate(lines):
        colour = GUILTY if line["guilty"] else USUAL
        parts.append(_bar(place, BITS_BASE, line["surprise"] * BITS_PX, colour))
        parts.append(_bar(place, WEIGHT_BASE, max(1.0, line["weight"] * WEIGHT_PX), colour))
    parts += [
        f'<path d="M60 {BITS_BASE}H700M60 {WEIGHT_BASE}H700" stroke="#333"/>',
        f'<text x="700" y="302" text-anchor="end" fill="{GUILTY}">… {FULL_DISK}</text>',
        '<text x="60" y="302">vacuum reports, connections</text></svg>',
    ]
    return "\n".join([*parts, ""])


def _tick(name: str, y: float) -> str:
    return f'<text x="52" y="{y + 4:g}" text-anchor="end">{name}</text><path d="M60 {y:g}H700" stroke="#eee"/>'


def _bar(place: int, base: int, height: float, colour: str) -> str:
    x, y = LEFT_PX + STEP_PX * place, base - height
    return f'<rect x="{x}" y="{y:.1f}" width="{BAR_PX}" height="{height:.1f}" fill="{colour}"/>'


if __name__ == "__main__":
    found = records()
    PICTURE.write_text(picture(found.alert), encoding="utf-8")
    for record in (found.alert, found.incident):
        print(json.dumps(record, ensure_ascii=False))
