"""Lays the figures of an evaluation out: as text for people, as markdown for the log, as JSON for programs.

Adds remarks, such as which method ranks best. Computes no figure.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from rich.table import Table

from logwarden.training.evaluation.fault_results import RecordingResult
from logwarden.training.evaluation.session_results import Figure, SessionResult

NONE = "-"


@dataclass(frozen=True, slots=True)
class Grid:
    """A table before it has a form."""

    title: str
    header: tuple[str, ...]
    rows: list[tuple[str, ...]]
    remark: str = ""

    def markdown(self) -> str:
        """Returns the table in GitHub's markdown."""
        lines = [self.header, tuple("---" for _ in self.header), *self.rows]
        table = "\n".join("| " + " | ".join(cells) + " |" for cells in lines)
        return "\n\n".join(part for part in (f"**{self.title}**", table, self.remark) if part)

    def rich(self) -> Table:
        """Returns the table for a terminal."""
        table = Table(title=self.title, caption=self.remark, title_justify="left", caption_justify="left")
        for name in self.header:
            table.add_column(name, overflow="fold")
        for cells in self.rows:
            table.add_row(*cells)
        return table


def session_grid(title: str, rows: Sequence[SessionResult]) -> Grid:
    """Lays out the main table of one trial."""
    header = (
        *("method", "supervision", "anomalous", "AUROC", "AP", "best F1 (oracle)", "F1, threshold frozen"),
        *("P / R", "false alarms/M lines", "alerting lines/M", "lines to alert"),
    )
    cells: list[tuple[str, ...]] = [
        (
            _named(row),
            row.supervision,
            f"{row.anomalous:,} of {row.units:,}",
            ranked(row.figures["AUROC"]),
            ranked(row.figures["AP"]),
            share(row.figures["best F1"]),
            share(row.figures["F1"]),
            f"{share(row.figures['precision'])} / {share(row.figures['recall'])}",
            count(row.figures["false alarms/M"]),
            count(row.figures.get("line alerts/M")),
            count(row.figures.get("delay")),
        )
        for row in rows
    ]
    return Grid(title, header, cells, winner(rows))


def brief_grid(title: str, rows: Sequence[SessionResult], remark: str = "") -> Grid:
    """Lays out a sweep: a row for each level of it, a column for each method."""
    methods = list(dict.fromkeys(row.method for row in rows))
    at = {(row.data, row.method): row for row in rows}
    header = (rows[0].unit, "sessions (anomalous)", *(f"{name}: AP · F1 frozen · best F1" for name in methods))
    cells = []
    for level in dict.fromkeys(row.data for row in rows):
        first = at[level, methods[0]]
        figures = (
            " · ".join(share(at[level, name].figures[figure]) for figure in ("AP", "F1", "best F1")) for name in methods
        )
        cells.append((level, f"{first.units:,} ({first.anomalous})", *figures))
    return Grid(title, header, cells, remark)


def recording_grids(title: str, results: Sequence[RecordingResult]) -> list[Grid]:
    """Lays out the result of each method, and of the first method fault by fault."""
    header = (
        *("method", "supervision", "faults found", "median delay s", "alerts in faults", "in the clean part"),
        *("per M clean lines", "elsewhere"),
    )
    rows: list[tuple[str, ...]] = []
    for result in results:
        delays = sorted(fault.delay_s for fault in result.faults if fault.delay_s is not None)
        rows.append(
            (
                _named(result),
                result.supervision,
                f"{result.found} of {len(result.faults)}",
                f"{delays[len(delays) // 2]:.1f}" if delays else NONE,
                str(sum(fault.alerts for fault in result.faults)),
                str(result.clean_alerts),
                f"{result.alarms_per_million:,.0f}",
                str(result.stray_alerts),
            )
        )
    first = results[0]
    each: list[tuple[str, ...]] = [
        (
            fault.fault,
            "yes" if fault.alerts else "no",
            f"{fault.delay_s:.1f}" if fault.delay_s is not None else NONE,
            str(fault.delay_lines) if fault.delay_lines is not None else NONE,
            str(fault.alerts),
        )
        for fault in first.faults
    ]
    remark = f"{first.clean_lines:,} lines of the clean part were scored, {first.judged_lines:,} of the whole."
    detail = Grid(f"{title}: {first.method}", ("fault", "found", "delay s", "delay lines", "alerts"), each)
    return [Grid(title, header, rows, remark), detail]


def winner(rows: Sequence[SessionResult]) -> str:
    """Names the method with the best average precision, and the model's own figure if another method is better."""
    best = max(rows, key=_precision)
    ours = [row for row in rows if row.method.startswith("logwarden")]
    free = [row for row in rows if row.supervision == "none"]
    remark = f"Best average precision: {best.method} ({best.supervision}), {_precision(best):.3f}."
    if free and best.supervision != "none":
        leader = max(free, key=_precision)
        remark += f" Best without any supervision: {leader.method}, {_precision(leader):.3f}."
    if ours and not best.method.startswith("logwarden"):
        remark += f" The model: {_precision(ours[0]):.3f}."
    return remark


def as_json(rows: Iterable[Any]) -> list[dict[str, Any]]:
    """Converts results to plain values."""
    return [asdict(row) for row in rows]


def ranked(figure: Figure) -> str:
    """Formats a ranking figure with its deviation over seeds, if any, and its interval."""
    text = share(figure)
    return text if figure.low is None else f"{text} [{_short(figure.low)}, {_short(figure.high or 0.0)}]"


def share(figure: Figure) -> str:
    """Formats a figure between 0 and 1."""
    return _short(figure.value) + (f" ± {_short(figure.sd)}" if figure.sd > 0.0005 else "")


def count(figure: Figure | None) -> str:
    """Formats a count; a dash stands for None."""
    return f"{figure.value:,.0f}" if figure is not None else NONE


def _short(value: float) -> str:
    """Formats three places without the leading zero."""
    return f"{value:.3f}".removeprefix("0")


def _named(row: SessionResult | RecordingResult) -> str:
    return row.method + (f" ({row.note})" if row.note else "")


def _precision(row: SessionResult) -> float:
    return row.figures["AP"].value
