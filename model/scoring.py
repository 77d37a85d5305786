"""Scores windows: the line table on the device, the gather by id, the head, the calibration.

One thread at a time scores. Another thread may store new rows meanwhile: no window that is being scored refers to them.
Knows nothing of services, offsets or alerts.

Legend: w windows · L window size · D head width · E encoder width
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

import numpy as np
import torch
from torch import Tensor

from logwarden.model.arrays import Floats, Ints
from logwarden.model.checkpoint import ModelCheckpoint
from logwarden.model.decision import COLUMNS, INPUTS, inputs_of
from logwarden.model.errors import DeviceUnavailable
from logwarden.model.evidence import line_vectors
from logwarden.model.head import LineRows
from logwarden.model.lines import PADDING, LineTable
from logwarden.model.mask_own import OwnRule
from logwarden.model.summary import SIGNS
from logwarden.model.verdicts import Scores
from logwarden.model.windowing import WindowBatch

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


class WindowScorer:
    """The model on a device, with a table of `rows` lines.

    `max_windows` are scored at a time; the number shrinks when the device runs out of memory.
    """

    def __init__(
        self, checkpoint: ModelCheckpoint, *, device: str = "auto", rows: int = 32_768, max_windows: int = 1024
    ) -> None:
        self.checkpoint = checkpoint
        self.device = pick_device(device)
        self._max_windows = max_windows
        self._classifier = checkpoint.classifier.to(self.device)
        checkpoint.encoder.to(self.device)
        width = checkpoint.classifier.config.hidden_size
        # Row 0 is padding and row 1 the overflow row. They stay zero, which is the embedding of no information.
        widths = (width, width, width, 2, SIGNS)
        self._table = LineRows(*(torch.zeros(rows, n, device=self.device) for n in widths))

    def line_table(self, masks: Sequence[OwnRule] = ()) -> LineTable:
        """Returns a new, empty table over the scorer's rows, which applies the user's masks.

        Only one may be in use: they share the rows.
        """
        return LineTable(len(self._table.query), self.encode, self.store, masks=masks)

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

    def score(self, batch: WindowBatch) -> Scores:
        """Scores w windows. When the GPU has no memory left, it goes on with smaller batches and then on the CPU."""
        return self._with_room(lambda: self._score(batch))

    def inputs(self, batch: WindowBatch) -> Floats:
        """Returns what the last step reads of w windows (w, F), see `logwarden.model.decision.INPUTS`."""
        return self._with_room(lambda: self._inputs(batch))

    @torch.inference_mode()
    def _inputs(self, batch: WindowBatch) -> Floats:
        parts = [np.zeros((0, len(INPUTS)), np.float32)]
        for part in self._parts(batch):
            logits, _, judged = self._head(part)
            parts.append(self._decision_inputs(part, logits.float().cpu().numpy(), judged))
        return np.concatenate(parts)

    @torch.inference_mode()
    def _score(self, batch: WindowBatch) -> Scores:
        logits, weights = [np.zeros((0, 2), np.float32)], [np.zeros((0, batch.size), np.float32)]
        for part in self._parts(batch):
            out, shares, judged = self._head(part)
            answer = out.float().cpu().numpy()
            if self.checkpoint.decision is not None:
                margins = self.checkpoint.decision.margins(self._decision_inputs(part, answer, judged))
                answer = np.stack([-margins / 2, margins / 2], axis=-1).astype(np.float32)
            logits.append(answer)
            weights.append(shares.float().cpu().numpy())
        joined = np.concatenate(logits)
        return Scores(joined, self.checkpoint.calibration.probability(joined), np.concatenate(weights))

    def _parts(self, batch: WindowBatch) -> Iterator[WindowBatch]:
        # 2,500 windows in parts of 1,024: [0, 1024), [1024, 2048), [2048, 2500)
        for start in range(0, len(batch), self._max_windows):
            yield batch.select(np.arange(start, min(start + self._max_windows, len(batch))))

    def _head(self, batch: WindowBatch) -> tuple[Tensor, Tensor, Ints]:
        """Returns the head's logits (w, 2), line weights (w, L), and the places of the judged lines (w,)."""
        ids = torch.from_numpy(batch.windows("id")).to(self.device)  # w, L
        # w, L, 3: the order is that of `logwarden.model.head.FAMILIARITY_WIDTH`
        familiarity = np.stack([batch.windows(name) for name in ("log_count", "log_age", "distance")], axis=-1)
        judged_place = _most_surprising_fresh(batch, familiarity)
        judged = torch.from_numpy(judged_place).to(self.device)  # w
        judged_ids = ids.gather(1, judged[:, None]).squeeze(1)  # w
        logits, shares, _ = self._classifier.score(
            self._table.query[judged_ids],  # w, D
            self._table.key[ids],  # w, L, D
            self._table.value[ids],  # w, L, D
            self._table.gates[ids],  # w, L, 2
            self._table.signs[ids],  # w, L, S
            torch.from_numpy(familiarity).to(self.device),
            ids != PADDING,
            judged,
        )
        return logits, shares, judged_place

    def _decision_inputs(self, batch: WindowBatch, logits: Floats, judged: Ints) -> Floats:
        # Windows of 32 that end at places 40 and 41 and are judged by columns 31 and 29: the lines at places 40 and 39.
        at = batch.ends - (batch.size - 1) + judged
        columns = {name: batch.columns[name][at] for name in COLUMNS}
        signs = self._table.signs[torch.from_numpy(batch.columns["id"][at]).to(self.device)].cpu().numpy()
        return inputs_of(columns, logits[:, 1].astype(np.float64) - logits[:, 0], signs > 0)

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


def _most_surprising_fresh(batch: WindowBatch, familiarity: Floats) -> Ints:
    """(w,) place of each window's judged line: the newest, or with a step the most surprising fresh one."""
    newest = np.full(len(batch), batch.size - 1)
    if not len(batch) or batch.fresh.max() == 1:
        return newest
    # Window size 4, of which 3 lines are fresh:
    #   surprise                9 2 5 5
    #   without the old line    - 2 5 5
    #   reversed                5 5 2 -     the greatest is first at 0
    #   place                   4 - 1 - 0 = 3
    surprise = familiarity[:, :, 1] - familiarity[:, :, 0]  # w, L
    old = np.arange(batch.size) < (batch.size - batch.fresh)[:, None]
    surprise[old] = -np.inf
    # Reversed, so that of two equally surprising lines the later one is judged.
    return np.asarray(batch.size - 1 - surprise[:, ::-1].argmax(axis=1))
