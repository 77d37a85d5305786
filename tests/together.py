"""Runs all tests as programs of their own, two at a time: those with a real broker wait for it most of the time.

`python -m tests.together [options of pytest]`, for `make test`. An option that names tests starts one program. What
runs beside the part in the foreground is printed when it has ended. Ends with the first exit status that is not 0, and
leaves the coverage of all parts in one file.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import tempfile
import threading
from collections import deque
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import IO, NamedTuple

COVERAGE = Path(".cache/coverage")
APART = (("tests/kafka",), ("tests/page",), ("tests/sim",), ("tests/properties", "tests/fuzz"))
"""Folders that are a part of their own, the longest first; all others are the last part."""
NO_TESTS = 5
"""Exit status of pytest where an option such as -k leaves a part without tests."""


class Part(NamedTuple):
    """Tests that one program runs."""

    name: str
    arguments: tuple[str, ...]


def parts() -> list[Part]:
    """Returns all parts. Each test is in one of them."""
    # Caches of pytest are one folder, which two programs must not write at a time: the last part has them.
    apart = [Part(Path(folders[0]).name, (*folders, "-p", "no:cacheprovider")) for folders in APART]
    return [*apart, Part("other", tuple(f"--ignore={folder}" for folders in APART for folder in folders))]


class Lanes:
    """Two lanes that take parts from both ends of one queue, until none is left."""

    def __init__(self, waiting: Sequence[Part], options: Sequence[str]) -> None:
        self.statuses: list[int] = []
        self._waiting = deque(waiting)
        self._options = options
        self._logs: list[IO[bytes]] = []

    def run(self) -> None:
        """Runs all parts. Those of the background are printed as soon as the foreground is free."""
        background = threading.Thread(target=self._run_in_background)
        background.start()
        while part := self._next(self._waiting.pop):
            self._run(part, None)
            self._print()
        background.join()
        self._print()

    def _run_in_background(self) -> None:
        while part := self._next(self._waiting.popleft):
            log = tempfile.TemporaryFile()  # noqa: SIM115 - the other lane prints and closes it
            self._run(part, log)
            self._logs.append(log)

    @staticmethod
    def _next(take: Callable[[], Part]) -> Part | None:
        with contextlib.suppress(IndexError):  # the other lane took the last one
            return take()
        return None

    def _run(self, part: Part, log: IO[bytes] | None) -> None:
        environment = {**os.environ, "COVERAGE_FILE": str(_coverage_of(part))}
        done = subprocess.run(
            command(part.arguments, self._options),
            env=environment,
            stdout=log,
            stderr=log and subprocess.STDOUT,
            check=False,
        )
        self.statuses.append(done.returncode)

    def _print(self) -> None:
        while self._logs:
            with self._logs.pop(0) as log:
                log.seek(0)
                sys.stdout.flush()
                sys.stdout.buffer.write(log.read())
                sys.stdout.flush()


def command(arguments: Sequence[str], options: Sequence[str]) -> list[str]:
    """Returns the command line of one part of the tests under coverage."""
    return [sys.executable, "-m", "coverage", "run", "-m", "pytest", *arguments, *options]


def run(options: Sequence[str]) -> int:
    """Runs the tests. Returns the exit status."""
    if any(not option.startswith("-") for option in options):
        return subprocess.run(command([], options), check=False).returncode
    COVERAGE.parent.mkdir(exist_ok=True)
    every = parts()
    lanes = Lanes(every, options)
    lanes.run()
    files = [str(file) for part in every if (file := _coverage_of(part)).exists()]
    combine = [sys.executable, "-m", "coverage", "combine", "--quiet", *files]
    combined = subprocess.run(combine, check=False).returncode
    statuses = [status for status in lanes.statuses if status != NO_TESTS] or [NO_TESTS]
    return next((status for status in [*statuses, combined] if status), 0)


def _coverage_of(part: Part) -> Path:
    return COVERAGE.with_name(f"coverage.{part.name}")


if __name__ == "__main__":
    sys.exit(run(sys.argv[1:]))
