"""Levels of raw lines."""

from __future__ import annotations

from unittest.mock import patch

import pytest
from hypothesis import given
from hypothesis import strategies as st

from logwarden.model import severity

_WORDS = "ERROR Error error [warn] WARN: info note: fatal| debug1 - crit ok OK ERROR_CODE x-ERROR I/O svc err=null E"
_PIECES = st.sampled_from((*_WORDS.split(), "Dbg  ", "(app.Error)", "<", ">", "|", "[", "]"))


@given(st.lists(_PIECES | st.text("aEr oR:[]|-_7", max_size=9), max_size=12).map(" ".join))
def test_a_head_without_a_word_of_a_level_skips_only_patterns_that_find_nothing(text: str) -> None:
    found = severity.of_line(text)
    with patch.object(severity, "_patterns", lambda head: (severity._APART_IN_ASCII, severity._CAPITALS)):
        assert severity.of_line(text) == found


@pytest.mark.parametrize(
    ("line", "level"),
    [
        ("2026-01-02 03:04:05 ERROR disk full", severity.ERROR),
        ("[Warn] slow answer", severity.WARNING),
        ("ERROR_CODE is 0", None),
        ("no level here", None),
        ("ОШИБКА: диск переполнен", severity.ERROR),
    ],
)
def test_the_level_of_a_raw_line(line: str, level: int | None) -> None:
    assert severity.of_line(line) == level
