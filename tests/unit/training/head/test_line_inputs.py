"""What the last step reads of labelled lines: in their order, by the history of their service, in the right windows."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from logwarden.model.checkpoint import ModelCheckpoint, load_checkpoint
from logwarden.model.decision import INPUTS
from logwarden.training.head import line_inputs
from logwarden.training.head.labelled import LabelledStream
from logwarden.training.head.line_inputs import measure, recorded_twice
from tests.tapes import recording

AGE, MARGIN = (list(INPUTS).index(name) for name in ("log_age", "margin"))


@pytest.fixture(scope="module")
def model(tiny_checkpoint: Path) -> ModelCheckpoint:
    return load_checkpoint(tiny_checkpoint)


def stream(texts: list[str], service: list[int], unit: list[int] | None = None) -> LabelledStream:
    return LabelledStream(
        texts=[text.encode() for text in texts],
        service=np.array(service),
        at_ms=np.arange(len(texts)) * 1_000,
        unit=np.arange(len(texts)) if unit is None else np.array(unit),
        labels=np.zeros(len(texts) if unit is None else max(unit) + 1, np.int64),
        incident=np.full(len(texts), -1),
        sessions=unit is not None,
    )


def test_results_are_in_the_order_of_the_lines(model: ModelCheckpoint, monkeypatch: pytest.MonkeyPatch) -> None:
    """Lines of two services that alternate come back in their own order, each with the age of its service."""
    monkeypatch.setattr(line_inputs, "_PART", 4)
    counted: list[int] = []
    texts = ["disk full", "user closed", "disk full", "user opened", "node error", "disk full"]
    found = measure(model, stream(texts, [0, 1, 0, 1, 1, 0]), counted.append)
    assert np.exp2(found.inputs[:, AGE]).round().tolist() == [1, 1, 2, 2, 3, 3]
    assert [texts[place] for place in np.flatnonzero(found.kinds == found.kinds[0])] == ["disk full"] * 3
    assert counted == [4, 2]


def test_a_session_has_windows_of_its_own(model: ModelCheckpoint, monkeypatch: pytest.MonkeyPatch) -> None:
    """Lines of a session are read with the lines before them in it, and no others; its history is its service's."""
    monkeypatch.setattr(line_inputs, "_PART", 2)
    texts = ["disk full", "user closed", "node error", "user closed", "disk full"]
    apart = stream(texts, [0] * 5, [0, 0, 0, 1, 1])
    sessions, lines = (measure(model, one, lambda _: None).inputs for one in (apart, replace(apart, sessions=False)))
    np.testing.assert_allclose(sessions[:3, MARGIN], lines[:3, MARGIN], atol=1e-5)
    assert (np.abs(sessions[3:, MARGIN] - lines[3:, MARGIN]) > 1e-4).all()
    np.testing.assert_array_equal(sessions[:, AGE], lines[:, AGE])


def test_a_recording_is_repeated_behind_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    """The second half of the stream are the lines of the first, of the same services, at later times."""
    tape = recording([], (1.0, "db", "served"), (2.0, "web", "lost\nthe disk"))
    monkeypatch.setattr(line_inputs, "load_recording", lambda _: tape)
    found = recorded_twice(Path("any"))
    assert found.texts == [b"served", b"lost the disk"] * 2
    assert found.service.tolist() == [0, 1, 0, 1]
    assert (np.diff(found.at_ms) > 0).all()
