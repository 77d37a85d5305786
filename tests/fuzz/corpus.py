"""Records as shippers, loggers and servers write them: the seeds of the fuzzers of decoding. All are made up."""

from __future__ import annotations

import gzip
import json
import lzma
from collections.abc import Callable
from typing import Any

import cramjam

from logwarden.daemon.decoding.schemas import RecordSchema, compiled
from tests.schemas import EVENT as EVENT_OF_A_SCHEMA
from tests.schemas import LOG, avro, avro_text, framed, log_file, protobuf_text

EVENT: dict[str, Any] = {
    "@timestamp": "2026-11-23T10:33:20.500Z",
    "level": "error",
    "message": "payment refused: card 4711 expired",
    "service": {"name": "checkout"},
    "error": {"type": "CardError", "message": "expired", "stack_trace": "CardError: expired\n\tat pay (pay.js:3:9)"},
}
TRACE = (
    "Traceback (most recent call last):\n"
    '  File "/srv/app/main.py", line 12, in handle\n    pay(order)\n'
    "KeyError: 'card'\n"
)
JAVA_TRACE = (
    "java.lang.IllegalStateException: pool is closed\n\tat com.shop.Pool.take(Pool.java:88)\n"
    "Caused by: java.io.IOException: Broken pipe\n\t... 12 more\n"
)

