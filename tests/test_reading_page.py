"""docs/reading.md explains records that the shipped model makes, and shows their window."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.reading_page import PICTURE, ROOT, Records, picture, records
from tests.test_readme import blocks

PAGE = ROOT / "docs" / "reading.md"


@pytest.fixture(scope="module")
def found() -> Records:
    return records()


def differences(shown: Any, real: Any, path: str = "") -> list[str]:
    """Returns where a shown record states what the real one does not. It may leave out fields and elements."""
    if isinstance(shown, dict) and isinstance(real, dict):
        return [text for name, value in shown.items() for text in differences(value, real.get(name), f"{path}.{name}")]
    if isinstance(shown, list) and isinstance(real, list):
        rest = iter(real)  # consumed: the order counts as well
        return [f"{path}: {each}" for each in shown if all(differences(each, one) for one in rest)]
    return [] if shown == real else [f"{path}: {shown!r}, not {real!r}"]


def test_the_records_are_those_of_the_shipped_model(found: Records) -> None:
    """Run `python -m tests.reading_page` and copy what it prints, where this fails after a change of the model."""
    alert, incident = [json.loads(one.text) for one in blocks(PAGE.read_text(encoding="utf-8")) if one.tag == "json"]
    assert differences(alert, found.alert) == []
    assert differences(incident, found.incident) == []


def test_a_changed_field_is_seen(found: Records) -> None:
    """A line of another weight, and lines in another order, are differences."""
    lines = found.alert["logwarden"]["lines"]
    changed = {"logwarden": {"lines": [lines[0] | {"weight": 0.5}]}}
    assert differences(changed, found.alert)
    assert differences({"logwarden": {"lines": [lines[1], lines[0]]}}, found.alert)
    assert not differences({"logwarden": {"lines": [lines[0], lines[5]]}}, found.alert)


def test_the_picture_is_the_window_of_the_alert(found: Records) -> None:
    """The bars are drawn from the record."""
    assert PICTURE.read_text(encoding="utf-8") == picture(found.alert)
