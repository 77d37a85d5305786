"""How a line that is too long for its reader is shortened, by example."""

from __future__ import annotations

import pytest
from logwarden.model.schema import truncated, truncated_utf8


@pytest.mark.parametrize(
    ("text", "limit", "expected"),
    [
        ("disk full", 9, "disk full"),
        ("disk full", 8, "disk fu…"),
        ("disk full", 1, "…"),
        ("disk full", 0, ""),
        ("", 0, ""),
        ("磁盘已满", 4, "磁盘已满"),
        ("磁盘已满", 3, "磁盘…"),
        ("🔥🔥🔥🔥", 3, "🔥🔥…"),
    ],
)
def test_a_long_text_ends_in_an_ellipsis(text: str, limit: int, expected: str) -> None:
    """The reader sees that something is missing, and no character is split, whatever it takes in UTF-8."""
    assert truncated(text, limit) == expected
    assert truncated_utf8(text.encode(), limit) == expected.encode()


def test_bytes_that_are_no_utf8_stay_as_they_are() -> None:
    """The decoder of the line decides what becomes of them; each counts as a character."""
    assert truncated_utf8(b"a\xff\xfeb", 4) == b"a\xff\xfeb"
    assert truncated_utf8(b"a\xff\xfeb\xc3", 4) == b"a\xff\xfe" + "…".encode()
