"""The lines of a batch of records, by column. Knows no formats."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass, field

from logwarden.daemon.decoding.batch_look import Look
from logwarden.daemon.decoding.line_shapes import NO_TIME
from logwarden.daemon.decoding.services import NamesOfKeys, of_record
from logwarden.daemon.records import DeadLetter, Record

Rows = Sequence[tuple[bytes, str, int, bool]]
"""Lines of a record, each with its service, its time, and True if it began with a blank."""


@dataclass(slots=True)
class Decoded:
    """Lines of a batch as columns of one length, and the records that contain none."""

    lines: list[bytes] = field(default_factory=list)
    """UTF-8 without line breaks, not blank."""
    services: list[str] = field(default_factory=list)
    timestamps: list[int] = field(default_factory=list)
    """Milliseconds since the epoch; -1 = unknown."""
    places: list[int] = field(default_factory=list)
    """The record of each line, as its place in the batch."""
    index: list[int] = field(default_factory=list)
    """Position of each line among the lines of its record, from 0."""
    indented: list[int] = field(default_factory=list)
    """Places of the lines that began with a blank, among the lines: they may continue the line before them."""
    rewritten: list[int] = field(default_factory=list)
    """Records of one line whose text is another than their value, but for the blanks around it."""
    blank: list[int] = field(default_factory=list)
    """Records without text: done at once."""
    dead: list[tuple[int, DeadLetter]] = field(default_factory=list)
    replaced: int = 0
    """Values and lines with bytes that are not UTF-8, read in another charset or replaced."""
    odd: int = 0
    """Records that begin like JSON and are none, read as text."""
    cut: int = 0
    """Lines longer than the limit."""
    names: NamesOfKeys = field(default_factory=NamesOfKeys, repr=False, compare=False)

    def take(self, run: Sequence[Record], begin: int, found: Look, indented: Sequence[int]) -> None:
        """Adds a run of records of one line each, by column: in a third of the time.

        `begin` is the place of the first one in the batch, and `indented` all places in it that began with a blank.
        """
        end, first = begin + len(run), len(self.lines)
        if not run:
            return
        of_those = indented[bisect_left(indented, begin) : bisect_left(indented, end)]
        self.indented += [first + place - begin for place in of_those]
        self.lines += found.lines[begin:end]
        named, by_key = found.services, self.names
        if named:
            self.services += [
                named.get(place) or (not record.headers and by_key[record.key]) or of_record(record)
                for place, record in enumerate(run, begin)
            ]
        else:
            self.services += [(not record.headers and by_key[record.key]) or of_record(record) for record in run]
        self.timestamps += [
            record.timestamp if at is None or at == NO_TIME else at
            for record, at in zip(run, found.times[begin:end], strict=True)
        ]
        self.places += range(begin, end)
        self.index += [0] * len(run)

    def add(self, rows: Rows, place: int) -> None:
        """Adds the lines of a record of any number of lines."""
        for index, (line, service, at_ms, is_indented) in enumerate(rows):
            if is_indented:
                self.indented.append(len(self.lines))
            self.lines.append(line)
            self.services.append(service)
            self.timestamps.append(at_ms)
            self.places.append(place)
            self.index.append(index)
