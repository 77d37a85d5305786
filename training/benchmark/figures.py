"""Turns the material of all systems into the figures of the fault lab. Plain values, which go into a file as they are.

Averages are over systems, each of the same weight; faults are summed.

Legend: n lines of a run
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, replace
from typing import Any

import numpy as np

from logwarden.model.calibration import Calibration
from logwarden.model.decision import Decision
from logwarden.training.benchmark.curves import (
    MARKS,
    Ranking,
    bound_at,
    curve_of,
    found_at,
    frozen_elsewhere,
    ranking_of,
)
from logwarden.training.benchmark.incidents import ANNOUNCED, IncidentFigures, incident_figures, summed_incidents
from logwarden.training.benchmark.kinds import kind_figures, summed_kinds
from logwarden.training.benchmark.levels import (
    AlertFigures,
    at_threshold,
    calibration_error,
    ranking_figures,
    reliability,
)
from logwarden.training.benchmark.material import PASTS, WITHOUT_LEVEL, Judged, Material
from logwarden.training.benchmark.methods import (
    AT,
    OURS,
    RULE,
    Answers,
    by_model,
    odds_of,
    one_liners,
    rarity_of_groups,
    silent_lines,
    with_rates,
    within_budget,
)
from logwarden.training.evaluation.replay import log_odds
from logwarden.training.head.judging import BUDGET_PER_MILLION

NO_BUDGET = f"{OURS}, no daily budget"
HEAD_ALONE = "the head alone"
TREES_ALONE = "trees without the head's answer"
DRAIN = "rarity of Drain's groups"
FACTOR = 1.5
"""Goal for the distance of a system's false alarms from the budget."""

Materials = Mapping[str, Material]
JudgedSystems = Mapping[str, Judged]
Decisions = Mapping[str, Decision]


def all_answers(
    material: Material, past: str, twin: Decision, treesonly: Decision | None, calibration: Calibration
) -> dict[str, Answers]:
    """Returns what every method makes of one system after one past."""
    run, inputs = material.run, material.captures[past].inputs
    ours = by_model(inputs, twin, calibration, run)
    silent = silent_lines(inputs)
    head = odds_of(inputs, None, calibration)
    threshold = float(np.log(calibration.threshold / (1 - calibration.threshold)))
    found = {
        OURS: ours,
        NO_BUDGET: replace(ours, alerts=(ours.scores >= threshold) & ~silent),
        HEAD_ALONE: Answers(head, (head >= threshold) & ~silent),
    }
    if treesonly is not None:
        found[TREES_ALONE] = Answers(odds_of(inputs, treesonly, calibration))
    return {**found, **one_liners(inputs, run), DRAIN: rarity_of_groups(material.groups[past])}


def facts_of(materials: Materials) -> dict[str, Any]:
    """Returns system → the size of its judged run."""
    return {
        system: {
            "lines": len(material.run.times),
            "evidence": int(material.run.evidence.sum()),
            "faults": material.run.faults,
            "services": material.run.services,
            "fault_free_minutes": round(material.run.quiet_s / 60, 1),
        }
        for system, material in materials.items()
    }


def compared(materials: Materials, twins: Decisions, treesonly: Decisions, calibration: Calibration) -> dict[str, Any]:
    """Returns past → method → figures, and the curves beside them."""
    found: dict[str, Any] = {}
    for past in PASTS:
        answers = {
            system: all_answers(material, past, twins[system], treesonly.get(system), calibration)
            for system, material in materials.items()
        }
        methods = next(iter(answers.values()))
        found[past] = {
            method: method_figures(
                materials, past, {system: answers[system][method] for system in materials}, folded=True
            )
            for method in methods
        }
    return found


def method_figures(
    materials: Materials, past: str, answers: Mapping[str, Answers], *, folded: bool = True
) -> dict[str, Any]:
    """Returns the figures of one method over all systems."""
    rankings = rankings_of(materials, past, answers)
    ranked = {system: ranking_figures(materials[system].run, one.scores) for system, one in answers.items()}
    worst = min(ranked, key=lambda system: ranked[system]["ap"])
    bounds = {mark: bound_at(rankings, mark) for mark in MARKS}
    figures: dict[str, Any] = {
        name: float(np.mean([one[name] for one in ranked.values()])) for name in ("auroc", "ap", "window_ap")
    }
    figures |= {
        "worst_ap": ranked[worst]["ap"],
        "worst_system": worst,
        "ap_by_system": {system: one["ap"] for system, one in ranked.items()},
        "found_at": {str(int(mark)): sum(one.found(bound) for one in rankings) for mark, bound in bounds.items()},
        "per_service_day_at": {
            str(int(mark)): float(np.mean([one.per_service_day(bound) for one in rankings]))
            for mark, bound in bounds.items()
        },
        "found_unfolded_at": {str(int(mark)): found_at(rankings, mark, folded=False) for mark in MARKS},
        "curve": asdict(curve_of(rankings)),
    }
    alerts = {system: one.alerts for system, one in answers.items() if one.alerts is not None}
    if len(alerts) == len(materials):
        figures["at_threshold"] = summed({s: at_threshold(materials[s].run, alerts[s]) for s in materials})
    return figures


