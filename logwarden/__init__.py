"""The public Python API. Everything below it may change from version to version.

Names are loaded on first use, so that `import logwarden` imports neither torch nor a Kafka client. The command line is
`logwarden.__main__`.
"""

from __future__ import annotations

from importlib import import_module
from pkgutil import extend_path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from logwarden.model.classifier import LogWindowClassifier, LogWindowConfig
    from logwarden.model.detector import LogAnomalyDetector
    from logwarden.model.version import __version__

# Python takes this folder for the whole package when it is started in a checkout. What is installed is then found
# behind it; without a checkout this changes nothing.
__path__ = extend_path(__path__, __name__)

__all__ = ["LogAnomalyDetector", "LogWindowClassifier", "LogWindowConfig", "__version__"]

_HOMES = {
    "LogAnomalyDetector": "logwarden.model.detector",
    "LogWindowClassifier": "logwarden.model.classifier",
    "LogWindowConfig": "logwarden.model.classifier",
    "__version__": "logwarden.model.version",
}


def __getattr__(name: str) -> Any:
    """Loads a public name on its first use (PEP 562)."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = globals()[name] = getattr(import_module(_HOMES[name]), name)
    return value


def __dir__() -> list[str]:
    """Returns the public names too before they are loaded."""
    return sorted({*globals(), *__all__})
