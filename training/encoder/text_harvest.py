"""Harvests short technical texts from source trees, to train the line encoder on the language of software.

Finds string literals, docstrings, comments and message constants in Python, Go, C and Java class files. Placeholders
become ``*``, and texts are masked as the product masks log lines. The texts train the encoder and are never shipped. A
text that names a held-out system is dropped. Knows no model.

    python -m logwarden.training.encoder.text_harvest --root DIR [--root DIR …] --out texts.jsonl.gz
"""

from __future__ import annotations

import argparse
import ast
import gzip
import json
import random
import re
import struct
import sys
import warnings
import zipfile
from collections import defaultdict
from collections.abc import Iterable, Iterator
from pathlib import Path

from logwarden.model.masking import mask_line

MAX_FILE_BYTES = 2_000_000
"""A longer source file is generated and repeats the same texts thousands of times."""

MAX_TEXTS_PER_PACKAGE = 9_000
"""Limit of one package, so that a large one does not dominate."""

_HELD_OUT = re.compile(r"(?i)postgres|psycopg|pgbouncer|hdfs|hadoop|datanode|namenode|zookeeper|quorum")
_SKIPPED_FOLDERS = {"tests", "test", "testdata", "locale", "vendor", "node_modules", "__pycache__", "site-packages"}
_PLACEHOLDER = re.compile(
    r"%%|%(?:\(\w+\))?[-+ #0*]*\d*(?:\.\d+)?(?:hh|ll|[hlLqjzt])?[diouxXeEfFgGcrsavTpqtw]|\$?\{[^{}\n]{0,60}\}"
)
_MARKUP = re.compile(r":\w+:`~?|<[^<>]{1,80}>|[`|]+|\*\*")
_WORDS = re.compile(r"[A-Za-z]{2,}")
_LITERAL = re.compile(r'"((?:[^"\\\n]|\\.){8,400})"')
_COMMENT = re.compile(r"^[ \t]*(?://|\*) ([A-Z][^\n]{20,300})$", re.M)
_ESCAPE = re.compile(r"\\[nrt]|\\(.)")
_SENTENCE_END = re.compile(r"(?<=[.!?:])\s+(?=[A-Z])|\n\s*\n")


def clean(text: str) -> str:
    """Returns a literal as the line encoder would read it in a log; empty if it is no technical prose."""
    text = _PLACEHOLDER.sub(lambda found: "%" if found[0] == "%%" else "*", _MARKUP.sub("", text))
    masked = mask_line(text[:600])
    letters = sum(c.isalpha() or c == " " for c in masked)
    fit = len(_WORDS.findall(masked)) >= 2 and len(masked) >= 10 and letters >= 0.6 * len(masked)
    return masked if fit and not _HELD_OUT.search(masked) else ""


def sentences(text: str) -> Iterator[str]:
    """Yields the first eight sentences of a docstring or description."""
    for sentence in _SENTENCE_END.split(text.strip())[:8]:
        yield " ".join(sentence.split())


