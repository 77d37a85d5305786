"""Feedback of any people in any order: every replica applies the same, and patterns match as slow, obvious ones do."""

from __future__ import annotations

import random
import re

from hypothesis import given
from hypothesis import strategies as st

from logwarden.model.feedback import Feedback, FeedbackBook, FeedbackKind, contains, matches

NAMES = st.text("ab*", max_size=6)
TEXTS = st.text("ab", max_size=8)
KINDS = ("00000000000000aa", "00000000000000bb")
ENTRIES = st.lists(
    st.builds(
        Feedback,
        key=st.sampled_from("pqrstuvw"),
        kind=st.sampled_from(FeedbackKind),
        given_ms=st.integers(0, 9),
        from_ms=st.integers(0, 9),
        until_ms=st.none() | st.integers(0, 12),
        services=st.lists(NAMES, max_size=2).map(tuple),
        kinds=st.frozensets(st.sampled_from(KINDS)),
        pattern=NAMES,
    ),
    max_size=8,
    unique_by=lambda one: one.key,
)


@given(NAMES, TEXTS)
def test_a_pattern_is_the_expression_that_it_looks_like(pattern: str, text: str) -> None:
    """A star is any text and the rest is itself, for whole names and for parts of lines."""
    expression = ".*".join(map(re.escape, pattern.split("*")))
    assert matches(pattern, text) is (re.fullmatch(expression, text) is not None)
    assert contains(pattern, text) is (re.search(expression, text) is not None)


@given(ENTRIES, TEXTS, st.sampled_from(KINDS), TEXTS, st.integers(0, 14), st.randoms(use_true_random=False))
def test_the_entry_given_last_decides_in_every_order(
    entries: list[Feedback], service: str, kind: str, text: str, at: int, order: random.Random
) -> None:
    """A book answers as a search through all entries does, and does not depend on the order in which they arrived."""
    fitting = [
        one
        for one in entries
        if one.is_valid(at)
        and one.reaches(service, "")
        and (
            (one.kind is FeedbackKind.MUTE and contains(one.pattern, text))
            or (one.kind in (FeedbackKind.EXPECTED, FeedbackKind.REAL) and kind in one.kinds)
        )
    ]
    last = max(fitting, key=lambda one: (one.given_ms, one.key), default=None)
    shuffled = list(entries)
    order.shuffle(shuffled)
    for book in (FeedbackBook(entries), FeedbackBook(shuffled)):
        assert book.judgement(service, kind, text, at) is (None if last is None else last.kind)
    assert FeedbackBook(entries).plan(service, at) == FeedbackBook(shuffled).plan(service, at)
