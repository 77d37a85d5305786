"""Names the kind of an anomaly: what about the line made it one.

Pure; the columns of a window are all that it reads.

Legend: w windows
"""

from __future__ import annotations

from collections.abc import Collection

import numpy as np

from logwarden.model.arrays import Bools, Doubles, Floats, Ints
from logwarden.model.rates import OF_LINE, OF_SILENCE
from logwarden.model.schema import AlertKind
from logwarden.model.windowing import WindowBatch

RATE_UP_PROBABILITY = 0.65
"""Least probability of a line with which a rate went up. It opens an incident, and is below `budget.STRICT`: a service
that has used up its budget raises no further alert by its rates."""


KINDS = tuple(AlertKind)
_NUMBER = {kind: number for number, kind in enumerate(KINDS)}


def kinds_of(batch: WindowBatch, wanted: Collection[AlertKind]) -> Ints:
    """Returns (w,) the number of each window's kind in `KINDS`. A rate that is not `wanted` is not looked at."""
    severe, rate, of = (_worst(batch, name) for name in ("severe", "rate", "rate_of"))
    failing, silent = (severe > 0) | (of != OF_LINE), of == OF_SILENCE
    known = np.where(severe > 0, _NUMBER[AlertKind.FAILURE_AGAIN], _NUMBER[AlertKind.RARE_LINE])
    kinds = np.where(_worst(batch, "log_count", np.minimum) > 0, known, _NUMBER[AlertKind.NEW_LINE])
    by_rate = {
        AlertKind.FAILURE_RATE_UP: (rate > 0) & failing & ~silent,
        AlertKind.RATE_UP: (rate > 0) & ~failing,
        AlertKind.SILENCE: silent,
    }
    for kind, places in by_rate.items():
        if kind in wanted:
            kinds[places] = _NUMBER[kind]
    return np.asarray(kinds)


def is_rate(kinds: Ints) -> Bools:
    """Returns (w,) True for the kinds that a rate makes."""
    return np.asarray((kinds == _NUMBER[AlertKind.FAILURE_RATE_UP]) | (kinds == _NUMBER[AlertKind.RATE_UP]))


def is_silence(kinds: Ints) -> Bools:
    """Returns (w,) True for silences."""
    return np.asarray(kinds == _NUMBER[AlertKind.SILENCE])


def states_failure(batch: WindowBatch, kinds: Ints) -> Bools:
    """Returns (w,) True for windows with a line that states a failure, and for kinds that are one without it."""
    without = [_NUMBER[AlertKind.FAILURE_RATE_UP], _NUMBER[AlertKind.SILENCE]]
    return np.asarray((_worst(batch, "severe") > 0) | np.isin(kinds, without))


def is_wanted(kinds: Ints, wanted: Collection[AlertKind]) -> Bools:
    """Returns (w,) True for the kinds among these."""
    return np.array([kind in wanted for kind in KINDS])[kinds]


def raised(probability: Doubles, kinds: Ints) -> Doubles:
    """Returns the probabilities (w,), at least `RATE_UP_PROBABILITY` where a rate went up or a service is silent."""
    return np.where(is_rate(kinds) | is_silence(kinds), np.maximum(probability, RATE_UP_PROBABILITY), probability)


def _worst(batch: WindowBatch, name: str, worse: np.ufunc = np.maximum) -> Floats:
    """(w,) the greatest value of a window's fresh lines, or the least; that of the newest line where none is fresh."""
    found = batch.newest(name)
    if len(batch) and batch.fresh.max() > 1:
        # One window after the other, each in one piece: fresh lines 3, 0 and 2, so the pieces begin at places 0 and 3.
        places, _ = batch.fresh_lines()
        some = batch.fresh > 0
        fresh = batch.fresh[some]
        found[some] = worse.reduceat(batch.columns[name][places], np.cumsum(fresh) - fresh)
    return np.asarray(found)
