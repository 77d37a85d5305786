"""Labelled windows as arrays, made by the masking, history and rings of the product.

A `WindowSet` refers to its lines by row of one embedding table, as the daemon does, so a hundred thousand windows fit
in memory. Knows neither the source of the lines nor that of the labels.

Legend: U distinct lines · N windows · L window size · E encoder width
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch.utils.data import Dataset

from logwarden.model import evidence
from logwarden.model.defaults import WINDOW_SIZE
from logwarden.model.encoder import LineEncoder
from logwarden.model.evidence import line_vectors
from logwarden.model.lines import LineTable
from logwarden.model.masking import canonical, mask_blob
from logwarden.model.stream import MEASURED, LineColumns, LogStream
from logwarden.model.windowing import WindowBatch, WindowRings

Ids = npt.NDArray[np.int32]
Floats = npt.NDArray[np.float32]
_CHUNK = 8192


class LineTexts:
    """Distinct canonical texts, each with a row; row 0 is padding. `table` embeds the texts that are new."""

    def __init__(self, encoder: LineEncoder) -> None:
        self._encoder = encoder
        self._rows: dict[str, int] = {"": 0}
        self._vectors = np.zeros((1, encoder.width), np.float32)

    def rows(self, texts: Sequence[str]) -> Ids:
        """Returns (n,) the rows of canonical texts; a new text gets the next row."""
        return np.array([self._rows.setdefault(text, len(self._rows)) for text in texts], np.int32)

    def table(self) -> Floats:
        """Returns (U, E) the embeddings of all texts so far."""
        new = list(self._rows)[len(self._vectors) :]
        if new:
            vectors = self._encoder.encode(new).float().cpu().numpy()
            self._vectors = np.concatenate([self._vectors, vectors])
        return self._vectors

    def vectors(self) -> Floats:
        """Returns (U, E + V) what the head reads of all texts so far: embeddings and evidence; zeros for padding."""
        vectors = line_vectors(self.table(), list(self._rows), evidence.WIDTH)
        vectors[0] = 0.0
        return vectors

    def texts(self) -> list[str]:
        """Returns the texts by row."""
        return list(self._rows)


@dataclass(slots=True)
class WindowSet(Dataset[dict[str, Any]]):
    """N windows with labels; `collate` turns items into the inputs of the head."""

    table: torch.Tensor
    """(U, E + V) float32 embeddings and evidence."""
    ids: Ids
    """(N, L) rows of the table, 0 = padding, on the left."""
    familiarity: Floats
    """(N, L, 3) log2(1 + count), log2(1 + age), distance."""
    labels: Floats
    """(N,) probability of an anomaly, 0 to 1."""

    def __len__(self) -> int:
        return len(self.ids)

    def __getitem__(self, place: int) -> dict[str, Any]:
        return {"ids": self.ids[place], "familiarity": self.familiarity[place], "label": self.labels[place]}

    def collate(self, items: Sequence[dict[str, Any]]) -> dict[str, torch.Tensor]:
        """Returns `embeddings` (B, L, E + V), `familiarity` (B, L, 3), `attention_mask` (B, L), `labels` (B,)."""
        # ids [0, 0, 7, 3] (padding on the left) -> attention_mask [0, 0, 1, 1]
        ids = torch.from_numpy(np.stack([item["ids"] for item in items])).long()
        return {
            "embeddings": self.table[ids],
            "familiarity": torch.from_numpy(np.stack([item["familiarity"] for item in items])),
            "attention_mask": (ids != 0).long(),
            "labels": torch.tensor([float(item["label"]) for item in items]),
        }

    def select(self, places: npt.NDArray[Any]) -> WindowSet:
        """Returns some of the windows; they share the table."""
        return WindowSet(self.table, self.ids[places], self.familiarity[places], self.labels[places])


def canonical_lines(lines: Sequence[str]) -> list[str]:
    """Returns the canonical text of each raw event; line breaks inside an event become spaces."""
    cache: dict[bytes, str] = {}
    out = []
    for start in range(0, len(lines), _CHUNK):
        raw = [line.encode("utf-8", "replace").replace(b"\n", b" ") for line in lines[start : start + _CHUNK]]
        for key in mask_blob(b"\n".join(raw) + b"\n"):
            if key not in cache:
                cache[key] = canonical(key)
            out.append(cache[key])
    return out


@dataclass(slots=True)
class MeasuredStream:
    """A service's lines in order, each measured against the lines before it."""

    texts: list[str]
    """(n,) canonical texts."""
    log_count: Floats
    """(n,) log2(1 + earlier occurrences)."""
    log_age: Floats
    """(n,) log2(1 + earlier lines)."""
    distance: Floats
    """(n,) distance to the nearest line that was known when the text first occurred."""


