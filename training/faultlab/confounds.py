"""How well a detector would do that reads no words: the ways to win a recording that teach nothing.

Each is one number per window and its AUROC over windows with evidence of a fault against windows of fault-free time.
Both directions count (few lines can give a fault away as well as many), so .5 is the best a recording can do.

Two kinds of windows, each of one service: ten seconds, and the product's 32 lines. Ten seconds without a line are left
out, since no detector sees them. Of 32 lines the count is always the same, so there it is how soon they came.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from logwarden.training.faultlab.labels import ERROR_LEVEL, RunLabels, State, forms_of
from logwarden.training.faultlab.recording import Line, Recording
from logwarden.training.metrics import auroc

WINDOW_S = 10.0
WINDOW_LINES = 32

Cut = Callable[[Sequence[Line]], Iterator[list[int]]]
"""Lines of a run → the places of the lines of each of its windows, which do not overlap."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Windows:
    """The windows of some runs, w of them, with what a detector could know without reading.

    Only windows with evidence or wholly in fault-free time: the rest is in doubt.
    """

    evidence: npt.NDArray[np.bool_]
    rate: npt.NDArray[np.float64]
    """Lines per second."""
    error_words: npt.NDArray[np.float64]
    """How many lines at ERROR level or worse."""
    banners: npt.NDArray[np.float64]
    """How many lines in a form that planned restarts write and nothing else in fault-free time."""
    since_start: npt.NDArray[np.float64]
    """Seconds since the recording began."""

    @property
    def table(self) -> dict[str, npt.NDArray[np.float64]]:
        """Every shortcut by its name."""
        return {
            "line count": self.rate,
            "level word": self.error_words,
            "start-up banner": self.banners,
            "time since start": self.since_start,
        }


def ten_seconds(lines: Sequence[Line]) -> Iterator[list[int]]:
    """Windows of `WINDOW_S` seconds of each service, those without a line left out."""
    inside: dict[tuple[str, int], list[int]] = {}
    for place, line in enumerate(lines):
        inside.setdefault((line.service, int(line.t // WINDOW_S)), []).append(place)
    yield from inside.values()


def thirty_two_lines(lines: Sequence[Line]) -> Iterator[list[int]]:
    """Windows of `WINDOW_LINES` lines of each service; what is left over at the end is no window."""
    waiting: dict[str, list[int]] = {}
    for place, line in enumerate(lines):
        window = waiting.setdefault(line.service, [])
        window.append(place)
        if len(window) == WINDOW_LINES:
            yield waiting.pop(line.service)


def windows_of(runs: Sequence[Recording], labels: Sequence[RunLabels], cut: Cut = ten_seconds) -> Windows:
    """The windows of all runs of one system."""
    formed = [forms_of(run.lines) for run in runs]
    banners = _banners(runs, labels, formed)
    rows: list[tuple[bool, float, int, int, float]] = []
    for run, its, forms in zip(runs, labels, formed, strict=True):
        for places in cut(run.lines):
            states = its.states[places]
            evidence = bool((states == State.EVIDENCE).any())
            if not evidence and (states != State.NORMAL).any():
                continue
            first, last = run.lines[places[0]].t, run.lines[places[-1]].t
            seconds = WINDOW_S if cut is ten_seconds else max(last - first, 0.05)
            errors = sum(ERROR_LEVEL.search(run.lines[place].text) is not None for place in places)
            started = sum(forms[place] in banners for place in places)
            rows.append((evidence, len(places) / seconds, errors, started, first))
    columns = np.array(rows, np.float64).reshape(-1, 5).T
    return Windows(
        evidence=columns[0] > 0, rate=columns[1], error_words=columns[2], banners=columns[3], since_start=columns[4]
    )


def shortcuts(windows: Windows) -> dict[str, float]:
    """Shortcut → AUROC, the better of both directions. NaN where there is nothing to tell apart."""
    if not windows.evidence.any() or windows.evidence.all():
        return dict.fromkeys(windows.table, float("nan"))
    found = {name: auroc(windows.evidence, scores) for name, scores in windows.table.items()}
    return {name: max(area, 1 - area) for name, area in found.items()}


def joined(parts: Sequence[Windows]) -> Windows:
    """The windows of several systems as one set."""
    names = ("evidence", "rate", "error_words", "banners", "since_start")
    return Windows(**{name: np.concatenate([getattr(part, name) for part in parts]) for name in names})


def _banners(runs: Sequence[Recording], labels: Sequence[RunLabels], formed: Sequence[Sequence[str]]) -> frozenset[str]:
    within: set[str] = set()
    without: set[str] = set()
    for run, its, forms in zip(runs, labels, formed, strict=True):
        restarts = [event for event in run.events if event.cause == "restart"]
        for line, state, form in zip(run.lines, its.states, forms, strict=True):
            if state == State.NORMAL:
                during = any(x.injected_at <= line.t <= x.recovered_at for x in restarts)
                (within if during else without).add(form)
    return frozenset(within - without)