LOGGERS: tuple[dict[str, Any], ...] = (
    EVENT,
    {"event": "cart saved", "level": "info", "timestamp": "2026-11-23T10:33:20Z", "logger": "shop.cart"},  # structlog
    {
        "asctime": "2026-11-23 10:33:20,500",
        "levelname": "WARNING",
        "name": "shop",
        "message": "slow",
        "exc_info": TRACE,
    },
    {"level": 50, "time": 1795430000500, "pid": 7, "hostname": "h1", "msg": "socket hang up", "err": {"stack": TRACE}},
    {"name": "api", "hostname": "h1", "pid": 3, "level": 40, "msg": "retry", "time": "2026-11-23T10:33:20.5Z", "v": 0},
    {"level": "warn", "message": "queue is long", "timestamp": "2026-11-23T10:33:20.500Z", "stack": JAVA_TRACE},
    {
        "level": "error",
        "ts": 1795430000.5,
        "caller": "pool/pool.go:88",
        "msg": "dial failed",
        "error": "refused",
    },  # zap
    {"level": "error", "error": "EOF", "time": 1795430000, "message": "read failed"},  # zerolog
    {
        "time": "2026-11-23T10:33:20.5+01:00",
        "level": "ERROR",
        "msg": "no route",
        "err": "timeout",
        "status": 503,
    },  # slog
    {
        "@timestamp": "2026-11-23T10:33:20.500+01:00",
        "@version": "1",
        "message": "pool is closed",
        "logger_name": "com.shop.Pool",
        "thread_name": "main",
        "level": "ERROR",
        "level_value": 40000,
        "stack_trace": JAVA_TRACE,
    },
    {
        "instant": {"epochSecond": 1795430000, "nanoOfSecond": 500000000},
        "thread": "main",
        "level": "FATAL",
        "loggerName": "com.shop",
        "message": "out of memory",
        "thrown": {"name": "java.lang.OutOfMemoryError", "message": "heap", "extendedStackTrace": JAVA_TRACE},
    },
    {"@t": "2026-11-23T10:33:20.5Z", "@mt": "Order {Id} failed", "@l": "Error", "@x": "System.Exception: x", "Id": 42},
    {"Timestamp": "2026-11-23T10:33:20", "EventId": 17, "LogLevel": "Critical", "Category": "Shop", "Message": "down"},
    {
        "version": "1.1",
        "host": "h1",
        "short_message": "disk full",
        "full_message": "disk full\nat /var",
        "timestamp": 1795430000.5,
        "level": 2,
        "_app": "till",
    },
    {
        "severity": "ERROR",
        "textPayload": "deadline exceeded",
        "timestamp": "2026-11-23T10:33:20.5Z",
        "resource": {"type": "k8s_container", "labels": {"container_name": "api"}},
        "httpRequest": {"requestMethod": "GET", "status": 504},
    },
    {"time": 1795430000.5, "host": "h1", "source": "/var/log/x", "sourcetype": "x", "event": {"message": "denied"}},
    {
        "MESSAGE": [110, 111, 32, 115, 112, 97, 99, 101],
        "_SYSTEMD_UNIT": "db.service",
        "PRIORITY": "3",
        "__REALTIME_TIMESTAMP": "1795430000500000",
    },
    {
        "PROGRAM": "sshd",
        "PRIORITY": "err",
        "MESSAGE": "fatal: no keys",
        "HOST": "h1",
        "ISODATE": "2026-11-23T10:33:20Z",
    },
    {
        "message": "job failed",
        "context": {"exception": {"class": "PDOException", "message": "SQLSTATE[HY000]", "code": 2002}},
        "level": 400,
        "level_name": "ERROR",
        "channel": "app",
        "datetime": "2026-11-23T10:33:20.500000+00:00",
        "extra": [],
    },
    {"timestamp": "2026-11-23T10:33:20.5Z", "level": "WARN", "fields": {"message": "lag", "lag": 17}, "target": "shop"},
    {
        "log": '{"level":"error","msg":"inner","code":137}\n',
        "stream": "stderr",
        "kubernetes": {
            "pod_name": "api-7d4b9c6f5-x2x9z",
            "namespace_name": "shop",
            "labels": {"app.kubernetes.io/name": "api"},
            "deployment": {"name": "api"},
        },
    },
    {
        "message": TRACE,
        "fields": {"service": "worker"},
        "log": {"offset": 3, "file": {"path": "/var/log/pods/a/0.log"}},
    },
    {"MESSAGE": "", "level": None, "msg": [], "log": {}, "message": 7},
)
OTLP = {
    "resourceLogs": [
        {
            "resource": {"attributes": [{"key": "service.name", "value": {"stringValue": "cart"}}]},
            "scopeLogs": [
                {
                    "logRecords": [
                        {
                            "timeUnixNano": "1795430000500000000",
                            "severityNumber": 17,
                            "severityText": "ERROR",
                            "body": {"stringValue": "no stock left"},
                            "attributes": [{"key": "http.status_code", "value": {"intValue": "500"}}],
                        },
                        {"body": {"kvlistValue": {"values": [{"key": "a", "value": {"boolValue": True}}]}}},
                    ]
                }
            ],
        }
    ]
}
ENVELOPES: tuple[Any, ...] = (
    OTLP,
    list(LOGGERS[:3]),
    {"records": [{"time": "2026-11-23T10:33:20Z", "category": "Audit", "properties": {"message": "denied"}}]},
    {"Records": [{"eventTime": "2026-11-23T10:33:20Z", "eventName": "GetObject", "errorCode": "AccessDenied"}]},
    {
        "messageType": "DATA_MESSAGE",
        "logGroup": "/aws/lambda/pay",
        "logStream": "2026/11/23/[$LATEST]a",
        "logEvents": [{"id": "1", "timestamp": 1795430000500, "message": "Task timed out after 3.00 seconds\n"}],
    },
    {"before": None, "after": {"message": "row"}, "op": "c"},
    ["plain", 7, None, ["nested"], {}],
)
TEXTS = (
    "2026-11-23 10:33:20,500 ERROR [main] com.shop.Pool - pool is closed, 30 waiting",
    "[Mon Nov 23 10:33:20.500123 2026] [core:error] [pid 7:tid 3] [client 10.0.0.7:5000] AH00124: limit of redirects",
    '<34>1 2026-11-23T10:33:20.500Z h1 sshd 4711 ID47 [meta@1 seq="3" text="a \\"b\\" \\]"] \ufefffatal: no keys',
    "<11>Nov 23 10:33:20 h1 cron[99]: (root) CMD failed with exit code 137",
    "Nov 23 10:33:20 h1 kernel: [12345.678901] Out of memory: Killed process 4711 (java)",
    "51 <11>Nov 23 10:33:20 h1 cron[99]: failed, exit code 151 <11>Nov 23 10:33:20 h1 cron[99]: failed, exit code 2",
    "2026-11-23T10:33:20.500123456Z stderr F panic: runtime error: index out of range [3]",
    "2026-11-23T10:33:20.500123456Z stdout P part of a line that ",
    'time=2026-11-23T10:33:20Z level=error msg="no space left on device" path="/var/x y" status=507 err="a=\\"b\\""',
    "CEF:0|Acme|Wall|1.2|100|Malware \\| found|9|src=10.0.0.7 suser=Jane Doe msg=a\\=b act=blocked",
    "Nov 23 10:33:20 fw1 CEF:0|Acme|Wall|1.2|100|Login failed|5|cs1Label=Reason cs1=expired",
    "LEEF:2.0|Acme|Wall|1.2|100|^|src=10.0.0.7^sev=8^msg=denied",
    "#Version: 1.0\n#Fields: date time c-ip cs-method cs-uri-stem sc-status time-taken",
    "2026-11-23 10:33:20 10.0.0.7 GET /cart - 443 - 10.0.0.9 curl/8.5 - 503 0 64 1200",
    '10.0.0.7 - jane [23/Nov/2026:10:33:20 +0100] "GET /cart?id=7 HTTP/1.1" 502 150 "-" "curl/8.5" rt=0.004',
    'api.shop:443 10.0.0.7 - - [23/Nov/2026:10:33:20 +0100] "\\x16\\x03" 400 0',
    '[GIN] 2026/11/23 - 10:33:20 | 500 |   1.2ms |  10.0.0.7 | POST     "/pay"',
    "E1123 10:33:20.500123       1 reflector.go:88] failed to list *v1.Pod: connection refused",
    "\x1b[31mERROR\x1b[0m \x1b[1;34mshop\x1b[m: disk \x1b]0;title\x07full",
    '2026-11-23 10:33:20.500 UTC [4711] ERROR:  duplicate key value violates unique constraint "orders_pkey"\n'
    "\tDETAIL:  Key (id)=(7) already exists.\n\tSTATEMENT:  insert into orders values (7)",
    TRACE,
    JAVA_TRACE,
    '<Event xmlns="http://schemas.example/e"><System><Provider Name="Disk"/><EventID>7</EventID><Level>2</Level>'
    "<Computer>h1</Computer></System><EventData><Data>bad block</Data></EventData></Event>",
    '<log4j:event logger="com.shop" level="ERROR" timestamp="1795430000500"><log4j:message>no stock</log4j:message>'
    "</log4j:event>",
    "磁盘空间不足:无法写入文件 /数据/订单.db",
    "Ошибка: не удалось подключиться к базе данных, код 28000",
    "ディスクの空き容量がありません",
    "{ not json, but a text with a brace",
    "{'level': 'ERROR', 'msg': 'a dictionary of Python', 'ok': True}",
    '{"cut off": "in the mid',
    "[notice] server started",
    "key: value\nother: [1, 2]\n",
    "",
    " \r\n",
    '<Event xmlns="http://schemas.microsoft.com/win/2004/08/events/event"><System><Provider Name="Shop"/><EventID>7'
    '</EventID><Level>2</Level><TimeCreated SystemTime="2026-11-23T10:33:20.5Z"/><Computer>h1</Computer></System>'
    '<EventData><Data Name="param1">no space</Data><Data>x</Data></EventData></Event>',
    '<log4j:event logger="shop.Cart" timestamp="1795430000500" level="ERROR" thread="main"><log4j:message><![CDATA[no'
    " space]]></log4j:message><log4j:throwable><![CDATA[java.io.IOException]]></log4j:throwable></log4j:event>",
    "<record><date>2026-11-23T10:33:20</date><millis>1795430000500</millis><level>SEVERE</level>"
    "<message>no space</message><exception><message>java.io.IOException</message></exception></record>",
    "%7B%22message%22%3A%22no%20space%22%2C%22level%22%3A%22error%22%7D",
    "2026年11月23日 下午10时33分20秒 错误 磁盘已满",
    "20261123T103320.500Z ERROR no space",
    "%%01IFNET/4/LINK_STATE(l)[12]:The line is down",
    "# Query_time: 3.2  Lock_time: 0.0 Rows_sent: 1",
    "bind of cn=Anna Row,ou=People,dc=shop,dc=example failed, SQLSTATE: 42P01, reason=3",
    '{"message": "no space", "level": "error", "row": 007}};',
)
AVRO, AVRO_INSIDE_ITSELF, PROTOBUF = 43, 44, 45
CHAIN = {
    "type": "record",
    "name": "E",
    "fields": [{"name": "message", "type": "string"}, {"name": "cause", "type": ["null", "E"]}],
}
SCHEMAS: dict[int, RecordSchema] = {
    AVRO: compiled(avro_text(LOG)),
    AVRO_INSIDE_ITSELF: compiled(avro_text(CHAIN)),
    PROTOBUF: compiled(protobuf_text(log_file())),
}
"""The schemas of a registry, by their numbers."""