def incidents_compared(materials: JudgedSystems, twins: Decisions, calibration: Calibration) -> dict[str, Any]:
    """Returns past → method → the incidents of all systems, for the model and for the rule of one line.

    A third method is the model with every planned change announced.
    """
    threshold, found = log_odds(calibration.threshold), dict[str, Any]()
    for past in PASTS:
        incidents: dict[str, dict[str, IncidentFigures]] = {OURS: {}, ANNOUNCED: {}, RULE: {}}
        for system, material in materials.items():
            inputs, run = _inputs(material, past), material.run
            odds = with_rates(odds_of(inputs, twins[system], calibration), material.captures[past].kinds)
            ours = Answers(odds, within_budget(odds, threshold, silent_lines(inputs), run))
            for method, answers in ((OURS, ours), (RULE, one_liners(inputs, run)[RULE])):
                incidents[method][system] = incident_figures(run, answers, inputs)
            incidents[ANNOUNCED][system] = incident_figures(run, ours, inputs, announced=True)
        found[past] = {method: summed_incidents(each) for method, each in incidents.items()}
    return found


def kinds_compared(materials: JudgedSystems, twins: Decisions, calibration: Calibration) -> dict[str, Any]:
    """Returns past → kind → what its alerts find and disturb in all systems."""
    hours = sum(material.run.quiet_s for material in materials.values()) / 3600
    found: dict[str, Any] = {}
    for past in PASTS:
        by_system = {}
        for system, material in materials.items():
            inputs = _inputs(material, past)
            answers = by_model(inputs, twins[system], calibration, material.run)
            kinds = material.captures[past].kinds
            by_system[system] = kind_figures(
                material.run, answers, kinds, silent_lines(inputs), material.silences[past]
            )
        found[past] = summed_kinds(by_system, hours)
    return found


def rankings_of(materials: Materials, past: str, answers: Mapping[str, Answers]) -> list[Ranking]:
    """Returns the rankings of one method, system by system."""
    return [
        ranking_of(material.run, answers[system].scores, silent_lines(_inputs(material, past)))
        for system, material in materials.items()
    ]


def summed(results: Mapping[str, AlertFigures]) -> dict[str, Any]:
    """Returns what the alerts of all systems are worth."""
    every = list(results.values())
    by_service = [rate for one in every for rate in one.by_service]
    hours = sum(one.quiet_s for one in every) / 3600
    right = sum(one.episodes - one.false_episodes for one in every)
    return {
        "found": sum(one.found for one in every),
        "faults": sum(one.faults for one in every),
        "false_per_million": float(np.mean([1e6 * one.false_lines / one.normal for one in every])),
        "folded_per_million": float(np.mean([1e6 * one.false_episodes / one.normal for one in every])),
        "episodes": sum(one.episodes for one in every),
        "false_episodes": sum(one.false_episodes for one in every),
        "episode_precision": right / max(sum(one.episodes for one in every), 1),
        "per_service_day_median": float(np.median(by_service)),
        "per_service_day_mean": float(np.mean(by_service)),
        "services_without": sum(rate == 0 for rate in by_service),
        "services": len(by_service),
        "outside_plans_per_hour": sum(one.outside_plans for one in every) / hours,
        "outside_plans_worst_per_hour": max(3600 * one.outside_plans / one.quiet_s for one in every),
        "by_system": {
            system: {
                "found": one.found,
                "faults": one.faults,
                "false_per_million": 1e6 * one.false_lines / one.normal,
                "folded_per_million": 1e6 * one.false_episodes / one.normal,
            }
            for system, one in results.items()
        },
    }


def frozen_figures(
    materials: Materials, twins: Decisions, calibration: Calibration, budget: float = 100.0
) -> dict[str, Any]:
    """Returns what thresholds chosen on the other systems do, past by past, and over the three pasts together."""
    found: dict[str, Any] = {"budget_per_million": budget, "pasts": {}}
    rates: dict[str, list[float]] = {system: [] for system in materials}
    for past in PASTS:
        answers = {s: Answers(odds_of(_inputs(m, past), twins[s], calibration)) for s, m in materials.items()}
        results = frozen_elsewhere(rankings_of(materials, past, answers), budget)
        for system, one in zip(materials, results, strict=True):
            rates[system].append(one.per_million)
        found["pasts"][past] = {
            "found": sum(one.found for one in results),
            "per_million": float(np.mean([one.per_million for one in results])),
            **_factors({s: one.per_million for s, one in zip(materials, results, strict=True)}, budget),
        }
    found["together"] = _factors({system: float(np.mean(each)) for system, each in rates.items()}, budget)
    return found


