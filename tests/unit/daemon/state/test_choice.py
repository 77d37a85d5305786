"""Records of the state topic: which of them count for the next owner of a partition."""

from __future__ import annotations

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from logwarden.daemon.state import choice as module
from logwarden.daemon.state.choice import Choice, Place, Restored
from logwarden.daemon.state.records import FORMAT, MAX_MARKS, Mark, StateKey, StateValue, Through

MASKS = "masks"


def value(
    run: str,
    cut: int,
    *,
    epoch: int = 1,
    is_first: bool = False,
    has_past: bool = False,
    masks: str = MASKS,
    form: int = FORMAT,
) -> bytes:
    found = StateValue(
        format=form,
        masks=masks,
        epoch=epoch,
        run=run,
        cut=cut,
        is_first=is_first,
        has_past=has_past,
        through=Through(cut, 0),
        snapshot=f"{run} {cut}".encode(),
    )
    return found.encode()


PLACE = Place("logs", "id", 3)


def key(service: str, *, group: str = "g", place: Place = PLACE) -> bytes:
    return StateKey(group, *place, service).encode()


def choice_of(entries: list[tuple[str, bytes | None]], marks: list[Mark] | None) -> Choice:
    choice = Choice({PLACE: marks}, group="g", masks=MASKS)
    for service, entry in entries:  # as if each came with a fetch of its own
        choice.take([(key(service), entry)])
    return choice


def chosen(entries: list[bytes | None], marks: list[Mark] | None) -> Restored | None:
    found = choice_of([("svc", entry) for entry in entries], marks).of(PLACE)
    return found[0] if found else None


def test_the_newest_committed_cut_counts() -> None:
    """Of several cuts of one service the last one that a commit names is taken."""
    found = chosen([value("r", 10), value("r", 20), value("r", 30)], [Mark(1, "r", 30)])
    assert found is not None
    assert (found.snapshot, found.is_exact, found.is_covered) == (b"r 30", True, False)


def test_a_cut_that_was_not_committed_is_passed_over_and_written_again() -> None:
    """A member that failed between writing and committing leaves a record above the one that counts."""
    found = chosen([value("r", 10), value("r", 20)], [Mark(1, "r", 10)])
    assert found is not None
    assert (found.snapshot, found.is_exact, found.is_covered) == (b"r 10", True, True)


def test_a_run_that_committed_no_cut_counts_for_nothing() -> None:
    """The records of a member that lost its partition before its first commit are not of this history."""
    found = chosen([value("r", 10), value("zombie", 15, epoch=2)], [Mark(1, "r", 10)])
    assert found is not None
    assert found.snapshot == b"r 10"
    assert chosen([value("zombie", 15, is_first=True)], []) is None


def test_a_service_whose_record_was_compacted_away_comes_back_from_the_one_above() -> None:
    """Known and not exact is better than blind: its lines are not counted twice all the same."""
    found = chosen([value("r", 20)], [Mark(1, "r", 10)])
    assert found is not None
    assert (found.snapshot, found.is_exact, found.is_covered) == (b"r 20", False, True)


def test_runs_older_than_the_marks_count() -> None:
    """A commit names eight runs: what is older was sorted out by the runs after it."""
    marks = [Mark(20 - number, f"r{number}", 100) for number in range(MAX_MARKS)]
    assert chosen([value("old", 50, epoch=5)], marks) is not None
    assert chosen([value("late", 50, epoch=19, is_first=True)], marks) is None


def test_without_marks_every_record_counts() -> None:
    """An operator who resets offsets commits no marks, and services keep what they have learned."""
    found = chosen([value("r", 10), value("r", 20)], None)
    assert found is not None
    assert found.snapshot == b"r 20"


def test_what_counted_without_marks_is_written_again() -> None:
    """The next commit names cuts of the new owner alone: records of earlier owners would not count after it."""
    found = chosen([value("r", 10)], None)
    assert found is not None
    assert found.is_covered


def test_a_group_that_lost_its_offsets_keeps_what_it_has_learned() -> None:
    """Brokers delete the offsets of a group that was away for a week; its records show that it once committed."""
    found = chosen([value("r", 10, is_first=True), value("r", 20, has_past=True)], [])
    assert found is not None
    assert (found.snapshot, found.is_covered) == (b"r 20", True)
    assert chosen([value("r", 10, is_first=True)], []) is None, "a group that never committed has no past"


def test_what_cannot_be_read_is_counted_and_the_record_below_it_is_taken() -> None:
    """Other masks, another release and damage are never fatal: known and not exact is better than blind."""
    entries: list[tuple[str, bytes | None]] = [
        ("masks", value("r", 10, masks="other")),
        ("newer", value("r", 10, form=FORMAT + 1)),
        ("other layout", msgspec.msgpack.encode([FORMAT + 1, {"all": "new"}])),
        ("damaged", b"\xc1 no record"),
        ("deleted", value("r", 10)),
        ("deleted", None),
        ("whole", value("r", 10)),
        ("whole", value("r", 20, masks="other")),
    ]
    found = choice_of(entries, [Mark(1, "r", 20)])
    assert [(restored.service, restored.is_exact) for restored in found.of(PLACE)] == [("whole", False)]
    assert found.passed_over == {"masks": 2, "format": 2, "damaged": 1}


def test_keys_name_one_partition_of_one_incarnation_and_one_group() -> None:
    """Records of another topic, group or program, or of a topic created again, belong to no partition here."""
    choice = Choice({PLACE: None}, group="g", masks=MASKS)
    others = [PLACE._replace(incarnation="id-1"), PLACE._replace(topic="other"), PLACE._replace(partition=4)]
    keys = [key("a"), key("b", group="other"), *(key("c", place=place) for place in others), b"", b"[1]", b"\xff"]
    choice.take([(raw, value("r", 10)) for raw in keys])
    assert [restored.service for restored in choice.of(PLACE)] == ["a"]


@given(st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 5), st.booleans()), max_size=40))
def test_memory_is_bounded_by_services(writes: list[tuple[str, int, bool]]) -> None:
    """However long the topic is, the bytes are those of what is kept; above the bound the oldest are left out."""
    choice = Choice({PLACE: [Mark(1, "r", 3)]}, group="g", masks=MASKS, max_bytes=900)
    for service, cut, is_deleted in writes:
        choice.take([(key(service), None if is_deleted else value("r", cut))])
        kept = choice._candidates[PLACE]
        sizes = [module._size(one) for part in (kept.counting, kept.others, kept.newest) for one in part.values()]
        assert choice._bytes == sum(sizes) <= 900
