"""Boosted trees as arrays: every row reaches the leaf that its answers lead to."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from logwarden.model.trees import LEAVES, QUESTIONS, BoostedTrees


def random_trees(seed: int, trees: int = 5, inputs: int = 4) -> BoostedTrees:
    chance = np.random.default_rng(seed)
    return BoostedTrees(
        chance.integers(0, inputs, (trees, QUESTIONS)),
        chance.normal(size=(trees, QUESTIONS)).astype(np.float32),
        chance.normal(size=(trees, LEAVES)).astype(np.float32),
        0.25,
    )


def walked(trees: BoostedTrees, row: np.ndarray) -> float:
    """The sum by the plain rule: from the root, right where the input is greater."""
    total = trees.start
    for inputs, bounds, leaves in zip(trees.inputs, trees.bounds, trees.leaves, strict=True):
        place = 0
        while place < QUESTIONS:
            place = 2 * place + (2 if row[inputs[place]] > bounds[place] else 1)
        total += float(leaves[place - QUESTIONS])
    return total


@given(st.integers(0, 1_000), st.integers(1, 40))
def test_sums_are_those_of_a_walk(seed: int, rows: int) -> None:
    """All questions at once lead to the same leaves as one after the other."""
    trees = random_trees(seed)
    inputs = np.random.default_rng(seed + 1).normal(size=(rows, 4)).astype(np.float32)
    np.testing.assert_allclose(trees.scores(inputs), [walked(trees, row) for row in inputs], atol=1e-5)


def test_arrays_of_another_form_are_no_trees() -> None:
    """A tree one level deeper is refused in one sentence."""
    with pytest.raises(ValueError, match="no trees of depth 3"):
        BoostedTrees(np.zeros((2, 15), np.int64), np.zeros((2, 15), np.float32), np.zeros((2, 16), np.float32), 0.0)
