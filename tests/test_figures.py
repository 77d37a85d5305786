"""The figures that documents quote are those of the last benchmark, and its plots lie beside them."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from logwarden.model.checkpoint import load_checkpoint
from logwarden.training.benchmark.plots import plots_of
from logwarden.training.benchmark.quoted import quotes
from logwarden.training.benchmark.report import document

ROOT = Path(__file__).parent.parent
FOLDER = ROOT / "docs" / "benchmarks"


@pytest.fixture(scope="module")
def figures() -> dict[str, Any]:
    found: dict[str, Any] = json.loads((FOLDER / "figures.json").read_text(encoding="utf-8"))
    return found


@pytest.mark.parametrize("name", ["README.md", "docs/detection.md", "model/weights/MODEL_CARD.md"])
def test_quoted_figures_are_those_of_the_benchmark(figures: dict[str, Any], name: str) -> None:
    """Every sentence and row with a figure stands in the document as the benchmark makes it."""
    text = " ".join((ROOT / name).read_text(encoding="utf-8").split())
    missing = [quote for quote in quotes(figures)[name] if quote not in text]
    assert quotes(figures)[name]
    assert not missing, f"{name} quotes other figures; these should stand there:\n" + "\n".join(missing)


def test_a_changed_figure_is_another_sentence(figures: dict[str, Any]) -> None:
    """One fault less that is found changes what README must state."""
    text = " ".join((ROOT / "README.md").read_text(encoding="utf-8").split())
    figures = json.loads(json.dumps(figures))
    figures["faultlab"]["peace"]["logwarden"]["at_threshold"]["found"] -= 1
    assert any(quote not in text for quote in quotes(figures)["README.md"])


def test_documents_are_made_from_the_figures(figures: dict[str, Any]) -> None:
    """BENCHMARKS.md and every plot are what the figures give today, and every plot that is shown exists."""
    text = (ROOT / "BENCHMARKS.md").read_text(encoding="utf-8")
    assert text == document(figures)
    plots = plots_of(figures)
    assert all((FOLDER / name).read_text(encoding="utf-8") == plot for name, plot in plots.items())
    assert set(re.findall(r"\(docs/benchmarks/([\w-]+\.svg)\)", text)) == set(plots)


def test_the_model_measured_is_the_one_that_is_shipped(figures: dict[str, Any]) -> None:
    """New weights need a new benchmark."""
    assert figures["model"] == load_checkpoint().revision, "the weights changed; run `make benchmark`"
