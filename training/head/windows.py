"""Labelled windows as arrays, for training and evaluation: made by the same masking, history and rings as in service.

A `WindowSet` refers to its lines by row of one embedding table, as the daemon does, so a hundred thousand windows fit
in memory. Knows nothing of where lines or labels come from.

Legend: U distinct lines · N windows · L window size · E encoder width
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from logwarden.model.encoder import LineEncoder
from logwarden.model.masking import canonical, mask_blob
from logwarden.model.stream import LineColumns, LogStream
from logwarden.model.windowing import WindowBatch, WindowRings
from torch.utils.data import Dataset

Ids = npt.NDArray[np.int32]
Floats = npt.NDArray[np.float32]
_CHUNK = 8192


class LineTexts:
    """Distinct canonical texts, each with a row; row 0 is padding. Embeds what is new when asked for the table."""

    def __init__(self, encoder: LineEncoder) -> None:
        self._encoder = encoder
        self._rows: dict[str, int] = {"": 0}
        self._vectors = np.zeros((1, encoder.width), np.float32)

    def rows(self, texts: Sequence[str]) -> Ids:
        """(n,) the rows of canonical texts."""
        return np.array([self._rows.setdefault(text, len(self._rows)) for text in texts], np.int32)

    def table(self) -> Floats:
        """(U, E) embeddings of all texts so far."""
        new = list(self._rows)[len(self._vectors) :]
        if new:
            vectors = self._encoder.encode(new).float().cpu().numpy()
            self._vectors = np.concatenate([self._vectors, vectors])
        return self._vectors

    def texts(self) -> list[str]:
        """Texts by row."""
        return list(self._rows)


@dataclass(slots=True)
class WindowSet(Dataset[dict[str, Any]]):
    """N windows with labels; an item holds what `collate` turns into the head's inputs."""

    table: torch.Tensor
    """(U, E) float32"""
    ids: Ids
    """(N, L) rows of the table, 0 = padding, on the left."""
    familiarity: Floats
    """(N, L, 3) log2(1 + count), log2(1 + age), distance."""
    labels: Floats
    """(N,) share of an anomaly, 0…1."""

    def __len__(self) -> int:
        return len(self.ids)

    def __getitem__(self, place: int) -> dict[str, Any]:
        return {"ids": self.ids[place], "familiarity": self.familiarity[place], "label": self.labels[place]}

    def collate(self, items: Sequence[dict[str, Any]]) -> dict[str, torch.Tensor]:
        """Items → `embeddings` (B, L, E), `familiarity` (B, L, 3), `attention_mask` (B, L), `labels` (B,)."""
        ids = torch.from_numpy(np.stack([item["ids"] for item in items])).long()
        return {
            "embeddings": self.table[ids],
            "familiarity": torch.from_numpy(np.stack([item["familiarity"] for item in items])),
            "attention_mask": (ids != 0).long(),
            "labels": torch.tensor([float(item["label"]) for item in items]),
        }

    def select(self, places: npt.NDArray[Any]) -> WindowSet:
        """A part that shares the table."""
        return WindowSet(self.table, self.ids[places], self.familiarity[places], self.labels[places])


def join(sets: Sequence[WindowSet]) -> WindowSet:
    """One set of several that share a table; the last one's is the largest."""
    return WindowSet(
        sets[-1].table,
        np.concatenate([s.ids for s in sets]),
        np.concatenate([s.familiarity for s in sets]),
        np.concatenate([s.labels for s in sets]),
    )


def canonical_lines(lines: Sequence[str]) -> list[str]:
    """Raw events → canonical texts, one each; line breaks inside an event become spaces."""
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
    """Canonical."""
    log_count: Floats
    log_age: Floats
    distance: Floats


def measure(texts: LineTexts, lines: Sequence[str]) -> MeasuredStream:
    """Runs raw lines of one service through the product's own stream and keeps what it says of each."""
    batch = run_stream(texts, lines, np.zeros(len(lines), np.int64))
    return MeasuredStream(
        canonical_lines(lines), batch.newest("log_count"), batch.newest("log_age"), batch.newest("distance")
    )


def run_stream(texts: LineTexts, lines: Sequence[str], slots: npt.NDArray[np.int64], *, size: int = 32) -> WindowBatch:
    """All windows of raw lines, one per line, through `logwarden.model.stream`; grouped by slot, in order within a slot."""

    def encode(new: Sequence[str]) -> Floats:
        rows = texts.rows(new)
        return np.asarray(texts.table()[rows])

    stream = LogStream(encode, lambda ids, vectors: None, size=size, max_slots=int(slots.max()) + 1, table_rows=100_000)
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
    """Labelled sessions (service, raw lines, label) → a window per line, and the session (N,) that each belongs to.

    A session's lines are measured against its service's history, in the order given. Every window of an anomalous
    session is labelled anomalous, though not every line of it is: the weak label that sessions give.
    """
    services = {name: number for number, name in enumerate(dict.fromkeys(service for service, _, _ in sessions))}
    lines = [line for _, part, _ in sessions for line in part]
    session = np.repeat(np.arange(len(sessions)), [len(part) for _, part, _ in sessions])
    slots = np.array([services[sessions[number][0]] for number in session.tolist()])
    measured = run_stream(texts, lines, slots)
    order = measured.newest("offset")
    columns = {name: np.empty(len(lines), np.float32) for name in ("log_count", "log_age", "distance")}
    for name, column in columns.items():
        column[order] = measured.newest(name)
    rings = WindowRings(32, len(sessions))
    numbers = np.arange(len(lines))
    batch = rings.push(
        session,
        {
            **columns,
            "id": texts.rows(canonical_lines(lines)),
            "offset": numbers,
            "index": np.zeros(len(lines), np.int32),
            "timestamp": np.full(len(lines), -1),
            "text": np.full(len(lines), b"", object),
        },
    )
    familiarity = np.stack([batch.windows(name) for name in columns], axis=-1)
    of = session[batch.newest("offset")]
    labels = np.array([label for _, _, label in sessions], np.float32)[of]
    return WindowSet(torch.from_numpy(texts.table()), batch.windows("id"), familiarity, labels), of
