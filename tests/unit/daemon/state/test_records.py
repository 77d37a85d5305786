"""Records of the state topic: which of them count for the next owner of a partition."""

from __future__ import annotations

from logwarden.daemon.state.records import (
    FORMAT,
    MAX_MARKS,
    Mark,
    Restored,
    StateKey,
    StateValue,
    Through,
    by_partition,
    choose,
)

MASKS = "masks"


def value(
    run: str, cut: int, *, epoch: int = 1, is_first: bool = False, masks: str = MASKS, form: int = FORMAT
) -> bytes:
    found = StateValue(
        format=form,
        masks=masks,
        epoch=epoch,
        run=run,
        cut=cut,
        is_first=is_first,
        through=Through(cut, 0),
        snapshot=f"{run} {cut}".encode(),
    )
    return found.encode()


def chosen(entries: list[bytes | None], marks: list[Mark] | None) -> Restored | None:
    found = choose([("svc", entry) for entry in entries], marks, MASKS).services
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


def test_other_masks_and_formats_begin_anew_and_damage_is_counted() -> None:
    """Records that mean nothing here are left out, those that cannot be read are counted, and none is fatal."""
    entries: list[tuple[str, bytes | None]] = [
        ("masks", value("r", 10, masks="other")),
        ("newer", value("r", 10, form=FORMAT + 1)),
        ("damaged", b"\xc1 no record"),
        ("deleted", value("r", 10)),
        ("deleted", None),
        ("whole", value("r", 10)),
    ]
    found = choose(entries, [Mark(1, "r", 10)], MASKS)
    assert [restored.service for restored in found.services] == ["whole"]
    assert found.unreadable == 2


def test_keys_name_one_partition_of_one_incarnation() -> None:
    """Records of another topic, of a topic created again or of another program belong to no partition here."""
    keys = [StateKey("logs", "id-0", 3, "a"), StateKey("logs", "id-1", 3, "a"), StateKey("other", "id-0", 3, "a")]
    groups = by_partition([*((key.encode(), b"x") for key in keys), (b"", b"x"), (b"[1]", b"x"), (b"\xff", b"x")])
    assert groups == {key[:3]: [("a", b"x")] for key in keys}
