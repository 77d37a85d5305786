"""Oracles: slow, obvious implementations of the fast parts, and the inputs of both.

A property compares a part with its oracle on generated inputs; the oracle is right because it is simple.
"""

from __future__ import annotations

import hashlib
import json
from collections import defaultdict, deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC
from typing import Any

import numpy as np

from logwarden.daemon.decoding import terminal
from logwarden.daemon.decoding.decoder import Decoded, Decoder
from logwarden.daemon.decoding.event import LogEvent, Reading
from logwarden.daemon.decoding.json_logs import JsonReader
from logwarden.daemon.decoding.schemas import Schemas
from logwarden.daemon.decoding.traces import condense
from logwarden.daemon.pipeline.ingest import Ingestor
from logwarden.daemon.pipeline.ledger import PartitionLedger
from logwarden.daemon.pipeline.partitions import Assignment, TopicProfile
from logwarden.daemon.pipeline.work import Begun, Work
from logwarden.daemon.records import Entries, InputFormat, Partition
from logwarden.daemon.settings.groups import InputSettings
from logwarden.daemon.state.choice import Choice, Place
from logwarden.model.calm import Signs
from logwarden.model.history import History
from logwarden.model.lines import LineTable
from logwarden.model.stream import LineColumns, LogStream
from logwarden.model.windowing import NUMERIC_COLUMNS, WindowBatch, WindowRings


def columns(offsets: list[int]) -> dict[str, np.ndarray]:
    """Returns columns of lines that differ in every column, by their offset."""
    at = np.array(offsets, np.int64)
    numeric: dict[str, np.ndarray] = {name: (at + 1).astype(kind) for name, kind in NUMERIC_COLUMNS.items()}
    return numeric | {"offset": at, "text": np.array([b"line %d" % offset for offset in offsets], object)}


def push(rings: WindowRings, slots: list[int], offsets: list[int], now: float = 0.0) -> WindowBatch:
    return rings.push(np.array(slots, np.int64), columns(offsets), now)


def windows_of(batch: WindowBatch) -> list[tuple[int, list[int], int]]:
    """Returns (slot, offsets of the window, number of fresh lines) for every window."""
    # size 3, slot 5 has two lines: offsets row [pad, 40, 41], filled 2, fresh 1  →  (5, [40, 41], 1)
    rows = batch.windows("offset")
    return [
        (int(batch.slots[i]), rows[i, batch.size - batch.filled[i] :].tolist(), int(batch.fresh[i]))
        for i in range(len(batch))
    ]


@dataclass
class NaiveRings:
    """Oracle of WindowRings: a deque per slot."""

    size: int
    step: int = 1
    lines: dict[int, deque[int]] = field(default_factory=dict)
    pending: dict[int, int] = field(default_factory=lambda: defaultdict(int))

    def push(self, slots: list[int], offsets: list[int]) -> list[tuple[int, list[int], int]]:
        due = []
        for slot, offset in zip(slots, offsets, strict=True):
            ring = self.lines.setdefault(slot, deque(maxlen=self.size))
            ring.append(offset)
            self.pending[slot] += 1
            if self.pending[slot] == self.step:
                due.append((slot, list(ring), self.step))
                self.pending[slot] = 0
        return sorted(due, key=lambda window: window[0])  # by slot, in order within a slot

    def flush(self, slots: list[int]) -> list[tuple[int, list[int], int]]:
        out = [(slot, list(self.lines[slot]), self.pending[slot]) for slot in slots if self.pending[slot]]
        for slot in slots:
            self.pending[slot] = 0
        return out

    def clear(self, slots: list[int]) -> None:
        for slot in slots:
            self.lines.pop(slot, None)
            self.pending.pop(slot, None)

    def oldest(self, slot: int) -> int | None:
        """Returns the oldest line of the slot's next window, or None without lines."""
        # size 3: lines 7, 8, 9 → the next line pushes 7 out → 8; lines 7, 8 → 7
        ring = self.lines.get(slot)
        if not ring:
            return None
        return list(ring)[1] if len(ring) == self.size and self.size > 1 else ring[0]


def plain_signs(count: int) -> Signs:
    """Returns the signs of lines that state nothing and have no time."""
    no = np.zeros(count, bool)
    return Signs(no, np.zeros(count, np.int64), no, np.full(count, -1), no)


def plain_state(history: History, slot: int) -> str:
    """Returns everything that a history keeps about a slot, as text."""
    state = history.take(slot)
    columns = {
        name: column.tolist() if name != "distances" else column.round(4).tolist()
        for name, column in state.lines._asdict().items()
    }
    return json.dumps([state.age, state.calm.tolist(), state.rates.tolist(), columns])


@dataclass
class NaiveHistory:
    """Oracle of the history: counts in dictionaries, one line at a time. Evicts nothing."""

    age: dict[int, int] = field(default_factory=lambda: defaultdict(int))
    count: dict[tuple[int, int], int] = field(default_factory=lambda: defaultdict(int))

    def observe(self, slot: int, line: int) -> tuple[int, int, bool]:
        """Counts a line. Returns (times seen before, lines of the slot before, True if new to the slot)."""
        measured = (self.count[slot, line], self.age[slot], self.count[slot, line] == 0)
        self.count[slot, line] += 1
        self.age[slot] += 1
        return measured


def embed(texts: Sequence[str]) -> np.ndarray:
    """Returns vectors (n, 8) of length 1 that depend on the text alone."""
    seeds = [list(hashlib.blake2b(text.encode(), digest_size=8).digest()) for text in texts]
    vectors = np.array(seeds, np.float32) - 100.0
    unit: np.ndarray = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    return unit


