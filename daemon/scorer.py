"""Loads the model for the daemon and scores on it. The only file of the daemon that imports torch."""

from __future__ import annotations

import os
import warnings
from pathlib import Path

import numpy as np
import structlog
import torch
from logwarden.daemon.config import Settings
from logwarden.daemon.errors import ConfigurationError
from logwarden.model.checkpoint import load_checkpoint
from logwarden.model.errors import ModelError
from logwarden.model.scoring import WindowScorer
from logwarden.model.stream import LineColumns, LogStream
from logwarden.model.verdicts import AlertPolicy

log = structlog.get_logger(__name__)

_SHOWN_CHARS = 100_000
"""Characters of raw text that an alert may contain in all. JSON needs at most six bytes for each of them, so the alert
stays below the broker's limit of 1 MiB."""


def load(settings: Settings) -> tuple[WindowScorer, LogStream, AlertPolicy]:
    """The scorer, warm, and the stream that fills its line table. ConfigurationError if the model cannot be had."""
    # One thread scores and one embeds; more threads inside each would fight over the same cores.
    torch.set_num_threads(1)
    warnings.filterwarnings("default", category=UserWarning, module=r"logwarden\.model")
    model = settings.model
    try:
        loaded = load_checkpoint(
            Path(model.path) if model.path else None,
            model.bert_path and str(model.bert_path),
            allow_download=model.allow_download,
        )
        scorer = WindowScorer(
            loaded, device=model.device, rows=model.table_rows, max_windows=settings.batch.max_windows
        )
    except ModelError as error:
        raise ConfigurationError(str(error), hint="see LOGWARDEN_MODEL__PATH and LOGWARDEN_MODEL__DEVICE") from error
    stream = LogStream(
        scorer.line_table(),
        size=settings.window.size,
        step=settings.window.step,
        max_slots=settings.limits.max_services,
        max_lines_per_slot=settings.limits.max_history_lines_per_service,
        shown_chars=min(settings.alerts.max_line_chars, _SHOWN_CHARS // settings.window.size),
    )
    policy = AlertPolicy(
        threshold=settings.alerts.threshold or loaded.calibration.threshold,
        learning_lines=settings.alerts.learning_lines,
        model_revision=loaded.revision,
    )
    _warm_up(scorer, stream)
    log.info(
        "model_loaded",
        device=str(scorer.device),
        revision=loaded.revision,
        threshold=policy.threshold,
        pid=os.getpid(),
    )
    return scorer, stream, policy


def _warm_up(scorer: WindowScorer, stream: LogStream) -> None:
    """Runs every kernel once, so that the first real line does not pay for it."""
    blank = LineColumns(
        texts=[b"*"],
        slots=np.zeros(1, np.int64),
        offset=np.zeros(1, np.int64),
        index=np.zeros(1, np.int32),
        timestamp=np.zeros(1, np.int64),
    )
    scorer.score(stream.peek(blank, [None]))
    stream.scored()
