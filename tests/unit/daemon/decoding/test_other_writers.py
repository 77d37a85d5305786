"""Records as less common writers make them: other bytes, keys, dates, batches, fields and traces."""

from __future__ import annotations

import base64
import gzip
import json
import lzma
from typing import Any

import pytest

from logwarden.daemon.decoding import charset, services
from logwarden.daemon.decoding.decoder import Decoded
from logwarden.daemon.decoding.line_times import leading_ms
from tests.oracles import LogRecord, default_decoder
from tests.unit.daemon.decoding.test_traces import taken

AT = 1_795_428_000_250
"""2026-11-23T10:00:00.250Z."""


def decoded(value: object) -> Decoded:
    return default_decoder().decode([LogRecord(value if isinstance(value, bytes) else json.dumps(value).encode())])


def packed(value: bytes) -> str:
    return base64.b64encode(value).decode()


TEXTS: dict[str, tuple[object, list[str]]] = {
    "bytes with a sign": ({"message": [112, 101, 97, 114, 32, -61, -124]}, ["pear Ä"]),
    "xz": (lzma.compress(b'{"message":"no pears left"}'), ["no pears left"]),
    "lzma": (lzma.compress(b"no pears left", format=lzma.FORMAT_ALONE), ["no pears left"]),
    "percent": (b"%7B%22message%22%3A%22no%20pears%22%2C%22level%22%3A%22error%22%7D", ["ERROR no pears"]),
    "a closer too many": (b'{"message":"no pears","level":"error"}}', ["ERROR no pears"]),
    "a semicolon": (b'{"message":"no pears","level":"error"};', ["ERROR no pears"]),
    "a leading zero": (b'{"message":"no pears","level":"error","row":007}', ["ERROR no pears"]),
    "escape in words": (b"<ESC>[31mno pears<ESC>[0m", ["no pears"]),
    "json behind a container's head": (
        {"log": '2026-11-23T10:00:00.250Z stderr F {"level":"error","msg":"no pears"}'},
        ["ERROR no pears"],
    ),
    "an alarm's name": ({"event_type": "alert", "alert": {"signature": "worm in the pears"}}, ["worm in the pears"]),
    "a number among events": ({"records": [7, {"message": "no pears"}]}, ["no pears"]),
    "level of a bus": ({"message": "no pears", "SeverityLevel": 3}, ["ERROR no pears"]),
    "level of Windows": ({"message": "no pears", "LevelDisplayName": "Error"}, ["ERROR no pears"]),
    "slow queries": (
        b"# Query_time: 3.1  Lock_time: 0.0\n",
        ["# Query_time: 3.1  Lock_time: 0.0"],
    ),
}


@pytest.mark.parametrize("name", TEXTS)
def test_a_text_is_read_however_it_was_written(name: str) -> None:
    """Packed, escaped, nearly JSON or in another field: the text comes out."""
    value, texts = TEXTS[name]
    record = LogRecord(value if isinstance(value, bytes) else json.dumps(value).encode())
    assert [line.decode() for line in default_decoder().decode([record] * 3).lines] == texts * 3


@pytest.mark.parametrize(
    "event",
    [
        {"message": "x", "date": "2026-11-23", "time": "10:00:00.250"},
        {"Records": [{"Sns": {"Message": "no pears left", "Timestamp": "2026-11-23T10:00:00.250Z"}}]},
        {"message": "x", "dt": "2026-11-23T10:00:00.250Z"},
        {"message": "x", "event": {"ingested": "2026-11-23T10:00:00.250Z"}},
    ],
)
def test_a_time_is_found(event: dict[str, Any]) -> None:
    """Day and hour may stand in two fields, and a time beside the message of an envelope; of a known shape too."""
    decoder = default_decoder()
    record = LogRecord(json.dumps(event | {"message": "no pears left"} if "message" in event else event).encode())
    assert [decoder.decode([record]).timestamps for _ in range(4)] == [[AT]] * 4


