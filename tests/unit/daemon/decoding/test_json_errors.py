"""The error of a JSON event in a few words, of every form in which loggers nest it."""

from __future__ import annotations

from typing import Any

import pytest

from logwarden.daemon.decoding.json_errors import Fault, fault_of, sentence_of
from logwarden.daemon.decoding.traces import condense

JAVA = "java.io.IOException: no route\n\tat shop.Db.open(Db.java:7)"


def words_of(value: Any, said: str = "") -> str | None:
    fault = fault_of(value)
    return None if fault is None else sentence_of(fault, condense, said)


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ("disk is full", "disk is full"),
        ({"type": "KeyError", "message": "'id'"}, "KeyError: 'id'"),
        ({"kind": "IOError", "reason": {"type": "Closed", "reason": "by peer"}}, "Closed: by peer"),
        ({"name": "Error", "message": "late", "code": "ETIMEDOUT"}, "late code=ETIMEDOUT"),
        ({"code": 500}, "code=500"),
        ({"@type": "Broken", "cause": {"message": "no space"}}, "Broken: caused by no space"),
        ({"innerException": {"message": "no space"}}, "no space"),
        ([{"ok": None}, {"message": "second"}], "second"),
        (["first", "second"], "first; second"),
        (7, "code=7"),
        (True, "error"),
    ],
)
def test_an_error_is_its_type_its_message_and_its_cause(value: Any, words: str) -> None:
    """Texts, numbers, lists and objects of objects name one error each."""
    assert words_of(value) == words


@pytest.mark.parametrize("value", ["", " - ", "nil", "None", 0, False, None, {}, [], {"code": 200}, {"other": 1}, 0.0])
def test_what_loggers_write_without_an_error_is_none(value: Any) -> None:
    """A field that is always there names an error only when there is one."""
    assert fault_of(value) is None


def test_a_stack_is_condensed_wherever_it_stands() -> None:
    """As a text, in a field, as a list of lines, or as a list of frames."""
    frames = [{"className": "shop.Db", "methodName": "open", "fileName": "Db.java", "lineNumber": 7}, 3, {}]
    for value in (JAVA, {"stack": JAVA}, JAVA.split("\n"), {"stack": JAVA.split("\n")}):
        words = words_of(value)
        assert words is not None
        assert "IOException" in words
        assert "shop.Db.open" in words
    words = words_of({"type": "java.io.IOException", "message": "no route", "stackTrace": frames})
    assert words is not None
    assert words.startswith("java.io.IOException")
    assert fault_of({"stack": frames}) == Fault(stack="\tat shop.Db.open(Db.java:7)")


def test_what_the_text_states_is_not_repeated() -> None:
    """An error that the message of its event quotes adds nothing."""
    assert words_of({"type": "KeyError", "message": "'id'", "code": 7}, "KeyError: 'id' (7)") == ""


def test_nesting_is_followed_to_a_bound() -> None:
    """An error inside an error inside an error: hostile depth ends, and costs no stack."""
    value: dict[str, Any] = {"message": "innermost"}
    for _ in range(50):
        value = {"cause": value, "type": "Outer"}
    words = words_of(value)
    assert words is not None
    assert "innermost" not in words
    assert words.count("Outer") <= 4
