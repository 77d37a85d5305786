"""Labelled lines and sessions: what is read, what is refused, and where the last part begins."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from logwarden.training.head.labelled import (
    LabelledStream,
    held_out_from,
    read_lines,
    read_sessions,
    refuse_too_few,
    warning_of,
)


def written(path: Path, *rows: Any) -> Path:
    path.write_text("".join((row if isinstance(row, str) else json.dumps(row)) + "\n" for row in rows))
    return path


def line(label: int | None, *, at: int | None = None, text: str = "served", service: str = "shop") -> dict[str, Any]:
    time = None if at is None else f"2026-11-26T10:{at // 60:02d}:{at % 60:02d}Z"
    return {"text": text, "label": label, "service": service, "time": time}


def stream(labels: str, seconds: int = 100) -> LabelledStream:
    """Returns lines a hundred seconds apart, an `x` for an anomalous one."""
    marks = np.array([{"x": 1, ".": 0, "?": -1}[mark] for mark in labels])
    return LabelledStream(
        texts=[b"a"] * len(labels),
        service=np.zeros(len(labels), np.int64),
        at_ms=np.arange(len(labels)) * seconds * 1_000,
        unit=np.arange(len(labels)),
        labels=marks,
        incident=np.where(marks == 1, np.cumsum(marks == 1) - 1, -1),
        sessions=False,
    )


def test_lines_are_sorted_by_time_where_all_have_one(tmp_path: Path) -> None:
    """Two files behind each other are one stream of two services; without a time of each line the order stays."""
    rows = [line(0, at=9, text="b"), line(1, at=3, text="a", service="till"), line(None, at=20, text="c")]
    found = read_lines(written(tmp_path / "lines.jsonl", *rows))
    assert found.texts == [b"a", b"b", b"c"]
    assert found.labels.tolist() == [1, 0, -1]
    assert found.service.tolist() == [0, 1, 1]
    assert found.at_ms[1] - found.at_ms[0] == 6_000
    rows[0]["time"] = None
    assert read_lines(written(tmp_path / "lines.jsonl", *rows)).texts == [b"b", b"a", b"c"]


def test_a_minute_of_calm_ends_an_incident(tmp_path: Path) -> None:
    """Anomalous lines 59 seconds apart are one incident, whatever their service; a minute makes two."""
    rows = [line(1, at=0), line(0, at=30), line(1, at=59, service="till"), line(1, at=119), line(1, at=178)]
    assert read_lines(written(tmp_path / "lines.jsonl", *rows)).incident.tolist() == [0, -1, 0, 1, 1]


def test_lines_of_a_session_share_its_label(tmp_path: Path) -> None:
    """Every anomalous session is an incident, and its lines count in the history of its service."""
    rows = [
        {"lines": ["a", "b"], "label": 0, "service": "shop"},
        {"lines": ["c"], "label": 1},
        {"lines": ["a\nb"], "label": 1, "service": "shop"},
    ]
    found = read_sessions(written(tmp_path / "sessions.jsonl", *rows, ""))
    assert found.texts == [b"a", b"b", b"c", b"a b"]
    assert found.unit.tolist() == [0, 0, 1, 2]
    assert found.service.tolist() == [0, 0, 1, 0]
    assert found.incident.tolist() == [-1, 0, 1]


@pytest.mark.parametrize(
    "row",
    [
        "not json",
        "[1]",
        {"text": "a"},
        {"text": " ", "label": 0},
        {"text": 7, "label": 0},
        {"text": "a", "label": 2},
        {"text": "a", "label": 1, "time": "yesterday"},
        {"text": "a", "label": 1, "time": []},
    ],
)
def test_a_wrong_line_is_named_with_its_form(row: Any, tmp_path: Path) -> None:
    """The sentence has the file, the number and the form of the wrong row."""
    with pytest.raises(ValueError, match=r"lines\.jsonl:2 must be .*text.*label"):
        read_lines(written(tmp_path / "lines.jsonl", line(0), row))


@pytest.mark.parametrize(
    "row", [{"lines": [], "label": 1}, {"lines": "a", "label": 1}, {"lines": ["a"], "label": None}]
)
def test_a_wrong_session_is_named_with_its_form(row: Any, tmp_path: Path) -> None:
    """A session has lines, and a label of its own."""
    with pytest.raises(ValueError, match=r"sessions\.jsonl:1 must be .*lines.*label"):
        read_sessions(written(tmp_path / "sessions.jsonl", row))


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    """A path that leads nowhere is in the sentence."""
    with pytest.raises(FileNotFoundError, match=r"nothing\.jsonl"):
        read_lines(tmp_path / "nothing.jsonl")


@pytest.mark.parametrize(
    ("labels", "cut"),
    [
        ("..x.xx..x..x", 7),  # the example in the code
        ("xxx" + "." * 30, 2),  # all at the begin: the last of them is kept for the comparison
        ("." * 30 + "x.x...x", 34),  # all at the end: two come before the cut, one after it
    ],
)
def test_the_cut_lies_between_incidents(labels: str, cut: int) -> None:
    """The last part begins near two thirds, in no incident, with incidents on both sides."""
    found = stream(labels)
    if labels == "..x.xx..x..x":
        found.incident[[4, 5, 8, 11]] = [1, 1, 2, 3]
    assert held_out_from(found) == cut


@pytest.mark.parametrize(
    ("labels", "words"),
    [
        ("x" * 19 + "." * 300, "19 anomalous and 300 normal lines are too few"),
        ("x" * 20 + "." * 199 + "?", "20 anomalous and 199 normal lines are too few"),
    ],
)
def test_too_few_labels_are_refused(labels: str, words: str) -> None:
    """Below the least numbers nothing is learned, and the sentence names them."""
    with pytest.raises(ValueError, match=words):
        refuse_too_few(stream(labels))


def test_two_incidents_are_refused() -> None:
    """With two incidents there is none to learn from or none to measure on."""
    found = stream("x" * 20 + "." * 300)
    found.incident[:20] = np.arange(20) >= 10
    with pytest.raises(ValueError, match="2 incidents, too few"):
        refuse_too_few(found)
    found.incident[19] = 2
    refuse_too_few(found)


def test_few_labels_are_warned_about() -> None:
    """Between the two bounds there is a warning, above the second none."""
    few, enough = stream("x" * 99 + "." * 5_000), stream("x" * 100 + "." * 5_000)
    assert "99 anomalous and 5,000 normal lines in 99 incidents are few" in (warning_of(few) or "")
    assert warning_of(enough) is None
