"""Events of assigned partitions: which offsets are done at once, and what context, drops and time-outs do to them."""

from __future__ import annotations

from collections.abc import Sequence

from logwarden.daemon.pipeline.ingest import Ingestor
from logwarden.daemon.pipeline.joining import JoinLimits
from logwarden.daemon.pipeline.partitions import Assignment
from logwarden.daemon.pipeline.work import Ingested
from logwarden.model.stream import LogStream
from tests.oracles import LogRecord, TableSpy, assignment

HEAD, FRAME, OTHER = "ERROR row failed", "\tat a.Row.pick(Row.java:3)", "row picked"


def ingestor(limits: JoinLimits = JoinLimits()) -> Ingestor:  # noqa: B008  # frozen
    return Ingestor(LogStream(TableSpy().table(), size=3, max_slots=8), max_services=8, join=limits)


def records(lines: Sequence[str], first: int = 0, service: str = "web") -> list[LogRecord]:
    return [LogRecord(line.encode(), offset=first + i, key=service.encode()) for i, line in enumerate(lines)]


def judged(found: Ingested) -> list[tuple[int, str]]:
    """Returns (offset, text) of the new lines of all windows."""
    out = []
    for work in found.work:
        places, _ = work.windows.fresh_lines()
        columns = work.windows.columns
        out += [(int(columns["offset"][place]), columns["text"][place].decode()) for place in places]
    return out


def absorbed(found: Ingested) -> list[int]:
    return [int(offset) for _, offsets in found.absorbed for offset in offsets]


def test_the_lines_of_an_event_are_done_at_once_and_its_first_line_is_not() -> None:
    """The next line ends an event, which has the offset of its first line."""
    owner, ingest = assignment(1), ingestor()
    first = ingest.ingest([(owner, records([HEAD, FRAME, FRAME]))], now=0.0)
    assert judged(first) == []
    assert absorbed(first) == [1, 2]
    then = ingest.ingest([(owner, records([OTHER], 3))], now=0.1)
    assert judged(then) == [(0, "ERROR row failed at a.Row.pick(Row.java:3)"), (3, OTHER)]
    assert absorbed(then) == []


def test_an_event_ends_after_its_time_out() -> None:
    """Silence ends an event, and a drain ends all of them."""
    owner, ingest = assignment(1), ingestor(JoinLimits(timeout_ms=300))
    ingest.ingest([(owner, records([HEAD]))], now=1.0)
    assert len(ingest.events) == 1
    assert judged(ingest.close_events(1.2, new_lines=9, all_of_them=False)) == []
    assert judged(ingest.close_events(1.31, new_lines=9, all_of_them=False)) == [(0, HEAD)]
    ingest.ingest([(owner, records([HEAD], 1))], now=2.0)
    assert judged(ingest.close_events(2.0, new_lines=9, all_of_them=True)) == [(1, HEAD)]
    assert len(ingest.events) == 0


def test_a_closed_event_waits_behind_the_lines_of_its_service() -> None:
    """An event that ends while lines of its service wait for an embedding comes after them."""
    owner, ingest = assignment(1), ingestor()
    texts = ["row picked", "row sold", "row lost", HEAD]
    found = judged(ingest.ingest([(owner, records(texts))], now=0.0, new_lines=1))
    found += judged(ingest.close_events(9.0, new_lines=1, all_of_them=True))
    while ingest.backlog:
        found += judged(ingest.advance(9.0, new_lines=1))
    assert [offset for offset, _ in found] == [0, 1, 2, 3]


def test_an_event_of_the_context_takes_no_new_line() -> None:
    """The previous owner judged the event without this line, so it would never be judged."""
    owner, ingest = assignment(1, 2, 0), ingestor()
    found = ingest.ingest([(owner, records([HEAD, FRAME, FRAME, OTHER]))], now=0.0)
    assert [offset for offset, _ in judged(found)] == [2, 3]


def test_the_context_reaches_back_to_an_open_event() -> None:
    """Its line is in no window yet, and later windows show it."""
    owner, ingest = assignment(1), ingestor()
    ingest.ingest([(owner, records([HEAD, FRAME]))], now=0.0)
    later = ingest.ingest([(owner, records([OTHER], 2, service="shop"))], now=0.1)
    assert later.contexts == [(owner, 2, 0)]


def test_dropped_events_are_never_judged() -> None:
    """After a revoke the next owner reads them, and those of other partitions stay."""
    owners: list[Assignment] = [assignment(1), assignment(2)]
    ingest = ingestor()
    ingest.ingest([(owner, records([HEAD])) for owner in owners], now=0.0)
    ingest.drop(owners[:1])
    found = ingest.close_events(9.0, new_lines=9, all_of_them=True)
    assert [work.assignments.tolist() for work in found.work] == [[owners[1]]]


def test_without_limits_no_line_is_joined() -> None:
    """The setting is off: every line is an event of its own, at once."""
    owner = assignment(1)
    ingest = Ingestor(LogStream(TableSpy().table(), size=3, max_slots=8), max_services=8)
    found = ingest.ingest([(owner, records([HEAD, FRAME]))], now=0.0)
    assert judged(found) == [(0, HEAD), (1, FRAME.strip())]
    assert len(ingest.events) == 0


def test_a_record_of_many_lines_joins_its_own() -> None:
    """Each line of a record is done once, joined or not."""
    owner, ingest = assignment(1), ingestor(JoinLimits(max_lines=3))
    found = ingest.ingest([(owner, records([HEAD, *[FRAME] * 6, OTHER]))], now=0.0)
    assert absorbed(found) == [1, 2, 4, 5]
    assert [offset for offset, _ in judged(found)] == [0, 3, 6, 7]
    assert found.cut_events == 2
