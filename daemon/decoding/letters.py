"""Reads heads in which a letter or a sign is the level: klog and glog, logcat, Tornado, spdlog, MongoDB, Redis.

Masking takes such a letter for part of an identifier, so the event states the level's name instead of the head.
"""

from __future__ import annotations

import re

from logwarden.daemon.decoding.event import Frame
from logwarden.model import severity

_CLOCK = r"\d\d:\d\d:\d\d(?:[.,]\d{1,9})?"
_DAY = r"(?:\d{4}[-/.])?\d\d[-/.]\d\d"
_HEADS = (
    # E1123 10:00:02.123456       1 controller.go:141] sync failed
    re.compile(rf"(?P<letter>[IWEFDV])(?P<at>(?:\d{{4}}|\d{{8}}) {_CLOCK}) +(?:\S{{1,20}} +)?(?=[\w./-]+:\d+\])"),
    # 11-23 10:00:00.123  1234  5678 E ActivityManager: msg
    re.compile(rf"(?P<at>{_DAY} {_CLOCK}) +\d+ +\d+ (?P<letter>[VDIWEFA]) (?=\S)"),
    # 11-23 10:00:00.123 E/ActivityManager( 1234): msg
    re.compile(rf"(?P<at>(?:{_DAY} {_CLOCK} )?)(?P<letter>[VDIWEFA])/(?=[^\s(:]{{1,64}} *(?:\( *\d+\))?:)"),
    # [E 261123 10:00:00 web:2271] msg, [I 2026-11-23 10:00:00.123 ServerApp] msg
    re.compile(rf"\[(?P<letter>[DIWECF]) (?P<at>(?:\d{{6}} |{_DAY} )?{_CLOCK}) ?(?P<name>[^\]\n]{{0,80}})\] *"),
    # 2026-11-23T10:00:00.123+0000 E STORAGE  [conn1] msg, [2026-11-23 10:00:00.123] [E] msg
    re.compile(
        rf"\[?(?P<at>{_DAY}[T ]{_CLOCK}(?: ?(?:Z|[+-]\d\d:?\d\d))?)\]?(?::?[ \t]+|\|)(?:\[[^\]\n]{{1,64}}\] )?"
        r"(?:(?P<name>\S{1,64}) (?=[TVDIWEFC]> ))?[\[(<|]?(?P<letter>[TVDIWEFC])[\])>|:!]?[ \t|]+(?=\S)"
    ),
    # [2026-11-23 10:00:00,123 E 4711 4712] msg
    re.compile(rf"\[(?P<at>{_DAY}[T ]{_CLOCK}) (?P<letter>[DIWECF])(?: \d{{1,10}}){{1,2}}\] +(?=\S)"),
    # 4711:M 23 Nov 2026 10:00:00.123 # msg
    re.compile(rf"\d+:[MSCX] (?P<at>\d\d [A-Z][a-z]{{2}} (?:\d{{4}} )?{_CLOCK}) (?P<letter>[.*#-]) "),
    # E (4711) wifi: msg, with the milliseconds since the start
    re.compile(r"(?P<letter>[VDIWE]) \((?P<at>)\d{1,12}\) (?=[\w.-]{1,64}: )"),
)
_KLOG, _LOGCAT, _BRIEF, _BRACKETS, _BEHIND_TIME, _IN_BRACKETS, _REDIS, _UPTIME = _HEADS
_NAMING = (_BRACKETS, _BEHIND_TIME)
"""Heads in which a name of the writer's may stand."""
_NUMBERED = (_LOGCAT, _BRIEF, _BEHIND_TIME, _REDIS)
_SIGNS_OF_DAY = ("-", "/", ".")
_SIGNS = {".": severity.DEBUG, "-": severity.DEBUG, "*": severity.NOTICE, "#": severity.WARNING}


def read(line: str) -> Frame | None:
    """Returns the event of a line whose head has a letter for its level; None for any other line."""
    for pattern in _heads(line[:5]):
        if found := pattern.match(line):
            letter = found["letter"]
            level = _SIGNS[letter] if letter in _SIGNS else severity.of_word(letter)
            name = found["name"] if pattern in _NAMING else ""
            text = line[found.end() :]
            return Frame(f"{name}: {text}" if name else text, level=level, at=found["at"])
    return None


def _heads(begin: str) -> tuple[re.Pattern[str], ...]:
    """Returns the patterns that can match a line with this begin, in order."""
    first, second = begin[:1], begin[1:2]
    if first.isdecimal():  # a day has its first sign behind two digits or four
        return _NUMBERED if begin[2:3] in _SIGNS_OF_DAY or begin[4:5] in _SIGNS_OF_DAY else (_REDIS,)
    if first == "[":
        return (_BRACKETS,) if second in "DIWECF" else (_IN_BRACKETS, _BEHIND_TIME)
    if second == "/":
        return (_BRIEF,) if first in "VDIWEFA" else ()
    if begin[1:3] == " (":
        return (_UPTIME,)
    return (_KLOG,) if first in "IWEFDV" else ()
