"""Measures the shortcuts of a recording: how well a detector would do that reads no words.

Each shortcut is one number per window, and its figure is the AUROC over windows with evidence of a fault against
windows of fault-free time. Both directions count (few lines can reveal a fault as well as many), so .5 is the best
figure.

Two kinds of windows, each of one service: ten seconds, and the product's number of lines. Ten seconds without a line
are no window, because no detector sees them. For windows of one length the line count is replaced by the lines per
second.

Legend: n lines of a run · w windows
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import compress

import numpy as np
import numpy.typing as npt

from logwarden.model.defaults import WINDOW_SIZE
from logwarden.training.faultlab.labels import RunLabels, State, at_error_level, forms_of
from logwarden.training.faultlab.recording import Line, Recording
from logwarden.training.metrics import auroc

WINDOW_S = 10.0

Cut = Callable[[Sequence[Line]], Iterator[list[int]]]
"""Lines of a run → the places of the lines of each of its windows, which do not overlap."""
Bools = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True, kw_only=True)
class RunFacts:
    """A run with the properties of its lines that both kinds of windows need; reading the text takes seconds."""

    run: Recording
    states: npt.NDArray[np.uint8]
    """(n,) values of `State`."""
    errors: Bools
    """(n,) lines at ERROR level or worse."""
    banners: Bools
    """(n,) lines in a form that fault-free time contains during planned restarts and never outside them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Windows:
    """The windows of some runs, w of them, with all that a detector could know without reading.

    Contains windows with evidence and windows wholly in fault-free time; the others are in doubt.
    """

    evidence: Bools
    rate: npt.NDArray[np.float64]
    """(w,) lines per second."""
    error_words: npt.NDArray[np.float64]
    """(w,) number of lines at ERROR level or worse."""
    banners: npt.NDArray[np.float64]
    """(w,) number of lines in a start-up banner's form."""
    since_start: npt.NDArray[np.float64]
    """(w,) seconds since the recording began."""

    @property
    def table(self) -> dict[str, npt.NDArray[np.float64]]:
        """Returns every shortcut by its name."""
        return {
            "line count": self.rate,
            "level word": self.error_words,
            "start-up banner": self.banners,
            "time since start": self.since_start,
        }


def ten_seconds(lines: Sequence[Line]) -> Iterator[list[int]]:
    """Yields windows of `WINDOW_S` seconds of each service; a window has at least one line."""
    inside: dict[tuple[str, int], list[int]] = {}
    for place, line in enumerate(lines):
        inside.setdefault((line.service, int(line.t // WINDOW_S)), []).append(place)
    yield from inside.values()


def thirty_two_lines(lines: Sequence[Line]) -> Iterator[list[int]]:
    """Yields windows of `WINDOW_SIZE` lines of each service; a rest at the end is no window."""
    waiting: dict[str, list[int]] = {}
    for place, line in enumerate(lines):
        window = waiting.setdefault(line.service, [])
        window.append(place)
        if len(window) == WINDOW_SIZE:
            yield waiting.pop(line.service)


def facts_of(runs: Sequence[Recording], labels: Sequence[RunLabels]) -> list[RunFacts]:
    """Reads the text of all runs of one system once."""
    formed = [forms_of(run.lines) for run in runs]
    banners = _banner_forms(runs, labels, formed)
    return [
        RunFacts(
            run=run,
            states=its.states,
            errors=np.array([at_error_level(line.text) for line in run.lines], bool),
            banners=np.array([form in banners for form in forms], bool),
        )
        for run, its, forms in zip(runs, labels, formed, strict=True)
    ]


def windows_of(facts: Sequence[RunFacts], cut: Cut = ten_seconds) -> Windows:
    """Returns the windows of all runs of one system."""
    rows: list[tuple[bool, float, int, int, float]] = []
    for one in facts:
        lines = one.run.lines
        # Window by window in one sweep: the places of all windows after each other, and where each window begins.
        #   cut     [[0, 2], [1, 3, 4]]
        #   places  [0, 2, 1, 3, 4]    starts [0, 2]
        #   reduceat over errors[places] = [F, T, F, F, T] gives [1, 1]
        windows = list(cut(lines))
        if not windows:
            continue
        places = np.concatenate([np.array(window) for window in windows])
        starts = np.cumsum([0, *(len(window) for window in windows[:-1])])
        states = one.states[places]
        evidence = np.logical_or.reduceat(states == State.EVIDENCE, starts)
        doubtful = np.logical_or.reduceat(states != State.NORMAL, starts) & ~evidence
        errors = np.add.reduceat(one.errors[places].astype(np.int64), starts)
        banners = np.add.reduceat(one.banners[places].astype(np.int64), starts)
        for number in np.flatnonzero(~doubtful).tolist():
            window = windows[number]
            first, last = lines[window[0]].t, lines[window[-1]].t
            seconds = WINDOW_S if cut is ten_seconds else max(last - first, 0.05)
            rate = len(window) / seconds
            rows.append((bool(evidence[number]), rate, int(errors[number]), int(banners[number]), first))
    # One row per window becomes one array per figure; reshape makes an array of shape (5, 0) of no rows.
    columns = np.array(rows, np.float64).reshape(-1, 5).T
    return Windows(
        evidence=columns[0] > 0, rate=columns[1], error_words=columns[2], banners=columns[3], since_start=columns[4]
    )


def shortcuts(windows: Windows) -> dict[str, float]:
    """Returns shortcut → AUROC, the better of both directions. NaN if all windows are of one kind."""
    if not windows.evidence.any() or windows.evidence.all():
        return dict.fromkeys(windows.table, float("nan"))
    found = {name: auroc(windows.evidence, scores) for name, scores in windows.table.items()}
    return {name: max(area, 1 - area) for name, area in found.items()}


def joined(parts: Sequence[Windows]) -> Windows:
    """Joins the windows of several systems."""
    names = ("evidence", "rate", "error_words", "banners", "since_start")
    return Windows(**{name: np.concatenate([getattr(part, name) for part in parts]) for name in names})


def _banner_forms(
    runs: Sequence[Recording], labels: Sequence[RunLabels], formed: Sequence[Sequence[str]]
) -> frozenset[str]:
    within: set[str] = set()
    without: set[str] = set()
    for run, its, forms in zip(runs, labels, formed, strict=True):
        t = np.array([line.t for line in run.lines], np.float64)
        normal = its.states == State.NORMAL
        # A form is a banner if fault-free time has it in planned restarts only:
        #   within {ready, served}, without {served, report}  ->  {ready}
        during = np.zeros(len(t), bool)
        for event in run.events:
            if event.cause == "restart":
                during |= (t >= event.injected_at) & (t <= event.recovered_at)
        within.update(compress(forms, (normal & during).tolist()))
        without.update(compress(forms, (normal & ~during).tolist()))
    return frozenset(within - without)
