"""Collects messages of Python packages: log statements, severe or not by their level, and raised errors.

The texts are for training only and never shipped. Source files are read as text and not run.
"""

from __future__ import annotations

import ast
import gzip
import json
import random
import re
import warnings
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from logwarden.model.masking import mask_line

_SEVERE = frozenset({"error", "exception", "critical", "fatal"})
_BENIGN = frozenset({"info", "debug"})  # warnings teach neither side: half of them are routine
_LOGGER = re.compile(r"log", re.IGNORECASE)
_MAX_PER_PACKAGE = 150  # of each kind: a large package must not dominate
_NAMES_FAILURE = re.compile(
    r"(?i)\b(errors?|fatal|panic|exception|fail(ed|ure|s)?|denied|refused|time(d)? ?out|abort(ed|ing)?|corrupt(ed|ion)?"
    r"|unable|cannot|could not|lost|broken|unreachable|killed|terminat(ed|ing)|exhausted|exceeded|no space)\b"
)
_WORTH_PARSING = re.compile(r"\blog\w*\.|\braise \w+\(")


@dataclass(frozen=True, slots=True)
class SourceMessage:
    """One masked message. `severe`: logged at error or above, or raised; otherwise logged at info or debug."""

    text: str
    severe: bool


def log_statements(roots: Iterable[Path]) -> list[SourceMessage]:
    """Returns the distinct messages below the roots; a text that is used as severe and as routine is left out."""
    votes: dict[str, set[bool]] = {}
    for root in roots:
        taken: Counter[tuple[str, bool]] = Counter()
        for path in sorted(root.rglob("*.py")):
            package = path.relative_to(root).parts[0]
            if (
                all(taken[package, severe] >= _MAX_PER_PACKAGE for severe in (True, False))
                or taken[package, True] > 600
            ):
                continue
            for text, severe in _statements(path):
                taken[package, severe] += 1
                if taken[package, severe] <= _MAX_PER_PACKAGE:
                    votes.setdefault(text, set()).add(severe)
    return [SourceMessage(text, next(iter(levels))) for text, levels in sorted(votes.items()) if len(levels) == 1]


def harvested_failures(path: Path, *, most: int = 8_000, seed: int = 0) -> list[SourceMessage]:
    """Returns short harvested texts that name a failure, all severe.

    `path`: a file of `logwarden.training.encoder.text_harvest`, with texts of packages in other languages.
    """
    with gzip.open(path, "rt", encoding="utf-8") as rows:
        texts = dict.fromkeys(json.loads(row)["text"] for row in rows)
    short = [text for text in texts if 16 <= len(text) <= 110 and text.count(" ") >= 2 and _NAMES_FAILURE.search(text)]
    chosen = random.Random(seed).sample(short, min(most, len(short)))
    return [SourceMessage(text, True) for text in sorted(chosen)]


def _statements(path: Path) -> Iterator[tuple[str, bool]]:
    source = path.read_text(encoding="utf-8", errors="replace") if path.is_file() else ""
    if not _WORTH_PARSING.search(source):
        return
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # invalid escapes in other projects
            tree = ast.parse(source)
    except (SyntaxError, ValueError, RecursionError):
        return  # a template or a test of the parser: no log statement is lost that matters
    for node in ast.walk(tree):
        if isinstance(node, ast.Raise) and isinstance(node.exc, ast.Call):
            call, severe = node.exc, True
        elif isinstance(node, ast.Call) and (level := _level(node)) is not None:
            call, severe = node, level
        else:
            continue
        if call.args and len(literal := _literal(call.args[0])) >= 8:
            text = mask_line(re.sub(r"%\(?\w*\)?[-#0-9.]*[a-zA-Z]|\{[^{}]*\}", "0", literal))
            if len(re.findall(r"[A-Za-z]{3}", text)) >= 2:
                yield text, severe


def _level(call: ast.Call) -> bool | None:
    """Returns True for a call that logs at a severe level, False for a routine level, None for any other call."""
    if not isinstance(call.func, ast.Attribute):
        return None
    owner = call.func.value
    name = owner.id if isinstance(owner, ast.Name) else owner.attr if isinstance(owner, ast.Attribute) else ""
    level = call.func.attr.lower()
    if not _LOGGER.search(name) or level not in _SEVERE | _BENIGN:
        return None
    return level in _SEVERE


def _literal(node: ast.expr) -> str:
    """Returns the text of a string expression; a part that is known only at run time becomes 0, which is masked."""
    if isinstance(node, ast.Constant):
        return node.value if isinstance(node.value, str) else "0"
    if isinstance(node, ast.JoinedStr):
        return "".join(_literal(part) if isinstance(part, ast.Constant) else "0" for part in node.values)
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
        return _literal(node.left) + _literal(node.right)
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Mod):
        return _literal(node.left)
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "format":
        return _literal(node.func.value)
    return "0"
