"""The file of feedback: what it may contain, and what is wrong with it in one sentence."""

from __future__ import annotations

import textwrap

import pytest

from logwarden.daemon.feedback import file
from logwarden.daemon.feedback.file import read_file
from logwarden.daemon.profiles import kind_of
from logwarden.daemon.settings.groups import Settings
from logwarden.model.feedback import FeedbackBook, FeedbackKind
from tests.sim.incidents import BEGIN_MS

KIND = kind_of(Settings())


def book_of(text: str) -> FeedbackBook:
    return FeedbackBook(read_file(textwrap.dedent(text).encode(), KIND))


def test_the_example_of_the_module_is_read() -> None:
    """A mute, an expected line and a maintenance, each in force for the lines that it is about."""
    book = book_of((file.__doc__ or "").split("control.")[1].split("An entry")[0])
    assert len(book) == 3
    assert book.judgement("shop/api", "", "health check of db timed out", 0) is FeedbackKind.MUTE
    expected = KIND("FATAL: the database system is starting up")
    assert book.judgement("shop/db", expected, "", 0) is FeedbackKind.EXPECTED
    assert book.judgement("shop/api", expected, "", 0) is None


def test_an_entry_has_times_of_its_own() -> None:
    """A maintenance that is planned for next week is written today."""
    text = """
        [[maintenance]]
        services = ["web"]
        from = 2026-11-23T10:00:00Z
        until = 2026-11-23T11:30:00+01:00
        """
    plan = book_of(text).plan("web", BEGIN_MS)
    assert plan is not None
    assert plan.until_ms == BEGIN_MS + 1_800_000
    assert book_of(text).plan("web", BEGIN_MS - 1) is None


def test_equal_entries_are_one_and_others_have_other_keys() -> None:
    """The order of a file means nothing."""
    mute = '[[mute]]\npattern = "abc"\n'
    assert len(book_of(mute + mute)) == 1
    assert len(book_of(mute + mute.replace("abc", "abd"))) == 2
    assert len(book_of("")) == 0


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("[[mute", "no TOML"),
        ("\udcff", "no TOML"),
        ("a = " + "[" * 50_000, "no TOML"),
        ("# " + "a" * 300_000, "300,002 bytes"),
        ("[mute]\npattern = 'abc'", "'mute' is none of"),
        ("[[real]]\npattern = 'abc'", "'real' is none of"),
        ("mute = [1]", r"entry 1 of \[\[mute\]\]: write it as a table"),
        ("[[mute]]\npatern = 'abc'", "'patern' is no field; there are from, lines"),
        ("[[mute]]\npattern = 7", r"entry 1 of \[\[mute\]\]"),
        ("[[mute]]\npattern = 'abc'\nuntil = 2026-11-23T10:00:00", "must be a time with a zone"),
        ("[[mute]]\npattern = 'abc'\nuntil = 'soon'", "must be a time with a zone"),
        ("[[expected]]\nlines = 'abc'", "must be a list of strings"),
        ("[[expected]]\nservices = ['web']", "needs lines"),
        ("[[maintenance]]\nservices = ['web']", "needs an end"),
    ],
)
def test_a_wrong_file_is_refused_with_a_sentence(text: str, sentence: str) -> None:
    """The sentence names the entry and what to write."""
    with pytest.raises(ValueError, match=sentence):
        read_file(text.encode("utf-8", "surrogateescape"), KIND)
