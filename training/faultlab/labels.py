"""Labels the lines of a recording by a written rule. Reads recordings; knows neither models nor systems.

A line is **anomalous** if it is in reach of a fault (the fault can reach its service, and it was read
between injection and recovery) and

1. its masked form was never written in fault-free time, in any run of that system, by any of its services; or
2. it is at ERROR level or worse;

unless a reader has listed the form in `reviewed.json` as no symptom. Fault-free is all time except that from an
injection to `RECOVERY_TAIL_S` after the recovery. Planned changes are fault-free time, so lines of a planned restart
are normal.

A line that is not anomalous is normal only in fault-free time. The others are in doubt: a service out of reach may have
noticed the fault after all, and lines just after a recovery belong to neither side. Masked forms are the product's own
(`logwarden.model.masking`).

Legend: n lines of a run
"""

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum
from itertools import compress
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from logwarden.model.masking import VERSION as MASKING_VERSION
from logwarden.model.masking import canonical, mask_blob
from logwarden.training.faultlab.recording import RECOVERY_TAIL_S, Line, Recording

LABELS = "labels.json"
REVIEWED = "reviewed.json"
RULE_VERSION = 2

Bools = npt.NDArray[np.bool_]

# The word that a logger writes for its level, in the spellings of the recorded systems: upper case as a word, lower
# case in brackets (nginx, RabbitMQ, Apache), as a JSON field (etcd), before a colon (BIND, sshd), as a field of logfmt
# (Prometheus).
ERROR_LEVEL = re.compile(
    r"\b(?:ERROR|FATAL|PANIC|SEVERE|CRITICAL|EMERG(?:ENCY)?)\b"
    r"|\[(?:\w+:)?(?:error|crit|alert|emerg)\]"
    r'|"level":"(?:error|d?panic|fatal)"'
    r"|(?:^|: )(?:error|fatal|critical): "
    r"|(?:^| )level=(?:error|crit|critical|fatal|panic)(?: |$)"
)


# Every match of ERROR_LEVEL contains one of these, and few lines do; the search for them is ten times faster.
_LEVEL_PARTS = ("error", "fatal", "panic", "severe", "crit", "emerg", "alert")


class State(IntEnum):
    """The state of a line, or of a window of lines."""

    NORMAL = 0
    """In fault-free time."""
    EVIDENCE = 1
    """Evidence of a fault; for a window: at least one such line."""
    QUIET = 2
    """In reach of a fault and no evidence of it."""
    RECOVERY = 3
    """Within `RECOVERY_TAIL_S` after a recovery."""
    ELSEWHERE = 4
    """During a fault that cannot reach this service."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunLabels:
    """The labels of one run's n lines."""

    states: npt.NDArray[np.uint8]
    """(n,) values of `State`."""
    fault: npt.NDArray[np.int16]
    """(n,) index into `Recording.faults` of the fault in whose reach the line is; -1 for none."""
    silent: tuple[str, ...]
    """Faults without an anomalous line."""

    @property
    def anomalous(self) -> Bools:
        """Returns (n,) the lines that are evidence of a fault."""
        return np.asarray(self.states == State.EVIDENCE)


def label(runs: Sequence[Recording], reviewed: Iterable[str] = ()) -> list[RunLabels]:
    """Labels all runs of one system together. `reviewed`: masked forms that a reader found to be no symptom."""
    placed = [_place(run) for run in runs]
    formed = [forms_of(run.lines) for run in runs]
    familiar: set[str] = set()
    for (states, _), forms in zip(placed, formed, strict=True):
        familiar.update(compress(forms, (states == State.NORMAL).tolist()))
    harmless = frozenset(reviewed)
    labelled = []
    for run, (states, fault), forms in zip(runs, placed, formed, strict=True):
        for place in np.flatnonzero(states == State.QUIET):
            form = forms[place]
            symptom = form not in familiar or at_error_level(run.lines[place].text)
            if symptom and form not in harmless:
                states[place] = State.EVIDENCE
        with_evidence = set(fault[states == State.EVIDENCE].tolist())
        silent = tuple(event.name for number, event in enumerate(run.faults) if number not in with_evidence)
        labelled.append(RunLabels(states=states, fault=fault, silent=silent))
    return labelled


