"""Takes a line out of its syslog frame: RFC 5424, RFC 3164 and its many dialects, and a bare `<PRI>`.

A line is a frame only with a PRI before it. Without one it is what `rsyslogd` writes into a file, and stays as it is.
"""

from __future__ import annotations

import re

from logwarden.daemon.decoding.event import Frame, quoted
from logwarden.model import severity

_PRI = re.compile(r"<(\d{1,3})>\s?")
_NEW = re.compile(r"\d{1,2} (-|\d{4}-\d\d-\d\dT\S{8,32}) (\S{1,255}) (\S{1,128}) (\S{1,128}) (\S{1,64}) ?")
_ELEMENT = re.compile(r'\[([^\s\]="]{1,64})((?: [^\s\]="]{1,64}="(?:[^"\\\]]|\\.)*")*)\]')
_PAIR = re.compile(r' ([^\s\]="]{1,64})="((?:[^"\\\]]|\\.)*)"')
_OLD_TIME = re.compile(
    r"(?:\d{1,10}: )?[*.]?"  # Cisco's sequence number, and its mark of a clock that is not set
    r"((?:[A-Z][a-z]{2} [ \d]\d(?: \d{4})? \d\d:\d\d:\d\d(?:[.,]\d{1,9})?(?: \d{4}(?= ))?|\d{4}-\d\d-\d\dT[\d:.,]{8,18}"
    r"(?:Z|[+-]\d\d:?\d\d)?)(?: [A-Z]{3,4}(?=: ))?):? +"
)
_TAG = re.compile(r"([A-Za-z_/][\w./@+-]{0,63})(?:\[([\w.-]{1,16})\]:?|:)(?:\s+|$)")
_HOST = re.compile(r"[\w.:@-]{1,255} +")
_CISCO = re.compile(r"%[A-Z][A-Z0-9_]*-(?:[A-Z0-9_]+-)?([0-7])-[A-Z0-9_]+:")


def unwrapped(line: str) -> Frame | None:
    """Returns the content of a syslog frame; None for a line without a PRI."""
    found = _PRI.match(line)
    level = severity.of_syslog(int(found[1])) if found else None
    if found is None or level is None:
        return None
    head = _NEW.match(line, found.end())
    return _of_5424(line, level, head) if head else _of_3164(line[found.end() :], level)


def _of_5424(line: str, level: int, head: re.Match[str]) -> Frame:
    at, _, app, _, kind = head.groups()
    place = head.end()
    pairs: list[str] = []
    if line.startswith("-", place):
        place += 1
    while element := _ELEMENT.match(line, place):
        pairs += [f"{key}={_bare(value)}" for key, value in _PAIR.findall(element[2])]
        place = element.end()
    text = line[place:].lstrip(" \ufeff")
    # MSGID names the kind of message; some writers put a number of the message there.
    words = [f"{app}:" if app != "-" else "", kind if kind.isalpha() else ""]
    return Frame(
        text=text,
        tag=" ".join(filter(None, words)),
        level=level,
        service=None if app == "-" else app,
        at="" if at == "-" else at,
        after=" ".join(pairs),
    )


def _of_3164(rest: str, level: int) -> Frame:
    dated = _OLD_TIME.match(rest)
    text = rest[dated.end() :] if dated else rest
    tag = _TAG.match(text)
    if tag is None and dated:
        host = _HOST.match(text)
        text = text[host.end() :] if host else text
        tag = _TAG.match(text)
    cisco = _CISCO.match(text)
    if cisco:
        level = severity.of_syslog(int(cisco[1])) or level
    at = dated[1] if dated else ""
    if tag is None or (dated is None and tag[2] is None):  # `<3>disk: full` of a unit has no tag
        return Frame(text=text, level=level, at=at)
    message = text[tag.end() :].lstrip()
    service = tag[1].rpartition("/")[2] or tag[1]
    return Frame(text=message, tag=f"{tag[1]}:", level=level, service=service, at=at)


def _bare(value: str) -> str:
    """Returns a parameter's value without its escapes, in quotes if it has no word or many."""
    return quoted(re.sub(r"\\(.)", r"\1", value)) or '""'
