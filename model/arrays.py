"""Names of the array types that several files of the model share, by the kind of their elements."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[np.int64]
"""Slots, offsets, stable hashes, counts, ages, rows: whatever indexes or counts."""
Ids = npt.NDArray[np.int32]
"""Line ids, half as wide as `Ints`: the rings keep one for every line of every window."""
Bools = npt.NDArray[np.bool_]
"""Masks."""
Floats = npt.NDArray[np.float32]
"""Embeddings, logits, familiarity: whatever the head reads or computes."""
Doubles = npt.NDArray[np.float64]
"""Probabilities."""
Bytes = npt.NDArray[np.uint8]
"""Characters of a blob of raw lines."""
Texts = npt.NDArray[np.object_]
"""Raw lines, each a `bytes`."""
Column = npt.NDArray[Any]
"""One value per line, of any type."""


def rank_among_equals(inverse: Ints) -> Ints:
    """Returns (n,) the number of equal elements before each element."""
    # inverse                    2 0 2 2 0
    #   order, ordered           1 4 0 2 3     0 0 2 2 2
    #   starts of equal runs     0 2
    #   place within the run     0 1 0 1 2
    #   back in input order      0 0 1 2 1
    order = np.argsort(inverse, kind="stable")
    ordered = inverse[order]
    starts = np.flatnonzero(np.r_[True, ordered[1:] != ordered[:-1]])
    rank = np.empty(len(inverse), np.int64)
    rank[order] = np.arange(len(inverse)) - np.repeat(starts, np.diff(np.r_[starts, len(inverse)]))
    return rank


def sums_before(groups: Ints, values: Column) -> Column:
    """Returns (n,) the sum of the values of earlier elements of the same group. Exact for whole and dyadic numbers."""
    # groups   0 1 0 0     values   1 5 2 7
    #   in groups          1 2 7 | 5
    #   running sums       1 3 10 | 15
    #   before each        0 1 3  | 10     of all groups
    #   before the group   0 0 0  | 10
    #   in input order     0 0 1 3
    order = np.argsort(groups, kind="stable")
    ordered = groups[order]
    before = np.cumsum(values[order]) - values[order]
    starts = np.flatnonzero(np.r_[True, ordered[1:] != ordered[:-1]])
    result = np.empty_like(before)
    result[order] = before - np.repeat(before[starts], np.diff(np.r_[starts, len(groups)]))
    return result


def running_max(values: Ints, is_first: Bools) -> Ints:
    """Returns (n,) the greatest value so far of each group, n ≥ 1; a group begins where `is_first`.

    Values are at least -1, and their greatest times the number of groups fits into 62 bits.
    """
    # values   3 1 | 7 2     begins at 0 and 2
    # lifted   3 1 | S+7 S+2, with S beyond every value, so that no group reaches into the next
    lift = (np.cumsum(is_first) - 1) * (int(values.max()) + 2)
    return np.asarray(np.maximum.accumulate(values + lift) - lift)