@dataclass
class TableSpy:
    """Stands in for encoder and line table: records the embedded texts and the content of each row."""

    encoded: list[str] = field(default_factory=list)
    rows: dict[int, np.ndarray] = field(default_factory=dict)

    def encode(self, texts: Sequence[str]) -> np.ndarray:
        assert texts, "the encoder is called with at least one text"
        assert len(set(texts)) == len(texts), "the encoder gets each text once"
        self.encoded += texts
        return embed(texts)

    def table(self, rows: int = 64) -> LineTable:
        """Returns a table that embeds and stores through this spy."""
        return LineTable(rows, self.encode, self.store)

    def store(self, ids: np.ndarray, embeddings: np.ndarray, texts: Sequence[str]) -> None:
        self.rows.update(zip(ids.tolist(), embeddings, strict=True))


def log_lines(texts: Sequence[str], slots: Sequence[int] | None = None, first_offset: int = 0) -> LineColumns:
    """Returns columns of these lines with consecutive offsets. `slots`: None puts all lines into slot 0."""
    return LineColumns(
        texts=[text.encode() for text in texts],
        slots=np.zeros(len(texts), np.int64) if slots is None else np.array(slots, np.int64),
        offset=np.arange(first_offset, first_offset + len(texts)),
        index=np.zeros(len(texts), np.int32),
        timestamp=np.full(len(texts), 1_700_000_000_000, np.int64),
    )


def naive_gates(row: list[float], top_p: float) -> list[float]:
    """Returns the gates: experts by falling probability, to the first at which the sum exceeds p, inclusive."""
    gates, total = [0.0] * len(row), 0.0
    for expert in sorted(range(len(row)), key=lambda e: -row[e]):
        gates[expert] = row[expert]
        total += row[expert]
        if total > top_p:
            break
    return gates


@dataclass(frozen=True)
class LogRecord:
    """A record as a consumer returns it."""

    value: bytes | None
    offset: int = 0
    topic: str = "logs"
    partition: int = 0
    timestamp: int = 1_700_000_000_000
    key: bytes | None = None
    headers: tuple[tuple[str, bytes], ...] = ()


def json_reader() -> JsonReader:
    """Returns a reader of JSON with the built-in paths, to which every other text is plain."""
    return JsonReader(
        text_paths=(),
        service_paths=(),
        time_paths=(),
        read_text=lambda text: None,
        condense=condense,
        clean=terminal.plain,
        zone=UTC,
    )


def default_decoder(
    *, form: InputFormat = "auto", max_line_chars: int = 8192, schemas: Schemas | None = None
) -> Decoder:
    """Returns a decoder with the default paths of the settings."""
    paths = InputSettings()
    return Decoder(
        format=form,
        text_paths=paths.text_paths,
        service_paths=paths.service_paths,
        time_paths=paths.time_paths,
        max_line_chars=max_line_chars,
        schemas=schemas,
    )


class EventPerTextLine(Decoder):
    """Reads plain text as one event per line, as formats with many events in a record will."""

    def _read(self, value: bytes, near_ms: int, out: Decoded, depth: int = 0) -> Reading:
        if value.lstrip()[:1] == b"{":
            return super()._read(value, near_ms, out, depth)
        return Reading([LogEvent(line) for line in value.split(b"\n")])


def ingestor_of(slots: int, *, size: int = 3, step: int = 1) -> Ingestor:
    spy = TableSpy()
    stream = LogStream(spy.table(), size=size, step=step, max_slots=slots)
    return Ingestor(stream, max_services=slots)


def profile_of(decoder: Decoder, **changes: Any) -> TopicProfile:
    fields: dict[str, Any] = {"alerts_topic": "alerts", "dead_letter_topic": "dead", "max_alert_line_chars": 1024}
    return TopicProfile(decoder=decoder, **(fields | changes))


PROFILE = profile_of(default_decoder())


def assignment(
    generation: int = 1, score_from: int = 0, context: int | None = None, profile: TopicProfile = PROFILE
) -> Assignment:
    ledger = PartitionLedger(score_from, score_from if context is None else context)
    return Assignment(generation, Partition("logs", generation), ledger, profile)


def restore(ingestor: Ingestor, owner: Assignment, entries: Entries, *, group: str = "") -> int:
    """Brings back what a state topic has of an assignment. Returns the number of services."""
    place = Place(owner.partition.topic, owner.incarnation, owner.partition.partition)
    choice = Choice({place: owner.journal.marks if owner.journal else None}, group=group, masks=ingestor.masks)
    choice.take(entries)
    return ingestor.begin(Begun(fresh=[owner], choice=choice), 0.0)


def records_of(services: str | Sequence[str], first: int = 0) -> list[LogRecord]:
    """Returns a record for each service, with consecutive offsets from `first`."""
    return [LogRecord(b"hello from %d" % i, offset=first + i, key=s.encode()) for i, s in enumerate(services)]


def fresh_lines_of(work: Sequence[Work]) -> list[tuple[int, int]]:
    """Returns (generation of the assignment, offset) of every line that is fresh in a window."""
    lines: list[tuple[int, int]] = []
    for piece in work:
        places, window = piece.windows.fresh_lines()
        owners = [owner.generation for owner in piece.assignments[window]]
        lines += zip(owners, piece.windows.columns["offset"][places].tolist(), strict=True)
    return sorted(lines)