def at_error_level(text: str) -> bool:
    """Returns True for a line whose logger wrote a level of ERROR or worse."""
    lower = text.lower()
    return any(part in lower for part in _LEVEL_PARTS) and ERROR_LEVEL.search(text) is not None


def forms_of(lines: Sequence[Line]) -> list[str]:
    """Returns the masked form of every line."""
    if not lines:
        return []
    blob = b"".join(line.text.replace("\n", " ").encode("utf-8", "replace") + b"\n" for line in lines)
    keys = mask_blob(blob)
    known = {key: canonical(key) for key in set(keys)}
    return [known[key] for key in keys]


def _place(run: Recording) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.int16]]:
    """Returns the state and the fault of each line by time and service, before any text is read."""
    t = np.array([line.t for line in run.lines], np.float64)
    services = np.array([line.service for line in run.lines], object)
    # A fault on {a} from 10 to 20 s, with a tail of 10 s:
    #   t        [5, 12, 12, 25, 35]
    #   service  [a, a, b, a, a]
    #   states   [NORMAL, QUIET, ELSEWHERE, RECOVERY, NORMAL]
    # A second fault overwrites the tail of the first: hence two loops.
    states = np.zeros(len(t), np.uint8)
    fault = np.full(len(t), -1, np.int16)
    for event in run.faults:
        states[(t > event.recovered_at) & (t <= event.recovered_at + RECOVERY_TAIL_S)] = State.RECOVERY
    for number, event in enumerate(run.faults):
        during = (t >= event.injected_at) & (t <= event.recovered_at)
        reached = np.isin(services, list(event.services))
        states[during] = State.ELSEWHERE
        states[during & reached] = State.QUIET
        fault[during & reached] = number
    return states, fault


# ---------------------------------------------------------------- on disk


def save_labels(run: Recording, labels: RunLabels, directory: Path) -> None:
    """Writes the numbers of the anomalous lines beside the recording, fault by fault, as ranges."""
    faults: list[dict[str, Any]] = []
    for number, event in enumerate(run.faults):
        lines = np.flatnonzero(labels.anomalous & (labels.fault == number))
        faults.append({"name": event.name, "silent": not len(lines), "anomalous_lines": _ranges(lines.tolist())})
    rule = {"rule": RULE_VERSION, "masking": MASKING_VERSION, "faults": faults}
    text = json.dumps(rule, indent=1)
    # One range a line would be most of the file.
    text = re.sub(r"\[\s+(\d+),\s+(\d+)\s+\]", r"[\1, \2]", text)
    (directory / LABELS).write_text(text + "\n")


def load_labels(run: Recording, directory: Path) -> RunLabels:
    """Reads the labels that `save_labels` wrote for this recording."""
    stored: Mapping[str, Any] = json.loads((directory / LABELS).read_text())
    states, fault = _place(run)
    for first, last in (pair for entry in stored["faults"] for pair in entry["anomalous_lines"]):
        states[first : last + 1] = State.EVIDENCE
    silent = tuple(entry["name"] for entry in stored["faults"] if entry["silent"])
    return RunLabels(states=states, fault=fault, silent=silent)


def load_reviewed(directory: Path) -> Mapping[str, Sequence[str]]:
    """Reads system → the masked forms that a reader found to be no symptom. Returns {} without a file.

    The file states the reader's reason beside every form: {system: [{"form": …, "reason": …}]}.
    """
    path = directory / REVIEWED
    if not path.exists():
        return {}
    return {system: [entry["form"] for entry in entries] for system, entries in json.loads(path.read_text()).items()}


def _ranges(numbers: Sequence[int]) -> list[list[int]]:
    """Joins consecutive numbers: [1, 2, 3, 7] → [[1, 3], [7, 7]]."""
    ranges: list[list[int]] = []
    for number in numbers:
        if ranges and number == ranges[-1][1] + 1:
            ranges[-1][1] = number
        else:
            ranges.append([number, number])
    return ranges
