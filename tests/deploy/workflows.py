"""Checks the workflows by actionlint."""

from __future__ import annotations

from tests.deploy.tools import ROOT, run, tool

WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))


def check_workflows() -> list[str]:
    """Runs the check. Returns a sentence."""
    assert WORKFLOWS
    run([tool("actionlint"), *map(str, WORKFLOWS)])
    return [f"actionlint has no complaint about {len(WORKFLOWS)} workflows"]
