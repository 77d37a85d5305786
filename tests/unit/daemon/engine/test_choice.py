"""What computes the model: what the settings name, and else what is installed and what the machine has."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from logwarden.daemon.engine.choice import chosen_engine
from logwarden.daemon.engine.loading import load_engine
from logwarden.daemon.errors import ConfigurationError
from logwarden.daemon.settings.groups import ModelSettings
from logwarden.daemon.settings.reading import read_settings

EVERYTHING = ("torch", "onnxruntime", "onnx")


@pytest.mark.parametrize(
    ("engine", "device", "installed", "gpu", "expected"),
    [
        ("auto", "auto", EVERYTHING, False, "onnx"),
        ("auto", "auto", EVERYTHING, True, "torch"),
        ("auto", "cpu", EVERYTHING, True, "onnx"),
        ("auto", "cuda:1", EVERYTHING, False, "torch"),
        ("auto", "auto", ("torch",), False, "torch"),
        ("auto", "cpu", ("torch", "onnxruntime"), False, "torch"),
        ("auto", "auto", ("onnxruntime", "onnx"), True, "onnx"),
        ("torch", "cpu", EVERYTHING, False, "torch"),
        ("onnx", "auto", EVERYTHING, True, "onnx"),
    ],
)
def test_the_lightest_that_the_settings_allow(
    engine: str, device: str, installed: tuple[str, ...], gpu: bool, expected: str
) -> None:
    """A GPU needs PyTorch; a CPU gets ONNX Runtime where it is installed, and no other library is imported."""
    settings = ModelSettings.model_validate({"engine": engine, "device": device})
    assert chosen_engine(settings, installed.__contains__, lambda: gpu) == expected


@pytest.mark.parametrize(
    ("engine", "device", "installed", "sentence"),
    [
        ("onnx", "cpu", ("torch", "onnx"), "ENGINE is onnx, but ONNX Runtime is not installed"),
        ("torch", "cpu", ("onnxruntime", "onnx"), "PyTorch is not installed, but LOGWARDEN_MODEL__ENGINE is torch"),
        ("auto", "cuda:0", ("onnxruntime", "onnx"), "PyTorch is not installed, but the device is cuda:0"),
        ("auto", "auto", (), "PyTorch is not installed, but no ONNX Runtime is installed either"),
    ],
)
def test_what_is_not_installed_is_a_sentence(
    engine: str, device: str, installed: tuple[str, ...], sentence: str
) -> None:
    """The operator reads what is missing, and how to get it."""
    with pytest.raises(ConfigurationError, match=sentence) as caught:
        chosen_engine(ModelSettings.model_validate({"engine": engine, "device": device}), installed.__contains__)
    assert "install" in caught.value.hint


def test_onnx_on_a_gpu_is_a_contradiction() -> None:
    """Two settings that cannot both be kept are found when they are read."""
    with pytest.raises(
        ConfigurationError, match="is cuda, but LOGWARDEN_MODEL__ENGINE is onnx, which computes on the CPU"
    ):
        read_settings({"LOGWARDEN_MODEL__ENGINE": "onnx", "LOGWARDEN_MODEL__DEVICE": "cuda"})


@pytest.mark.parametrize("engine", ["torch", "onnx"])
def test_both_are_one_model(engine: str, tiny_checkpoint: Path) -> None:
    """Whichever computes, alerts carry the same revision and the policy its threshold."""
    values = {"LOGWARDEN_MODEL__ENGINE": engine, "LOGWARDEN_MODEL__PATH": str(tiny_checkpoint)}
    loaded = load_engine(read_settings(values | {"LOGWARDEN_MODEL__DEVICE": "auto" if engine == "onnx" else "cpu"}))
    assert loaded.device == {"torch": "cpu", "onnx": "cpu (ONNX Runtime)"}[engine]
    assert (loaded.policy.threshold, len(loaded.policy.model_revision)) == (0.6, 12)


def test_a_daemon_without_torch_is_whole(tmp_path: Path) -> None:
    """Where no library of training is installed, every module of the daemon loads, and a log yields its alert."""
    log = [f"2026-01-01 00:00:{n % 60:02} INFO request {n} served in {n % 7} ms\n" for n in range(3000)]
    (tmp_path / "app.log").write_text(
        "".join([*log, "2026-01-01 00:59:59 ERROR disk full: cannot write journal\n", *log[:40]])
    )
    code = """
import importlib.util, pkgutil, sys
MISSING = ("torch", "transformers", "accelerate", "sklearn", "scipy", "huggingface_hub")
class Uninstalled:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in MISSING:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
sys.meta_path.insert(0, Uninstalled())
real = importlib.util.find_spec
importlib.util.find_spec = lambda name, package=None: None if name in MISSING else real(name, package)
from logwarden.daemon.engine.choice import why_onnx
assert why_onnx().startswith("PyTorch is not installed, so ONNX Runtime computes")
import logwarden.daemon
for module in pkgutil.walk_packages(logwarden.daemon.__path__, "logwarden.daemon."):
    if not module.name.endswith(("__main__", "with_torch")):
        importlib.import_module(module.name)
assert not set(MISSING) & set(sys.modules), set(MISSING) & set(sys.modules)
sys.argv = ["logwarden", "scan", "app.log", "--lines", "--format", "jsonl"]
from logwarden.daemon.__main__ import main
main()
"""
    environment = {name: text for name, text in os.environ.items() if not name.startswith("LOGWARDEN_")}
    command = [sys.executable, "-c", code]
    done = subprocess.run(
        command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=110, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "disk full" in done.stdout
