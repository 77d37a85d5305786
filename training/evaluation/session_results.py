"""The protocol's figures for one trial: every method's row on the same split, intervals, thresholds, sweeps.

Thresholds are frozen before the test: a model's is the shipped one, a baseline's is chosen on the last part of what
stands before the split. `best F1` is chosen on the test itself: an upper bound, and labelled so. Knows no file, no
model and no table.

Legend: n lines · s sessions
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
from logwarden.training.evaluation.baselines import BASELINES, LineSessions
from logwarden.training.evaluation.replay import Judged
from logwarden.training.evaluation.splits import BEFORE, TEST, Trial
from logwarden.training.metrics import (
    Labels,
    Scores,
    auroc,
    average_precision,
    best_f1,
    detection_at,
    threshold_of_normal,
)

QUIET_QUANTILE = 0.99
"""A baseline without labels alerts above what 99 % of the validation sessions reach."""
VALIDATION_SHARE = 0.3
BOOTSTRAP_ROUNDS = 500
NATURAL_THRESHOLDS = {"keyword in any line": 0.5, "new event + length": 1.0}
"""Methods whose scores mean something: a keyword is there, a line is new. A quantile of them would mean nothing."""
_SILENT = -1e3  # below any margin, and finite, so that ranks and intervals can be computed
PREVALENCES = (0.001, 0.005, 0.01, 0.03, 0.05, 0.10, 0.15)
NOISE_RATES = (0.0, 0.01, 0.05, 0.10)


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """A figure, or its mean and standard deviation over seeds; `low` and `high` bound its bootstrap interval."""

    value: float
    sd: float = 0.0
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One line of a table."""

    data: str
    unit: str
    method: str
    supervision: str
    """What of the target the method was given: none / normal only / labels."""
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
    """Alerts on lines of normal tested sessions; None for methods that judge whole sessions."""
    delay_lines: float | None = None
    """Median number of lines of an anomalous session up to its first alert, among those that raise one."""


@dataclass(frozen=True, slots=True)
class Examined:
    """The tested sessions of a trial: what every row of one table shares."""

    labels: Labels
    lines: npt.NDArray[np.int64]
    """Lines of each session."""
    unseen: npt.NDArray[np.bool_]
    """Sessions whose sequence of masked lines no session before the split had."""


def sessions_of(trial: Trial, judged: Judged) -> LineSessions:
    """The trial as the baselines see it."""
    return LineSessions(
        ids=judged.ids,
        session=trial.session.astype(np.int32),
        service=trial.service.astype(np.int32),
        anomalous=trial.anomalous,
        texts=judged.texts,
    )


def tested(trial: Trial, sessions: LineSessions) -> Examined:
    """Labels, lengths and novelty of the tested sessions."""
    test = trial.part == TEST
    sequences = _sequences(sessions)
    known = {sequences[number] for number in np.flatnonzero(trial.part == BEFORE)}
    unseen = np.array([sequences[number] not in known for number in np.flatnonzero(test)], bool)
    return Examined(sessions.anomalous[test], sessions.lengths[test], unseen)


def by_model(trial: Trial, judged: Judged, *, method: str, note: str = "", own_threshold: bool = False) -> Contest:
    """The model's scores: a session is as bad as its worst line.

    With `own_threshold` not the shipped threshold, but the one that a baseline without labels gets: from what the last
    sessions of the history reach, so `judged` must have scored the history too (`Trial.quiet`).
    """
    test = trial.part == TEST
    of_test = np.flatnonzero(trial.scored)
    owner = (np.cumsum(test) - 1)[trial.session[of_test]]
    threshold = judged.threshold
    if own_threshold:
        history = np.unique(trial.session[trial.quiet])
        late = history[round(len(history) * (1 - VALIDATION_SHARE)) :]
        threshold = threshold_of_normal(_worst_lines(trial, judged, trial.quiet)[late], QUIET_QUANTILE)
    alerts = (judged.margin[of_test] >= threshold) & ~judged.learning[of_test]
    normal = ~trial.anomalous[test][owner]
    return Contest(
        method=method,
        supervision=trial.history,
        scores=_worst_lines(trial, judged, trial.scored)[test],
        threshold=threshold,
        note=note,
        line_alerts=int((alerts & normal).sum()),
        delay_lines=_delay(owner, alerts & ~normal),
    )


