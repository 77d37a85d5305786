"""Repeats the figures of a trial under worse conditions: other shares of anomalies, and wrong training labels.

Knows no file, no model and no table.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from logwarden.training.evaluation.baselines import BASELINES, LineSessions
from logwarden.training.evaluation.session_results import (
    Contest,
    Examined,
    Figure,
    SessionResult,
    by_baselines,
    over_seeds,
    row_of,
)
from logwarden.training.evaluation.splits import BEFORE, Trial
from logwarden.training.metrics import Labels, average_precision, best_f1, detection_at

PREVALENCES = (0.001, 0.005, 0.01, 0.03, 0.05, 0.10, 0.15)
NOISE_RATES = (0.0, 0.01, 0.05, 0.10)


def prevalence_sweep(about: Examined, contests: Sequence[Contest], seeds: int) -> list[SessionResult]:
    """Returns the figures of each method at other shares of anomalies.

    Anomalous sessions are left out, or normal ones for a higher share. Scores are those of the whole stream, so the
    history still contains the sessions that are left out.
    """
    rows = []
    for contest in contests:
        for share in PREVALENCES:
            samples = [_at_prevalence(about.labels, share, seed) for seed in range(seeds)]
            parts = [(about.labels[kept], contest.scores[kept]) for kept in samples]
            figures = {
                "AP": _spread([average_precision(*part) for part in parts]),
                "best F1": _spread([best_f1(*part).f1 for part in parts]),
                "F1": _spread([detection_at(*part, contest.threshold).f1 for part in parts]),
            }
            rows.append(
                SessionResult(
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


def label_noise(trial: Trial, sessions: LineSessions, about: Examined, seeds: int) -> list[SessionResult]:
    """Returns the figures of the baselines with labels when a share of the training labels is wrong."""
    rows = []
    before = np.flatnonzero(trial.part == BEFORE)
    for name in (name for name, baseline in BASELINES.items() if baseline.supervision == "labels"):
        for rate in NOISE_RATES:
            noisy = []
            for seed in range(seeds):
                # An anomaly becomes normal and the other way round, each with the chance `rate`.
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


def _at_prevalence(labels: Labels, share: float, seed: int) -> npt.NDArray[np.int64]:
    """Returns the places of a random part of the sessions in which anomalies have this share."""
    # 100 anomalies among 900 normal sessions; a share of 5 % keeps all 900 and wants .05 · 900 / .95 = 47 anomalies.
    # A share of 20 % wants 225, more than there are: all 100 stay, beside 100 · .8 / .2 = 400 normal sessions.
    chance = np.random.default_rng(seed)
    positives, negatives = np.flatnonzero(labels), np.flatnonzero(~labels)
    wanted = round(share * len(negatives) / (1 - share))
    if wanted <= len(positives):
        positives = chance.choice(positives, max(wanted, 1), replace=False)
    else:
        negatives = chance.choice(negatives, round(len(positives) * (1 - share) / share), replace=False)
    return np.concatenate([positives, negatives])


def _spread(values: Sequence[float]) -> Figure:
    """Returns the mean and the standard deviation over seeds."""
    return Figure(value=float(np.mean(values)), sd=float(np.std(values)))
