"""Chooses what computes the model: PyTorch, or on the CPU ONNX Runtime. Imports neither before it is chosen.

ONNX Runtime is the choice for the CPU: there it is faster, and spares a process the seconds and the memory of PyTorch.
"""

from __future__ import annotations

import ctypes
import importlib.util
from collections.abc import Callable
from contextlib import suppress

from logwarden.daemon.errors import ConfigurationError
from logwarden.daemon.settings.groups import ModelSettings

# The drivers of NVIDIA's GPUs and of AMD's. Without one of them PyTorch sees no GPU, and needs no import to be asked.
_DRIVERS = ("libcuda.so.1", "nvcuda.dll", "libamdhip64.so")


def is_installed(package: str) -> bool:
    """Returns True if a package can be imported, without its import."""
    return importlib.util.find_spec(package) is not None


def chosen_engine(
    model: ModelSettings,
    has: Callable[[str], bool] = is_installed,
    has_gpu: Callable[[], bool] = lambda: _has_driver() and _torch_sees_gpu(),
) -> str:
    """Returns `torch` or `onnx`. Raises ConfigurationError if the settings ask for one that is not installed."""
    torch, onnx = has("torch"), has("onnxruntime") and has("onnx")
    if model.engine == "onnx" and not onnx:
        raise ConfigurationError(
            "LOGWARDEN_MODEL__ENGINE is onnx, but ONNX Runtime is not installed", hint="pip install onnxruntime onnx"
        )
    on_gpu = model.device.startswith("cuda")
    if not torch and (model.engine == "torch" or on_gpu or not onnx):
        wish = "LOGWARDEN_MODEL__ENGINE is torch" if model.engine == "torch" else "no ONNX Runtime is installed either"
        raise ConfigurationError(
            f"PyTorch is not installed, but {f'the device is {model.device}' if on_gpu else wish}",
            hint="install torch, or use the device cpu with the engine onnx" if on_gpu else "pip install torch",
        )
    if model.engine != "auto":
        return model.engine
    if on_gpu or not onnx or (torch and model.device == "auto" and has_gpu()):
        return "torch"
    return "onnx"


def why_onnx() -> str | None:
    """Returns the sentence for the log of a machine without PyTorch, None for another machine."""
    if is_installed("torch"):
        return None
    return "PyTorch is not installed, so ONNX Runtime computes the model on the CPU; install torch to use a GPU"


def _has_driver() -> bool:
    for name in _DRIVERS:
        with suppress(OSError):
            ctypes.CDLL(name)
            return True
    return False


def _torch_sees_gpu() -> bool:
    from logwarden.daemon.engine import with_torch

    return with_torch.sees_gpu()
