"""Files as text: encodings, line ends, endless lines, and what is refused."""

from __future__ import annotations

import codecs
import gzip
import io
import os
import random
import sqlite3
import sys
import tarfile
import zipfile
from pathlib import Path
from types import SimpleNamespace

import pytest

from logwarden.daemon.commands import reading
from logwarden.daemon.commands.reading import STDIN, LogFile, Unreadable

LINES = ["2026-11-23 10:00:00 GET /cart 200", "fehler: größe überschritten", "磁盘空间不足", "ошибка диска"]


def written(folder: Path, content: bytes, name: str = "app.log") -> Path:
    path = folder / name
    path.write_bytes(content)
    return path


def lines_of(path: Path) -> list[str]:
    file = LogFile(path)
    numbered = [line for part in file.lines() for line in part]
    assert [line.number for line in numbered] == list(range(len(numbered)))
    assert file.damage is None
    return [line.text.decode() for line in numbered]


@pytest.mark.parametrize(
    ("mark", "charset"),
    [
        (b"", "utf-8"),
        (codecs.BOM_UTF8, "utf-8"),
        (codecs.BOM_UTF16_LE, "utf-16-le"),
        (codecs.BOM_UTF16_BE, "utf-16-be"),
        (codecs.BOM_UTF32_LE, "utf-32-le"),
        (codecs.BOM_UTF32_BE, "utf-32-be"),
        (b"", "utf-16-le"),
        (b"", "utf-16-be"),
    ],
)
@pytest.mark.parametrize("part_bytes", [7, 1 << 18])
def test_a_text_is_read_in_its_encoding(
    tmp_path: Path, mark: bytes, charset: str, part_bytes: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A mark, or the zeros of UTF-16, name the encoding, and no character is torn between two reads."""
    if mark or charset == "utf-8":
        monkeypatch.setattr(reading, "PART_BYTES", part_bytes)
    content = mark + "\n".join(LINES).encode(charset)
    assert lines_of(written(tmp_path, content)) == LINES
    assert lines_of(written(tmp_path, gzip.compress(content))) == LINES


@pytest.mark.parametrize("charset", ["utf-16-le", "utf-16-be"])
@pytest.mark.parametrize("line", LINES)
def test_utf_16_without_a_mark_is_recognised_in_every_language(tmp_path: Path, charset: str, line: str) -> None:
    """A text without a Latin letter still has the line ends of ASCII."""
    assert lines_of(written(tmp_path, f"{line}\r\n{line}\r\n".encode(charset))) == [f"{line}\r"] * 2


@pytest.mark.parametrize("charset", ["gbk", "latin-1", "cp1251"])
def test_other_encodings_reach_the_decoder_as_they_are(tmp_path: Path, charset: str) -> None:
    """An encoding of 8 bits is the record decoder's business, and no reason to refuse a file."""
    text = "größe" if charset == "latin-1" else "ошибка диска"
    content = f"{text}\n".encode(charset) * 3
    (part,) = LogFile(written(tmp_path, content)).lines()
    assert [line.text for line in part] == [text.encode(charset)] * 3


@pytest.mark.parametrize("part_bytes", [3, 1 << 18])
def test_line_ends_of_all_systems_end_lines(tmp_path: Path, part_bytes: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Returns alone end lines where no newline does; a progress bar between newlines stays one line."""
    monkeypatch.setattr(reading, "PART_BYTES", part_bytes)
    assert lines_of(written(tmp_path, b"one\rtwo\rthree")) == ["one", "two", "three"]
    assert [line.rstrip("\r") for line in lines_of(written(tmp_path, b"one\r\ntwo\r\n"))] == ["one", "two"]
    assert lines_of(written(tmp_path, b"start\n10 %\r20 %\r30 %\nend")) == ["start", "10 %\r20 %\r30 %", "end"]


@pytest.mark.parametrize("content", [b"", b"\n", b"\n\nx", b"x\n", b"x"])
def test_empty_lines_and_ends_are_numbered(tmp_path: Path, content: bytes) -> None:
    """Numbers are those of an editor."""
    assert (
        lines_of(written(tmp_path, content))
        == content.decode().split("\n")[: content.count(b"\n") + (content[-1:] == b"x")]
    )


def test_a_missing_line_break_does_not_fill_the_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of an endless line only the beginning is kept, and the next line is read in full."""
    monkeypatch.setattr(reading, "PART_BYTES", 16)
    monkeypatch.setattr(reading, "LONGEST_LINE_BYTES", 32)
    first, second = lines_of(written(tmp_path, b"x" * 200_000 + b"\nshort\n"))
    assert len(first) <= 70_000
    assert second == "short"


def test_a_truncated_archive_names_its_damage(tmp_path: Path) -> None:
    """The damage is known after the last line that could be read."""
    content = gzip.compress(b"first\n" + os.urandom(5_000).hex().encode())
    file = LogFile(written(tmp_path, content[:-100]))
    assert next(file.lines())[0].text == b"first"
    assert [line.number for part in file.lines() for line in part][:1] == [0]
    assert file.damage == "its gzip data ends too early"


def binaries(folder: Path) -> dict[str, bytes]:
    """Returns what people pass by mistake, by the words that name it."""
    tar, packed = io.BytesIO(), io.BytesIO()
    with tarfile.open(fileobj=tar, mode="w") as archive:
        archive.addfile(tarfile.TarInfo("app.log"), io.BytesIO())
    with zipfile.ZipFile(packed, "w") as zipped:
        zipped.writestr("app.log", "text")
    with sqlite3.connect(folder / "base") as base:
        base.execute("create table t (x)")
    return {
        "a tar archive": tar.getvalue(),
        "a zip archive": packed.getvalue(),
        "a database": (folder / "base").read_bytes(),
        "a program": Path(sys.executable).resolve().read_bytes()[:100_000],
        "binary: pass": random.Random(1).randbytes(3_000),
        "binary: it contains only zeros": bytes(5_000),
        "an Avro file": b"Obj\x01\x04\x16avro.schema\xf2\x0b" + b'{"type":"record"}' * 40 + b"\0",
        "packed twice": gzip.compress(gzip.compress(b"text")),
    }


def test_what_is_no_text_is_refused(tmp_path: Path) -> None:
    """Each kind is named, packed or not, whatever the file's name."""
    for words, content in binaries(tmp_path).items():
        for stored in (content, gzip.compress(content)):
            if words == "packed twice" and stored is not content:
                continue
            with pytest.raises(Unreadable, match=words) as error:
                LogFile(written(tmp_path, stored))
            assert error.value.is_binary


def test_odd_texts_are_no_binaries(tmp_path: Path) -> None:
    """Colours, bells, FIX messages, a stray zero and the zeros of a truncated log are all in real logs."""
    fix = b"8=FIX.4.2\x019=65\x0135=A\x0149=SERVR\x0156=CLNT\x0134=177\x01\n" * 20
    for content in (
        b"\x1b[31mERROR\x1b[0m disk full\a\n",
        fix,
        b"fine\n" * 50 + b"a\0b\n",
        bytes(100_000) + b"fine again\n",
        "\x85\u2028 \ufeff".encode() + b"\n",
        b"\xff\xfe broken utf-8 \x80\n",
    ):
        assert [line for part in LogFile(written(tmp_path, content)).lines() for line in part]


def test_a_folder_and_a_missing_file_cannot_be_read(tmp_path: Path) -> None:
    """The reason is the system's."""
    for path, reason in ((tmp_path, "Is a directory"), (tmp_path / "none", "No such file or directory")):
        with pytest.raises(Unreadable, match=f"cannot be read: {reason}") as error:
            LogFile(path)
        assert not error.value.is_binary


@pytest.mark.parametrize("content", [b"one\ntwo\n", gzip.compress(b"one\ntwo\n"), "one\ntwo\n".encode("utf-16")])
@pytest.mark.parametrize("is_pipe", [True, False])
def test_standard_input_is_read_like_a_file(content: bytes, is_pipe: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """A pipe is read once; standard input from a file can be read again."""

    class Stream(io.BytesIO):
        def seekable(self) -> bool:
            return not is_pipe

    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=Stream(content)))
    file = LogFile(STDIN)
    for _ in range(1 if is_pipe else 2):
        assert [line.text for part in file.lines() for line in part] == [b"one", b"two"]
    assert file.can_be_read_again is not is_pipe


def test_a_named_pipe_is_read_while_it_is_written(tmp_path: Path) -> None:
    """The first line comes out before the writer has ended."""
    path = tmp_path / "pipe"
    os.mkfifo(path)
    writer = os.open(path, os.O_RDWR)
    os.write(writer, b"first\n")
    lines = LogFile(path).lines()
    assert [line.text for line in next(lines)] == [b"first"]
    os.write(writer, b"second\n")
    assert [line.text for line in next(lines)] == [b"second"]
    os.close(writer)
