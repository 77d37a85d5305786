"""Reads the lines of web servers and proxies: method, path and `status=` come first, and what varies per client goes.

Whole formats are rewritten: the common and combined logs of any server, HAProxy, Envoy, Squid, load balancers, and logs
between bars. In any other line with a request and a status only these two places change.
"""

from __future__ import annotations

import re

from logwarden.daemon.decoding.event import Frame

METHODS = (
    "GET|HEAD|POST|PUT|PATCH|DELETE|OPTIONS|CONNECT|TRACE|PROPFIND|PROPPATCH|MKCOL|COPY|MOVE|LOCK|UNLOCK|REPORT|PURGE"
    "|SEARCH|QUERY"
)
_ALL_METHODS = tuple(METHODS.split("|"))
_STATUS = r"[1-5]\d\d"
_QUOTED = r'"([^"\\]*(?:\\.[^"\\]*)*)"'

# 192.0.2.7 - anna [23/Nov/2026:10:00:00 +0000] "GET /cart HTTP/1.1" 502 157 "-" "curl/8.5.0" …
_COMMON = re.compile(
    rf"(\S{{1,255}}) (\S{{1,255}}) [^\[\"]{{1,255}} "
    rf"\[(\d\d/[A-Za-z]{{3}}/\d{{4}}[: ]\d\d:\d\d:\d\d[^\]\"]{{0,16}})\] (?:(\S{{1,255}}) )?{_QUOTED} "
    rf"({_STATUS}|000)(?= |$)"
)
# 10.0.0.9:4711 [23/Nov/2026:10:00:00.123] www~ app/web-1 0/0/1/2/3 503 212 - - SC-- 1/1/0/0/0 0/0 "GET / HTTP/1.1"
_HAPROXY = re.compile(
    rf"\[(\d\d/[A-Za-z]{{3}}/\d{{4}}:[\d:.]+)\] (\S+) ([^\s/]+/\S+) [-+/\d]+ ({_STATUS}|-1) \+?\d+ \S+ \S+ (\S{{4}}) "
    rf'[^"]{{0,512}}{_QUOTED}'
)
# [2026-11-23T10:00:00.123Z] "GET /cart HTTP/1.1" 503 UF upstream_reset… 0 91 …
_ENVOY = re.compile(
    rf'\[(\d{{4}}-[^\]]{{8,32}})\] {_QUOTED} (\d{{1,3}}) (-|[A-Z]{{2,6}}(?:,[A-Z]{{2,6}})*) ([a-z][^\s"]{{2,80}})?'
)
# 1795429200.123    57 192.0.2.7 TCP_MISS/503 3921 GET http://shop.example/ - HIER_DIRECT/192.0.2.9 text/html
_SQUID = re.compile(rf"(\d{{9,10}}\.\d{{3}}) +\d+ \S+ ([A-Z_]{{3,40}})/(\d{{3}}) \d+ ({METHODS}) (\S+)")
# https 2026-11-23T10:00:00.123456Z app/edge/1 192.0.2.7:1 10.0.0.1:80 0.0 0.0 0.0 502 - 34 366 "GET https://… HTTP/2.0"
_BALANCER = re.compile(
    rf"(?:\S{{2,6}} )?(\d{{4}}-\d\d-\d\dT[\d:.]+Z) \S+ \S+ \S+ -?[\d.]+ -?[\d.]+ -?[\d.]+ ({_STATUS}|-) (\d{{3}}|-) "
    rf"-?\d+ -?\d+ {_QUOTED}"
)
_REQUEST_LINE = re.compile(r"([A-Z_]{3,16}) (\S+)(?: (?:HTTP|RTSP|SIP)/[\d.]+)?$")
_UPSTREAM = re.compile(rf"(?i)\b(upstream[_-]?status|us|ups?_status|origin_?status)[=:]\s?\"?({_STATUS})\b")

_BARS = re.compile(rf"(?:^|\|)\s*({_STATUS})\s*\|")
_REQUEST = re.compile(rf"\b({METHODS})\b[\"' ,|:]{{1,16}}((?:https?://[^/\s\"'|,]{{1,255}})?/[^\s\"'|]*)")
_BEFORE = re.compile(rf"(?:^|[\s\]:])({_STATUS}) $")
_AFTER = re.compile(
    rf"(\"?(?: HTTP/[\d.]+)?[\"']?(?: ?(?:[|,>→:-]|->|=>|-->|returned|responded|completed|failed|with|answered)){{0,4}}"
    rf" ?)({_STATUS})(?![\w.:%-])"
)
_ANSWER = re.compile(rf"(HTTP/\d(?:\.\d)?[\"']?,? )({_STATUS})(?![\w.:%-])")
_COMPLETED = re.compile(rf"\b(?:Completed|Sent|Responded|Finished)(?: with)? ({_STATUS})(?= [A-Za-z])")
_OUTCOME = re.compile(
    r" ((?:[a-z]+[_-])*(?:error|fail(?:ed|ure)?|timeout|refused|denied|reset|abort(?:ed)?)(?:[_-][a-z]+)*)(?= |$)"
)
"""A word of the server's behind the status that states more than the status does: `client-error-not-possible`."""
_PAIR = re.compile(
    rf"(?<![\w.-])(?:(?:up|upstream|us|rs|rsp|resp|response|origin|backend|be|target|http|sc)[_-]?(?:st|status|code|sc)?"
    rf"|st|stat|sts|code|rc)=\"?({_STATUS})(?![\w.:%-])"
)
"""A short key of a status. It counts only beside a request."""
_ADDRESS = re.compile(r"[0-9A-Fa-f:.]{3,45}$")