def python_texts(source: str) -> Iterator[str]:
    """Yields message literals, f-strings with ``*`` for their expressions, and sentences of docstrings."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # old sources contain invalid escapes
        tree = ast.parse(source)
    inside: set[int] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.JoinedStr):
            inside.update(id(part) for part in node.values)
            yield "".join(str(p.value) if isinstance(p, ast.Constant) else "*" for p in node.values)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in inside:
            if "\n" in node.value or len(node.value) > 240:
                yield from sentences(node.value)
            elif " " in node.value:
                yield node.value


def curly_texts(source: str) -> Iterator[str]:
    """Yields string literals and sentences of comments of a language with braces (Go, C, Java)."""
    for found in _LITERAL.finditer(source):
        if " " in found[1]:
            yield _ESCAPE.sub(lambda escape: escape[1] or " ", found[1])
    for found in _COMMENT.finditer(source):
        yield from sentences(found[1])


def class_texts(content: bytes) -> Iterator[str]:
    """Yields the string constants of a Java class file by walking its constant pool."""
    if content[:4] != b"\xca\xfe\xba\xbe":
        return
    sizes = {3: 4, 4: 4, 5: 8, 6: 8, 7: 2, 8: 2, 9: 4, 10: 4, 11: 4, 12: 4, 15: 3, 16: 2, 17: 4, 18: 4, 19: 2, 20: 2}
    (count,) = struct.unpack_from(">H", content, 8)
    at, index = 10, 1
    while index < count:
        tag = content[at]
        if tag == 1:
            (length,) = struct.unpack_from(">H", content, at + 1)
            text = content[at + 3 : at + 3 + length].decode("utf-8", "replace")
            # \1 stands for an argument in the recipe of a concatenation.
            if " " in text:
                yield text.replace("\x01", "*").replace("{}", "*")
            at += 3 + length
        else:
            at += 1 + sizes[tag]
        index += 2 if tag in (5, 6) else 1  # long and double take two places


def described_texts(content: bytes) -> Iterator[str]:
    """Yields the ``documentation`` and ``message`` strings of a (gzipped) JSON service description."""
    waiting = [json.loads(gzip.decompress(content))]
    while waiting:
        node = waiting.pop()
        if isinstance(node, dict):
            for name, value in node.items():
                if name in ("documentation", "message") and isinstance(value, str):
                    yield from sentences(re.sub(r"<[^>]+>", " ", value))
                else:
                    waiting.append(value)
        elif isinstance(node, list):
            waiting.extend(node)


def harvest(roots: Iterable[Path], *, seed: int = 0) -> dict[str, list[str]]:
    """Returns package (first folder below a root) → its distinct cleaned texts, at most `MAX_TEXTS_PER_PACKAGE`."""
    chance = random.Random(seed)
    found: dict[str, dict[str, None]] = defaultdict(dict)
    for root in roots:
        paths = [path for path in sorted(root.rglob("*")) if path.suffix in _SUFFIXES]
        chance.shuffle(paths)  # so that the limit does not keep the first files of the alphabet
        for path in paths:
            parts = path.relative_to(root).parts
            if _SKIPPED_FOLDERS & set(parts) or _HELD_OUT.search("/".join(parts)):
                continue
            package = found[f"{root.name}/{parts[0].removesuffix('.py')}"]
            if len(package) < 3 * MAX_TEXTS_PER_PACKAGE:
                package.update(dict.fromkeys(_file_texts(path)))
    kept = {}
    for name, raw in sorted(found.items()):
        # Cleaning costs more than finding, so the choice comes first.
        chosen = chance.sample(list(raw), min(len(raw), MAX_TEXTS_PER_PACKAGE))
        kept[name] = [text for text in dict.fromkeys(map(clean, chosen)) if text]
    return kept


def _file_texts(path: Path) -> Iterator[str]:
    suffix = "".join(path.suffixes[-2:]) if path.name.endswith(".json.gz") else path.suffix
    if suffix == ".jar" and path.is_file():
        with zipfile.ZipFile(path) as jar:
            for member in jar.namelist():
                if member.endswith(".class") and not _HELD_OUT.search(member):
                    yield from class_texts(jar.read(member))
    elif suffix in _READERS and path.is_file() and path.stat().st_size <= MAX_FILE_BYTES:
        try:
            yield from _READERS[suffix](path.read_bytes())
        except (SyntaxError, ValueError, RecursionError) as reason:
            print(f"left out {path.name}: {reason}", file=sys.stderr)


_READERS = {
    ".py": lambda content: python_texts(content.decode("utf-8", "replace")),
    ".go": lambda content: curly_texts(content.decode("utf-8", "replace")),
    ".c": lambda content: curly_texts(content.decode("utf-8", "replace")),
    ".h": lambda content: curly_texts(content.decode("utf-8", "replace")),
    ".java": lambda content: curly_texts(content.decode("utf-8", "replace")),
    ".json.gz": described_texts,
}
_SUFFIXES = {".gz", ".jar", *_READERS}


def main() -> None:
    """Runs the command line: harvests the roots into a gzipped file of ``{"package": …, "text": …}`` lines."""
    parser = argparse.ArgumentParser(description="Harvest technical texts from source trees.")
    parser.add_argument("--root", type=Path, action="append", required=True, help="a source tree; repeatable")
    parser.add_argument("--out", type=Path, required=True, help="file to write, ending in .jsonl.gz")
    arguments = parser.parse_args()
    packages = harvest(arguments.root)
    with gzip.open(arguments.out, "wt", encoding="utf-8") as out:
        for name, texts in packages.items():
            for text in texts:
                out.write(json.dumps({"package": name, "text": text}) + "\n")
    print(f"{sum(map(len, packages.values()))} texts of {len(packages)} packages → {arguments.out}")


if __name__ == "__main__":
    main()
