"""Computes the figures of every method on one trial: the same split for all, intervals, frozen thresholds.

Thresholds are frozen before the test. A model has the shipped one; a baseline's is chosen on the last part of the
sessions before the split. `best F1` is chosen on the test itself: an upper bound, and labelled so. Knows no file, no
model and no table.

Legend: n lines · s sessions
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
from scipy.sparse import csr_matrix

from logwarden.model.runs import fence, lack_evidence, lacks, run_evidence
from logwarden.training.evaluation.baselines import BASELINES, LineSessions
from logwarden.training.evaluation.replay import ReplayedStream
from logwarden.training.evaluation.splits import BEFORE, TEST, Trial
from logwarden.training.metrics import (
    Labels,
    Scores,
    auroc,
    average_precision,
    best_f1,
    detection_at,
    ranking_intervals,
    threshold_of_normal,
)

QUIET_QUANTILE = 0.99
"""A baseline without labels raises an alert above the score that 99 % of the validation sessions stay below."""
VALIDATION_SHARE = 0.3
NATURAL_THRESHOLDS = {"keyword in any line": 0.5, "new event + length": 1.0}
"""Thresholds of methods whose scores are yes or no: a keyword is there, a line is new."""
_SILENT = -1e3  # below any margin, and finite, so that ranks and intervals can be computed


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """A figure, or its mean and standard deviation over seeds; `low` and `high` bound its bootstrap interval."""

    value: float
    sd: float = 0.0
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionResult:
    """The figures of one method on one trial: a line of a table."""

    data: str
    unit: str
    method: str
    supervision: str
    """What the method was given of the target: none, normal only or labels."""
    note: str = ""
    units: int
    anomalous: int
    figures: dict[str, Figure]


@dataclass(frozen=True, slots=True, kw_only=True)
class Contest:
    """Scores of one method for the tested sessions of a trial, before figures are computed."""

    method: str
    supervision: str
    scores: Scores
    threshold: float
    note: str = ""
    line_alerts: int | None = None
    """Alerts on lines of normal tested sessions; None for methods that score whole sessions."""
    delay_lines: float | None = None
    """Median number of lines of an anomalous session up to its first alert, among sessions with an alert."""


@dataclass(frozen=True, slots=True)
class Examined:
    """The tested sessions of a trial, shared by all rows of one table."""

    labels: Labels
    lines: npt.NDArray[np.int64]
    """Number of lines of each session."""
    unseen: npt.NDArray[np.bool_]
    """Sessions whose sequence of masked lines occurred in no session before the split."""


def sessions_of(trial: Trial, replayed: ReplayedStream) -> LineSessions:
    """Converts a replayed trial to what the baselines read."""
    return LineSessions(
        ids=replayed.ids,
        session=trial.session.astype(np.int32),
        service=trial.service.astype(np.int32),
        anomalous=trial.anomalous,
        texts=replayed.texts,
    )


def tested(trial: Trial, sessions: LineSessions) -> Examined:
    """Returns labels, lengths and novelty of the tested sessions."""
    test = trial.part == TEST
    sequences = _sequences(sessions)
    known = {sequences[number] for number in np.flatnonzero(trial.part == BEFORE)}
    unseen = np.array([sequences[number] not in known for number in np.flatnonzero(test)], bool)
    return Examined(sessions.anomalous[test], sessions.lengths[test], unseen)


def by_model(trial: Trial, replayed: ReplayedStream, *, method: str, note: str = "") -> Contest:
    """Returns the model's scores: the score of a session is that of its worst line."""
    # Sessions 1 and 3 of four are tested; a line's owner is the place of its session among the tested ones:
    #   test              [F, T, F, T]
    #   cumsum - 1        [-1, 0, 0, 1]
    #   session of lines  [1, 1, 3]   ->  owner [0, 0, 1]
    test = trial.part == TEST
    of_test = np.flatnonzero(trial.scored)
    owner = (np.cumsum(test) - 1)[trial.session[of_test]]
    threshold = replayed.threshold
    alerts = (replayed.margin[of_test] >= threshold) & ~replayed.learning[of_test]
    normal = ~trial.anomalous[test][owner]
    return Contest(
        method=method,
        supervision=trial.history,
        scores=_worst_lines(trial, replayed, trial.scored)[test],
        threshold=threshold,
        note=note,
        line_alerts=int((alerts & normal).sum()),
        delay_lines=_delay(owner, alerts & ~normal),
    )


