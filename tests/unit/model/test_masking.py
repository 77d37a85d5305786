"""Masking by example: what is kept, what becomes a star, what two lines may never share."""

from __future__ import annotations

import pytest

from logwarden.model.masking import MAX_CANONICAL_CHARS, canonical, line_hash, mask_blob, mask_line, mask_reference


def masked(line: str) -> str:
    return mask_blob(line.encode() + b"\n")[0].decode()


@pytest.mark.parametrize(
    ("line", "kept"),
    [
        ('"GET / HTTP/1.1" 503 12', '"GET / HTTP/*.*" 503 *'),
        ('"GET / HTTP/1.1" 503', '"GET / HTTP/*.*" 503'),
        ("status=503", "status=503"),
        ("status=503 flags=UF", "status=503 flags=UF"),  # a key behind it is no unit, as in "returned 3 rows"
        ("rc=137 retries=3", "rc=137 retries=*"),
        ("Status: 404", "Status: 404"),
        ("http_status=200 took 12 ms", "http_status=200 took * ms"),
        ("RESULT err=49 tag=97", "RESULT err=49 tag=*"),
        ("child died, exit code 1", "child died, exit code 1"),
        ('{"code": 7, "id": 7}', '{"code": 7, "id": *}'),
        ("rc='12'", "rc='12'"),
        ("errno:5", "errno:5"),
    ],
)
def test_status_and_error_codes_are_evidence(line: str, kept: str) -> None:
    """A short number where a status or error code stands is kept: 200 turning into 503 is the news."""
    assert masked(line) == kept
    assert mask_reference(line.encode()) == kept.encode()


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("src=1", "src=*"),  # ends in "rc", is no return code
        ("myerr=7", "myerr=*"),
        ("status=503000", "status=*"),  # too long for a code
        ("status=50a", "status=\x01"),
        ('"GET / HTTP/1.1" 612', '"GET / HTTP/*.*" *'),  # no HTTP status begins with 6
        ('"GET / HTTP/1.1" 200ms', '"GET / HTTP/*.*" \x01'),
        ('"GET / HTTP/1.1" 200%', '"GET / HTTP/*.*" *%'),
        ("10.251.43.191:50010", "*.*.*.*:*"),
        ("blk_-1608999687919862906 done", "blk_-* done"),  # a word that is joined to a number stays
        ("job-4711-failed", "job-*-failed"),
        ("8WqijRX6J1D and c0ffee12", "\x01 and \x01"),  # ids are no numbers
        ("", ""),
        ("no digits at all", "no digits at all"),
    ],
)
def test_other_numbers_become_stars(line: str, expected: str) -> None:
    """Identifiers, addresses and amounts differ from line to line and say nothing of its kind."""
    assert masked(line) == expected
    assert mask_reference(line.encode()) == expected.encode()


def test_a_code_word_on_the_line_before_keeps_nothing() -> None:
    """Lines of a blob are masked each on its own: the end of one is not the beginning of the next."""
    assert mask_blob(b"status\n=53\nerr\n 49\ncode=\n7\n") == [b"status", b"=*", b"err", b" *", b"code=", b"*"]


def test_an_empty_blob_holds_no_line() -> None:
    """No bytes are no lines, while a lone newline is one empty line."""
    assert mask_blob(b"") == []
    assert mask_blob(b"\n\n") == [b"", b""]


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("service activated", "service deactivated"),
        ("node registered", "node deregistered"),
        ("test passed", "test failed"),
        ("status=200", "status=503"),
        ("job exited with code 0", "job exited with code 1"),
        ("Failed password for root from 10.0.0.1", "Accepted password for root from 10.0.0.1"),
    ],
)
def test_opposites_stay_apart(one: str, other: str) -> None:
    """Two lines that say the opposite never become one masked line."""
    assert mask_line(one) != mask_line(other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Mon Jan 12 03:04:05 2024 up", "Tue Feb 3 23:59:59 2025 up"),
        ("10.0.0.1 - - [11/Apr/2023:22:11:41 +0000] hi", "192.168.7.9 - - [01/Dec/2024:00:00:00 -0700] hi"),
        ('"GET /a/b?x=1 HTTP/1.1" 200 5', '"GET /other HTTP/1.0" 200 77'),
        ("open /var/log/nginx/access.log", "open /srv/data/thing.txt"),
        ("session opened for user alice from 1.2.3.4", "session opened for user bob from 4.3.2.1"),
        ("fetch http://a.example/x", "fetch https://b.example:8443/y?z"),
    ],
)
def test_lines_of_one_kind_become_one_text(one: str, other: str) -> None:
    """Dates, addresses, paths, URLs and user names do not make a line another line."""
    assert mask_line(one) == mask_line(other)


def test_a_request_keeps_its_method() -> None:
    """DELETE is not GET, whatever the target."""
    assert mask_line('"GET /x HTTP/1.1" 200 1') != mask_line('"DELETE /x HTTP/1.1" 200 1')


def test_a_canonical_text_is_bounded() -> None:
    """A line of ten megabytes costs the encoder no more than a long one."""
    assert len(canonical(b"word " * 2_000_000)) <= MAX_CANONICAL_CHARS


def test_the_hash_of_a_text_never_changes() -> None:
    """State written by another process, machine or release names lines by these very numbers."""
    assert line_hash("Receiving block * src: * dest: *") == 3472858660940894763
