"""Trains a head with `transformers.Trainer` on windows of the recipe or of labelled sessions; writes a model directory.

The recipe (`logwarden.training.head.synthetic`) needs no labels and reads the streams of the data folder. The line
encoder is not trained here (`logwarden.training.encoder.distill`); its embeddings are computed once.
"""

from __future__ import annotations

import argparse
import json
import sys
import sysconfig
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from sklearn.linear_model import LogisticRegression
from transformers import EarlyStoppingCallback, Trainer, TrainerCallback, TrainingArguments, set_seed
from transformers.trainer_utils import get_last_checkpoint

from logwarden.model import evidence
from logwarden.model.calibration import Calibration
from logwarden.model.checkpoint import SHIPPED, save_checkpoint
from logwarden.model.classifier import LogWindowClassifier, LogWindowConfig
from logwarden.model.encoder import LineEncoder
from logwarden.training import corpora
from logwarden.training.encoder.source_messages import harvested_failures, log_statements
from logwarden.training.head.synthetic import SyntheticWindows
from logwarden.training.head.windows import LineTexts, WindowSet, sessions_to_windows
from logwarden.training.metrics import auroc, average_precision

HELD_OUT = ("Zookeeper_2k", "Linux_2k", "Spark_2k", "HPC_2k")
"""Streams of the validation: early stopping and calibration must not see the systems that are trained on."""
NEVER = ("HDFS",)
"""Systems that are in neither part, so that their figures are figures of transfer."""
THRESHOLD = 0.5
"""An anomaly is more likely than not, by the calibration on held-out systems. Fixed beforehand: a threshold chosen on
the fault-free time of some system would be tuned to that system."""
_MAX_STREAM_LINES = 12_000


def train(options: argparse.Namespace) -> Calibration:
    """Builds the windows, trains, calibrates and writes the model directory."""
    if find_spec("accelerate") is None:
        raise ValueError("a head is trained with libraries of the extra `train`; run pip install 'logwarden[train]'")
    torch.set_num_threads(options.threads)
    set_seed(options.seed)
    encoder = LineEncoder.from_directory(options.bert_path or SHIPPED / "encoder")
    texts = LineTexts(encoder)
    if options.sessions:
        split = _from_sessions(texts, options.sessions, options.seed)
    else:
        split = _from_recipe(texts, options.windows, options.seed, options.failures)
    config = LogWindowConfig(
        encoder_width=encoder.width, evidence_width=evidence.WIDTH, encoder_revision=encoder.fingerprint
    )
    classifier = LogWindowClassifier(config)
    print(f"{len(split.train):,} windows to train on, {len(split.held_out):,} held out; seed {options.seed}")
    trainer = _HeadTrainer(
        model=classifier,
        args=_training_arguments(options),
        train_dataset=split.train,
        eval_dataset=split.held_out,
        # Rows are only ever added to the table, so the longer one serves both sets.
        data_collator=max((split.train, split.held_out), key=lambda windows: len(windows.table)).collate,
        compute_metrics=_metrics,
        callbacks=[EarlyStoppingCallback(options.patience), _LogFile(options.logs / "train.jsonl")],
    )
    last = get_last_checkpoint(str(options.results)) if options.resume and options.results.is_dir() else None
    trainer.train(resume_from_checkpoint=last)
    calibration = _calibrate(trainer, split)
    save_checkpoint(options.out, classifier.to("cpu").eval(), encoder, calibration)
    print(f"held out: {json.dumps({k: round(v, 4) for k, v in trainer.evaluate().items() if 'runtime' not in k})}")
    print(f"calibration: {calibration}\nmodel written to {options.out}")
    return calibration


@dataclass(frozen=True, slots=True)
class TrainingSplit:
    """Windows to train on and windows to validate with; they share no system (recipe) or no session (own data)."""

    train: WindowSet
    held_out: WindowSet
    as_they_came: WindowSet
    """Unchanged held-out windows whose newest line names no failure; their alerts are reported as false alarms."""


class _HeadTrainer(Trainer):  # type: ignore[misc]
    """Logs the parts of the loss beside the total."""

    def compute_loss(
        self, model: Any, inputs: Mapping[str, Any], return_outputs: bool = False, num_items_in_batch: Any = None
    ) -> Any:
        out = model(**inputs)
        if model.training and self.state.global_step % max(1, self.args.logging_steps) == 0:
            experts = (out.gates > 0).float()
            self.log(
                {
                    "classification_loss": float(out.classification_loss),
                    "balance_loss": float(out.balance_loss),
                    "router_entropy": float(out.entropy_loss),
                    "active_experts": float(experts.sum(dim=-1).mean()),
                    "dead_experts": float((experts.sum(dim=0) == 0).sum()),
                }
            )
        return (out.loss, out) if return_outputs else out.loss


