"""A campaign of many worlds: it continues where it stopped, and no broken world goes unnoticed."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.sim import campaign
from tests.sim.scenarios import SCENARIOS, Scenario
from tests.sim.world import Outcome


def counting(monkeypatch: pytest.MonkeyPatch, breaks_at: int | None = None) -> list[tuple[str, int]]:
    """Replaces the simulation by one that holds at every seed but one. Returns the list of the worlds that ran."""
    ran: list[tuple[str, int]] = []

    def simulate(scenario: Scenario, seed: int) -> Outcome | None:
        ran.append((scenario.name, seed))
        if seed == breaks_at:
            raise AssertionError("it broke")
        return None

    monkeypatch.setattr(campaign, "simulate", simulate)
    return ran


def test_a_campaign_continues_where_it_stopped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A second run of the same code runs the missing worlds only, even behind a line that was cut in the middle."""
    ran = counting(monkeypatch)
    results = tmp_path / "results.jsonl"
    arguments = ["--workers", "1", "--out", str(results), "--worlds"]
    assert campaign.main([*arguments, "20"]) == 0
    results.write_bytes(results.read_bytes()[:-5] + b"\n")
    assert campaign.main([*arguments, "30"]) == 0
    assert len(ran) == 31
    assert len(set(ran)) == 30
    assert {name for name, _ in ran} >= set(list(SCENARIOS)[:20])


def test_a_broken_world_fails_every_run_and_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A violation makes the exit code 1, also when an earlier run found it, and names the command that replays it."""
    counting(monkeypatch, breaks_at=1)
    arguments = ["--workers", "1", "--scenario", "calm", "--worlds", "3", "--out", str(tmp_path / "results")]
    assert campaign.main(arguments) == 1
    assert "replay: python -m tests.sim --scenario calm --seed 1" in capsys.readouterr().out
    counting(monkeypatch)
    assert campaign.main(arguments) == 1
    assert "       1" in capsys.readouterr().out


def test_results_of_other_code_do_not_count(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """After a change of the code every world runs again."""
    ran = counting(monkeypatch)
    arguments = ["--workers", "1", "--worlds", "3", "--out", str(tmp_path / "results")]
    campaign.main(arguments)
    monkeypatch.setattr(campaign, "digest", lambda: "other")
    campaign.main(arguments)
    assert len(ran) == 6


def test_workers_run_real_worlds(tmp_path: Path) -> None:
    """Two processes run the worlds of a scenario and report each of them."""
    arguments = ["--workers", "2", "--scenario", "calm", "--worlds", "2", "--out", str(tmp_path / "results")]
    assert campaign.main(arguments) == 0
    assert sorted(result.seed for result in campaign.read(tmp_path / "results")) == [0, 1]
