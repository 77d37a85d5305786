"""Scores windows with ONNX Runtime on the CPU: the line table as arrays, the head as graphs. Imports no PyTorch.

Legend: n lines · w windows · D head width · H attention heads · S signs
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from logwarden.model import checkpoint, onnx_head
from logwarden.model.arrays import Bools, Column, Floats, Ints
from logwarden.model.calibration import Calibration
from logwarden.model.decision import Decision
from logwarden.model.evidence import line_vectors
from logwarden.model.head_shape import SIGN_COLUMNS, SIGNS, HeadShape
from logwarden.model.onnx_encoder import OnnxEncoder
from logwarden.model.scorer import TableScorer


@dataclass(frozen=True, slots=True)
class OnnxModel:
    """A loaded model: everything that scoring on ONNX Runtime needs."""

    shape: HeadShape
    head: Mapping[str, Column]
    """Weights of the head by name."""
    encoder: OnnxEncoder
    calibration: Calibration
    revision: str
    """That of `ModelCheckpoint`: the same files, the same name."""
    decision: Decision | None


def load_onnx(
    model_path: Path | None = None, bert_path: str | Path | None = None, *, allow_download: bool = False
) -> OnnxModel:
    """Loads what `load_checkpoint` loads, with the same errors; no judge of sessions."""
    directory = checkpoint.model_directory(model_path)
    shape = checkpoint.read_head_shape(directory)
    head = checkpoint.read_head_weights(directory)
    encoder = OnnxEncoder.from_directory(bert_path or directory / checkpoint.ENCODER, allow_download=allow_download)
    checkpoint.require_width(directory, bert_path, shape, encoder.width)
    return OnnxModel(
        shape,
        head,
        encoder,
        checkpoint.load_calibration(directory),
        checkpoint.revision_of(directory, encoder.fingerprint),
        checkpoint.decision_of(directory),
    )


class OnnxScorer(TableScorer):
    """The model on the CPU, with a table of `rows` lines."""

    device = "cpu"

    def __init__(self, model: OnnxModel, *, rows: int = 32_768, max_windows: int = 1024) -> None:
        super().__init__(model.calibration, model.decision, rows, max_windows)
        self.model = model
        self._project = onnx_head.projection(model.head, model.shape)
        self._scoring = onnx_head.scoring(model.head, model.shape)
        heads, width = model.shape.attention_heads, model.shape.hidden_size
        # Row 0 is padding and row 1 the overflow row. They stay zero, which is the embedding of no information.
        self._query, self._gates, self._sign = (np.zeros((rows, n), np.float32) for n in (width, 2, SIGNS))
        # Heads first, so that a gather by id lies in memory as the attention multiplies it.
        self._key, self._value = (np.zeros((heads, rows, width // heads), np.float32) for _ in range(2))

    def encode(self, texts: Sequence[str]) -> Floats:
        """Returns the embeddings (n, E) of canonical texts, each of length 1."""
        return self.model.encoder.encode(texts, batch_size=min(64, self._max_windows))

    def store(self, ids: Ints, embeddings: Floats, texts: Sequence[str]) -> None:
        """Computes what the head needs of new lines, and puts it into the table under their ids (n,)."""
        vectors = line_vectors(embeddings, texts, self.model.shape.evidence_width)
        query, key, value, gates = self._project.run(vectors=np.ascontiguousarray(vectors, np.float32))
        self._query[ids], self._gates[ids] = query, gates
        for table, rows in ((self._key, key), (self._value, value)):
            table[:, ids] = rows.reshape(len(ids), len(table), -1).swapaxes(0, 1)  # H, n, D/H
        if self.model.shape.evidence_width:
            evidence = vectors[:, self.model.shape.encoder_width :]
            self._sign[ids] = np.stack([evidence[:, places].max(axis=1) for places in SIGN_COLUMNS], axis=-1)

    def _compute(self, ids: Ints, familiarity: Floats, judged: Ints) -> tuple[Floats, Floats]:
        logits, weights = self._scoring.run(
            query=self._query,
            key=self._key,
            value=self._value,
            gates=self._gates,
            signs=self._sign,
            ids=np.ascontiguousarray(ids, np.int64),
            familiarity=np.ascontiguousarray(familiarity, np.float32),
            judged=judged.astype(np.int64)[:, None],
        )
        return logits, weights

    def _signs(self, ids: Ints) -> Bools:
        return np.asarray(self._sign[ids] > 0)
