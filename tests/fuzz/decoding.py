"""Fuzzes the decoder with mutants of every format: `python -m tests.fuzz.decoding --records 1000000 --seed 7`.

Inputs: the seeds of `tests/fuzz/corpus.py` with flipped bytes, truncated, spliced, doubled, nested into each other and
packed, and hostile runs of one token. Oracle: no exception; every record comes out once, as lines, as a blank or as a
dead letter with a reason; a line is UTF-8 within the limit and without a line break; the time per record is bounded.
"""

from __future__ import annotations

import argparse
import functools
import json
import random
import sys
import time
from collections import Counter
from collections.abc import Callable, Sequence
from typing import get_args

from logwarden.daemon.decoding.decoder import FAULT, Decoded, Decoder
from logwarden.daemon.records import InputFormat
from tests.fuzz import corpus
from tests.oracles import LogRecord, default_decoder

BATCH = 64
MAX_RECORD_BYTES = 1 << 17
MAX_RECORD_S = 0.5
"""CPU time for a record of up to 128 KiB. A regular expression of quadratic time needs a minute for it."""
MAX_CHARS = 8192
SHOWN_BYTES = 200
TOKENS = (
    *(b"[", b"{", b'{"a":', b"[[{", b'"', b"\\", b'\\"', b"'", b"=", b"a=", b'a="', b"<", b"<34>", b" ", b"\t", b"\n"),
    *(b"\r", b"\0", b"\x1b[", b"\x1b]", b"0", b"9", b"a", b"a.", b"1.", b"-", b"a-1", b":", b"::", b"/", b"|", b"\\|"),
    *(b"\xff", b"\xed\xa0\x80", b"\xe4", "é".encode(), "磁".encode(), b"\\u", rb"\ud800", b"at x(", b"  at ", b"# "),
    *(b"Caused by: ", b"10:33:20 ", b"2026-11-23 ", b"1 <1>", b"CEF:0|", b"%", b"(", b"@", b"A", b"A1", b",", b"]"),
)
TIMES = (1_795_430_000_000, 1_795_430_000_000, -1, 0, 1, 2**62, -(2**62), 253_402_300_799_999)
Mutate = Callable[[random.Random, bytes], bytes]


@functools.cache
def seeds() -> list[bytes]:
    return corpus.records()


# ---------------------------------------------------------------- mutations


def flip(rng: random.Random, value: bytes) -> bytes:
    """Flips bits of some bytes."""
    changed = bytearray(value)
    for _ in range(rng.choice((1, 1, 2, 8))):
        changed[rng.randrange(len(changed))] ^= 1 << rng.randrange(8)
    return bytes(changed)


def truncate(rng: random.Random, value: bytes) -> bytes:
    """Drops an end, or a part of the middle."""
    at = rng.randrange(len(value))
    return rng.choice((value[:at], value[at:], value[:at] + value[at + rng.randint(1, 40) :]))


def splice(rng: random.Random, value: bytes) -> bytes:
    """Joins the begin of a record and the end of another."""
    other = rng.choice(seeds())
    return value[: rng.randint(0, len(value))] + other[rng.randint(0, len(other)) :]


def insert(rng: random.Random, value: bytes) -> bytes:
    """Inserts a token some times."""
    at = rng.randint(0, len(value))
    return value[:at] + rng.choice(TOKENS) * rng.choice((1, 1, 2, 30)) + value[at:]


def double(rng: random.Random, value: bytes) -> bytes:
    """Repeats a part, or the whole as lines."""
    if rng.random() < 0.3:
        return b"\n".join([value] * rng.choice((2, 3, 20)))
    at = rng.randrange(len(value))
    part = value[at : at + rng.randint(1, 200)]
    return value[:at] + part * rng.choice((2, 2, 10, 100)) + value[at:]


