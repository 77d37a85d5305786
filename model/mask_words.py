"""The words and signs by which the first level of masking knows what may be a code, and its numbers."""

from __future__ import annotations

import re

# Colours and other orders to a terminal (ECMA-48), none across a line's end: bounded, so that no text is read twice.
PAINT = re.compile(rb"\x1b(?:\[[0-?]{0,32}[ -/]{0,4}[@-~]|\][^\x07\x1b\n]{0,256}(?:\x07|\x1b\\)|[@-Z\\^_])")

TAIL = 8  # letters of a word that are compared, from its end: they fit one integer
CODE_ENDINGS = (b"status", b"code", b"errno")
CODE_WORDS = (
    b"err error rc ret retval exit exits exited signal sig sigs result res returned returns return sqlstate eventid"
    b" event hresult closed terminated killed failed died ended finished completed reply response responded answered"
    b" answer got http grpc severity level lvl priority prio said stopped aborted crashed"
).split()
MAX_GAP = 4
BEFORE = b" =:\"'([#-"
"""Bytes that can stand right before a code that a word announces."""
LEFT, RIGHT = b" \t\"'|/([=:,->\n", b" \t\n|\"',)];:"
"""Bytes that can stand around a status that no word announces."""
SHORT, LONG = 5, 6  # digits of a code; and of a vendor's code, as in ORA-00600
REPLIES = frozenset(
    n
    for first, last in (
        (100, 103), (110, 110), (120, 120), (125, 125), (150, 150), (200, 208), (211, 235), (250, 257), (300, 308),
        (331, 354), (400, 431), (440, 455), (460, 464), (494, 511), (520, 541), (550, 561), (598, 599),
    )
    for n in range(first, last + 1)
)  # fmt: skip
"""Statuses of HTTP, and replies of SMTP and FTP, in blocks."""

ENHANCED = re.compile(rb"(?:(?<![0-9A-Za-z])[245][0-9]{2}[ -]|=)([245]\.[0-9]{1,3}\.[0-9]{1,3})(?![0-9A-Za-z.])")
"""An enhanced status of mail, behind its reply or in a field: ``550 5.7.1``."""
