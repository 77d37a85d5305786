"""Loading a model directory: what comes back, and one sentence for everything that may be wrong with it."""

from __future__ import annotations

import json
import shutil
import stat
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from logwarden.model.calibration import Calibration
from logwarden.model.checkpoint import (
    DECISION,
    SHIPPED,
    load_checkpoint,
    load_decision,
    save_checkpoint,
    save_decision,
)
from logwarden.model.classifier import LogWindowClassifier
from tests.models import save_tiny, tiny_classifier, tiny_encoder

Damage = Callable[[Path], object]
"""Rewrites a file. Its result is not used."""


@pytest.fixture
def directory(tiny_checkpoint: Path, tmp_path: Path) -> Path:
    """A model directory of the test's own, to be damaged."""
    return Path(shutil.copytree(tiny_checkpoint, tmp_path / "model"))


def test_what_was_saved_is_loaded(tiny_checkpoint: Path) -> None:
    """Weights, calibration and encoder come back; the model is ready to score and learns nothing."""
    loaded = load_checkpoint(tiny_checkpoint)
    saved = tiny_classifier().state_dict()
    assert all(torch.equal(weight, saved[name]) for name, weight in loaded.classifier.state_dict().items())
    assert loaded.calibration == Calibration(1.5, -0.25, 0.6, "nothing: random weights")
    assert loaded.encoder.fingerprint == tiny_encoder().fingerprint == loaded.classifier.config.encoder_revision
    assert not loaded.classifier.training
    assert not any(weight.requires_grad for weight in loaded.classifier.parameters())


def test_everyone_may_read_an_installed_model(directory: Path) -> None:
    """A model saved by one user is served by another: a container does not run as root."""
    for path in directory.rglob("*.*"):
        assert stat.S_IMODE(path.stat().st_mode) & 0o444 == 0o444, path.name


def test_a_missing_directory_says_what_to_do(tmp_path: Path) -> None:
    """The sentence names the directory, the file and both ways out."""
    with pytest.raises(FileNotFoundError, match=r"nowhere is not a model directory: config\.json .*logwarden train"):
        load_checkpoint(tmp_path / "nowhere")


@pytest.mark.parametrize("name", ["config.json", "model.safetensors", "encoder"])
def test_a_missing_part_is_not_found(directory: Path, name: str) -> None:
    """A directory that lacks a part is reported as such, by name."""
    path = directory / name
    shutil.rmtree(path) if path.is_dir() else path.unlink()
    with pytest.raises(FileNotFoundError, match=name):
        load_checkpoint(directory)


def test_a_model_without_calibration_has_the_plain_one(directory: Path) -> None:
    """Calibration is an extra file: an uncalibrated head alerts at one half."""
    (directory / "calibration.json").unlink()
    assert load_checkpoint(directory).calibration == Calibration()


def cut(share: float) -> Damage:
    """Keeps the first part of a file, as an interrupted copy does."""
    return lambda path: path.write_bytes(path.read_bytes()[: int(path.stat().st_size * share)])


def filled(content: bytes) -> Damage:
    return lambda path: path.write_bytes(content)


def with_values(**values: object) -> Damage:
    return lambda path: path.write_text(json.dumps(json.loads(path.read_text()) | values))


