"""Logits → probability of an anomaly, and the threshold that belongs to it. Pure numbers, fitted in training."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass

import numpy as np

from logwarden.model.arrays import Doubles, Floats


@dataclass(frozen=True, slots=True)
class Calibration:
    """Platt scaling of the margin logit(anomaly) − logit(normal): p = sigmoid(scale · margin + shift).

    Source: Platt, "Probabilistic outputs for support vector machines", 1999.
    """

    scale: float = 1.0
    shift: float = 0.0
    threshold: float = 0.5
    """Least probability that raises an alert."""
    fitted_on: str = ""
    """Description of the data behind the three numbers, for people."""

    def __post_init__(self) -> None:
        if not 0 < self.scale < math.inf:
            raise ValueError(f"a calibration's scale must be above 0, to keep the order of scores, not {self.scale}")
        if not math.isfinite(self.shift):
            raise ValueError(f"a calibration's shift must be a finite number, not {self.shift}")
        if not 0 < self.threshold <= 1:
            raise ValueError(f"a calibration's threshold must be above 0 and at most 1, not {self.threshold}")

    def probability(self, logits: Floats) -> Doubles:
        """Returns (n,) probabilities of an anomaly for (n, 2) logits."""
        # The clip keeps exp within float64; at ±60 the probability is 0 or 1 to 26 digits.
        margin = (logits[:, 1] - logits[:, 0]).astype(np.float64)
        return np.asarray(1.0 / (1.0 + np.exp(-np.clip(self.scale * margin + self.shift, -60.0, 60.0))))

    def to_json(self) -> dict[str, object]:
        """Returns plain values for `calibration.json`."""
        return asdict(self)

    @classmethod
    def from_json(cls, values: Mapping[str, object]) -> Calibration:
        """Reads the values of `to_json`. Raises ValueError for unknown keys, which would silently have no effect."""
        if not isinstance(values, Mapping):
            raise ValueError(f"a calibration must be an object of named values, not a {type(values).__name__}")
        unknown = set(values) - set(cls.__dataclass_fields__)
        if unknown:
            raise ValueError(f"the calibration contains unknown values: {', '.join(sorted(unknown))}")
        return cls(
            scale=float(str(values.get("scale", 1.0))),
            shift=float(str(values.get("shift", 0.0))),
            threshold=float(str(values.get("threshold", 0.5))),
            fitted_on=str(values.get("fitted_on", "")),
        )
