"""The decoder survives mutants of every format, and the fuzzer finds faults that are planted in it."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Sequence
from typing import Any, get_args

import pytest

from logwarden.daemon.decoding.decoder import Decoded, Decoder
from logwarden.daemon.records import InputFormat
from tests.fuzz import corpus
from tests.fuzz.decoding import BATCH, TIMES, Findings, batch_of, main
from tests.oracles import LogRecord, default_decoder

RECORDS = 30_000
"""Mutants of a test run; `python -m tests.fuzz.decoding --records 1000000` decodes more."""
PINNED_RECORDS = 1_500
Patch = pytest.MonkeyPatch
Change = Callable[[Decoded], None]


def test_mutants_of_every_format_come_out() -> None:
    """No mutant ends the decoder, is lost, comes out twice or takes half a second."""
    decoder, findings = default_decoder(schemas=corpus.schema_of), Findings()
    for number in range(RECORDS // BATCH):
        findings.take(decoder, 1, number)
    assert findings.faults == []
    assert findings.outcomes["lines"] > RECORDS / 2, "most mutants still are log records"


@pytest.mark.parametrize("form", [form for form in get_args(InputFormat) if form != "auto"])
def test_mutants_come_out_of_a_pinned_format(form: InputFormat) -> None:
    """A promise that is broken in every way costs a dead letter each time, and nothing else."""
    decoder, findings = default_decoder(form=form, schemas=corpus.schema_of), Findings()
    for number in range(PINNED_RECORDS // BATCH):
        findings.take(decoder, 2, number)
    assert findings.faults == []
    assert findings.outcomes["lines"] > 0
    assert form == "raw" or findings.outcomes["dead: json" if form == "json" else "dead: format"] > PINNED_RECORDS / 10


def test_the_seeds_are_many_and_different() -> None:
    """Each format is there, and a batch of a seed is the same every time."""
    assert len(corpus.records()) > 100
    assert batch_of(3, 4) == batch_of(3, 4) != batch_of(4, 4)


@pytest.mark.parametrize("value", corpus.BROKE)
def test_what_broke_the_decoder_once_comes_out(value: bytes) -> None:
    """A record that the fuzzer found comes out as a line that has its text."""
    found = default_decoder().decode([LogRecord(value)])
    assert (len(found.lines), found.dead) == (1, [])


@pytest.mark.parametrize("timestamp", TIMES)
@pytest.mark.parametrize("value", [b"<11>Nov 23 10:33:20 h1 app[1]: failed", b"[Mon Nov 23 10:33:20] failed"])
def test_a_record_of_any_time_comes_out(value: bytes, timestamp: int) -> None:
    """A producer may write any number as the time of a record, and a line without a year is read beside it."""
    found = default_decoder().decode([LogRecord(value, timestamp=timestamp)])
    assert (len(found.lines), found.dead) == (1, [])


def _changed(change: Change) -> Callable[[Patch], None]:
    """Returns what plants a change of the decoder's answers."""
    decode = Decoder.decode

    def plant(patch: Patch) -> None:
        def changed(decoder: Decoder, records: Sequence[Any]) -> Decoded:
            out = decode(decoder, records)
            change(out)
            return out

        patch.setattr(Decoder, "decode", changed)

    return plant


def _a_line_keeps_its_break(out: Decoded) -> None:
    out.lines = [line.replace(b"  ", b"\n") for line in out.lines]


def _a_line_is_cut_within_a_character(out: Decoded) -> None:
    out.lines = [line[:39] for line in out.lines]


def _a_blank_is_forgotten(out: Decoded) -> None:
    out.blank = out.blank[1:]


def _a_dead_letter_is_a_line_too(out: Decoded) -> None:
    out.blank += [place for place, _ in out.dead]


def _a_long_line_takes_long(out: Decoded) -> None:
    if any(len(line) > 8_000 and re.search(rb"(.)\1{4000}", line) for line in out.lines):
        until = time.thread_time() + 0.6
        while time.thread_time() < until:
            pass


def _a_trace_ends_the_decoder(out: Decoded) -> None:
    if any(line.endswith(b"'card'") for line in out.lines):
        raise KeyError("card")


@pytest.mark.parametrize(
    "change",
    [
        _a_line_keeps_its_break,
        _a_line_is_cut_within_a_character,
        _a_blank_is_forgotten,
        _a_dead_letter_is_a_line_too,
        _a_long_line_takes_long,
        _a_trace_ends_the_decoder,
    ],
)
def test_a_planted_fault_is_found(change: Change, monkeypatch: Patch) -> None:
    """Each kind of fault is found within thirty thousand mutants."""
    _changed(change)(monkeypatch)
    decoder, findings = default_decoder(), Findings()
    for number in range(RECORDS // BATCH):
        findings.take(decoder, 1, number)
        if findings.faults:
            return
    pytest.fail("no mutant showed the fault")


def test_the_command_prints_the_batch_of_a_fault(monkeypatch: Patch, capsys: pytest.CaptureFixture[str]) -> None:
    """A fault makes the exit code 1, and its batch can be decoded again."""
    assert main(["--records", "200"]) == 0
    assert "256 records, 0 faults" in capsys.readouterr().out
    _changed(_a_line_is_cut_within_a_character)(monkeypatch)
    assert main(["--records", "3000"]) == 1
    match = re.search(r"batch (\d+), record (\d+): a line or a service is no UTF-8", capsys.readouterr().out)
    assert match is not None
    assert main(["--batch", match[1]]) == 1
    assert f"\n{match[2]} a line or a service is no UTF-8" in capsys.readouterr().out
