"""Measures services that know little yet: young ones, and ones that have only ever logged lines of three kinds.

A young service of the fault lab knows its last 50, 200 or 1,000 fault-free lines before a fault, and nothing else.
False alarms of young services are those on the thousand lines after that many, in a run without any past. The lines of
the monotone service are made up, as no recorded service is that dull.

Legend: n lines
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from logwarden.model.arrays import Bools, Doubles, Floats, Ints
from logwarden.model.calibration import Calibration
from logwarden.model.checkpoint import ModelCheckpoint
from logwarden.model.decision import Decision
from logwarden.model.scoring import WindowScorer
from logwarden.model.stream import LineColumns, LogStream
from logwarden.training.benchmark.methods import AT, odds_of
from logwarden.training.benchmark.runs import JudgedRun
from logwarden.training.evaluation.replay import log_odds
from logwarden.training.faultlab.recording import RUN_GAP_S
from logwarden.training.head.judging import PastViews

AGES = (50, 200, 1000)
SPAN = 1000
"""Lines after an age on which false alarms are counted."""


@dataclass(frozen=True, slots=True)
class Young:
    """Services of one system that know `age` lines."""

    age: int
    found: int
    found_by_rule: int
    faults: int
    false_alarms: int
    false_alarms_by_rule: int
    normal: int


def young_services(
    views: PastViews, runs: Sequence[JudgedRun], judged: int, decision: Decision, calibration: Calibration
) -> list[Young]:
    """Returns the figures of one system at every age."""
    threshold, run = log_odds(calibration.threshold), runs[judged]
    newborn = [(views.inputs(number, "none")[0], one) for number, one in enumerate(runs)]
    results = []
    for age in AGES:
        found = rule = 0
        for fault in range(run.faults):
            inputs, places = _after_short_past(views, runs, judged, fault, age)
            alerts = (odds_of(inputs, decision, calibration) >= threshold) & knows(inputs, age)
            found += bool(alerts.any())
            rule += bool((run.keyword[places] & (inputs[:, AT["log_count"]] == 0) & knows(inputs, age)).any())
        normal = false = false_rule = 0
        for inputs, one in newborn:
            counted = one.normal & knows(inputs, age) & ~knows(inputs, age + SPAN)
            normal += int(counted.sum())
            false += int((counted & (odds_of(inputs, decision, calibration) >= threshold)).sum())
            false_rule += int((counted & one.keyword & (inputs[:, AT["log_count"]] == 0)).sum())
        results.append(Young(age, found, rule, run.faults, false, false_rule, normal))
    return results


def knows(inputs: Floats, lines: int) -> Bools:
    """Returns (n,) True where the service has logged at least that number of lines."""
    return np.asarray(inputs[:, AT["log_age"]] >= math.log2(1 + lines) - 1e-4)


def _after_short_past(
    views: PastViews, runs: Sequence[JudgedRun], judged: int, fault: int, age: int
) -> tuple[Floats, Ints]:
    """Inputs (n, F) and places (n,) of the lines in reach of a fault, after `age` fault-free lines of each service."""
    order = [*(number for number in range(len(runs)) if number != judged), judged]
    reached = np.flatnonzero(runs[judged].fault == fault)
    if not len(reached):
        return np.zeros((0, len(AT)), np.float32), reached
    begin = int(reached[0])
    known: dict[int, list[tuple[int, int]]] = {}
    for number in order:
        one = runs[number]
        before = np.flatnonzero(one.normal & (np.arange(len(one.times)) < (begin if number == judged else np.inf)))
        # Services have the same numbers in all runs only by name, so histories are kept by the views' numbers.
        for service in np.unique(views.runs[number].service).tolist():
            own = before[views.runs[number].service[before] == service]
            known.setdefault(service, []).extend((number, place) for place in own[-age:].tolist())
    chosen = [pair for pairs in known.values() for pair in pairs[-age:]]
    stream = LogStream(views.scorer.line_table(), max_slots=len(known), shown_chars=0)
    began = 0.0
    for number in order:
        places = np.array(sorted(place for of, place in chosen if of == number), np.int64)
        for _ in views.push(stream, views.runs[number], places, began):
            pass
        if number != judged:
            began += float(views.runs[number].t[-1]) + RUN_GAP_S
    until = int(reached[-1]) + 1
    parts = []
    for windows in views.push(stream, views.runs[judged], np.arange(begin, until), began):
        rows = views.scorer.inputs(windows)
        places = windows.newest("offset")
        kept = runs[judged].fault[places] == fault
        parts.append((rows[kept], places[kept]))
    inputs, places = (np.concatenate(columns) for columns in zip(*parts, strict=True))
    return inputs, places


# ---------------------------------------------------------------- monotone services

LENGTHS = (200, 1000, 5000)
_USUAL = (
    "INFO heartbeat sent to coordinator in {} ms",
    "INFO compacted segment {} of table ledger",
    "INFO 10.3.0.{} GET /status 200",
)
FAILURES = (
    "ERROR cannot write segment to disk: No space left on device",
    "FATAL out of memory while allocating 1073741824 bytes",
    "ERROR connection to coordinator refused, giving up after 5 attempts",
    "CRITICAL checksum mismatch in segment 88, data is corrupt",
    "ERROR unhandled exception in request handler: NullPointerException",
)
HARMLESS = (
    "INFO configuration reloaded from /etc/ledger.conf",
    "INFO user admin logged in from 10.3.0.9",
    "INFO started background job cleanup",
    "INFO finished background job cleanup in 812 ms",
    "INFO 10.3.0.7 GET /metrics 200",
    "INFO new table invoices created",
    "INFO cache resized to 512 entries",
    "INFO certificate renewed, valid for 90 days",
    "DEBUG 3 replicas are in sync",
    "INFO version 4.2.1 is available",
)
_BETWEEN = 60
"""Usual lines between two new ones, a second each, so that one does not speak for the next."""


@dataclass(frozen=True, slots=True)
class Monotone:
    """A service that has logged lines of three kinds only."""

    lines: int
    failures_found: int
    failures: int
    harmless_alerts: int
    harmless: int


def monotone_services(model: ModelCheckpoint) -> list[Monotone]:
    """Returns what the model answers to new lines of monotone services, whatever the learning phase."""
    scorer = WindowScorer(model, device="cpu", rows=1024)
    results = []
    for lines in LENGTHS:
        failures, harmless = (_alerts(scorer, lines, new) for new in (FAILURES, HARMLESS))
        results.append(Monotone(lines, failures, len(FAILURES), harmless, len(HARMLESS)))
    return results


def _alerts(scorer: WindowScorer, lines: int, new: Sequence[str]) -> int:
    texts = [_USUAL[number % len(_USUAL)].format(number % 97) for number in range(lines)]
    places = []
    for text in new:
        places.append(len(texts))
        texts += [text, *(_USUAL[number % len(_USUAL)].format(number % 89) for number in range(_BETWEEN))]
    count = len(texts)
    windows = LogStream(scorer.line_table(), max_slots=1).push(
        LineColumns(
            texts=[text.encode() for text in texts],
            slots=np.zeros(count, np.int64),
            offset=np.arange(count),
            index=np.zeros(count, np.int32),
            timestamp=1000 * np.arange(count),
        )
    )
    probability: Doubles = scorer.score(windows.select(np.array(places))).probability
    return int((probability >= scorer.checkpoint.calibration.threshold).sum())
