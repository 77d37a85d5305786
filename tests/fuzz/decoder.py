"""Fuzzes the way of a record's bytes: decoder, ingestor, log stream, judge and alert.

Inputs: records as shippers write them and their mutants, random bytes, deep and broken JSON, odd characters. Oracle:
every record comes out once. A line stays one line on its whole way. A plain text comes out as it is.
"""

from __future__ import annotations

import json
import random
import re
from collections.abc import Callable
from contextlib import suppress

import msgspec
import numpy as np

from logwarden.daemon.decoding.decoder import FAULT, Decoded, Decoder
from logwarden.daemon.pipeline.ingest import Ingestor
from logwarden.daemon.pipeline.judge import WindowJudge
from logwarden.daemon.ports import Engine
from logwarden.daemon.records import InputFormat
from logwarden.model.stream import LogStream
from logwarden.model.verdicts import AlertPolicy, Scores
from logwarden.model.windowing import WindowBatch
from tests.oracles import LogRecord, TableSpy, assignment, default_decoder, profile_of
from tests.sim.stand_ins import EPOCH_MS
from tests.unit.daemon.decoding.test_decoder import FILEBEAT, FLUENT_BIT, GENERIC, VECTOR

SHIPPED = (
    FILEBEAT,
    FLUENT_BIT,
    VECTOR,
    GENERIC,
    b"<34>Oct 11 22:14:15 host su: failed\n",
    b'{"MESSAGE":"unit failed","_SYSTEMD_UNIT":"ssh.service","PRIORITY":"3"}',
    b'{"resourceLogs":[{"scopeLogs":[{"logRecords":[{"body":{"stringValue":"hello"}}]}]}]}',
    b'{"version":"1.1","host":"h","short_message":"gelf","timestamp":1385053862.3072,"level":1}',
    '\ufeff{"message":"with a byte order mark"}'.encode(),
    b'\x00\x00\x00\x00\x01{"message":"framed"}',
    b'[{"message":"a"},{"message":"b"}]',
    '{"message":"utf-16"}'.encode("utf-16"),
)
BREAKS = (b"\r", b"\x0b", b"\x0c", b"\x1c", b"\x1d", b"\x1e", "\x85\u2028\u2029".encode(), b"\r\n", b"\n", b"\t", b"\0")
ODD = (
    *BREAKS,
    "\ufeff".encode(),
    b"\xed\xa0\x80",  # half of a surrogate pair, as bytes
    rb"\ud800",
    rb"\u2028",
    rb"\n",
    b"\xff\xfe",
    "\U0001f600".encode(),
    "a\u0301".encode(),
    b'"',
    b"\\",
    b"{",
    b"}",
    b"[" * 2000,
    b'{"a":' * 2000,
    b"1e999",
    b"-1e-999",
    b"9" * 400,
    b"NaN",
    b"null",
    b"<*>",
    b"\x1b[31m",
)
PLAIN_PARTS = (b"word ", b"  and  more  ", b"calm ")
MAX_TEXT_CHARS = 1024
"""Characters of a line that the log stream keeps for alerts."""
_BLANKS = " \t\r\n\0"
_PLAIN = re.compile(rb"[A-Za-z ]+")
"""A text that no format claims."""


def fuzz(seed: int) -> None:
    """Decodes a few records and follows their lines to their alerts."""
    rng = random.Random(f"decoder {seed}")
    form: InputFormat = rng.choice(("auto", "auto", "raw", "json"))
    limit = rng.choice((5, 40, 8192, 8192))
    values = [_value(rng) for _ in range(rng.randint(1, 8))]
    records = [
        LogRecord(value, offset=number, timestamp=_timestamp(rng), key=_key(rng)) for number, value in enumerate(values)
    ]
    decoder = default_decoder(form=form, max_line_chars=limit)
    found = decoder.decode(records)
    _check_decoded(found, records, limit)
    _check_alone(decoder, records, found)
    _check_text(found, records, form, limit)
    _check_alerts(decoder, records, found)


# ---------------------------------------------------------------- inputs