def nest(rng: random.Random, value: bytes) -> bytes:
    """Puts a record into another one: as a text, as a value, behind a frame, packed, in another encoding."""
    text = value.decode("utf-8", "replace")
    kind = rng.randrange(9)
    if kind == 0:
        return json.dumps({rng.choice(("log", "message", "MESSAGE", "msg", "event")): text}).encode()
    if kind == 1:
        return b'{"log":' + value + b',"message":' + value + b"}"
    if kind == 2:
        return b"[" + b",".join([value] * rng.randint(1, 4)) + b"]"
    if kind == 3:
        return b"%d %s" % (len(value) + rng.choice((0, 0, 1, -1, 10**9)), value)
    if kind == 4:
        return b"2026-11-23T10:33:20.5Z stdout " + rng.choice((b"F ", b"P ")) + value
    if kind == 5:
        return b"<11>Nov 23 10:33:20 h1 app[1]: " + value
    if kind == 6:
        return b'level=error msg="' + value + b'" code=1'
    if kind == 7:
        return rng.choice(corpus.PACKS)(value)
    return text.encode(rng.choice(("utf-16", "utf-16-le", "utf-16-be", "gbk", "utf-32", "utf-8-sig")), "replace")


def rekey(rng: random.Random, value: bytes) -> bytes:
    """Gives a JSON object other values at some of its keys, of types that nothing expects there."""
    try:
        event = json.loads(value)
    except (ValueError, RecursionError):
        return insert(rng, value)
    if not isinstance(event, dict) or not event:
        return nest(rng, value)
    odd: tuple[object, ...] = (
        None,
        True,
        -1,
        2**70,
        1e308,
        0.1,
        "",
        " ",
        [],
        {},
        [[]],
        "\ud800",
        "\x85\u2028",
        "9" * 30,
        [1, 300, -7],
        {"": {}},
    )
    for key in rng.sample(sorted(event), rng.randint(1, len(event))):
        event[key] = rng.choice((*odd, {key: event[key]}, [event[key]], str(event[key])))
    return json.dumps(event).encode()


MUTATIONS: tuple[Mutate, ...] = (flip, truncate, splice, insert, double, nest, rekey, flip, truncate, rekey)


