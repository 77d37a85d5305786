"""Files that coverage leaves out: each pattern still names a file, so that no exception outlives its reason."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parent.parent
TABLES: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["coverage"]


@pytest.mark.parametrize("pattern", TABLES["run"]["omit"])
def test_what_is_left_out_is_there(pattern: str) -> None:
    """A shell that was moved or removed leaves the table too, or a new file would inherit its exception."""
    assert any(path.suffix == ".py" for path in ROOT.glob(pattern if not pattern.endswith("**") else f"{pattern}/*.py"))


def test_every_folder_of_the_product_is_measured() -> None:
    """A new package at the top of the repository is measured from its first commit."""
    tops = {path.parent.name for path in ROOT.glob("*/__init__.py")} - {"tests"}
    assert set(TABLES["run"]["source"]) == tops