def read(line: str) -> Frame | None:
    """Returns the event of a line about a request and its status; None for any other line."""
    if '"' in line:
        if found := _COMMON.match(line):
            return _common(line, found)
        if found := _HAPROXY.search(line):
            at, front, back, status, ended, request = found.groups()
            return Frame(f"{_request(request)} status={status} end={ended} {front} {back}", at=at)
        if found := _ENVOY.match(line):
            at, request, status, flags, detail = found.groups()
            more = [] if flags == "-" else [f"flags={flags}"]
            return Frame(
                " ".join([f"{_request(request)} status={status}", *more, *([detail] if detail else [])]), at=at
            )
        if found := _BALANCER.match(line):
            at, status, behind, request = found.groups()
            return Frame(f"{_request(request)} status={status} target_status={behind}", at=at)
    if line[:1].isdecimal() and (found := _SQUID.match(line)):
        at, result, status, method, target = found.groups()
        return Frame(f"{method} {path_of(target)} status={status} {result}", at=at)
    return _elsewhere(line)


def _common(line: str, found: re.Match[str]) -> Frame:
    first, second, at, between, request, status = found.groups()
    words = [_request(request), f"status={status}"]
    # Some servers write the virtual host before the client, others behind the time.
    host, client = (first, second) if second != "-" and _ADDRESS.match(second) else (between or "-", first)
    if host != "-" and not _ADDRESS.match(host):
        words.append(f"host={host.partition(':')[0]}")
    if _may_name_upstream(line) and (upstream := _UPSTREAM.search(line, found.end())):
        words.append(f"{upstream[1]}={upstream[2]}")
    if _ADDRESS.match(client):
        words.append(f"client={client}")
    if outcome := _OUTCOME.search(line, found.end()):
        words.append(outcome[1])
    return Frame(" ".join(words), at=at)


def _may_name_upstream(line: str) -> bool:
    """Returns False for most lines: the names of such a status end in `us`, and the pattern takes long."""
    small = line.lower()
    return "us=" in small or "us:" in small or not line.isascii()


def _elsewhere(line: str) -> Frame | None:
    """Returns a line of no known format with `status=` where its status stands, and without the query of its path."""
    request = _REQUEST.search(line) if _may_be_request(line) else None
    if request is None:
        answer = _ANSWER.search(line) if "HTTP/" in line else None
        if answer is None and _may_be_completed(line) and (completed := _COMPLETED.search(line)):
            return Frame(f"{line[: completed.start(1)]}status={line[completed.start(1) :]}")
        return None if answer is None else Frame(f"{line[: answer.start(2)]}status={line[answer.start(2) :]}")
    path = path_of(request[2])
    if bars := _BARS.search(line, 0, request.start()):
        # "[GIN] 2026/11/23 - 10:00:00 | 503 | 9.2ms | 192.0.2.7 | GET  "/cart"" and perhaps an error behind it
        behind = line[request.end() :].strip(" \"'|")
        head = f"{request[1]} {path} status={bars[1]}"
        return Frame(f"{head} {behind}" if behind else head, at=line[: bars.start()])
    before = _BEFORE.search(line, 0, request.start())
    if before and before.end() == request.start():  # "500 GET /cart (192.0.2.7) 3ms"
        return Frame(f"{line[: before.start(1)]}{request[1]} {path} status={before[1]}{line[request.end(2) :]}")
    status = _AFTER.match(line, request.end())
    if status is None:
        status = _ANSWER.search(line, request.end())
    if status is None and "=" in line and "status" not in line and (pair := _PAIR.search(line, request.end())):
        words = f"{line[: request.start(2)]}{path}{line[request.end(2) : pair.start()]}"
        return Frame(f"{words}status={line[pair.start(1) :]}")
    if status is None:
        return Frame(f"{line[: request.start(2)]}{path}{line[request.end(2) :]}") if path != request[2] else None
    return Frame(f"{line[: request.start(2)]}{path}{status[1]}status={line[status.start(2) :]}")


def _may_be_request(line: str) -> bool:
    """Returns False for most lines without a request. Patterns that begin with many words take long."""
    has_path = " /" in line or '"/' in line or ":/" in line or "'/" in line or "|/" in line or ",/" in line
    return has_path and any(map(line.__contains__, _ALL_METHODS))


def _may_be_completed(line: str) -> bool:
    return "Completed" in line or "Sent" in line or "Responded" in line or "Finished" in line


def _request(text: str) -> str:
    """Returns method and path of a request line. Other bytes, such as those of TLS on a plain port, are no path."""
    found = _REQUEST_LINE.match(text)
    return f"{found[1]} {path_of(found[2])}" if found else "-" if text in ("", "-") else "malformed request"


def path_of(target: str) -> str:
    """Returns a request's target without its query and fragment."""
    return target.partition("?")[0].partition("#")[0].partition(";")[0] or "/"
