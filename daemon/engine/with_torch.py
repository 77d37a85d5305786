"""Loads a model on PyTorch. The only file of the daemon that imports torch."""

from __future__ import annotations

from pathlib import Path

import torch

from logwarden.daemon.settings.groups import ModelSettings
from logwarden.model.calibration import Calibration
from logwarden.model.checkpoint import load_checkpoint
from logwarden.model.scorer import TableScorer
from logwarden.model.scoring import WindowScorer


def load(model: ModelSettings, max_windows: int) -> tuple[TableScorer, Calibration, str, str]:
    """Returns the scorer, the calibration, the revision and the name of the device. Raises ModelError."""
    # One thread scores and one embeds; more threads inside each would compete for the same cores.
    torch.set_num_threads(1)
    loaded = load_checkpoint(
        Path(model.path) if model.path else None,
        model.bert_path and str(model.bert_path),
        allow_download=model.allow_download,
    )
    scorer = WindowScorer(loaded, device=model.device, rows=model.table_rows, max_windows=max_windows)
    return scorer, loaded.calibration, loaded.revision, str(scorer.device)


def sees_gpu() -> bool:
    """Returns True if PyTorch can compute on a GPU here."""
    return torch.cuda.is_available()
