"""Removes what a terminal obeys from a line: colours and other sequences, also where a shipper wrote them as text.

Other control characters become spaces, and tabs that a syslog server wrote as text become tabs.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

import numpy as np

from logwarden.model.arrays import Bools, Ints

_ESCAPE = rb"(?:\x1b|\xc2\x9b|\\u001[bB]|\\x1[bB]|\\033|\\e(?=\[)|\^\[|#033|<ESC>(?=\[)|\xe2\x90\x9b)"
_SEQUENCES = re.compile(
    _ESCAPE + rb"(?:\[[0-?]{0,32}[ -/]{0,4}[@-~]"  # CSI: colours, cursor
    rb"|\][^\x07\x1b\n]{0,256}?(?:\x07|\x1b\\|\\u0007|\\x07|\\a|\^G|#007)"  # OSC: titles, links
    rb"|[PX^_][^\x1b\n]{0,256}?\x1b\\"  # DCS and other strings
    rb"|[()*+][0-9A-B]|[=>78cDEHMNOZ])"
)
_WRITTEN = (b"1b[", b"1B[", b"33[", b"^[", b"\\e[", b"C>[", b"\xe2\x90\x9b")
_WRITTEN_ENDS = (b"1b", b"1B", b"33", b"^", b"\\e", b"C>")
_C1 = re.compile(rb"\xc2\x9b[0-?]{0,32}[@-~]")
# A shipper dropped the escape character, or replaced it: colours are there only together with their end.
_TORN = re.compile(rb"(?:\xef\xbf\xbd|\?)?\[[0-9]{1,3}(?:;[0-9]{1,3}){0,5}m")
_TORN_START = re.compile(rb"\[(?:[0-9];){0,2}(?:1|4|[39][0-7]|38;[0-9;]{1,16})m")
_TORN_ENDS = (b"[0m", b"[39m", b"[0;39m", b"[00m")
_TORN_STARTS = frozenset((b"0m", b"0;", b"00", b"39"))
CONTROLS = bytes(c for c in range(32) if c not in b"\t\n") + b"\x7f"
_TO_SPACES = bytes(0x20 if c in CONTROLS else c for c in range(256))
_WRITTEN_TAB = b"#011"
_WRITTEN_TABS = re.compile(rb"(?m)(?:^|(?<=: ))(?:#011)+(?=\S)")
"""How syslog servers write the tabs before a frame of a trace. Elsewhere such a text may be the number of an order."""
_CHANGED = np.array([c > 126 or (c < 32 and c not in b"\t\n") for c in range(256)])


def _pairs(pairs: Iterable[bytes]) -> Bools:
    return np.isin(np.arange(65_536), [256 * pair[0] + pair[1] for pair in pairs if len(pair) == 2])


_IS_MARK, _IS_TORN = _pairs(_WRITTEN_ENDS), _pairs(_TORN_STARTS)
_IS_MARK[ord("^") :: 256] = True
_HIGH_CONTROLS = re.compile(rb"\xc2[\x80-\x9f]|\xe2\x80[\x8b\xa8-\xae]|\xe2\x81[\xa6-\xa9]|\xef\xbb\xbf")
"""And marks of direction, a space without width, a byte order mark inside a text."""


def unplain(texts: Sequence[bytes]) -> set[int]:
    """Returns the places of the texts that `plain` may change. One look at many texts costs less than many."""
    blob = b"\n\n".join(texts) + b"\n\n"
    raw = np.frombuffer(blob, np.uint8)
    suspect: list[Ints] = []
    few = np.count_nonzero(raw < 32) == blob.count(b"\t") + blob.count(b"\n")
    if not (few and blob.isascii() and b"\x7f" not in blob):
        suspect.append(np.flatnonzero(_CHANGED[raw]))
    # Of "x33[0m y" the bracket is at 3; the two bytes before it and behind it show whether a sequence is possible.
    brackets = np.flatnonzero(raw == ord("["))
    before, behind = (raw[brackets + at].astype(np.int64) * 256 + raw[brackets + at + 1] for at in (-2, 1))
    suspect.append(brackets[_IS_MARK[before] | _IS_TORN[behind]])
    if _WRITTEN_TAB in blob:
        suspect.append(np.array([found.start() for found in re.finditer(_WRITTEN_TAB, blob)]))
    places = np.concatenate(suspect)
    if not len(places):
        return set()
    # Texts of 3, 0 and 2 bytes: the blob's parts end at 5, 7 and 11, so a bracket at 8 is in the third one.
    ends = np.cumsum(np.fromiter(map(len, texts), np.int64, len(texts)) + 2)
    return set(np.searchsorted(ends, places, "right").tolist())


def is_plain_line(line: bytes) -> bool:
    """Returns True if `plain` leaves a line as it is, by a quick look."""
    if not line.isascii() or len(line.translate(None, CONTROLS)) != len(line):
        return False
    return _WRITTEN_TAB not in line and (b"[" not in line or not _may_have_sequence(line))


def _may_have_sequence(line: bytes) -> bool:
    """Returns False if no bracket of a line of ASCII has an escape, or the rest of one, beside it."""
    # A look at the bytes beside each bracket: to search for ten short texts takes ten times as long.
    place = line.find(b"[")
    while place >= 0:
        if line[max(0, place - 2) : place].endswith(_WRITTEN_ENDS) or line[place + 1 : place + 3] in _TORN_STARTS:
            return True
        place = line.find(b"[", place + 1)
    return False


def plain(line: bytes) -> bytes:
    """Returns a line of UTF-8 without terminal sequences, and with spaces for other control characters."""
    if _WRITTEN_TAB in line:
        line = _WRITTEN_TABS.sub(lambda found: b"\t" * (len(found[0]) // len(_WRITTEN_TAB)), line)
    if line.isascii() and b"\x1b" not in line and (b"[" not in line or not _may_have_sequence(line)):
        line = line.replace(b"\r\n", b"\n") if b"\r" in line else line
        return line.translate(_TO_SPACES)
    if b"\x1b" in line or b"\xc2\x9b" in line or (b"[" in line and any(mark in line for mark in _WRITTEN)):
        line = _C1.sub(b"", _SEQUENCES.sub(b"", line))
    if any(end in line for end in _TORN_ENDS) and _TORN_START.search(line):
        line = _TORN.sub(b"", line)
    if b"\r" in line:
        line = line.replace(b"\r\n", b"\n")
    line = line.translate(_TO_SPACES)
    return line if line.isascii() else _HIGH_CONTROLS.sub(b" ", line)
