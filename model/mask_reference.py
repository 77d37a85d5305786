"""The definition of the first level of masking: token by token, slow and obvious. `mask_bytes.py` has to equal it."""

from __future__ import annotations

import re

from logwarden.model.mask_words import (
    BEFORE,
    CODE_ENDINGS,
    CODE_WORDS,
    ENHANCED,
    HEX,
    LEFT,
    LIBRARY_CODE,
    LONG,
    MAX_GAP,
    MIXED,
    NUMBERED,
    REPLIES,
    RIGHT,
    SHORT,
    STATE_IN_FRAME,
    TAIL,
    VENDORS,
    announced,
    spelled,
    unpainted,
)


def mask_reference(line: bytes) -> bytes:
    """Masks one line on the first level, token by token: slow, obvious, the oracle of `mask_blob`."""
    line = unpainted(line)
    return re.sub(rb"[0-9A-Za-z]+", lambda token: _masked(line, token.start(), token.end()), line)


def _masked(line: bytes, start: int, end: int) -> bytes:
    token = line[start:end]
    if token.isalpha():
        return token
    if (start, end) in spelled(line) or _is_in_signs(line, start, end):
        return token
    if token.isdigit():
        return token if _may_be_code(line, start, end) else b"*"
    if _is_hex_code(line, start, end) or re.fullmatch(rb"[1-5][xX][xX]|[A-Z]{3,7}[0-9]{3,5}[A-Z]", token):
        return token
    if NUMBERED.fullmatch(token):
        return token
    if word := re.fullmatch(rb"([A-Za-z]+)([0-9]+)", token):
        if word[1].lower().endswith(b"ipv") and len(word[2]) == 1:
            return token
        size = len(token)
        if re.fullmatch(rb"[a-f]{1,8}|[A-F]{1,8}", word[1]) and (word[1].islower() or size == 2 or size > HEX):
            return MIXED.encode()
        if word[1].isupper() and len(word[1]) <= TAIL and 3 <= len(word[2]) <= LONG:
            is_code = line[end : end + 1] in (b":", b"]", b")") or word[1] in VENDORS
            return token if is_code or _after_code_word(line, start) else word[1] + b"*"
        return word[1] + b"*"
    return MIXED.encode()


def _may_be_code(line: bytes, start: int, end: int) -> bool:
    """Returns True if the number may be a status or an error code."""
    size, before, after = end - start, line[start - 1 : start] if start else b"\n", line[end : end + 1] or b"\n"
    if (size <= SHORT or (9 <= size <= 10 and before == b"-")) and _after_code_word(line, start):
        return True
    if start in announced(line) or (2 <= size <= SHORT and re.match(rb"\[-[1-9][0-9]+\]", line[start - 2 : end + 1])):
        return True
    if _BEFORE_STATE.match(line, start) or (
        before == b"("
        and line[end : end + 2] == b"):"
        and re.search(rb"(?:\A|[\0- ])0[0-9]{4,5} \Z", line[: start - 1])
    ):
        return size == SHORT or before != b"("
    if size == 3 and int(line[start:end]) in REPLIES and before in LEFT and after in RIGHT:
        return True
    if size <= 3 and before + after in (b"(:", b"<>"):
        return True
    if size <= SHORT and before + after == b"()":
        behind = line[end + 1 : end + 2]
        if size <= 3 and not behind:
            return True
        if (behind.isalpha() and behind.isupper()) or (line[: start - 1].endswith(b": ") and behind in _AFTER_PAREN):
            return True
    if size <= SHORT and before + after == b"[]" and re.search(rb"[0-9]\] \[\Z", line[:start]):
        return True
    if any(found.start(1) <= start < found.end(1) for found in ENHANCED.finditer(line)):
        return True
    vendor = re.search(rb"(?<![0-9A-Za-z])[A-Z]{2,8}-\Z", line[max(0, start - 10) : start])
    if not vendor or not 3 <= size <= LONG:
        return False
    if vendor[0][:-1] in VENDORS:
        return True
    place = max(0, start - 10) + vendor.start()
    opening = line[place - 1 : place] if place else b""
    if opening + after in (b"[]", b"()") and size >= SHORT and line[start : start + 1] == b"0":
        return True
    return after == b":" or opening + after == b"<>"


_BEFORE_STATE = re.compile(rb"(?<![^\0- ])0[0-9]{4,5} \([0-9]{5}\):")
_AFTER_PAREN = tuple(bytes([c]) for c in b" abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ")


def _is_in_signs(line: bytes, start: int, end: int) -> bool:
    """Returns True for a state of SQL in brackets, and for a library's code between colons behind an `r`."""
    if not line[start : start + 1].isdigit() or not start:
        return False
    if end - start == 8 and line[start - 2 : start - 1] == b"r":
        return LIBRARY_CODE.match(line, start - 1) is not None
    return STATE_IN_FRAME.match(line, start - 1) is not None


def _after_code_word(line: bytes, start: int) -> bool:
    """Returns True if one of the two words before this place announces a code; "with" between them is no word."""
    if line[start - 1 : start] not in [bytes([b]) for b in BEFORE]:
        return False
    for step in range(3):
        gap = re.search(rb"[^0-9A-Za-z\n]*\Z", line[:start])
        assert gap
        word = re.search(rb"[A-Za-z]*\Z", line[: gap.start()])
        assert word
        if not 1 <= start - gap.start() <= MAX_GAP or not word[0] or line[: word.start()][-1:].isdigit():
            return False
        if word[0][-TAIL:].lower() in [w[-TAIL:] for w in CODE_WORDS] or word[0].lower().endswith(CODE_ENDINGS):
            return True
        if step == 1 and word[0] != b"with":
            return False
        start = word.start()
    return False


def _is_hex_code(line: bytes, start: int, end: int) -> bool:
    """Returns True for ``0x80070005`` and its like: up to eight digits after a word for codes, or a Windows failure."""
    token = line[start:end]
    if not 3 <= end - start <= 10 or token[:2] not in (b"0x", b"0X"):
        return False
    is_failure = end - start == 10 and re.match(rb"800|[Cc]000", token[2:])
    return bool(is_failure) or _after_code_word(line, start)
