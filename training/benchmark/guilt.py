"""Measures whether the lines that an alert names are the lines that carry it.

Two figures of the window of each fault's first alert. *Named*: the place of the fault's first line of evidence among
the lines, heaviest first. *Deletion*: the probability as lines are taken out of the window, heaviest first, against
random orders. The area between the two curves is above 0 where weights explain the score.

Legend: L window size · k lines of a window · o orders of deletion
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from logwarden.model.arrays import Column, Doubles, Floats, Ints
from logwarden.model.scoring import WindowScorer
from logwarden.model.windowing import TEXT_COLUMN, WindowBatch
from logwarden.training.benchmark.methods import silent_lines
from logwarden.training.benchmark.runs import JudgedRun
from logwarden.training.head.judging import PastViews

NAMED = 3
"""Heaviest lines among which the first evidence is looked for."""
RANDOM_ORDERS = 20


@dataclass(frozen=True, slots=True)
class FirstAlert:
    """The first alert in reach of one fault."""

    fault: int
    same_service: bool
    """The alert is about the service that wrote the fault's first evidence."""
    newest: bool
    """The first evidence of the alert's service is the judged line."""
    in_window: bool
    rank: int
    """Place of that evidence among the lines, 1 = the heaviest; 0 where it is not in the window."""
    by_weight: list[float]
    """Probability after 0, 1, … lines are deleted, heaviest first."""
    at_random: list[float]
    """The same, mean of random orders."""

    @property
    def named(self) -> bool:
        """Returns True where the first evidence is the newest line or among the heaviest."""
        return self.newest or 1 <= self.rank <= NAMED


def first_alerts(views: PastViews, judged: int, past: str, run: JudgedRun, threshold: float) -> list[FirstAlert]:
    """Returns the first alert of each fault that raises one. The scorer of `views` has its last step."""
    found: dict[int, tuple[int, WindowBatch, Floats]] = {}
    for windows in views.windows(judged, past):
        within = windows.select(np.flatnonzero(run.fault[windows.newest("offset")] >= 0))
        if not len(within):
            continue
        scores = views.scorer.score(within)
        due = (scores.probability >= threshold) & ~silent_lines(views.scorer.inputs(within))
        for at in np.flatnonzero(due).tolist():
            place = int(within.newest("offset")[at])
            fault = int(run.fault[place])
            if fault not in found or place < found[fault][0]:
                found[fault] = (place, within.select(np.array([at])), scores.line_weights[at])
    return [_first_alert(views.scorer, run, fault, *found[fault]) for fault in sorted(found)]


def _first_alert(
    scorer: WindowScorer, run: JudgedRun, fault: int, place: int, window: WindowBatch, weights: Floats
) -> FirstAlert:
    evidence = np.flatnonzero(run.evidence & (run.fault == fault))
    service = run.service[place]
    own = evidence[run.service[evidence] == service]
    filled = int(window.filled[0])
    offsets = window.windows("offset")[0, -filled:]
    # A fault begins a minute after its run, by when a window of 32 lines rarely holds lines of the run before. Those
    # have offsets that do not rise to the newest one.
    ours = np.flatnonzero(np.minimum.accumulate(offsets[::-1])[::-1] == offsets)
    first = int(own[0]) if len(own) else -1
    at = ours[offsets[ours] == first]
    heavy = np.argsort(-weights[-filled:], kind="stable")
    by_weight, at_random = deletion_curves(scorer, window, heavy)
    return FirstAlert(
        fault=fault,
        same_service=bool(len(evidence)) and bool(run.service[evidence[0]] == service),
        newest=first == place,
        in_window=bool(len(at)),
        rank=1 + int(np.flatnonzero(heavy == at[0])[0]) if len(at) else 0,
        by_weight=by_weight,
        at_random=at_random,
    )


def deletion_curves(scorer: WindowScorer, window: WindowBatch, heavy: Ints) -> tuple[list[float], list[float]]:
    """Returns the probabilities of one window as its lines go, in the order `heavy` (k,), and in random orders."""
    chance = np.random.default_rng(0)
    orders = [heavy, *(chance.permutation(len(heavy)) for _ in range(RANDOM_ORDERS))]
    # An order 2 0 1 of three lines leaves 0 1 2, then 0 1, then 1.
    kept = [np.sort(order[gone:]) for order in orders for gone in range(len(order))]
    answers = scorer.score(_windows_of(window, kept)).probability.reshape(len(orders), -1)
    return answers[0].tolist(), answers[1:].mean(axis=0).tolist()


def area_between(alerts: Sequence[FirstAlert]) -> float:
    """Returns the mean area between random deletion and deletion by weight, 0 to 1."""
    return float(np.mean([np.mean(np.subtract(one.at_random, one.by_weight)) for one in alerts])) if alerts else 0.0


def mean_curves(alerts: Sequence[FirstAlert], size: int) -> tuple[Doubles, Doubles]:
    """Returns the mean curves (size,) of full windows, by weight and at random."""
    full = [one for one in alerts if len(one.by_weight) == size]
    return np.mean([one.by_weight for one in full], axis=0), np.mean([one.at_random for one in full], axis=0)


def _windows_of(window: WindowBatch, kept: Sequence[Ints]) -> WindowBatch:
    """Makes a window of each choice among one window's lines; the newest that is left is judged."""
    size, end, filled = window.size, int(window.ends[0]), int(window.filled[0])
    columns: dict[str, Column] = {}
    for name, column in window.columns.items():
        if name == TEXT_COLUMN:
            continue
        rows = np.zeros((len(kept), size), column.dtype)
        lines = column[end - filled + 1 : end + 1]
        for row, chosen in zip(rows, kept, strict=True):
            row[size - len(chosen) :] = lines[chosen]
        columns[name] = rows.ravel()
    # Rows of 32 one behind the other end at 31, 63, 95, …
    count = len(kept)
    return WindowBatch(
        size=size,
        columns=columns,
        ends=size * np.arange(count) + size - 1,
        filled=np.array([len(chosen) for chosen in kept]),
        fresh=np.ones(count, np.int64),
        slots=np.zeros(count, np.int64),
    )


def named_share(alerts: Sequence[FirstAlert]) -> float:
    """Returns the share of first alerts that name the first evidence."""
    return sum(one.named for one in alerts) / max(len(alerts), 1)