@pytest.mark.parametrize(
    ("line", "ms"),
    [
        ("20261123T100000.250Z pears", AT),
        ("20261123100000250 pears", AT),
        ("[20261123_100000] pears", AT - 250),
        ("2026年11月23日 10时00分00秒 梨", AT - 250),
        ("2026年11月23日 下午3:00:00 梨", AT - 250 + 5 * 3_600_000),
        ("2026년 11월 23일 오전 10:00:00 배", AT - 250),
        ("20261399T100000 pears", None),
        ("11111111111111 pears", None),
    ],
)
def test_a_head_without_colons_is_a_time(line: str, ms: int | None) -> None:
    """Compact times and those of East Asia; other numbers of that length are none."""
    assert leading_ms(line.encode()) == ms


def test_pairs_of_a_firewall_state_day_and_hour() -> None:
    """The day has a pair of its own."""
    line = b'date=2026-11-23 time=10:00:00 level="notice" srcip=192.0.2.1 action="deny"'
    assert decoded(line).timestamps == [AT - 250]


@pytest.mark.parametrize(
    ("fields", "name"),
    [
        ({"docker": {"container": {"labels": {"com_docker_compose_service": "pears"}}}}, "pears"),
        ({"ecs_task_definition": "pears:17"}, "pears"),
        ({"syslogtag": "pears[12]:"}, "pears"),
        ({"AppRoleName": "pears"}, "pears"),
        ({"_COMM": "pears"}, "pears"),
    ],
)
def test_a_service_is_named(fields: dict[str, Any], name: str) -> None:
    """The names that shippers of containers and of clouds give."""
    assert decoded({"message": "x", **fields}).services == [name]


def test_attributes_that_a_batch_states_once_count_for_all() -> None:
    """A collector writes the service beside its list."""
    batch = [{"common": {"attributes": {"service": "pears"}}, "logs": [{"message": "a"}, {"message": "b"}]}]
    assert decoded(batch).services == ["pears", "pears"]


@pytest.mark.parametrize(
    ("key", "name"), [('{"service":"pears"}', "pears"), ('{"Name":"pears"}', "pears"), ('"pears"', "pears")]
)
def test_a_key_in_json_names_a_service(key: str, name: str) -> None:
    """A serializer writes keys as it writes values."""
    assert services.of_key(key.encode()) == name


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("Gruszki się skończyły, żądanie odrzucone", "cp1250"),
        ("Armut kalmadı, işlem başarısız oldu, ağ kapalı", "cp1254"),
        ("Plus de poires, réessayez à midi", "cp1252"),
    ],
)
def test_letters_with_accents_are_read(text: str, name: str) -> None:
    """Of central Europe, of Turkey and of the west."""
    assert charset.to_utf8(text.encode(name)) == (text.encode(), True)


def test_what_an_envelope_carries_is_counted() -> None:
    """An odd text inside a packed part is counted as one outside is."""
    inner = base64.b64encode(gzip.compress(b"{pears} are out")).decode()
    assert decoded(b"{pears} are out").odd == 1
    assert decoded({"awslogs": {"data": inner}}).odd == 1


@pytest.mark.parametrize(
    ("lines", "count"),
    [
        (["# Query_time: 3.1  Lock_time: 0.0", "SELECT pears", "# Query_time: 9  Lock_time: 0.0"], 2),
        (["# Time: 2026-11-23", "# User@Host: a[a] @ b", "# Query_time: 3.1", "SELECT pears", "# Query_time: 4"], 4),
        (["Program received signal SIGBUS, Bus error.", "#0  0x0000000000401136 in pick (x=0x0) at pear.c:12"], 2),
        (["2026-11-23 10:00:01 =ERROR REPORT====", "** Generic server pear terminating", "** Reason =="], 3),
        (["\u2577", "\u2502 Error: no pears", "\u2502", "\u2575", "\u2577"], 4),
        (["Get-Pear : Cannot find it.", "At C:\\rows\\a.ps1:12 char:1", "+ Get-Pear C:\\x", "+ ~~~~", "other"], 4),
        (["==12==ERROR: AddressSanitizer: bad", "0x60200000eff0 is located 0 bytes inside", "==12==ABORTING"], 3),
    ],
)  # fmt: skip
def test_lines_of_an_event_stay_together(lines: list[str], count: int) -> None:
    """Blocks of slow queries, debuggers, shells and sanitizers."""
    assert taken(lines) == count
