"""Runs all tests as two programs side by side: those with a real broker wait for it most of the time.

`python -m tests.together [options of pytest]`, for `make test`. An option that names tests starts one program. Prints
the output of the second program when it ends. Ends with the first exit status that is not 0, and leaves the coverage of
both in one file.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

COVERAGE = Path(".cache/coverage")
BROKER = "tests/kafka"


def command(part: Sequence[str], options: Sequence[str]) -> list[str]:
    """Returns the command line of one part of the tests under coverage."""
    return [sys.executable, "-m", "coverage", "run", "-m", "pytest", *part, *options]


def environment(data_file: Path) -> dict[str, str]:
    """Returns the variables under which a part writes its coverage into a file of its own."""
    return {**os.environ, "COVERAGE_FILE": str(data_file)}


def run(options: Sequence[str]) -> int:
    """Runs the tests. Returns the exit status."""
    if any(not option.startswith("-") for option in options):
        return subprocess.run(command([], options), check=False).returncode
    COVERAGE.parent.mkdir(exist_ok=True)
    files = [COVERAGE.with_name(f"coverage.{name}") for name in ("broker", "other")]
    # Caches of pytest are one folder, which two programs must not write at a time.
    apart = ["-p", "no:cacheprovider"]
    with tempfile.TemporaryFile() as log:
        broker = subprocess.Popen(
            command([BROKER, *apart], options), env=environment(files[0]), stdout=log, stderr=subprocess.STDOUT
        )
        try:
            other = subprocess.run(
                command([f"--ignore={BROKER}"], options), env=environment(files[1]), check=False
            ).returncode
        finally:
            status = broker.wait()
            log.seek(0)
            sys.stdout.flush()
            sys.stdout.buffer.write(log.read())
            sys.stdout.flush()
    combined = subprocess.run(
        [sys.executable, "-m", "coverage", "combine", "--quiet", *map(str, files)], check=False
    ).returncode
    return other or status or combined


if __name__ == "__main__":
    sys.exit(run(sys.argv[1:]))
