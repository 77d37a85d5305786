"""Makes the tables of DATASHEET.md from the recordings. Knows labels and shortcuts; writes markdown."""

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

from logwarden.training.faultlab.confounds import (
    RunFacts,
    Windows,
    facts_of,
    joined,
    shortcuts,
    ten_seconds,
    thirty_two_lines,
    windows_of,
)
from logwarden.training.faultlab.labels import RunLabels, State, load_labels
from logwarden.training.faultlab.recording import RECOVERY_TAIL_S, Recording, load_recording
from logwarden.training.faultlab.release import require_recordings, runs_below

LabelledRecording = tuple[Recording, RunLabels]
Facts = Mapping[str, Sequence[RunFacts]]

_SHORTCUTS = ("line count", "level word", "start-up banner", "time since start")


def tables(root: Path) -> str:
    """Returns the tables of every system below `root`, as markdown. Raises RecordingsMissing if there is none."""
    require_recordings(root)
    systems: dict[str, list[LabelledRecording]] = {}
    for system, directories in runs_below(root).items():
        runs = [load_recording(directory) for directory in directories]
        labels = [load_labels(run, directory) for run, directory in zip(runs, directories, strict=True)]
        systems[system] = list(zip(runs, labels, strict=True))
    return tables_of(systems)


def tables_of(systems: Mapping[str, Sequence[LabelledRecording]], facts: Facts | None = None) -> str:
    """Returns counts, shortcuts, faults and versions of every system as markdown.

    `facts`: the result of `facts_of` for each system, if the caller has it already.
    """
    counts, faults, versions = [], [], []
    parts: dict[str, list[Windows]] = {"10 s": [], "32 lines": []}
    areas: list[str] = []
    for system, labelled in systems.items():
        runs, labels = [run for run, _ in labelled], [its for _, its in labelled]
        of_system = facts[system] if facts else facts_of(runs, labels)
        for cut, kind in ((ten_seconds, "10 s"), (thirty_two_lines, "32 lines")):
            parts[kind].append(windows_of(of_system, cut))
            areas.append(_areas(system, kind, parts[kind][-1]))
        counts.append(_counts(system, runs, labels, parts["10 s"][-1]))
        faults += _faults(system, runs, labels)
        named = "; ".join(f"{product} {version}" for product, version in runs[0].versions.items())
        versions.append(f"| {system} | {named} |")
    areas += [_areas("**all together**", kind, joined(windows)) for kind, windows in parts.items()]
    return "\n\n".join(
        (
            _table("system|runs|services|clean minutes|lines|anomalous|windows|with evidence", counts),
            _table("system|windows of|" + "|".join(_SHORTCUTS), areas),
            _table("system|fault|cause|what was done|anomalous lines, run by run|silent in", faults),
            _table("system|versions", versions),
        )
    )


def clean_minutes(runs: Sequence[Recording]) -> float:
    """Returns the minutes of fault-free time."""
    return sum(run.lines[-1].t - _faulty_seconds(run) for run in runs) / 60


def _faulty_seconds(run: Recording) -> float:
    # A fault may begin within the tail of the one before it: 10–20 and 30–35 with tails of 20 s are 45 s, not 55.
    seconds = until = 0.0
    for event in sorted(run.faults, key=lambda event: event.injected_at):
        end = event.recovered_at + RECOVERY_TAIL_S
        seconds += max(end - max(event.injected_at, until), 0.0)
        until = max(until, end)
    return seconds


def _counts(system: str, runs: Sequence[Recording], labels: Sequence[RunLabels], windows: Windows) -> str:
    lines = sum(len(run.lines) for run in runs)
    anomalous = sum(int(its.anomalous.sum()) for its in labels)
    services = len({line.service for run in runs for line in run.lines})
    return (
        f"| {system} | {len(runs)} | {services} | {clean_minutes(runs):.0f} | {lines:,} | {anomalous:,} |"
        f" {len(windows.evidence):,} | {int(windows.evidence.sum()):,} |"
    )


def _areas(name: str, kind: str, windows: Windows) -> str:
    found = shortcuts(windows)
    return f"| {name} | {kind} | " + " | ".join(f"{found[shortcut]:.2f}" for shortcut in _SHORTCUTS) + " |"


def _faults(system: str, runs: Sequence[Recording], labels: Sequence[RunLabels]) -> list[str]:
    rows: dict[str, list[str]] = {}
    about: dict[str, tuple[str, str]] = {}
    silent: Counter[str] = Counter()
    for run, its in zip(runs, labels, strict=True):
        for number, event in enumerate(run.faults):
            about[event.name] = (event.cause, event.what)
            evidence = int(((its.states == State.EVIDENCE) & (its.fault == number)).sum())
            rows.setdefault(event.name, []).append(str(evidence))
            silent[event.name] += evidence == 0
    return [
        f"| {system} | {name} | {about[name][0]} | {about[name][1]} | {', '.join(evidence)} | {silent[name] or ''} |"
        for name, evidence in sorted(rows.items())
    ]


def _table(heads: str, rows: Sequence[str]) -> str:
    columns = heads.count("|") + 1
    return "\n".join([f"| {heads.replace('|', ' | ')} |", "|" + "---|" * columns, *rows])
