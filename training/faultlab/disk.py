"""A small disk for a system, which can be filled without filling another. Knows no system."""

import errno
import os
import time
from pathlib import Path

from logwarden.training.faultlab.process import Workshop

_FILLER = "archive"


class SmallDisk:
    """A tmpfs inside the run's directory; without root a plain directory that cannot be filled."""

    def __init__(self, workshop: Workshop, name: str, size_mb: int) -> None:
        self.path: Path = workshop.path / name
        self.impossible: str | None = None
        if os.geteuid() == 0:
            workshop.mount_tmpfs(self.path, size_mb)
        else:
            self.impossible = "only root can mount a small disk to fill"
            self.path.mkdir()

    def fill(self, seconds: float) -> None:
        """Allocates every block, and those that the server frees meanwhile."""
        assert self.impossible is None, "the caller checks `impossible` before it injects a fault"
        deadline = time.monotonic() + seconds
        with (self.path / _FILLER).open("wb") as filler:
            while time.monotonic() < deadline:
                free = os.statvfs(self.path)
                size = free.f_bavail * free.f_frsize
                try:
                    os.posix_fallocate(filler.fileno(), os.fstat(filler.fileno()).st_size, max(size, 1))
                except OSError as error:
                    if error.errno != errno.ENOSPC:
                        raise
                time.sleep(0.2)

    def empty(self) -> None:
        """Frees the allocated blocks."""
        (self.path / _FILLER).unlink(missing_ok=True)
