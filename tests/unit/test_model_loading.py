"""The daemon and `scan` load the model: an operator's mistake is bad configuration, a bug in logwarden is not."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from logwarden.daemon import scorer
from logwarden.daemon.commands.scan import load_engine
from logwarden.daemon.config import Settings, load
from logwarden.daemon.errors import ConfigurationError
from logwarden.model.scoring import WindowScorer

LOADERS: list[Callable[[Settings], Any]] = [scorer.load, load_engine]


def settings_of(tiny: Path, **changes: str) -> Settings:
    values = {"MODEL__PATH": str(tiny), "MODEL__DEVICE": "cpu", "MODEL__TABLE_ROWS": "1024"} | changes
    return load({f"LOGWARDEN_{name}": value for name, value in values.items()})


@pytest.mark.parametrize("load_model", LOADERS)
@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"MODEL__PATH": str(Path(__file__).parent)}, r"unit is not a model directory: config\.json is missing"),
        ({"MODEL__BERT_PATH": "nowhere"}, "no line encoder at nowhere"),
        ({"MODEL__DEVICE": "cuda:999"}, "cuda:999"),
    ],
)
def test_an_operators_mistake_is_bad_configuration(
    tiny_checkpoint: Path, load_model: Callable[[Settings], Any], changes: dict[str, str], sentence: str
) -> None:
    """A wrong path or device ends the program with exit code 2 and one sentence."""
    with pytest.raises(ConfigurationError, match=sentence):
        load_model(settings_of(tiny_checkpoint, **changes))


@pytest.mark.parametrize("load_model", LOADERS)
@pytest.mark.parametrize("bug", [ValueError, FileNotFoundError])
def test_a_bug_is_not_bad_configuration(
    tiny_checkpoint: Path, load_model: Callable[[Settings], Any], bug: type[Exception], monkeypatch: pytest.MonkeyPatch
) -> None:
    """An error from inside keeps its traceback: a search through the settings would find nothing."""

    def broken(*_: object, **__: object) -> None:
        raise bug("operands could not be broadcast together")

    monkeypatch.setattr(WindowScorer, "__init__", broken)
    with pytest.raises(bug, match="broadcast"):
        load_model(settings_of(tiny_checkpoint))
