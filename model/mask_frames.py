"""The runs of a blob of lines, and the codes that signs around them show: brackets, a dash behind a vendor's name.

A *run* is a stretch of letters, of digits or of anything else. `mask_runs.py` has the other rules for what stays. Knows
no lines, only bytes and runs.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from logwarden.model.arrays import Bools, Bytes, Ints
from logwarden.model.mask_words import (
    BEFORE,
    LEFT,
    LIBRARY_CODE,
    LONG,
    RIGHT,
    SHORT,
    STATE_IN_FRAME,
    TAIL,
    names_vendor,
)

LETTER, DIGIT, CAPITAL, NEWLINE, ANNOUNCES, IS_LEFT, IS_RIGHT, HEX_LETTER = (np.uint8(1 << bit) for bit in range(8))
KIND = LETTER | DIGIT | NEWLINE
"""Bits of a byte's signs. Those of its kind part the runs; bytes of a run have one kind."""


def _signs(char: str) -> int:
    byte = ord(char)
    marks = {
        LETTER: char.isalpha(),
        DIGIT: char.isdigit(),
        CAPITAL: char.isupper(),
        NEWLINE: char == "\n",
        ANNOUNCES: byte in BEFORE,
        IS_LEFT: byte in LEFT,
        IS_RIGHT: byte in RIGHT,
        HEX_LETTER: char in "abcdefABCDEF",
    }
    return sum(int(bit) for bit, is_marked in marks.items() if is_marked)


SIGNS = bytes(_signs(chr(byte)) if byte < 128 else 0 for byte in range(256))
"""Of each byte all signs that a rule asks for, so that one look-up answers all of them."""


def has(signs: Bytes, bit: np.uint8) -> Bools:
    """Returns which bytes have this sign, or one of these."""
    found: Bools = (signs & bit).astype(bool)
    return found


class Digits(NamedTuple):
    """Runs of digits as columns: the run, where it begins and ends, and the signs of the bytes beside it."""

    run: Ints
    at: Ints
    end: Ints
    before: Bytes
    after: Bytes

    def take(self, places: Ints) -> Digits:
        """Returns some of them."""
        run, at, end, before, after = self
        return Digits(run.take(places), at.take(places), end.take(places), before.take(places), after.take(places))


