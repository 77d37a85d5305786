"""The methods that are compared on the fault lab: the model, its parts, and what a beginner would try first.

Each turns the lines of a run into scores that rank. A method with a threshold of its own also has alerts.

Legend: n lines of the run · F inputs
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from logwarden.model.arrays import Bools, Doubles, Floats, Ints
from logwarden.model.budget import STRICT, AlertBudget
from logwarden.model.calibration import Calibration
from logwarden.model.decision import INPUTS, Decision
from logwarden.model.defaults import BUDGET_PER_DAY, LEARNING_LINES
from logwarden.model.kinds import RATE_UP_PROBABILITY, is_rate, is_wanted
from logwarden.model.schema import DEFAULT_KINDS
from logwarden.training.benchmark.runs import JudgedRun
from logwarden.training.evaluation.baselines import surprises
from logwarden.training.evaluation.replay import log_odds

OURS = "logwarden"
RULE = "keyword in a new line"
RARITY_BITS = 10.0
AT = {name: place for place, name in enumerate(INPUTS)}
_LEARNED_BITS = math.log2(1 + LEARNING_LINES) - 1e-4  # the age is a float32


@dataclass(frozen=True, slots=True)
class Answers:
    """One method on one run."""

    scores: Doubles
    """(n,) greater = more likely a fault; -inf where the method never raises an alert."""
    alerts: Bools | None = None
    """(n,) at the method's own threshold; None without one."""


def silent_lines(inputs: Floats) -> Bools:
    """Returns (n,) the lines of services that are learning, which raise no alert under any method."""
    return np.asarray(inputs[:, AT["log_age"]] < _LEARNED_BITS)


def by_model(inputs: Floats, decision: Decision | None, calibration: Calibration, run: JudgedRun) -> Answers:
    """Returns the calibrated log-odds, and the alerts of the daemon's defaults, budget included."""
    odds = odds_of(inputs, decision, calibration)
    return Answers(odds, within_budget(odds, log_odds(calibration.threshold), silent_lines(inputs), run))


def with_rates(odds: Doubles, kinds: Ints) -> Doubles:
    """Returns the log-odds (n,), raised where the rate of failures went up, as the daemon does by default."""
    up = is_rate(kinds) & is_wanted(kinds, DEFAULT_KINDS)
    return np.where(up, np.maximum(odds, log_odds(RATE_UP_PROBABILITY)), odds)


def odds_of(inputs: Floats, decision: Decision | None, calibration: Calibration) -> Doubles:
    """Returns (n,) the calibrated log-odds; without a decision those of the head."""
    margins = inputs[:, AT["margin"]].astype(np.float64) if decision is None else decision.margins(inputs)
    return np.asarray(calibration.scale * margins + calibration.shift)


def within_budget(odds: Doubles, threshold: float, silent: Bools, run: JudgedRun) -> Bools:
    """Returns (n,) the alerts that the daemon raises: due, and within the day's budget or strict enough without it."""
    alerts = (odds >= threshold) & ~silent
    due = np.flatnonzero(alerts)
    used_up = AlertBudget().used_up(
        run.service[due].tolist(), (run.times[due] * 1000).astype(np.int64).tolist(), BUDGET_PER_DAY
    )
    alerts[due[used_up & (odds[due] < log_odds(STRICT))]] = False
    return alerts


def one_liners(inputs: Floats, run: JudgedRun) -> Mapping[str, Answers]:
    """Returns what rules of one line and rankings without any training answer."""
    silent = silent_lines(inputs)
    surprise, severe, warns, distance = (
        inputs[:, AT[name]].astype(np.float64) for name in ("surprise", "severe", "warns", "distance")
    )
    new = inputs[:, AT["log_count"]] == 0
    severity = np.maximum(severe > 0, 0.5 * (warns > 0))
    return {
        RULE: _rule(run.keyword & new, silent),
        "keyword in the line": _rule(run.keyword, silent),
        "rarity": Answers(surprise, (surprise >= RARITY_BITS) & ~silent),
        "rarity by severity": Answers(surprise * (0.5 + severity)),
        # A line that the service knows lies at no distance from itself, and raises no alert at any threshold.
        "nearest neighbour": Answers(np.where(new, distance, -np.inf)),
    }


def rarity_of_groups(parts: Sequence[tuple[Ints, Ints]]) -> Answers:
    """Returns the rarity of the groups of the last part after the others; a part has groups and services (n,) each."""
    groups, services = (np.concatenate(columns).astype(np.int32) for columns in zip(*parts, strict=True))
    return Answers(surprises(groups, services)[-len(parts[-1][0]) :].astype(np.float64))


def _rule(fires: Bools, silent: Bools) -> Answers:
    return Answers(np.where(fires, 1.0, -np.inf), fires & ~silent)
