"""JSON as each logger and shipper writes it: level, message, error and codes become one text, out of the box."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.oracles import LogRecord, default_decoder

JAVA = "java.lang.IllegalStateException: no stock\n\tat com.example.Stock.take(Stock.java:9)"
PYTHON = 'Traceback (most recent call last):\n  File "a.py", line 3, in f\n    g()\nValueError: bad card'

LOGGERS: dict[str, tuple[dict[str, Any], str]] = {
    "zap": (
        {"level": "error", "ts": 1.5e9, "msg": "no answer", "error": "dial tcp: refused", "caller": "a.go:1"},
        "ERROR no answer: dial tcp: refused",
    ),
    "zerolog": ({"level": "fatal", "error": "no space", "message": "cannot start"}, "CRITICAL cannot start: no space"),
    "slog": (
        {"time": "2026-01-02T03:04:05Z", "level": "WARN", "msg": "slow", "err": "deadline exceeded", "status": 504},
        "WARNING slow: deadline exceeded status=504",
    ),
    "pino": (
        {"level": 50, "pid": 7, "msg": "request failed", "err": {"type": "TypeError", "message": "x is null"}},
        "ERROR request failed: TypeError: x is null",
    ),
    "bunyan": (
        {"v": 0, "pid": 7, "level": 60, "msg": "bye", "err": {"name": "RangeError"}},
        "CRITICAL bye: RangeError",
    ),
    "winston": ({"level": "\x1b[31merror\x1b[39m", "message": "no db"}, "ERROR no db"),
    "structlog": (
        {"event": "payment_failed", "level": "error", "exception": PYTHON, "order": 7},
        "ERROR payment_failed: ValueError: bad card at a.py f",
    ),
    "structlog with dictionaries": (
        {"event": "boom", "level": "error", "exception": [{"exc_type": "KeyError", "exc_value": "'a'", "frames": []}]},
        "ERROR boom: KeyError: 'a'",
    ),
    "python-json-logger": (
        {"asctime": "2026-01-02 03:04:05,678", "levelname": "CRITICAL", "message": "stop", "exc_info": PYTHON},
        "CRITICAL stop: ValueError: bad card at a.py f",
    ),
    "loguru": (
        {"text": "all of it\n", "record": {"level": {"name": "ERROR", "no": 40}, "message": "lost", "exception": None}},
        "ERROR lost",
    ),
    "logback": (
        {"message": "Unexpected", "level": "ERROR", "stack_trace": JAVA},
        "ERROR Unexpected: java.lang.IllegalStateException: no stock at com.example.Stock.take(Stock.java:9)",
    ),
    "log4j2": (
        {"level": "ERROR", "message": "bad", "thrown": {"name": "java.lang.Error1", "message": "null id"}},
        "ERROR bad: java.lang.Error1: null id",
    ),
    "serilog compact": ({"@mt": "store {Name} down", "Name": "main", "@l": "Error"}, "ERROR store main down"),
    "serilog rendered": (
        {"@m": "store main down", "@mt": "store {Name} down", "@l": "Fatal"},
        "CRITICAL store main down",
    ),
    "serilog": (
        {"Level": "Error", "MessageTemplate": "store {Name:l} down", "Properties": {"Name": "main"}},
        "ERROR store main down",
    ),
    ".NET": (
        {"EventId": 14, "LogLevel": "Error", "Category": "Shop.Cart", "Message": "no", "Exception": "System.X: y"},
        "ERROR no: System.X: y EventId=14",
    ),
    "GELF": ({"version": "1.1", "short_message": "gone", "level": 3, "_exit_code": 137}, "ERROR gone exit_code=137"),
    "Cloud Logging, text": ({"textPayload": "no route", "severity": "ERROR"}, "ERROR no route"),
    "Cloud Logging, JSON": (
        {"jsonPayload": {"message": "no"}, "severity": "CRITICAL", "httpRequest": {"status": 503}},
        "CRITICAL no status=503",
    ),
    "Cloud Logging, audit": (
        {"protoPayload": {"methodName": "disk.drop", "status": {"code": 7, "message": "denied"}}, "severity": "ERROR"},
        "ERROR disk.drop: denied code=7",
    ),
    "HEC": ({"time": 1.5e9, "sourcetype": "x", "event": {"message": "down", "level": "error"}}, "ERROR down"),
    "HEC, text": ({"time": 1.5e9, "sourcetype": "x", "event": "down again"}, "down again"),
    "journald": ({"MESSAGE": "unit failed", "PRIORITY": "3"}, "ERROR unit failed"),
    "journald, bytes": ({"MESSAGE": list("é down".encode()), "PRIORITY": "4"}, "WARNING é down"),
    "syslog-ng": ({"MESSAGE": "refused", "PRIORITY": "err", "PROGRAM": "sshd"}, "ERROR refused"),
    "rsyslog": ({"msg": " refused", "syslogseverity": "2", "programname": "sshd"}, "CRITICAL refused"),
    "Monolog": (
        {
            "message": "no",
            "level": 400,
            "context": {"exception": {"class": "PDOException", "message": "lost", "code": 7}},
        },
        "ERROR no: PDOException: lost code=7",
    ),
    "tracing": ({"level": "ERROR", "fields": {"message": "no", "error": "Os"}, "target": "a::b"}, "ERROR no: Os"),
    "ECS without a message": ({"log": {"level": "error"}, "error": {"message": "db is down"}}, "ERROR db is down"),
    "ECS, flat": ({"log.level": "warn", "message": "hm", "error.type": "IOError"}, "WARNING hm: IOError"),
    "PostgreSQL": (
        {"error_severity": "FATAL", "state_code": "53300", "message": "full"},
        "CRITICAL full state_code=53300",
    ),
    "MongoDB": ({"t": {"$date": "2026-01-02"}, "s": "E", "c": "NETWORK", "msg": "no host"}, "ERROR no host"),
    "Kubernetes event": ({"reason": "BackOff", "message": "again", "type": "Warning"}, "WARNING again reason=BackOff"),
    "Kubernetes audit": (
        {"verb": "delete", "requestURI": "/v1/pods", "responseStatus": {"code": 403, "message": "no right"}},
        "delete /v1/pods: no right code=403 status=403",
    ),
    "audit of a cloud": (
        {"eventName": "GetObject", "errorCode": "AccessDenied", "errorMessage": "Denied"},
        "GetObject: Denied errorCode=AccessDenied",
    ),
    "access log": ({"method": "GET", "path": "/a", "status": 502, "bytes": 7}, "GET /a status=502"),
    "no known field": ({"zone": "b", "a": {"c": 1.5}, "time": "2026-01-02T03:04:05Z"}, "a.c=1.5 zone=b"),
    "names with an at sign": ({"@level": "error", "@message": "lost", "@module": "core"}, "ERROR lost"),
    "a level in an object": ({"level": {"label": "warn"}, "msg": "lost"}, "WARNING lost"),
    "a level as a status": ({"status": "error", "message": "lost"}, "ERROR lost status=error"),
    "a status that is no level": ({"status": "failure", "message": "lost"}, "lost status=failure"),
    "a level of two forms": ({"severity": {"text": "ERROR", "number": 17}, "body": "lost"}, "ERROR lost"),
    "keys in French": ({"niveau": "ERREUR", "message": "lost"}, "ERROR lost"),
    "a colour without its escape": ({"level": "[31merror[39m", "message": "lost"}, "ERROR lost"),
    "a trace of Go beside its error": (
        {"msg": "load", "error": "EOF", "stacktrace": "main.(*Store).Load\n\t/src/db.go:10\nmain.main\n\t/src/m.go:5"},
        "load: EOF at main.(*Store).Load",
    ),
    "a level alone": ({"level": "info"}, "level=info"),
    "a bad outcome": ({"message": "login", "event": {"outcome": "failure"}}, "login outcome=failure"),
    "a good outcome": ({"message": "login", "success": True}, "login"),
}


def line(event: object) -> str:
    """Returns the one line of an event."""
    value = event if isinstance(event, bytes) else json.dumps(event).encode()
    found = default_decoder().decode([LogRecord(value)])
    assert found.dead == []
    [only] = found.lines
    return only.decode()


@pytest.mark.parametrize("name", LOGGERS)
def test_every_logger_is_read(name: str) -> None:
    """Level, message, error and codes of a logger's record come first, whatever their names."""
    event, text = LOGGERS[name]
    assert line(event) == text


