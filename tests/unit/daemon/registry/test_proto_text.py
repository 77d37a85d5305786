"""Protobuf schemas as text: compiled by a program of its own, with all that they import."""

from __future__ import annotations

import importlib.util
import subprocess
from typing import Any

import pytest

from logwarden.daemon.decoding.schemas import compiled
from logwarden.daemon.errors import SchemaRefused
from logwarden.daemon.records import SchemaText
from logwarden.daemon.registry.proto_text import serialized

COMMON = 'syntax = "proto3"; package c; message Origin { string host = 1; }'
MAIN = (
    'syntax = "proto3"; package shop; import "x/common.proto"; import "google/protobuf/timestamp.proto";\n'
    "message Log { string message = 1; c.Origin origin = 2; google.protobuf.Timestamp at = 3; }"
)


def test_a_text_becomes_what_reads_messages() -> None:
    """Imports in folders and those that come with Protobuf are found."""
    text, references = serialized(MAIN, {"x/common.proto": COMMON})
    assert list(references) == ["x/common.proto"]
    schema = compiled(SchemaText(kind="PROTOBUF", text=text, references=tuple(references.items())))
    found = schema.read(b"\0\x0a\x02no\x12\x04\x0a\x02h1\x1a\x06\x08\x90\xd8\x8c\xd8\x06")
    assert found == {"message": "no", "origin": {"host": "h1"}, "at": "2026-11-22T17:53:20Z"}


@pytest.mark.parametrize(
    ("text", "references", "words"),
    [
        ("no schema at all", {}, "it is no schema of Protobuf: logwarden_main.proto:1"),
        (MAIN, {}, "it is no schema of Protobuf"),
        (MAIN, {"../common.proto": COMMON}, "whose name is no path"),
        (MAIN, {"/etc/common.proto": COMMON}, "whose name is no path"),
        (MAIN, {"": COMMON}, "whose name is no path"),
        (MAIN, {"n" * 300: COMMON}, "cannot be written"),
        ('syntax = "proto3";' + "message M {" * 20_000, {}, "Reached maximum recursion limit"),
    ],
)
def test_a_text_that_does_not_compile_is_refused(text: str, references: dict[str, str], words: str) -> None:
    """The reason is the compiler's first sentence, without a path of this machine."""
    with pytest.raises(SchemaRefused, match=words) as caught:
        serialized(text, references)
    assert "/logwarden-" not in str(caught.value)
    assert len(str(caught.value)) < 300


def test_without_the_compiler_the_reason_names_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    """The compiler is large, and most registries need none."""
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(SchemaRefused, match=r"install logwarden\[registry\]"):
        serialized(MAIN, {})


def test_a_compiler_that_hangs_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """A process of its own can be ended."""

    def hangs(*_: Any, **__: Any) -> None:
        raise subprocess.TimeoutExpired("protoc", 20)

    monkeypatch.setattr(subprocess, "run", hangs)
    with pytest.raises(SchemaRefused, match="not compiled within 20 s"):
        serialized(MAIN, {})
