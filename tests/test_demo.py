"""The demo as a test: the real daemon in a process of its own, an embedded broker, the shipped recording."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from logwarden.demo.playback import RECORDING, Demo, DemoResult
from logwarden.training.faultlab import recording as recordings

pytest.importorskip("confluent_kafka", reason="the demo's embedded broker is in the extra `demo`")


@pytest.fixture(scope="module")
def shown() -> tuple[DemoResult, str]:
    """Runs the demo once, fast, for all tests of this file. Returns its result and its output."""
    console = Console(file=io.StringIO(), width=120)
    result = Demo(console, fast=True).play(recordings.load_recording(RECORDING))
    assert isinstance(console.file, io.StringIO)
    return result, console.file.getvalue()


@pytest.mark.timeout(240)
def test_every_line_is_scored_and_the_daemon_drains(shown: tuple[DemoResult, str]) -> None:
    """No line of the recording is lost between the topic and the model, and SIGTERM ends the daemon with 0."""
    result, _ = shown
    assert result.scored == result.windows
    assert result.scored + result.joined == result.lines == len(recordings.load_recording(RECORDING).lines)
    assert result.exit_code == 0


@pytest.mark.timeout(240)
def test_every_injected_fault_is_found(shown: tuple[DemoResult, str]) -> None:
    """Each injected fault raises an alert during the fault or just after it."""
    result, printed = shown
    assert result.missed == []
    assert "not found" not in printed


@pytest.mark.timeout(240)
def test_the_clean_part_raises_no_incident(shown: tuple[DemoResult, str]) -> None:
    """Planned restarts, reloads, a load spike and an idle time raise no alert."""
    result, _ = shown
    assert result.clean_incidents == 0
