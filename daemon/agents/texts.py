"""Makes texts of logs fit to be read by an agent: masked unless raw lines are wanted, nothing hidden, bounded.

Anyone who can make a service log something can write what an agent reads. So a text stands in a field of its own,
never inside a sentence, and has no character that is obeyed or not seen: no escape sequence, no direction mark, no tag
or variation selector, of which a text for machines only can be made.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass

from logwarden.daemon.agents.tokens import clipped
from logwarden.model.masking import mask_line
from logwarden.model.schema import truncated

HIDDEN = "\N{REPLACEMENT CHARACTER}"
"""Stands for a run of characters without a glyph."""
MAX_CHARS = 240
LINE_TOKENS = 150
NAME_TOKENS = 40
_READ_CHARS = 4_096
"""Characters of a text that are looked at."""
_UNSEEN = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})
"""Unicode categories without a glyph: controls, format and direction marks, tags, surrogates."""
_SELECTORS = re.compile(
    "[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u2800\u3164\ufe00-\ufe0f\uffa0\U000e0100-\U000e01ef]"
)
"""Characters of other categories that have no glyph of their own either."""
_HIDDEN_RUN = re.compile(f"{HIDDEN}+")


@dataclass(frozen=True, slots=True)
class Texts:
    """The form of texts. `raw`: lines as they were logged, and not masked."""

    raw: bool = False

    def line(self, text: str, most: int = LINE_TOKENS) -> str:
        """Returns a log line of at most `most` tokens."""
        shown = text[:_READ_CHARS]
        return clipped(truncated(visible(shown if self.raw else mask_line(shown)), MAX_CHARS), most)


def name(text: str) -> str:
    """Returns a name or a remark of people, which is never masked."""
    return clipped(truncated(visible(text[:_READ_CHARS]), MAX_CHARS), NAME_TOKENS)


def visible(text: str) -> str:
    """Returns the text on one line, with `HIDDEN` for each run of characters that have no glyph."""
    if not (text.isascii() and text.isprintable()):
        text = _HIDDEN_RUN.sub(HIDDEN, "".join(map(_seen, text)))
    return " ".join(text.split())


def _seen(character: str) -> str:
    if character.isspace():
        return " "
    is_hidden = unicodedata.category(character) in _UNSEEN or _SELECTORS.match(character)
    return HIDDEN if is_hidden else character
