"""The first level of masking, over a whole batch at once: most of what varies goes, whatever may be a code stays.

Tokens without a digit stay. Of the others `mask_runs.py` decides which bytes go; this file finds the runs' bytes, and
puts the signs for what is gone into their place. The second level decides which of the numbers that are left are codes;
it reads only what is left here.

To compare all bytes with one costs a thirtieth of taking a byte beside every token: numpy compares many bytes at once,
but follows one index at a time. So bytes are compared first, and only what they leave is looked at token by token.

`mask_reference.py` is the definition, token by token; tests compare `mask_blob` with it. Knows no texts, only bytes.
"""

from __future__ import annotations

import numpy as np

from logwarden.model.arrays import Bools, Bytes
from logwarden.model.mask_frames import CAPITAL, SIGNS, has
from logwarden.model.mask_runs import Runs
from logwarden.model.mask_words import MIXED, announced, spelled, unpainted

_DELETED = 0xFF  # never occurs in UTF-8, so it can mark the bytes to drop
_STAR = ord("*")
_HEAD, _TAIL = b"\n " * 8 + b"\n", b" \n" * 8
"""Runs of nothing around a blob, so that every run and every byte has neighbours that can be looked at."""
_HEAD_LINES, _TAIL_LINES = _HEAD.count(b"\n"), _TAIL.count(b"\n")


def mask_blob(blob: bytes) -> list[bytes]:
    """Masks many lines on the first level at once.

    `blob` consists of lines that each end in a newline and have none inside. Returns one masked line for each, equal
    to `mask_reference` of it. A microsecond per line of 120 bytes; no Python loop over lines or tokens.
    """
    if not blob:
        return []
    assert blob.endswith(b"\n"), "every line of the blob ends in a newline"
    # "ab12 x9y" and a newline:
    #   digit      0011 0 010 0
    #   gone       0011 0 111 0      of "ab12" only the number, of "x9y" all three runs
    #   first      0010 0 100 0      the first byte of what is gone becomes a star, the others are deleted
    #   out        "ab*" " " "*"
    blob = b"".join((_HEAD, unpainted(blob), _TAIL))
    raw = np.frombuffer(blob, np.uint8)
    signs = np.frombuffer(blob.translate(SIGNS), np.uint8)
    gone, mixed = Runs(raw, signs).gone(*_rare_codes(blob, raw, signs))
    first = gone.copy()
    first[1:] &= ~gone[:-1]
    out = raw | (gone.view(np.uint8) * np.uint8(_DELETED))
    out -= first.view(np.uint8) * np.uint8(_DELETED - _STAR)
    out[mixed.compress(first.take(mixed))] = ord(MIXED)
    return out.tobytes().translate(None, bytes([_DELETED])).split(b"\n")[_HEAD_LINES : -_TAIL_LINES - 1]


def _rare_codes(blob: bytes, raw: Bytes, signs: Bytes) -> tuple[list[int], list[tuple[int, int]]]:
    """Returns what `announced` and `spelled` do. They read only lines in which a part of one of their words stands."""
    small = raw | np.uint8(0x20)
    device = (raw == ord("%"))[:-1] & ((raw[1:] == ord("%")) | has(signs[1:], CAPITAL))
    found = _are(small, b"qlst") | _are(small, b"bend") | device[:-2] | (raw[:-3] > 127)
    places = np.flatnonzero(found)
    codes: list[int] = []
    spans: list[tuple[int, int]] = []
    number = 0
    while number < len(places):
        begin, end = blob.rfind(b"\n", 0, places[number]) + 1, blob.index(b"\n", places[number])
        line = blob[begin:end]
        codes += [begin + place for place in announced(line)]
        spans += [(begin + first, begin + last) for first, last in spelled(line)]
        number = int(np.searchsorted(places, end))
    return codes, spans


def _are(raw: Bytes, text: bytes) -> Bools:
    """Returns for each byte whether this text begins there; shorter by the text's length but one."""
    size = len(raw) - len(text) + 1
    found = raw[:size] == text[0]
    for place, byte in enumerate(text[1:], 1):
        found &= raw[place : place + size] == byte
    return np.asarray(found)
