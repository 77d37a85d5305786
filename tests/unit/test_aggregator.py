"""Services in slots: who goes when there are too many, what context may do, and that no line is lost on the way."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from logwarden.daemon.pipeline.ingest import Ingested, Work, by_assignment
from logwarden.daemon.pipeline.ledger import decode_metadata
from tests.oracles import LogRecord, aggregator_of, assignment, judged, said


def held(work: Sequence[Work]) -> list[tuple[str, list[int], int]]:
    """(service, offsets of the window, how many of them are new) of every window."""
    found = []
    for piece in work:
        rows = piece.windows.windows("offset")
        for i in range(len(piece)):
            filled = int(piece.windows.filled[i])
            lines = rows[i, piece.windows.size - filled :].tolist()
            found.append((piece.services[i], lines, int(piece.windows.fresh[i])))
    return found


def test_windows_belong_to_a_service_of_a_partition() -> None:
    """The same name in two partitions is two services: order is only known within a partition."""
    one, two = assignment(1), assignment(2)
    found = aggregator_of(8).ingest([(one, said("aba")), (two, said("a", first=70))], now=0.0)
    [work] = found.work
    assert sorted(held([work])) == [("a", [0], 1), ("a", [0, 2], 1), ("a", [70], 1), ("b", [1], 1)]
    assert judged([work]) == [(1, 0), (1, 1), (1, 2), (2, 70)]
    assert (found.lines, found.context_lines) == (4, 0)


def test_what_is_no_line_is_reported_beside() -> None:
    """Blanks and dead letters come out with their partition, so that their offsets can be done."""
    records = [LogRecord(b"x", 5), LogRecord(None, 6), LogRecord(b"{broken", 7), LogRecord(b" ", 8)]
    found = aggregator_of(2).ingest([(assignment(), records)], now=0.0)
    assert [(owner.number, offsets.tolist()) for owner, offsets in found.blank] == [(1, [6, 8])]
    assert [(owner.number, letter.record.offset) for owner, letter in found.dead] == [(1, 7)]
    assert judged(found.work) == [(1, 5)]


def test_a_fetch_without_lines_makes_no_windows() -> None:
    """Nothing but tombstones is nothing to score."""
    found = aggregator_of(2).ingest([(assignment(), [LogRecord(None, 5)])], now=0.0)
    assert found.work == []


def test_the_longest_quiet_service_makes_room() -> None:
    """With two slots the third service takes the place of the one that has been silent longest."""
    aggregator, owner = aggregator_of(2), assignment()
    for first, services in ((0, "a"), (1, "b"), (2, "a"), (3, "c")):
        aggregator.ingest([(owner, said(services, first))], now=0.0)
    assert aggregator.services == 2
    assert held(aggregator.ingest([(owner, said("a", 4))], now=0.0).work) == [("a", [0, 2, 4], 1)]
    found = held(aggregator.ingest([(owner, said("b", 5))], now=0.0).work)
    assert found == [("b", [5], 1)]  # forgotten, so it begins anew


def test_no_service_of_the_batch_at_hand_makes_room() -> None:
    """A batch with a known and a new service pushes out the absent one, whatever their order."""
    aggregator, owner = aggregator_of(2), assignment()
    aggregator.ingest([(owner, said("a"))], now=0.0)
    aggregator.ingest([(owner, said("b", 1))], now=0.0)
    assert held(aggregator.ingest([(owner, said("ca", 2))], now=0.0).work)[-2:] == [("a", [0, 3], 1), ("c", [2], 1)]


@pytest.mark.parametrize("step", [1, 2, 3])
def test_a_batch_of_more_services_than_slots_loses_nothing(step: int) -> None:
    """A hundred services in two slots: every line is judged once, be it by a flush before its service goes."""
    aggregator, owner = aggregator_of(2, step=step), assignment()
    services = [f"s{(i * 7) % 25}" for i in range(100)]
    found = aggregator.ingest([(owner, said(services))], now=0.0)
    rest = aggregator.flush(before=np.inf)
    assert judged([*found.work, *rest]) == [(1, offset) for offset in range(100)]
    assert aggregator.services == 2
    assert len({piece.pushes for piece in found.work}) == 1


def test_every_push_is_to_be_reported_once() -> None:
    """The log stream keeps the lines of work that was not scored; when all is scored, it keeps none."""
    aggregator, owner = aggregator_of(2, step=2), assignment()
    found = aggregator.ingest([(owner, said("abcdabcdaab"))], now=0.0)
    pushes = sum(piece.pushes for piece in [*found.work, *aggregator.flush(before=np.inf)])
    aggregator.scored(pushes)
    with pytest.raises(IndexError):
        aggregator.scored(1)


def test_context_fills_windows_and_makes_none() -> None:
    """Lines below the committed offset were judged by the previous owner: they only stand in later windows."""
    owner = assignment(score_from=4, context=0)
    records = [*said("aaa"), LogRecord(b"{broken", 3), LogRecord(None, 3), *said("ab", 4), LogRecord(b"{broken", 6)]
    found = aggregator_of(4).ingest([(owner, records)], now=0.0)
    assert held(found.work) == [("a", [1, 2, 4], 1), ("b", [5], 1)]
    assert found.context_lines == 3
    assert found.blank == []
    assert [letter.record.offset for _, letter in found.dead] == [6]


def test_context_is_never_new_in_a_later_window() -> None:
    """With a step, context may wait in the ring: it is judged neither with our lines nor alone."""
    aggregator, owner = aggregator_of(4, size=4, step=3), assignment(score_from=4, context=0)
    found = aggregator.ingest([(owner, said("aabb"))], now=0.0)
    assert held(found.work) == []
    mixed = aggregator.ingest([(owner, said("a", 4))], now=1.0)
    assert held(mixed.work) == [("a", [0, 1, 4], 1)]
    waited = aggregator.flush(before=100.0)
    assert held(waited) == []
    later = aggregator.ingest([(owner, said("b", 5))], now=2.0)
    assert held([*later.work, *aggregator.flush(before=100.0)]) == [("b", [2, 3, 5], 1)]


def test_lines_wait_for_their_step_until_they_are_flushed() -> None:
    """A trickling service is judged when its oldest new line has waited long enough."""
    aggregator, owner = aggregator_of(4, step=3), assignment()
    assert aggregator.waits
    assert not aggregator_of(1).waits
    found = aggregator.ingest([(owner, said("ab"))], now=10.0)
    aggregator.ingest([(owner, said("a", 2))], now=12.0)
    assert held(found.work) == []
    assert aggregator.flush(before=9.0) == []
    assert held(aggregator.flush(before=10.0)) == [("a", [0, 2], 2), ("b", [1], 1)]
    assert aggregator.flush(before=np.inf) == []


def test_what_is_dropped_is_forgotten_and_its_slots_are_free() -> None:
    """A revoked partition leaves nothing behind, and the next owner's services are new; others keep theirs."""
    aggregator, gone, kept = aggregator_of(3), assignment(1), assignment(2)
    aggregator.ingest([(gone, said("ab")), (kept, said("a"))], now=0.0)
    aggregator.drop([gone, assignment(99)])
    assert aggregator.services == 1
    again = assignment(3)
    found = aggregator.ingest([(again, said("ab", 2)), (kept, said("a", 1))], now=0.0)
    assert sorted(held(found.work)) == [("a", [0, 1], 1), ("a", [2], 1), ("b", [3], 1)]
    aggregator.drop([again, kept])
    assert aggregator.services == 0


