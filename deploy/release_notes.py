"""Prints a version's part of CHANGELOG.md, for the page of its release.

python deploy/release_notes.py 0.2.0
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

CHANGELOG = Path(__file__).parents[1] / "CHANGELOG.md"


def notes_of(version: str, changelog: str) -> str:
    """Returns the text below the version's heading. Raises LookupError if there is none."""
    parts = re.split(r"^## \[([^\]]+)\][^\n]*\n", changelog, flags=re.M)[1:]
    found = dict(zip(parts[::2], parts[1::2], strict=True))
    if not found.get(version, "").strip():
        raise LookupError(f"CHANGELOG.md has no notes of the version {version}; write them below `## [{version}]`")
    return found[version].strip() + "\n"


if __name__ == "__main__":
    try:
        sys.stdout.write(notes_of(sys.argv[1], CHANGELOG.read_text(encoding="utf-8")))
    except LookupError as error:
        sys.exit(str(error))
