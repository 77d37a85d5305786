"""The vectorised masking equals its reference, byte for byte, on any text."""

from __future__ import annotations

from hypothesis import example, given
from hypothesis import strategies as st

from logwarden.model.masking import MAX_CANONICAL_CHARS, canonical, line_hash, mask_blob, mask_line, mask_reference

# What the rules look at, close together, beside text of any script.
PIECES = st.sampled_from(
    [
        *"0123456789",
        *" =:\"'_-./",
        "status",
        "CODE",
        "errno",
        "err",
        "rc",
        "src",
        '" ',
        '": ',
        "200",
        "503",
        "a",
        "é",
        "中",
        *("код", "错误代码", "%LINK-3-", "%ASA-4-106023:", "0x40", "E404", "EAEC041802", "-1073741819", "kodu"),
    ]
)
FRAMES = st.sampled_from(
    [
        *("SQLSTATE ", "sqlstate: ", "ABEND=", "S0C7", "%%01IF/4/", "reason=", "exit with ", "[HY000] [", "] [2002]"),
        *(
            "[08S01]",
            "(42S02)",
            "[-602]",
            "[-0500]",
            "000604 ",
            "(57014): ",
            "error:0A000086:",
            "error:02001002:",
            "r:",
        ),
        *("ORA-00600 ", "CPF4131", " ", "-00600", "HASP", "$HASP375 ", "MQRC ", "returning "),
        *("0x80070005", "5xx", "ANR2034E", "IPv4", "550 5.7.1 ", "(13) ", "(13)", "<34>", "[ORA-00600]", "kod "),
    ]
)
"""What rules for whole phrases look at."""
LINES = st.one_of(
    st.lists(PIECES, max_size=14).map("".join),
    st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\n"), max_size=40),
)
FRAMED_LINES = st.lists(st.one_of(PIECES, FRAMES), max_size=14).map("".join)


@given(st.lists(st.one_of(LINES, FRAMED_LINES), min_size=1, max_size=12))
@example(["status", "=503", '" 200'])
@example(["rc=5", "5", "", "err 1"])
@example(["kod 5", "é"])
@example(["000604 (57014): x", "a 000604 (57014): x", "7000604 (57014): x", "000604  (57014): x"])
@example(["[-602] x", "[-0602] x", "[-6] x", "[-602", "(-602) x"])
@example(["[08S01] x", "[08S01", "(0A000) x", "[0A001] x", "08S01"])
@example(["error:0A000086:x", "error:02001002:x", "error:0A000086", "error:0a000086:x", "k:0A000086:x", "r:1408F10B:"])
@example(["ORA-00600 x", "KLM-00600 x", "CPF4131 x", "KLM4131 x", "aCPF4131 x", "1CPF4131", "XORA-00600 x"])
@example(["x (49)", "x (49) y", "x (4900)", "(49)", "(49", "x (49)\r"])
@example(["[HY000] [2002] refused", "ABC-123: x", "<ABC-123> y", "(ABC-00123) z", "f: (13) x", "a (13: b"])
def test_the_fast_masking_is_the_reference(lines: list[str]) -> None:
    """A blob of lines is masked exactly as its lines are one by one, and contains as many."""
    raw = [line.encode() for line in lines]
    assert mask_blob(b"\n".join(raw) + b"\n") == [mask_reference(line) for line in raw]


@given(st.lists(st.binary(max_size=40).map(lambda b: b.replace(b"\n", b"").replace(b"\xff", b"")), min_size=1))
def test_bytes_that_are_no_text_are_masked_alike(lines: list[bytes]) -> None:
    """Broken characters and NUL bytes are neither letters nor digits, in both maskings. (UTF-8 has no byte 0xFF.)"""
    assert mask_blob(b"\n".join(lines) + b"\n") == [mask_reference(line) for line in lines]


@given(LINES)
def test_masking_is_stable(line: str) -> None:
    """A masked line contains nothing more to mask at the first level, except codes that it keeps again."""
    once = mask_reference(line.encode())
    assert mask_reference(once) == once


@given(LINES)
def test_a_canonical_text_is_short_trimmed_and_has_a_64_bit_name(line: str) -> None:
    """The encoder's input is bounded and on one line, and its hash fits a database's integer."""
    text = mask_line(line)
    assert text == canonical(mask_reference(line.encode()))
    assert len(text) <= MAX_CANONICAL_CHARS
    assert text == text.strip()
    assert not set("\n\r\t\0") & set(text)
    assert -(2**63) <= line_hash(text) < 2**63
