"""The first level of masking, over a whole batch at once: most of what varies goes, whatever may be a code stays.

A *run* is a stretch of letters, of digits or of anything else; a *token* is a stretch of letters and digits. Tokens
without a digit stay. A number becomes ``*`` unless it may be a status or an error code. Of a word with a number behind
it the word stays (``worker12`` is ``worker*``), and every other token with a digit becomes `MIXED`. The second level
decides which of the numbers that are left are codes; it reads only what is left here.

`mask_reference.py` is the definition, token by token; tests compare `mask_blob` with it. Knows no texts, only bytes.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from logwarden.model.arrays import Bools, Bytes, Ints
from logwarden.model.mask_words import (
    BEFORE,
    CODE_ENDINGS,
    CODE_WORDS,
    HEX,
    LEFT,
    LONG,
    MAX_GAP,
    MIXED,
    REPLIES,
    RIGHT,
    SHORT,
    TAIL,
    announced,
    spelled,
    unpainted,
)

_LETTER, _DIGIT, _NEWLINE = 1, 2, 3
_KINDS = bytes(
    _NEWLINE if c == 10 else 0 if c > 127 else _DIGIT if chr(c).isdigit() else _LETTER if chr(c).isalpha() else 0
    for c in range(256)
)
_DELETED = 0xFF  # never occurs in UTF-8, so it can mark the bytes to drop
_STAR = ord("*")


def mask_blob(blob: bytes) -> list[bytes]:
    """Masks many lines on the first level at once.

    `blob` consists of lines that each end in a newline and have none inside. Returns one masked line for each, equal
    to `mask_reference` of it. One to two microseconds per line of 140 bytes; no Python loop over lines or tokens.
    """
    if not blob:
        return []
    assert blob.endswith(b"\n"), "every line of the blob ends in a newline"
    # "ab12 x9y" and a newline:
    #   starts     0 2 4 5 6 7 8      the runs "ab" "12" " " "x" "9" "y" and the newline
    #   kind       1 2 0 1 2 1 3
    #   dropped    0 1 0 1 1 1 0      of "ab12" only the number, of "x9y" all three runs
    #   out        "ab* *" and the newline: the first byte of dropped runs becomes a star, the others are deleted
    blob = unpainted(blob)
    raw = np.frombuffer(blob, np.uint8)
    runs = _Runs(raw, np.frombuffer(blob.translate(_KINDS), np.uint8))
    dropped, mixed = runs.dropped(announced(blob), spelled(blob))
    first = dropped.copy()
    first[1:] &= ~dropped[:-1]
    gone = np.repeat(dropped, np.diff(runs.starts, append=len(raw)))
    out = raw | (gone.view(np.uint8) * np.uint8(_DELETED))
    out[runs.starts[first]] = np.where(mixed[first], np.uint8(ord(MIXED)), np.uint8(_STAR))
    return out.tobytes().translate(None, bytes([_DELETED])).split(b"\n")[:-1]


class _Runs:
    """The runs of a blob, in order; every number in it is the index of a run."""

    def __init__(self, raw: Bytes, kinds: Bytes) -> None:
        self.raw = raw
        self.kinds = kinds
        self.starts = np.concatenate(([0], np.flatnonzero(kinds[1:] != kinds[:-1]) + 1))
        # Four runs of nothing before the first one, so that every run has four before it; the last run is a newline.
        self.kind = np.concatenate((np.full(_BEHIND, _NEWLINE, np.uint8), kinds[self.starts]))

    def dropped(self, codes: Sequence[int], spelled: Sequence[tuple[int, int]] = ()) -> tuple[Bools, Bools]:
        """Returns which runs become a star or a part of one, and which of them are part of a mixed token.

        `codes`: where numbers stand that are codes for sure. `spelled`: begins and ends of codes with letters.
        """
        kind = self.kind
        digits = np.flatnonzero(kind == _DIGIT)
        before, after = kind[digits - 1] == _LETTER, kind[digits + 1] == _LETTER
        inside = after | (before & (kind[digits - 2] == _DIGIT))
        dropped = np.zeros(len(kind), bool)
        dropped[digits] = True
        numbers = digits[~before & ~after]
        dropped[numbers[self._codes(numbers)]] = False
        dropped[np.searchsorted(self.starts, np.asarray(codes, np.int64)) + _BEHIND] = False
        enhanced = self._enhanced(numbers)
        for place in (0, 2, 4):
            dropped[enhanced + place] = False
        words = digits[before & ~inside]
        hexadecimal, kept = self._worded(words)
        dropped[words[hexadecimal] - 1] = True
        part = np.zeros(len(kind), bool)
        part[words[hexadecimal] - 1] = True
        dropped[words[kept]] = False
        mixed = digits[inside]
        part[mixed] = True
        for side in (mixed - 1, mixed + 1):
            letters = side[kind[side] == _LETTER]
            dropped[letters] = part[letters] = True
        self._keep_classes_and_hex_codes(mixed, dropped)
        for span in spelled:
            first, end = np.searchsorted(self.starts, span) + _BEHIND
            dropped[first:end] = False
        return dropped[_BEHIND:], part[_BEHIND:]

    def _start(self, runs: Ints) -> Ints:
        """Returns where runs start; runs before the first one start at 0."""
        return np.asarray(self.starts[np.maximum(runs - _BEHIND, 0)])

    def _byte(self, at: Ints) -> Bytes:
        """Returns bytes of the blob, and newlines for the places before it."""
        return np.asarray(np.where(at >= 0, self.raw[np.maximum(at, 0)], 10))

    def _codes(self, numbers: Ints) -> Ints:
        """Returns the places, in `numbers`, of those that may be codes by `_may_be_code`."""
        at, end = self._start(numbers), self._start(numbers + 1)
        size, before, after = end - at, self._byte(at - 1), self.raw[end]
        found = ((size <= SHORT) | ((size >= 9) & (size <= 10) & (before == ord("-")))) & _ANNOUNCED[before]
        places = np.flatnonzero(found)
        found[places] = self._after_code_word(numbers[places])
        three = np.flatnonzero((size == 3) & _IS_LEFT[before] & _IS_RIGHT[after])
        digit = self.raw[at[three][:, None] + np.arange(3)].astype(np.int64) - 48
        found[three] |= _IS_REPLY[digit @ np.array([100, 10, 1])]
        colon = after == ord(":")
        paren = np.flatnonzero((size <= SHORT) & (before == ord("(")) & (after == ord(")")))
        behind = self._byte(np.minimum(end[paren] + 1, len(self.raw) - 1))
        capital = (behind >= 65) & (behind <= 90)
        stands = (self._byte(at[paren] - 2) == ord(" ")) & (self._byte(at[paren] - 3) == ord(":"))
        blank = (behind == ord(" ")) | ((behind | 0x20 >= 97) & (behind | 0x20 <= 122))
        found[paren] |= capital | (stands & blank)
        priority = (before == ord("<")) & (after == ord(">"))
        found |= (size <= 3) & (((before == ord("(")) & colon) | priority)
        found |= (size <= SHORT) & (before == ord("[")) & (after == ord("]")) & self._second_bracket(numbers, at)
        framed = colon | (after == ord(">")) | (after == ord("]")) | (after == ord(")"))
        vendor = np.flatnonzero(framed & (before == ord("-")) & (size >= 3) & (size <= LONG))
        word = numbers[vendor] - 2
        opening, closing = self._byte(self._start(word) - 1), after[vendor]
        opens = colon[vendor] | ((opening == ord("<")) & (closing == ord(">")))
        padded = (self.raw[at[vendor]] == ord("0")) & (size[vendor] >= SHORT)
        opens |= padded & (
            (opening == ord("[")) & (closing == ord("]")) | (opening == ord("(")) & (closing == ord(")"))
        )
        letters = self._start(word + 1) - self._start(word)
        fits = opens & (self.kind[word] == _LETTER) & (letters >= 2) & (letters <= 8) & (self.kind[word - 1] != _DIGIT)
        fits &= self._start(word + 2) - self._start(word + 1) == 1
        tail = self._tails(word)
        found[vendor] |= fits & ((tail == 0) | ((tail >= 65) & (tail <= 90))).all(axis=1)
        return np.flatnonzero(found)

    def _enhanced(self, numbers: Ints) -> Ints:
        """Returns the runs where an enhanced status of mail begins, by the rule of `ENHANCED`."""
        first = self._start(numbers)
        before, digit = self._byte(first - 1), self.raw[first]
        likely = (self.raw[np.minimum(first + 1, len(self.raw) - 1)] == ord(".")) & _IS_CLASS[digit]
        likely &= (before == ord("=")) | (before == ord(" ")) | (before == ord("-"))
        runs = numbers[likely]
        runs = runs[runs + 5 < len(self.kind)]
        starts = [self._start(runs + place) for place in range(-3, 6)]
        size = {place: starts[place + 4] - starts[place + 3] for place in range(-3, 5)}
        fits = (size[0] == 1) & (size[1] == 1) & (size[3] == 1) & (size[2] <= 3) & (size[4] <= 3)
        fits &= (self.kind[runs + 2] == _DIGIT) & (self.kind[runs + 3] == 0) & (self.kind[runs + 4] == _DIGIT)
        end = np.minimum(starts[8], len(self.raw) - 1)
        fits &= (self._byte(starts[6]) == ord(".")) & (self.kind[runs + 5] != _LETTER) & (self.raw[end] != ord("."))
        reply = (size[-1] == 1) & (size[-2] == 3) & (self.kind[runs - 2] == _DIGIT) & (self.kind[runs - 3] != _LETTER)
        reply &= _IS_CLASS[self._byte(starts[1])]
        before = self._byte(starts[3] - 1)
        return np.asarray(runs[fits & ((before == ord("=")) | (reply & (before != ord("="))))])

    def _second_bracket(self, numbers: Ints, at: Ints) -> Bools:
        """Returns which numbers stand as in ``[HY000] [2002]``: behind a number in brackets of its own."""
        behind = (self.kind[numbers - 2] == _DIGIT) & (self.kind[numbers - 1] == 0)
        behind &= at - self._start(numbers - 1) == 3
        return np.asarray(behind & (self._byte(at - 3) == ord("]")) & (self._byte(at - 2) == ord(" ")))

    def _after_code_word(self, runs: Ints) -> Bools:
        found, fits = np.zeros(len(runs), bool), np.ones(len(runs), bool)
        for back in (2, 4, 6):
            word = runs - back
            if back == 6:  # a third word counts if the second one is "with", which few are
                fits &= ~found & (self._start(word + 3) - self._start(word + 2) == len(_WITH_WORD))
                few = np.flatnonzero(fits)
                few = few[(self._tails(word[few] + 2) == _WITH).all(axis=1)]
                if not len(few):
                    break
                found[few] = self._is_code_word(word[few])
                break
            fits = fits & self._stands_before(word)
            places = np.flatnonzero(fits & ~found)
            found[places] = _names_code(self._tails(word[places]))
        return found

    def _stands_before(self, word: Ints) -> Bools:
        """Returns which runs are words with a short gap behind them and no digit before them."""
        gap = self._start(word + 2) - self._start(word + 1)
        fits = (self.kind[word - 1] != _DIGIT) & (self.kind[word] == _LETTER) & (self.kind[word + 1] == 0)
        return np.asarray(fits & (gap <= MAX_GAP))

    def _is_code_word(self, word: Ints) -> Bools:
        return np.asarray(self._stands_before(word) & _names_code(self._tails(word)))

    def _tails(self, runs: Ints) -> Bytes:
        """Returns the last letters of runs (n, 8), the last one first, and zeros where a run is shorter."""
        ends = self._start(runs + 1)
        back = np.arange(1, TAIL + 1)
        tail = self.raw[np.maximum(ends[:, None] - back, 0)]
        return np.asarray(np.where(back <= (ends - self._start(runs))[:, None], tail, 0).astype(np.uint8))

    def _worded(self, words: Ints) -> tuple[Bools, Bools]:
        """Returns which words with a number behind them are hexadecimal, and which stay with their number."""
        at, end = self._start(words), self._start(words + 1)
        size, letters = end - at, at - self._start(words - 1)
        tail = self._tails(words - 1)
        none = tail == 0
        low = (none | ((tail >= 97) & (tail <= 102))).all(axis=1) & (letters <= TAIL)
        high = (none | ((tail >= 65) & (tail <= 70))).all(axis=1) & (letters <= TAIL)
        high &= ((letters == 1) & (size == 1)) | (letters + size > HEX)
        capitals = (none | ((tail >= 65) & (tail <= 90))).all(axis=1) & (letters <= LONG)
        after = self.raw[end]
        closed = (after == ord(":")) | (after == ord("]")) | (after == ord(")"))
        told = np.flatnonzero(capitals & ~closed & ~high & (size >= 3) & (size <= LONG))
        told = told[_ANNOUNCED[self._byte(self._start(words[told] - 1) - 1)]]
        closed[told] = self._after_code_word(words[told] - 1)
        protocol = (tail[:, :3] | 0x20 == np.frombuffer(b"vpi", np.uint8)).all(axis=1) & (size == 1)
        return low | high, (capitals & closed & (size >= 3) & (size <= LONG) & ~high) | protocol

    def _keep_classes_and_hex_codes(self, mixed: Ints, dropped: Bools) -> None:
        """Keeps ``5xx`` and ``0x80070005`` by the rules of `_masked`."""
        at = self._start(mixed)
        limit = len(self.raw) - 1
        head = self.raw[np.minimum(at[:, None] + np.arange(5), limit)]
        alone = self.kind[mixed - 1] != _LETTER  # or the token begins before these digits
        single = self.kinds[np.minimum(at + 1, limit)] == _LETTER
        alone &= single
        x = (head[:, 1] | 0x20) == ord("x")
        classes = alone & x & (head[:, 0] >= 49) & (head[:, 0] <= 53) & ((head[:, 2] | 0x20) == ord("x"))
        classes &= self.kinds[np.minimum(at + 3, limit)] % _NEWLINE == 0
        places = mixed[classes]
        dropped[places] = dropped[places + 1] = False
        self._keep_framed(mixed, dropped)
        hexadecimal = np.flatnonzero(alone & x & (head[:, 0] == 48))
        at = at[hexadecimal]
        inside = self.kinds[np.minimum(at[:, None] + np.arange(11), limit)] % _NEWLINE != 0
        length = np.argmin(inside, axis=1)  # 0 where none of eleven bytes is outside
        whole = length >= 3
        hexadecimal, head, length = hexadecimal[whole], head[hexadecimal[whole]], length[whole]
        failure = (
            ((head[:, 2] == ord("8")) | ((head[:, 2] | 0x20) == ord("c"))) & (head[:, 3] == 48) & (head[:, 4] == 48)
        )
        failure &= length == 10
        at = self._start(mixed[hexadecimal])
        told = np.flatnonzero(~failure)
        told = told[_ANNOUNCED[self._byte(at[told] - 1)]]
        failure[told] = self._after_code_word(mixed[hexadecimal[told]])
        for run, end in zip(mixed[hexadecimal[failure]].tolist(), (at + length)[failure].tolist(), strict=True):
            dropped[run : np.searchsorted(self.starts, end) + _BEHIND] = False

    def _keep_framed(self, mixed: Ints, dropped: Bools) -> None:
        """Keeps a vendor's code that ends in its severity: ``ANR2034E``."""
        digits = self._start(mixed + 1) - self._start(mixed)
        framed = (digits >= 3) & (digits <= 5) & (self.kind[mixed - 1] == _LETTER) & (self.kind[mixed - 2] != _DIGIT)
        framed &= (self.kind[mixed + 1] == _LETTER) & (self.kind[np.minimum(mixed + 2, len(self.kind) - 1)] != _DIGIT)
        runs = mixed[framed]
        letters = self._start(runs) - self._start(runs - 1)
        fits = (letters >= 3) & (letters <= 7) & (self._start(runs + 2) - self._start(runs + 1) == 1)
        runs = runs[fits]
        names = np.concatenate((self._tails(runs - 1), self._tails(runs + 1)), axis=1)
        runs = runs[((names == 0) | ((names >= 65) & (names <= 90))).all(axis=1)]
        dropped[runs - 1] = dropped[runs] = dropped[runs + 1] = False