def default_factors(figures: Mapping[str, Any]) -> dict[str, Any]:
    """Returns how the folded false alarms at the default threshold differ from those it was chosen for, by system."""
    rates: dict[str, list[float]] = {}
    for past in PASTS:
        for system, one in figures[past][NO_BUDGET]["at_threshold"]["by_system"].items():
            rates.setdefault(system, []).append(one["folded_per_million"])
    means = {system: float(np.mean(each)) for system, each in rates.items()}
    return {"budget_per_million": BUDGET_PER_MILLION, **_factors(means, BUDGET_PER_MILLION)}


def _factors(rates: Mapping[str, float], budget: float) -> dict[str, Any]:
    factors = {system: rate / budget for system, rate in rates.items()}
    return {
        "factors": factors,
        "at_most": sum(factor <= FACTOR for factor in factors.values()),
        "within": sum(1 / FACTOR <= factor <= FACTOR for factor in factors.values()),
        "systems": len(factors),
    }


def level_word_removed(materials: Materials, twins: Decisions, calibration: Calibration) -> dict[str, Any]:
    """Returns past → figures of the model on lines without a level word."""
    found = {}
    for name in WITHOUT_LEVEL:
        answers = {s: by_model(m.captures[name].inputs, twins[s], calibration, m.run) for s, m in materials.items()}
        found[name.partition(",")[0]] = method_figures(materials, name, answers)
    return found


def calibration_figures(materials: Materials, twins: Decisions, calibration: Calibration) -> dict[str, Any]:
    """Returns the calibration error of every system left out, over three pasts, and the table of reliability."""
    errors, probabilities, evidence, weights = {}, [], [], []
    for system, material in materials.items():
        counted = material.run.normal | material.run.evidence
        stated, seen = [], []
        for past in PASTS:
            odds = odds_of(_inputs(material, past), twins[system], calibration)
            stated.append(1 / (1 + np.exp(-odds[counted].clip(-60, 60))))
            seen.append(material.run.evidence[counted])
        errors[system] = calibration_error(np.concatenate(stated), np.concatenate(seen))
        probabilities += stated
        evidence += seen
        weights += [1 / int(counted.sum())] * len(PASTS)
    worst = max(errors, key=lambda system: errors[system])
    return {
        "ece": float(np.mean(list(errors.values()))),
        "worst": errors[worst],
        "worst_system": worst,
        "by_system": errors,
        "bins": [asdict(one) for one in reliability(probabilities, evidence, weights)],
    }


def ablation_figures(
    materials: Materials, decisions: Mapping[str, Decisions], twins: Decisions, calibration: Calibration
) -> dict[str, Any]:
    """Returns name → past → ranking figures: without each input, without the floor, and with a changed head.

    `decisions`: name → system → the last step trained without an input.
    """
    found: dict[str, Any] = {}
    for name, steps in decisions.items():
        found[name] = _by_past(
            materials, lambda m, past, s, steps=steps: odds_of(_inputs(m, past), steps[s], calibration)
        )
    bare = {system: replace(twin, floor=-np.inf) for system, twin in twins.items()}
    found["without the floor"] = _by_past(materials, lambda m, past, s: odds_of(_inputs(m, past), bare[s], calibration))
    for change in next(iter(materials.values())).captures[PASTS[0]].margins:
        found[f"head: {change}"] = _by_past(
            materials, lambda m, past, s, c=change: odds_of(_changed(m, past, c), twins[s], calibration)
        ) | {
            "head_alone": _by_past(
                materials, lambda m, past, s, c=change: odds_of(_changed(m, past, c), None, calibration)
            )
        }
    return found


def _by_past(materials: Materials, score: Any) -> dict[str, Any]:
    found = {}
    for past in PASTS:
        answers = {s: Answers(score(m, past, s)) for s, m in materials.items()}
        rankings = rankings_of(materials, past, answers)
        precision = [ranking_figures(materials[s].run, one.scores)["ap"] for s, one in answers.items()]
        found[past] = {
            "ap": float(np.mean(precision)),
            "worst_ap": min(precision),
            "found_at": {str(int(mark)): found_at(rankings, mark) for mark in (50.0, 100.0)},
        }
    return found


def _inputs(material: Judged, past: str) -> Any:
    return material.captures[past].inputs


def _changed(material: Material, past: str, change: str) -> Any:
    inputs = _inputs(material, past).copy()
    inputs[:, AT["margin"]] = material.captures[past].margins[change]
    return inputs


def rounded(values: Any) -> Any:
    """Returns the values with numbers of five significant places, so that the last bits of a machine do not show."""
    if isinstance(values, float):
        return float(f"{values:.5g}")
    if isinstance(values, Mapping):
        return {key: rounded(value) for key, value in values.items()}
    return [rounded(value) for value in values] if isinstance(values, (list, tuple)) else values
