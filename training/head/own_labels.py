"""Trains on a user's own labels: reads them, adapts the last step of a model, compares, and writes a model directory.

Prints a table of both models on the part held out, and one sentence. A progress bar is drawn on a terminal only.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
from dataclasses import replace

import numpy as np
import numpy.typing as npt
import torch
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from logwarden.model.calibration import Calibration
from logwarden.model.checkpoint import (
    CALIBRATION,
    DECISION,
    SESSIONS,
    SHIPPED,
    ModelCheckpoint,
    load_checkpoint,
    save_decision,
    save_sessions,
)
from logwarden.model.decision import Decision
from logwarden.model.masking import canonical, mask_blob
from logwarden.model.sessions import SessionJudge, pairs_of, vectors_of
from logwarden.training.faultlab.release import RECORDINGS
from logwarden.training.head import comparison
from logwarden.training.head.adapting import FOLDS, adapt, unit_scores
from logwarden.training.head.labelled import (
    ANOMALOUS,
    NORMAL,
    LabelledStream,
    held_out_from,
    read_lines,
    read_sessions,
    refuse_too_few,
    warning_of,
)
from logwarden.training.head.line_inputs import measure, recorded_twice
from logwarden.training.head.sessions import train_sessions

Bools = npt.NDArray[np.bool_]
Doubles = npt.NDArray[np.float64]

EVEN_ODDS = 0.5
"""Threshold of the judge of whole sessions."""
REHEARSED = RECORDINGS / "demo"
"""The recording on which a new model must answer as the old one does. It is in every installation."""
_STEP = 4_000
"""Lines that a fit of trees is as long as, in the progress bar."""


def train(options: argparse.Namespace) -> bool:
    """Runs the whole way. Returns False if the new model is not better, and therefore was not written."""
    notes = Console(stderr=True, highlight=False)
    torch.set_num_threads(options.threads)
    stream = read_lines(options.lines) if options.lines is not None else read_sessions(options.sessions)
    refuse_too_few(stream)
    if (sentence := warning_of(stream)) is not None:
        notes.print(f"warning: {sentence}", soft_wrap=True)
    model = load_checkpoint(options.model)
    learned = np.arange(len(stream.labels)) < held_out_from(stream)
    judge = _session_judge(model, stream, learned) if stream.sessions else None
    decision, old_scores, new_scores = _adapted(model, stream, learned, notes)
    name, threshold = "shipped" if options.model is None else "old", model.calibration.threshold
    old, new = (comparison.figures_of(stream, ~learned, scores, threshold) for scores in (old_scores, new_scores))
    out = Console(highlight=False, width=None if sys.stdout.isatty() else 120)
    out.print(comparison.table_of(new, old, name, stream, threshold))
    out.print(comparison.verdict_of(new, old, name), soft_wrap=True)
    whole = None
    if judge is not None:
        whole = comparison.figures_of(stream, ~learned, judge[1], EVEN_ODDS)
        out.print(comparison.verdict_of_sessions(whole), soft_wrap=True)
    finds = whole is not None and comparison.is_better(whole, old)
    if not comparison.is_better(new, old) and not finds and not options.force:
        out.print(
            f"The {name} model is kept and nothing was written; --force writes yours all the same.", soft_wrap=True
        )
        return False
    kept = decision if comparison.is_better(new, old) or options.force or model.decision is None else model.decision
    _write(kept, model.calibration, options, stream, learned)
    if judge is not None and (finds or options.force):
        save_sessions(options.out / SESSIONS, judge[0])
    out.print(f"Yours is in {options.out}; use it with LOGWARDEN_MODEL__PATH={options.out}", soft_wrap=True)
    return True


def _adapted(
    model: ModelCheckpoint, stream: LabelledStream, learned: Bools, notes: Console
) -> tuple[Decision, Doubles, Doubles]:
    """Returns the new last step, and the scores (u,) of all units by the old one and by the new one."""
    if model.decision is None:
        raise ValueError("this model has no trees to start from; leave --model out to start from the shipped one")
    rehearsed = recorded_twice(REHEARSED)
    total = len(stream.texts) + len(rehearsed.texts) + (FOLDS + 1) * _STEP
    bar = (
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.percentage:>3.0f} %"),
        TimeRemainingColumn(),
    )
    with Progress(*bar, console=notes, transient=True, disable=not notes.is_terminal) as progress:
        task = progress.add_task("reading", total=total)
        measured = measure(model, stream, lambda lines: progress.advance(task, lines))
        others = measure(model, rehearsed, lambda lines: progress.advance(task, lines))
        progress.update(task, description="learning")
        decision = adapt(
            model.decision,
            model.calibration,
            stream,
            measured,
            learned,
            others.inputs,
            lambda: progress.advance(task, _STEP),
        )
    old, new = (unit_scores(one, model.calibration, stream, measured) for one in (model.decision, decision))
    return decision, old, new


def _session_judge(model: ModelCheckpoint, stream: LabelledStream, learned: Bools) -> tuple[SessionJudge, Doubles]:
    """Returns the judge of whole sessions, trained on the chosen units (u,), and its log-odds (u,) of all units."""
    masked = np.array([canonical(key) for key in mask_blob(b"\n".join(stream.texts) + b"\n")], object)
    texts, kinds = np.unique(masked, return_inverse=True)
    vectors, pairs = vectors_of(model.encoder, texts.tolist()), pairs_of(stream.unit, kinds, len(stream.labels))
    judge = train_sessions(vectors, pairs, stream.labels == ANOMALOUS, learned, seed=0)
    return judge, judge.log_odds(vectors, pairs)


def _write(
    decision: Decision, calibration: Calibration, options: argparse.Namespace, stream: LabelledStream, learned: Bools
) -> None:
    """Writes a whole model directory: the old one with the new last step."""
    shutil.copytree(options.model or SHIPPED, options.out, dirs_exist_ok=True)
    save_decision(options.out / DECISION, decision)
    anomalous, normal = (int((stream.labels[learned] == label).sum()) for label in (ANOMALOUS, NORMAL))
    source = f"{calibration.fitted_on}; trees adapted to {anomalous} anomalous and {normal} normal {stream.name}"
    values = replace(calibration, fitted_on=source).to_json()
    (options.out / CALIBRATION).write_text(json.dumps(values, indent=2) + "\n", encoding="utf-8")
