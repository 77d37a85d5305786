"""Replaces the variable parts of log lines ("masking"), so that lines of one kind become one text.

Two levels. `mask_blob` runs on every line and is vectorised over a whole batch: a token of
``[0-9A-Za-z_-]`` with a digit in it becomes ``*``, unless it is a short number in a place where status and
error codes stand (200 turning into 503 is evidence). `canonical` runs once per distinct result of the first
level and may therefore be slow: dates, addresses, paths, URLs, user names, lists.
The second level reads only the first level's output, so one key always has one canonical text.

Knows nothing of line ids, services or tensors. `mask_reference` is the definition; tests compare `mask_blob` with it.
"""

from __future__ import annotations

import hashlib
import re

import numpy as np

from logwarden.model.arrays import Bools, Bytes, Ints

VERSION = 1
"""Stored beside anything keyed by masked lines; raised when a rule changes, because old keys then mean nothing."""

MAX_CANONICAL_CHARS = 240
"""Twice what the line encoder reads; a longer tail is stack frames and dumps, which differ without meaning."""

_DIGIT, _WORD = 2, 1
_CLASSES = bytes(
    _DIGIT if chr(c).isdigit() and c < 128 else _WORD if c < 128 and (chr(c).isalpha() or chr(c) in "_-") else 0
    for c in range(256)
)
_DELETED = 0xFF  # never occurs in UTF-8, so it can mark the bytes to drop
_STAR = ord("*")

# A number of one to three digits is kept after one of these words: "status=503", "exit code 1", "err: 49".
# `err` and `rc` count only as whole words ("src=1" is no return code); the others also as endings ("status_code").
_CODE_ENDINGS = (b"status", b"code", b"errno")
_CODE_WORDS = (b"err", b"rc")
_BEFORE_CODE = re.compile(
    rb"""(?i)(?:status|code|errno|(?<![0-9A-Za-z_-])(?:err|rc))(?:[=: ]|["'][=: ]|[=:]["' ]|["'][=:]["' ])\Z"""
)


def mask_reference(line: bytes) -> bytes:
    """Masks one line on the first level, token by token: slow, obvious, the oracle of `mask_blob`."""
    out, at = [], 0
    for token in re.finditer(rb"[0-9A-Za-z_-]+", line):
        out.append(line[at : token.start()])
        at = token.end()
        out.append(token[0] if not re.search(rb"[0-9]", token[0]) or _is_code(line, token) else b"*")
    return b"".join(out) + line[at:]


def _is_code(line: bytes, token: re.Match[bytes]) -> bool:
    if not re.fullmatch(rb"[0-9]{1,3}", token[0]):
        return False
    before = line[: token.start()]
    after = line[token.end() : token.end() + 1]
    # the status position of an access log: ... HTTP/1.1" 200 612
    if re.fullmatch(rb"[1-5][0-9]{2}", token[0]) and before.endswith(b'" ') and after in (b"", b" "):
        return True
    return _BEFORE_CODE.search(before) is not None


def mask_blob(blob: bytes) -> list[bytes]:
    """Masks many lines on the first level at once.

    `blob` consists of lines that each end in a newline and have none inside. Returns one masked line for each, equal
    to `mask_reference` of it. About a microsecond per line of 140 bytes; no Python loop over lines or tokens.
    """
    if not blob:
        return []
    assert blob.endswith(b"\n"), "every line of the blob ends in a newline"
    # "a 17=x2" and a newline, 8 bytes:
    #   ends       1 4 7        every byte that is in no token ends a token before it, which may be empty
    #   starts     0 2 5        of the tokens "a", "17", "x2"
    #   masked     0 1 1        tokens with a digit
    #   out        "a *=*" and the newline: first bytes become stars, the other bytes of these tokens are deleted
    raw = np.frombuffer(blob, np.uint8)
    classes = np.frombuffer(blob.translate(_CLASSES), np.uint8)
    ends = np.flatnonzero(classes == 0)
    starts = np.empty_like(ends)
    starts[0] = 0
    np.add(ends[:-1], 1, out=starts[1:])
    masked = np.maximum.reduceat(classes, starts) == _DIGIT
    lengths = ends - starts
    masked[_code_tokens(raw, classes, starts, lengths, masked)] = False
    dropped = np.repeat(masked, np.diff(ends, prepend=-1))
    dropped[ends] = False
    out = raw | (dropped.view(np.uint8) * np.uint8(_DELETED))
    out[starts[masked]] = _STAR
    return out.tobytes().translate(None, bytes([_DELETED])).split(b"\n")[:-1]


def _code_tokens(
    raw: Bytes,
    classes: Bytes,
    starts: Ints,
    lengths: Ints,
    masked: Bools,
) -> Ints:
    """Indices of the masked tokens that are status or error codes and stay as they are."""
    near = np.flatnonzero(masked & (lengths <= 3) & (starts >= 2))
    before = raw[starts[near] - 1]
    # Only these bytes can stand before a code; it rules out the octets of addresses at once.
    near = near[(before == 0x20) | (before == 0x3D) | (before == 0x3A) | (before == 0x22) | (before == 0x27)]
    if not len(near):
        return np.asarray(near)
    at, size = starts[near], lengths[near]
    digits = classes[at] == _DIGIT
    for place in (1, 2):  # every byte of the token is a digit
        digits &= (size <= place) | (classes[np.minimum(at + place, len(raw) - 1)] == _DIGIT)
    near, at, size = near[digits], at[digits], size[digits]
    # Ten bytes before the token, nearest first, lower case; positions before the blob read as newline.
    back = at[:, None] - np.arange(1, 11)
    text = np.where(back >= 0, raw[np.maximum(back, 0)], 10)
    text = np.where((text >= 65) & (text <= 90), text + 32, text).astype(np.uint8)
    return np.asarray(near[_in_status_position(raw, text, at, size) | _after_code_word(text)])


