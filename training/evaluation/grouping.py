"""Measures how well masked lines group what belongs together: `python -m logwarden.training.evaluation.grouping`.

Reads raw lines of public recordings, headers and all, with the event that each line belongs to. A *group* is the set
of lines with one masked text; an *event* is a set of lines that the recording's authors publish as one. Grouping
accuracy is the share of lines whose group is exactly their event. F1 is that of whole groups: a group counts if it is
exactly an event. Prints a row per system, and the means over all systems, over those that rules were made with, and
over those held back from it.
"""

from __future__ import annotations

import lzma
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from logwarden.model.masking import mask_line
from logwarden.training.corpora import recordings_root

HELD = frozenset({"Android", "HealthApp", "OpenSSH", "Proxifier"})
"""Systems kept for the check while the rules were made. At the end errors of OpenSSH and Proxifier were looked at."""


@dataclass(frozen=True, slots=True)
class Grouping:
    """How the groups of one system's lines agree with its events."""

    lines: int
    events: int
    groups: int
    accuracy: float
    """Share of the lines whose group is exactly their event."""
    f1: float
    """Of groups against events, by identity of their sets of lines."""
    alone: float
    """Share of the lines that are the only line of their group."""


def grouping(events: Sequence[str], groups: Sequence[str]) -> Grouping:
    """Returns how the groups of lines agree with their events, line by line."""
    by_event, by_group = _sets(events), _sets(groups)
    exact = set(by_event.values()) & set(by_group.values())
    return Grouping(
        lines=len(events),
        events=len(by_event),
        groups=len(by_group),
        accuracy=sum(map(len, exact)) / len(events),
        f1=2 * len(exact) / (len(by_event) + len(by_group)),
        alone=sum(len(lines) == 1 for lines in by_group.values()) / len(events),
    )


def _sets(names: Iterable[str]) -> dict[str, frozenset[int]]:
    places: dict[str, list[int]] = defaultdict(list)
    for place, name in enumerate(names):
        places[name].append(place)
    return {name: frozenset(lines) for name, lines in places.items()}


def read_lines() -> dict[str, tuple[list[str], list[str]]]:
    """Returns of each system the event ids and the raw lines, in the order of the recording."""
    systems: dict[str, tuple[list[str], list[str]]] = defaultdict(lambda: ([], []))
    with lzma.open(recordings_root() / "grouping.tsv.xz", "rt", encoding="utf-8", newline="\n") as rows:
        for row in rows:
            system, event, line = row.rstrip("\n").split("\t", 2)
            systems[system][0].append(event)
            systems[system][1].append(line)
    return dict(systems)


def measure(mask: Callable[[str], str] = mask_line) -> dict[str, Grouping]:
    """Returns the figures of every system under a masking."""
    return {name: grouping(ids, [mask(line) for line in lines]) for name, (ids, lines) in sorted(read_lines().items())}


def main() -> None:
    """Prints the figures of every system and their means."""
    found = measure()
    print(f"{'system':<12}{'lines':>8}{'events':>8}{'groups':>8}{'accuracy':>10}{'F1':>8}{'seen once':>11}")
    for name, row in found.items():
        mark = "*" if name in HELD else ""
        print(
            f"{name + mark:<12}{row.lines:>8}{row.events:>8}{row.groups:>8}"
            f"{row.accuracy:>10.3f}{row.f1:>8.3f}{row.alone:>11.3f}"
        )
    for title, names in (
        ("mean of all", set(found)),
        ("  looked at", set(found) - HELD),
        ("  held back*", set(found) & HELD),
    ):
        rows = [found[name] for name in names]
        accuracy, f1, alone = (sum(getattr(r, key) for r in rows) / len(rows) for key in ("accuracy", "f1", "alone"))
        print(f"{title:<36}{accuracy:>10.3f}{f1:>8.3f}{alone:>11.3f}")


if __name__ == "__main__":
    main()