def test_the_commit_says_where_the_windows_begin() -> None:
    """From the context offset on, the next owner sees all that the windows from the position on will hold."""
    aggregator, owner = aggregator_of(4), assignment()
    for first, services in ((0, "abb"), (3, "bbb"), (6, "bb")):
        records = said(services, first)
        owner.ledger.open(np.array([r.offset for r in records]), np.ones(len(records), np.int64))
        aggregator.ingest([(owner, records)], now=0.0)
    owner.ledger.done(np.arange(6))
    position, metadata = owner.ledger.to_commit(1000)
    assert (position, decode_metadata(metadata)) == (6, 0)  # the quiet service a needs its line
    assert decode_metadata(owner.ledger.to_commit(2)[1]) == 4


def test_facts_for_the_metrics_are_those_of_the_fetch() -> None:
    """New, replaced, cut and overflowed lines are counted per fetch, not in all."""
    aggregator, owner = aggregator_of(2), assignment()
    first: Ingested = aggregator.ingest([(owner, [LogRecord(b"one"), LogRecord(b"two \xff", 1)])], now=0.0)
    second = aggregator.ingest([(owner, [LogRecord(b"one", 2), LogRecord(b"x" * 9000, 3)])], now=0.0)
    assert (first.new_lines, first.replaced, first.cut) == (2, 1, 0)
    assert (second.new_lines, second.replaced, second.cut) == (1, 0, 1)
    assert aggregator.table_rows == 3
    many = [LogRecord(b"n" + b"o" * i, 10 + i) for i in range(70)]
    # of 64 rows two are reserved, and three lines stand in a window still
    assert aggregator.ingest([(owner, many)], now=0.0).overflowed == 70 - (64 - 2 - 3)


def test_offsets_are_grouped_by_their_owner() -> None:
    """Each assignment gets its own offsets, in order; nobody is left out."""
    one, two = assignment(1), assignment(2)
    owners = np.array([two, one, two], object)
    groups = by_assignment(owners, np.array([5, 6, 7]))
    assert [(owner.number, offsets.tolist()) for owner, offsets in groups] == [(1, [6]), (2, [5, 7])]
    assert by_assignment(np.array([], object), np.array([], np.int64)) == []