def by_baselines(trial: Trial, sessions: LineSessions, seed: int, names: Sequence[str] = ()) -> list[Contest]:
    """All baselines, or those named. Where history is clean rounds only, so it is for those without labels."""
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
    """The facts that separate the classes alone, each as a detector."""
    test, quiet = trial.part == TEST, (trial.part == BEFORE) & ~trial.anomalous
    contests = []
    for name, added in trial.facts.items():
        counts = np.bincount(trial.session, weights=added, minlength=len(test))
        threshold = threshold_of_normal(counts[quiet], QUIET_QUANTILE)
        contests.append(Contest(method=name, supervision=trial.history, scores=counts[test], threshold=threshold))
    return contests


def row_of(trial: Trial, about: Examined, contest: Contest, *, only_unseen: bool = False, seed: int = 0) -> Row:
    """The figures of one method, on all tested sessions or on those with a sequence not seen before."""
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
    return Row(
        data=trial.name,
        unit=trial.unit + (" unseen" if only_unseen else ""),
        method=contest.method,
        supervision=contest.supervision,
        note=contest.note,
        units=len(labels),
        anomalous=int(labels.sum()),
        figures=figures,
    )


def over_seeds(rows: Sequence[Row]) -> Row:
    """One row of several that differ by seed alone: means and standard deviations, the interval of the first."""
    first = rows[0]
    figures = {}
    for name, figure in first.figures.items():
        values = [row.figures[name].value for row in rows if name in row.figures]
        figures[name] = replace(figure, value=float(np.mean(values)), sd=float(np.std(values)))
    return replace(first, figures=figures)


def ranking_intervals(
    labels: Labels, scores: Scores, *, rounds: int = BOOTSTRAP_ROUNDS, level: float = 0.95, seed: int = 0
) -> tuple[tuple[float, float], tuple[float, float]]:
    """The low ends of the bootstrap intervals of (AUROC, AP), then the high ends; classes resampled apart.

    The same as resampling sessions one by one (`metrics.bootstrap_interval`), fifty times faster: only how often each
    distinct score is drawn matters, and that is multinomial.
    """
    _, code = np.unique(-scores, return_inverse=True)  # 0 = the highest score
    chance = np.random.default_rng(seed)
    hits, others = (
        chance.multinomial(
            int(chosen.sum()), np.bincount(code[chosen], minlength=code.max() + 1) / chosen.sum(), rounds
        )
        for chosen in (labels, ~labels)
    )  # rounds × distinct scores
    above_hits, above_others = hits.cumsum(axis=1), others.cumsum(axis=1)
    below = above_others[:, -1:] - above_others + others / 2  # normal units ranked lower, ties counting half
    area = (hits * below).sum(axis=1) / (labels.sum() * (~labels).sum())
    precision = (hits * above_hits / np.maximum(above_hits + above_others, 1)).sum(axis=1) / labels.sum()
    ends = (1 - level) / 2, (1 + level) / 2
    bounds = np.quantile(np.stack([area, precision]), ends, axis=1)  # end × figure
    return (float(bounds[0, 0]), float(bounds[0, 1])), (float(bounds[1, 0]), float(bounds[1, 1]))


def prevalence_sweep(about: Examined, contests: Sequence[Contest], seeds: int) -> list[Row]:
    """Each method at other shares of anomalies: anomalous sessions left out, or for higher shares normal ones.

    Scores are those of the whole stream, so the history still holds what is left out here.
    """
    rows = []
    for contest in contests:
        for share in PREVALENCES:
            drawn = [_at_prevalence(about.labels, share, seed) for seed in range(seeds)]
            parts = [(about.labels[kept], contest.scores[kept]) for kept in drawn]
            figures = {
                "AP": _spread([average_precision(*part) for part in parts]),
                "best F1": _spread([best_f1(*part).f1 for part in parts]),
                "F1": _spread([detection_at(*part, contest.threshold).f1 for part in parts]),
            }
            rows.append(
                Row(
                    data=f"{share:.1%}",
                    unit="prevalence",
                    method=contest.method,
                    supervision=contest.supervision,
                    units=len(parts[0][0]),
                    anomalous=int(parts[0][0].sum()),
                    figures=figures,
                )
            )
    return rows


