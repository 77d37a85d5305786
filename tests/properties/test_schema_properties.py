"""A truncated line keeps its limit and its characters, whatever its content."""

from __future__ import annotations

from hypothesis import example, given
from hypothesis import strategies as st

from logwarden.model.schema import truncated, truncated_utf8

LIMITS = st.integers(0, 40)
TEXTS = st.text(st.sampled_from("aä€🔥…�\0") | st.characters(), max_size=80)
RAW = st.builds(b"".join, st.lists(st.binary(max_size=4) | TEXTS.map(lambda text: text.encode("utf-8", "replace"))))


@given(TEXTS, LIMITS)
def test_a_shortened_text_keeps_its_limit(text: str, limit: int) -> None:
    """A text within the limit stays the same; a longer one becomes its first characters and an ellipsis."""
    short = truncated(text, limit)
    assert len(short) <= limit
    assert truncated(short, limit) == short
    if len(text) <= limit:
        assert short == text
    elif limit:
        assert len(short) == limit
        assert short.endswith("…")
        assert text.startswith(short[:-1])


@given(TEXTS.map(lambda text: text.encode("utf-8", "replace").decode()), LIMITS)
def test_bytes_are_shortened_as_their_text_is(text: str, limit: int) -> None:
    """The fast way over bytes returns the text of the plain way."""
    assert truncated_utf8(text.encode(), limit) == truncated(text, limit).encode()


@given(RAW, LIMITS)
@example("磁盘已满".encode()[:-1], 4)
@example(b"\xf0\x9f\x94" * 30, 20)
def test_shortened_bytes_are_never_damaged(raw: bytes, limit: int) -> None:
    """Truncated bytes keep the limit when decoded, and a damaged end is one of the input."""
    short = truncated_utf8(raw, limit)
    text = short.decode("utf-8", "replace")
    assert len(text) <= limit
    assert truncated_utf8(short, limit) == short
    if short == raw or not limit:
        return
    assert text.endswith("…")
    assert raw.startswith(short.removesuffix("…".encode()))
    assert raw.decode("utf-8", "replace").startswith(text[:-2])  # the last character before the cut may be damage
