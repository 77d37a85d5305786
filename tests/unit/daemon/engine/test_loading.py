"""The loader of daemon and `scan`: an operator's mistake is bad configuration, a bug in logwarden is not."""

from __future__ import annotations

from pathlib import Path

import pytest

from logwarden.daemon.engine.loading import load_engine
from logwarden.daemon.engine.stream import MAX_SHOWN_CHARS, open_stream
from logwarden.daemon.errors import ConfigurationError
from logwarden.daemon.settings.groups import Settings
from logwarden.daemon.settings.reading import read_settings
from logwarden.model.scorer import TableScorer


def settings_of(tiny: Path, **changes: str) -> Settings:
    values = {"MODEL__PATH": str(tiny), "MODEL__DEVICE": "cpu", "MODEL__TABLE_ROWS": "1024"} | changes
    return read_settings({f"LOGWARDEN_{name}": value for name, value in values.items()})


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"MODEL__PATH": str(Path(__file__).parent)}, r"engine is not a model directory: config\.json is missing"),
        ({"MODEL__BERT_PATH": "nowhere"}, "no line encoder at nowhere"),
        ({"MODEL__DEVICE": "cuda:999"}, "cuda:999"),
    ],
)
def test_an_operators_mistake_is_bad_configuration(
    tiny_checkpoint: Path, changes: dict[str, str], sentence: str
) -> None:
    """A wrong path or device ends the program with exit code 2 and one sentence."""
    with pytest.raises(ConfigurationError, match=sentence):
        load_engine(settings_of(tiny_checkpoint, **changes))


@pytest.mark.parametrize("bug", [ValueError, FileNotFoundError])
def test_a_bug_is_not_bad_configuration(
    tiny_checkpoint: Path, bug: type[Exception], monkeypatch: pytest.MonkeyPatch
) -> None:
    """An error from inside keeps its traceback: a search through the settings would not help."""

    def broken(*_: object, **__: object) -> None:
        raise bug("operands could not be broadcast together")

    monkeypatch.setattr(TableScorer, "__init__", broken)
    with pytest.raises(bug, match="broadcast"):
        load_engine(settings_of(tiny_checkpoint))


def test_a_loaded_engine_is_whole(tiny_checkpoint: Path) -> None:
    """TableScorer, table and policy belong to one model, and the settings override the model's threshold."""
    engine = load_engine(settings_of(tiny_checkpoint, ALERTS__THRESHOLD="0.25", ALERTS__LEARNING_LINES="7"))
    assert (engine.policy.threshold, engine.policy.learning_lines) == (0.25, 7)
    assert engine.policy.model_revision
    assert len(engine.table) == 1, "the line of the warm-up"
    assert engine.table.counts.embedded == 1


def test_an_open_stream_shows_what_an_alert_may_contain(tiny_checkpoint: Path) -> None:
    """An alert stays below the broker's limit, whatever the number of lines in its window."""
    engine = load_engine(settings_of(tiny_checkpoint))
    small = settings_of(tiny_checkpoint, WINDOW__SIZE="32", ALERTS__MAX_LINE_CHARS="1024")
    large = settings_of(tiny_checkpoint, WINDOW__SIZE="512", ALERTS__MAX_LINE_CHARS="65536")
    assert open_stream(engine, small, max_slots=4)._shown_chars == 1024
    assert open_stream(engine, large, max_slots=4)._shown_chars == MAX_SHOWN_CHARS // 512