@pytest.mark.parametrize("key", ["stack_trace", "stackTrace", "StackTrace", "stack-trace", "STACK_TRACE"])
def test_keys_match_in_any_spelling(key: str) -> None:
    """A key is one key in snake case, camel case or capitals."""
    assert line({"message": "m", key: "some.Failure: x"}) == "m: some.Failure: x"


def test_an_error_that_the_message_contains_is_not_repeated() -> None:
    """Many loggers put the error into the message and beside it."""
    assert line({"level": "error", "msg": "lost: no route", "error": "no route"}) == "ERROR lost: no route"


def test_a_level_that_the_text_states_is_not_repeated() -> None:
    """A shipper parses the level out of a line and leaves the line whole."""
    assert line({"level": "error", "message": "[ERROR] lost"}) == "[ERROR] lost"
    assert line({"level": "error", "message": "[INFO] lost"}) == "ERROR [INFO] lost"


@pytest.mark.parametrize("error", [None, "", "-", "none", "NoneType: None", "<nil>", {}, [], False, 0])
def test_a_field_of_no_error_adds_nothing(error: object) -> None:
    """Many loggers write the field on every line."""
    assert line({"message": "m", "error": error}) == "m"


def test_causes_are_named() -> None:
    """The root of a chain of exceptions says what happened."""
    error = {"type": "A", "message": "a", "cause": {"type": "B", "message": "b"}}
    assert line({"message": "m", "error": error}) == "m: A: a: caused by B: b"


