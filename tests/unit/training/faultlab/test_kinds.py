"""The kinds of lines that were drawn by hand: they are many, cover the recordings, and keep apart."""

from __future__ import annotations

from collections import Counter
from functools import cache
from pathlib import Path

import pytest

from logwarden.training.faultlab.kinds import DrawnKind, first_fits, kinds_by_hand, systems_with_kinds
from logwarden.training.faultlab.recording import load_recording
from logwarden.training.faultlab.release import RECORDINGS, runs_below

SYSTEMS = systems_with_kinds()


@cache
def _lines(system: str) -> Counter[str]:
    runs = runs_below(RECORDINGS)[system]
    return Counter(line.text for directory in runs for line in load_recording(directory).lines)


@cache
def _fits(system: str) -> tuple[tuple[tuple[DrawnKind, ...], int], ...]:
    """Returns of each distinct line all kinds that it fits, and how often the line was logged."""
    kinds = kinds_by_hand(system)
    return tuple((tuple(kind for kind in kinds if kind.fits(line)), count) for line, count in _lines(system).items())


def test_three_systems_of_different_make_have_kinds() -> None:
    """A database in C, a store in Go that logs JSON, and a server in Java with an access log."""
    assert SYSTEMS == ["etcd", "postgres", "tomcat"]


@pytest.mark.parametrize("system", SYSTEMS)
def test_the_kinds_cover_the_recordings(system: str) -> None:
    """Every line fits a kind, but for two halves of lines that memcached tore in writing."""
    fits = _fits(system)
    assert sum(count for _, count in fits) > 50_000
    unfit = [line for line, (kinds, _) in zip(_lines(system), fits, strict=True) if not kinds]
    assert unfit == (["14", "m:7"] if system == "tomcat" else [])


@pytest.mark.parametrize("system", SYSTEMS)
def test_every_kind_is_seen_and_there_are_many(system: str) -> None:
    """No template is there for a line that no run wrote, and none is written twice."""
    kinds = kinds_by_hand(system)
    assert len(kinds) >= 40
    assert len({kind.template for kind in kinds}) == len(kinds)
    assert {fits[0] for fits, _ in _fits(system) if fits} == set(kinds)


@pytest.mark.parametrize("system", SYSTEMS)
def test_a_line_fits_one_kind(system: str) -> None:
    """One line of 1,000 at most fits a second kind, and the first has more constant text."""
    ambiguous = [(fits, count) for fits, count in _fits(system) if len(fits) > 1]
    assert sum(count for _, count in ambiguous) <= _lines(system).total() / 1000
    for (first, *others), _ in ambiguous:
        assert all(len("".join(first.pieces)) > len("".join(other.pieces)) for other in others)


@pytest.mark.parametrize("system", SYSTEMS)
def test_no_line_fits_a_kind_of_another_system(system: str) -> None:
    """The kinds of one system are no catch-alls: a line of another system fits hardly any of them."""
    strangers = [kind for other in SYSTEMS if other != system for kind in kinds_by_hand(other)]
    sample = list(_lines(system))[:: max(1, len(_lines(system)) // 2000)]
    assert [line for line in sample if any(kind.fits(line) for kind in strangers)] == []


def test_the_first_kind_that_fits_counts(tmp_path: Path) -> None:
    """A place may be empty, a comment is no kind, signs of regular expressions are plain, and the whole line counts."""
    rows = "# a comment\nshop\t[<*>] paid (<*>)\nshop\t[<*>] paid <*>\nshop\t\tindented\n"
    (tmp_path / "shop.tsv").write_text(rows, encoding="utf-8")
    assert systems_with_kinds(tmp_path) == ["shop"]
    kinds = kinds_by_hand("shop", tmp_path)
    lines = ["[] paid (7)", "[a] paid 7", "\tindented", "x[a] paid 7", "[a] paid 7", "[a] paid (", "\tindented "]
    assert first_fits(lines, kinds) == [kinds[0], kinds[1], kinds[2], None, kinds[1], kinds[1], None]
    assert {kind.program for kind in kinds} == {"shop"}


def test_pieces_lie_one_behind_the_other() -> None:
    """Constant words that overlap in the line, or stand in another order, do not fit."""
    kind = DrawnKind("shop", "a <*> b <*> b c", ("a ", " b ", " b c"), " b c")
    assert kind.fits("a 1 b 2 b c")
    assert kind.fits("a  b  b c")
    assert not kind.fits("a 1 b c")
    assert not kind.fits("a b c")
    assert not DrawnKind("shop", "a b<*>b c", ("a b", "b c"), "a b").fits("a b c")
    assert not kind.fits("a 1 b 2 b c d")
