"""The last step of a score: a small monotone judge over the head's answer and the service's past.

The head weighs the words of 32 lines; the history knows what is usual here. The judge takes both for the line that is
judged: more surprise, a severer line or a higher score of the head never lower its answer, and fewer repetitions never
do. Beyond the range that it was trained on, its answer stays the same. A service of less than 200 lines has no
history to ask, and is judged by the head alone.

Below the judge lies a floor, the one rule that is hard to beat: a failure that neither this service nor a sibling has
ever stated in calm time raises an alert, however young or monotone the service is. What a fault repeats meanwhile, and
a lost connection to a peer that has announced its stop, are left to the trees.

Legend: w windows · F inputs
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from logwarden.model.arrays import Bools, Column, Doubles, Floats
from logwarden.model.trees import BoostedTrees

INPUTS: Mapping[str, int] = {
    "log_count": -1,
    "log_age": 0,
    "surprise": 1,
    "distance": 1,
    "margin": 1,
    "severe": 1,
    "warns": 0,
    "soothes": 0,
    "level_rarity": 1,
    "calm_log_count": -1,
    "calm_surprise": 1,
    "share_in_suspicion": 0,
    "suspicion": 0,
    "elsewhere": -1,
    "announced": -1,
    "excused": -1,
}
"""Inputs in their order: 1 where the answer never falls as the input rises, -1 where it never rises, 0 for either."""
COLUMNS = (
    "log_count",
    "log_age",
    "share_in_suspicion",
    "distance",
    "calm_log_count",
    "calm_log_age",
    "suspicion",
    "elsewhere",
    "level_rarity",
    "announced",
    "excused",
)
"""Columns of a window batch that `inputs_of` reads."""
HISTORY_LINES = 200
"""Lines of a service from which there is a history that the trees can ask."""
_HISTORY_BITS = float(np.log2(1 + HISTORY_LINES)) - 1e-4  # the age is a float32


@dataclass(frozen=True, slots=True, eq=False)
class Decision:
    """The judge of one model."""

    trees: BoostedTrees
    floor: float
    """Least margin of a failure never stated before, on the scale of the head's."""

    def margins(self, inputs: Floats) -> Doubles:
        """Returns (w,) the margins for inputs (w, F), on the scale of the head's. The head's own where it decides."""
        margins = inputs[:, _AT["margin"]].astype(np.float64)
        known = inputs[:, _AT["log_age"]] >= _HISTORY_BITS
        if known.any():
            scores, unheard = self.trees.scores(inputs[known]), is_unheard_failure(inputs[known])
            margins[known] = np.where(unheard, np.maximum(scores, self.floor), scores)
        return margins


def is_unheard_failure(inputs: Floats) -> Bools:
    """Returns (w,) True for a failure that neither the service nor its siblings stated in calm time before.

    One that the service repeats within half a minute of something severe is none, unless the head takes the window for
    an anomaly. A lost connection to a peer that has announced its stop is none either.
    """
    # A count of log2(1 + 1) is one occurrence in calm time; quarters are from suspicion.
    said = (inputs[:, _AT["calm_log_count"]] >= 1) | (inputs[:, _AT["elsewhere"]] >= 1)
    repeated = (inputs[:, _AT["log_count"]] > 0) & (inputs[:, _AT["suspicion"]] > 0) & (inputs[:, _AT["margin"]] <= 0)
    return np.asarray((inputs[:, _AT["severe"]] > 0) & ~said & ~repeated & (inputs[:, _AT["excused"]] <= 0))


def inputs_of(columns: Mapping[str, Column], margin: Doubles, signs: Bools) -> Floats:
    """Returns the inputs (w, F) of w judged lines.

    `columns` (w,) each: see `COLUMNS`. `margin` (w,): the head's. `signs` (w, 3): the line is severe, warns, soothes.
    """
    values = {
        **{name: columns[name] for name in COLUMNS},
        "surprise": (columns["log_age"] - columns["log_count"]).clip(0),
        "margin": margin,
        "severe": signs[:, 0],
        "warns": signs[:, 1],
        "soothes": signs[:, 2],
        "calm_surprise": (columns["calm_log_age"] - columns["calm_log_count"]).clip(0),
    }
    return np.stack([values[name] for name in INPUTS], axis=-1).astype(np.float32)


_AT = {name: place for place, name in enumerate(INPUTS)}
