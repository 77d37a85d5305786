"""The last step: monotone where sense demands it, silent about services without a history, and floored."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from logwarden.model.checkpoint import DECISION, SHIPPED, load_decision, save_decision
from logwarden.model.decision import HISTORY_LINES, INPUTS, Decision, is_unheard_failure
from logwarden.model.errors import ModelUnreadable

AT = {name: place for place, name in enumerate(INPUTS)}
FAILURE = {"severe": 1.0, "margin": -1.0, "share_in_suspicion": -1.0}


@pytest.fixture(scope="module")
def shipped() -> Decision:
    return load_decision(SHIPPED / DECISION)


def row(lines: int, **values: float) -> np.ndarray:
    """Returns the inputs of a line never logged before, in a service of so many lines."""
    bits = float(np.log2(1 + lines))
    usual = {"log_age": bits, "surprise": bits, "calm_surprise": bits, "distance": 0.5}
    return np.array([[(usual | values).get(name, 0.0) for name in INPUTS]], np.float32)


def test_a_service_without_a_history_is_judged_by_the_head(shipped: Decision) -> None:
    """Trees that ask what is usual have no say where nothing is."""
    assert shipped.margins(row(HISTORY_LINES - 1, margin=0.37))[0] == pytest.approx(0.37)
    assert shipped.margins(row(HISTORY_LINES, margin=0.37))[0] != pytest.approx(0.37)


@pytest.mark.parametrize("lines", [200, 1_000, 5_000])
def test_a_failure_never_stated_before_reaches_the_floor(shipped: Decision, lines: int) -> None:
    """In young and monotone services too; not where it, or a sibling, has stated it in calm time."""
    assert shipped.margins(row(lines, **FAILURE))[0] >= shipped.floor
    for said in ({"calm_log_count": 1.0}, {"elsewhere": 1.0}, {"severe": 0.0}):
        assert not is_unheard_failure(row(lines, **(FAILURE | said))).any()
    assert is_unheard_failure(row(lines, **FAILURE, calm_log_count=0.9)).all()  # three quarters, from suspicion


@pytest.mark.parametrize(
    ("suspicion", "margin", "reaches"), [(1.0, -0.1, False), (1.0, 0.1, True), (0.0, -0.1, True), (0.0, 0.1, True)]
)
def test_what_a_fault_repeats_has_had_its_alert(suspicion: float, margin: float, reaches: bool) -> None:
    """A failure that comes back later has the floor again, and one in a window that reads badly keeps it."""
    again = FAILURE | {"log_count": 2.0, "calm_log_count": 0.6, "suspicion": suspicion, "margin": margin}
    assert is_unheard_failure(row(5_000, **again)).all() == reaches


@pytest.mark.parametrize("lines", [200, 1_000, 5_000, 20_000])
def test_a_connection_lost_to_a_peer_that_stops_is_left_to_the_trees(shipped: Decision, lines: int) -> None:
    """It has a known cause. The same failure without one has the floor."""
    excused = row(lines, **FAILURE, announced=0.9, excused=0.9)
    assert not is_unheard_failure(excused).any()
    assert shipped.margins(excused)[0] == pytest.approx(shipped.trees.scores(excused)[0])


@pytest.mark.parametrize("lines", [200, 1_000, 5_000, 20_000])
def test_an_announced_stop_hides_no_failure_never_stated_before(shipped: Decision, lines: int) -> None:
    """A peer that stops as planned lowers the answer to lines of a service, and never below the floor."""
    assert shipped.margins(row(lines, **FAILURE, announced=1.0))[0] >= shipped.floor
    plain, announced = (shipped.margins(row(lines, margin=3.0, announced=share))[0] for share in (0.0, 1.0))
    assert announced <= plain


@pytest.mark.parametrize("name", [name for name, sign in INPUTS.items() if sign])
def test_answers_move_only_as_sense_demands(shipped: Decision, name: str) -> None:
    """Over random lines, a greater input never moves the answer against its sign."""
    chance = np.random.default_rng(1)
    rows = chance.uniform(0, 14, (2_000, len(INPUTS))).astype(np.float32)
    rows[:, AT["margin"]] = chance.normal(0, 3, len(rows))
    rows[:, AT["log_age"]] = chance.uniform(8, 14, len(rows))
    for flag in ("severe", "warns", "soothes", "suspicion"):
        rows[:, AT[flag]] = chance.integers(0, 2, len(rows))
    raised = rows.copy()
    raised[:, AT[name]] += chance.uniform(0, 5, len(rows)).astype(np.float32)
    moved = shipped.trees.scores(raised) - shipped.trees.scores(rows)
    assert (INPUTS[name] * moved >= -1e-6).all()


def test_a_stored_step_is_the_same_step(shipped: Decision, tmp_path: Path) -> None:
    """What was saved is loaded, readable for every user."""
    path = tmp_path / DECISION
    save_decision(path, shipped)
    rows = np.concatenate([row(lines) for lines in (300, 3_000)])
    np.testing.assert_array_equal(load_decision(path).margins(rows), shipped.margins(rows))
    assert path.stat().st_mode & 0o444 == 0o444


def test_files_of_another_form_are_refused(shipped: Decision, tmp_path: Path) -> None:
    """A cut file, a missing array and a question about an unknown input, each in one sentence."""
    path, arrays = tmp_path / DECISION, load_file(SHIPPED / DECISION)
    bad: dict[str, np.ndarray]
    for bad in ({}, arrays | {"inputs": arrays["inputs"] + len(INPUTS)}, arrays | {"leaves": arrays["leaves"][:, :4]}):
        save_file(bad, path)
        with pytest.raises(ModelUnreadable, match="cannot be read"):
            load_decision(path)
    path.write_bytes(b"no arrays")
    with pytest.raises(ModelUnreadable, match="cannot be read"):
        load_decision(path)
