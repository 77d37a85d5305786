"""Answers which services the partitions have that this member has now: its part of `GET /api/v1/services`."""

from __future__ import annotations

import asyncio
from bisect import bisect_right
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass

import msgspec
import numpy as np
import numpy.typing as npt

from logwarden.daemon.incidents.writing import encodable, rfc3339
from logwarden.daemon.ports import Clock, Worker
from logwarden.daemon.records import Partition
from logwarden.daemon.standing import STATES, LastAlert, ServiceTable
from logwarden.daemon.web.api import MemberFacts
from logwarden.daemon.web.questions import Listing, Question, Refusal, Selection, WordChoice, encoded_cursor
from logwarden.daemon.web.service_answers import AlertSummary, Key, ServiceEntry, ServicesAnswer, StateCounts
from logwarden.daemon.web.service_history import ServiceHistory

Ints = npt.NDArray[np.int64]
LISTING = Listing(
    choices=(
        WordChoice(name="state", meaning="Only services in this state.", words=[state.word for state in STATES]),
        WordChoice(
            name="history",
            meaning="True adds lines and alerts of each of the last 30 minutes.",
            words=("true", "false"),
        ),
        WordChoice(
            name="scope",
            meaning="`member`: only services of the member that is asked. Otherwise those of the whole group.",
            words=("group", "member"),
        ),
    ),
    since="Only services with a line since then",
    limit=100,
    most=1_000,
)
FRESH_S = 1.0
"""Age up to which a table serves another request: however many people look, the ingest thread copies one a second."""
REST = 4.0
"""Rest after an answer, in times of what it took: all answers together take a fifth of a core at most."""
SAMPLE_S = 60.0
"""Seconds between two points of a service's history."""
TIMEOUT_S = 0.7
"""Seconds that a request waits for the ingest thread, which may be embedding new lines. Other members wait 1 s."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceSource:
    """Where the facts about services come from."""

    table: Callable[[], Awaitable[ServiceTable]]
    """Copies the figures of all services."""
    last_alert: Callable[[Partition, str], LastAlert | None]


class OwnServices:
    """The services of this member, from a table that is at most a second old where the ingest thread is free."""

    def __init__(self, member: Callable[[], MemberFacts], clock: Clock, worker: Worker) -> None:
        """`worker`: where tables are searched, so that the event loop stays free."""
        self._member = member
        self._clock = clock
        self._worker = worker
        self._lock = asyncio.Lock()
        self._table: ServiceTable | None = None
        self._tried_at = float("-inf")
        self._free_at = float("-inf")
        self._order: _Order | None = None
        self._history = ServiceHistory()
        self.source: ServiceSource | None = None
        """None until the daemon has started."""

    def selection(self, question: Question) -> Selection[Key]:
        """Returns what a request chose. Raises Refusal."""
        return LISTING.selection(question, self._clock.now_ms(), tuple[str, str, int])

    async def page(self, selection: Selection[Key]) -> ServicesAnswer:
        """Returns a page of this member's services. Raises Refusal while there are none to show."""
        if self.source is None:
            raise Refusal(503, "starting", "The daemon has not started yet. Try again in some seconds.")
        async with self._lock:  # one after another, with a rest between: people must not cost lines their turn
            await self._clock.sleep(max(0.0, self._free_at - self._clock.monotonic()))
            table = await self._current(self.source)
            began = self._clock.monotonic()
            answer = await self._answer(table, selection, self.source)
            self._free_at = self._clock.monotonic() + REST * (self._clock.monotonic() - began)
        return answer

    async def keep_history(self) -> None:
        """Notes the figures of all services once a minute, until it is cancelled."""
        while True:
            await self._clock.sleep(SAMPLE_S)
            if (source := self.source) is not None:
                async with self._lock:
                    try:
                        table = await self._current(source)
                    except Refusal:
                        continue  # the ingest thread was busy: the picture lacks a minute
                    self._history.sample(table, source.last_alert)

    async def _answer(self, table: ServiceTable, selection: Selection[Key], source: ServiceSource) -> ServicesAnswer:
        order = self._order
        if order is None or not order.is_of(table):
            order = self._order = await self._worker.run(_Order, table)
        places, total, has_more = await self._worker.run(order.page, table, selection)
        history = self._history if "true" in selection.words["history"] else None
        counts = np.bincount(table.states, minlength=len(STATES)).tolist()
        return ServicesAnswer(
            member=self._member(),
            as_of=rfc3339(table.at_ms),
            states=StateCounts(**{state.word: counts[state] for state in STATES}),
            lines_per_minute=int(table.per_minute.sum()),
            total=total,
            services=tuple(_entries(table, places, source, history)),
            next=encoded_cursor(_key(table, int(places[-1]))) if has_more else None,
        )

    async def _current(self, source: ServiceSource) -> ServiceTable:
        """Returns a table. An old one where the ingest thread does not answer in time; it states its time."""
        if self._clock.monotonic() - self._tried_at >= FRESH_S:
            try:
                async with asyncio.timeout(TIMEOUT_S):
                    self._table = await source.table()
            except TimeoutError:
                pass
            self._tried_at = self._clock.monotonic()
        if self._table is None:
            raise Refusal(503, "busy", f"The daemon was busy for {TIMEOUT_S:g} s. Try again in some seconds.")
        return self._table


