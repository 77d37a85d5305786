"""Sums up a scanned file as one run: its distinct lines with their evidence, and whether it lies far out of its past.

Keeps a bounded number of lines, by the hash of their kind. Knows no file and no model but the sum of `model/runs.py`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from logwarden.model.runs import evidence_of, fence
from logwarden.model.verdicts import Scores
from logwarden.model.windowing import WindowBatch

RUNS_FOR_A_FENCE = 20
"""Good runs from which a fence is drawn. Fewer are compared by the strongest of them."""
STRONG = 0.05
"""Least evidence of a line that is listed: a probability of an anomaly of about .05."""
LISTED = 8
_MOST_KINDS = 100_000
_TEXT_CHARS = 160


@dataclass(slots=True)
class _Kind:
    evidence: float
    count: int
    offset: int
    text: str


class RunTally:
    """The kinds of lines of one run."""

    def __init__(self) -> None:
        self._kinds: dict[int, _Kind] = {}

    @property
    def evidence(self) -> float:
        """Returns the evidence of the run: the sum over its kinds, each with its worst line."""
        return sum(kind.evidence for kind in self._kinds.values())

    def add(self, batch: WindowBatch, scores: Scores) -> None:
        """Adds the newest line of each window."""
        evidence = evidence_of(scores.probability).tolist()
        kinds, offsets = (batch.newest(name).tolist() for name in ("kind", "offset"))
        texts = batch.newest("text")
        for kind, weight, offset, text in zip(kinds, evidence, offsets, texts, strict=True):
            known = self._kinds.get(kind)
            if known is None:
                if len(self._kinds) < _MOST_KINDS:
                    shown = text.decode("utf-8", "replace")[:_TEXT_CHARS]
                    self._kinds[kind] = _Kind(weight, 1, offset, shown)
                continue
            known.count += 1
            known.evidence = max(known.evidence, weight)

    def sentence(self, past: Sequence[float]) -> str:
        """Returns one clause about the run, given the evidence of good runs."""
        carrying = sum(kind.evidence >= STRONG for kind in self._kinds.values())
        lines = "1 distinct line carries it" if carrying == 1 else f"{carrying} distinct lines carry it"
        words = f"as a run it has evidence {self.evidence:.2f}, and {lines}"
        if not past:
            return words
        if len(past) < RUNS_FOR_A_FENCE:
            bound = max(past)
            place = "more than each" if self.evidence > bound else "no more than the strongest"
            return f"{words}; that is {place} of its {len(past)} baselines, which have at most {bound:.2f}"
        bound = fence(np.array(past))
        place = "far out of" if self.evidence > bound else "within"
        return f"{words}; it lies {place} its {len(past)} baselines, whose fence is {bound:.2g}"

    def strongest(self) -> Iterator[tuple[float, int, int, str]]:
        """Yields evidence, number of lines, first offset and text of the strongest kinds, at most `LISTED`."""
        kinds = sorted(self._kinds.values(), key=lambda kind: (-kind.evidence, kind.offset))
        for kind in kinds[:LISTED]:
            if kind.evidence >= STRONG:
                yield kind.evidence, kind.count, kind.offset, kind.text