def _in_status_position(raw: Bytes, text: Bytes, at: Ints, size: Ints) -> Bools:
    follows = raw[np.minimum(at + size, len(raw) - 1)]
    first = raw[at]
    return np.asarray(
        (text[:, 0] == 0x20)
        & (text[:, 1] == 0x22)
        & (size == 3)
        & (first >= 0x31)
        & (first <= 0x35)
        & ((follows == 0x20) | (follows == 0x0A))
    )


def _after_code_word(text: Bytes) -> Bools:
    """(n,) True where a code word stands before the token, with one to three separators as `_is_code` spells them."""
    equals = (text == 0x3D) | (text == 0x3A)
    space = text == 0x20
    quote = (text == 0x22) | (text == 0x27)
    one = equals[:, 0] | space[:, 0]
    two = (quote[:, 1] & one) | (equals[:, 1] & (space[:, 0] | quote[:, 0]))
    three = quote[:, 2] & equals[:, 1] & (space[:, 0] | quote[:, 0])
    found = np.zeros(len(text), bool)
    for gap, fits in ((1, one), (2, two), (3, three)):
        if fits.any():
            found |= fits & _ends_in_code_word(text[:, gap:])
    return found


def _ends_in_code_word(text: Bytes) -> Bools:
    """(n,) True where the bytes end in a code word. `text` is reversed: column 0 is the byte before the separators."""
    found = np.zeros(len(text), bool)
    for word in _CODE_ENDINGS:
        found |= (text[:, : len(word)] == np.frombuffer(word[::-1], np.uint8)).all(axis=1)
    for word in _CODE_WORDS:
        whole = np.frombuffer(_CLASSES, np.uint8)[text[:, len(word)]] == 0
        found |= whole & (text[:, : len(word)] == np.frombuffer(word[::-1], np.uint8)).all(axis=1)
    return found


_MONTH = r"(?:Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec)"
_WEEKDAY = r"(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun)"
# Order matters: a URL before the paths in it, addresses and dates before the runs of stars that they leave.
_RULES: tuple[tuple[re.Pattern[str], str], ...] = (
    (re.compile(r'"([A-Z]{3,8}) \S+( HTTP/\*(?:\.\*)?)?"'), r'"\1 path"'),  # a request line: method kept, target not
    (re.compile(r"\b[A-Za-z][A-Za-z0-9+.]{1,15}://[^\s'\"<>,\])]+"), "url"),
    # user@host, user@database/client, e-mail addresses; not Class@hash, whose hash is a star by now
    (re.compile(r"(?<![\w<])[\w.+*-]+@(?=[A-Za-z])[\w.*-]+(?:/\S+)?"), "*"),
    (re.compile(r"(?<![\w<*])(?:/[\w.$@%+=:~*-]+){2,}/?"), "path"),
    (
        re.compile(r"(?i)\b(user(?:name)?|role|login|account|rhost|ruser|database|db)(=|[ =:]*[\"'])[\w.@*-]*[\"']?"),
        r"\1=*",
    ),
    (re.compile(r"\b(invalid user) [^\s,;:]+"), r"\1 *"),
    (re.compile(r"\b(for|user|by|of) [\w.@*-]+ (from|port)\b"), r"\1 * \2"),
    (re.compile(rf"\b{_WEEKDAY}\b[ ,]*(?={_MONTH}\b|\*)"), ""),
    (re.compile(rf"\b{_MONTH}[a-z]*\b(?=[ ,/*:-]*\*)|(?<=\*/){_MONTH}(?=/\*)"), "*"),
    (re.compile(r"(?<=\*) (?:[AP]M|UTC|GMT|CET|CEST|[ECMP][SD]T)\b"), ""),
    (re.compile(r"[\[(]\*[\])]"), "*"),
    (re.compile(r"[-+]?\*(?:[\s,.:;/|@+#%-]*\*)+"), "*"),
    (re.compile(r"\s+"), " "),
)


def canonical(key: bytes) -> str:
    """Returns the text that stands for every line with this first-level key.

    It has at most `MAX_CANONICAL_CHARS` characters, U+FFFD for bytes that are not UTF-8, and is empty for a line of
    white space. The line encoder reads it, and `line_hash` names it.
    """
    # Truncated before the rules, so that a line of megabytes costs no more than a long one.
    text = key[: 4 * MAX_CANONICAL_CHARS].decode("utf-8", "replace").replace("\0", " ")
    for pattern, replacement in _RULES:
        text = pattern.sub(replacement, text)
    return text.strip()[:MAX_CANONICAL_CHARS]


def line_hash(text: str) -> int:
    """Returns a 64-bit name for a canonical text, the same in every run and on every machine (blake2b)."""
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "little", signed=True)


def mask_line(line: str) -> str:
    """Masks one line on both levels, for training and tests. The hot path uses `mask_blob` and a dictionary."""
    one_line = line.encode("utf-8", "replace").replace(b"\n", b" ")
    return canonical(mask_blob(one_line + b"\n")[0])
