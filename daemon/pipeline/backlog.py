"""Keeps lines that wait for an embedding, and returns them in turns that are fair to partitions and services.

BERT reads some hundred new lines a second on one core. If all lines went through it in the order of arrival, a burst of
new lines of one service would delay every other service. Here it delays that service only. Invariants:

- the lines of a service stay in order: once one of its lines waits, all lines after it wait too;
- partitions take turns, and within a partition its services do;
- a turn embeds one new line at most, so a service with few new lines waits for a fraction of a step.

The ingest thread owns it. Knows nothing of Kafka and of the model.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any, NamedTuple

from logwarden.daemon.pipeline.partitions import Assignment
from logwarden.daemon.state.records import Through

_TURN_LINES = 256
"""Lines of one service in a turn: known lines behind a new one are cheap, and yet others wait for them."""
_LINE_BYTES = 400
"""Memory of a waiting line beside its text and its key, measured."""


class WaitingLine(NamedTuple):
    """One decoded line."""

    owner: Assignment
    service: str
    text: bytes
    key: bytes
    """First-level key of the masking."""
    offset: int
    line_index: int
    """Position within the record."""
    timestamp: int


@dataclass(slots=True)
class LineBatch:
    """n decoded lines as columns, in stream order."""

    owners: list[Assignment]
    services: list[str]
    texts: list[bytes]
    keys: list[bytes]
    offsets: list[int]
    index: list[int]
    timestamps: list[int]

    def __len__(self) -> int:
        return len(self.texts)

    @classmethod
    def of(cls, lines: Sequence[WaitingLine]) -> LineBatch:
        """Returns the columns of n ≥ 1 lines."""
        return cls(*map(list, zip(*lines, strict=True)))

    @classmethod
    def joined(cls, parts: Sequence[LineBatch]) -> LineBatch:
        """Returns n ≥ 1 batches as one."""
        if len(parts) == 1:
            return parts[0]
        return cls(*(list(chain.from_iterable(columns)) for columns in zip(*(p.columns for p in parts), strict=True)))

    @property
    def columns(self) -> tuple[list[Any], ...]:
        """The columns, in the order of the constructor."""
        return (self.owners, self.services, self.texts, self.keys, self.offsets, self.index, self.timestamps)

    def line(self, place: int) -> WaitingLine:
        """Returns one line."""
        return WaitingLine(
            self.owners[place],
            self.services[place],
            self.texts[place],
            self.keys[place],
            self.offsets[place],
            self.index[place],
            self.timestamps[place],
        )

    def part(self, start: int, end: int) -> LineBatch:
        """Returns the lines from `start` to before `end`."""
        return LineBatch(*(column[start:end] for column in self.columns))


class Backlog:
    """Waiting lines by assignment and service. The first key of each dictionary is the next to take its turn."""

    def __init__(self) -> None:
        self._turns: dict[int, dict[str, deque[WaitingLine]]] = {}
        self._bytes: dict[int, int] = {}
        self._lines = 0

    def __len__(self) -> int:
        return self._lines

    def bytes_of(self, assignment: Assignment) -> int:
        """Returns the memory of an assignment's waiting lines. May be called from any thread."""
        return self._bytes.get(assignment.generation, 0)

    def oldest(self, assignment: Assignment) -> int | None:
        """Returns the lowest offset of a waiting line of an assignment. Returns None if none waits."""
        services = self._turns.get(assignment.generation, {})
        return min((lines[0].offset for lines in services.values()), default=None)

    def first_lines(self, assignment: Assignment) -> dict[str, Through]:
        """Returns the first waiting line of each service of an assignment."""
        services = self._turns.get(assignment.generation, {})
        return {service: Through(lines[0].offset, lines[0].line_index) for service, lines in services.items()}

    def keep(self, batch: LineBatch, new: Sequence[int]) -> list[WaitingLine]:
        """Keeps the lines that must wait, and returns the others. `new`: places of lines without an embedding."""
        # services   a b a b a      new at 2     nothing waits yet
        # kept           a   a      returned     a b b
        is_new = set(new)
        ready: list[WaitingLine] = []
        for place in range(len(batch)):
            owner, service = batch.owners[place], batch.services[place]
            services = self._turns.get(owner.generation)
            waiting = None if services is None else services.get(service)
            if waiting is None and place not in is_new:
                ready.append(batch.line(place))
                continue
            if waiting is None:
                waiting = self._turns.setdefault(owner.generation, {}).setdefault(service, deque())
            line = batch.line(place)
            waiting.append(line)
            self._count(owner.generation, line, 1)
        return ready

    def take(self, new_lines: int, is_known: Callable[[bytes], bool], *, most: int) -> list[WaitingLine]:
        """Removes and returns at most `most` lines with at most `new_lines` ≥ 1 distinct keys that are not known."""
        taken: list[WaitingLine] = []
        fresh: set[bytes] = set()
        while self._turns and len(taken) < most:
            generation = next(iter(self._turns))
            services = self._turns.pop(generation)
            service = next(iter(services))
            lines = services.pop(service)
            room = len(fresh) < new_lines
            self._take_turn(lines, taken, fresh, is_known, may_embed=room, most=min(_TURN_LINES, most - len(taken)))
            if lines:
                services[service] = lines  # behind the others
            if services:
                self._turns[generation] = services
            if not room:
                break
        return taken

    def drop_below(self, assignment: Assignment, offset: int) -> None:
        """Drops the lines of an assignment below an offset."""
        services = self._turns.get(assignment.generation, {})
        for service, lines in list(services.items()):
            while lines and lines[0].offset < offset:
                self._count(assignment.generation, lines.popleft(), -1)
            if not lines:
                del services[service]
        if not services:
            self._turns.pop(assignment.generation, None)

    def drop(self, assignments: Sequence[Assignment]) -> None:
        """Drops the lines of these assignments."""
        for assignment in assignments:
            services = self._turns.pop(assignment.generation, {})
            self._lines -= sum(map(len, services.values()))
            self._bytes.pop(assignment.generation, None)

    def _take_turn(
        self,
        lines: deque[WaitingLine],
        taken: list[WaitingLine],
        fresh: set[bytes],
        is_known: Callable[[bytes], bool],
        *,
        may_embed: bool,
        most: int,
    ) -> None:
        """Moves lines of one service to `taken` up to its second new line."""
        for _ in range(min(most, len(lines))):
            line = lines[0]
            if line.key not in fresh and not is_known(line.key):
                if not may_embed:
                    return
                may_embed = False
                fresh.add(line.key)
            taken.append(lines.popleft())
            self._count(line.owner.generation, line, -1)

    def _count(self, generation: int, line: WaitingLine, sign: int) -> None:
        self._lines += sign
        size = self._bytes.get(generation, 0) + sign * (len(line.text) + len(line.key) + _LINE_BYTES)
        if size:
            self._bytes[generation] = size
        else:
            self._bytes.pop(generation, None)
