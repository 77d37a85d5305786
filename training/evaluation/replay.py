"""Replays lines through a model as the daemon scores them, and keeps the result of every line.

The daemon takes a service's history and its windows from one slot; here they are two arguments. `service` names the
history that a line counts in, `group` the window it stands in: a service, or one session of it (a block, a machine's
life, a test round). Masking, line table, history, rings and scorer are the product's own, and so are their sizes
(`logwarden.model.defaults`). Labels and splits are not arguments, so none can leak into a score.

Legend: n lines of the stream · w windows that were scored
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from logwarden.model.budget import STRICT, AlertBudget
from logwarden.model.checkpoint import ModelCheckpoint
from logwarden.model.defaults import BUDGET_PER_DAY, LEARNING_LINES, MAX_HISTORY_LINES, MAX_LINE_CHARS, WINDOW_SIZE
from logwarden.model.scoring import WindowScorer
from logwarden.model.stream import LineColumns, LogStream
from logwarden.model.windowing import NUMERIC_COLUMNS, TEXT_COLUMN, WindowRings

Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]
Doubles = npt.NDArray[np.float64]

CHUNK = 8192
TABLE_ROWS = 100_000
"""Rows of the line table: more than any recording has distinct lines. The daemon's table is smaller and evicts rows.
Eviction costs time and changes no score, so this number is the one that differs from the daemon's defaults."""

