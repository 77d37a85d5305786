"""Lines of the text formats become events: level first, what happened next, the time and service that they state."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from logwarden.daemon.decoding.line_shapes import NO_TIME
from logwarden.daemon.decoding.plain_lines import plain_ms
from logwarden.daemon.decoding.text import read_line, read_text
from tests.oracles import LogRecord, default_decoder

NEAR_MS = 1_795_429_200_000  # 2026-11-23T10:20:00Z

CASES = {
    "syslog": (
        "<27>1 2026-11-23T10:00:01Z web billing 71 - - no route",
        ("ERROR billing: no route", "billing", "2026-11-23T10:00:01+00:00"),
    ),
    "syslog with data": (
        r'<30>1 - - billing - START [a@1 x="b c" y="d\"e"][f z="1"] ' + "\ufeffready",
        ('INFO billing: START ready x="b c" y=d"e z=1', "billing", None),
    ),
    "old syslog": (
        "<34>Nov 23 10:00:02 db-1 /usr/sbin/cron[12]: job (root) failed",
        ("CRITICAL /usr/sbin/cron: job (root) failed", "cron", "2026-11-23T10:00:02+00:00"),
    ),
    "old syslog without a host": (
        "<13>Nov 23 10:00:02 billing[12]: ready",
        ("NOTICE billing: ready", "billing", "2026-11-23T10:00:02+00:00"),
    ),
    "router": (
        "<189>123: *Nov 23 10:00:02.250: %LINK-3-UPDOWN: Interface Gi0/1, changed state to down",
        ("ERROR %LINK-3-UPDOWN: Interface Gi0/1, changed state to down", None, "2026-11-23T10:00:02.250+00:00"),
    ),
    "unit": ("<4>disk: almost full", ("WARNING disk: almost full", None, None)),
    "the line's own level": ("<30>1 - - billing 7 - - ERROR no route", ("billing: ERROR no route", "billing", None)),
    "no PRI": (
        "Nov 23 10:00:02 db-1 cron[12]: ran",
        ("Nov 23 10:00:02 db-1 cron[12]: ran", None, "2026-11-23T10:00:02+00:00"),
    ),
    "container": (
        "2026-11-23T10:00:01.123456789Z stderr F E1123 10:00:00.500000       1 sync.go:14] no route",
        ("ERROR sync.go:14] no route", None, "2026-11-23T10:00:00.500+00:00"),
    ),
    "logfmt": (
        'ts=2026-11-23T10:00:01Z level=error caller=d.go:9 user=anna msg="write failed" err="disk full" status=500 n=3',
        ("ERROR write failed: disk full status=500 caller=d.go:9 user=anna n=3", None, "2026-11-23T10:00:01+00:00"),
    ),
    "router of requests": (
        'at=error code=H12 desc="Request timeout" method=POST path="/pay?x=1" dyno=web.1 status=503',
        ("ERROR POST /pay Request timeout status=503 code=H12 dyno=web.1", None, None),
    ),
    "values without quotes": (
        "level=error message=no space left host=a",
        ("ERROR no space left host=a", None, None),
    ),
    "an error that is a number": (
        "level=info msg=bound err=49 op=2",
        ("INFO bound err=49 op=2", None, None),
    ),
    "a framework that sends": (
        "10:00:00.123 request_id=F1x [info] Sent 500 in 12ms",
        ("10:00:00.123 request_id=F1x [info] Sent status=500 in 12ms", None, None),
    ),
    "no logfmt": ("started with a=1 b=2 c=3", ("started with a=1 b=2 c=3", None, None)),
    "CEF": (
        "CEF:0|Ven\\|dor|Wall|4|7|Worm found|9|src=192.0.2.1 suser=anna act=blocked msg=in a file reason=x\\=y",
        ('CRITICAL Ven|dor Wall Worm found act=blocked msg="in a file" reason=x=y', None, None),
    ),
    "CEF behind syslog": (
        "<13>Nov 23 10:00:02 wall CEF:0|V|Wall|4|7|Session closed|Low|act=closed",
        ("INFO V Wall Session closed act=closed", None, "2026-11-23T10:00:02+00:00"),
    ),
    "LEEF": (
        "LEEF:2.0|V|Wall|4|LoginFailed|^|sev=8^usrName=anna^cat=auth^reason=bad word",
        ('ERROR V Wall LoginFailed cat=auth reason="bad word"', None, None),
    ),
    "web server": (
        r'192.0.2.7 - anna b [23/Nov/2026:12:00:00 +0200] "GET /pay?card=1 HTTP/1.1" 502 157 "-" "cu\"rl/8.5.0"',
        ("GET /pay status=502 client=192.0.2.7", None, "2026-11-23T10:00:00+00:00"),
    ),
    "web server with names": (
        'shop.example:443 192.0.2.7 - - [23/Nov/2026:10:00:00 +0000] "-" 408 0 "-" "-"',
        ("- status=408 host=shop.example client=192.0.2.7", None, "2026-11-23T10:00:00+00:00"),
    ),
    "proxy": (
        "10.0.0.9:4711 [23/Nov/2026:10:00:00.123] www~ app/<NOSRV> 0/0/1/2/3 503 212 - - SC-- 1/1/0/0/0 0/0 "
        '"GET /cart HTTP/1.1"',
        ("GET /cart status=503 end=SC-- www~ app/<NOSRV>", None, "2026-11-23T10:00:00.123+00:00"),
    ),
    "sidecar": (
        '[2026-11-23T10:00:00.123Z] "GET /cart HTTP/1.1" 503 UF,URX upstream_reset - "-" 0 91 3',
        ("GET /cart status=503 flags=UF,URX upstream_reset", None, "2026-11-23T10:00:00.123+00:00"),
    ),
    "cache": (
        "1795428000.123    57 192.0.2.7 TCP_MISS/503 3921 GET http://shop.example/a?b - NONE/- text/html",
        ("GET http://shop.example/a status=503 TCP_MISS", None, "2026-11-23T10:00:00.123+00:00"),
    ),
    "balancer": (
        "https 2026-11-23T10:00:00.1Z app/e/1 192.0.2.7:1 10.0.0.1:80 0.0 0.0 0.0 502 504 34 366 "
        '"GET https://shop.example/a HTTP/2.0" "curl"',
        ("GET https://shop.example/a status=502 target_status=504", None, "2026-11-23T10:00:00.100+00:00"),
    ),
    "bars": (
        '[GIN] 2026/11/23 - 10:00:00 | 503 |  9.2ms | 192.0.2.7 | GET      "/cart?x=1"',
        ("GET /cart status=503", None, "2026-11-23T10:00:00+00:00"),
    ),
    "bare request": ("192.0.2.7 GET /cart?x=1 200 3 ms", ("192.0.2.7 GET /cart status=200 3 ms", None, None)),
    "request in a text": (
        'INFO:     192.0.2.7:5 - "GET /cart HTTP/1.1" 500 Internal Server Error',
        ('INFO:     192.0.2.7:5 - "GET /cart HTTP/1.1" status=500 Internal Server Error', None, None),
    ),
    "status before the request": (
        "[E 261123 10:00:00 web:2271] 500 GET /cart?x=1 (192.0.2.7) 3ms",
        ("ERROR web:2271: GET /cart status=500 (192.0.2.7) 3ms", None, "2026-11-23T10:00:00+00:00"),
    ),
    "completed": (
        "Completed 500 Internal Server Error in 12ms",
        ("Completed status=500 Internal Server Error in 12ms", None, None),
    ),
    "W3C": (
        "2026-11-23 10:00:00 192.0.2.1 GET /cart x=1 443 - 192.0.2.7 Mozilla/5.0+(X) - 500 0 64 12",
        ("GET /cart status=500 win32_status=64", None, "2026-11-23T10:00:00+00:00"),
    ),
    "content network": (
        "2026-11-23\t10:00:00\tFRA2\t1045\t192.0.2.7\tGET\tcdn.example\t/a\t502\t-\tMozilla\t-\t-\tError",
        ("GET /a status=502 host=cdn.example", None, "2026-11-23T10:00:00+00:00"),
    ),
    "W3C, described": ("#Fields: date time cs-method cs-uri-stem sc-status", ("", None, None)),
    "answer alone": ("HTTP/1.1 503 from upstream", ("HTTP/1.1 status=503 from upstream", None, None)),
    "a number that is no status": ("GET /cart 2000 items", ("GET /cart 2000 items", None, None)),
    "letter": (
        "W1123 10:00:02.250000       1 a.go:1] slow",
        ("WARNING a.go:1] slow", None, "2026-11-23T10:00:02.250+00:00"),
    ),
    "telephone": (
        "11-23 10:00:02.250  1234  5678 F ActivityManager: died",
        ("CRITICAL ActivityManager: died", None, "2026-11-23T10:00:02.250+00:00"),
    ),
    "telephone, brief": ("E/Zygote  ( 33): died", ("ERROR Zygote  ( 33): died", None, None)),
    "notebook": ("[W 10:00:02.250 ServerApp] slow", ("WARNING ServerApp: slow", None, None)),
    "database": (
        "2026-11-23T10:00:02.250+0000 F STORAGE  [main] lost",
        ("CRITICAL STORAGE  [main] lost", None, "2026-11-23T10:00:02.250+00:00"),
    ),
    "cache server": (
        "7:M 23 Nov 2026 10:00:02.250 # Can't save",
        ("WARNING Can't save", None, "2026-11-23T10:00:02.250+00:00"),
    ),
    "plain": ("worker 4 finished", ("worker 4 finished", None, None)),
}


@pytest.mark.parametrize(("line", "expected"), CASES.values(), ids=CASES)
def test_each_format_becomes_an_event(line: str, expected: tuple[str, str | None, str | None]) -> None:
    """What an engineer looks for comes first; what differs per client is left out."""
    text, service, at = expected
    event = read_text(line, near_ms=NEAR_MS)
    at_ms = None if at is None else round(datetime.fromisoformat(at).timestamp() * 1000)
    assert (event.text.decode(), event.service, event.at_ms) == (text, service, at_ms)


def events(*values: bytes, **settings: Any) -> list[tuple[str, str]]:
    found = default_decoder(**settings).decode([LogRecord(value) for value in values])
    return [(line.decode(), service) for line, service in zip(found.lines, found.services, strict=True)]


MANY = {
    "octet counts": (
        b"33 <27>1 - - billing - - - no route!36 <30>1 - - billing - - - two\nlines ok",
        ["ERROR billing: no route!", "INFO billing: two lines ok"],
    ),
    "one octet count": (b"33 <27>1 - - billing - - - no route!", ["ERROR billing: no route!"]),
    "wrong counts": (b"9 <27>1 - - a - - - no route\n9 <30>1 - - a - - - ok", ["ERROR a: no route", "INFO a: ok"]),
    "lines with times": (
        b"2026-11-23 10:00:00 INFO a\n2026-11-23 10:00:01 ERROR b\n  at c\n2026-11-23 10:00:02 INFO d\n",
        ["2026-11-23 10:00:00 INFO a", "2026-11-23 10:00:01 ERROR b at c", "2026-11-23 10:00:02 INFO d"],
    ),
    "frames": (b"<27>1 - - a - - - x\n<30>1 - - a - - - y\n", ["ERROR a: x", "INFO a: y"]),
    "parts": (
        b"2026-11-23T10:00:00Z stdout P no \n2026-11-23T10:00:00Z stderr F other\n2026-11-23T10:00:01Z stdout F route",
        ["no route", "other"],
    ),
    "W3C with its columns": (
        b"#Version: 1.0\n#Fields: date time cs-uri-stem cs-method sc-status\n2026-11-23 10:00:00 /a GET 502\n",
        ["GET /a status=502"],
    ),
    "an object in a frame": (b'<30>1 - - a - - - @cee: {"level":"error","msg":"no route"}', ["ERROR no route"]),
    "an object in a container's frame": (
        b'2026-11-23T10:00:00.1Z stderr F {"msg":"no route","level":"fatal"}',
        ["CRITICAL no route"],
    ),
    "one event": (b"one\ntwo\nthree", ["one two three"]),
}


@pytest.mark.parametrize(("value", "texts"), MANY.values(), ids=MANY)
def test_a_value_may_contain_many_events(value: bytes, texts: list[str]) -> None:
    """Frames and lines with heads of their own are events; lines that continue one are not."""
    assert [text for text, _ in events(value)] == texts


@pytest.mark.parametrize("word", ["BLOCK*", "FORGET", "DEADLOCK"])
def test_a_word_that_ends_in_a_method_is_plain_text(word: str) -> None:
    """A line with a path and such a word is no request, so it is plain and keeps the blanks before it."""
    at_ms = 1_795_430_000_000
    line = f"{word} of /user/root".encode()
    assert plain_ms(line, at_ms, UTC) == NO_TIME
    assert plain_ms(b"GET /user/root", at_ms, UTC) is None
    assert default_decoder().decode([LogRecord(b"  " + line)]).indented == [0]


def test_a_broken_frame_takes_no_neighbour_along() -> None:
    """What can be read of a value of frames is read; the record is a dead letter that names the first broken frame."""
    parts = [b"ERROR no route", b"\x1f\x8b\x08broken", b"ERROR disk full", b'{"message":[[}']
    value = b"".join(len(part).to_bytes(4, "big") + part for part in parts)
    found = default_decoder().decode([LogRecord(value), LogRecord(b"after")])
    assert found.lines == [b"ERROR no route", b"ERROR disk full", b"after"]
    [(place, letter)] = found.dead
    assert place == 0
    assert letter.reason.startswith("2 of 4 frames cannot be read whole, frame 2: the value begins like a packed one")


COLOURS = {
    "escape": b"\x1b[1;31mERROR\x1b[0m disk",
    "C1": "\x9b31mERROR\x9b0m disk".encode(),
    "JSON's way": rb"\u001b[31mERROR\u001b[0m disk",
    "C's way": rb"\033[31mERROR\x1b[0m disk",
    "a caret": b"^[[31mERROR^[[0m disk",
    "rsyslog's way": b"#033[31mERROR#033[0m disk",
    "torn": b"[31mERROR[0m disk",
    "a link and a title": b"\x1b]8;;http://x\x1b\\ERROR\x1b]0;t\x07 disk",
    "a bell": b"\x07ERROR\x01disk\x08",
    "in JSON": b'{"message":"\\u001b[31mERROR\\u001b[0m disk"}',
    "in JSON, as text": rb'{"message":"\\u001b[31mERROR\\u001b[0m disk"}',
}


@pytest.mark.parametrize("value", COLOURS.values(), ids=COLOURS)
def test_what_a_terminal_obeys_is_removed(value: bytes) -> None:
    """A painted line is the plain line."""
    assert [text.split() for text, _ in events(value)] == [["ERROR", "disk"]]


@pytest.mark.parametrize("frame", ["%s", '{"message": "%s"}'])
def test_tabs_that_a_syslog_server_wrote_as_text_are_tabs(frame: str) -> None:
    """A frame is indented in a file of rsyslog, too; the number of an order is no tab."""
    head = "Mar  4 09:15:00 barn orchard[7]: "
    call = "at org.orchard.Row.pick(Row.java:3)"
    [(text, _)] = events((frame % f"{head}#011#011{call}").encode())
    assert text == f"{head}\t\t{call}"
    [(text, _)] = events((frame % f"{head}crates #011x and: #011 picked").encode())
    assert text == f"{head}crates #011x and: #011 picked"


def test_a_tab_behind_a_priority_is_no_text() -> None:
    """The frame of syslog is taken off, and the blanks around what it carries."""
    value = b"<27>Mar  4 09:15:00 barn orchard[7]: #011at org.orchard.Row.pick(Row.java:3)"
    assert events(value) == [("ERROR orchard: at org.orchard.Row.pick(Row.java:3)", "orchard")]


@pytest.mark.parametrize("value", [b"rate(x[5m]) is [0]", b"array[0m] of [x", b"a ^ [b]"])
def test_brackets_that_are_no_paint_stay(value: bytes) -> None:
    """Durations and indices in brackets are text."""
    assert events(value) == [(value.decode(), "logs")]


@pytest.mark.parametrize("charset", ["utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32"])
def test_marks_and_wide_characters_are_read(charset: str) -> None:
    """A value of another width is text, plain and as JSON."""
    assert events("ERROR café closed".encode(charset), '{"message":"x"}'.encode(charset)) == [
        ("ERROR café closed", "logs"),
        ("x", "logs"),
    ]


@pytest.mark.parametrize(
    ("text", "charset"),
    [
        ("2026-11-23 错误: 数据库连接失败, 请检查网络", "gb18030"),
        ("ошибка записи на диск: нет места", "cp1251"),
        ("ошибка записи на диск: нет места", "koi8-r"),
        ("Verbindung zur Datenbank geschlossen: Zeitüberschreitung", "cp1252"),
        ("échec de la requête, délai dépassé", "latin-1"),
        ("エラー: ファイルに書き込めません", "shift_jis"),
        ("エラー: ファイルに書き込めません", "euc-jp"),
        ("오류: 파일에 쓸 수 없습니다", "euc-kr"),
        ("錯誤: 無法寫入檔案, 磁碟空間不足", "big5"),
        ("запись не удалась: нет места", "utf-16-le"),
    ],
)
def test_old_charsets_are_recognised(text: str, charset: str) -> None:
    """A line of another charset is readable, and counted."""
    found = default_decoder().decode([LogRecord(text.encode(charset))])
    assert ([line.decode() for line in found.lines], found.replaced) == ([text], 1)


BINARY = {
    "image": b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR",
    "registry": b"\0\0\0\0\x07\x0adisk full\x02",
    "message": b"\x0a\x0bhello world\x10\x01\x1a\x03abc",
    "noise": bytes(range(256)),
    "CBOR": b"\xa2\x65level\x65error\x63msg\x69disk full",
    "MessagePack": b"\x82\xa5level\xa5error\xa3msg\xa9disk full",
    "event log": b"ElfFile\0" + bytes(40),
    "torn gzip": b"\x1f\x8b\x08\0\0\0\0\0\0\x03\x4b",
}


@pytest.mark.parametrize("value", BINARY.values(), ids=BINARY)
def test_a_value_that_is_no_text_is_a_dead_letter(value: bytes) -> None:
    """Binary values are never learned as lines; the reason names what they are."""
    found = default_decoder().decode([LogRecord(b"before"), LogRecord(value), LogRecord(b"after")])
    assert found.lines == [b"before", b"after"]
    [(place, letter)] = found.dead
    assert (place, letter.stage in {"binary", "packed"}) == (1, True)


def test_zeros_between_words_are_text() -> None:
    """A program of fixed columns fills them with zeros."""
    assert events(b"before\0\0after \0") == [("before  after", "logs")]


def test_json_of_a_registry_is_read() -> None:
    """A schema registry puts five bytes before its JSON, too."""
    assert events(b'\0\0\0\0\x07{"message":"disk full","service":"db"}') == [("disk full", "db")]


def test_bytes_that_are_no_utf8_stay_a_line() -> None:
    """A line of a format may contain bytes of any kind."""
    assert read_line(b"<27>1 - - billing - - - caf\xe9").text == "ERROR billing: caf�".encode()
