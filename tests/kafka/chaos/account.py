"""The account of a campaign's lines: produced, alerted, lost, excused. Knows numbers and places, and no client.

Every line carries a number of its own at its end, so an alert identifies its line by text as well as by place. A topic
that is deleted and created again begins another incarnation. The lines of a track (one partition of one incarnation)
have a frontier: every line below it is settled, so recovery is seen without a look at all lines.

Thread-safe: producers report from their threads, the reader of the alerts from its own.
"""

from __future__ import annotations

import threading
from array import array
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

NOT_SENT, COMMITTED, ABORTED, UNKNOWN = range(4)
"""Fates of a line at the producer. UNKNOWN: the client could not find out, so an alert is allowed and not required."""
_FIRST_LINES = 1 << 16


class Track(NamedTuple):
    """One partition of one incarnation of a topic."""

    topic: str
    incarnation: int
    partition: int


@dataclass(slots=True)
class _Lines:
    """The lines of a track in the order of their offsets."""

    numbers: array[int] = field(default_factory=lambda: array("q"))
    settled: int = 0
    """Lines from the first one on that are alerted or need no alert."""


Snapshot = Mapping[Track, int]
"""Number of lines that had been sent at one moment, by track."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Findings:
    """Figures of an episode. `faults` must be 0."""

    sent: int
    """Lines acknowledged by the broker, those of aborted transactions apart."""
    aborted: int
    alerted: int
    not_scored: int
    aborted_alerted: int
    never_sent: int
    """Alerts whose line does not stand at their place, in no incarnation."""
    ids_that_differ: int
    ids_shared: int
    """Ids that two lines of the same incarnation, or of different topics, have in common."""
    ids_shared_by_incarnations: int
    """Ids that a line has in common with a line of an earlier incarnation of its topic. They are no fault."""
    windows_that_differ: int
    """Lines whose deliveries do not all quote the same lines before them."""
    excused: int
    """Lines that were deleted from the topic before a member read them."""
    unknown: int
    delivered_again: int

    @property
    def faults(self) -> int:
        return (
            self.not_scored
            + self.aborted_alerted
            + self.never_sent
            + self.ids_that_differ
            + self.ids_shared
            + self.windows_that_differ
        )

    def as_dict(self) -> dict[str, int]:
        return asdict(self) | {"faults": self.faults}


class Account:
    """Lines by number."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._next = 0
        self._table = _table(_FIRST_LINES)
        self._tracks: dict[Track, _Lines] = {}
        self._indices: dict[Track, int] = {}
        self._incarnations: Counter[str] = Counter()
        self._places: dict[tuple[str, int], int] = {}
        """Topic and partition → index, for the place that an alert claims."""
        self._strays = 0
        self.examples: list[dict[str, Any]] = []
        """The first lines of the faults that a message is needed for."""

    def reserve(self, count: int) -> range:
        """Returns numbers for lines that are about to be sent."""
        with self._lock:
            first, self._next = self._next, self._next + count
            while self._next > len(self._table):
                self._table = np.concatenate([self._table, _table(len(self._table))])
        return range(first, first + count)

    @property
    def reserved(self) -> int:
        return self._next

    def sent(self, topic: str, partition: int, lines: Iterable[tuple[int, int]], fate: int = COMMITTED) -> None:
        """Enters lines of the present incarnation as (number, offset), in the order of their offsets."""
        with self._lock:
            track = Track(topic, self._incarnations[topic], partition)
            kept = self._tracks.setdefault(track, _Lines())
            index = self._indices.setdefault(track, len(self._indices))
            for number, offset in lines:
                row = self._table[number]
                row["track"], row["offset"], row["fate"] = index, offset, fate
                kept.numbers.append(number)

    def recreated(self, topic: str) -> None:
        """Begins another incarnation of a topic. Lines of the old one that have no alert are excused."""
        with self._lock:
            for track, lines in self._tracks.items():
                if track.topic == topic:
                    self._excuse(lines, len(lines.numbers))
            self._incarnations[topic] += 1

    def deleted(self, topic: str, partition: int, before_offset: int) -> None:
        """Excuses the lines below an offset: the broker deleted them."""
        with self._lock:
            lines = self._tracks.get(Track(topic, self._incarnations[topic], partition), _Lines())
            count = sum(self._table["offset"][number] < before_offset for number in lines.numbers)
            self._excuse(lines, count)

    def _excuse(self, lines: _Lines, count: int) -> None:
        for number in lines.numbers[lines.settled : count]:
            self._table["excused"][number] = True

    def alerted(self, topic: str, partition: int, offset: int, number: int, alert: bytes, window: int) -> None:
        """Enters one delivery of an alert. `alert`: the 16 bytes of its id. `window`: a hash of the lines it quotes."""
        high, low = int.from_bytes(alert[:8], "big"), int.from_bytes(alert[8:], "big")
        with self._lock:
            if not 0 <= number < self._next:
                self._stray(topic, partition, offset, number)
                return
            row = self._table[number]
            place = self._places.setdefault((topic, partition), len(self._places))
            if not row["times"]:
                row["id_high"], row["id_low"], row["window"] = high, low, window
                row["at"], row["place"] = offset, place
            else:
                row["ids_differ"] |= row["id_high"] != high or row["id_low"] != low
                row["windows_differ"] |= row["window"] != window
            row["times"] += 1

    def _stray(self, topic: str, partition: int, offset: int, number: int) -> None:
        self._strays += 1
        self._example("never sent", Track(topic, -1, partition), offset, number)

    def snapshot(self) -> Snapshot:
        """Returns the number of lines sent so far, by track."""
        with self._lock:
            return {track: len(lines.numbers) for track, lines in self._tracks.items()}

    def behind(self, snapshot: Snapshot) -> dict[Track, int]:
        """Returns how many lines of a snapshot are not settled yet, for the tracks that have some."""
        with self._lock:
            return {
                track: behind
                for track, count in snapshot.items()
                if (behind := count - self._settle(self._tracks[track])) > 0
            }

    def give_up(self, snapshot: Snapshot) -> None:
        """Waits no more for the lines of a snapshot. Those without an alert stay faults."""
        with self._lock:
            for track, count in snapshot.items():
                self._tracks[track].settled = max(self._tracks[track].settled, count)

    def _settle(self, lines: _Lines) -> int:
        table, numbers = self._table, lines.numbers
        while lines.settled < len(numbers):
            row = table[numbers[lines.settled]]
            if row["fate"] == COMMITTED and not row["times"] and not row["excused"]:
                break
            lines.settled += 1
        return lines.settled

    def findings(self) -> Findings:
        """Returns the figures of all lines. Call it when every producer has flushed."""
        with self._lock:
            table = self._table[: self._next]
            heard = table["times"] > 0
            committed, aborted = table["fate"] == COMMITTED, table["fate"] == ABORTED
            missing = committed & ~heard & ~table["excused"]
            stray = heard & ~self._stands_there(table)
            for kind, mask in (
                ("not scored", missing),
                ("aborted alerted", aborted & heard),
                ("not at its place", stray),
                ("ids differ", table["ids_differ"]),
                ("windows differ", table["windows_differ"]),
            ):
                self._exemplify(kind, mask)
            shared, across = self._shared_ids(table[heard])
            return Findings(
                sent=int(committed.sum()),
                aborted=int(aborted.sum()),
                alerted=int(heard.sum()),
                not_scored=int(missing.sum()),
                aborted_alerted=int((aborted & heard).sum()),
                never_sent=self._strays + int(stray.sum()),
                ids_that_differ=int(table["ids_differ"].sum()),
                ids_shared=shared,
                ids_shared_by_incarnations=across,
                windows_that_differ=int(table["windows_differ"].sum()),
                excused=int((committed & ~heard & table["excused"]).sum()),
                unknown=int((table["fate"] == UNKNOWN).sum()),
                delivered_again=int((table["times"][heard].astype(np.int64) - 1).sum()),
            )

    def _stands_there(self, table: NDArray[Any]) -> NDArray[np.bool_]:
        """Returns for each line whether its alert names the place to which the line was sent."""
        places = np.array([self._places.get((t.topic, t.partition), -1) for t in self._indices] or [-1])
        right: NDArray[np.bool_] = (places[table["track"]] == table["place"]) & (table["offset"] == table["at"])
        # The client does not always learn the offset of a line whose fate is unknown.
        return np.asarray(right | (table["fate"] == UNKNOWN), dtype=np.bool_)

    def _shared_ids(self, table: NDArray[Any]) -> tuple[int, int]:
        """Returns how many lines share their id with another one: of the same track or another topic, and across
        incarnations."""
        ids = table[["id_high", "id_low"]]
        order = np.argsort(ids, order=("id_high", "id_low"))
        ordered = table[order]
        equal = (ordered["id_high"][1:] == ordered["id_high"][:-1]) & (ordered["id_low"][1:] == ordered["id_low"][:-1])
        across = ordered["place"][1:] == ordered["place"][:-1]
        other_incarnation = ordered["track"][1:] != ordered["track"][:-1]
        excusable = equal & across & other_incarnation
        return int((equal & ~excusable).sum()), int(excusable.sum())

    def _exemplify(self, kind: str, mask: NDArray[np.bool_]) -> None:
        tracks = list(self._indices)
        for number in np.flatnonzero(mask)[:5]:
            row = self._table[number]
            self._example(kind, tracks[row["track"]] if row["fate"] else None, int(row["offset"]), int(number))

    def _example(self, kind: str, track: Track | None, offset: int, number: int) -> None:
        if len(self.examples) < 30:
            place = track._asdict() if track else {}
            self.examples.append({"kind": kind, **place, "offset": offset, "number": number})


def _table(count: int) -> NDArray[Any]:
    return np.zeros(
        count,
        dtype=[
            *(("track", "i4"), ("offset", "i8"), ("fate", "u1"), ("excused", "?")),
            *(("times", "u2"), ("id_high", "u8"), ("id_low", "u8"), ("window", "i8")),
            *(("at", "i8"), ("place", "i4"), ("ids_differ", "?"), ("windows_differ", "?")),
        ],
    )
