"""Figures of a method on one run by lines, by windows and by episodes, and how well its probabilities are meant.

*Line*: evidence of a fault against fault-free lines. *Window*: consecutive groups of 32 lines of a service, which are
anomalous with a line of evidence among them, and are left out with lines in doubt only. *Episode*: the alerts of a
service of which each follows the one before within a minute; right if one of its lines is in reach of a fault.

Legend: n lines of the run
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise

import numpy as np

from logwarden.model.arrays import Bools, Doubles
from logwarden.model.defaults import WINDOW_SIZE
from logwarden.training.benchmark.runs import JudgedRun
from logwarden.training.faultlab.labels import State
from logwarden.training.head.judging import EPISODE_S
from logwarden.training.metrics import auroc, average_precision


@dataclass(frozen=True, slots=True)
class AlertFigures:
    """What the alerts of one run are worth."""

    found: int
    faults: int
    alerts: int
    false_lines: int
    """Alerts on fault-free lines."""
    false_episodes: int
    """Episodes that begin in fault-free time."""
    episodes: int
    outside_plans: int
    """False episodes that begin in no planned change."""
    normal: int
    quiet_s: float
    service_days: float
    by_service: list[float]
    """False episodes per day, service by service."""


def at_threshold(run: JudgedRun, alerts: Bools) -> AlertFigures:
    """Counts what the alerts (n,) find and what they disturb."""
    begins = episode_begins(alerts, run)
    false = begins & run.normal
    within = alerts & (run.fault >= 0)
    days = run.quiet_s / 86_400
    return AlertFigures(
        found=len(set(run.fault[within].tolist())),
        faults=run.faults,
        alerts=int(alerts.sum()),
        false_lines=int((alerts & run.normal).sum()),
        false_episodes=int(false.sum()),
        episodes=int(begins.sum()),
        outside_plans=int((false & ~run.planned).sum()),
        normal=int(run.normal.sum()),
        quiet_s=run.quiet_s,
        service_days=run.quiet_service_days,
        by_service=[float((false & (run.service == number)).sum() / days) for number in range(run.services)],
    )


def episode_begins(alerts: Bools, run: JudgedRun) -> Bools:
    """Returns (n,) the alerts that follow no other of their service within a minute."""
    begins = np.zeros(len(alerts), bool)
    last: dict[int, float] = {}
    for place in np.flatnonzero(alerts).tolist():
        service, now = int(run.service[place]), float(run.times[place])
        begins[place] = now - last.get(service, -np.inf) >= EPISODE_S
        last[service] = now
    return begins


def ranking_figures(run: JudgedRun, scores: Doubles) -> dict[str, float]:
    """Returns AUROC and average precision by lines, and average precision by windows."""
    least = scores[np.isfinite(scores)].min(initial=0.0) - 1.0  # -inf cannot be ranked
    finite = np.where(np.isfinite(scores), scores, least)
    counted = run.normal | run.evidence
    labels, windows = windows_of(run, finite)
    return {
        "auroc": auroc(run.evidence[counted], finite[counted]),
        "ap": average_precision(run.evidence[counted], finite[counted]),
        "window_ap": average_precision(labels, windows),
    }


def windows_of(run: JudgedRun, scores: Doubles) -> tuple[Bools, Doubles]:
    """Returns labels and greatest scores of the windows that are anomalous or free of doubt."""
    labels: list[bool] = []
    greatest: list[float] = []
    for service in range(run.services):
        places = np.flatnonzero(run.service == service)
        for start in range(0, len(places), WINDOW_SIZE):
            window = places[start : start + WINDOW_SIZE]
            states = run.states[window]
            if (states == State.EVIDENCE).any() or (states == State.NORMAL).all():
                labels.append(bool((states == State.EVIDENCE).any()))
                greatest.append(float(scores[window].max()))
    return np.array(labels, bool), np.array(greatest)


# ---------------------------------------------------------------- calibration

BINS = (0.0, 0.01, 0.05, 0.1, 0.25, 0.5, 0.73, 0.9, 0.99, 1.0)


@dataclass(frozen=True, slots=True)
class Bin:
    """Lines whose probability lies in one bin."""

    low: float
    high: float
    lines: int
    stated: float
    """Mean probability."""
    seen: float
    """Share of lines that are evidence."""


def reliability(probabilities: Sequence[Doubles], evidence: Sequence[Bools], weights: Sequence[float]) -> list[Bin]:
    """Returns the bins over several runs. Every line of a run has the run's weight."""
    p, seen = np.concatenate(list(probabilities)), np.concatenate(list(evidence))
    weight = np.concatenate([np.full(len(part), w) for part, w in zip(probabilities, weights, strict=True)])
    # A probability of exactly 1 belongs to the last bin: bins [0, .01) … [.99, 1].
    place = np.clip(np.searchsorted(BINS, p, side="right") - 1, 0, len(BINS) - 2)
    found = []
    for number, (low, high) in enumerate(pairwise(BINS)):
        inside = place == number
        share = weight[inside]
        total = max(float(share.sum()), 1e-12)
        found.append(
            Bin(
                low,
                high,
                int(inside.sum()),
                float((share * p[inside]).sum() / total),
                float((share * seen[inside]).sum() / total),
            )
        )
    return found


def calibration_error(probability: Doubles, evidence: Bools, bins: int = 15) -> float:
    """Returns the expected calibration error over bins of equal width."""
    place = np.minimum((probability * bins).astype(np.int64), bins - 1)
    count = np.bincount(place, minlength=bins)
    stated = np.bincount(place, weights=probability, minlength=bins)
    seen = np.bincount(place, weights=evidence.astype(np.float64), minlength=bins)
    return float(np.abs(stated - seen).sum() / max(int(count.sum()), 1))


def as_values(result: AlertFigures | Bin) -> dict[str, object]:
    """Returns plain values for the file of figures."""
    return asdict(result)
