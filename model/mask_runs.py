"""The runs of a blob of lines, and the rules by which digits and the letters beside them stay or go.

A *run* is a stretch of letters, of digits or of anything else; a *token* is a stretch of letters and digits. A number
becomes ``*`` unless it may be a status or an error code. Of a word with a number behind it the word stays (``worker12``
is ``worker*``), and every other token with a digit becomes `MIXED`. Knows no lines, only bytes and runs.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from logwarden.model.arrays import Bools, Ints
from logwarden.model.mask_frames import (
    ANNOUNCES,
    CAPITAL,
    DIGIT,
    HEX_LETTER,
    IS_LEFT,
    IS_RIGHT,
    KIND,
    LETTER,
    Digits,
    FramedRuns,
    has,
)
from logwarden.model.mask_words import (
    HEX,
    IS_ENDING,
    LONG,
    MAX_GAP,
    REPLIES,
    SHORT,
    TAIL,
    names_code,
    names_vendor,
)


def _fill(bytes_: Bools, begins: Ints, ends: Ints, *, value: bool) -> None:
    """Sets all bytes between begins and ends."""
    # begins [3 9], ends [5 12]: sizes [2 3], places [3 4 9 10 11] = [3 3 7 7 7] + [0 1 2 3 4]
    sizes = ends - begins
    behind = np.cumsum(sizes)
    if len(behind):
        bytes_[np.repeat(begins - behind + sizes, sizes) + np.arange(behind[-1])] = value


class Runs(FramedRuns):
    """The runs of a blob between runs of nothing. A `run` or a `word` is an index of runs.

    Every rule first chooses by the bytes beside the digits: few digits have beside them what the rule asks for.
    """

    def gone(self, codes: Sequence[int], spelled: Sequence[tuple[int, int]]) -> tuple[Bools, Ints]:
        """Returns which bytes become a star or a part of one, and where tokens begin that become `MIXED`.

        A token of the second result stays if its first byte does. `codes`: where numbers stand that are codes for
        sure. `spelled`: begins and ends of codes with letters.
        """
        run = np.flatnonzero(self.is_digit.take(self.starts))
        at, end = self.starts.take(run), self.starts.take(run + 1)
        digits = Digits(run, at, end, self.signs.take(at - 1), self.signs.take(end))
        glued, followed = has(digits.before, LETTER), has(digits.after, LETTER)
        numbers = digits.take(np.flatnonzero(~(glued | followed)))
        words = digits.take(np.flatnonzero(glued & ~followed))
        mixed = digits.take(np.flatnonzero(followed))
        words = words.take(np.flatnonzero(self._are_behind_a_word(words)))
        told = self._told(numbers, words, mixed)
        hexadecimal, worded = self._words(words, told)
        letters = np.concatenate((mixed.run + 1, mixed.run.compress(self._are_behind_a_word(mixed)) - 1, hexadecimal))
        framed, spans = self._codes_with_letters(mixed, told)
        said = np.searchsorted(self.starts, np.asarray(codes, np.int64))
        kept = np.concatenate((self._codes(numbers, told), self._enhanced(numbers), worded, framed, said))
        gone = self.is_digit
        _fill(gone, self.starts.take(letters), self.starts.take(letters + 1), value=True)
        _fill(gone, self.starts.take(kept), self.starts.take(kept + 1), value=False)
        for first, last in (*spans, *spelled):
            gone[first:last] = False
        begins = np.where(has(mixed.before, LETTER), self.starts.take(mixed.run - 1), mixed.at)
        return gone, np.concatenate((begins, self.starts.take(hexadecimal)))

    def _are_behind_a_word(self, digits: Digits) -> Bools:
        """Returns which of the digits have letters before them, and no digit before those."""
        sign = self.signs.take(self.starts.take(digits.run - 1) - 1)
        return has(digits.before, LETTER) & ~has(sign, DIGIT)

    def _told(self, numbers: Digits, words: Digits, mixed: Digits) -> Bools:
        """Returns which runs begin a token behind a word for codes, for all of which a rule asks that."""
        size = numbers.end - numbers.at
        of_size = (size <= SHORT) | ((size >= 9) & (size <= 10))
        before_word = self.signs.take(self.starts.take(words.run - 1) - 1)
        asked = (
            numbers.run.compress(of_size & has(numbers.before, ANNOUNCES)),
            words.run.compress(has(words.before, CAPITAL) & has(before_word, ANNOUNCES)) - 1,
            mixed.run.compress(has(mixed.before, ANNOUNCES) & (mixed.end - mixed.at == 1)),
        )
        runs = np.concatenate(asked)
        told = np.zeros(len(self.starts), bool)
        told[runs] = self._after_code_word(runs)
        return told

    def _codes(self, numbers: Digits, told: Bools) -> Ints:
        """Returns the runs of the numbers that may be codes by `_may_be_code`."""
        size = numbers.end - numbers.at
        before, after = self.raw.take(numbers.at - 1), self.raw.take(numbers.end)
        found = told.take(numbers.run) & ((size <= SHORT) | (before == ord("-")))
        three = np.flatnonzero((size == 3) & has(numbers.before, IS_LEFT) & has(numbers.after, IS_RIGHT))
        digit = self.raw.take(numbers.at.take(three)[:, None] + np.arange(3)).astype(np.int64) - 48
        found[three] |= _IS_REPLY[digit @ np.array([100, 10, 1])]
        dashed = before == ord("-")
        dashes = np.flatnonzero(dashed)
        dashes = dashes.compress(has(self.signs.take(numbers.at.take(dashes) - 2), CAPITAL))
        if len(dashes):
            found[dashes] |= self._behind_vendor(numbers.run.take(dashes) - 2, size.take(dashes))
        eight = np.flatnonzero(size == 8)
        if len(eight):
            named = (before.take(eight) == ord(":")) & (after.take(eight) == ord(":"))
            found[eight] |= named & (self.raw.take(numbers.at.take(eight) - 2) == ord("r"))
        opens = (before == ord("(")) | (before == ord("[")) | (before == ord("<")) | dashed
        closes = (after == ord(")")) | (after == ord("]")) | (after == ord(">")) | (after == ord(":"))
        framed = np.flatnonzero(opens & closes & (size <= LONG))
        behind = framed[:0]
        if len(framed):
            codes, states = self._framed_codes(numbers.take(framed), before.take(framed), after.take(framed))
            found[framed] |= codes
            behind = numbers.run.take(framed.compress(states)) - 2
        return np.concatenate((numbers.run.compress(found), behind))

    def _enhanced(self, numbers: Digits) -> Ints:
        """Returns the runs of an enhanced status of mail, by the rule of `ENHANCED`."""
        likely = np.flatnonzero((self.raw.take(numbers.end) == ord(".")) & (numbers.end - numbers.at == 1))
        numbers = numbers.take(likely)
        before, digit = self.raw.take(numbers.at - 1), self.raw.take(numbers.at)
        runs = numbers.run.compress(
            _IS_CLASS[digit] & ((before == ord("=")) | (before == ord(" ")) | (before == ord("-")))
        )
        runs = runs.compress(self._sign(runs + 2, DIGIT) & (self.raw.take(self.starts.take(runs + 3)) == ord(".")))
        if not len(runs):
            return runs
        starts = [self.starts.take(runs + place) for place in range(-3, 6)]
        size = {place: starts[place + 4] - starts[place + 3] for place in range(-3, 5)}
        fits = (size[1] == 1) & (size[3] == 1) & (size[2] <= 3) & (size[4] <= 3)
        fits &= self._sign(runs + 4, DIGIT) & ~self._sign(runs + 5, LETTER)
        fits &= self.raw.take(starts[8]) != ord(".")
        reply = (size[-1] == 1) & (size[-2] == 3) & self._sign(runs - 2, DIGIT) & ~self._sign(runs - 3, LETTER)
        reply &= _IS_CLASS[self.raw.take(starts[1])]
        before = self.raw.take(starts[3] - 1)
        runs = runs[fits & ((before == ord("=")) | (reply & (before != ord("="))))]
        return np.concatenate((runs, runs + 2, runs + 4))

    def _after_code_word(self, runs: Ints) -> Bools:
        """Returns which runs, with a byte of `BEFORE` before them, stand behind a word that announces a code."""
        found = np.zeros(len(runs), bool)
        places = np.flatnonzero(self._may_name_code(runs - 2) | self._may_name_code(runs - 4))
        if not len(places):
            return found
        runs = runs.take(places)
        first, second, third = runs - 2, runs - 4, runs - 6
        fits = self._stands_before(first)
        named = fits & names_code(self._tails(first))
        fits &= self._stands_before(second)
        tails = self._tails(second)
        named |= fits & names_code(tails)
        few = np.flatnonzero(fits & ~named & (tails == _WITH).all(axis=1))
        few = few[self._stands_before(third[few])]  # a third word counts if the second one is "with"
        named[few] = names_code(self._tails(third[few]))
        found[places] = named
        return found

    def _may_name_code(self, words: Ints) -> Bools:
        """Returns False for runs that end otherwise than a word for codes, or than "with"."""
        ends = self.starts.take(words + 1)
        last = [(self.raw.take(ends - back) & np.uint8(0x1F)).astype(np.uint16) for back in (3, 2, 1)]
        return np.asarray(IS_ENDING.take(last[0] | last[1] << np.uint16(5) | last[2] << np.uint16(10)))

    def _stands_before(self, words: Ints) -> Bools:
        """Returns which runs are words with a short gap behind them and no digit before them."""
        fits = self._sign(words, LETTER) & ~self._sign(words + 1, KIND) & ~self._sign(words - 1, DIGIT)
        return np.asarray(fits & (self._size(words + 1) <= MAX_GAP))

    def _words(self, words: Digits, told: Bools) -> tuple[Ints, Ints]:
        """Returns the letters of words with a number behind them that are hexadecimal, and the numbers that stay."""
        letters, last = words.at - self.starts.take(words.run - 1), self.raw.take(words.at - 1)
        first, second = self.signs.take(words.at - letters), self.signs.take(words.at - np.minimum(letters, 2))
        likely = (letters <= TAIL) & has(words.before & first & second, HEX_LETTER | CAPITAL)
        likely |= ((last | 0x20) == ord("v")) & (words.end - words.at == 1)
        places = np.flatnonzero(likely)
        words, letters = words.take(places), letters.take(places)
        size, tail = words.end - words.at, self._tails(words.run - 1)
        none = tail == 0
        low = (none | ((tail >= 97) & (tail <= 102))).all(axis=1) & (letters <= TAIL)
        high = (none | ((tail >= 65) & (tail <= 70))).all(axis=1) & (letters <= TAIL)
        high &= ((letters == 1) & (size == 1)) | (letters + size > HEX)
        capitals = (none | ((tail >= 65) & (tail <= 90))).all(axis=1) & (letters <= TAIL)
        capitals &= (size >= 3) & (size <= LONG) & ~high
        after = self.raw.take(words.end)
        closed = (after == ord(":")) | (after == ord("]")) | (after == ord(")"))
        closed |= told.take(words.run - 1) | names_vendor(tail)
        protocol = (tail[:, :3] | 0x20 == np.frombuffer(b"vpi", np.uint8)).all(axis=1) & (size == 1)
        return words.run[low | high] - 1, words.run[(capitals & closed) | protocol]

    def _codes_with_letters(self, mixed: Digits, told: Bools) -> tuple[Ints, list[tuple[int, int]]]:
        """Returns the runs of ``5xx`` and ``ANR2034E``, and begins and ends of ``0x80070005``, by `_masked`."""
        size, glued = mixed.end - mixed.at, has(mixed.before, LETTER)
        x = np.flatnonzero((size == 1) & ~glued & ((self.raw.take(mixed.end) | 0x20) == ord("x")))
        run, at = mixed.run.take(x), mixed.at.take(x)
        digit = self.raw.take(at)
        classes = (digit >= 49) & (digit <= 53) & ((self.raw.take(at + 2) | 0x20) == ord("x"))
        classes &= ~has(self.signs.take(at + 3), LETTER | DIGIT)
        classes = run.compress(classes)
        capital = has(mixed.before, CAPITAL) & has(mixed.after, CAPITAL) & (size >= 3) & (size <= 5)
        framed = self._framed(mixed.run.compress(capital))
        hexadecimal = np.flatnonzero(digit == ord("0"))
        spans = self._hex_codes(at.take(hexadecimal), told.take(run.take(hexadecimal)))
        spans += self._in_signs(mixed.at.compress(~glued & (size <= 8)))
        inside = np.concatenate((framed, self._numbered(mixed, size)))
        return np.concatenate((classes, classes + 1, inside - 1, inside, inside + 1)), spans

    def _numbered(self, mixed: Digits, size: Ints) -> Ints:
        """Returns the digits inside of words, by `NUMBERED`."""
        first, last, digit = self.raw.take(mixed.at - 1), self.raw.take(mixed.end), self.raw.take(mixed.at)
        is_word = (size <= 2) & (first >= ord("a")) & (first <= ord("z")) & (last >= ord("a")) & (last <= ord("z"))
        is_word &= ~has(self.signs.take(mixed.end + 1), LETTER | DIGIT)
        is_short = ~has(self.signs.take(mixed.at - 2), LETTER | DIGIT) & (first != ord("x"))
        is_short &= (first > ord("f")) | (last > ord("f")) | ((size == 1) & (digit == ord("2")))
        is_long = (last == ord("j")) & (size == 1) & ((digit == ord("2")) | (digit == ord("4")))
        long = mixed.run.compress(is_word & is_long & ~is_short)
        letters, tail = self._size(long - 1), self._tails(long - 1)
        fits = (letters >= 2) & (letters <= 6) & ((tail == 0) | ((tail >= 97) & (tail <= 122))).all(axis=1)
        fits &= ~self._sign(long - 2, DIGIT)
        return np.concatenate((mixed.run.compress(is_word & is_short), long.compress(fits)))

    def _hex_codes(self, at: Ints, told: Bools) -> list[tuple[int, int]]:
        """Returns begins and ends of those of these tokens, which begin with ``0x``, that are codes."""
        head = self.raw.take(at[:, None] + np.arange(5))
        is_failure = (head[:, 3] == 48) & (head[:, 4] == 48)
        is_failure &= (head[:, 2] == ord("8")) | ((head[:, 2] | 0x20) == ord("c"))
        few = np.flatnonzero(is_failure | told)
        at = at.take(few)
        inside = has(self.signs.take(at[:, None] + np.arange(11)), LETTER | DIGIT)
        length = np.argmin(inside, axis=1)  # 0 where none of eleven bytes is outside
        fits = (length >= 3) & (told.take(few) | (length == 10))
        at, length = at.compress(fits), length.compress(fits)
        return list(zip(at.tolist(), (at + length).tolist(), strict=True))


_WITH = np.frombuffer(b"with"[::-1].ljust(TAIL, b"\0"), np.uint8)
_IS_CLASS = np.zeros(256, bool)
_IS_CLASS[list(b"245")] = True
_IS_REPLY = np.zeros(1000, bool)
_IS_REPLY[list(REPLIES)] = True
