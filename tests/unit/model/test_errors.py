"""Every mistake of the model's operator is a ModelError that keeps the older promise of the Python API."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from logwarden.model.checkpoint import load_checkpoint
from logwarden.model.encoder import LineEncoder
from logwarden.model.errors import DeviceUnavailable, ModelError, ModelMismatch, ModelMissing, ModelUnreadable
from logwarden.model.scoring import pick_device

from tests.models import tiny_encoder

TOO_LONG = "x" * 300
"""A name that no file system takes: to ask for it is an OSError, and not the one of a missing file."""


@pytest.fixture
def directory(tiny_checkpoint: Path, tmp_path: Path) -> Path:
    """A model directory of the test's own, to be damaged."""
    return Path(shutil.copytree(tiny_checkpoint, tmp_path / "model"))


def fails(act: Callable[[], object], kind: type[ModelError], promised: type[Exception], match: str) -> None:
    with pytest.raises(kind, match=match) as caught:
        act()
    assert isinstance(caught.value, promised)
    assert "\n" not in str(caught.value)


def test_what_is_missing_is_a_file_not_found(directory: Path, tmp_path: Path) -> None:
    """A missing directory and a missing part are ModelMissing, and programs that catch FileNotFoundError still do."""
    fails(lambda: load_checkpoint(tmp_path / "nowhere"), ModelMissing, FileNotFoundError, "nowhere is not a model")
    shutil.rmtree(directory / "encoder")
    fails(lambda: load_checkpoint(directory), ModelMissing, FileNotFoundError, "no line encoder at")


@pytest.mark.parametrize("name", ["config.json", "model.safetensors", "calibration.json", "encoder/config.json"])
def test_what_is_damaged_is_unreadable(directory: Path, name: str) -> None:
    """A damaged part is ModelUnreadable, and programs that catch ValueError still do."""
    (directory / name).write_bytes(b"\xff[[" * 10)
    fails(lambda: load_checkpoint(directory), ModelUnreadable, ValueError, "cannot be read")


def test_a_calibration_of_endless_brackets_is_unreadable(directory: Path) -> None:
    """JSON that is nested deeper than Python reads is damage like any other."""
    (directory / "calibration.json").write_text("[" * 100_000)
    fails(lambda: load_checkpoint(directory), ModelUnreadable, ValueError, r"calibration\.json cannot be read")


@pytest.mark.parametrize("content", [b"", b"rubbish", b"\x80\x04N."])
def test_damaged_weights_in_pytorchs_own_format_are_unreadable(directory: Path, content: bytes) -> None:
    """Old checkpoints carry pytorch_model.bin; its damage is a sentence too, and nothing in it is executed."""
    (directory / "encoder" / "model.safetensors").unlink()
    (directory / "encoder" / "pytorch_model.bin").write_bytes(content)
    fails(lambda: load_checkpoint(directory), ModelUnreadable, ValueError, "line encoder in .* cannot be read")


def test_weights_that_are_no_table_are_unreadable(directory: Path) -> None:
    """A pytorch_model.bin may be whole and still not hold weights by name."""
    (directory / "encoder" / "model.safetensors").unlink()
    torch.save(torch.zeros(3), directory / "encoder" / "pytorch_model.bin")
    fails(lambda: load_checkpoint(directory), ModelUnreadable, ValueError, "line encoder in .* cannot be read")


def test_a_path_that_the_system_refuses_is_unreadable(directory: Path, tmp_path: Path) -> None:
    """A path that the system refuses to look at is the operator's mistake, and the message has its reason."""
    fails(lambda: load_checkpoint(tmp_path / TOO_LONG), ModelUnreadable, ValueError, "File name too long")
    fails(lambda: load_checkpoint(directory, tmp_path / TOO_LONG), ModelUnreadable, ValueError, "File name too long")


def test_parts_that_do_not_fit_are_a_mismatch(directory: Path, tmp_path: Path) -> None:
    """A head and an encoder of different widths are each whole and useless together."""
    tiny_encoder(width=48).save(tmp_path / "wide")
    fails(lambda: load_checkpoint(directory, tmp_path / "wide"), ModelMismatch, ValueError, "32 wide.*48 wide")


@pytest.mark.parametrize("name", ["gpu", "", "cuda:999", "xpu"])
def test_a_device_that_cannot_be_used_is_named(name: str) -> None:
    """An unknown name, a number without a GPU behind it and a backend that is not built in end alike."""
    fails(lambda: pick_device(name), DeviceUnavailable, ValueError, "auto")


@pytest.mark.parametrize("reason", [OSError("no route to host"), ValueError("repo id must be\nin the form a/b")])
def test_a_failed_download_is_a_missing_model(monkeypatch: pytest.MonkeyPatch, reason: Exception) -> None:
    """Without a network, or with a name that no repository can have, the encoder is missing."""

    def refuse(*_: object, **__: object) -> None:
        raise reason

    monkeypatch.setattr("huggingface_hub.snapshot_download", refuse)
    fails(
        lambda: LineEncoder.from_directory("owner/bert", allow_download=True),
        ModelMissing,
        FileNotFoundError,
        "owner/bert cannot be downloaded",
    )
