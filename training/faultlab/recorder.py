"""Turns growing log files into lines with an arrival time. Knows nothing of labels; time comes in as an argument.

A file may be truncated or replaced while it is read, as by log rotation. After `cap` lines of a service within
`SLICE_S` seconds further lines are dropped and counted: one node with a full disk wrote 210,000 lines in a trial."""

import os
import threading
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from logwarden.training.faultlab.recording import Line

SLICE_S = 10.0
_POLL_S = 0.05
_CHUNK = 1 << 20


class Tail:
    """The complete lines that one file has gained since the last read."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._offset = 0
        self._inode: int | None = None
        self._rest = b""

    def read(self) -> list[str]:
        try:
            handle = self._path.open("rb")
        except FileNotFoundError:
            return []
        with handle:
            status = os.fstat(handle.fileno())
            if status.st_ino != self._inode or status.st_size < self._offset:
                self._inode, self._offset, self._rest = status.st_ino, 0, b""
            handle.seek(self._offset)
            fresh = handle.read(_CHUNK)
        self._offset += len(fresh)
        *lines, self._rest = (self._rest + fresh).split(b"\n")
        return [text for line in lines if (text := line.decode("utf-8", "replace").rstrip())]


class Recorder:
    """Polls the log files of all services from a thread of its own, between `start` and `stop`."""

    def __init__(self, log_files: Mapping[str, Sequence[Path]], now: Callable[[], float], cap: int) -> None:
        self._tails = [(service, path.name, Tail(path)) for service, paths in log_files.items() for path in paths]
        self._now = now
        self._cap = cap
        self._lines: list[Line] = []
        self._count: Counter[str] = Counter()
        self._slice = 0
        self.dropped: Counter[str] = Counter()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="recorder")
        self.failure: Exception | None = None

    def start(self) -> None:
        """Skips the present content of the files and starts the thread."""
        for _, _, tail in self._tails:
            while tail.read():
                pass
        self._thread.start()

    def stop(self) -> None:
        self._stopping.set()
        self._thread.join()

    def lines(self) -> tuple[Line, ...]:
        return tuple(self._lines)

    def poll(self, now: float) -> None:
        if self._slice != int(now // SLICE_S):
            self._slice = int(now // SLICE_S)
            self._count.clear()
        for service, file, tail in self._tails:
            for text in tail.read():
                if self._count[service] == self._cap:
                    self.dropped[service] += 1
                    continue
                self._count[service] += 1
                self._lines.append(Line(t=round(now, 3), service=service, file=file, text=text))

    def _watch(self) -> None:
        try:
            while not self._stopping.wait(_POLL_S):
                self.poll(self._now())
            self.poll(self._now())
        except Exception as error:  # the runner reads it at every pause and ends the run
            self.failure = error
