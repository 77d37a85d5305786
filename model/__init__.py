"""Ground floor: masking, windows, familiarity, the model and its Python API. No sockets, no asyncio, no environment.

`from model import LogAnomalyDetector` is the public entry; names are loaded on first use, so that `import model.schema`
leaves torch alone.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from model.version import __version__

if TYPE_CHECKING:
    from model.classifier import LogWindowClassifier, LogWindowConfig
    from model.detector import LogAnomalyDetector

__all__ = ["LogAnomalyDetector", "LogWindowClassifier", "LogWindowConfig", "__version__"]

_HOMES = {
    "LogAnomalyDetector": "model.detector",
    "LogWindowClassifier": "model.classifier",
    "LogWindowConfig": "model.classifier",
}


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'model' has no attribute {name!r}")
