"""Loads a model on ONNX Runtime, for the CPU. Imports no PyTorch."""

from __future__ import annotations

from pathlib import Path

from logwarden.daemon.settings.groups import ModelSettings
from logwarden.model.calibration import Calibration
from logwarden.model.onnx_scoring import OnnxScorer, load_onnx
from logwarden.model.scorer import TableScorer


def load(model: ModelSettings, max_windows: int) -> tuple[TableScorer, Calibration, str, str]:
    """Returns the scorer, the calibration, the revision and the name of the device. Raises ModelError."""
    loaded = load_onnx(
        Path(model.path) if model.path else None,
        model.bert_path and str(model.bert_path),
        allow_download=model.allow_download,
    )
    scorer = OnnxScorer(loaded, rows=model.table_rows, max_windows=max_windows)
    return scorer, loaded.calibration, loaded.revision, "cpu (ONNX Runtime)"
