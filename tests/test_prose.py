"""The prose of the product, held to the targets of `tests/prose.py`, and the measure itself by example."""

from __future__ import annotations

import pytest

from tests.prose import FOLDERS, ROOT, Place, Prose, measure, measure_all

PENDING = ("daemon", "model", "training", "demo", "logwarden")
"""Folders that miss a target. A folder that meets them all has to leave this table; none comes back."""


@pytest.mark.parametrize("folder", FOLDERS)
def test_the_prose_meets_its_targets(folder: str) -> None:
    """A folder keeps to plain words, verbs first and comments beside index arithmetic, or stands in PENDING."""
    if not (ROOT / folder).is_dir():
        pytest.skip(f"there is no folder {folder}/")
    prose = measure_all(ROOT / folder)
    if folder in PENDING:
        assert prose.breaches(), f"{folder} meets every target: remove it from PENDING"
        return
    places = (*prose.odd, *prose.clauses, *prose.bare)
    assert prose.breaches() == [], "\n".join(str(place) for place in places)


def of(docstring: str) -> Prose:
    """Measures a function with this docstring."""
    return measure("x.py", f'def f():\n    """{docstring}"""\n')


@pytest.mark.parametrize(
    ("docstring", "words"),
    [
        ("Wakes everybody who waits.", ["everybody"]),
        ("Says what is wrong; the broker told us.", ["Says", "told"]),
        ("Returns the rows that a slot holds.", ["holds"]),
        ("Gives up after so many tries.", ["Gives up", "so many"]),
        ("Starts the\n    group; services come and\n    go.", ["come and go"]),
        ("Retries whoever is gone, for ever.", ["whoever", "gone", "for ever"]),
    ],
)
def test_odd_words_are_found(docstring: str, words: list[str]) -> None:
    """A banned word is found in any case, and a phrase across the end of a line."""
    assert [place.found for place in of(docstring).odd] == [f"odd word {word!r}" for word in words]


@pytest.mark.parametrize(
    "docstring",
    [
        "Returns while the thread holds a lock, so long as the operator asked for it.",
        "Replaces `nobody said` and ``gone`` and 'quiet'.",
        "Counts the untold household of forgone tellers.",
    ],
)
def test_other_words_are_left_alone(docstring: str) -> None:
    """Quoted text, a lock that is held and an operator who asked are no odd words."""
    assert of(docstring).odd == []


def test_a_place_names_its_line() -> None:
    """The line of a finding is the line in the file, also deep in a long docstring."""
    prose = measure("x.py", '"""One.\n\nTwo.\nThis nobody reads.\n"""\n\nX = 1\n"""The broker said so."""\n')
    assert prose.odd == [
        Place("x.py", 4, "odd word 'nobody'", "This nobody reads."),
        Place("x.py", 8, "odd word 'said'", "The broker said so."),
    ]


@pytest.mark.parametrize("opener", ["What", "Whether", "So", "Until", "The same", "For", "Where", "That", "Nothing"])
def test_an_opening_clause_is_found(opener: str) -> None:
    """A docstring that begins with a clause names neither the deed nor the value."""
    assert [place.line for place in of(f"{opener} lines come in.").clauses] == [2]


@pytest.mark.parametrize("opener", ["Returns", "The", "A", "(n,)", "`push`", "Solves", "Forgets", "Every", "Whole"])
def test_a_verb_or_a_value_is_no_clause(opener: str) -> None:
    """A third-person verb or the value returned opens a docstring; a longer word is not its beginning."""
    assert of(f"{opener} lines that came in.").clauses == []


def test_only_functions_open_with_a_verb() -> None:
    """A module, a class or a setting may begin as it likes."""
    prose = measure("x.py", '"""What it is."""\nclass C:\n    """So many."""\n    x: int = 1\n    """How long."""\n')
    assert (prose.docstrings, prose.clauses, len(prose.odd)) == (0, [], 2)


def test_array_code_is_known_by_what_it_uses() -> None:
    """A file full of arrays needs comments, a file with one array none; a comment counts beside code as well."""
    dense = "x = np.zeros(3)\n" * 50
    assert [place.text for place in measure("a.py", dense).bare] == ["0 in 50 lines"]
    assert measure("a.py", dense, arrays=False).bare == []
    assert measure("a.py", dense + "x = np.ones(3)  # (3,)\n" * 2 + "# shapes above\n").bare == []
    assert measure("b.py", "x = np.zeros(3)\n" + "y = 1\n" * 49).array_lines == 0


def test_a_long_sentence_is_found_and_a_list_is_none() -> None:
    """Twenty-six words in a row are one sentence; a full stop or a bullet ends it."""
    assert [place.found for place in of("word " * 26 + ".").long] == ["26 words"]
    assert of("word " * 25 + ".").long == []
    assert of("word " * 20 + "end. " + "word " * 20).long == []
    assert of("word " * 20 + "\n    name   " + "word " * 20 + "\n    other  " + "word " * 20).long == []
    assert of("word " * 20 + "\n    - " + "word " * 20).long == []


def test_the_targets_can_be_missed() -> None:
    """One odd word in a hundred, one clause in ten and a bare file each miss their target."""
    good = "".join(f'def f{i}():\n    """Returns the {"plain " * 200}."""\n' for i in range(60))
    assert measure("x.py", good).breaches() == []
    assert len(measure("x.py", 'def f():\n    """What it holds."""\nx = np.zeros(1)\n').breaches()) == 3
