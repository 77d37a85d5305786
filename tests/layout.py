"""Where the packages lie in the repository, as pyproject.toml says it, and a folder of links that shows them as one.

mypy and import-linter look for `logwarden.daemon` in `logwarden/daemon/` and do not read setuptools' table of folders.
`python -m tests.layout FOLDER` links the folders to the places where they would be installed: `make lint` does that.
"""

from __future__ import annotations

import sys
import tomllib
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
NAME = "logwarden"


def setuptools_table() -> dict[str, Any]:
    """`[tool.setuptools]` of pyproject.toml."""
    table: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["setuptools"]
    return table


def folders() -> dict[str, Path]:
    """Package → its folder, for the packages that have a folder at the top of the repository."""
    return {package: ROOT / folder for package, folder in setuptools_table()["package-dir"].items()}


def found_packages() -> list[str]:
    """The packages that the folders hold, by their `__init__.py`, sorted."""
    return sorted(
        ".".join((package, *marker.parent.relative_to(folder).parts))
        for package, folder in folders().items()
        for marker in folder.rglob("__init__.py")
    )


def link(target: Path) -> None:
    """Makes `target`/logwarden: what the public folder holds, and beside it a link for every other package."""
    package = target / NAME
    package.mkdir(parents=True, exist_ok=True)
    for old in package.iterdir():
        if old.is_symlink():
            old.unlink()
    tops = folders()
    for path in tops.pop(NAME).iterdir():
        if path.name != "__pycache__":
            (package / path.name).symlink_to(path.resolve())
    for name, folder in tops.items():
        (package / name.removeprefix(f"{NAME}.")).symlink_to(folder.resolve())


if __name__ == "__main__":
    link(Path(sys.argv[1]))
