"""Takes a line out of the frame that container runtimes write: `time stream F text`, or P for a part of a line."""

from __future__ import annotations

import re
from collections.abc import Sequence

from logwarden.daemon.decoding.event import Frame

_FRAME = re.compile(r"(\d{4}-\d\d-\d\dT[\d:.]{8,18}(?:Z|[+-]\d\d:\d\d)) (?:stdout|stderr) (?:[FP](?::\S{0,32})? )?")
_LINE = re.compile(rb"(\d{4}-\d\d-\d\dT[\d:.]{8,18}(?:Z|[+-]\d\d:\d\d) (stdout|stderr) )([FP])(?::\S{0,32})? ?")


def unwrapped(line: str) -> Frame | None:
    """Returns the content of a runtime's frame; None for any other line."""
    found = _FRAME.match(line)
    return Frame(text=line[found.end() :], at=found[1]) if found else None


def joined(lines: Sequence[bytes]) -> list[bytes]:
    """Returns lines in which the parts of one line, marked P, are one again. Parts of the two streams may mix."""
    # "… stdout P a", "… stderr F x", "… stdout F b" become "… stdout F ab", "… stderr F x"
    out: list[bytes] = []
    open_at: dict[bytes, int] = {}
    parts: dict[int, list[bytes]] = {}
    for line in lines:
        found = _LINE.match(line)
        if found is None:
            out.append(line)
            continue
        stream, flag, rest = found[2], found[3], line[found.end() :]
        place = open_at.get(stream)
        if place is None:
            out.append(b"")
            place = open_at[stream] = len(out) - 1
            parts[place] = [found[1] + b"F "]
        parts[place].append(rest)
        if flag == b"F":
            del open_at[stream]
    for place, pieces in parts.items():
        out[place] = b"".join(pieces)
    return out
