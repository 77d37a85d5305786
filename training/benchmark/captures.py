"""The lines of a fault-lab run as the last step of a model reads them, after different pasts.

A capture costs minutes, and everything that is measured of a model on the fault lab is computed from captures in
seconds. Each is kept in the cache under a fingerprint of the code, the head and the recording that it came from.

Legend: n lines of the judged run · F inputs · w windows
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from logwarden.model.arrays import Doubles, Floats, Ints
from logwarden.model.checkpoint import ModelCheckpoint
from logwarden.model.head import WindowHead
from logwarden.model.kinds import KINDS, kinds_of
from logwarden.model.scoring import WindowScorer
from logwarden.training.benchmark.methods import AT
from logwarden.training.evaluation.replay import without_level
from logwarden.training.faultlab.release import LabelledRun
from logwarden.training.head.judging import PastViews

TABLE_ROWS = 60_000


class RememberingScorer(WindowScorer):
    """A scorer that embeds every text once, however many streams it serves one after the other."""

    def __init__(self, model: ModelCheckpoint) -> None:
        super().__init__(model, device="cpu", rows=TABLE_ROWS)
        self._known: dict[str, Floats] = {}

    def encode(self, texts: Sequence[str]) -> Floats:
        """Returns the embeddings (n, E) of canonical texts."""
        new = [text for text in dict.fromkeys(texts) if text not in self._known]
        if new:
            self._known.update(zip(new, super().encode(new), strict=True))
        return np.stack([self._known[text] for text in texts])


@dataclass(frozen=True, slots=True)
class Capture:
    """The judged run's n lines in stream order."""

    inputs: Floats
    """(n, F)"""
    kinds: Ints
    """(n,) places in `logwarden.model.kinds.KINDS`."""
    margins: Mapping[str, Doubles]
    """Change of the head → its margins (n,) under that change."""


HEAD_CHANGES = ("one expert", "all experts", "experts without a gate", "attention to every line alike", "no mixture")
"""Changes of the trained head that need no training."""


def capture(views: PastViews, judged: int, past: str, changes: Sequence[str] = ()) -> Capture:
    """Streams a past and the judged run, and reads what the last step reads, under each of `changes` as well."""
    rows, kinds, offsets = [], [], []
    margins: dict[str, list[Doubles]] = {change: [] for change in changes}
    head = views.scorer.checkpoint.classifier
    for windows in views.windows(judged, past):
        offsets.append(windows.newest("offset"))
        rows.append(views.scorer.inputs(windows))
        kinds.append(kinds_of(windows, KINDS))
        for change in changes:
            with changed(head, change):
                margins[change].append(views.scorer.inputs(windows)[:, AT["margin"]].astype(np.float64))
    # A part is grouped by service; the sort of the offsets brings all lines into stream order.
    order = np.argsort(np.concatenate(offsets), kind="stable")
    return Capture(
        np.concatenate(rows)[order],
        np.concatenate(kinds)[order],
        {change: np.concatenate(parts)[order] for change, parts in margins.items()},
    )


@contextmanager
def changed(head: WindowHead, change: str) -> Iterator[None]:
    """Makes one of `HEAD_CHANGES` for as long as the context lasts."""
    mixture, attend = head.mixture, head._attend
    kept, router, limit = mixture.top_p, mixture.router.weight.detach().clone(), head.max_mixture_logit
    heads = head.config.attention_heads

    def attend_alike(query: Tensor, key: Tensor, surprise: Tensor, mask: Tensor, judged: Tensor) -> Tensor:
        share = mask.float() / mask.sum(dim=1, keepdim=True).clamp_min(1)  # B, L
        return share[:, None].expand(-1, heads, -1)

    if change == "one expert":
        mixture.top_p = 0.0
    elif change == "all experts":
        mixture.top_p = 1.0
    elif change == "experts without a gate":  # a router of zeros gives every expert the same share
        mixture.top_p = 1.0
        mixture.router.weight.copy_(torch.zeros_like(router))
    elif change == "attention to every line alike":
        head._attend = attend_alike  # type: ignore[method-assign]
    elif change == "no mixture":
        head.max_mixture_logit = 1e-6
    else:
        raise ValueError(f"there is no change of the head called {change!r}")
    try:
        yield
    finally:
        mixture.top_p, head.max_mixture_logit = kept, limit
        mixture.router.weight.copy_(router)
        head._attend = attend  # type: ignore[method-assign]


def without_levels(runs: Sequence[LabelledRun]) -> list[LabelledRun]:
    """Returns runs whose lines have lost the first word that states a severity; labels stay."""
    found = []
    for run in runs:
        texts = without_level([line.text for line in run.recording.lines])
        lines = tuple(replace(line, text=text) for line, text in zip(run.recording.lines, texts, strict=True))
        found.append(replace(run, recording=replace(run.recording, lines=lines)))
    return found