def _value(rng: random.Random) -> bytes | None:
    kind = rng.randrange(10)
    if kind == 0:
        return rng.choice((None, b"", b" \n", b"\0\0"))
    if kind == 1:
        return rng.randbytes(rng.randint(1, 60))
    if kind == 2:
        return json.dumps(_event(rng, 4), ensure_ascii=rng.random() < 0.5).encode("utf-8", "surrogatepass")
    if kind == 3:
        parts = rng.choice(((*ODD, b"word ", b"42 "), PLAIN_PARTS))
        return b"".join(rng.choice(parts) for _ in range(rng.randint(1, 6)))
    value = bytearray(rng.choice(SHIPPED))
    mutate: tuple[Callable[[random.Random, bytearray], None], ...] = (_flip, _cut, _insert, _double, _swap)
    for _ in range(rng.choice((0, 1, 1, 2, 5))):
        if value:
            rng.choice(mutate)(rng, value)
    return bytes(value)


def _flip(rng: random.Random, value: bytearray) -> None:
    value[rng.randrange(len(value))] ^= 1 << rng.randrange(8)


def _cut(rng: random.Random, value: bytearray) -> None:
    start = rng.randrange(len(value))
    del value[start : start + rng.randint(1, 30)]


def _insert(rng: random.Random, value: bytearray) -> None:
    at = rng.randint(0, len(value))
    value[at:at] = rng.choice(ODD)


def _double(rng: random.Random, value: bytearray) -> None:
    start = rng.randrange(len(value))
    value[start:start] = value[start : start + rng.randint(1, 200)]


def _swap(rng: random.Random, value: bytearray) -> None:
    other = rng.choice(SHIPPED)
    at = rng.randrange(len(value))
    value[at:] = other[rng.randrange(len(other)) :]


def _event(rng: random.Random, depth: int) -> object:
    names = ("message", "log", "msg", "service", "name", "@timestamp", "time", "kubernetes", "labels", "app", "", "a.b")
    if depth and rng.random() < 0.6:
        if rng.random() < 0.8:
            return {rng.choice(names): _event(rng, depth - 1) for _ in range(rng.randint(0, 4))}
        return [_event(rng, depth - 1) for _ in range(rng.randint(0, 3))]
    odd = rng.choice(ODD).decode("utf-8", "replace")
    return rng.choice(
        (None, True, -1, 2**70, 1e308, 0.1, "", " ", "text", "\ud800", "\x85\u2028", f"a{odd}b", "9" * 30)
    )


def _timestamp(rng: random.Random) -> int:
    return rng.choice((EPOCH_MS, EPOCH_MS, -1, 0, 1, 2**62, -(2**62), 253_402_300_800_000))


def _key(rng: random.Random) -> bytes | None:
    return rng.choice((None, b"", b"svc", b" ", b"caf\xe9", "\u2028".encode(), rng.randbytes(4), b"k" * 2000))


# ---------------------------------------------------------------- oracles


def _check_decoded(found: Decoded, records: list[LogRecord], limit: int) -> None:
    """Every record comes out once; every line is bounded text on one line, with a service and a time."""
    dead = [place for place, _ in found.dead]  # beside lines, if an event of many is broken
    places = sorted([*{*found.places, *dead}, *found.blank])
    assert places == list(range(len(records))), f"records {places} came out of {len(records)}"
    assert len(set(dead)) == len(dead), "a record has at most one dead letter"
    assert len(found.lines) == len(found.services) == len(found.timestamps) == len(found.places) == len(found.index)
    for line, service in zip(found.lines, found.services, strict=True):
        assert b"\n" not in line, f"a line break is left in {line!r}"
        assert 0 < len(line.decode()) <= limit, f"{len(line.decode())} characters, the limit is {limit}"
        assert line.strip(b" \t\r\n\0"), "a blank line is no line"
        assert 0 < len(service) <= 256
        service.encode()  # no half of a surrogate pair
    for _, letter in found.dead:
        letter.reason.encode()
        assert letter.stage != FAULT, letter.reason


