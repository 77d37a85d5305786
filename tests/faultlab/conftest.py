"""Decides what happens where a system's programs are not installed: its tests are skipped with the packages' names.

With LOGWARDEN_REQUIRE_FAULTLAB=1, as CI sets it, they fail instead, so that a broken machine never passes for green.
"""

from __future__ import annotations

import os
from collections.abc import Callable

import pytest

from logwarden.training.faultlab.systems import build


@pytest.fixture
def needs() -> Callable[[str], None]:
    """Called with the name of a system, it skips or fails the test where that cannot run."""

    def check(system: str) -> None:
        missing = build(system, 0).missing()
        if missing and os.environ.get("LOGWARDEN_REQUIRE_FAULTLAB") == "1":
            pytest.fail(f"apt-get install {' '.join(missing)}", pytrace=False)
        if missing:
            pytest.skip(f"apt-get install {' '.join(missing)}")  # CI sets the variable and fails above

    return check
