"""Measures how well masked lines group what belongs together: `python -m logwarden.training.evaluation.grouping`.

Reads raw lines, headers and all, with the event that each line belongs to. A *group* is the set of lines with one
masked text; an *event* is a set of lines that belong together. Grouping accuracy is the share of lines whose group is
exactly their event. F1 is that of whole groups: a group counts if it is exactly an event.

Of public recordings the events are those that their authors publish. Prints a row per system, and the means over all
systems, over those that rules were made with, and over those held back from it. Of three systems of the fault lab the
events are kinds drawn by hand; of all fourteen the program prints the share of lines in kinds seen once.

`--drain3 FILE` groups the same lines by Drain3 as well, with the settings in that file. Its package is no dependency:
install it first.
"""

from __future__ import annotations

import argparse
import importlib
import lzma
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from logwarden.model.masking import canonical, mask_blob
from logwarden.training.corpora import recordings_root
from logwarden.training.faultlab.kinds import first_fits, kinds_by_hand, systems_with_kinds
from logwarden.training.faultlab.recording import load_recording
from logwarden.training.faultlab.release import RECORDINGS, require_recordings, runs_below

HELD = frozenset({"Android", "HealthApp", "OpenSSH", "Proxifier"})
"""Systems kept for the check while the rules were made. At the end errors of OpenSSH and Proxifier were looked at."""
_CHUNK = 4096

Grouper = Callable[[Sequence[str]], Sequence[str]]
"""Returns the name of each line's group."""


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


@dataclass(frozen=True, slots=True)
class Spread:
    """How the lines of one system of the fault lab spread over groups."""

    lines: int
    groups: int
    alone: float
    """Share of the lines that are the only line of their group."""
    single: float
    """Share of the groups that have one line."""
    by_hand: Grouping | None
    """Agreement with the kinds drawn by hand, on the lines that fit one of them."""


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


def masked(lines: Sequence[str]) -> list[str]:
    """Returns the masked text of each line: `mask_line` of it, many lines at once."""
    texts: dict[bytes, str] = {}
    found = []
    for start in range(0, len(lines), _CHUNK):
        chunk = (line.encode("utf-8", "replace").replace(b"\n", b" ") for line in lines[start : start + _CHUNK])
        for key in mask_blob(b"\n".join(chunk) + b"\n"):
            if key not in texts:
                texts[key] = canonical(key)
            found.append(texts[key])
    return found


def by_drain3(settings: Path) -> Grouper:
    """Returns a grouper by Drain3. Raises ImportError with the package to install."""
    try:
        miners = importlib.import_module("drain3")
        config = importlib.import_module("drain3.template_miner_config").TemplateMinerConfig()
    except ModuleNotFoundError as error:
        raise ImportError("Drain3 is not installed: run `pip install drain3`, and start again") from error
    config.load(str(settings))
    config.profiling_enabled = False

    def group(lines: Sequence[str]) -> list[str]:
        miner = miners.TemplateMiner(config=config)
        return [str(miner.add_log_message(line)["cluster_id"]) for line in lines]

    return group


def read_lines() -> dict[str, tuple[list[str], list[str]]]:
    """Returns of each public system the event ids and the raw lines, in the order of the recording."""
    systems: dict[str, tuple[list[str], list[str]]] = defaultdict(lambda: ([], []))
    with lzma.open(recordings_root() / "grouping.tsv.xz", "rt", encoding="utf-8", newline="\n") as rows:
        for row in rows:
            system, event, line = row.rstrip("\n").split("\t", 2)
            systems[system][0].append(event)
            systems[system][1].append(line)
    return dict(systems)


def measure(group: Grouper = masked) -> dict[str, Grouping]:
    """Returns the figures of every public system."""
    return {name: grouping(ids, group(lines)) for name, (ids, lines) in sorted(read_lines().items())}


def measure_faultlab(
    group: Grouper = masked, root: Path = RECORDINGS, systems: Sequence[str] | None = None
) -> Iterator[tuple[str, Spread]]:
    """Yields the figures of every system of the fault lab, or of some, each over its three runs."""
    require_recordings(root)
    by_hand = systems_with_kinds()
    for system, directories in runs_below(root).items():
        if systems is None or system in systems:
            lines = [line.text for directory in directories for line in load_recording(directory).lines]
            yield system, _spread(lines, group(lines), system if system in by_hand else None)


def _spread(lines: Sequence[str], groups: Sequence[str], by_hand: str | None) -> Spread:
    sizes = Counter(groups)
    single = sum(size == 1 for size in sizes.values())
    agreement = None
    if by_hand is not None:
        kinds = first_fits(lines, kinds_by_hand(by_hand))
        pairs = [(kind.template, name) for kind, name in zip(kinds, groups, strict=True) if kind is not None]
        agreement = grouping([event for event, _ in pairs], [name for _, name in pairs])
    return Spread(len(lines), len(sizes), single / len(lines), single / len(sizes), agreement)


def main(arguments: Sequence[str] | None = None) -> None:
    """Prints the figures of every system and their means."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--drain3", type=Path, metavar="FILE", help="group by Drain3 too, with these settings")
    options = parser.parse_args(arguments)
    groupers: dict[str, Grouper] = {"masking": masked}
    if options.drain3:
        try:
            groupers["Drain3"] = by_drain3(options.drain3)
        except ImportError as error:
            parser.error(str(error))
    for title, group in groupers.items():
        print(f"\n{title}, public recordings")
        try:
            _print_public(measure(group))
        except FileNotFoundError as error:
            print(f"not measured: {error}")
        print(f"\n{title}, fault lab")
        _print_faultlab(measure_faultlab(group))


def _print_public(found: dict[str, Grouping]) -> None:
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


def _print_faultlab(found: Iterable[tuple[str, Spread]]) -> None:
    columns = f"{'of lines once':>15}{'of groups once':>16}{'by hand':>9}{'accuracy':>10}{'F1':>8}{'fit none':>10}"
    print(f"{'system':<12}{'lines':>8}{'groups':>8}{columns}")
    rows = []
    for name, row in found:
        rows.append(row)
        hand = row.by_hand
        agreement = f"{hand.events:>9}{hand.accuracy:>10.3f}{hand.f1:>8.3f}{row.lines - hand.lines:>10}" if hand else ""
        print(f"{name:<12}{row.lines:>8}{row.groups:>8}{row.alone:>15.5f}{row.single:>16.3f}{agreement}")
    hands = [row.by_hand for row in rows if row.by_hand is not None]
    alone, single = (sum(getattr(row, key) for row in rows) / len(rows) for key in ("alone", "single"))
    accuracy, f1 = (sum(getattr(hand, key) for hand in hands) / len(hands) for key in ("accuracy", "f1"))
    print(f"{'mean':<28}{alone:>15.5f}{single:>16.3f}{accuracy:>19.3f}{f1:>8.3f}")


if __name__ == "__main__":
    main()
