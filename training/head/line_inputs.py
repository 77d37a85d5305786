"""Streams labelled lines through a model and returns what its last step reads of each. Knows no labels.

The history of a line is that of its service, as in the daemon. Its window is that of its service too, or, where the
units are sessions, that of its session.

Legend: n lines · F inputs
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from logwarden.model.checkpoint import ModelCheckpoint
from logwarden.model.defaults import WINDOW_SIZE
from logwarden.model.scoring import WindowScorer
from logwarden.model.stream import LineColumns, LogStream
from logwarden.model.windowing import NUMERIC_COLUMNS, TEXT_COLUMN, WindowBatch, WindowRings
from logwarden.training.faultlab.recording import RUN_GAP_S, load_recording
from logwarden.training.head.labelled import Ints, LabelledStream

Floats = npt.NDArray[np.float32]
Advance = Callable[[int], None]

_PART = 2_048
_TABLE_ROWS = 100_000


@dataclass(frozen=True, slots=True)
class LineInputs:
    """What the last step reads of n lines."""

    inputs: Floats
    """(n, F), see `logwarden.model.decision.INPUTS`."""
    kinds: Ints
    """(n,) the same number for lines of the same masked text."""


def measure(model: ModelCheckpoint, stream: LabelledStream, advance: Advance) -> LineInputs:
    """Streams n ≥ 1 lines in order. `advance` is called with the number of lines of each finished part."""
    scorer = WindowScorer(replace(model, decision=None), device="cpu", rows=_TABLE_ROWS)
    size = 1 if stream.sessions else WINDOW_SIZE
    lines = LogStream(scorer.line_table(), size=size, max_slots=int(stream.service.max()) + 1, shown_chars=0)
    inputs, kinds = [], []
    for part in _parts(stream):
        count = part.stop - part.start
        batch = lines.push(
            LineColumns(
                texts=stream.texts[part],
                slots=stream.service[part],
                offset=np.arange(count),
                index=np.zeros(count, np.int32),
                timestamp=stream.at_ms[part],
            )
        )
        if stream.sessions:
            batch = _in_windows_of_units(batch, stream.unit[part])
        back = np.argsort(batch.newest("offset"), kind="stable")  # windows are grouped by service or unit
        inputs.append(scorer.inputs(batch)[back])
        kinds.append(batch.newest("kind")[back])
        lines.scored()
        advance(count)
    return LineInputs(np.concatenate(inputs), np.concatenate(kinds))


def recorded_twice(directory: Path) -> LabelledStream:
    """Returns a recording of the fault lab without labels, and once more behind itself: its faults are known then."""
    recording = load_recording(directory)
    names = {name: place for place, name in enumerate(dict.fromkeys(line.service for line in recording.lines))}
    texts = [line.text.encode("utf-8", "replace").replace(b"\n", b" ") for line in recording.lines]
    service = np.array([names[line.service] for line in recording.lines], np.int64)
    at_ms = np.array([int(line.t * 1_000) for line in recording.lines], np.int64)
    again = int(at_ms[-1] + RUN_GAP_S * 1_000)
    count = 2 * len(texts)
    return LabelledStream(
        texts=[*texts, *texts],
        service=np.concatenate([service, service]),
        at_ms=np.concatenate([at_ms, at_ms + again]),
        unit=np.arange(count),
        labels=np.zeros(count, np.int64),
        incident=np.full(count, -1),
        sessions=False,
    )


def _parts(stream: LabelledStream) -> Iterator[slice]:
    """Yields parts of the lines; where units are sessions, no part ends within one."""
    start, count = 0, len(stream.texts)
    while start < count:
        end = min(start + _PART, count)
        if stream.sessions and end < count:
            end = int(np.searchsorted(stream.unit, stream.unit[end - 1], side="right"))
        yield slice(start, end)
        start = end


def _in_windows_of_units(batch: WindowBatch, unit: Ints) -> WindowBatch:
    """Puts lines that are windows of one line into the windows of their units; `unit` (n,) is ascending."""
    order = np.argsort(batch.newest("offset"), kind="stable")
    columns = {name: batch.newest(name)[order] for name in (*NUMERIC_COLUMNS, TEXT_COLUMN)}
    return WindowRings(WINDOW_SIZE, int(unit[-1] - unit[0]) + 1).push(unit - unit[0], columns)