@pytest.mark.parametrize(
    ("name", "damage"),
    [
        ("model.safetensors", cut(0.0)),
        ("model.safetensors", cut(0.01)),
        ("model.safetensors", cut(0.5)),
        ("model.safetensors", cut(0.999)),
        ("model.safetensors", filled(b"version https://git-lfs.github.com/spec/v1\n")),
        ("config.json", cut(0.5)),
        ("config.json", filled(b"")),
        ("config.json", filled(b"[]")),
        ("config.json", filled(b"null")),
        ("config.json", filled(b"\xff\xfe")),
        ("config.json", with_values(hidden_size=64)),
        ("config.json", with_values(hidden_size="wide")),
        ("config.json", with_values(hidden_size=-16)),
        ("config.json", with_values(attention_heads=0)),
        ("config.json", with_values(attention_heads=None)),
        ("config.json", with_values(experts=5)),
        ("calibration.json", cut(0.5)),
        ("calibration.json", filled(b"[]")),
        ("calibration.json", filled(b'{"scale": -1}')),
        ("calibration.json", filled(b'{"shift": NaN}')),
        ("encoder/model.safetensors", cut(0.5)),
        ("encoder/config.json", filled(b'{"model_type": "roberta"}')),
        ("encoder/tokenizer.json", cut(0.5)),
    ],
)
def test_a_damaged_model_is_one_sentence(directory: Path, name: str, damage: Damage) -> None:
    """Whatever a file was turned into, the error is a ValueError that names the directory on one line."""
    damage(directory / name)
    with pytest.raises(ValueError, match="cannot be read") as caught:
        load_checkpoint(directory)
    assert str(directory) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_missing_and_surplus_weights_are_refused(directory: Path) -> None:
    """A head is never half loaded: with weights of another model it would score at random and say nothing."""
    weights = load_file(directory / "model.safetensors")
    for wrong in (
        {name: weight for name, weight in weights.items() if name != "base"},
        weights | {"more": torch.zeros(1)},
    ):
        save_file(wrong, directory / "model.safetensors")
        with pytest.raises(ValueError, match="cannot be read"):
            load_checkpoint(directory)


def test_a_bert_of_another_width_is_refused(tiny_checkpoint: Path, tmp_path: Path) -> None:
    """A head reads embeddings of the width that it was trained on, and says which that is."""
    tiny_encoder(width=48).save(tmp_path / "wide")
    with pytest.raises(ValueError, match=r"32 wide, but the BERT in .*wide makes them 48 wide.*train a head"):
        load_checkpoint(tiny_checkpoint, tmp_path / "wide")


def test_another_bert_takes_the_place_of_the_models_own(tiny_checkpoint: Path, tmp_path: Path) -> None:
    """`bert_path` exchanges the encoder and nothing else."""
    tiny_encoder(seed=8).save(tmp_path / "other")
    loaded = load_checkpoint(tiny_checkpoint, tmp_path / "other")
    assert loaded.encoder.fingerprint == tiny_encoder(seed=8).fingerprint
    assert loaded.calibration.threshold == 0.6


def test_the_revision_names_the_weights(tiny_checkpoint: Path, tmp_path: Path) -> None:
    """Alerts tell which model spoke: the same weights have the same name, other weights another."""
    revision = load_checkpoint(tiny_checkpoint).revision
    assert len(revision) == 12
    assert int(revision, 16) >= 0
    assert load_checkpoint(save_tiny(tmp_path / "same")).revision == revision
    assert load_checkpoint(save_tiny(tmp_path / "other", seed=8)).revision != revision
    tiny_encoder(seed=8).save(tmp_path / "encoder")
    assert load_checkpoint(tiny_checkpoint, tmp_path / "encoder").revision != revision


def test_a_head_is_saved_again_beside_its_encoder(directory: Path) -> None:
    """Training writes the head and leaves the encoder in its place."""
    before = (directory / "encoder" / "model.safetensors").read_bytes()
    save_checkpoint(directory, tiny_classifier(seed=9), None, Calibration(threshold=0.25))
    assert (directory / "encoder" / "model.safetensors").read_bytes() == before
    loaded = load_checkpoint(directory)
    assert loaded.calibration.threshold == 0.25
    assert torch.equal(loaded.classifier.base, tiny_classifier(seed=9).base)


def test_a_new_head_removes_the_step_of_the_old_one(directory: Path) -> None:
    """Trees that were grown over another head's answers decide nothing about this one's; revisions differ by them."""
    save_decision(directory / DECISION, load_decision(SHIPPED / DECISION))
    with_trees = load_checkpoint(directory)
    save_checkpoint(directory, tiny_classifier(seed=9), None, Calibration())
    assert with_trees.decision is not None
    assert load_checkpoint(directory).decision is None
    save_checkpoint(directory, LogWindowClassifier.from_pretrained(directory), None, Calibration())
    assert load_checkpoint(directory).revision != with_trees.revision
