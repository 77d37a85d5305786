"""Reads log files as text: unpacked, transcoded to UTF-8, in numbered lines. Refuses what is no text.

A file is judged by its first bytes and never by its name. UTF-16 and UTF-32 are transcoded before the text is split,
because half of a character may look like a line break. Other encodings are left to the decoder of records. Knows
nothing of services and of records.
"""

from __future__ import annotations

import codecs
import re
import sys
import unicodedata
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import AbstractContextManager, nullcontext
from itertools import chain
from pathlib import Path
from typing import BinaryIO, NamedTuple

from logwarden.daemon.clock import SystemClock
from logwarden.daemon.commands.unpacking import LONGEST_MAGIC, PART_BYTES, Damaged, may_be_packed, packing_of, unpacked
from logwarden.daemon.decoding.charset import MARKS

STDIN = Path("-")
EARLIEST_MS = 1_000_000_000_000
"""Of September 2001. Archives whose packing must be repeatable give their files earlier times, which state nothing."""
LONGEST_LINE_BYTES = 1 << 24
"""Bytes of a line that are kept while its end is searched: a file without line breaks must not fill the memory."""
_SAMPLE_BYTES = 1 << 16
_LONGEST_MARK = 4
_FIRST_OF_MARKS = (b"", b"\xef", b"\xff", b"\xfe", b"\0")
_KINDS = (
    (257, b"ustar", "a tar archive: unpack it and scan its folder"),
    (0, b"PK\x03\x04", "a zip archive: unpack it and scan its folder"),
    (0, b"7z\xbc\xaf\x27\x1c", "a 7z archive: unpack it and scan its folder"),
    (0, b"Rar!\x1a\x07", "a rar archive: unpack it and scan its folder"),
    (0, b"\x1f\x9d", "packed by compress: unpack it with uncompress"),
    (0, b"\xff\x06\0\0sNaPpY", "packed by snappy: unpack it first"),
    (0, b"LPKSHHRH", "a journal of systemd: scan the output of `journalctl -o json --file`"),
    (0, b"ElfFile\0", "an event log of Windows: export its events as JSON or text"),
    (0, b"\x7fELF", "a program"),
    (0, b"SQLite format 3\0", "a database"),
    (0, b"Obj\x01", "an Avro file: convert it to JSON"),
    (0, b"PAR1\x15", "a Parquet file: convert it to JSON"),
    (0, b"ARROW1\0\0", "an Arrow file: convert it to JSON"),
    *((0, magic, "a capture of packets") for magic in (b"\xd4\xc3\xb2\xa1", b"\xa1\xb2\xc3\xd4", b"\n\r\r\n\x1c")),
    (0, b"%PDF-", "a PDF document"),
    (0, b"\x89PNG\r\n", "an image"),
)
"""Place and bytes of what people pass by mistake, and what it is."""
_LONG_ZEROS = re.compile(rb"\0{64,}")
_SIZES = re.compile(rb"(?<=\n)[A-Z_][A-Z0-9_]{0,63}\n(?s:.{5})\0{3}")
"""Lengths of long fields in a journal's export."""
_CONTROLS = bytes(sorted({*range(32)} - {*b"\0\a\b\t\n\v\f\r\x1b"}))
_MOST_CONTROLS = 0.02
"""Share of control characters up to which a sample is a text: random bytes have 9 %."""
_MOST_KINDS_OF_CONTROLS = 3
_PLAUSIBLE_CHARS = 4_096
_LEAST_ASCII = 0.02
"""Share of ASCII in a text of any language: its line ends, digits and spaces. Text of 8 bits read as 16 has less."""


class Unreadable(Exception):
    """A file that is no log, or that cannot be opened. `str()` completes the sentence "the file …"."""

    def __init__(self, reason: str, *, is_binary: bool = False) -> None:
        super().__init__(reason)
        self.is_binary = is_binary


