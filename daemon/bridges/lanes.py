"""Orders the notices of each incident for one destination, and joins those that wait. Pure.

Of an incident at most one notice is sent at a time, and at most two wait: the newest state while it is open, and its
end. A newer state replaces one that waits. An end never overtakes the state before it, and is never left out.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from logwarden.daemon.bridges.choice import is_worse
from logwarden.daemon.bridges.notice import Action, Notice
from logwarden.daemon.incidents.incident import IncidentRecord
from logwarden.daemon.records import Partition

MAX_ANNOUNCED = 20_000
"""Open incidents that are kept in mind. Of one beyond them the next state is announced again."""
MAX_ENDED = 1_000
"""Incidents whose end is known to be delivered."""


@dataclass(slots=True, kw_only=True)
class Letter:
    """A notice on its way, with the records that are done when it is delivered."""

    record: IncidentRecord
    action: Action
    offsets: list[int]
    published_ms: int
    taken_at: float
    """When its first record was read, in monotonic seconds."""


@dataclass(slots=True, kw_only=True)
class IncidentLane:
    """The letters of one incident."""

    id: str
    partition: Partition
    announced: IncidentRecord | None = None
    """What the destination has."""
    sending: Letter | None = None
    waiting: list[Letter] = field(default_factory=list)
    attempts: int = 0
    """Failed attempts to deliver the letter at hand."""
    first_failed_at: float | None = None
    due_at: float = 0.0
    """Moment before which the next letter is not sent."""
    is_queued: bool = False
    """True while it has a place among the lanes that wait for their moment."""
    is_busy: bool = False
    """True while a reminder about the incident is sent, beside which nothing else may be."""

    @property
    def is_idle(self) -> bool:
        """True if nothing is sent and nothing waits."""
        return self.sending is None and not self.waiting and not self.is_busy

    @property
    def letters(self) -> list[Letter]:
        """The letter that is being sent, and those that wait, in order."""
        return self.waiting if self.sending is None else [self.sending, *self.waiting]

    def newest(self) -> IncidentRecord | None:
        """Returns the newest open state that the destination has, or will have with what is on its way."""
        letters = self.letters
        if not letters:
            return self.announced
        return letters[-1].record if letters[-1].action is Action.TRIGGER else None

    def notice(self) -> Notice:
        """Returns what is sent of the letter at hand."""
        assert self.sending is not None, "a letter is being sent"
        return Notice(
            record=self.sending.record,
            action=self.sending.action,
            announced=self.announced,
            published_ms=self.sending.published_ms,
        )


class IncidentLanes:
    """The incidents of one destination. `all_updates`: False if only updates are sent with which an incident is worse.

    `is_stale`: whether an incident that ended at this moment of publication is old news, of which only the end is sent.
    """

    def __init__(self, *, all_updates: bool, is_stale: Callable[[int], bool] = lambda _: False) -> None:
        self._lanes: dict[str, IncidentLane] = {}
        self._all_updates = all_updates
        self._is_stale = is_stale
        self._ended: OrderedDict[str, None] = OrderedDict()
        """Incidents whose end was delivered last."""
        self.joined = 0
        """Letters that a newer one replaced before they were sent."""

    def __iter__(self) -> Iterator[IncidentLane]:
        return iter(self._lanes.values())

    def __len__(self) -> int:
        return len(self._lanes)

    @property
    def announced(self) -> int:
        """Open incidents that the destination has."""
        return sum(lane.announced is not None for lane in self._lanes.values())

    def oldest_s(self, now: float) -> float:
        """Returns the age of the letter that has waited longest; 0 without one."""
        return now - min((lane.letters[0].taken_at for lane in self._lanes.values() if lane.letters), default=now)

    def get(self, id: str) -> IncidentLane | None:
        """Returns the lane of an incident, or None."""
        return self._lanes.get(id)

    def is_announced(self, id: str) -> bool:
        """Returns True if the destination has the incident, or will have it with what is on its way."""
        lane = self._lanes.get(id)
        return lane is not None and (lane.announced is not None or not lane.is_idle)

    def remember(self, partition: Partition, record: IncidentRecord) -> None:
        """Takes what the destination has of an incident, its end included, from a record of the context."""
        lane = self._lanes.get(record.id)
        if record.logwarden.status != "open":
            self._note_end(record.id)
            if lane is not None and lane.is_idle:
                del self._lanes[record.id]
            return
        self._ended.pop(record.id, None)
        if lane is None:
            self._lanes[record.id] = IncidentLane(id=record.id, partition=partition, announced=record)
            self._bound()
        elif lane.is_idle:
            lane.announced = record

    def forget(self, id: str) -> None:
        """Drops an incident of which the destination has nothing."""
        self._lanes.pop(id, None)

    def put(
        self, partition: Partition, record: IncidentRecord, offset: int, *, published_ms: int, now: float
    ) -> IncidentLane | None:
        """Takes a record to be sent. Returns its lane, or None if there is nothing to send about it."""
        action = Action.TRIGGER if record.logwarden.status == "open" else Action.RESOLVE
        is_over = record.id in self._ended and not self.is_announced(record.id)
        if action is Action.RESOLVE and is_over and not self._all_updates:
            return None  # late alerts of an incident that is over: its end would be reported twice
        letter = Letter(record=record, action=action, offsets=[offset], published_ms=published_ms, taken_at=now)
        lane = self._lanes.setdefault(record.id, IncidentLane(id=record.id, partition=partition))
        if action is Action.TRIGGER:
            return lane if self._put_state(lane, letter) else None
        self._put_end(lane, letter)
        return lane

    def _put_state(self, lane: IncidentLane, letter: Letter) -> bool:
        if lane.waiting:
            # What waits is older. An end that waits is one too: the incident goes on, and will end again.
            self._replace(lane, letter)
            return True
        known = lane.newest()
        if known is not None and not self._all_updates and not is_worse(letter.record, known):
            return False
        lane.waiting.append(letter)
        return True

    def _put_end(self, lane: IncidentLane, letter: Letter) -> None:
        if lane.sending is not None:
            is_known = lane.sending.action is Action.TRIGGER
        else:
            is_known = lane.announced is not None
        is_news = not is_known and not self._is_stale(letter.published_ms)
        if lane.waiting and lane.waiting[-1].action is Action.RESOLVE:
            last = lane.waiting.pop()
            letter.offsets[:0] = last.offsets
            letter.taken_at = last.taken_at
        elif lane.waiting and not is_news:
            self._replace(lane, letter)
            return
        lane.waiting.append(letter)

    def _replace(self, lane: IncidentLane, letter: Letter) -> None:
        """Puts a letter in the place of all that wait."""
        letter.offsets[:0] = [offset for each in lane.waiting for offset in each.offsets]
        letter.taken_at = lane.waiting[0].taken_at
        self.joined += len(lane.waiting)
        lane.waiting = [letter]

    def begin(self, lane: IncidentLane) -> Notice:
        """Takes the next letter of a lane in hand, and returns what is to be sent."""
        if lane.sending is None:
            lane.sending = lane.waiting.pop(0)
        return lane.notice()

    def again(self, lane: IncidentLane, due_at: float, now: float) -> None:
        """Notes a failed attempt. What came meanwhile replaces what was not delivered, where that loses nothing."""
        assert lane.sending is not None, "a letter is being sent"
        lane.attempts += 1
        lane.due_at = due_at
        if lane.first_failed_at is None:
            lane.first_failed_at = now
        letter, lane.sending = lane.sending, None
        later = lane.waiting[0] if lane.waiting else None
        if later is not None and later.action is letter.action:
            later.offsets[:0] = letter.offsets
            later.taken_at = letter.taken_at
            self.joined += 1
        else:
            lane.waiting.insert(0, letter)

    def delivered(self, lane: IncidentLane) -> list[int]:
        """Notes that the letter at hand was taken. Returns the offsets that are done."""
        letter = self._end_letter(lane)
        lane.announced = letter.record if letter.action is Action.TRIGGER else None
        self._ended.pop(lane.id, None)
        if letter.action is Action.RESOLVE and not lane.waiting:
            self._note_end(lane.id)
        self._drop_if_over(lane)
        self._bound()
        return letter.offsets

    def buried(self, lane: IncidentLane) -> list[int]:
        """Notes that the letter at hand will never be taken. Returns the offsets that are done."""
        letter = self._end_letter(lane)
        if letter.action is Action.RESOLVE:
            lane.announced = None
        self._drop_if_over(lane)
        return letter.offsets

    def _end_letter(self, lane: IncidentLane) -> Letter:
        assert lane.sending is not None, "a letter is being sent"
        letter, lane.sending = lane.sending, None
        lane.attempts, lane.first_failed_at, lane.due_at = 0, None, 0.0
        return letter

    def _note_end(self, id: str) -> None:
        """Notes that the destination has the end of an incident, so that late alerts do not report it twice."""
        self._ended[id] = None
        self._ended.move_to_end(id)
        if len(self._ended) > MAX_ENDED:
            self._ended.popitem(last=False)

    def _drop_if_over(self, lane: IncidentLane) -> None:
        if lane.announced is None and not lane.waiting:
            self._lanes.pop(lane.id, None)

    def _bound(self) -> None:
        """Drops the incidents that were announced first where there are too many; those with letters stay."""
        if len(self._lanes) > MAX_ANNOUNCED:
            idle = [lane.id for lane in self._lanes.values() if lane.is_idle]
            for id in idle[: len(self._lanes) - MAX_ANNOUNCED + MAX_ANNOUNCED // 10]:
                del self._lanes[id]

    def drop_all(self) -> None:
        """Drops everything, at a rebalance."""
        self._lanes.clear()
        self._ended.clear()
