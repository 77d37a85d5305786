"""Prints labelled lines for a person to check, and compares labels with a reader's judgement. Changes no label.

`audit` prints, system by system and fault by fault, the labelled forms and the others in reach. `audit --sample FILE`
draws lines for a reader who does not see the label: labelled lines, lines in reach of a fault without a label, and
lines of fault-free time. The reader fills in `says_wrong`; `audit --agreement FILE` counts."""

import json
import random
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from logwarden.training.faultlab.labels import State, forms_of
from logwarden.training.faultlab.release import LabelledRun

AUDIT = "audit.jsonl"
# Per system. Labelled lines are the claim; among the others in reach a symptom may have been overlooked.
_SHARES = {State.EVIDENCE: 10, State.QUIET: 8, State.NORMAL: 5}
_EXAMPLE_CHARS = 160
_FORMS_SHOWN = 12


def listing(runs: Sequence[LabelledRun]) -> Iterator[str]:
    """Yields the labelled forms of each fault of each system, and the forms in reach without a label."""
    for system in dict.fromkeys(run.system for run in runs):
        its = [run for run in runs if run.system == system]
        yield f"\n=== {system}"
        names = dict.fromkeys(event.name for run in its for event in run.recording.faults)
        for name in names:
            yield f"--- {name}"
            labelled: Counter[str] = Counter()
            passed_over: Counter[str] = Counter()
            example: dict[str, str] = {}
            for run in its:
                forms = forms_of(run.recording.lines)
                numbers = [n for n, event in enumerate(run.recording.faults) if event.name == name]
                for place in np.flatnonzero(np.isin(run.labels.fault, numbers)):
                    line, form = run.recording.lines[place], forms[place]
                    example.setdefault(form, f"{line.service}: {line.text}"[:_EXAMPLE_CHARS])
                    (labelled if run.labels.states[place] == State.EVIDENCE else passed_over)[form] += 1
            for sign, found in (("+", labelled), (" ", passed_over)):
                yield from (f"{sign} {count:5}  {example[form]}" for form, count in found.most_common(_FORMS_SHOWN))
                if len(found) > _FORMS_SHOWN:
                    yield f"{sign}        and {len(found) - _FORMS_SHOWN} more forms"


def sample(runs: Sequence[LabelledRun], seed: int) -> list[dict[str, Any]]:
    """Returns lines of every system in a random order without their labels; no form of a system twice in one state."""
    rng = random.Random(seed)
    rows = []
    for system in dict.fromkeys(run.system for run in runs):
        for state, share in _SHARES.items():
            places: dict[str, tuple[LabelledRun, int]] = {}
            for run in (run for run in runs if run.system == system):
                forms = forms_of(run.recording.lines)
                for place in np.flatnonzero(run.labels.states == state).tolist():
                    # One line of each form, whichever comes first in a shuffled order.
                    if forms[place] not in places or rng.random() < 0.1:
                        places[forms[place]] = (run, place)
            chosen = rng.sample(sorted(places), min(share, len(places)))
            rows += [_row(*places[form]) for form in chosen]
    rng.shuffle(rows)
    return rows


def _row(run: LabelledRun, place: int) -> dict[str, Any]:
    line = run.recording.lines[place]
    number = int(run.labels.fault[place])
    event = run.recording.faults[number] if number >= 0 else None
    return {
        "system": run.system,
        "repetition": run.repetition,
        "line": place,
        "fault": f"{event.name}: {event.what}" if event else "none",
        "service": line.service,
        "text": line.text,
        "says_wrong": None,
    }


def read_judged(path: Path) -> list[dict[str, Any]]:
    """Returns the judged rows of a sample."""
    rows = [json.loads(row) for row in path.read_text().split("\n") if row]
    return [row for row in rows if row["says_wrong"] is not None]


def agreement(runs: Sequence[LabelledRun], judged: Iterable[dict[str, Any]]) -> str:
    """Counts how often reader and rule agree: all, labelled, in reach without label, fault-free lines, by system."""
    by_name = {(run.system, run.repetition): run for run in runs}
    agreed: Counter[str] = Counter()
    judged_lines: Counter[str] = Counter()
    for row in judged:
        run = by_name[row["system"], row["repetition"]]
        assert run.recording.lines[row["line"]].text == row["text"], "the sample was drawn from these recordings"
        state = State(int(run.labels.states[row["line"]]))
        same = row["says_wrong"] == (state == State.EVIDENCE)
        for key in ("all", state.name.lower(), row["system"]):
            judged_lines[key] += 1
            agreed[key] += same
    return "\n".join(
        f"{key:12} {agreed[key]:4} of {count:4}  {agreed[key] / count:.3f}" for key, count in judged_lines.items()
    )
