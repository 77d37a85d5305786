"""JSON over several lines becomes one record, with the number of its first line."""

from __future__ import annotations

import json

import pytest

from logwarden.daemon.commands import documents as module
from logwarden.daemon.commands.documents import DocumentFramer
from logwarden.daemon.commands.reading import NumberedLine

EVENT = {"message": 'a "quoted" } brace', "tags": ["x", "]"], "nested": {"n": -1.5e3, "no": None, "yes": True}}


def framed(text: str) -> list[tuple[int, str]]:
    documents = DocumentFramer()
    lines = [NumberedLine(number, line.encode()) for number, line in enumerate(text.split("\n"))]
    return [(line.number, line.text.decode()) for line in (*documents.framed(lines), *documents.rest())]


@pytest.mark.parametrize("indent", [1, 2, "\t"])
def test_documents_one_after_the_other(indent: int | str) -> None:
    """`jq` writes documents without anything between them."""
    one = json.dumps(EVENT, indent=indent)
    found = framed(f"before\n{one}\n{one}\nafter")
    height = one.count("\n") + 1
    assert [number for number, _ in found] == [0, 1, 1 + height, 1 + 2 * height]
    assert [json.loads(text) for _, text in found[1:3]] == [EVENT, EVENT]
    assert found[3][1] == "after"


@pytest.mark.parametrize("text", ["[\n%s,\n%s\n]", "[%s,\n%s]", "[ %s\n,%s]\n", "[\n\n%s,\n\n%s\n]"])
@pytest.mark.parametrize("indent", [None, 2])
def test_elements_of_an_array_have_their_own_places(text: str, indent: int | None) -> None:
    """An export is one array; each event is found at the line where it begins."""
    whole = text % ((json.dumps(EVENT, indent=indent),) * 2)
    found = [(number, record) for number, record in framed(whole + "\nafter") if record]
    lines = whole.split("\n")
    assert [json.loads(record) for _, record in found[:2]] == [EVENT, EVENT]
    assert all("{" in lines[number] for number, _ in found[:2])
    assert found[2][1] == "after"


def test_elements_that_share_a_line_stay_together() -> None:
    """`}, {` on one line makes one record of both, in brackets."""
    ((number, text), *rest) = framed('[{\n"a": 1\n}, {\n"b": 2\n}]\nend')
    assert (number, json.loads(text)) == (0, [{"a": 1}, {"b": 2}])
    assert rest == [(5, "end")]


@pytest.mark.parametrize(
    "text",
    [
        "[2026-11-23 10:00:00] GET /cart 200\n[main] INFO started",
        "{ neither JSON\nnor a document }",
        '{\n  "almost": json,\n}',
        "[\nfoo\n]",
        '{"complete": 1}\n[1, 2]\n[]\n{}',
        "config {\n  a = 1\n}",
    ],
)
def test_what_is_no_document_stays_lines(text: str) -> None:
    """A line that begins with a bracket is usually no JSON, and none of its neighbours is lost."""
    assert framed(text) == list(enumerate(text.split("\n")))


def test_a_document_without_an_end_comes_out_as_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    """The bound on lines and the end of the file close an open document."""
    text = "\n".join(["{", *['"key": 1,'] * 30])
    assert framed(text) == list(enumerate(text.split("\n")))
    monkeypatch.setattr(module, "MAX_DOCUMENT_LINES", 10)
    assert framed(text + "\n}") == list(enumerate(f"{text}\n}}".split("\n")))
    monkeypatch.setattr(module, "MAX_DOCUMENT_LINES", 10_000)
    monkeypatch.setattr(module, "MAX_DOCUMENT_BYTES", 50)
    assert framed(text + "\n}") == list(enumerate(f"{text}\n}}".split("\n")))