def test_json_inside_json_is_read_one_level_deep() -> None:
    """A container's runtime wraps the record of the application, whose fields count first."""
    inner = {"message": "lost", "level": "error", "ts": "2026-01-02T03:04:05Z"}
    outer = {"log": json.dumps(inner) + "\n", "stream": "stderr", "time": "2020-01-01T00:00:00Z", "service": "shop"}
    found = default_decoder().decode([LogRecord(json.dumps(outer).encode())])
    assert (found.lines, found.services, found.timestamps) == ([b"ERROR lost"], ["shop"], [1_767_323_045_000])
    twice = {"log": json.dumps({"message": json.dumps(inner)})}
    assert line(twice) == json.dumps(inner)


def test_paths_of_the_operator_come_first() -> None:
    """What the operator has set wins over every name that the daemon knows."""
    from logwarden.daemon.decoding.decoder import Decoder

    decoder = Decoder(
        format="auto", text_paths=["a.b"], service_paths=["who"], time_paths=["when"], max_line_chars=1000
    )
    event = {
        "message": "m",
        "a": {"b": "mine"},
        "service": "s",
        "who": "w",
        "time": 1_700_000_000,
        "when": 1_600_000_000,
    }
    found = decoder.decode([LogRecord(json.dumps(event).encode())])
    assert (found.lines, found.services, found.timestamps) == ([b"mine"], ["w"], [1_600_000_000_000])


def read_time(event: dict[str, object]) -> int:
    """Returns the time of an event."""
    [found] = default_decoder().decode([LogRecord(json.dumps({"message": "m", **event}).encode())]).timestamps
    return found


def test_a_line_of_a_trace_keeps_its_indentation() -> None:
    """A container's runtime makes a record of every line of a trace, and the blanks say that it continues."""
    frame, plain = b'{"log":"\\tat a.B.c(B.java:1)\\n"}', b'{"msg":" a message of rsyslog"}'
    found = default_decoder().decode([LogRecord(frame), LogRecord(plain)])
    assert found.lines == [b"at a.B.c(B.java:1)", b"a message of rsyslog"]
    assert found.indented == [0]
    assert line({"message": "    at a.B.c(B.java:1)", "severity": "ERROR"}) == "ERROR     at a.B.c(B.java:1)"
