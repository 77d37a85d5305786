"""Boosted trees as arrays: the sum of the leaves that a row of inputs reaches. Needs no library to run.

Each tree is complete and three questions deep. A tree that was grown less deep repeats a leaf below a question that
always has the same answer.

Legend: n rows · F inputs · T trees
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from logwarden.model.arrays import Doubles, Floats, Ints

DEPTH = 3
QUESTIONS = 2**DEPTH - 1
LEAVES = 2**DEPTH


@dataclass(frozen=True, slots=True, eq=False)
class BoostedTrees:
    """T trees over F inputs."""

    inputs: Ints
    """(T, 7) input of each question: the root, the two below it, the four below these."""
    bounds: Floats
    """(T, 7) a row goes to the right where its input is greater."""
    leaves: Floats
    """(T, 8) values, from left to right."""
    start: float
    """What the leaves are added to."""

    def __post_init__(self) -> None:
        trees = len(self.inputs)
        shapes = (self.inputs.shape, self.bounds.shape, self.leaves.shape)
        if shapes != ((trees, QUESTIONS), (trees, QUESTIONS), (trees, LEAVES)):
            raise ValueError(f"arrays of shapes {shapes} are no trees of depth {DEPTH}")

    def scores(self, rows: Floats) -> Doubles:
        """Returns (n,) the sums for rows (n, F)."""
        # All seven questions of all trees are asked at once, which is faster than to follow a path: r[q] is (T, n).
        #            0              went right at 0, then left at 2 and right at 5:
        #        1       2            leaf 4 · 1 + 2 · 0 + 1 = 5
        #      3   4   5   6
        #     01   23  45   67
        columns = np.ascontiguousarray(rows.T, np.float32)
        r = [columns[self.inputs[:, q]] > self.bounds[:, q, None] for q in range(QUESTIONS)]
        second = np.where(r[0], r[2], r[1])
        third = np.where(r[0], np.where(r[2], r[6], r[5]), np.where(r[1], r[4], r[3]))
        leaf = 4 * r[0].astype(np.int32) + 2 * second + third
        values = self.leaves.ravel()[leaf + LEAVES * np.arange(len(self.leaves))[:, None]]
        return np.asarray(self.start + values.sum(axis=0, dtype=np.float64))
