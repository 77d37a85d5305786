"""Scores windows: what every engine does around the head, which `WindowScorer` and `OnnxScorer` compute.

One thread at a time scores. Another thread may store new rows meanwhile: no window that is being scored refers to them.
Knows nothing of services, offsets or alerts.

Legend: w windows · L window size · E encoder width
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

import numpy as np

from logwarden.model.arrays import Bools, Floats, Ints
from logwarden.model.calibration import Calibration
from logwarden.model.decision import COLUMNS, INPUTS, Decision, inputs_of
from logwarden.model.lines import LineTable
from logwarden.model.mask_own import OwnRule
from logwarden.model.verdicts import Scores
from logwarden.model.windowing import WindowBatch

T = TypeVar("T")


class TableScorer(ABC):
    """A model with a table of `rows` lines. `max_windows` are scored at a time."""

    def __init__(self, calibration: Calibration, decision: Decision | None, rows: int, max_windows: int) -> None:
        self._calibration, self._decision = calibration, decision
        self._rows, self._max_windows = rows, max_windows

    @abstractmethod
    def encode(self, texts: Sequence[str]) -> Floats:
        """Returns the embeddings (n, E) of canonical texts, each of length 1."""

    @abstractmethod
    def store(self, ids: Ints, embeddings: Floats, texts: Sequence[str]) -> None:
        """Computes what the head needs of new lines, and puts it into the table under their ids (n,)."""

    @abstractmethod
    def _compute(self, ids: Ints, familiarity: Floats, judged: Ints) -> tuple[Floats, Floats]:
        """Returns the head's logits (w, 2) and line weights (w, L).

        `ids` (w, L), `familiarity` (w, L, 3) in the order of `logwarden.model.head_shape.FAMILIARITY_WIDTH`, `judged`
        (w,) the places of the judged lines.
        """

    @abstractmethod
    def _signs(self, ids: Ints) -> Bools:
        """Returns the signs (w, S) of lines by their ids (w,)."""

    def line_table(self, masks: Sequence[OwnRule] = ()) -> LineTable:
        """Returns a new, empty table over the scorer's rows, which applies the user's masks.

        Only one may be in use: they share the rows.
        """
        return LineTable(self._rows, self.encode, self.store, masks=masks)

    def score(self, batch: WindowBatch) -> Scores:
        """Scores w windows."""
        return self._with_room(lambda: self._score(batch))

    def inputs(self, batch: WindowBatch) -> Floats:
        """Returns what the last step reads of w windows (w, F), see `logwarden.model.decision.INPUTS`."""
        return self._with_room(lambda: self._inputs(batch))

    def _inputs(self, batch: WindowBatch) -> Floats:
        parts = [np.zeros((0, len(INPUTS)), np.float32)]
        for part in self._parts(batch):
            logits, _, judged = self._head(part)
            parts.append(self._decision_inputs(part, logits, judged))
        return np.concatenate(parts)

    def _score(self, batch: WindowBatch) -> Scores:
        logits, weights = [np.zeros((0, 2), np.float32)], [np.zeros((0, batch.size), np.float32)]
        for part in self._parts(batch):
            answer, shares, judged = self._head(part)
            if self._decision is not None:
                margins = self._decision.margins(self._decision_inputs(part, answer, judged))
                answer = np.stack([-margins / 2, margins / 2], axis=-1).astype(np.float32)
            logits.append(answer)
            weights.append(shares)
        joined = np.concatenate(logits)
        return Scores(joined, self._calibration.probability(joined), np.concatenate(weights))

    def _parts(self, batch: WindowBatch) -> Iterator[WindowBatch]:
        # 2,500 windows in parts of 1,024: [0, 1024), [1024, 2048), [2048, 2500)
        for start in range(0, len(batch), self._max_windows):
            yield batch.select(np.arange(start, min(start + self._max_windows, len(batch))))

    def _head(self, batch: WindowBatch) -> tuple[Floats, Floats, Ints]:
        """Returns the head's logits (w, 2), line weights (w, L), and the places of the judged lines (w,)."""
        familiarity = np.stack([batch.windows(name) for name in ("log_count", "log_age", "distance")], axis=-1)
        judged = _most_surprising_fresh(batch, familiarity)
        logits, shares = self._compute(batch.windows("id"), familiarity, judged)
        return logits, shares, judged

    def _decision_inputs(self, batch: WindowBatch, logits: Floats, judged: Ints) -> Floats:
        # Windows of 32 that end at places 40 and 41 and are judged by columns 31 and 29: the lines at places 40 and 39.
        at = batch.ends - (batch.size - 1) + judged
        columns = {name: batch.columns[name][at] for name in COLUMNS}
        margin = logits[:, 1].astype(np.float64) - logits[:, 0]
        return inputs_of(columns, margin, self._signs(batch.columns["id"][at]))

    def _with_room(self, compute: Callable[[], T]) -> T:
        """Computes; an engine on a device that may lack memory tries again with less."""
        return compute()


def _most_surprising_fresh(batch: WindowBatch, familiarity: Floats) -> Ints:
    """(w,) place of each window's judged line: the newest, or with a step the most surprising fresh one."""
    newest = np.full(len(batch), batch.size - 1)
    if not len(batch) or batch.fresh.max() == 1:
        return newest
    # Window size 4, of which 3 lines are fresh:
    #   surprise                9 2 5 5
    #   without the old line    - 2 5 5
    #   reversed                5 5 2 -     the greatest is first at 0
    #   place                   4 - 1 - 0 = 3
    surprise = familiarity[:, :, 1] - familiarity[:, :, 0]  # w, L
    old = np.arange(batch.size) < (batch.size - batch.fresh)[:, None]
    surprise[old] = -np.inf
    # Reversed, so that of two equally surprising lines the later one is judged.
    return np.asarray(batch.size - 1 - surprise[:, ::-1].argmax(axis=1))
