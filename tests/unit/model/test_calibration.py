"""From logits to a probability: Platt's formula, and what a calibration may not be."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
from logwarden.model.calibration import Calibration


def test_the_probability_is_platts_formula() -> None:
    """p = sigmoid(scale · margin + shift), for each row by itself."""
    logits = np.array([[0.0, 0.0], [1.0, 3.0], [2.0, -1.0]], np.float32)
    expected = [1 / (1 + math.exp(-(2.0 * margin - 1.0))) for margin in (0.0, 2.0, -3.0)]
    np.testing.assert_allclose(Calibration(scale=2.0, shift=-1.0).probability(logits), expected)


def test_extreme_logits_stay_probabilities_and_keep_their_order() -> None:
    """No logit overflows; a warning here would be an error."""
    logits = np.array([[0.0, -1e30], [0.0, -5.0], [0.0, 5.0], [0.0, 1e30]], np.float32)
    found = Calibration().probability(logits)
    assert (np.diff(found) > 0).all()
    assert 0.0 <= found[0] <= found[-1] <= 1.0


def test_a_calibration_survives_its_file() -> None:
    """What was fitted is what is used, to the last digit; a value that is absent has its default."""
    fitted = Calibration(scale=0.1 + 0.2, shift=-1 / 3, threshold=0.9, fitted_on="validation of 2024")
    assert Calibration.from_json(json.loads(json.dumps(fitted.to_json()))) == fitted
    assert Calibration.from_json({}) == Calibration()


@pytest.mark.parametrize(
    "values",
    [
        {"scale": 0.0},
        {"scale": -1.0},
        {"scale": math.nan},
        {"scale": math.inf},
        {"shift": math.nan},
        {"shift": -math.inf},
        {"threshold": 0.0},
        {"threshold": 1.5},
        {"threshold": math.nan},
        {"scale": None},
        {"shift": "much"},
        {"treshold": 0.5},
        [],
        None,
        [["scale", 1.0]],
    ],
)
def test_numbers_that_cannot_be_meant_are_refused(values: object) -> None:
    """A calibration that would turn every score around, or into no number, is found when it is read."""
    with pytest.raises(ValueError, match=r"."):
        Calibration.from_json(values)  # type: ignore[arg-type]