def by_runs(trial: Trial, replayed: ReplayedStream, *, method: str, note: str = "") -> Contest:
    """Returns the model's scores of sessions as runs: the evidence of their strongest lines and of what they lack.

    What a session lacks, and the threshold, come from the sessions of the history, whose labels are not read.
    `replayed` must have scored the history too (`Trial.quiet`).
    """
    margin = np.where(replayed.learning, -np.inf, replayed.margin)
    evidence = run_evidence(trial.session, margin, len(trial.anomalous))
    history = np.unique(trial.session[trial.quiet])
    present = _common_lines(trial, replayed, history)
    lack, of_history = lacks(present, present[history])
    lack[history] = of_history
    evidence += lack_evidence(lack, of_history)
    return Contest(
        method=method,
        supervision=trial.history,
        scores=evidence[trial.part == TEST],
        # Of all of them, as `logwarden scan` has it.
        threshold=float(np.nextafter(fence(evidence[history]), np.inf)),
        note=note,
    )


def _common_lines(trial: Trial, replayed: ReplayedStream, history: npt.NDArray[np.int64]) -> npt.NDArray[np.bool_]:
    """Returns (s, k) which sessions have each masked line that more than a third of the history's sessions have."""
    # Lines that fewer have cannot be missed; with all of them the table would have a million rows by ten thousand.
    shape = (len(trial.anomalous), int(replayed.ids.max()) + 1)
    counts = csr_matrix((np.ones(len(replayed.ids), np.int32), (trial.session, replayed.ids)), shape=shape)
    had = counts[history].sign().sum(axis=0)
    return np.asarray(counts[:, np.flatnonzero(np.asarray(had).ravel() > len(history) / 3)].toarray() > 0)


def by_baselines(trial: Trial, sessions: LineSessions, seed: int, names: Sequence[str] = ()) -> list[Contest]:
    """Returns the scores of all baselines, or of those named.

    If the history of a trial is normal sessions only, the baselines without labels learn from normal sessions only.
    """
    before, test = trial.part == BEFORE, sessions.select(trial.part == TEST)
    labelled = sessions.select(before)
    plain = sessions.select(before & ~trial.anomalous) if trial.history == "normal only" else labelled
    contests = []
    for name, baseline in BASELINES.items():
        if names and name not in names:
            continue
        with_labels = baseline.supervision == "labels"
        train = labelled if with_labels else plain
        supervision = trial.history if baseline.supervision == "none" else baseline.supervision
        threshold = NATURAL_THRESHOLDS.get(name)
        if threshold is None:
            threshold = _frozen(baseline.score, train, supervision, seed)
        contests.append(
            Contest(method=name, supervision=supervision, scores=baseline.score(train, test, seed), threshold=threshold)
        )
    return contests


def by_counts(trial: Trial) -> list[Contest]:
    """Returns the scores of the counts that separate the classes by themselves, each as a detector."""
    test, quiet = trial.part == TEST, (trial.part == BEFORE) & ~trial.anomalous
    contests = []
    for name, added in trial.facts.items():
        counts = np.bincount(trial.session, weights=added, minlength=len(test))
        threshold = threshold_of_normal(counts[quiet], QUIET_QUANTILE)
        contests.append(Contest(method=name, supervision=trial.history, scores=counts[test], threshold=threshold))
    return contests


