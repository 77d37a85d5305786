"""Reads the extended log format of the W3C, as IIS and content networks write it.

The line `#Fields:` names the columns of the lines below it in the same value. Without it, the columns are found by the
request's method and, behind it, by the first number that is a status.
"""

from __future__ import annotations

import re

from logwarden.daemon.decoding.event import Frame

DIRECTIVES = (b"#Fields:", b"#Software:", b"#Version:", b"#Date:", b"#Start-Date:", b"#End-Date:", b"#Remark:")
"""Heads of the lines that describe such a log; they are no events."""
_HEAD = re.compile(r"(\d{4}-\d\d-\d\d)[ \t](\d\d:\d\d:\d\d)[ \t]")
_METHOD = re.compile(r"[ \t](GET|HEAD|POST|PUT|PATCH|DELETE|OPTIONS|CONNECT|TRACE|PROPFIND|SEARCH)[ \t]")
_STATUS = re.compile(r"[1-5]\d\d")
_NUMBER = re.compile(r"-|\d{1,20}")
_CODES = (("sc-substatus", "substatus"), ("sc-win32-status", "win32_status"))


def names_columns(value: bytes) -> bool:
    """Returns True for a value that begins with directives and names its columns in one of them."""
    return value.startswith(b"#") and b"#Fields:" in value


def read(line: str) -> Frame | None:
    """Returns the event of a line whose columns have no names; None for any other line."""
    head = _HEAD.match(line)
    method = _METHOD.search(line, head.end() - 1) if head else None
    if head is None or method is None:
        return None
    words = re.split("\t" if "\t" in line else " ", line[method.end() :])
    path = next((place for place, word in enumerate(words[:2]) if word.startswith("/")), None)
    if path is None:
        return None
    at = f"{head[1]} {head[2]}Z"  # these logs are written in UTC
    if path == 1 and len(words) > 2 and _STATUS.fullmatch(words[2]):  # behind the host, as content networks write
        return Frame(f"{method[1]} {_path(words[1])} status={words[2]} host={words[0]}", at=at)
    # "/cart - 443 - 192.0.2.7 curl - 500 0 64 12": a port may look like a status; only numbers are behind a status
    place = len(words)
    while place > path + 1 and _NUMBER.fullmatch(words[place - 1]):
        place -= 1
    status = next((at for at in range(place, len(words)) if _STATUS.fullmatch(words[at])), None)
    if status is None:
        return None
    codes = zip(_CODES, words[status + 1 : status + 3], strict=False)
    return _frame(method[1], words[path], words[status], [(name, code) for (_, name), code in codes], at)


def lines(value: str) -> list[Frame | str]:
    """Returns the lines of a value that names its columns: events, and other lines as they are."""
    names: list[str] = []
    out: list[Frame | str] = []
    for line in value.splitlines():
        if line.startswith("#Fields:"):
            names = line.partition(":")[2].split()
        elif names and not line.startswith("#"):
            words = line.split("\t") if "\t" in line else line.split()
            fields = dict(zip(names, words, strict=False))
            out.append(_of_fields(fields) or line)
        elif not line.encode("utf-8", "replace").startswith(DIRECTIVES):
            out.append(line)
    return out


def _of_fields(fields: dict[str, str]) -> Frame | None:
    method, path = fields.get("cs-method", "-"), fields.get("cs-uri-stem") or fields.get("cs-uri", "-")
    status = fields.get("sc-status", "-")
    if status == "-" or path == "-":
        return None
    at = f"{fields['date']} {fields['time']}Z" if "date" in fields and "time" in fields else ""
    return _frame(method, path, status, [(name, fields.get(key, "-")) for key, name in _CODES], at)


def _frame(method: str, path: str, status: str, codes: list[tuple[str, str]], at: str) -> Frame:
    more = [f"{name}={code}" for name, code in codes if code not in ("-", "0", "")]
    return Frame(" ".join([method, _path(path), f"status={status}", *more]), at=at)


def _path(target: str) -> str:
    return target.partition("?")[0]
