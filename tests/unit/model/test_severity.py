"""Levels of lines: words, numbers and letters of loggers, and the heads of raw lines."""

from __future__ import annotations

from unittest.mock import patch

import pytest
from hypothesis import given
from hypothesis import strategies as st

from logwarden.model import severity
from logwarden.model.severity import CRITICAL, DEBUG, ERROR, INFO, NOTICE, TRACE, WARNING

WORDS = "ERROR Error error [warn] WARN: info note: fatal| debug1 - crit ok OK ERROR_CODE x-ERROR I/O svc err=null E"
PIECES = st.sampled_from((*WORDS.split(), "Dbg  ", "(app.Error)", "<", ">", "|", "[", "]"))


@pytest.mark.parametrize(
    ("line", "level"),
    [
        ("E261024 08:00:00.000123 7 node.go:3 lost", ERROR),
        ("2026-11-23 10:00:00 ERROR [http] payment failed", ERROR),
        ("E1123 10:00:00.000000   1 controller.go:12] payment failed", ERROR),
        ("W, [2026-11-23T10:00:00.1 #12]  WARN -- : slow", WARNING),
        ("[error] worker died", ERROR),
        ("[Mon Nov 23 10:00:00 2026] [core:error] [pid 1] refused", ERROR),
        ("level=warn msg=slow", WARNING),
        ("ts=1 lvl=eror msg=slow", ERROR),
        ('{"level":50,"msg":"failed"}', ERROR),
        ("INFO: started", INFO),
        ("2026-11-23 10:00:00.123 [main] WARN c.e.Shop - slow", WARNING),
        ("081109 203615 148 INFO dfs.DataNode$PacketResponder: done", INFO),
        ("<27>1 2026-11-23T10:00:00Z web cart - - state changed", ERROR),
        ("11-23 10:00:00.000  1234  5678 E Shop: failed", ERROR),
        ("10:00:00 | Error | failed", ERROR),
        ("2026-11-23 10:00:00 UTC [12] FATAL:  sorry, too many clients", CRITICAL),
        ("错误\uff1a磁盘空间不足", ERROR),
        ("2026-11-23 ошибка: нет места", ERROR),
        ("Nov 23 10:00:00 sw1 %LINK-3-UPDOWN: Interface down", ERROR),
        ("%ASA-4-106023: Deny tcp", WARNING),
        ("E: unable to locate the package", ERROR),
        ("::error file=a.js::missing", ERROR),
        ("2026-11-23 10:00:00 [app#error] failed", ERROR),
        ("ΣΦΑΛΜΑ: απέτυχε", ERROR),
        ("C: is full", None),
        ("done 50%-3-5", None),
        ("nothing here is an error", None),
        ("user error in input handled", None),
        ("GET /error 200", None),
        ("ERROR-42 is a name", None),
        ("ERROR_CODE is 0", None),
        ("[Warn] slow answer", WARNING),
        ("Nov 23 10:00:00 host kernel: usb reset", None),
        ("", None),
    ],
)
def test_the_level_of_a_raw_line(line: str, level: int | None) -> None:
    """A level stands apart at the head of a line, or in a field; a word in the text is none."""
    assert severity.of_line(line) == level


@given(st.lists(PIECES | st.text("aEr oR:[]|-_7", max_size=9), max_size=12).map(" ".join))
def test_the_quick_look_at_a_head_misses_no_level(text: str) -> None:
    """A head without any word of a level is known by a set, and the patterns would have found nothing in it."""
    found = severity.of_line(text)
    with patch.object(severity, "_patterns", lambda head: (severity._APART_IN_ASCII, severity._CAPITALS)):
        assert severity.of_line(text) == found


@pytest.mark.parametrize(
    ("word", "level"),
    [
        ("EROR", ERROR),
        ("wrn", WARNING),
        ("[I]", INFO),
        ("Fehler", ERROR),
        ("SEVERE", ERROR),
        ("dpanic", CRITICAL),
        ("уведомление", NOTICE),
        ("verbose", TRACE),
        ("debug5", DEBUG),
        ("x", None),
        ("level", None),
        ("", None),
    ],
)
def test_the_words_of_loggers(word: str, level: int | None) -> None:
    """Abbreviations, misspellings, letters and words of other languages name levels."""
    assert severity.of_word(word) == level


def test_the_numbers_of_loggers() -> None:
    """Syslog's, pino's, Monolog's, Java's and OpenTelemetry's numbers."""
    assert [severity.of_number(n) for n in (0, 3, 4, 7, 10, 30, 40, 50, 60)] == [
        CRITICAL, ERROR, WARNING, DEBUG, TRACE, INFO, WARNING, ERROR, CRITICAL,
    ]  # fmt: skip
    assert [severity.of_number(n) for n in (100, 200, 250, 300, 400, 550)] == [
        DEBUG, INFO, NOTICE, WARNING, ERROR, CRITICAL,
    ]  # fmt: skip
    assert [severity.of_number(n) for n in (20_000, 30_000, 40_000)] == [INFO, WARNING, ERROR]
    assert [severity.of_otel(n) for n in (1, 5, 9, 13, 17, 21, 0, 25)] == [
        TRACE, DEBUG, INFO, WARNING, ERROR, CRITICAL, None, None,
    ]  # fmt: skip
    assert [severity.of_syslog(n) for n in (11, 27, 30, 192)] == [ERROR, ERROR, INFO, None]
    assert severity.of_number(-1) is None
