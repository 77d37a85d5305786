"""Puts streams of lines through a model exactly as the service does, and keeps what it says of every line.

Two things the daemon has as one are told apart here: whose history a line counts in (a service), and which window it
stands in (a service, or a session of it: a block, a machine's life, a test round). Masking, line table, history, rings
and scorer are the product's own. Knows neither labels nor splits: nothing here could leak one into a score.

Legend: n lines of the stream · L window size
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from logwarden.model.checkpoint import Checkpoint
from logwarden.model.scoring import WindowScorer
from logwarden.model.stream import LineColumns, LogStream
from logwarden.model.windowing import NUMERIC_COLUMNS, TEXT_COLUMN, WindowRings

Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]
Doubles = npt.NDArray[np.float64]

WINDOW = 32
LEARNING_LINES = 200
"""The daemon's defaults (`WINDOW__SIZE`, `ALERTS__LEARNING_LINES`): with others, another product is evaluated."""
CHUNK = 8192
_TABLE_ROWS = 100_000  # more than any recording has distinct lines, so that no row is given up while rings refer to it

# The first word of a line that says how bad the line is; upper case only, as loggers write it ("Error" may be prose).
LEVEL_WORD = re.compile(
    r"\b(?:TRACE|DEBUG\d?|INFO|NOTICE|LOG|WARN(?:ING)?|ERROR|FATAL|CRITICAL|SEVERE|PANIC|HINT|DETAIL|STATEMENT)\b:? *"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """What the model and the history say of n lines, in stream order."""

    ids: npt.NDArray[np.int32]
    """(n,) masked line of each line, an index into `texts`."""
    texts: list[str]
    surprise: Doubles
    """(n,) bits."""
    new: Bools
    """(n,) never said before by the line's service."""
    learning: Bools
    """(n,) lines of a service too young to raise an alert."""
    margin: Doubles
    """(n,) calibrated log-odds of an anomaly, which still rank where probabilities are all 1; NaN = history only."""
    threshold: float
    """The shipped threshold as log-odds."""

    @property
    def alerts(self) -> Bools:
        """(n,) lines that the daemon would publish an alert about."""
        return np.asarray((np.nan_to_num(self.margin, nan=-np.inf) >= self.threshold) & ~self.learning)


def without_level(lines: Sequence[str]) -> list[str]:
    """The same lines without the first word that states their severity."""
    return [LEVEL_WORD.sub("", line, count=1) for line in lines]


def judge(
    model: Checkpoint,
    lines: Sequence[str],
    service: npt.NDArray[np.integer],
    group: npt.NDArray[np.integer],
    scored: Bools,
    *,
    advance: Callable[[int], None] = lambda lines: None,
) -> Judged:
    """Streams n ≥ 1 lines in order.

    `service` (n,): whose history; `group` (n,): which window; `scored` (n,): False where a line is only heard. Both
    numberings start at 0. `advance` is told how many lines were done.
    """
    scorer = WindowScorer(model, device="cpu", rows=_TABLE_ROWS)
    stream = LogStream(
        scorer.encode, scorer.store, size=1, max_slots=int(service.max()) + 1, table_rows=_TABLE_ROWS, shown_chars=0
    )
    rings = WindowRings(WINDOW, int(group.max()) + 1)
    parts = []
    for start in range(0, len(lines), CHUNK):
        part = slice(start, min(start + CHUNK, len(lines)))
        parts.append(_judge_part(scorer, stream, rings, lines[part], service[part], group[part], scored[part]))
        advance(part.stop - part.start)
    given_up = stream.index.counts.evicted + stream.index.counts.overflowed
    assert not given_up, "the table holds every distinct line"
    ids, log_count, log_age, margin = (np.concatenate(columns) for columns in zip(*parts, strict=True))
    distinct, compact = np.unique(ids, return_inverse=True)
    calibration = model.calibration
    return Judged(
        ids=compact.astype(np.int32),
        texts=[stream.index.text(int(line_id)) for line_id in distinct],
        surprise=(log_age - log_count).clip(0).astype(np.float64),
        new=log_count == 0,
        learning=log_age < math.log2(1 + LEARNING_LINES) - 1e-4,
        margin=calibration.scale * margin + calibration.shift,
        threshold=log_odds(calibration.threshold),
    )


def log_odds(probability: float) -> float:
    """Where a threshold on the probability lies on the scale of `Judged.margin`; endless for 1."""
    return math.inf if probability >= 1 else math.log(probability / (1 - probability))


def _judge_part(
    scorer: WindowScorer,
    stream: LogStream,
    rings: WindowRings,
    lines: Sequence[str],
    service: npt.NDArray[np.integer],
    group: npt.NDArray[np.integer],
    scored: Bools,
) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.float32], npt.NDArray[np.float32], Doubles]:
    """Ids, log counts, log ages and raw margins of one chunk, in stream order."""
    count = len(lines)
    order = np.arange(count)
    raw = [line.encode("utf-8", "replace").replace(b"\n", b" ") for line in lines]
    heard = stream.push(  # windows of one line: the measured lines themselves, grouped by service
        LineColumns(
            texts=raw, slots=service.astype(np.int64), offset=order, index=np.zeros(count, np.int32), timestamp=order
        )
    )
    stream.scored()
    back = np.argsort(heard.newest("offset"), kind="stable")  # stream order again
    columns = {name: heard.newest(name)[back] for name in (*NUMERIC_COLUMNS, TEXT_COLUMN)}
    windows = rings.push(group.astype(np.int64), columns)
    wanted = windows.select(np.flatnonzero(scored[windows.newest("offset")]))
    margin = np.full(count, np.nan)
    if len(wanted):
        logits = scorer.score(wanted).logits.astype(np.float64)
        margin[wanted.newest("offset")] = logits[:, 1] - logits[:, 0]
    return columns["id"], columns["log_count"], columns["log_age"], margin
