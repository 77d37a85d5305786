"""One word, one thing: no two public classes of the product share a name."""

from __future__ import annotations

import ast
from collections.abc import Iterable
from pathlib import Path

ROOT = Path(__file__).parent.parent
PACKAGES = ("daemon", "demo", "logwarden", "model", "training")

PENDING = frozenset({"Clients", "Judged", "Ports", "Refused", "Session", "Source"})
"""Names that two classes still share. A name that has become unique leaves this table; none is added."""


def public_classes(source: str) -> list[str]:
    """Names of the classes at the top of a module that do not begin with an underscore."""
    return [n.name for n in ast.parse(source).body if isinstance(n, ast.ClassDef) and not n.name.startswith("_")]


def shared(sources: Iterable[tuple[str, str]]) -> dict[str, list[str]]:
    """Class name → paths, for the names that more than one file defines. `sources` are pairs of path and text."""
    places: dict[str, list[str]] = {}
    for path, source in sources:
        for name in public_classes(source):
            places.setdefault(name, []).append(path)
    return {name: paths for name, paths in places.items() if len(paths) > 1}


def product() -> list[tuple[str, str]]:
    """Path and text of every Python file of the product."""
    files = [path for package in PACKAGES for path in sorted((ROOT / package).rglob("*.py"))]
    return [(path.relative_to(ROOT).as_posix(), path.read_text(encoding="utf-8")) for path in files]


def test_no_two_public_classes_share_a_name() -> None:
    """A class name in a review, a trace or a search leads to one class."""
    found = shared(product())
    assert {name: paths for name, paths in found.items() if name not in PENDING} == {}
    assert sorted(PENDING - found.keys()) == [], "these names are unique now: remove them from PENDING"


def test_a_shared_name_is_found() -> None:
    """Two files with a class of one name are found; private classes and inner ones may repeat."""
    one = "class Judge: ...\nclass _Row: ...\nclass A:\n    class Inner: ...\n"
    two = "class Judge: ...\nclass _Row: ...\nclass B:\n    class Inner: ...\n"
    assert shared([("a.py", one), ("b.py", two)]) == {"Judge": ["a.py", "b.py"]}


def test_the_classes_are_found() -> None:
    """A check that looked at nothing would always hold."""
    assert sum(len(public_classes(source)) for _, source in product()) > 100
