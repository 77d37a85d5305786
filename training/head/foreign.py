"""Messages that training injects into streams of other systems: which name a failure, and how they look there.

A severe message names a failure by its words, by a status or by an exit code. The words and codes label training
windows; the label of a real line is never taken from here.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np

from logwarden.model.masking import MAX_CANONICAL_CHARS

# Words of failure in any system; they label training windows and are not used at inference.
SEVERE_WORDS = re.compile(
    r"(?i)\b(error|fatal|crit(ical)?|emerg|alert|severe|panic|exception|fail(ed|ure|s)?|denied|refused"
    r"|timed? ?out|abort(ed)?|corrupt(ed|ion)?|unable|cannot|could not|lost|broken|unreachable"
    r"|invalid|killed|traceback)\b"
)
FAILURE = re.compile(
    SEVERE_WORDS.pattern[:-3]
    + r"|not (found|supported|allowed|exist\w*|available|enough)|no such|missing|unknown|unexpected"
    r"|unsupported|illegal|bad|wrong|mismatch|exceeded|too (many|large|long|small)|must)\b"
)
"""`SEVERE_WORDS` and the words in which programs refuse a request."""
_PER_STREAM = 80  # messages of each kind that one stream contributes to the others
_STATUS = re.compile(r"(?<![\w.:*/-])[1-5]\d\d(?![\w*/-]|\.\w)")
_FAILED = re.compile(r"(?<![\w.:*/-])5\d\d(?![\w*/-])|(?:exit code|exit status|signal|rc=|errno=) ?[1-9]")
_FAILED_STATUSES, _HARMLESS_STATUSES = ("500", "502", "503", "504"), ("200", "201", "204", "206", "301", "304", "404")
_FAILED_CODES = ("exit code 1", "exit status 137", "signal 9", "rc=255", "errno=28", "status=500", "status=503")
_HARMLESS_CODES = ("exit code 0", "exit status 0", "rc=0", "status=200", "status=204")
_OWN_STATUSES = 0.3
"""Share of a pool that repeats the stream's own lines with other statuses, where it has lines with a status."""
_FOREIGN_CODES = 0.08
"""Share of a pool that is a harmless message with a status or exit code behind it."""
_LEVELS = {"INFO": "ERROR", "info": "error", "I": "E", "notice": "error", "DEBUG": "ERROR", "Info": "Error"}
_HEADER = re.compile(r"^(.{2,70}?(?:[:\]|]|(?:INFO|WARN|ERROR|DEBUG|notice|Info))\s)\s*\S")


def names_failure(text: str) -> bool:
    """Returns True for a text with a word of failure, a failed status or a failed exit code."""
    return FAILURE.search(text) is not None or _FAILED.search(text) is not None


def messages(texts: Sequence[str]) -> tuple[list[str], list[str]]:
    """Returns distinct severe and harmless messages of a stream without their headers, earliest first."""
    severe: dict[str, None] = {}
    benign: dict[str, None] = {}
    for text in dict.fromkeys(texts):
        header = _HEADER.match(text)
        message = text[header.end(1) :].strip() if header else text
        if len(message) >= 12:
            (severe if SEVERE_WORDS.search(text) else benign)[message] = None
    return list(severe)[:_PER_STREAM], list(benign)[:_PER_STREAM]


class ForeignMessages:
    """Severe and harmless messages of other systems, drawn at random."""

    def __init__(self, severe: Sequence[str], benign: Sequence[str], rng: np.random.Generator) -> None:
        self._severe = np.array(severe, object)
        self._benign = np.array(benign, object)
        self._rng = rng

    def behind_headers(self, stream: Sequence[str], count: int, *, severe: bool) -> list[str]:
        """Returns `count` messages, most of them behind the header of a line of this stream.

        Where the stream has lines with a status, some are its own lines with another status: a failure that differs
        from what is familiar by its code only.
        """
        own = [text for text in dict.fromkeys(stream) if _STATUS.search(text)]
        out = []
        for message in self._rng.choice(self._severe if severe else self._benign, count):
            if own and self._rng.random() < _OWN_STATUSES:
                out.append(self._with_other_status(own, severe))
            elif self._rng.random() < _FOREIGN_CODES:
                codes = _FAILED_CODES if severe else _HARMLESS_CODES
                out.append(
                    self._behind_header(stream, f"{self._rng.choice(self._benign)} {self._rng.choice(codes)}", severe)
                )
            else:
                out.append(self._behind_header(stream, str(message), severe))
        return out

    def _with_other_status(self, own: Sequence[str], severe: bool) -> str:
        status = self._rng.choice(_FAILED_STATUSES if severe else _HARMLESS_STATUSES)
        return _STATUS.sub(str(status), own[int(self._rng.integers(len(own)))], count=1)

    def _behind_header(self, stream: Sequence[str], message: str, severe: bool) -> str:
        header = _HEADER.match(stream[int(self._rng.integers(len(stream)))])
        if header is None or self._rng.random() < 0.25:
            return message
        prefix = header[1]
        if severe and self._rng.random() < 0.5:
            prefix = re.sub(r"\b(INFO|info|I|notice|DEBUG|Info)\b", lambda m: _LEVELS[m[0]], prefix)
        return (prefix + message)[:MAX_CANONICAL_CHARS]
