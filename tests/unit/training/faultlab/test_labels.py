"""The rule that labels lines, on recordings small enough to label by eye."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from logwarden.training.faultlab.confounds import facts_of, shortcuts, ten_seconds, thirty_two_lines, windows_of
from logwarden.training.faultlab.labels import (
    ERROR_LEVEL,
    State,
    at_error_level,
    label,
    load_labels,
    load_reviewed,
    save_labels,
)
from logwarden.training.faultlab.recording import Recording
from tests.tapes import fault, recording, restart


def states(*runs: Recording, reviewed: Sequence[str] = ()) -> list[list[State]]:
    return [[State(value) for value in its.states.tolist()] for its in label(runs, reviewed)]


def test_a_line_unknown_to_fault_free_time_is_evidence() -> None:
    """A form in reach of a fault is evidence unless fault-free time contains it."""
    run = recording(
        [fault("kill", 10, 20)],
        (1, "db", "served 17 clients"), (12, "db", "served 3 clients"), (13, "db", "lost the disk"),
    )  # fmt: skip
    assert states(run) == [[State.NORMAL, State.QUIET, State.EVIDENCE]]


def test_fault_free_time_of_any_run_and_service_counts() -> None:
    """A form that another service logs in the fault-free time of another run is known."""
    here = recording([fault("kill", 10, 20)], (13, "db", "lost peer 4"))
    assert states(here) == [[State.EVIDENCE]]
    there = recording([], (13, "cache", "lost peer 9"))
    assert states(here, there)[0] == [State.QUIET]


def test_planned_restart_makes_its_banner_normal() -> None:
    """Lines of a planned restart are normal, so the banner after a kill is no evidence of it."""
    run = recording([restart(1, 3), fault("kill", 10, 20)], (2, "db", "ready to serve"), (15, "db", "ready to serve"))
    assert states(run) == [[State.NORMAL, State.QUIET]]


def test_error_level_is_evidence_even_if_familiar() -> None:
    """A line at ERROR level in reach of a fault is evidence, even if its form is known."""
    run = recording([fault("kill", 10, 20)], (1, "db", "ERROR: no row 7"), (12, "db", "ERROR: no row 9"))
    assert states(run) == [[State.NORMAL, State.EVIDENCE]]


def test_reviewed_form_is_no_evidence() -> None:
    """A form that a reader found to be no symptom is not labelled, whatever its level."""
    run = recording([fault("kill", 10, 20)], (12, "db", "ERROR: no row 9"))
    assert states(run, reviewed=["ERROR: no row *"]) == [[State.QUIET]]


def test_no_line_outside_a_fault_is_evidence() -> None:
    """Lines before a fault, after its recovery and of services out of reach are not evidence."""
    run = recording(
        [fault("kill", 10, 20)],
        (9.9, "db", "FATAL one"), (12, "web", "FATAL two"), (39.9, "db", "FATAL three"), (40.1, "db", "FATAL four"),
    )  # fmt: skip
    assert states(run) == [[State.NORMAL, State.ELSEWHERE, State.RECOVERY, State.NORMAL]]


def test_next_fault_begins_in_the_tail_of_the_last() -> None:
    """A line between two faults that follow closely belongs to the second one from its injection on."""
    run = recording([fault("one", 10, 20), fault("two", 25, 30)], (24, "db", "odd"), (26, "db", "odd"))
    assert states(run) == [[State.RECOVERY, State.EVIDENCE]]
    assert label([run])[0].fault.tolist() == [-1, 1]
    assert label([run])[0].silent == ("one",)


def test_labels_survive_the_disk(tmp_path: Path) -> None:
    """Loaded labels equal the saved ones, silent faults included."""
    bad = ((11 + n / 10, "db", "bad" + "!" * (n // 4)) for n in range(8))
    calm = ((t, "db", "ok") for t in (12.0, 45.0))
    run = recording([fault("loud", 10, 20), fault("quiet", 40, 50)], (1, "db", "ok"), *bad, *calm)
    (labels,) = label([run])
    save_labels(run, labels, tmp_path)
    again = load_labels(run, tmp_path)
    assert again.silent == labels.silent == ("quiet",)
    assert np.array_equal(again.states, labels.states)
    assert np.array_equal(again.fault, labels.fault)


def test_level_words_of_the_systems_recorded() -> None:
    """The level is found where each product writes it, and not in prose."""
    for text in (
        "2026 [1] app ERROR:  deadlock detected", "[error] 7#7: connect() failed", "[proxy:error] AH0: x",
        '{"level":"fatal","msg":"x"}', "general: error: zone lab/IN", "24-Nov SEVERE [main] x", "x [crit] y",
        'ts=1 level=error msg="x"', "level=fatal",
    ):  # fmt: skip
        assert ERROR_LEVEL.search(text), text
        assert at_error_level(text), text
    for text in ("no error occurred", "errors=0", '{"level":"info","error":null}', "GET /error 200", "ErrorLog level",
                 "loglevel=error", "level=errors"):  # fmt: skip
        assert not at_error_level(text), text


def test_shortcuts_are_found() -> None:
    """A recording whose faults follow from the count, the time or the level word has an area of 1 for each."""
    calm = [(float(t), "db", "fine") for t in range(100)]
    loud = [(100 + t / 10, "db", "ERROR odd") for t in range(300)]
    run = recording([fault("storm", 100, 130)], *calm, *loud)
    for cut in (ten_seconds, thirty_two_lines):
        found = shortcuts(windows_of(facts_of([run], label([run])), cut))
        assert found["line count"] == found["level word"] == found["time since start"] == 1.0
        assert found["start-up banner"] == 0.5


def test_banner_of_a_planned_restart_is_a_shortcut_of_its_own() -> None:
    """The banner alone reveals faults that all end in a restart, although no banner is labelled."""
    served = [(t + 0.5, "db", "served") for t in range(0, 300, 10)]
    ready = [(t, "db", "ready") for t in (2.0, 105.0, 205.0)]
    lost = [(t, "db", "lost one") for t in (106.0, 206.0)]
    events = [restart(1, 3), fault("kill", 100, 109), fault("kill again", 200, 209)]
    run = recording(events, *sorted([*served, *ready, *lost]))
    found = shortcuts(windows_of(facts_of([run], label([run]))))
    assert found["start-up banner"] > 0.95
    assert found["level word"] == 0.5


def test_reviewed_forms_are_read_with_their_reasons(tmp_path: Path) -> None:
    """Every reviewed form has a reason beside it; without a file there are none."""
    assert load_reviewed(tmp_path) == {}
    (tmp_path / "reviewed.json").write_text('{"db": [{"form": "ready", "reason": "a banner"}]}')
    assert load_reviewed(tmp_path) == {"db": ["ready"]}
