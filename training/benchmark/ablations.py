"""The twins again, each time without one input of the last step, by the recipe of the shipped trees.

Everything else stays: rows, weights, seeds, the floor, and the scale that the full recipe has. Changes of the head that
need no training keep the shipped twins, which read another margin then.

Legend: n lines · F inputs
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch

from logwarden.model.decision import INPUTS
from logwarden.model.trees import BoostedTrees
from logwarden.training.benchmark.cache import Arrays, Cache, stamp_of
from logwarden.training.benchmark.methods import AT
from logwarden.training.head import judging
from logwarden.training.head.judging import TrainingRows, grow

ALL = "all inputs"
DROPPED = (ALL, *INPUTS)
_FIELDS = ("inputs", "bounds", "leaves")


@dataclass(frozen=True, slots=True)
class TwinTask:
    """What a worker is given: the rows of every system, and the input that the trees do without."""

    rows: Mapping[str, TrainingRows]
    dropped: str
    cache: Path | None = None


def twins_without(task: TwinTask) -> dict[str, BoostedTrees]:
    """Returns system → trees over the other systems without an input, or takes them from the cache."""
    torch.set_num_threads(1)
    stamp = stamp_of([Path(judging.__file__), *(one.inputs.tobytes().hex() for one in task.rows.values())])
    stored = Cache(task.cache).arrays(f"twins-without-{task.dropped}", stamp, lambda: _grown(task))
    return {
        system: BoostedTrees(
            **{name: stored[f"{system}.{name}"] for name in _FIELDS}, start=float(stored[f"{system}.start"])
        )
        for system in task.rows
    }


def _grown(task: TwinTask) -> Arrays:
    rows = {system: without(one, task.dropped) for system, one in task.rows.items()}
    found: dict[str, np.ndarray] = {}
    for system in rows:
        trees = grow([one for name, one in rows.items() if name != system])
        found |= {f"{system}.{name}": getattr(trees, name) for name in _FIELDS}
        found[f"{system}.start"] = np.array(trees.start)
    return found


def without(rows: TrainingRows, dropped: str) -> TrainingRows:
    """Returns rows in which an input never varies, so that no tree can ask for it."""
    if dropped == ALL:
        return rows
    inputs = rows.inputs.copy()
    inputs[:, AT[dropped]] = 0.0
    return replace(rows, inputs=inputs)


def names(changes: Sequence[str]) -> list[str]:
    """Returns the rows of the table of ablations in their order."""
    return [ALL, *(f"without {name}" for name in INPUTS), "without the floor", *(f"head: {name}" for name in changes)]