def label_noise(trial: Trial, sessions: LineSessions, about: Examined, seeds: int) -> list[Row]:
    """The baselines with labels when a share of the training labels is wrong."""
    rows = []
    before = np.flatnonzero(trial.part == BEFORE)
    for name in (name for name, baseline in BASELINES.items() if baseline.supervision == "labels"):
        for rate in NOISE_RATES:
            noisy = []
            for seed in range(seeds):
                flipped = before[np.random.default_rng(seed).random(len(before)) < rate]
                anomalous = trial.anomalous.copy()
                anomalous[flipped] ^= True
                (contest,) = by_baselines(
                    trial, replace(sessions, anomalous=anomalous), seed, names=(name,)
                )  # the test part keeps its labels: only `before` was flipped
                noisy.append(row_of(trial, about, contest))
            row = over_seeds(noisy)
            figures = {figure: row.figures[figure] for figure in ("AP", "best F1", "F1")}
            rows.append(replace(row, data=f"{rate:.0%}", unit="wrong labels", figures=figures))
    return rows


def _worst_lines(trial: Trial, judged: Judged, chosen: npt.NDArray[np.bool_]) -> Scores:
    """(s,) the greatest margin among the chosen lines of each session, _SILENT where there is none."""
    # A line of a service that is still learning raises no alert, so it cannot speak for its session either.
    places = np.flatnonzero(chosen & ~judged.learning)
    scores = np.full(len(trial.anomalous), _SILENT)
    np.maximum.at(scores, trial.session[places], judged.margin[places])
    return scores


def _frozen(
    score: Callable[[LineSessions, LineSessions, int], Scores], train: LineSessions, supervision: str, seed: int
) -> float:
    """The threshold from the last part of the training sessions, the method being given the first."""
    cut = round(len(train.anomalous) * (1 - VALIDATION_SHARE))
    early = np.arange(len(train.anomalous)) < cut
    validation = train.select(~early)
    labels = validation.anomalous
    if supervision == "labels" and (len(np.unique(train.anomalous[early])) < 2 or labels.all() or not labels.any()):
        return 0.5  # too few anomalies to choose by: a probability's own threshold
    scores = score(train.select(early), validation, seed)
    if supervision == "labels":
        return best_f1(labels, scores).threshold
    calm = scores[~labels] if supervision == "normal only" else scores
    return threshold_of_normal(calm, QUIET_QUANTILE)


def _sequences(sessions: LineSessions) -> list[bytes]:
    """The masked lines of each session, in order, as one value."""
    order = np.argsort(sessions.session, kind="stable")
    cuts = np.cumsum(sessions.lengths)[:-1]
    return [part.tobytes() for part in np.split(sessions.ids[order], cuts)]


def _delay(owner: npt.NDArray[np.int64], alerts: npt.NDArray[np.bool_]) -> float | None:
    order = np.argsort(owner, kind="stable")
    ordered = owner[order]
    starts = np.flatnonzero(np.r_[True, ordered[1:] != ordered[:-1]])
    rank = np.arange(len(owner)) - np.repeat(starts, np.diff(np.r_[starts, len(owner)]))
    places = np.flatnonzero(alerts[order])
    _, first = np.unique(ordered[places], return_index=True)
    return float(np.median(rank[places[first]] + 1)) if len(first) else None


def _at_prevalence(labels: Labels, share: float, seed: int) -> npt.NDArray[np.int64]:
    chance = np.random.default_rng(seed)
    positives, negatives = np.flatnonzero(labels), np.flatnonzero(~labels)
    wanted = round(share * len(negatives) / (1 - share))
    if wanted <= len(positives):
        positives = chance.choice(positives, max(wanted, 1), replace=False)
    else:
        negatives = chance.choice(negatives, round(len(positives) * (1 - share) / share), replace=False)
    return np.concatenate([positives, negatives])


def _spread(values: Sequence[float]) -> Figure:
    return Figure(value=float(np.mean(values)), sd=float(np.std(values)))
