"""Incidents in virtual time: members die, sends fail half way, groups rebalance, and the incidents are the same."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from logwarden.daemon.incidents import desk
from logwarden.model.incident_fold import IncidentFold
from tests.sim.incidents import Reader, violations


def test_no_fault_changes_an_incident() -> None:
    """Whatever dies and fails, each incident opens once and has the alerts that an undisturbed member gives it."""
    assert list(violations(range(12))) == []


async def _nothing(_: Reader) -> Sequence[tuple[bytes, bytes | None]]:
    return []


@pytest.mark.parametrize(
    ("place", "name", "replacement", "broken"),
    [
        (Reader, "published", _nothing, "an incident opens exactly once"),
        (IncidentFold, "needed_ms", property(lambda fold: fold.clock_ms), "each alert is in exactly one incident"),
        (desk, "known_incident", lambda _: None, "an incident opens exactly once"),
    ],
    ids=["the_topic_is_not_read", "commits_what_was_read", "what_is_known_is_forgotten"],
)
def test_each_safeguard_is_needed(
    monkeypatch: pytest.MonkeyPatch, place: Any, name: str, replacement: Any, broken: str
) -> None:
    """Without a safeguard a named invariant breaks within twenty-five seeds."""
    if name == "known_incident":
        monkeypatch.setattr(desk, "IncidentFold", lambda rules, known: IncidentFold(rules))
    else:
        monkeypatch.setattr(place, name, replacement)
    assert any(broken in names for _, names in violations(range(25)))