def row_of(
    trial: Trial, about: Examined, contest: Contest, *, only_unseen: bool = False, seed: int = 0
) -> SessionResult:
    """Computes the figures of one method, on all tested sessions or only on those with an unseen sequence."""
    chosen = about.unseen if only_unseen else np.ones(len(about.labels), bool)
    labels, scores, lines = about.labels[chosen], contest.scores[chosen], about.lines[chosen]
    low, high = ranking_intervals(labels, scores, seed=seed)
    fixed = detection_at(labels, scores, contest.threshold)
    normal_lines = max(int(lines[~labels].sum()), 1)
    raised = int((scores[~labels] >= contest.threshold).sum())
    figures = {
        "AUROC": Figure(value=auroc(labels, scores), low=low[0], high=high[0]),
        "AP": Figure(value=average_precision(labels, scores), low=low[1], high=high[1]),
        "best F1": Figure(value=best_f1(labels, scores).f1),
        "F1": Figure(value=fixed.f1),
        "precision": Figure(value=fixed.precision),
        "recall": Figure(value=fixed.recall),
        "false alarms/M": Figure(value=1e6 * raised / normal_lines),
    }
    if contest.line_alerts is not None and not only_unseen:
        figures["line alerts/M"] = Figure(value=1e6 * contest.line_alerts / normal_lines)
    if contest.delay_lines is not None and not only_unseen:
        figures["delay"] = Figure(value=contest.delay_lines)
    return SessionResult(
        data=trial.name,
        unit=trial.unit + (" unseen" if only_unseen else ""),
        method=contest.method,
        supervision=contest.supervision,
        note=contest.note,
        units=len(labels),
        anomalous=int(labels.sum()),
        figures=figures,
    )


def over_seeds(rows: Sequence[SessionResult]) -> SessionResult:
    """Joins rows that differ only by seed: means and standard deviations, and the interval of the first row."""
    first = rows[0]
    figures = {}
    for name, figure in first.figures.items():
        values = [row.figures[name].value for row in rows if name in row.figures]
        figures[name] = replace(figure, value=float(np.mean(values)), sd=float(np.std(values)))
    return replace(first, figures=figures)


def _worst_lines(trial: Trial, replayed: ReplayedStream, chosen: npt.NDArray[np.bool_]) -> Scores:
    """Returns (s,) the greatest margin among the chosen lines of each session, _SILENT for a session without one."""
    # The daemon raises no alert for a service that is still learning, so its lines do not count here.
    places = np.flatnonzero(chosen & ~replayed.learning)
    scores = np.full(len(trial.anomalous), _SILENT)
    np.maximum.at(scores, trial.session[places], replayed.margin[places])
    return scores


def _frozen(
    score: Callable[[LineSessions, LineSessions, int], Scores], train: LineSessions, supervision: str, seed: int
) -> float:
    """Chooses a threshold on the last part of the training sessions, after training on the first part."""
    cut = round(len(train.anomalous) * (1 - VALIDATION_SHARE))
    early = np.arange(len(train.anomalous)) < cut
    validation = train.select(~early)
    labels = validation.anomalous
    if supervision == "labels" and (len(np.unique(train.anomalous[early])) < 2 or labels.all() or not labels.any()):
        return 0.5  # too few anomalies to choose by: a probability's own threshold
    scores = score(train.select(early), validation, seed)
    if supervision == "labels":
        return best_f1(labels, scores).threshold
    normal = scores[~labels] if supervision == "normal only" else scores
    return threshold_of_normal(normal, QUIET_QUANTILE)


def _sequences(sessions: LineSessions) -> list[bytes]:
    """Returns the masked lines of each session, in order, as one value that can be compared."""
    order = np.argsort(sessions.session, kind="stable")
    cuts = np.cumsum(sessions.lengths)[:-1]
    return [part.tobytes() for part in np.split(sessions.ids[order], cuts)]


def _delay(owner: npt.NDArray[np.int64], alerts: npt.NDArray[np.bool_]) -> float | None:
    """Returns the median number of lines up to the first alert, over sessions with an alert; None if there is none."""
    # Two interleaved sessions; the sort brings the lines of each together, the rank counts within a session:
    #   owner   [0, 1, 0, 1, 0]   alerts [F, F, T, F, T]
    #   ordered [0, 0, 0, 1, 1]   starts [0, 3]
    #   rank    [0, 1, 2, 0, 1]   first alert of session 0 at rank 1: two lines
    order = np.argsort(owner, kind="stable")
    ordered = owner[order]
    starts = np.flatnonzero(np.r_[True, ordered[1:] != ordered[:-1]])
    rank = np.arange(len(owner)) - np.repeat(starts, np.diff(np.r_[starts, len(owner)]))
    places = np.flatnonzero(alerts[order])
    _, first = np.unique(ordered[places], return_index=True)
    return float(np.median(rank[places[first]] + 1)) if len(first) else None
