"""Services in slots: which one is evicted, what context may do, and that no line is lost in between."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from logwarden.daemon.pipeline.ledger import decode_metadata
from logwarden.daemon.pipeline.partitions import by_assignment
from logwarden.daemon.pipeline.work import Ingested, Work
from logwarden.model.learning import LearningNeed, LearningRules
from tests.oracles import LogRecord, assignment, fresh_lines_of, ingestor_of, records_of


def windows_in(work: Sequence[Work]) -> list[tuple[str, list[int], int]]:
    """Returns (service, offsets of the window, number of new lines) for every window."""
    found = []
    for piece in work:
        rows = piece.windows.windows("offset")
        for i in range(len(piece)):
            filled = int(piece.windows.filled[i])
            lines = rows[i, piece.windows.size - filled :].tolist()
            found.append((piece.services[i], lines, int(piece.windows.fresh[i])))
    return found


def test_windows_belong_to_a_service_of_a_partition() -> None:
    """One name in two partitions is two services: lines have an order only within a partition."""
    one, two = assignment(1), assignment(2)
    found = ingestor_of(8).ingest([(one, records_of("aba")), (two, records_of("a", first=70))], now=0.0)
    [work] = found.work
    assert sorted(windows_in([work])) == [("a", [0], 1), ("a", [0, 2], 1), ("a", [70], 1), ("b", [1], 1)]
    assert fresh_lines_of([work]) == [(1, 0), (1, 1), (1, 2), (2, 70)]
    assert (found.lines, found.context_lines) == (4, 0)


def test_what_is_no_line_is_reported_beside() -> None:
    """Blanks and dead letters are returned with their partition, so that their offsets can be done."""
    records = [LogRecord(b"x", 5), LogRecord(None, 6), LogRecord(b'{"broken', 7), LogRecord(b" ", 8)]
    found = ingestor_of(2).ingest([(assignment(), records)], now=0.0)
    assert [(owner.generation, offsets.tolist()) for owner, offsets in found.blank] == [(1, [6, 8])]
    assert [(owner.generation, letter.record.offset) for owner, letter in found.dead] == [(1, 7)]
    assert fresh_lines_of(found.work) == [(1, 5)]


def test_a_fetch_without_lines_makes_no_windows() -> None:
    """A fetch of tombstones alone has no windows to score."""
    found = ingestor_of(2).ingest([(assignment(), [LogRecord(None, 5)])], now=0.0)
    assert found.work == []


def test_the_longest_quiet_service_makes_room() -> None:
    """A third service in two slots evicts the one without lines for the longest time."""
    ingestor, owner = ingestor_of(2), assignment()
    for first, services in ((0, "a"), (1, "b"), (2, "a"), (3, "c")):
        ingestor.ingest([(owner, records_of(services, first))], now=0.0)
    assert ingestor.services == 2
    assert windows_in(ingestor.ingest([(owner, records_of("a", 4))], now=0.0).work) == [("a", [0, 2, 4], 1)]
    found = windows_in(ingestor.ingest([(owner, records_of("b", 5))], now=0.0).work)
    assert found == [("b", [5], 1)]  # evicted, so it begins again


def test_evicted_and_learning_services_are_counted() -> None:
    """A service that is evicted between its lines never learns enough for an alert, and nothing else shows it."""
    ingestor, owner = ingestor_of(2), assignment()
    assert ingestor.ingest([(owner, records_of("aab"))], now=0.0).evicted == 0
    needs = [LearningRules(LearningNeed(lines)) for lines in range(4)]
    assert [ingestor.book.facts(rules, 0.0, 0).learning for rules in needs] == [0, 0, 1, 2]
    assert ingestor.ingest([(owner, records_of("c", 3))], now=0.0).evicted == 1
    assert ingestor.book.facts(needs[3], 0.0, 0).learning == 2
    ingestor.drop([owner])
    assert ingestor.book.facts(needs[3], 0.0, 0).learning == 0


def test_no_service_of_the_batch_at_hand_makes_room() -> None:
    """A batch with a known and a new service evicts the absent one, whatever their order."""
    ingestor, owner = ingestor_of(2), assignment()
    ingestor.ingest([(owner, records_of("a"))], now=0.0)
    ingestor.ingest([(owner, records_of("b", 1))], now=0.0)
    assert windows_in(ingestor.ingest([(owner, records_of("ca", 2))], now=0.0).work)[-2:] == [
        ("a", [0, 3], 1),
        ("c", [2], 1),
    ]


@pytest.mark.parametrize("step", [1, 2, 3])
def test_a_batch_of_more_services_than_slots_loses_nothing(step: int) -> None:
    """Of a hundred services in two slots, every line is scored once, if need be by a flush before an eviction."""
    ingestor, owner = ingestor_of(2, step=step), assignment()
    services = [f"s{(i * 7) % 25}" for i in range(100)]
    found = ingestor.ingest([(owner, records_of(services))], now=0.0)
    rest = ingestor.flush(before=np.inf)
    assert fresh_lines_of([*found.work, *rest]) == [(1, offset) for offset in range(100)]
    assert ingestor.services == 2
    assert len({piece.pushes for piece in found.work}) == 1


def test_every_push_is_to_be_reported_once() -> None:
    """The log stream keeps the lines of unscored work, and none once all work is scored."""
    ingestor, owner = ingestor_of(2, step=2), assignment()
    found = ingestor.ingest([(owner, records_of("abcdabcdaab"))], now=0.0)
    pushes = sum(piece.pushes for piece in [*found.work, *ingestor.flush(before=np.inf)])
    ingestor.scored(pushes)
    with pytest.raises(IndexError):
        ingestor.scored(1)


def test_context_fills_windows_and_makes_none() -> None:
    """Lines below the committed offset were scored by the previous owner: they only fill later windows."""
    owner = assignment(score_from=4, context=0)
    records = [
        *records_of("aaa"),
        LogRecord(b'{"broken', 3),
        LogRecord(None, 3),
        *records_of("ab", 4),
        LogRecord(b'{"broken', 6),
    ]
    found = ingestor_of(4).ingest([(owner, records)], now=0.0)
    assert windows_in(found.work) == [("a", [1, 2, 4], 1), ("b", [5], 1)]
    assert found.context_lines == 3
    assert found.blank == []
    assert [letter.record.offset for _, letter in found.dead] == [6]


def test_context_is_never_new_in_a_later_window() -> None:
    """Context that waits in a ring for its step is scored neither with new lines nor alone."""
    ingestor, owner = ingestor_of(4, size=4, step=3), assignment(score_from=4, context=0)
    found = ingestor.ingest([(owner, records_of("aabb"))], now=0.0)
    assert windows_in(found.work) == []
    mixed = ingestor.ingest([(owner, records_of("a", 4))], now=1.0)
    assert windows_in(mixed.work) == [("a", [0, 1, 4], 1)]
    waited = ingestor.flush(before=100.0)
    assert windows_in(waited) == []
    later = ingestor.ingest([(owner, records_of("b", 5))], now=2.0)
    assert windows_in([*later.work, *ingestor.flush(before=100.0)]) == [("b", [2, 3, 5], 1)]


def test_lines_wait_for_their_step_until_they_are_flushed() -> None:
    """A service with few lines is scored when its oldest new line has waited long enough."""
    ingestor, owner = ingestor_of(4, step=3), assignment()
    assert ingestor.waits
    assert not ingestor_of(1).waits
    found = ingestor.ingest([(owner, records_of("ab"))], now=10.0)
    ingestor.ingest([(owner, records_of("a", 2))], now=12.0)
    assert windows_in(found.work) == []
    assert ingestor.flush(before=9.0) == []
    assert windows_in(ingestor.flush(before=10.0)) == [("a", [0, 2], 2), ("b", [1], 1)]
    assert ingestor.flush(before=np.inf) == []


def test_what_is_dropped_is_forgotten_and_its_slots_are_free() -> None:
    """A revoked partition's services are new to the next owner; other partitions keep theirs."""
    ingestor, revoked, kept = ingestor_of(3), assignment(1), assignment(2)
    ingestor.ingest([(revoked, records_of("ab")), (kept, records_of("a"))], now=0.0)
    ingestor.drop([revoked, assignment(99)])
    assert ingestor.services == 1
    again = assignment(3)
    found = ingestor.ingest([(again, records_of("ab", 2)), (kept, records_of("a", 1))], now=0.0)
    assert sorted(windows_in(found.work)) == [("a", [0, 1], 1), ("a", [2], 1), ("b", [3], 1)]
    ingestor.drop([again, kept])
    assert ingestor.services == 0