def _entries(
    table: ServiceTable, places: Ints, source: ServiceSource, history: ServiceHistory | None
) -> Iterator[ServiceEntry]:
    """Yields the entries of a page."""
    columns = (table.partition, table.names, table.states, table.progress, table.lines, table.known_lines)
    rows = zip(*(column[places].tolist() for column in (*columns, table.per_minute, table.seen_ms)), strict=True)
    for number, name, state, progress, lines, known_lines, per_minute, seen_ms in rows:
        partition = table.partitions[number]
        alert = source.last_alert(partition, name)
        yield ServiceEntry(
            name=encodable(name),
            topic=partition.topic,
            partition=partition.partition,
            state=STATES[state].word,
            progress=round(progress, 3),
            lines=lines,
            known_lines=known_lines,
            lines_per_minute=per_minute,
            last_seen=rfc3339(seen_ms) if seen_ms >= 0 else None,
            last_alert=None if alert is None else AlertSummary(timestamp=rfc3339(alert.at_ms), score=alert.score),
            history=msgspec.UNSET if history is None else history.of(partition, name),
        )


# ---------------------------------------------------------------- pages


class _Order:
    """The services of tables in the order of pages. Serves until services come or go, as a sort takes longest."""

    def __init__(self, table: ServiceTable) -> None:
        keyed = sorted((_key(table, place), place) for place in range(len(table)))
        self._table = table
        self._keys = [key for key, _ in keyed]
        self._places = np.array([place for _, place in keyed], np.int64)

    def is_of(self, table: ServiceTable) -> bool:
        """Returns True if a table has the same services at the same places."""
        own = self._table
        return table is own or (
            table.partitions == own.partitions
            and np.array_equal(table.partition, own.partition)
            and np.array_equal(table.names, own.names)
        )

    def page(self, table: ServiceTable, selection: Selection[Key]) -> tuple[Ints, int, bool]:
        """Returns the places of a page, the number of services that were chosen, and whether more follow."""
        keep = np.ones(len(table), bool)
        if states := selection.words["state"]:
            keep &= np.isin(table.states, [state for state in STATES if state.word in states])
        if selection.since_ms is not None:
            keep &= table.seen_ms >= selection.since_ms
        if (chosen := selection.chosen) is not None:
            kept = np.flatnonzero(keep)
            keep[kept] = [chosen(name) for name in table.names[kept].tolist()]
        # Places 5 2 7 in the order of pages, of which 5 and 7 are chosen, behind the service at 5:
        #   ranks   0 2      where the chosen ones are in the order
        #   first   1        where the page may begin; of the ranks that is number 1
        ranks = np.flatnonzero(keep[self._places])
        first = 0 if selection.after is None else bisect_right(self._keys, selection.after)
        begin = int(np.searchsorted(ranks, first))
        page = self._places[ranks[begin : begin + selection.limit]]
        return page, len(ranks), begin + len(page) < len(ranks)


def _key(table: ServiceTable, place: int) -> Key:
    partition = table.partitions[table.partition[place]]
    name: str = table.names[place]
    return name if name.isascii() else encodable(name), partition.topic, partition.partition
