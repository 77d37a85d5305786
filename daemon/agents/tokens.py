"""Counts the tokens of a text from above, because the tokenizer of the agent that reads it is not known here.

ASCII counts as the shipped WordPiece vocabulary splits it. It knows English words, but every sign, most digits and one
to two letters of random text are a token each. Any other character counts by its bytes in UTF-8, the most that a
byte-level vocabulary can make of it. docs/mcp.md has what four public vocabularies make of the same texts.
"""

from __future__ import annotations

import re
from functools import cache

from tokenizers import Tokenizer

from logwarden.model.checkpoint import SHIPPED
from logwarden.model.encoder_files import read_tokenizer
from logwarden.model.schema import ELLIPSIS

_OTHER = re.compile(r"[^\x00-\x7f]+")
_PIECE = re.compile(r"[A-Za-z0-9]{32}")
"""Part of a long word. The vocabulary makes one unknown token of a longest word, and is slow in long ones; parts have
as many tokens as the whole, or more."""


@cache
def _vocabulary() -> Tokenizer:
    tokenizer = read_tokenizer(SHIPPED / "encoder")
    tokenizer.no_truncation()
    tokenizer.no_padding()
    return tokenizer


def tokens_in(text: str) -> int:
    """Returns the most tokens that a text is expected to be."""
    if text.isascii():
        return len(_vocabulary().encode(_PIECE.sub(r"\g<0> ", text), add_special_tokens=False))
    others = sum(len(found.encode("utf-8", "surrogatepass")) for found in _OTHER.findall(text))
    return others + tokens_in(_OTHER.sub(" ", text))


def clipped(text: str, most: int) -> str:
    """Returns a text of at most `most` tokens; a longer one ends in `…`, which counts."""
    if tokens_in(text) <= most:
        return text
    left = most - tokens_in(ELLIPSIS)
    low, high = 0, len(text)
    # The tokens of a begin never become fewer as it gets longer, but for the word at its end, which may join.
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if tokens_in(text[:middle]) <= left else (low, middle - 1)
    return text[:low] + ELLIPSIS
