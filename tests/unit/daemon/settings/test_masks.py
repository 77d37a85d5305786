"""Masks that a user defines: applied before the built-in rules, and refused where they could run for ever."""

from __future__ import annotations

import json
import time

import numpy as np
import pytest

from logwarden.daemon.settings.groups import InputSettings
from logwarden.model.lines import LineTable
from logwarden.model.mask_own import compile_masks
from logwarden.model.masking import canonical, mask_blob


def masked(line: str, expression: str) -> str:
    return canonical(mask_blob(line.encode() + b"\n")[0], compile_masks([("own", expression)]))


@pytest.mark.parametrize(
    ("expression", "one", "other"),
    [
        (r"tenant-[a-z]+", "sync of tenant-north failed", "sync of tenant-south failed"),
        (r"[A-Z]{2}\d{4}/\w+", "seat AB1234/window sold", "seat XY9876/aisle sold"),
        (r"berth [a-z]+\d+", "berth quay7 taken", "berth pier12 taken"),
        (r"lane\.[a-z0-9]+", "lane.left7 open", "lane.right open"),
        (r"lane [a-z0-9.-]+", "lane left-7.a open", "lane right open"),
        (r"gate []\d-]+", "gate ]7-9] open", "gate ]8 open"),
        (r"(?i)mood \w+", "Mood happy today", "mood sad today"),
    ],
)
def test_a_mask_makes_lines_one_kind(expression: str, one: str, other: str) -> None:
    """Two lines that differ only in what the user calls variable become one text, and were two before."""
    assert canonical(mask_blob(one.encode() + b"\n")[0]) != canonical(mask_blob(other.encode() + b"\n")[0])
    assert masked(one, expression) == masked(other, expression)


def test_a_table_applies_its_masks() -> None:
    """The line table of a daemon with a mask gives two such lines one row, one that has none gives them two."""
    keys = mask_blob(b"tenant-north is late\ntenant-south is late\n")
    for masks, rows in (((), 2), (compile_masks([("tenant", "tenant-[a-z]+")]), 1)):
        table = LineTable(64, lambda texts: np.ones((len(texts), 4), np.float32), lambda *_: None, masks=masks)
        ids, _ = table.lookup(keys, lambda: np.zeros(0, np.int32))
        assert len(set(ids.tolist())) == rows
        assert table.unknown(keys) == []


@pytest.mark.parametrize(
    ("expression", "reason"),
    [
        ("[a-z", "no regular expression"),
        ("(?P<x>a", "no regular expression"),
        ("(a+)+$", "repeats a repetition"),
        (r"(?:\w+\s*)*x", "repeats a repetition"),
        (r"(\[[a-z]+\]){2,}", "repeats a repetition"),
        ("(a|a)*b", "for ever"),
        ("(?:ab|a|b)+c", "for ever"),
        (".*.*.*=x", "too long"),
        (r"(\w+\W+){1,15}refused", "too long"),
        ("x*", "empty text"),
        (r"(?<=\d{3})[a-z]+", "looks behind at several digits"),
        ("a" * 501, "more than 500"),
    ],
)
def test_a_mask_that_cannot_be_trusted_is_refused_by_name(expression: str, reason: str) -> None:
    """A broken mask or one that could occupy the daemon ends the start with its name and the reason, in seconds."""
    started = time.perf_counter()
    with pytest.raises(ValueError, match=rf"(?s)'mine'.*{reason}"):
        InputSettings.model_validate({"masks": json.dumps({"fine": "abc", "mine": expression})})
    assert time.perf_counter() - started < 20


@pytest.mark.parametrize("expression", [r"(?:\d\.)+", r"[A-Z]{2,4}-\d{3,}", r"(?:lot|bay)-\w+", r"seat [a-f]\d+"])
def test_a_mask_of_common_shape_is_accepted(expression: str) -> None:
    """Repeated digits with a sign between them, alternatives and classes are what users write."""
    assert InputSettings.model_validate({"masks": json.dumps({"mine": expression})}).masks == (f"mine={expression}",)


@pytest.mark.parametrize("value", ["[]", "7", "{", '{"a": 1}', "tenant"])
def test_masks_are_a_json_object_of_expressions(value: str) -> None:
    """Anything else ends the start with an example of what to write."""
    with pytest.raises(ValueError, match="JSON object of names"):
        InputSettings.model_validate({"masks": value})
