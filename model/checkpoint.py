"""One directory = one model. Of `model/`, only this file and those of the line encoder open files.

    config.json, model.safetensors   the head (LogWindowClassifier.save_pretrained)
    decision.safetensors             the last step, over the head's answer; may be missing
    calibration.json                 probability and threshold
    sessions.safetensors             the judge of whole sessions; only where a user has labelled some
    encoder/                         the line encoder: any BERT checkpoint directory

PyTorch is imported on use. `bert_path` replaces `encoder/` by another BERT, of the width that the head was trained on.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load_file as load_arrays
from safetensors.numpy import save_file as save_arrays

from logwarden.model.arrays import Column
from logwarden.model.calibration import Calibration
from logwarden.model.decision import INPUTS, Decision
from logwarden.model.errors import ModelMismatch, ModelMissing, ModelUnreadable
from logwarden.model.evidence import WIDTH as EVIDENCE_WIDTH
from logwarden.model.head_shape import HeadShape
from logwarden.model.trees import BoostedTrees

if TYPE_CHECKING:
    from logwarden.model.classifier import LogWindowClassifier
    from logwarden.model.encoder import LineEncoder
    from logwarden.model.head import WindowHead
    from logwarden.model.sessions import SessionJudge

SHIPPED = Path(__file__).parent / "weights"
"""Directory of the model in the package."""

_HEAD = "model.safetensors"
CALIBRATION = "calibration.json"
DECISION = "decision.safetensors"
SESSIONS = "sessions.safetensors"
ENCODER = "encoder"
# Files that are truncated, empty, of another shape or of another format.
_DAMAGE = (OSError, SafetensorError, RuntimeError, ValueError, KeyError, TypeError)


@dataclass(frozen=True, slots=True)
class ModelCheckpoint:
    """A loaded model: everything that scoring needs."""

    classifier: WindowHead
    encoder: LineEncoder
    calibration: Calibration
    revision: str
    """Twelve hexadecimal digits that change with the weights. Every alert carries them."""
    decision: Decision | None = None
    """The last step; None where the head decides alone."""
    sessions: SessionJudge | None = None
    """The judge of whole sessions; None where none were labelled."""


def load_checkpoint(
    model_path: Path | None = None, bert_path: str | Path | None = None, *, allow_download: bool = False
) -> ModelCheckpoint:
    """Loads a model directory, by default the shipped one.

    Raises ModelMissing for a missing directory or file, ModelUnreadable for a file that cannot be read, and
    ModelMismatch for a line encoder of another width than the head was trained on.
    """
    from logwarden.model.encoder import LineEncoder

    directory = model_directory(model_path)
    classifier = _load_head(directory)
    encoder = LineEncoder.from_directory(bert_path or directory / ENCODER, allow_download=allow_download)
    require_width(directory, bert_path, classifier.config, encoder.width)
    sessions = load_sessions(directory / SESSIONS) if (directory / SESSIONS).is_file() else None
    if sessions is not None and sessions.width != encoder.width + EVIDENCE_WIDTH:
        raise ModelMismatch(
            f"{directory / SESSIONS} was trained on another BERT; train it again with `logwarden train --sessions`"
        )
    return ModelCheckpoint(
        classifier,
        encoder,
        load_calibration(directory),
        revision_of(directory, encoder.fingerprint),
        decision_of(directory),
        sessions,
    )


def model_directory(model_path: Path | None) -> Path:
    """Returns the directory of a model, by default of the shipped one. Raises ModelMissing if it contains none."""
    directory = Path(model_path) if model_path is not None else SHIPPED
    _require_files(directory, "config.json", _HEAD)
    return directory


def read_head_shape(directory: Path) -> HeadShape:
    """Reads the config.json of a head. Raises ModelUnreadable for a file of another form."""
    try:
        return HeadShape.from_json(json.loads((directory / "config.json").read_text(encoding="utf-8")))
    except (*_DAMAGE, RecursionError) as error:
        raise _unreadable(directory, error) from error


def read_head_weights(directory: Path) -> dict[str, Column]:
    """Reads the weights of a head by name, without PyTorch. Raises ModelUnreadable for a file of another form."""
    try:
        return dict(load_arrays(directory / _HEAD))
    except _DAMAGE as error:
        raise _unreadable(directory, error) from error


def revision_of(directory: Path, encoder_fingerprint: str) -> str:
    """Returns twelve hexadecimal digits that change with the weights of head, line encoder and last step."""
    digest = hashlib.blake2b((directory / _HEAD).read_bytes(), digest_size=6, key=encoder_fingerprint.encode()[:64])
    if (directory / DECISION).is_file():
        digest.update((directory / DECISION).read_bytes())
    return digest.hexdigest()


def decision_of(directory: Path) -> Decision | None:
    """Reads the last step of a model, if it has one."""
    return load_decision(directory / DECISION) if (directory / DECISION).is_file() else None


def load_calibration(directory: Path) -> Calibration:
    """Reads the calibration of a model. Raises ModelUnreadable for a file of another form."""
    path = directory / CALIBRATION
    if not path.is_file():
        return Calibration()
    try:
        return Calibration.from_json(json.loads(path.read_text()))
    except (OSError, ValueError, RecursionError) as error:  # the last: brackets within brackets within brackets
        raise ModelUnreadable(f"{path} cannot be read: {_first_line(error)}") from error


def save_checkpoint(
    directory: Path, classifier: LogWindowClassifier, encoder: LineEncoder | None, calibration: Calibration
) -> None:
    """Writes a model directory. Without an encoder, the directory keeps the one that it has.

    Removes the last step, which was trained over another head; `save_decision` writes a new one.
    """
    directory.mkdir(parents=True, exist_ok=True)
    classifier.config.encoder_revision = encoder.fingerprint if encoder else classifier.config.encoder_revision
    classifier.save_pretrained(directory)
    (directory / _HEAD).chmod(0o644)  # the library makes it private, which an installed model must not be
    if encoder is not None:
        encoder.save(directory / ENCODER)
    (directory / CALIBRATION).write_text(json.dumps(calibration.to_json(), indent=2) + "\n")
    (directory / DECISION).unlink(missing_ok=True)


def save_decision(path: Path, decision: Decision) -> None:
    """Writes the last step of a model."""
    trees = decision.trees
    arrays = {"inputs": trees.inputs, "bounds": trees.bounds, "leaves": trees.leaves}
    save_arrays(arrays | {"start": np.array([trees.start]), "floor": np.array([decision.floor])}, path)
    path.chmod(0o644)  # the library makes it private, which an installed model must not be


def load_decision(path: Path) -> Decision:
    """Reads the last step of a model. Raises ModelUnreadable for a file of another form."""
    try:
        arrays = load_arrays(path)
        trees = BoostedTrees(arrays["inputs"], arrays["bounds"], arrays["leaves"], float(arrays["start"][0]))
        floor = float(arrays["floor"][0])
        if trees.inputs.min(initial=0) < 0 or trees.inputs.max(initial=0) >= len(INPUTS):
            raise ValueError(f"a question is about none of the {len(INPUTS)} inputs")
    except (OSError, SafetensorError, ValueError, KeyError, IndexError) as error:
        raise ModelUnreadable(f"{path} cannot be read: {_first_line(error)}") from error
    return Decision(trees, floor)


def save_sessions(path: Path, judge: SessionJudge) -> None:
    """Writes the judge of whole sessions."""
    from safetensors.torch import save_file as save_tensors

    save_tensors({name: value.contiguous() for name, value in judge.state_dict().items()}, path)
    path.chmod(0o644)  # the library makes it private, which a model of several users must not be


def load_sessions(path: Path) -> SessionJudge:
    """Reads the judge of whole sessions. Raises ModelUnreadable for a file of another form."""
    from safetensors.torch import load_file

    from logwarden.model.sessions import SessionJudge

    try:
        weights = load_file(path)
        members = {name.split(".")[1] for name in weights}
        judge = SessionJudge.of_shape(weights["members.0.line.weight"].shape[1], len(members))
        judge.load_state_dict(weights)
    except (OSError, SafetensorError, RuntimeError, ValueError, KeyError, IndexError) as error:
        raise ModelUnreadable(f"{path} cannot be read: {_first_line(error)}") from error
    return judge.eval().requires_grad_(False)


def _require_files(directory: Path, *names: str) -> None:
    try:
        missing = [name for name in names if not (directory / name).is_file()]
    except OSError as error:  # a folder that this user may not open, a path longer than the system takes
        raise ModelUnreadable(f"the model directory {directory} cannot be read: {error.strerror}") from error
    if missing:
        raise ModelMissing(
            f"{directory} is not a model directory: {missing[0]} is missing; train one with `logwarden train`, "
            "or leave the model path empty to use the one that is shipped"
        )


def require_width(directory: Path, bert_path: str | Path | None, head: HeadShape, width: int) -> None:
    """Raises ModelMismatch for a line encoder of another width than the head was trained on."""
    if width != head.encoder_width:
        raise ModelMismatch(
            f"the model in {directory} was trained on line embeddings {head.encoder_width} wide, but the "
            f"BERT in {bert_path or directory / ENCODER} makes them {width} wide; use its own BERT, or "
            "train a head for this one with `logwarden train --bert-path`"
        )


def _load_head(directory: Path) -> WindowHead:
    from safetensors.torch import load_file

    from logwarden.model.head import WindowHead

    shape = read_head_shape(directory)
    try:
        head = WindowHead(shape)
        head.load_state_dict(load_file(directory / _HEAD), assign=True)
    except _DAMAGE as error:
        raise _unreadable(directory, error) from error
    return head.eval().requires_grad_(False)


def _unreadable(directory: Path, error: Exception) -> ModelUnreadable:
    return ModelUnreadable(f"the model in {directory} cannot be read: {_first_line(error)}")


def _first_line(error: Exception) -> str:
    return (str(error) or type(error).__name__).splitlines()[0]