_BEHIND = 5


def _table(members: bytes) -> Bools:
    table = np.zeros(256, bool)
    table[list(members)] = True
    return table


_WITH_WORD = b"with"
_WITH = np.frombuffer(_WITH_WORD[::-1].ljust(TAIL, b"\0"), np.uint8)
_ANNOUNCED, _IS_LEFT, _IS_RIGHT = _table(BEFORE), _table(LEFT), _table(RIGHT)
_IS_CLASS = _table(b"245")
_IS_REPLY = np.zeros(1000, bool)
_IS_REPLY[list(REPLIES)] = True


def _name(word: bytes) -> int:
    """Returns the last letters of a word as an integer, the last one lowest."""
    return int.from_bytes(word[::-1][:TAIL].ljust(TAIL), "little")


_NAMES = np.array(sorted({_name(word) for word in CODE_WORDS}), np.uint64)


def _names_code(tails: Bytes) -> Bools:
    """Returns which words announce a code. `tails` are their last letters, the last one first."""
    names = np.ascontiguousarray(tails | 0x20).view("<u8")[:, 0]
    found = _NAMES[np.minimum(np.searchsorted(_NAMES, names), len(_NAMES) - 1)] == names
    for ending in CODE_ENDINGS:
        mask = np.uint64((1 << (8 * len(ending))) - 1)
        found |= (names & mask) == np.uint64(_name(ending)) & mask
    return np.asarray(found)
