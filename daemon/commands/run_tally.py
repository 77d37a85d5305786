"""Sums up a scanned file as one run: its strongest lines, the lines it lacks, and whether it lies far out of its past.

Keeps a bounded number of lines, by the hash of their kind. Knows no file and no model but the sums of `model/runs.py`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from heapq import nlargest

import numpy as np

from logwarden.model.runs import RUNS_FOR_A_FENCE, STRONGEST, evidence_of, fence, lack_evidence, lacks
from logwarden.model.verdicts import Scores
from logwarden.model.windowing import WindowBatch

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
    """The kinds of lines of one run, and its strongest lines."""

    def __init__(self) -> None:
        self._kinds: dict[int, _Kind] = {}
        self._strongest: list[float] = []

    @property
    def evidence(self) -> float:
        """Returns the evidence of the run's strongest lines."""
        return sum(self._strongest)

    @property
    def kinds(self) -> dict[int, str]:
        """Returns the text of a line of each kind."""
        return {kind: its.text for kind, its in self._kinds.items()}

    def has(self, kind: int) -> bool:
        """Returns whether the run has a line of this kind."""
        return kind in self._kinds

    def add(self, batch: WindowBatch, scores: Scores) -> None:
        """Adds the newest line of each window."""
        evidence = evidence_of(scores.probability).tolist()
        self._strongest = nlargest(STRONGEST, [*self._strongest, *evidence])
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

    def sentence(self, past: PastRuns) -> str:
        """Returns one clause about the run, given good runs."""
        carrying = sum(kind.evidence >= STRONG for kind in self._kinds.values())
        lines = "1 distinct line carries it" if carrying == 1 else f"{carrying} distinct lines carry it"
        missing, lacked = past.evidence_of_lack(self), len(past.missing(self))
        if missing >= STRONG:
            lines += f", and {lacked} that most baselines have {'is' if lacked == 1 else 'are'} missing"
        evidence = self.evidence + missing
        words = f"as a run it has evidence {evidence:.2f}, and {lines}"
        if not past.evidence:
            return words
        count = len(past.evidence)
        if count < RUNS_FOR_A_FENCE:
            bound = max(past.evidence)
            place = "more than each" if evidence > bound else "no more than the strongest"
            return f"{words}; that is {place} of its {count} baselines, which have at most {bound:.2f}"
        bound = fence(np.array(past.evidence))
        place = "far out of" if evidence > bound else "within"
        return f"{words}; it lies {place} its {count} baselines, whose fence is {bound:.2g}"

    def strongest(self) -> Iterator[tuple[float, int, int, str]]:
        """Yields evidence, number of lines, first offset and text of the strongest kinds, at most `LISTED`."""
        kinds = sorted(self._kinds.values(), key=lambda kind: (-kind.evidence, kind.offset))
        for kind in kinds[:LISTED]:
            if kind.evidence >= STRONG:
                yield kind.evidence, kind.count, kind.offset, kind.text


class PastRuns:
    """Good runs, and what a run lacks beside them."""

    def __init__(self, runs: Sequence[RunTally]) -> None:
        # A kind that fewer than half of the runs have cannot be missed.
        counts = Counter(kind for run in runs for kind in run.kinds)
        texts = {kind: text for run in runs for kind, text in run.kinds.items()}
        self._common = {kind: texts[kind] for kind, count in counts.items() if 2 * count > len(runs)}
        self._past = np.array([self._present(run) for run in runs], bool).reshape(len(runs), len(self._common))
        enough = len(runs) >= RUNS_FOR_A_FENCE
        self._lacks = lacks(self._past, self._past)[1] if enough else None
        lack = np.zeros(len(runs)) if self._lacks is None else lack_evidence(self._lacks, self._lacks)
        self.evidence = [run.evidence + float(missing) for run, missing in zip(runs, lack, strict=True)]

    def missing(self, run: RunTally) -> list[str]:
        """Returns a text of each kind of line that most good runs have and this one lacks."""
        return [text for kind, text in self._common.items() if not run.has(kind)]

    def evidence_of_lack(self, run: RunTally) -> float:
        """Returns the evidence of what a run lacks; 0 with too few good runs to know what they lack."""
        if self._lacks is None:
            return 0.0
        lack, _ = lacks(np.array([self._present(run)], bool), self._past)
        return float(lack_evidence(lack, self._lacks)[0])

    def _present(self, run: RunTally) -> list[bool]:
        return [run.has(kind) for kind in self._common]