# The first word of a line that states a severity; upper case only, as loggers write it ("Error" may be prose).
LEVEL_WORD = re.compile(
    r"\b(?:TRACE|DEBUG\d?|INFO|NOTICE|LOG|WARN(?:ING)?|ERROR|FATAL|CRITICAL|SEVERE|PANIC|HINT|DETAIL|STATEMENT)\b:? *"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplayedStream:
    """The results of model and history for n lines, in stream order."""

    ids: npt.NDArray[np.int32]
    """(n,) masked line of each line, an index into `texts`."""
    texts: list[str]
    surprise: Doubles
    """(n,) bits."""
    new: Bools
    """(n,) lines whose masked form the service had not written before."""
    learning: Bools
    """(n,) lines of a service that has written too few lines to raise an alert."""
    margin: Doubles
    """(n,) calibrated log-odds of an anomaly, which still rank where probabilities are all 1; NaN = history only."""
    threshold: float
    """The shipped threshold as log-odds."""

    over_budget: Bools
    """(n,) lines at or above the threshold whose service had used up its alerts of a day."""

    @property
    def alerts(self) -> Bools:
        """(n,) lines for which the daemon would publish an alert."""
        due = _due(self.margin, self.threshold, self.learning)
        return due & (~self.over_budget | (np.nan_to_num(self.margin, nan=-np.inf) >= log_odds(STRICT)))


def without_level(lines: Sequence[str]) -> list[str]:
    """Removes from each line the first word that states its severity."""
    return [LEVEL_WORD.sub("", line, count=1) for line in lines]


def replay(
    model: ModelCheckpoint,
    lines: Sequence[str],
    service: npt.NDArray[np.integer],
    group: npt.NDArray[np.integer],
    scored: Bools,
    *,
    at_ms: Ints | None = None,
    advance: Callable[[int], None] = lambda lines: None,
) -> ReplayedStream:
    """Streams n ≥ 1 lines in order and returns the result of each.

    `service` (n,) and `group` (n,) are numbers from 0. `scored` (n,) is False for lines that only count in the history.
    `at_ms` (n,): times of the lines; None where they are unknown. `advance` is called with the number of lines of each
    finished chunk.
    """
    scorer = WindowScorer(model, device="cpu", rows=TABLE_ROWS)
    stream = LogStream(
        scorer.line_table(),
        size=1,
        max_slots=int(service.max()) + 1,
        max_lines_per_slot=MAX_HISTORY_LINES,
        shown_chars=0,
    )
    rings = WindowRings(WINDOW_SIZE, int(group.max()) + 1)
    times = np.full(len(lines), -1) if at_ms is None else at_ms
    parts = []
    for start in range(0, len(lines), CHUNK):
        part = slice(start, min(start + CHUNK, len(lines)))
        parts.append(
            _replay_part(scorer, stream, rings, lines[part], service[part], group[part], times[part], scored[part])
        )
        advance(part.stop - part.start)
    evicted = stream.table.counts.evicted + stream.table.counts.overflowed
    assert not evicted, "the table has a row for every distinct line"
    ids, log_count, log_age, margin = (np.concatenate(columns) for columns in zip(*parts, strict=True))
    # Rows of the table become indices into `texts`:
    #   ids      [7, 3, 7, 9]
    #   distinct [3, 7, 9]       the rows in use, sorted
    #   compact  [1, 0, 1, 2]    the place of each row among them
    distinct, compact = np.unique(ids, return_inverse=True)
    calibration = model.calibration
    margin, threshold = calibration.scale * margin + calibration.shift, log_odds(calibration.threshold)
    learning = log_age < math.log2(1 + LEARNING_LINES) - 1e-4  # the age is a float32
    due = np.flatnonzero(_due(margin, threshold, learning))
    over = np.zeros(len(lines), bool)
    over[due] = AlertBudget().used_up(service[due].tolist(), times[due].tolist(), BUDGET_PER_DAY)
    return ReplayedStream(
        ids=compact.astype(np.int32),
        texts=[stream.table.text(int(line_id)) for line_id in distinct],
        surprise=(log_age - log_count).clip(0).astype(np.float64),
        new=log_count == 0,
        learning=learning,
        margin=margin,
        threshold=threshold,
        over_budget=over,
    )


def _due(margin: Doubles, threshold: float, learning: Bools) -> Bools:
    return np.asarray((np.nan_to_num(margin, nan=-np.inf) >= threshold) & ~learning)


def log_odds(probability: float) -> float:
    """Places a threshold on the probability on the scale of `ReplayedStream.margin`; infinite for 1."""
    return math.inf if probability >= 1 else math.log(probability / (1 - probability))


def _replay_part(
    scorer: WindowScorer,
    stream: LogStream,
    rings: WindowRings,
    lines: Sequence[str],
    service: npt.NDArray[np.integer],
    group: npt.NDArray[np.integer],
    at_ms: Ints,
    scored: Bools,
) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.float32], npt.NDArray[np.float32], Doubles]:
    """Returns ids, log counts, log ages and raw margins of one chunk, in stream order."""
    count = len(lines)
    order = np.arange(count)
    raw = [line[:MAX_LINE_CHARS].encode("utf-8", "replace").replace(b"\n", b" ") for line in lines]
    measured = stream.push(  # windows of one line: the lines themselves, grouped by service
        LineColumns(
            texts=raw, slots=service.astype(np.int64), offset=order, index=np.zeros(count, np.int32), timestamp=at_ms
        )
    )
    stream.scored()
    # `push` returns lines grouped by service; the sort of their offsets is the way back:
    #   service          [0, 1, 0, 1]
    #   newest("offset") [0, 2, 1, 3]    service 0 first
    #   back             [0, 2, 1, 3]    its argsort: column[back] is in stream order
    back = np.argsort(measured.newest("offset"), kind="stable")
    columns = {name: measured.newest(name)[back] for name in (*NUMERIC_COLUMNS, TEXT_COLUMN)}
    windows = rings.push(group.astype(np.int64), columns)
    # Windows are grouped as well, so results go back by the offset of the newest line:
    #   scored           [F, T, T, F]
    #   newest("offset") [0, 2, 1, 3]    one window per line, grouped
    #   wanted           offsets [2, 1]
    #   margin           [nan, m1, m2, nan]
    wanted = windows.select(np.flatnonzero(scored[windows.newest("offset")]))
    margin = np.full(count, np.nan)
    if len(wanted):
        logits = scorer.score(wanted).logits.astype(np.float64)  # w, 2
        margin[wanted.newest("offset")] = logits[:, 1] - logits[:, 0]
    return columns["id"], columns["log_count"], columns["log_age"], margin
