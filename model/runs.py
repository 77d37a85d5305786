"""Judges a whole run of lines, such as a test, a job or one block's life, by adding over its distinct lines.

The strongest line of a run often does not separate a failed run from a good one: good runs have one odd line as well,
and failed runs have several. A run is anomalous if any of its kinds of lines is, so with lines that err independently
P(run) = 1 − Π (1 − P(kind)), the noisy-or of Pearl, "Probabilistic Reasoning in Intelligent Systems", 1988. Its
evidence is −log of the product, and a line that repeats a thousand times counts once.

Legend: n lines · r runs
"""

from __future__ import annotations

import numpy as np

from logwarden.model.arrays import Doubles, Ids, Ints

FAR_OUT = 3.0
_SILENT = 1e-12
"""Evidence of a run without any. Runs are compared by the logarithm, which needs a number above 0."""


def run_evidence(run: Ints, kind: Ids | Ints, log_odds: Doubles, runs: int) -> Doubles:
    """Returns (runs,) the evidence of each run: 0 for none, .69 for even odds that it is anomalous.

    `run` (n,): number of each line's run. `kind` (n,): its masked line, a small number. `log_odds` (n,): of an anomaly;
    -inf or NaN for a line that is not judged.
    """
    # A kind has the evidence of its worst line; -log(1 - p) is log(1 + e^x) of its log-odds x:
    #   run        [0, 0, 0, 1]   kind [5, 5, 7, 5]   log-odds [0, -9, 0, -9]
    #   evidence   run 0: .69 (kind 5) + .69 (kind 7), run 1: .0001
    evidence = np.logaddexp(0.0, np.nan_to_num(log_odds, nan=-np.inf))
    pairs, place = np.unique(np.stack([run.astype(np.int64), kind.astype(np.int64)]), axis=1, return_inverse=True)
    worst = np.zeros(pairs.shape[1])
    np.maximum.at(worst, place.ravel(), evidence)
    return np.bincount(pairs[0], weights=worst, minlength=runs).astype(np.float64)


def evidence_of(probability: Doubles) -> Doubles:
    """Returns (n,) the evidence of lines with these probabilities of an anomaly."""
    return np.asarray(-np.log1p(-np.minimum(probability, 1 - _SILENT)))


def fence(past: Doubles) -> float:
    """Returns the evidence above which a run lies far out of its past (r,), r ≥ 4.

    Tukey's outer fence on the logarithm, "Exploratory Data Analysis", 1977. Up to a quarter of the past may be
    anomalous itself, so it needs no labels.
    """
    logs = np.log(np.maximum(past, _SILENT))
    low, high = np.quantile(logs, [0.25, 0.75])
    return float(np.exp(high + FAR_OUT * (high - low)))
