"""The windows of a member that reads everything in order and is never disturbed, to compare those of others with.

The oracle of the invariant `as_undisturbed`: it pushes the lines of each partition, one after the other, into a log
stream that nothing interrupts.
"""

from __future__ import annotations

import numpy as np

from logwarden.model.lines import LineTable
from logwarden.model.stream import MEASURED, LineColumns, LogStream
from logwarden.model.windowing import WindowBatch
from tests.sim.broker import SimBroker
from tests.sim.evidence import Evidence, Place, era_of
from tests.sim.stand_ins import encode
from tests.sim.topics import Era

_SERVICES = 16
_ROWS = 4096


class _Reader:
    """An undisturbed reader of one partition."""

    def __init__(self) -> None:
        self.measures: dict[Place, dict[str, float]] = {}
        """What was measured of each line."""
        self._stream = LogStream(LineTable(_ROWS, encode, lambda *_: None), size=2, max_slots=_SERVICES)
        self._slots: dict[str, int] = {}
        self._records = 0

    def read(self, evidence: Evidence, broker: SimBroker, era: Era) -> None:
        """Takes the records that were produced since the last call."""
        produced = evidence.produced[era]
        lines = [
            (text, self._slots.setdefault(record.service, len(self._slots)), *place, record.offset)
            for record in produced[self._records :]
            for place, text in record.lines.items()
        ]
        self._records = len(produced)
        if not lines:
            return
        texts, slots, offsets, index, records = map(list, zip(*lines, strict=True))
        windows = self._stream.push(
            LineColumns(
                texts=texts,
                slots=np.array(slots),
                offset=np.array(offsets),
                index=np.array(index, np.int32),
                timestamp=np.array([broker.eras[era].records[offset].timestamp for offset in records]),
            )
        )
        self._stream.scored()
        measured = zip(*(windows.newest(name).tolist() for name in MEASURED), strict=True)
        places = zip(windows.newest("offset").tolist(), windows.newest("index").tolist(), strict=True)
        self.measures |= {
            place: dict(zip(MEASURED, values, strict=True)) for place, values in zip(places, measured, strict=True)
        }


class Familiar:
    """The undisturbed readers of all partitions.

    `in_order`: lines of different services are counted in the order of their offsets. Where lines wait for the next
    line of their event they are not, and what the other services have logged before a line is another number.
    """

    def __init__(self, evidence: Evidence, broker: SimBroker, *, in_order: bool) -> None:
        self._evidence = evidence
        self._columns = [column for column in MEASURED if in_order or column != "elsewhere"]
        self._broker = broker
        self._readers: dict[Era, _Reader] = {}

    def check(self, name: str, batch: WindowBatch) -> None:
        """as_undisturbed: a scored window has the measures that it has in a member that nothing disturbs."""
        for number in range(len(batch)):
            places = np.arange(batch.ends[number] - batch.filled[number] + 1, batch.ends[number] + 1)
            measures = np.stack([batch.columns[column][places] for column in self._columns], axis=1)
            era = era_of(self._evidence.partitions, batch.columns["text"][places[-1]])
            reader = self._readers.setdefault(era, _Reader())
            reader.read(self._evidence, self._broker, era)
            lines = zip(batch.columns["offset"][places].tolist(), batch.columns["index"][places].tolist(), strict=True)
            for line, found in zip(lines, measures, strict=True):
                wanted = np.array([reader.measures[line][column] for column in self._columns], np.float32)
                if not np.allclose(found, wanted, atol=1e-5):
                    facts = dict(zip(self._columns, zip(found.tolist(), wanted.tolist(), strict=True), strict=True))
                    wrong = {column: pair for column, pair in facts.items() if not np.isclose(*pair, atol=1e-5)}
                    self._evidence.breach("as_undisturbed", f"{name}: {era} {line} has {wrong}")
                    return
