"""Judges a whole run of lines, such as a test, a job or one block's life, by its strongest and its missing lines.

One strong line often does not separate a failed run from a good one: good runs have one odd line as well. So the eight
strongest lines add up, as lines that err independently: P(run) = 1 − Π (1 − P(line)), the noisy-or of Pearl,
"Probabilistic Reasoning in Intelligent Systems", 1988. Evidence is −log of the product. More lines than eight add
noise: a long run has many lines with a little of it.

A failed run also lacks lines: the machine that never reported its end. What a run lacks of the lines that most earlier
runs have is compared with what those lack of each other. Neither needs labels.

Legend: n lines · r runs · p earlier runs · k kinds of lines
"""

from __future__ import annotations

import numpy as np

from logwarden.model.arrays import Bools, Doubles, Ints

STRONGEST = 8
"""Lines of a run whose evidence adds up."""
RUNS_FOR_A_FENCE = 20
"""Earlier runs from which a fence, and what runs usually lack, can be read."""
FAR_OUT = 3.0
QUARTER = 0.25
"""Share of the earlier runs that may be anomalous themselves."""
LACK_LOG_ODDS = 9.0
"""What a run lacks is even odds of an anomaly where one earlier run in e⁹ lacks as much."""
_SILENT = 1e-12
"""Evidence of a run without any. Runs are compared by the logarithm, which needs a number above 0."""


def run_evidence(run: Ints, log_odds: Doubles, runs: int) -> Doubles:
    """Returns (runs,) the evidence of the strongest lines of each run: 0 for none, .69 for even odds of an anomaly.

    `run` (n,): number of each line's run. `log_odds` (n,): of an anomaly; -inf or NaN for a line that is not judged.
    """
    # -log(1 - p) is log(1 + e^x) of a line's log-odds x. Sorted by run and falling evidence, the place within the run
    # selects the strongest; with two lines in place of eight:
    #   run  [0, 1, 0, 0], log-odds [0, 0, 1, -9]
    #   order [2, 0, 3, 1], place within the run [0, 1, 2, 0]
    evidence = np.logaddexp(0.0, np.nan_to_num(log_odds, nan=-np.inf))
    order = np.lexsort((-evidence, run))
    owner = run[order].astype(np.int64)
    starts = np.searchsorted(owner, np.arange(runs))
    strongest = order[np.arange(len(order)) - starts[owner] < STRONGEST]
    return np.bincount(run[strongest], weights=evidence[strongest], minlength=runs).astype(np.float64)


def evidence_of(probability: Doubles) -> Doubles:
    """Returns (n,) the evidence of lines with these probabilities of an anomaly."""
    return np.asarray(-np.log1p(-np.minimum(probability, 1 - _SILENT)))


def lacks(present: Bools, past: Bools) -> tuple[Doubles, Doubles]:
    """Returns (r,) what runs lack of the kinds that most earlier runs have, and (p,) what each of those lacks.

    `present` (r, k) and `past` (p, k): kinds that a run has. The unit is log-odds: a kind that 19 of 20 runs have
    counts about 3 where it is missing. An earlier run is compared with the others.
    """
    counts = past.sum(axis=0)
    return _lack(present, counts, len(past)), _lack(past, counts - past, len(past) - 1)


def lack_evidence(lack: Doubles, past: Doubles) -> Doubles:
    """Returns (r,) the evidence of what runs lack, given what (p,) earlier runs lack.

    Above their upper quartile the share of runs that lack more is taken to fall as an exponential does.
    """
    bound = float(np.quantile(past, 1 - QUARTER))
    above = past[past > bound] - bound
    scale = max(float(above.mean()) if len(above) else 0.0, 1.0)
    rare = -np.log(QUARTER) + (lack - bound) / scale
    return np.asarray(np.logaddexp(0.0, rare - LACK_LOG_ODDS))


def fence(past: Doubles) -> float:
    """Returns the evidence above which a run lies far out of its past (p,), p ≥ 4.

    Tukey's outer fence on the logarithm, "Exploratory Data Analysis", 1977. Up to a quarter of the past may be
    anomalous itself, so it needs no labels.
    """
    logs = np.log(np.maximum(past, _SILENT))
    low, high = np.quantile(logs, [QUARTER, 1 - QUARTER])
    return float(np.exp(high + FAR_OUT * (high - low)))


def _lack(present: Bools, counts: Ints, runs: int) -> Doubles:
    """Returns (r,) the log-odds of the missing kinds. `counts` (k,) or (r, k): runs of `runs` that have each kind."""
    share = (counts + 0.5) / (runs + 1)
    odds = np.log(share / (1 - share))
    return np.asarray(np.where(~present & (share > 0.5), odds, 0.0).sum(axis=1))
