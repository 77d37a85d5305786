"""Reads from a canonical line what an engineer looks for first: its level, status and exit codes, words of failure.

Cold path: computed once per distinct line, beside its embedding, so that the first `500` after thousands of `200` is a
surprise of its own however alike the two lines embed. Also prepares the text for the line encoder, which knows English:
words of failure in other languages become English ones, and letters of other scripts Latin ones.

Knows texts; knows nothing of services and history.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache

import numpy as np
from anyascii import anyascii

from logwarden.model import failure_words, severity
from logwarden.model.arrays import Bools, Floats, Ints

NAMES = (
    "level_stated",
    "level_warning",
    "level_error",
    "level_critical",
    "failure",
    "failures",
    "trouble",
    "status_5xx",
    "status_4xx",
    "exit_code",
    "exception",
    "health",
    "planned",
)
"""Columns of the evidence, each 0 to 1."""
WIDTH = len(NAMES)
SEVERE = [NAMES.index(name) for name in ("level_error", "failure", "status_5xx", "exit_code", "exception")]
"""Columns that make a line severe."""
_REFUSED = NAMES.index("status_4xx")
_LEVELS = [NAMES.index(name) for name in ("level_warning", "level_error", "level_critical")]


def _words(alternatives: str) -> re.Pattern[str]:
    return re.compile(rf"(?<![\w-])(?:{''.join(alternatives.split(chr(10)))})(?![\w-])", re.IGNORECASE)


_FAILURE, _TROUBLE = _words(failure_words.FAILURE), _words(failure_words.TROUBLE)
_HEALTH, _PLANNED = _words(failure_words.HEALTH), _words(failure_words.PLANNED)
_CONNECTION = _words(failure_words.CONNECTION)
# Counters and negations name failures that did not happen: "errors=*", "* failed, * ok", "without error".
_COUNTERS = re.compile(
    r"(?i)\b(?:errors|failures|failed|retries|exceptions|timeouts|dropped|lost)[\"' ]*[=:]\s*[\"']?"
    r"(?:\*|none|null|nil|false|0\b)"
    r"|\*\s+(?:errors?|failed|failures?|timeouts?|lost|dropped|skipped|dead|expired|evicted)\b"
    r"|\bno (?:errors?|failures?|problems?)\b"
    r"|\bwithout (?:any )?(?:errors?|failures?)\b"
    r"|\b(?:error|err|exception)[\"' ]*[=:]\s*[\"']?(?:none|null|nil|false|\"\"|0\b)"
)
_STATUS = re.compile(r"(?<![\w.:*/-])([1-5]\d\d)(?![\w*/-]|\.\w)")
_STATUS_WORDS = re.compile(
    r"\b(?:INTERNAL|UNAVAILABLE|DEADLINE_EXCEEDED|RESOURCE_EXHAUSTED|DATA_LOSS|ABORTED|UNKNOWN_ERROR)\b|(?<!\w)5xx(?!\w)"
)
_REFUSAL_WORDS = re.compile(
    r"\b(?:UNAUTHENTICATED|PERMISSION_DENIED|FAILED_PRECONDITION|INVALID_ARGUMENT)\b|(?<!\w)4xx(?!\w)"
)
_EXIT = re.compile(
    r"(?i)\b(?:exit(?:ed|s)?(?: with)?(?: (?:code|status))?|exit[_-]?(?:code|status)|rc|ret(?:urn)?[_ ]?code|returned"
    r"|signal|sig|errno|err)"
    r"[\"' ]*[=: ]?\s*[\"']?(-?\d+)\b"
)
_VENDOR = re.compile(
    r"\b(?:ORA-\d{5}|SQLSTATE\W{1,3}(?!00000)\w{5}|0x[8cC]\d{3}[0-9A-Fa-f]{4}|SIG(?:KILL|SEGV|ABRT|BUS|ILL|FPE))\b"
)
_EXCEPTION = re.compile(
    r"\b[A-Za-z_][\w.$]*(?:Exception|Error|Fault|Panic)\b|\bTraceback\b|panicked at|^panic: | panic: "
)
_ANYWHERE, _STEMS, _ASCII = (
    "|".join(sorted((re.escape(word) for word in failure_words.GLOSSES if kind(word)), key=len, reverse=True))
    for kind in (
        lambda word: word[0] > "\u0e00",  # scripts without spaces between words
        lambda word: not word.isascii() and word[0] <= "\u0e00",
        str.isascii,
    )
)
# Where words have endings, a stem stands for all of them; of words in ASCII only the endings of gender and number,
# because English has words that begin alike.
_FOREIGN = re.compile(rf"({_ANYWHERE})|(?<!\w)(?:({_STEMS})\w*|({_ASCII})(?:[oae]s?)?(?!\w))")


@lru_cache(maxsize=4096)
def glossed(text: str) -> str:
    """Returns a text for an encoder that knows English: glosses for foreign words, Latin letters for other scripts."""
    folded = text.casefold()
    if not _FOREIGN.search(folded):
        return text if text.isascii() else anyascii(text)
    return anyascii(_FOREIGN.sub(lambda found: f" {failure_words.GLOSSES[found[found.lastindex or 0]]} ", folded))


def of_texts(texts: Sequence[str]) -> Floats:
    """Returns the evidence (n, WIDTH) of n canonical texts."""
    return np.array([_of_text(text) for text in texts], np.float32).reshape(len(texts), WIDTH)


def severities(texts: Sequence[str]) -> tuple[Bools, Ints, Bools]:
    """Returns of n canonical texts whether each states an error or names a failure, its level, and whether it refuses.

    All (n,). Levels: 0 none or harmless, 1 warning, 2 error, 3 critical. A refusal is a status 4xx other than 404.
    """
    columns = of_texts(texts)
    severe, refused = columns[:, SEVERE].any(axis=1), columns[:, _REFUSED] > 0
    return np.asarray(severe), columns[:, _LEVELS].sum(axis=1).astype(np.int64), np.asarray(refused)


def announcements(texts: Sequence[str]) -> Bools:
    """Returns of n canonical texts (n,) whether each is a harmless line about a stop or a restart."""
    columns = of_texts(texts)
    harmless = ~columns[:, [*SEVERE, *_LEVELS]].any(axis=1)
    return np.asarray(harmless & (columns[:, NAMES.index("planned")] > 0))


def connections(texts: Sequence[str]) -> Bools:
    """Returns of n canonical texts (n,) whether each is about the connection to another process."""
    return np.array([_CONNECTION.search(glossed(text)) is not None for text in texts], bool)


def line_vectors(embeddings: Floats, texts: Sequence[str], width: int) -> Floats:
    """Returns what the head reads of n lines (n, E + width): the embeddings (n, E), and beside them the evidence.

    A `width` of 0 leaves the evidence out, for heads that were trained before there was any.
    """
    return np.concatenate([embeddings, of_texts(texts)[:, :width]], axis=1) if width else embeddings


@lru_cache(maxsize=4096)  # read for the line table, and again for the head
def _of_text(text: str) -> tuple[float, ...]:
    level = severity.of_line(text)
    plain = _COUNTERS.sub(" ", glossed(text))
    failures = len({word.casefold() for word in _FAILURE.findall(plain)})
    statuses = [] if _EXIT.search(plain) else [int(code) for code in _STATUS.findall(plain)]
    codes = [int(code) for code in _EXIT.findall(plain)]
    return (
        float(level is not None),
        float(level is not None and level >= severity.WARNING),
        float(level is not None and level >= severity.ERROR),
        float(level is not None and level >= severity.CRITICAL),
        float(failures > 0),
        min(failures, 3) / 3,
        float(_TROUBLE.search(plain) is not None),
        float(any(code >= 500 for code in statuses) or _STATUS_WORDS.search(plain) is not None),
        float(any(400 <= code < 500 and code != 404 for code in statuses) or _REFUSAL_WORDS.search(plain) is not None),
        float(any(codes) or _VENDOR.search(plain) is not None),
        float(_EXCEPTION.search(plain) is not None),
        float(_HEALTH.search(plain) is not None),
        float(_PLANNED.search(plain) is not None),
    )