def schema_of(number: int) -> RecordSchema | str:
    """Returns a schema, or why there is none."""
    return SCHEMAS.get(number, "the registry does not have it")


_VARINT_FRAME = b"\x00\x00\x00\x00\x2a"
FRAMED = (
    _VARINT_FRAME + b"\x02\x0eorder 7\x06abc",  # Avro behind the header of a schema registry
    _VARINT_FRAME + b"\x00\x0a\x05hello\x12\x03abc",  # Protobuf
    _VARINT_FRAME + b'{"message":"framed"}',
    framed(AVRO, avro(EVENT_OF_A_SCHEMA)),
    framed(AVRO_INSIDE_ITSELF, avro({"message": "no order", "cause": {"message": "full", "cause": None}}, CHAIN)),
    framed(PROTOBUF, b"\0\x0a\x08no stock\x10\x01\x22\x04till\x28\xf7\x03"),
    b"\x0a\x2e\x0a\x10\x0a\x0e\x0a\x0cservice.name\x12\x1a\x12\x18\x2a\x06\x0a\x04text",  # OTLP protobuf, almost
    b"Obj\x01\x04\x16avro.schema",
    b"\x80\x04\x95\x10\x00\x00\x00",
    bytes(range(256)),
    b"\0" * 64,
)


BROKE = (
    b"Error: no end\n  " + b"]" * 40 + b" of brackets",
    b"CEF:0|Acme|Wall|1.2|100|Login failed|5|an extension without a pair",
    "CEF:0|Acme|Wall|1.2|100|Login failed|\u00b9|src=10.0.0.7".encode(),
    'level=error msg="x" status=\u00b2 severity=\u00b3'.encode(),
    '{"message":"x","error":{"code":"\u00b2"},"status":"\u00b3","level":"\u00b9"}'.encode(),
    '{"resourceLogs":[{"scopeLogs":[{"logRecords":[{"body":{"intValue":"\u00b2"}}]}]}]}'.encode(),
)
"""Records that ended an earlier decoder."""