def hostile(rng: random.Random) -> bytes:
    """Returns a long run of one or two tokens, behind the head of a real record."""
    head = rng.choice(seeds())[: rng.choice((0, 1, 30, 1_000))]
    token = b"".join(rng.choice(TOKENS) for _ in range(rng.choice((1, 1, 2, 3))))
    size = rng.choice((2_000, 20_000, 100_000))
    return head + token * (size // len(token)) + rng.choice((b"", b"x", b'"', b"}", b"\n"))


def mutant(rng: random.Random) -> bytes:
    if rng.random() < 0.002:
        return hostile(rng)
    value = rng.choice(seeds())
    for _ in range(rng.choice((0, 1, 1, 1, 2, 2, 3, 5))):
        if value and len(value) < MAX_RECORD_BYTES:
            value = rng.choice(MUTATIONS)(rng, value)
    return value[:MAX_RECORD_BYTES]


# ---------------------------------------------------------------- oracle


def broken(decoder: Decoder, records: Sequence[LogRecord]) -> str | None:
    """Returns the first promise that the decoder breaks on these records, or None."""
    started = time.thread_time()
    try:
        found = decoder.decode(records)
    except Exception as error:  # any error is a finding
        return f"{type(error).__name__}: {error}"
    spent = time.thread_time() - started
    if spent > MAX_RECORD_S:
        return f"{spent:.1f} s of CPU time"
    return _broken(found, len(records))


def _broken(found: Decoded, count: int) -> str | None:
    # A batch with a broken element comes out as lines and one dead letter.
    dead = [place for place, _ in found.dead]
    read = {*found.places, *dead}
    places = sorted([*read, *found.blank])
    if places != list(range(count)) or len(set(dead)) < len(dead):
        return f"the records {places[:9]} came out of {count}, dead {dead[:9]}"
    if not len(found.lines) == len(found.services) == len(found.timestamps) == len(found.places) == len(found.index):
        return "columns of different lengths"
    for line, service, stamp in zip(found.lines, found.services, found.timestamps, strict=True):
        if b"\n" in line:
            return "a line break is left in a line"
        try:
            size = len(line.decode())
            service.encode()
        except UnicodeError as error:
            return f"a line or a service is no UTF-8: {error}"
        if not 0 < size <= MAX_CHARS or not line.strip(b" \t\r\n\0"):
            return f"a line of {size} characters"
        if not 0 < len(service) <= 256:
            return f"a service of {len(service)} characters"
        if not -(2**63) <= stamp < 2**63:
            return f"the time {stamp}"
    for place in dict.fromkeys(found.places):
        index = [i for at, i in zip(found.places, found.index, strict=True) if at == place] if any(found.index) else [0]
        if index != list(range(len(index))):
            return f"the lines of a record are numbered {index[:9]}"
    if faults := [letter.reason for _, letter in found.dead if letter.stage == FAULT]:
        return faults[0]
    reasons = [letter.reason for _, letter in found.dead]
    return None if all(reasons) else "a dead letter without a reason"


def batch_of(seed: int, number: int) -> list[LogRecord]:
    """Returns one batch of mutants, the same for the same numbers."""
    rng = random.Random(f"decoding {seed} {number}")
    return [
        LogRecord(mutant(rng), offset=at, timestamp=rng.choice(TIMES), key=rng.choice((None, b"svc")))
        for at in range(BATCH)
    ]


class Findings:
    """Counts of a run, and what was broken."""

    def __init__(self) -> None:
        self.records = 0
        self.outcomes: Counter[str] = Counter()
        self.faults: list[str] = []

    def take(self, decoder: Decoder, seed: int, number: int) -> None:
        """Decodes one batch, and each record of it alone where a promise is broken."""
        records = batch_of(seed, number)
        self.records += len(records)
        if broken(decoder, records) is None:
            found = decoder.decode(records)
            self.outcomes["lines"] += len(set(found.places))
            self.outcomes["blank"] += len(found.blank)
            self.outcomes.update(f"dead: {letter.stage}" for _, letter in found.dead)
            return
        alone = [(record, fault) for record in records if (fault := broken(decoder, [record]))]
        for record, fault in alone:
            value = record.value or b""
            self.faults.append(
                f"batch {number}, record {record.offset}: {fault}: {value[:SHOWN_BYTES]!r} ({len(value)} bytes)"
            )
        if not alone and (fault := broken(decoder, records)):
            self.faults.append(f"batch {number}: {fault}, only in the batch as a whole")


def main(arguments: Sequence[str] | None = None) -> int:
    """Decodes the wanted number of mutants. Prints outcomes, speed and faults. Returns 1 if there is a fault."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz.decoding", description=__doc__)
    parser.add_argument("--records", type=int, default=100_000, help="mutants to decode")
    parser.add_argument("--seed", type=int, default=0, help="another seed makes other mutants")
    parser.add_argument("--batch", type=int, help="run this batch of the seed only, and print the whole records")
    parser.add_argument("--format", default="auto", choices=get_args(InputFormat), help="format of the topic")
    options = parser.parse_args(arguments)
    decoder, findings = default_decoder(form=options.format, schemas=corpus.schema_of), Findings()
    if options.batch is not None:
        findings.take(decoder, options.seed, options.batch)
        for record in batch_of(options.seed, options.batch):
            print(record.offset, broken(decoder, [record]), record.value)
    began, spent = time.process_time(), 0.0
    for number in range(-(-options.records // BATCH)) if options.batch is None else ():
        findings.take(decoder, options.seed, number)
        spent = time.process_time() - began
    for fault in findings.faults[:20]:
        print(fault)
    print(f"{findings.records} records, {len(findings.faults)} faults, {dict(findings.outcomes)}")
    if spent:
        print(f"{findings.records / spent:,.0f} records per second of CPU time, mutation and checks included")
    return 1 if findings.faults else 0


if __name__ == "__main__":
    sys.exit(main())