def measure(texts: LineTexts, lines: Sequence[str]) -> MeasuredStream:
    """Measures raw lines of one service with the product's own stream."""
    batch = run_stream(texts, lines, np.zeros(len(lines), np.int64))
    return MeasuredStream(
        canonical_lines(lines), batch.newest("log_count"), batch.newest("log_age"), batch.newest("distance")
    )


def run_stream(
    texts: LineTexts, lines: Sequence[str], slots: npt.NDArray[np.int64], *, size: int = WINDOW_SIZE
) -> WindowBatch:
    """Returns a window for every raw line from `logwarden.model.stream`, grouped by slot, in order within a slot."""

    def encode(new: Sequence[str]) -> Floats:
        rows = texts.rows(new)
        return np.asarray(texts.table()[rows])

    table = LineTable(100_000, encode, lambda *_: None)
    stream = LogStream(table, size=size, max_slots=int(slots.max()) + 1)
    raw = [line.encode("utf-8", "replace").replace(b"\n", b" ") for line in lines]
    return stream.push(
        LineColumns(
            texts=raw,
            slots=slots,
            offset=np.arange(len(raw)),
            index=np.zeros(len(raw), np.int32),
            timestamp=np.full(len(raw), -1),
        )
    )


def sessions_to_windows(
    texts: LineTexts, sessions: Sequence[tuple[str, Sequence[str], int]]
) -> tuple[WindowSet, npt.NDArray[np.int64]]:
    """Returns a window for each line of labelled sessions (service, raw lines, label), and its session (N,).

    A session's lines are measured against its service's history, in the order given. Every window of an anomalous
    session is labelled anomalous, though not every line of it is: a weak label.
    """
    # Two sessions of one service; history runs over both, windows do not:
    #   lines    [a, b | a, c]
    #   session  [0, 0, 1, 1]
    #   slots    [0, 0, 0, 0]    the second a is known
    #   windows  [a], [a b], [a], [a c]
    services = {name: number for number, name in enumerate(dict.fromkeys(service for service, _, _ in sessions))}
    lines = [line for _, part, _ in sessions for line in part]
    session = np.repeat(np.arange(len(sessions)), [len(part) for _, part, _ in sessions])
    slots = np.array([services[sessions[number][0]] for number in session.tolist()])
    measured = run_stream(texts, lines, slots)
    # `measured` is grouped by slot; column[order] = … writes each value to the place of its line in `lines`.
    #   newest("offset") [0, 2, 1, 3], values [w, x, y, z] -> column [w, y, x, z]
    order = measured.newest("offset")
    columns = {name: np.empty(len(lines), np.float32) for name in MEASURED}
    for name, column in columns.items():
        column[order] = measured.newest(name)
    rings = WindowRings(WINDOW_SIZE, len(sessions))
    numbers = np.arange(len(lines))
    batch = rings.push(
        session,
        {
            **columns,
            "id": texts.rows(canonical_lines(lines)),
            "kind": np.zeros(len(lines), np.int64),
            "offset": numbers,
            "index": np.zeros(len(lines), np.int32),
            "timestamp": np.full(len(lines), -1),
            "text": np.full(len(lines), b"", object),
        },
    )
    familiarity = np.stack([batch.windows(name) for name in ("log_count", "log_age", "distance")], axis=-1)
    of = session[batch.newest("offset")]
    labels = np.array([label for _, _, label in sessions], np.float32)[of]
    return WindowSet(torch.from_numpy(texts.vectors()), batch.windows("id"), familiarity, labels), of