def test_the_commit_says_where_the_windows_begin() -> None:
    """A read from the context offset on rebuilds every window from the position on."""
    ingestor, owner = ingestor_of(4), assignment()
    for first, services in ((0, "abb"), (3, "bbb"), (6, "bb")):
        records = records_of(services, first)
        owner.ledger.open(np.array([r.offset for r in records]))
        for _, at, context in ingestor.ingest([(owner, records)], now=0.0).contexts:
            owner.ledger.note_context(at, context)
    owner.ledger.done(np.arange(6))
    position, metadata = owner.ledger.to_commit(1000)
    assert (position, decode_metadata(metadata)) == (6, 0)  # service a, without newer lines, needs its line
    assert decode_metadata(owner.ledger.to_commit(2)[1]) == 4


def test_facts_for_the_metrics_are_those_of_the_fetch() -> None:
    """New, replaced, truncated and overflowed lines are counted per fetch, not in total."""
    ingestor, owner = ingestor_of(2), assignment()
    first: Ingested = ingestor.ingest([(owner, [LogRecord(b"one"), LogRecord(b"two \xff", 1)])], now=0.0)
    second = ingestor.ingest([(owner, [LogRecord(b"one", 2), LogRecord(b"x" * 9000, 3)])], now=0.0)
    assert (first.new_lines, first.replaced, first.cut, first.odd) == (2, 1, 0, 0)
    assert ingestor_of(2).ingest([(owner, [LogRecord(b"{shard 0} failed")])], now=0.0).odd == 1
    assert (second.new_lines, second.replaced, second.cut) == (1, 0, 1)
    assert ingestor.table_rows == 3
    many = [LogRecord(b"n" + b"o" * i, 10 + i) for i in range(70)]
    # of 64 rows two are reserved, and windows still refer to three lines
    assert ingestor.ingest([(owner, many)], now=0.0).overflowed == 70 - (64 - 2 - 3)
    assert ingestor.ingest([(owner, [LogRecord(many[0].value, 99)])], now=0.0).overflowed == 0


def test_offsets_are_grouped_by_their_owner() -> None:
    """Each assignment gets its own offsets, in order, and no assignment is left out."""
    one, two = assignment(1), assignment(2)
    owners = np.array([two, one, two], object)
    groups = by_assignment(owners, np.array([5, 6, 7]))
    assert [(owner.generation, offsets.tolist()) for owner, offsets in groups] == [(1, [6]), (2, [5, 7])]
    assert by_assignment(np.array([], object), np.array([], np.int64)) == []