class FramedRuns:
    """The runs of a blob between runs of nothing. A `run` or a `word` is an index of runs."""

    def __init__(self, raw: Bytes, signs: Bytes) -> None:
        self.raw = raw
        self.signs = signs
        kinds = signs & KIND
        self.starts = np.flatnonzero(kinds[1:] != kinds[:-1])
        self.starts += 1
        self.is_digit = has(kinds, DIGIT)

    def _sign(self, runs: Ints, bit: np.uint8) -> Bools:
        """Returns which runs consist of bytes with this sign."""
        return has(self.signs.take(self.starts.take(runs)), bit)

    def _size(self, runs: Ints) -> Ints:
        """Returns how many bytes runs have."""
        return np.asarray(self.starts.take(runs + 1) - self.starts.take(runs))

    def _tails(self, runs: Ints) -> Bytes:
        """Returns the last letters of runs (n, 8), the last one first, and zeros where a run is shorter."""
        ends = self.starts.take(runs + 1)
        back = np.arange(1, TAIL + 1)
        tail = self.raw.take(ends[:, None] - back)
        return np.asarray(np.where(back <= (ends - self.starts.take(runs))[:, None], tail, np.uint8(0)))

    def _framed_codes(self, numbers: Digits, before: Bytes, after: Bytes) -> tuple[Bools, Bools]:
        """Returns which numbers of at most `LONG` digits are codes for the signs around them.

        And which of them are the state of SQL behind a number that is a code as well.
        """
        size = numbers.end - numbers.at
        behind = self.raw.take(numbers.end + 1)
        capital = has(self.signs.take(numbers.end + 1), CAPITAL)
        stands = (self.raw.take(numbers.at - 2) == ord(" ")) & (self.raw.take(numbers.at - 3) == ord(":"))
        blank = (behind == ord(" ")) | has(self.signs.take(numbers.end + 1), LETTER)
        paren = (before == ord("(")) & (after == ord(")")) & (capital | (stands & blank))
        second = (before == ord("[")) & (after == ord("]")) & self._second_bracket(numbers)
        minus = (before == ord("-")) & (after == ord("]")) & (self.raw.take(numbers.at - 2) == ord("[")) & (size >= 2)
        minus &= self.raw.take(numbers.at) != ord("0")
        state = (size == 5) & (behind == ord(":")) & (before == ord("(")) & (after == ord(")"))
        places = np.flatnonzero(state)
        state[places] = self._are_behind_zero(numbers.run.take(places))
        found = (size <= SHORT) & (paren | second | minus | state)
        found |= (size <= 3) & (before == ord("(")) & (after == ord(")")) & (behind == ord("\n"))
        colon, priority = after == ord(":"), (before == ord("<")) & (after == ord(">"))
        found |= (size <= 3) & ((before == ord("(")) & colon | priority)
        word = numbers.run - 2
        opening, letters = self.raw.take(self.starts.take(word) - 1), self._size(word)
        padded = (self.raw.take(numbers.at) == ord("0")) & (size >= SHORT)
        padded &= (opening == ord("[")) & (after == ord("]")) | (opening == ord("(")) & (after == ord(")"))
        vendor = (before == ord("-")) & (size >= 3) & (colon | (opening == ord("<")) & (after == ord(">")) | padded)
        vendor &= self._sign(word, LETTER) & (letters >= 2) & (letters <= 8) & ~self._sign(word - 1, DIGIT)
        vendor &= self._size(word + 1) == 1
        places = np.flatnonzero(vendor)
        tail = self._tails(word.take(places))
        found[places] |= ((tail == 0) | ((tail >= 65) & (tail <= 90))).all(axis=1)
        return np.asarray(found), state

    def _are_behind_zero(self, runs: Ints) -> Bools:
        """Returns which runs, with a bracket before them, stand behind a long number that begins with zero."""
        number = runs - 2
        fits = self._sign(number, DIGIT) & (self._size(number) >= 5) & (self._size(number) <= LONG)
        fits &= (self._size(runs - 1) == 2) & (self.raw.take(self.starts.take(number)) == ord("0"))
        fits &= self.raw.take(self.starts.take(number) - 1) <= ord(" ")
        return np.asarray(fits & (self.raw.take(self.starts.take(runs) - 2) == ord(" ")))

    def _behind_vendor(self, words: Ints, size: Ints) -> Bools:
        """Returns which words, with a number behind their dash, are a known name of a vendor's messages."""
        fits = (size >= 3) & (size <= LONG) & (self._size(words + 1) == 1) & ~self._sign(words - 1, DIGIT)
        return np.asarray(fits & self._names_vendor(words, self._tails(words)))

    def _names_vendor(self, words: Ints, tails: Bytes) -> Bools:
        """Returns which words are a known name of a vendor's messages."""
        capitals = ((tails == 0) | ((tails >= 65) & (tails <= 90))).all(axis=1)
        return np.asarray(capitals & (self._size(words) <= TAIL) & names_vendor(tails))

    def _second_bracket(self, numbers: Digits) -> Bools:
        """Returns which numbers stand as in ``[HY000] [2002]``: behind a number in brackets of its own."""
        behind = self._sign(numbers.run - 2, DIGIT) & (self._size(numbers.run - 1) == 3)
        at = numbers.at
        return np.asarray(behind & (self.raw.take(at - 3) == ord("]")) & (self.raw.take(at - 2) == ord(" ")))

    def _in_signs(self, at: Ints) -> list[tuple[int, int]]:
        """Returns begins and ends of those of these tokens that are a state of SQL in brackets, or a library's code."""
        before, state, library = (self.raw.take(at + place) for place in (-1, 5, 8))
        opens = (before == ord("[")) | (before == ord("("))
        is_state = opens & ((state == ord("]")) | (state == ord(")")))
        is_library = (before == ord(":")) & (library == ord(":")) & (self.raw.take(at - 2) == ord("r"))
        found = []
        for place in at.compress(is_state | is_library).tolist():
            text = self.raw[place - 1 : place + 9].tobytes()
            if STATE_IN_FRAME.match(text):
                found.append((place, place + 5))
            elif LIBRARY_CODE.match(text):
                found.append((place, place + 8))
        return found

    def _framed(self, runs: Ints) -> Ints:
        """Returns the digits of a vendor's code that ends in its severity: ``ANR2034E``."""
        fits = ~self._sign(runs - 2, DIGIT) & ~self._sign(runs + 2, DIGIT)
        letters = self._size(runs - 1)
        fits &= (letters >= 3) & (letters <= 7) & (self._size(runs + 1) == 1)
        runs = runs[fits]
        names = self._tails(runs - 1)
        return np.asarray(runs[((names == 0) | ((names >= 65) & (names <= 90))).all(axis=1)])
