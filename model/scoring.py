"""Scores windows with PyTorch: the line table on the device, the gather by id, the head.

Legend: w windows · L window size · D head width · E encoder width · S signs
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from typing import TypeVar

import numpy as np
import torch

from logwarden.model.arrays import Bools, Floats, Ints
from logwarden.model.checkpoint import ModelCheckpoint
from logwarden.model.errors import DeviceUnavailable
from logwarden.model.evidence import line_vectors
from logwarden.model.head import LineRows
from logwarden.model.head_shape import SIGNS
from logwarden.model.lines import PADDING
from logwarden.model.scorer import TableScorer

T = TypeVar("T")


def pick_device(wanted: str) -> torch.device:
    """Returns the device of that name; `auto` is CUDA where there is one. Raises DeviceUnavailable for any other."""
    if wanted == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(wanted)
    except RuntimeError:
        raise DeviceUnavailable(f"{wanted!r} is not a device; use auto, cpu, cuda or cuda:N") from None
    if device.type == "cuda" and not torch.cuda.is_available():
        raise DeviceUnavailable(f"the device {wanted} is configured, but PyTorch sees no GPU here; use auto or cpu")
    try:
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError, NotImplementedError) as error:  # a GPU's number too high, no such backend
        reason = str(error).splitlines()[0]
        raise DeviceUnavailable(f"the device {wanted} cannot be used: {reason}; use auto or cpu") from error
    return device


class WindowScorer(TableScorer):
    """The model on a device, with a table of `rows` lines.

    `max_windows` are scored at a time. The number shrinks when the GPU runs out of memory, and then the CPU goes on.
    """

    def __init__(
        self, checkpoint: ModelCheckpoint, *, device: str = "auto", rows: int = 32_768, max_windows: int = 1024
    ) -> None:
        super().__init__(checkpoint.calibration, checkpoint.decision, rows, max_windows)
        self.checkpoint = checkpoint
        self.device = pick_device(device)
        self._classifier = checkpoint.classifier.to(self.device)
        checkpoint.encoder.to(self.device)
        width = checkpoint.classifier.config.hidden_size
        # Row 0 is padding and row 1 the overflow row. They stay zero, which is the embedding of no information.
        widths = (width, width, width, 2, SIGNS)
        self._table = LineRows(*(torch.zeros(rows, n, device=self.device) for n in widths))

    def encode(self, texts: Sequence[str]) -> Floats:
        """Returns the embeddings (n, E) of canonical texts, each of length 1, on the host."""
        return self._with_room(lambda: self._encode(texts))

    @torch.inference_mode()
    def _encode(self, texts: Sequence[str]) -> Floats:
        vectors = self.checkpoint.encoder.encode(texts, batch_size=min(64, self._max_windows))
        return np.asarray(vectors.float().cpu().numpy())

    @torch.inference_mode()
    def store(self, ids: Ints, embeddings: Floats, texts: Sequence[str]) -> None:
        """Computes what the head needs of new lines, and puts it into the table under their ids (n,)."""
        # (n, E) and the texts' evidence (n, V) → query, key and value (n, D), two gates (n, 2), signs (n, S)
        vectors = line_vectors(embeddings, texts, self._classifier.config.evidence_width)
        rows = self._classifier.project(torch.from_numpy(vectors).to(self.device))
        at = torch.from_numpy(ids).to(self.device)
        for table, values in zip(self._table, rows, strict=True):
            table[at] = values

    @torch.inference_mode()
    def _compute(self, ids: Ints, familiarity: Floats, judged: Ints) -> tuple[Floats, Floats]:
        rows = torch.from_numpy(ids).to(self.device)  # w, L
        place = torch.from_numpy(judged).to(self.device)  # w
        judged_rows = rows.gather(1, place[:, None]).squeeze(1)  # w
        logits, shares, _ = self._classifier.score(
            self._table.query[judged_rows],  # w, D
            self._table.key[rows],  # w, L, D
            self._table.value[rows],  # w, L, D
            self._table.gates[rows],  # w, L, 2
            self._table.signs[rows],  # w, L, S
            torch.from_numpy(familiarity).to(self.device),
            rows != PADDING,
            place,
        )
        return logits.float().cpu().numpy(), shares.float().cpu().numpy()

    def _signs(self, ids: Ints) -> Bools:
        signs = self._table.signs[torch.from_numpy(ids).to(self.device)].cpu().numpy()
        return np.asarray(signs > 0)

    def _with_room(self, compute: Callable[[], T]) -> T:
        """Computes, and again with less memory for as long as the device has none left."""
        while True:
            try:
                return compute()
            except torch.OutOfMemoryError:
                if self.device.type == "cpu":
                    raise  # the CPU is the last resort
            # Outside the `except` block, where the error no longer keeps the tensors of its frames alive.
            self._make_room()

    def _make_room(self) -> None:
        if self._max_windows > 1:
            self._max_windows = max(1, self._max_windows // 2)
            torch.cuda.empty_cache()
            return
        self.device = torch.device("cpu")
        self._max_windows = 256
        self._classifier = self._classifier.to(self.device)
        self.checkpoint.encoder.to(self.device)
        self._table = LineRows(*(table.cpu() for table in self._table))
        warnings.warn("the GPU is out of memory even for one window; scoring goes on on the CPU", stacklevel=2)
