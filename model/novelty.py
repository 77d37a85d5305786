"""How surprising a line is: by its count and its service's age, and by how common new lines are in that service.

In most services a new line is rare. In some, such as a log of installed packages, every second line is new, and a new
one is no evidence. By Good and Turing's estimate the chance of a new line is the share of lines that were new so far. A
brake lowers the surprise to that chance, and begins where new lines are a tenth of all.

Pure; the history owns the counts.

Legend: n lines of a batch
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from logwarden.model.arrays import Bools, Floats, Ints, sums_before
from logwarden.model.calm import AGE_CAP_BITS, Calm
from logwarden.model.rates import RateUp

COMMON_FROM, COMMON = 0.1, 0.3
"""Share of new lines at which the brake begins, and from which it works in full."""

BRAKED_LINES = 64
"""Lines of a service from which the share of new ones is an estimate: of its first lines nearly all are new."""


@dataclass(frozen=True, slots=True)
class Familiarity:
    """Measures of n lines, each taken just before the line was counted."""

    log_count: Floats
    """(n,) log2(1 + earlier occurrences of this line in its slot)."""
    log_age: Floats
    """(n,) log2(1 + earlier lines of the slot), at most AGE_CAP_BITS."""
    share_in_suspicion: Floats
    """(n,) share of the line's occurrences that calm time does not count; -1 for a line never logged before."""
    rows: Ints
    """(n,) row of the pair, for `distances` and `set_distances`."""
    first: Ints
    """Places of the first occurrences of lines that are new to their slot, in stream order."""
    calm: Calm
    """What `logwarden.model.calm` measures of them."""
    rates: RateUp
    """What `logwarden.model.rates` measures of them."""


def familiarity_of(
    counts: Ints, ages: Ints, distinct: Ints, rows: Ints, first: Ints, calm: Calm, rates: RateUp
) -> Familiarity:
    """Returns the measures of n lines.

    All (n,), before each line was counted: its occurrences, the lines of its slot, and the distinct lines among these.
    """
    log_age = np.minimum(np.log2(ages + 1), AGE_CAP_BITS)
    log_count = np.log2(counts + 1)
    calm_count = np.exp2(calm.log_count.astype(np.float64)) - 1
    # Of a line never said before there is no share: -1 sets it apart.
    share_in_suspicion = np.where(counts > 0, 1 - calm_count / np.maximum(counts, 1), -1.0)
    braked = is_braked(distinct, ages)
    if braked.any():
        # 1,000 lines, 400 of them new at sight: the brake works in full, and a new line has
        #   share      .4     surprise log2(1 / .4) = 1.3 bits in place of log2(1001) = 10
        share = (distinct + 1) / (ages + 2)
        weight = braked * ((share - COMMON_FROM) / (COMMON - COMMON_FROM)).clip(0.0, 1.0)
        least = weight * (log_age + np.log2(share)).clip(0.0)
        log_count = np.maximum(log_count, least)
        calm = calm._replace(log_count=np.maximum(calm.log_count, least).astype(np.float32))
    return Familiarity(
        log_count=log_count.astype(np.float32),
        log_age=log_age.astype(np.float32),
        share_in_suspicion=share_in_suspicion.astype(np.float32),
        rows=rows,
        first=first,
        calm=calm,
        rates=rates,
    )


def is_braked(distinct: Ints, ages: Ints) -> Bools:
    """Returns (n,) True where new lines are common enough for the brake."""
    return np.asarray((ages >= BRAKED_LINES) & (distinct + 1 > COMMON_FROM * (ages + 2)))


def is_common(distinct: Ints, ages: Ints) -> Bools:
    """Returns (n,) True where new lines are so common that the brake works in full."""
    return np.asarray(distinct + 1 >= COMMON * (ages + 2))


def distinct_before(distinct: Ints, slots: Ints, first: Ints) -> Ints:
    """Returns (n,) the distinct lines that each line's slot knew before it.

    `distinct` (n,): those known before the batch; `first`: places of the batch's new lines.
    """
    if not len(first):
        return distinct
    new = np.zeros(len(slots), np.int64)
    new[first] = 1
    return np.asarray(distinct + sums_before(slots, new))
