"""Keeps what the services of a partition have used of their alert budgets, as of any position, for the next owner.

The judge counts windows ahead of the position that may be committed, and the next owner judges those above it again. So
windows are entered here as they are counted, and applied once the position has passed them. What is applied travels in
the metadata of the commit. The score thread enters windows; everything else belongs to the event loop.
"""

from __future__ import annotations

import zlib
from collections import deque
from collections.abc import Sequence
from typing import NamedTuple

from logwarden.model.budget import AlertBudget, Episodes

MOST_BYTES = 2_000
"""Of the metadata, whose limit is 4,096 by default: about forty services that had an alert last."""

LEAST_FIGURES = 4
Entry = Sequence[int]
"""Of a service: its key, the time of its last alert, 1 if its budget was used up then, and the milliseconds from the
begin of each of its last episodes to that alert."""


class _Counted(NamedTuple):
    offset: int
    service: int
    time_ms: int
    per_day: int


def key_of(service: str) -> int:
    """Returns the number by which budgets know a service of a partition."""
    return zlib.crc32(service.encode(errors="surrogatepass"))


class BudgetBook:
    """The budgets of one partition. `before`: as of the position at which this member begins to judge."""

    def __init__(self, before: Sequence[Entry] = ()) -> None:
        self._budget = AlertBudget()
        self._unseen = list(before)
        self._entered: deque[_Counted] = deque()
        self._waiting: list[_Counted] = []
        self._entries: list[Entry] = list(before)
        for key, episodes in map(_episodes, before):
            self._budget.put(key, episodes)

    def take_before(self) -> list[tuple[int, Episodes]]:
        """Returns what the judge has to know of the time before, at the first call. Called by the score thread."""
        unseen, self._unseen = self._unseen, []
        return list(map(_episodes, unseen))

    def counted(self, offset: int, service: int, time_ms: int, per_day: int) -> None:
        """Enters a window that was counted against the budget of its service. Called by the score thread."""
        self._entered.append(_Counted(offset, service, time_ms, per_day))

    def at(self, position: int) -> list[Entry]:
        """Returns the budgets as of a position, which never moves back; those with the newest alerts come first."""
        while self._entered:
            self._waiting.append(self._entered.popleft())
        passed = [window for window in self._waiting if window.offset < position]
        if passed:
            self._waiting = [window for window in self._waiting if window.offset >= position]
            for window in passed:
                self._budget.used_up([window.service], [window.time_ms], window.per_day)
            self._entries = self._newest()
        return self._entries

    def _newest(self) -> list[Entry]:
        entries: list[Entry] = []
        size = 0
        for key, episodes in sorted(self._budget.items(), key=lambda item: item[1].last_ms, reverse=True):
            assert isinstance(key, int), "services are entered by their keys"
            ago = [episodes.last_ms - begin for begin in episodes.begins]
            entry = [key, episodes.last_ms, int(episodes.over), *ago]
            size += len(str(entry))
            if size > MOST_BYTES:
                break
            entries.append(entry)
        return entries


def _episodes(entry: Entry) -> tuple[int, Episodes]:
    key, last_ms, over, *ago = entry
    return key, Episodes(deque(last_ms - one for one in ago), last_ms, over=bool(over))
