"""A cut counts once all of its lines are done, its records are written and a commit names it."""

from __future__ import annotations

import pytest

from logwarden.daemon.state.journal import Cut, Journal, StateEntry
from logwarden.daemon.state.records import MAX_MARKS, Mark

CUT = Cut(end=20, replay_from=18, entries=[StateEntry(b"key", b"value")])


@pytest.fixture
def journal() -> Journal:
    return Journal("new", replay_from=5, marks=[Mark(3, "old", 7)])


def test_a_cut_waits_until_all_of_its_lines_are_done(journal: Journal) -> None:
    """A commit below the cut names the one before it, and has nothing to write."""
    journal.captured(CUT)
    assert journal.at(19) == (5, (Mark(3, "old", 7),))
    assert not journal.to_write(19)
    journal.committed(19, journal.marks)
    assert journal.is_waiting


def test_a_commit_at_the_cut_names_it_first(journal: Journal) -> None:
    """The next owner reads from where lines may be in no snapshot, and knows the cuts of the runs before."""
    journal.captured(CUT)
    assert journal.to_write(20) == CUT.entries
    journal.written(20)
    assert journal.at(20) == (18, (Mark(4, "new", 20), Mark(3, "old", 7)))
    assert not journal.to_write(20)
    journal.committed(20, journal.at(20)[1])
    assert not journal.is_waiting
    assert journal.at(20) == (18, (Mark(4, "new", 20), Mark(3, "old", 7)))


def test_a_cut_that_is_not_written_is_not_named(journal: Journal) -> None:
    """While the state topic takes nothing, offsets are committed, and the next owner reads more lines again."""
    journal.captured(CUT)
    assert journal.at(25) == (5, (Mark(3, "old", 7),))
    journal.committed(25, journal.marks)
    assert journal.to_write(25) == CUT.entries


def test_a_cut_written_while_a_commit_was_under_way_still_waits(journal: Journal) -> None:
    """What counts is what the metadata of the commit name, and not what is true when its answer comes."""
    journal.captured(CUT)
    _, named = journal.at(20)
    journal.written(20)
    journal.committed(20, named)
    assert journal.is_waiting


def test_a_commit_that_fails_changes_nothing(journal: Journal) -> None:
    """What is written and not committed is not written twice, and does not count."""
    journal.captured(CUT)
    journal.written(20)
    assert journal.is_waiting
    assert journal.at(19) == (5, (Mark(3, "old", 7),))


def test_marks_are_bounded() -> None:
    """A partition that changes hands often names its last eight runs."""
    journal = Journal("new", replay_from=0, marks=[Mark(20 - n, f"r{n}", n) for n in range(MAX_MARKS)])
    journal.captured(CUT)
    journal.written(20)
    _, marks = journal.at(20)
    assert marks is not None
    assert len(marks) == MAX_MARKS
    assert marks[0] == Mark(21, "new", 20)


def test_an_unknown_past_stays_unknown_until_the_first_cut() -> None:
    """A commit of a program without marks is followed by commits without marks, until a cut is there."""
    journal = Journal("new", replay_from=5, marks=None)
    assert journal.at(10) == (5, None)
