"""Faults found over false alarms, at any threshold, when the alerts of a service within a minute are one.

The threshold is one for all systems. Its false alarms are the mean of the systems' shares, so that a talkative system
weighs no more than another. *Folded* is what an operator counts: the first line of an episode, and a later one only
if it is worse.

Legend: n lines of a run · f faults · a false alarms
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from logwarden.model.arrays import Bools, Doubles
from logwarden.training.benchmark.runs import JudgedRun
from logwarden.training.head.judging import EPISODE_S
from logwarden.training.metrics import firsts_of_episodes

MARKS = (20.0, 50.0, 100.0, 200.0, 400.0)
"""False alarms per million fault-free lines at which every method is compared."""


@dataclass(frozen=True, slots=True)
class Ranking:
    """What one method makes of one run, whatever the threshold."""

    alarms: Doubles
    """(a,) folded scores of fault-free lines, greatest first."""
    unfolded: Doubles
    """(b,) scores of all fault-free lines that may raise an alert, greatest first."""
    best: Doubles
    """(f,) greatest score in reach of each fault; -inf for a fault whose lines may raise no alert."""
    normal: int
    """Fault-free lines."""
    service_days: float

    def rate(self, bound: float, *, folded: bool = True) -> float:
        """Returns the false alarms above a bound, per million fault-free lines."""
        return 1e6 * _above(self.alarms if folded else self.unfolded, bound) / max(self.normal, 1)

    def per_service_day(self, bound: float) -> float:
        """Returns the folded false alarms above a bound per service and day."""
        return _above(self.alarms, bound) / max(self.service_days, 1e-9)

    def found(self, bound: float) -> int:
        """Counts the faults with a line above a bound."""
        return int((self.best > bound).sum())


def ranking_of(run: JudgedRun, scores: Doubles, silent: Bools) -> Ranking:
    """Returns the ranking of a run by scores (n,). `silent` (n,): lines that may raise no alert."""
    may = np.where(silent, -np.inf, scores)
    firsts = firsts_of_episodes(may, run.times, run.service, EPISODE_S)
    best = np.full(run.faults, -np.inf)
    within = run.fault >= 0
    np.maximum.at(best, run.fault[within], may[within])
    return Ranking(
        _falling(firsts[run.normal]), _falling(may[run.normal]), best, int(run.normal.sum()), run.quiet_service_days
    )


def bound_at(rankings: Sequence[Ranking], per_million: float, *, folded: bool = True) -> float:
    """Returns the lowest bound above which the mean share of false alarms is at most `per_million`."""
    # Two systems of 10,000 lines, 150 per million are three alarms between them:
    #   scores  9 8 7 6 5      each is worth 1e6 / 10,000 / 2 = 50
    #   bound   6              what is above it are 9 8 7; equal scores stay on one side
    parts = [one.alarms if folded else one.unfolded for one in rankings]
    scores = np.concatenate(parts)
    worth = np.concatenate(
        [
            np.full(len(part), 1e6 / max(one.normal, 1) / len(rankings))
            for part, one in zip(parts, rankings, strict=True)
        ]
    )
    order = np.argsort(-scores, kind="stable")
    beyond = np.flatnonzero(np.cumsum(worth[order]) > per_million * (1 + 1e-9))
    return float(scores[order][beyond[0]]) if len(beyond) else -np.inf


def found_at(rankings: Sequence[Ranking], per_million: float, *, folded: bool = True) -> int:
    """Counts the faults of all systems that are found at a share of false alarms."""
    bound = bound_at(rankings, per_million, folded=folded)
    return sum(one.found(bound) for one in rankings)


@dataclass(frozen=True, slots=True)
class Frozen:
    """A threshold chosen on the other systems, on the one that had no say in it."""

    found: int
    per_million: float


def frozen_elsewhere(rankings: Sequence[Ranking], per_million: float) -> list[Frozen]:
    """Returns for each system what the threshold does there that gives the others this share of false alarms."""
    results = []
    for place, one in enumerate(rankings):
        bound = bound_at([*rankings[:place], *rankings[place + 1 :]], per_million)
        results.append(Frozen(one.found(bound), one.rate(bound)))
    return results


@dataclass(frozen=True, slots=True)
class Curve:
    """Points of a curve, the strictest threshold first."""

    per_million: list[float]
    per_service_day: list[float]
    found: list[int]


def curve_of(rankings: Sequence[Ranking], most: float = 1000.0) -> Curve:
    """Returns the points at which another fault is found, up to `most` false alarms per million lines."""
    # A fault is found above every bound below its best score: each best score is a corner of the curve.
    corners = sorted({float(score) for one in rankings for score in one.best if score > -np.inf}, reverse=True)
    curve = Curve([], [], [])
    for corner in corners:
        bound = float(np.nextafter(corner, -np.inf))
        rate = float(np.mean([one.rate(bound) for one in rankings]))
        if rate > most:
            break
        curve.per_million.append(rate)
        curve.per_service_day.append(float(np.mean([one.per_service_day(bound) for one in rankings])))
        curve.found.append(sum(one.found(bound) for one in rankings))
    return curve


def _falling(scores: Doubles) -> Doubles:
    return np.asarray(-np.sort(-scores[scores > -np.inf]))


def _above(falling: Doubles, bound: float) -> int:
    return int(np.searchsorted(-falling, -bound, side="left"))