class _LogFile(TrainerCallback):  # type: ignore[misc]
    """Writes one JSON object per log event."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def on_log(self, args: Any, state: Any, control: Any, logs: Mapping[str, Any] | None = None, **_: Any) -> None:
        with self._path.open("a", encoding="utf-8") as out:
            out.write(json.dumps({"step": state.global_step, **(logs or {})}) + "\n")


def _from_recipe(texts: LineTexts, windows: int, seed: int, failures: Path | None = None) -> TrainingSplit:
    streams = _streams()
    # Messages of the installed packages and of the standard library: thousands of authors, and no download.
    library = Path(sysconfig.get_paths()["stdlib"])
    statements = log_statements([Path(sysconfig.get_paths()["purelib"]), library, library / "site-packages"])
    if failures is not None:
        statements += harvested_failures(failures, seed=seed)
    chance = np.random.default_rng(seed)
    statements = [statements[place] for place in chance.permutation(len(statements))]
    cut = len(statements) * 9 // 10
    seen = {name: lines for name, lines in streams.items() if name not in HELD_OUT}
    unseen = {name: lines for name, lines in streams.items() if name in HELD_OUT}
    train = SyntheticWindows(texts, seen, statements[:cut], seed=seed).draw(windows)
    source = SyntheticWindows(texts, unseen, statements[cut:], seed=seed + 1)
    held_out = source.draw(max(200, windows // 10))
    return TrainingSplit(train, held_out, source.as_they_came())


def _streams() -> dict[str, list[str]]:
    """Returns raw lines by system and service; of the fault injection only rounds without a failure."""
    streams = {n: s for n, s in corpora.unlabelled_streams().items() if not n.startswith(NEVER)}
    services: dict[str, list[str]] = {}
    for one in corpora.openstack_fault_rounds():
        if not one.failed and one.round == 2:
            for service, lines in one.services.items():
                part = services.setdefault(f"openstack/{service}", [])
                part.extend(lines[: max(0, _MAX_STREAM_LINES - len(part))])
    return {name: lines[:_MAX_STREAM_LINES] for name, lines in {**streams, **services}.items()}


def _from_sessions(texts: LineTexts, path: Path, seed: int) -> TrainingSplit:
    sessions = read_sessions(path)
    order = np.random.default_rng(seed).permutation(len(sessions))
    held = np.zeros(len(sessions), bool)
    held[order[: max(1, len(sessions) // 5)]] = True
    windows, session = sessions_to_windows(texts, [(s["service"], s["lines"], s["label"]) for s in sessions])
    held_windows = held[session]
    held_out = windows.select(np.flatnonzero(held_windows))
    normal = held_out.select(np.flatnonzero(held_out.labels == 0))
    return TrainingSplit(windows.select(np.flatnonzero(~held_windows)), held_out, normal)


def read_sessions(path: Path) -> list[dict[str, Any]]:
    """Reads labelled sessions from JSON lines. Raises ValueError with the number and the form of a wrong line."""
    if not path.is_file():
        raise FileNotFoundError(f"there is no file of sessions at {path}; name an existing file with --sessions")
    sessions = []
    for number, row in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        if not row.strip():
            continue
        try:
            session = json.loads(row)
            lines, label = session["lines"], session["label"]
            fits = isinstance(lines, list) and lines and all(isinstance(x, str) for x in lines) and label in (0, 1)
        except (ValueError, KeyError, TypeError):
            fits = False
        if not fits:
            raise ValueError(f'{path}:{number} must be {{"lines": [string, …], "label": 0 or 1, "service": string}}')
        sessions.append({"service": str(session.get("service", "default")), "lines": lines, "label": int(label)})
    if len({session["label"] for session in sessions}) < 2:
        raise ValueError(f"{path} must contain sessions of both labels, 0 and 1")
    return sessions


def _calibrate(trainer: Trainer, split: TrainingSplit) -> Calibration:
    """Fits Platt scaling on the held-out windows and counts the false alarms on unchanged ones."""
    margin = _margins(trainer, split.held_out)
    hard = (split.held_out.labels < 0.3) | (split.held_out.labels > 0.7)
    fit = LogisticRegression(C=1e6).fit(margin[hard, None], split.held_out.labels[hard] > 0.5)
    scale, shift = float(fit.coef_[0, 0]), float(fit.intercept_[0])
    if scale <= 0:
        raise ValueError(
            "the model learned nothing: its scores do not rise with the labels; check the labels of the sessions"
        )
    unchanged = scale * _margins(trainer, split.as_they_came) + shift
    alarms = int((unchanged >= np.log(THRESHOLD / (1 - THRESHOLD))).sum())
    return Calibration(
        scale=scale,
        shift=shift,
        threshold=THRESHOLD,
        fitted_on=f"{int(hard.sum())} held-out windows; {alarms} of {len(unchanged)} harmless lines as they came pass",
    )


def _margins(trainer: Trainer, windows: WindowSet) -> npt.NDArray[np.float64]:
    logits = trainer.predict(windows).predictions
    logits = logits[0] if isinstance(logits, tuple) else logits
    return np.asarray(logits[:, 1] - logits[:, 0], np.float64)


def _metrics(predictions: Any) -> dict[str, float]:
    logits = predictions.predictions[0] if isinstance(predictions.predictions, tuple) else predictions.predictions
    labels = np.asarray(predictions.label_ids)
    hard = (labels < 0.3) | (labels > 0.7)
    if len(set((labels[hard] > 0.5).tolist())) < 2:
        return {}  # windows of one label: there is nothing to rank
    truth, scores = labels[hard] > 0.5, (logits[:, 1] - logits[:, 0])[hard].astype(np.float64)
    return {"auroc": auroc(truth, scores), "ap": average_precision(truth, scores)}


def _training_arguments(options: argparse.Namespace) -> TrainingArguments:
    return TrainingArguments(
        output_dir=str(options.results),
        num_train_epochs=options.epochs,
        per_device_train_batch_size=options.batch_size,
        per_device_eval_batch_size=1024,
        learning_rate=options.learning_rate,
        weight_decay=0.05,
        warmup_steps=0.1,
        lr_scheduler_type="cosine",
        max_grad_norm=1.0,
        eval_strategy="epoch",
        save_strategy="epoch",
        save_total_limit=2,
        load_best_model_at_end=True,
        metric_for_best_model="eval_loss",
        greater_is_better=False,
        logging_steps=50,
        report_to=[],
        label_names=["labels"],
        remove_unused_columns=False,
        dataloader_num_workers=0,
        dataloader_pin_memory=torch.cuda.is_available(),
        seed=options.seed,
        disable_tqdm=not sys.stderr.isatty(),
        use_cpu=options.device == "cpu",
    )