class NumberedLine(NamedTuple):
    """A line of a file with its number, from 0."""

    number: int
    text: bytes


class LogFile:
    """A file of log lines. Raises Unreadable at once for what is no text.

    A regular file can be read again and again; a pipe once.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.name = "stdin" if path == STDIN else str(path)
        self.damage: str | None = None
        """The reason why the file was read in part only, after `lines`."""
        self.position = 0
        """Bytes of the file that were read, packed as they are."""
        self.can_be_read_again = sys.stdin.buffer.seekable() if path == STDIN else path.is_file()
        text = self._text()
        try:
            first = next(text, b"")
        except Damaged as error:
            self.damage, first = str(error), b""
        # A pipe cannot be read a second time, so what was read of it is kept.
        self._begun: Iterator[bytes] | None = None if self.can_be_read_again else chain([first], text)
        if self.can_be_read_again:
            text.close()

    @property
    def size(self) -> int | None:
        """Bytes of the file, packed as it is. None for a pipe."""
        return self.path.stat().st_size if self.can_be_read_again and self.path != STDIN else None

    @property
    def written_ms(self) -> int:
        """Milliseconds since the epoch at which the file was written last. Now for a pipe, or if that is not known."""
        modified_ms = int(1_000 * self.path.stat().st_mtime) if self.size is not None else 0
        return modified_ms if modified_ms >= EARLIEST_MS else SystemClock().now_ms()

    def lines(self) -> Iterator[list[NumberedLine]]:
        """Yields lines as they become readable, so that a pipe gets its verdicts while it grows."""
        text = self._begun if self._begun is not None else self._text()
        number, rest, self.damage = 0, b"", None
        try:
            for part in text:
                *lines, rest = (rest + part).split(b"\n")
                rest = rest[:LONGEST_LINE_BYTES]
                if lines:
                    yield [NumberedLine(number + i, line) for i, line in enumerate(lines)]
                number += len(lines)
        except Damaged as error:
            self.damage = str(error)
        if rest:
            yield [NumberedLine(number, rest)]

    def _text(self) -> Generator[bytes, None, None]:
        """Yields the text in UTF-8, with a newline at the end of each line."""
        with self._opened() as stream:
            raw = self._raw(stream)
            head = _first(raw, lambda head: len(head) >= LONGEST_MAGIC or not may_be_packed(head))
            packing = packing_of(head)
            file = stream.fileno() if self.can_be_read_again and self.path != STDIN else None
            content: Iterator[bytes] = chain([head], raw)
            if packing is not None:
                content = unpacked(content, packing, file=file)
            sample = _first(content, lambda head: len(head) >= _LONGEST_MARK or head[:1] not in _FIRST_OF_MARKS)
            charset, mark = charset_of(sample)
            if charset == "utf-8":
                refuse_binary(sample, packing)
            content = chain([sample[len(mark) :]], content)
            if charset != "utf-8":
                content = _transcoded(content, charset)
            yield from _with_newlines(content)

    def _opened(self) -> AbstractContextManager[BinaryIO]:
        if self.path == STDIN:
            if self.can_be_read_again:
                sys.stdin.buffer.seek(0)
            return nullcontext(sys.stdin.buffer)
        self.position = 0
        try:
            return self.path.open("rb")
        except OSError as error:
            raise Unreadable(f"cannot be read: {error.strerror}") from None

    def _raw(self, stream: BinaryIO) -> Iterator[bytes]:
        read = getattr(stream, "read1", stream.read)
        try:
            while part := read(PART_BYTES):
                self.position += len(part)
                yield part
        except OSError as error:  # a disk fails, a share is gone, or the path is a folder
            if self.position == 0:
                raise Unreadable(f"cannot be read: {error.strerror}") from None
            raise Damaged(f"reading it failed: {error.strerror}") from None


def charset_of(sample: bytes) -> tuple[str, bytes]:
    """Returns the encoding of a text that begins like this, and its byte order mark. utf-8 stands for any of 8 bits."""
    for mark, charset in MARKS:
        if sample.startswith(mark):
            return charset, mark
    # Without a mark: in half of its bytes a text of any language in UTF-16 has zeros, at least those of its line ends.
    for charset in ("utf-16-le", "utf-16-be") if b"\0" in sample else ():
        if _is_plausible(sample[: len(sample) // 2 * 2], charset):
            return charset, b""
    return "utf-8", b""


def _is_plausible(sample: bytes, charset: str) -> bool:
    """Returns True if these bytes are a text in UTF-16: no controls, hardly an unassigned character, some ASCII."""
    text = codecs.getincrementaldecoder(charset)("replace").decode(sample)[:_PLAUSIBLE_CHARS]
    if not text or "\0" in text:
        return False
    ascii_chars = sum(character < "\x80" for character in text)
    odd = sum(
        character == "\ufffd" or unicodedata.category(character) in {"Cc", "Cn", "Co", "Cs"}
        for character in text
        if character not in "\t\n\r\f\x1b"
    )
    return ascii_chars >= _LEAST_ASCII * len(text) and odd <= _MOST_CONTROLS * len(text)


def refuse_binary(sample: bytes, packing: str | None) -> None:
    """Raises Unreadable if a file that begins like this is no text."""
    for place, magic, kind in _KINDS:
        if sample.startswith(magic, place):
            raise Unreadable(f"is {kind}", is_binary=True)
    if packing is not None and (inner := packing_of(sample[:LONGEST_MAGIC])) is not None:
        raise Unreadable(f"is packed twice, by {packing} and {inner}: unpack it once", is_binary=True)
    # A log that was truncated while its writer went on begins with a long run of zeros.
    rest = _LONG_ZEROS.sub(b"", sample[:_SAMPLE_BYTES])
    rest = _SIZES.sub(b"", rest) if rest.startswith(b"__") else rest
    controls = len(rest) - len(rest.translate(None, _CONTROLS))
    # Some logs separate fields by one control character: FIX by SOH, Hive by ^A, JSON sequences by RS.
    kinds = len(set(rest) & set(_CONTROLS))
    if rest.count(0) > _MOST_CONTROLS * len(rest) or (
        controls > _MOST_CONTROLS * len(rest) and kinds > _MOST_KINDS_OF_CONTROLS
    ):
        raise Unreadable("is binary: pass a text file, or convert it first", is_binary=True)
    if sample and not sample.strip(b"\0"):
        raise Unreadable("is binary: it contains only zeros", is_binary=True)


def _transcoded(content: Iterable[bytes], charset: str) -> Iterator[bytes]:
    decoder = codecs.getincrementaldecoder(charset)("replace")
    for part in content:
        yield decoder.decode(part).encode("utf-8", "replace")
    yield decoder.decode(b"", final=True).encode("utf-8", "replace")


def _with_newlines(content: Iterator[bytes]) -> Iterator[bytes]:
    """Yields a text whose lines end in a newline. Returns, as old Macs write them, end lines where no newline does."""
    # Without a newline there is no line yet that a reader of a pipe would wait for.
    first = _first(content, lambda head: b"\n" in head or len(head) > _SAMPLE_BYTES)
    if b"\r" not in first or b"\n" in first:
        yield first
        yield from content
        return
    held = b""
    for part in chain([first], content):
        text = held + part
        # A return at the end of a part may be the first half of a Windows line end.
        held = b"\r" if text.endswith(b"\r") else b""
        yield text.removesuffix(held).replace(b"\r\n", b"\n").replace(b"\r", b"\n")
    yield held.replace(b"\r", b"\n")


def _first(parts: Iterator[bytes], is_enough: Callable[[bytes], bool]) -> bytes:
    """Takes parts until they are enough to decide by, and returns them joined: of a pipe no more than needed."""
    head = next(parts, b"")
    while not is_enough(head) and (more := next(parts, b"")):
        head += more
    return head
