"""What several folders of tests share: the tiny model, and how Hypothesis searches."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

# Shared machines are slow at times, so no example has a deadline; a failure prints the blob that replays it.
settings.register_profile(
    "logwarden",
    deadline=None,
    max_examples=50,
    print_blob=True,
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow],
)
# `--hypothesis-profile=explore` looks where the repeatable search does not.
settings.register_profile("explore", settings.get_profile("logwarden"), derandomize=False, max_examples=1000)
settings.load_profile("logwarden")


@pytest.fixture(scope="session")
def tiny_checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model directory with random weights, a head and an encoder 32 wide. Read it only: all tests share it."""
    from tests.models import save_tiny  # torch: seconds that the tests of small modules need not wait for

    return save_tiny(tmp_path_factory.mktemp("tiny"))
