"""Joins the lines of an entry in the journal's export format, as `journalctl -o export` writes a file of them.

An entry ends at a blank line. A field of several lines, or with other bytes than text, stands behind its length, so a
blank line inside of it ends nothing. Keeps the lines of one open entry; knows nothing of what is in it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from logwarden.daemon.commands.reading import NumberedLine
from logwarden.daemon.decoding.journal import SIZE_BYTES, is_begin

__all__ = ["JournalFramer", "is_begin"]

MAX_ENTRY_BYTES = 1 << 22
"""Bound of an entry; one that is longer is cut there."""


class JournalFramer:
    """Frames the lines of one file."""

    def __init__(self) -> None:
        self._open: list[NumberedLine] = []
        self._bytes = 0
        self._field: bytes | None = None
        """What was read of a field behind its length; None outside of one."""

    def framed(self, lines: Iterable[NumberedLine]) -> Iterator[NumberedLine]:
        """Yields an entry as one record with the number of its first line. The last one may stay open."""
        for line in lines:
            if self._field is None and not line.text.strip(b"\r"):
                yield from self.rest()
                continue
            self._open.append(line)
            self._bytes += len(line.text) + 1
            if self._field is not None:
                self._field += line.text + b"\n"
                size = int.from_bytes(self._field[:SIZE_BYTES], "little")
                if len(self._field) > SIZE_BYTES + size:
                    self._field = None
            elif b"=" not in line.text:
                self._field = b""
            if self._bytes > MAX_ENTRY_BYTES:
                yield from self.rest()

    def rest(self) -> list[NumberedLine]:
        """Returns the entry that the end of the file leaves open."""
        lines, self._open, self._bytes, self._field = self._open, [], 0, None
        return [NumberedLine(lines[0].number, b"".join(line.text + b"\n" for line in lines))] if lines else []
