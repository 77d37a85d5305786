"""Loads the model for the daemon and for `scan`. Imports PyTorch or ONNX Runtime, whichever is chosen."""

from __future__ import annotations

import math
import warnings

import numpy as np

from logwarden.daemon.engine.choice import chosen_engine
from logwarden.daemon.errors import ConfigurationError
from logwarden.daemon.ports import Engine
from logwarden.daemon.selecting import matcher
from logwarden.daemon.settings.fields import named_masks
from logwarden.daemon.settings.groups import AlertSettings, ModelSettings, Settings
from logwarden.daemon.settings.learning import need_of
from logwarden.model.calibration import Calibration
from logwarden.model.errors import ModelError
from logwarden.model.learning import LearningNeed, LearningRules
from logwarden.model.mask_own import compile_masks
from logwarden.model.scorer import TableScorer
from logwarden.model.stream import LineColumns, LogStream
from logwarden.model.verdicts import AlertPolicy


def load_engine(settings: Settings) -> Engine:
    """Returns the model that the settings name, warm. Raises ConfigurationError if it or its device cannot be used."""
    warnings.filterwarnings("default", category=UserWarning, module=r"logwarden\.model")
    try:
        scorer, calibration, revision, device = _load(settings.model, settings.batch.max_windows)
    except ModelError as error:
        raise ConfigurationError(str(error), hint="see LOGWARDEN_MODEL__PATH and LOGWARDEN_MODEL__DEVICE") from error
    policy = AlertPolicy(
        threshold=settings.alerts.threshold or calibration.threshold,
        learning_lines=settings.alerts.learning_lines,
        learning=learning_rules(settings.alerts),
        model_revision=revision,
        kinds=settings.alerts.kinds,
        budget_per_day=settings.alerts.budget_per_day if settings.alerts.threshold is None else 0,
    )
    masks = compile_masks(named_masks(settings.input.masks))
    engine = Engine(scorer=scorer, table=scorer.line_table(masks), policy=policy, device=device)
    _warm_up(engine, settings.window.size)
    return engine


def _load(model: ModelSettings, max_windows: int) -> tuple[TableScorer, Calibration, str, str]:
    if chosen_engine(model) == "onnx":
        from logwarden.daemon.engine import with_onnx

        return with_onnx.load(model, max_windows)
    from logwarden.daemon.engine import with_torch

    return with_torch.load(model, max_windows)


def learning_rules(settings: AlertSettings) -> LearningRules:
    """Returns how long each service learns."""
    days = math.inf if settings.learning_days is None else settings.learning_days
    common = LearningNeed(settings.learning_lines, days)
    special = []
    for pattern, _, text in (each.rpartition("=") for each in settings.learning):
        lines, its_days = need_of(text)
        need = LearningNeed(common.lines if lines is None else lines, common.days if its_days is None else its_days)
        special.append((matcher([pattern]), need))
    return LearningRules(common, special)


def _warm_up(engine: Engine, window_size: int) -> None:
    """Runs every kernel once, so that the first real line does not pay for it."""
    stream = LogStream(engine.table, size=window_size, max_slots=1)
    blank = LineColumns(
        texts=[b"*"],
        slots=np.zeros(1, np.int64),
        offset=np.zeros(1, np.int64),
        index=np.zeros(1, np.int32),
        timestamp=np.zeros(1, np.int64),
    )
    engine.scorer.score(stream.peek(blank, [None]))
    stream.scored()
