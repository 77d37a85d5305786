"""Replaces the variable parts of log lines ("masking"), so that lines of one kind become one text.

Two levels. `mask_blob` runs on every line and is vectorised over a whole batch: tokens with a digit become ``*``,
unless they may be a status or an error code (200 turning into 503 is evidence). `canonical` runs once per distinct
result of the first level and may therefore be slow: it decides what is a code, and masks dates, addresses, paths, names
and ids.
The second level reads only the first level's output, so one key always has one canonical text.

Knows nothing of line ids, services or tensors.
"""

from __future__ import annotations

import hashlib

from logwarden.model.mask_bytes import mask_blob
from logwarden.model.mask_reference import mask_reference
from logwarden.model.mask_rules import MAX_CANONICAL_CHARS, canonical

__all__ = ["MAX_CANONICAL_CHARS", "VERSION", "canonical", "line_hash", "mask_blob", "mask_line", "mask_reference"]

VERSION = 2
"""Stored beside anything keyed by masked lines; raised when a rule changes, because old keys then mean nothing."""


def line_hash(text: str) -> int:
    """Returns a 64-bit name for a canonical text, the same in every run and on every machine (blake2b)."""
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "little", signed=True)


def mask_line(line: str) -> str:
    """Masks one line on both levels, for training and tests. The hot path uses `mask_blob` and a dictionary."""
    one_line = line.encode("utf-8", "replace").replace(b"\n", b" ")
    return canonical(mask_blob(one_line + b"\n")[0])
