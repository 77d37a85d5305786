"""Texts from source trees: languages, folders that are skipped, limits, and the file that the command writes."""

from __future__ import annotations

import gzip
import json
import struct
import sys
import zipfile
from collections.abc import Mapping
from pathlib import Path

import pytest

from logwarden.training.encoder import text_harvest
from logwarden.training.encoder.distill import read_texts
from logwarden.training.encoder.text_harvest import harvest

GO = """package broker
// Retries the request until the leader answers again.
var errClosed = errors.New("the connection was closed\\nby peer %s")
var name = "word"
"""
C = """/*
 * Releases the pages that no process maps any more.
 */
printk("bad block on device \\"%s\\"");
"""


def _class_file(*constants: str) -> bytes:
    """Returns the head of a Java class file with these strings in its constant pool."""
    pool = b"".join(b"\x01" + struct.pack(">H", len(text)) + text.encode() for text in constants)
    return b"\xca\xfe\xba\xbe" + b"\0" * 4 + struct.pack(">H", len(constants) + 1) + pool


def _tree(root: Path, files: Mapping[str, str | bytes]) -> Path:
    for name, content in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return root


def test_every_language_gives_its_messages(tmp_path: Path) -> None:
    """Literals and comments of Python, Go and C become masked lines, by the first folder below the root."""
    root = _tree(
        tmp_path / "src",
        {
            "shop/cart.py": 'raise ValueError(f"no price for {item} in the list")\n',
            "broker/errors.go": GO,
            "kernel/mm/page.c": C,
            "kernel/readme.txt": '"the readers of text files read nothing here"',
            "alone.py": '"""Serves the page of one customer."""\n"a word of its own"\n',
        },
    )
    assert {package: set(texts) for package, texts in harvest([root]).items()} == {
        "src/shop": {"no price for * in the list"},
        "src/broker": {
            "Retries the request until the leader answers again.",
            "the connection was closed by peer *",
        },
        "src/kernel": {"Releases the pages that no process maps any more.", "bad block on device=*"},
        "src/alone": {"Serves the page of one customer.", "a word of its own"},
    }


def test_jars_give_the_constants_of_their_classes(tmp_path: Path) -> None:
    """String constants of class files in a jar are found; a class of a held-out system is not opened."""
    root = _tree(tmp_path / "java", {"broker/empty.txt": ""})
    with zipfile.ZipFile(root / "broker" / "server.jar", "w") as jar:
        jar.writestr("org/broker/Log.class", _class_file("Rolled the segment at {} bytes", "Code"))
        jar.writestr("org/apache/zookeeper/Quorum.class", _class_file("Elected another leader of the group"))
        jar.writestr("org/broker/notes.txt", "these words are no constants of a class")
    assert harvest([root]) == {"java/broker": ["Rolled the segment at *"]}


def test_service_descriptions_give_their_documentation(tmp_path: Path) -> None:
    """A gzipped description contributes `documentation` and `message` at any depth, without markup."""
    described = {
        "operations": [{"documentation": "<p>Deletes the bucket of a caller. Fails if it has objects.</p>"}],
        "message": "The bucket is not empty",
        "documentation": {"message": "The key of the object is too long"},
        "name": "this text has another name",
    }
    root = _tree(tmp_path / "data", {"s3/service.json.gz": gzip.compress(json.dumps(described).encode())})
    assert set(harvest([root])["data/s3"]) == {
        "Deletes the bucket of a caller.",
        "Fails if it has objects.",
        "The bucket is not empty",
        "The key of the object is too long",
    }


@pytest.mark.parametrize(
    "place",
    [
        "shop/tests/cart.py",
        "shop/vendor/cart.py",
        "shop/node_modules/x/cart.py",
        "shop/__pycache__/cart.py",
        "shop/hadoop_client.py",
        "psycopg/cart.py",
    ],
)
def test_tests_copies_and_held_out_systems_are_skipped(place: str, tmp_path: Path) -> None:
    """Test folders and copies of other projects repeat texts; a held-out system must not teach by its path either."""
    message = '"the customer has no basket"\n'
    assert harvest([_tree(tmp_path / "a", {place: message})]) == {}
    assert harvest([_tree(tmp_path / "b", {"shop/cart.py": message})]) == {"b/shop": ["the customer has no basket"]}


def test_files_that_cannot_be_read_are_reported_and_skipped(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A broken file costs its own texts only and is named; a generated file beyond the limit is skipped."""
    monkeypatch.setattr(text_harvest, "MAX_FILE_BYTES", 60)
    files: dict[str, str | bytes] = {
        "shop/template.py": "class {{ name }}:\n",
        "shop/service.json.gz": gzip.compress(b"no json at all"),
        "shop/generated.py": '"one text of a generated file"\n' * 3,
        "shop/cart.py": '"the customer has no basket"\n',
    }
    assert harvest([_tree(tmp_path / "src", files)]) == {"src/shop": ["the customer has no basket"]}
    reported = capsys.readouterr().err.splitlines()
    assert sorted(line.partition(": ")[0] for line in reported) == [
        "left out service.json.gz",
        "left out template.py",
    ]


def test_a_large_package_is_limited_by_a_seeded_choice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No package exceeds the limit, reading stops at three times the limit, and the seed alone decides the choice."""
    monkeypatch.setattr(text_harvest, "MAX_TEXTS_PER_PACKAGE", 5)
    names = [f"{chr(97 + n // 5)}{chr(97 + n % 5)}" for n in range(25)]
    files = {f"shop/{name}.py": f'"the basket {name} is empty"\n' for name in names}
    root = _tree(tmp_path / "src", files)
    chosen = harvest([root], seed=1)["src/shop"]
    assert len(chosen) == len(set(chosen)) == 5
    assert harvest([root], seed=1)["src/shop"] == chosen
    assert harvest([root], seed=2)["src/shop"] != chosen
    opened: list[str] = []

    def read(path: Path) -> list[str]:
        opened.append(path.name)
        return [f"text of {path.name}"]

    monkeypatch.setattr(text_harvest, "_file_texts", read)
    harvest([root])
    assert len(opened) == 15


def test_the_command_writes_what_distillation_reads(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The command harvests several roots into one file, which the distillation reads package by package."""
    first = _tree(tmp_path / "first", {"shop/cart.py": '"the customer has no basket"\n"the shop is closed today"\n'})
    second = _tree(tmp_path / "second", {"broker/errors.go": 'var e = "the leader is not known"'})
    out = tmp_path / "texts.jsonl.gz"
    monkeypatch.setattr(sys, "argv", ["text_harvest", "--root", str(first), "--root", str(second), "--out", str(out)])
    text_harvest.main()
    found = read_texts(out)
    assert set(found["first/shop"]) == {"the customer has no basket", "the shop is closed today"}
    assert found["second/broker"] == ["the leader is not known"]
    assert capsys.readouterr().out.startswith("3 texts of 2 packages")