def _json(value: Any) -> bytes:
    return json.dumps(value, ensure_ascii=False).encode()


RARE = (
    b"__CURSOR=s=1;i=2\n__REALTIME_TIMESTAMP=1795430000500000\n_SYSTEMD_UNIT=a.service\nMESSAGE\n\x04\0\0\0\0\0\0\0full\nPRIORITY=3\n\n",
    b"Event(level=error, message=disk full, pid=12)",
    b'#<Event level="error", message="disk full">',
    b"map[level:error msg:disk full pid:12]",
    b"OrderedDict([('level', 'error'), ('message', 'disk full')])",
    b"array('level' => 'error', 'message' => 'disk full')",
    b'web_1  | {"level":"error","message":"disk full"}',
    b'{"level":"error", /* note */ "message":"disk full", "n": .5, "x": 0x1F}',
    b"b'disk full on web'",
    b"\\x6469736b2066756c6c206f6e20776562",
    b"2026-327T10:33:20.500Z E! [outputs] lost",
    b"# A fatal error has been detected by the VM:\n#\n#  SIGSEGV (0xb) at pc=0x0f\n",
    b'can\'t write: full\n    while executing\n"puts $f"\n    (procedure "add" line 3)\n    invoked from within\n"add"',
)
"""Forms of rare writers."""


def records() -> list[bytes]:
    """Returns the seeds: each format once, some packed and in other encodings."""
    structured = [_json(event) for event in (*LOGGERS, *ENVELOPES)]
    texts = [text.encode() for text in TEXTS]
    lines = b"\n".join(structured[:4]) + b"\n"
    docker = [_json({"log": text + "\n", "stream": "stderr", "time": "2026-11-23T10:33:20.5Z"}) for text in TEXTS[:6]]
    packed = [pack(value) for value in (lines, texts[0], structured[3]) for pack in PACKS]
    marked = [b"\xef\xbb\xbf" + structured[0], b"\xef\xbb\xbf" + texts[0]]
    encoded = [
        text.encode(charset, "replace")
        for text in (TEXTS[0], TEXTS[22], TEXTS[23], structured[1].decode())
        for charset in ("utf-16", "utf-16-le", "utf-16-be", "gbk", "cp1251", "latin-1", "shift-jis", "utf-32")
    ]
    pretty = [json.dumps(EVENT, indent=2).encode(), json.dumps(ENVELOPES[1], indent=1).encode()]
    return list(
        dict.fromkeys(
            [*structured, *texts, lines, *docker, *packed, *marked, *encoded, *pretty, *FRAMED, *RARE, *BROKE]
        )
    )


PACKS: tuple[Callable[[bytes], bytes], ...] = (
    lambda data: gzip.compress(data, mtime=0),  # the same bytes at every time
    lambda data: bytes(cramjam.zstd.compress(data)),
    lambda data: bytes(cramjam.lz4.compress(data)),
    lambda data: bytes(cramjam.snappy.compress(data)),
    lzma.compress,
)