def _check_alone(decoder: Decoder, records: list[LogRecord], found: Decoded) -> None:
    """A record comes out alike alone and among others."""
    for place, record in enumerate(records):
        alone = decoder.decode([record])
        among = [line for line, at in zip(found.lines, found.places, strict=True) if at == place]
        assert alone.lines == among, f"alone {alone.lines}, among others {among}"


def _check_text(found: Decoded, records: list[LogRecord], form: str, limit: int) -> None:
    """A plain text comes out as it is, without blanks around it; JSON with nothing but a message, as that message."""
    lines: dict[int, list[str]] = {}
    for place, line in zip(found.places, found.lines, strict=True):
        lines.setdefault(place, []).append(line.decode())
    for place, record in enumerate(records):
        expected = _text(record.value, form)
        if expected is not None and len(expected.encode()) <= limit:
            assert lines.get(place, []) == ([expected] if expected else []), f"{record.value!r} came out otherwise"


def _text(value: bytes | None, form: str) -> str | None:
    """Returns the line that a value contains, empty if it is blank. Returns None where this oracle has no opinion."""
    if value is None:
        return ""
    text: object = None
    if form == "raw":
        with suppress(UnicodeDecodeError):
            text = value.decode()
    elif value[:1] == b"{":
        with suppress(ValueError, RecursionError):
            event = json.loads(value)
            text = event["message"] if isinstance(event, dict) and event.keys() == {"message"} else None
    elif form == "auto" and _PLAIN.fullmatch(value):
        return value.decode().strip(_BLANKS)
    if (
        not isinstance(text, str)
        or not text.replace("\u2028", "").isprintable()
        or text.lstrip()[:1] in ("", "{", "[")
        or "[" in text
    ):
        return None  # colours, controls, nested JSON and empty messages have rules of their own
    return text.strip(_BLANKS)


class _StillClock:
    """See `logwarden.daemon.ports.Clock`: no time passes."""

    def monotonic(self) -> float:
        return 0.0

    def now_ms(self) -> int:
        return EPOCH_MS

    async def sleep(self, seconds: float) -> None:
        raise AssertionError("nothing in this fuzzer waits")


class _AllAnomalous:
    """Scores every window as an anomaly."""

    def score(self, batch: WindowBatch) -> Scores:
        return Scores(
            logits=np.tile(np.array([[0.0, 3.0]], np.float32), (len(batch), 1)),
            probability=np.full(len(batch), 0.97),
            line_weights=np.full((len(batch), batch.size), 1 / batch.size, np.float32),
        )


def _check_alerts(decoder: Decoder, records: list[LogRecord], found: Decoded) -> None:
    """Every line gets one window and one alert, which shows it as one line with its own place and text."""
    owner = assignment(profile=profile_of(decoder, max_alert_line_chars=8192))
    table = TableSpy().table()
    ingestor = Ingestor(LogStream(table, size=3, step=1, max_slots=16), max_services=16)
    work = ingestor.ingest([(owner, records)], 0.0).work
    if not found.lines:
        assert not work, "records without lines have no windows"
        return
    policy = AlertPolicy(threshold=0.5, learning_lines=0, model_revision="fuzz")
    engine = Engine(scorer=_AllAnomalous(), table=table, policy=policy)
    publications = WindowJudge(_StillClock()).judge(engine, work).publications
    shown = []
    for publication in publications:
        value = publication.message.value
        alert = msgspec.json.decode(value or b"")
        newest = alert["logwarden"]["lines"][-1]
        shown.append((newest["offset"], newest["index"], newest["text"]))
        assert len(alert["logwarden"]["lines"]) <= 3
    wanted = [
        (records[place].offset, index, line.decode())
        for place, index, line in zip(found.places, found.index, found.lines, strict=True)
    ]
    assert len(shown) == len(wanted), f"{len(shown)} alerts for {len(wanted)} lines"
    for alerted, line in zip(sorted(shown), sorted(wanted), strict=True):
        text = line[2]
        if len(text) > MAX_TEXT_CHARS:
            text = text[: MAX_TEXT_CHARS - 1] + "…"
        assert alerted == (*line[:2], text), f"the alert of {line[:2]} shows {alerted[2]!r} for {line[2]!r}"
