"""Removes what a terminal obeys from a line: colours and other sequences, also where a shipper wrote them as text.

Other control characters become spaces.
"""

from __future__ import annotations

import re

import numpy as np

_ESCAPE = rb"(?:\x1b|\xc2\x9b|\\u001[bB]|\\x1[bB]|\\033|\\e(?=\[)|\^\[|#033|\xe2\x90\x9b)"
_SEQUENCES = re.compile(
    _ESCAPE + rb"(?:\[[0-?]{0,32}[ -/]{0,4}[@-~]"  # CSI: colours, cursor
    rb"|\][^\x07\x1b\n]{0,256}?(?:\x07|\x1b\\|\\u0007|\\x07|\\a|\^G|#007)"  # OSC: titles, links
    rb"|[PX^_][^\x1b\n]{0,256}?\x1b\\"  # DCS and other strings
    rb"|[()*+][0-9A-B]|[=>78cDEHMNOZ])"
)
_C1 = re.compile(rb"\xc2\x9b[0-?]{0,32}[@-~]")
_WRITTEN = (b"1b[", b"1B[", b"33[", b"^[", b"\\e[", b"\xe2\x90\x9b")
# A shipper dropped the escape character, or replaced it: colours are there only together with their end.
_TORN = re.compile(rb"(?:\xef\xbf\xbd|\?)?\[[0-9]{1,3}(?:;[0-9]{1,3}){0,5}m")
_TORN_START = re.compile(rb"\[(?:[0-9];){0,2}(?:1|4|[39][0-7]|38;[0-9;]{1,16})m")
_TORN_ENDS = (b"[0m", b"[39m", b"[0;39m", b"[00m")
CONTROLS = bytes(c for c in range(32) if c not in b"\t\n") + b"\x7f"
_TO_SPACES = bytes(0x20 if c in CONTROLS else c for c in range(256))
_BEFORE = np.isin(np.arange(256), list(b"bB3e^["))
_BEHIND = np.isin(np.arange(256), list(b"03"))
_SUSPECT = re.compile(rb"[\x00-\x08\x0b-\x1f\x7f]|\[[03]|[bB3e^]\[")
_HIGH_CONTROLS = re.compile(rb"\xc2[\x80-\x9f]|\xe2\x80[\xa8-\xae]|\xe2\x81[\xa6-\xa9]")  # and marks of direction


def is_calm(line: bytes) -> bool:
    """Returns True if `plain` certainly leaves a line as it is."""
    return line.isascii() and _SUSPECT.search(line) is None


def is_plain(text: bytes) -> bool:
    """Returns True if `plain` leaves the lines of a text as they are. One look at many lines costs less than many."""
    if not text.isascii():
        return False
    raw = np.frombuffer(text, np.uint8)
    if np.count_nonzero(raw < 32) != text.count(b"\t") + text.count(b"\n") or b"\x7f" in text:
        return False
    # Of "x[0m y" the bracket is at 1; the bytes around brackets show whether a sequence is possible.
    brackets = np.flatnonzero(raw[1:-1] == ord("["))
    if not (_BEFORE[raw[brackets]].any() or _BEHIND[raw[brackets + 2]].any() or text[:1] == b"["):
        return True
    return not any(mark in text for mark in (*_WRITTEN, *_TORN_ENDS))


def is_plain_line(line: bytes) -> bool:
    """Returns True if `plain` leaves a line as it is, by a quick look; False for most lines with a bracket."""
    return b"[" not in line and line.isascii() and len(line.translate(None, CONTROLS)) == len(line)


def plain(line: bytes) -> bytes:
    """Returns a line of UTF-8 without terminal sequences, and with spaces for other control characters."""
    if b"\x1b" in line or b"\xc2\x9b" in line or (b"[" in line and any(mark in line for mark in _WRITTEN)):
        line = _C1.sub(b"", _SEQUENCES.sub(b"", line))
    if (b"[0" in line or b"[39m" in line) and any(end in line for end in _TORN_ENDS) and _TORN_START.search(line):
        line = _TORN.sub(b"", line)
    if b"\r" in line:
        line = line.replace(b"\r\n", b"\n")
    line = line.translate(_TO_SPACES)
    return line if line.isascii() else _HIGH_CONTROLS.sub(b" ", line)
