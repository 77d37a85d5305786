"""Draws curves as SVG, with the standard library: the same figures give the same bytes.

Knows points, axes and colours. Any colour vision separates the colours, and every line has a name.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

WIDTH, HEIGHT = 760, 420
LEFT, RIGHT, TOP, BOTTOM = 60, 190, 40, 50
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#000000", "#999999")
DRAWN = (
    "logwarden, no daily budget",
    "the head alone",
    "trees without the head's answer",
    "rarity",
    "rarity by severity",
    "rarity of Drain's groups",
    "nearest neighbour",
    "keyword in a new line",
)
PAST_NAMES = {
    "peace": "fault-free past",
    "faults": "past with the same faults",
    "repeated": "past with each fault twice",
}


@dataclass(frozen=True, slots=True)
class Axis:
    """An axis from `low` to `high`; logarithmic where `log`."""

    title: str
    low: float
    high: float
    ticks: tuple[float, ...]
    log: bool = False

    def at(self, value: float, length: float) -> float:
        """Returns the distance of a value from the axis's begin, of `length`."""
        if self.log:
            value, low, high = (math.log10(max(x, 1e-12)) for x in (value, self.low, self.high))
        else:
            low, high = self.low, self.high
        return length * min(max((value - low) / (high - low), 0.0), 1.0)


Points = Sequence[tuple[float, float]]


def chart(title: str, x: Axis, y: Axis, lines: Mapping[str, Points], marks: Sequence[float] = ()) -> str:
    """Returns an SVG of named lines. `marks`: places on the x axis with a dashed line."""
    wide, high = WIDTH - LEFT - RIGHT, HEIGHT - TOP - BOTTOM
    out = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" '
        'font-family="sans-serif" font-size="12">',
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="#fff"/>',
        f'<text x="{LEFT}" y="22" font-size="15">{escape(title)}</text>',
    ]
    for tick in x.ticks:
        at = LEFT + x.at(tick, wide)
        out.append(f'<text x="{at:.1f}" y="{TOP + high + 18}" text-anchor="middle">{tick:g}</text>')
        dashed = ' stroke-dasharray="4 3"' if tick in marks else ""
        out.append(f'<path d="M{at:.1f} {TOP}V{TOP + high}" stroke="#ddd"{dashed}/>')
    for tick in y.ticks:
        at = TOP + high - y.at(tick, high)
        out.append(f'<text x="{LEFT - 8}" y="{at + 4:.1f}" text-anchor="end">{tick:g}</text>')
        out.append(f'<path d="M{LEFT} {at:.1f}H{LEFT + wide}" stroke="#eee"/>')
    out.append(f'<path d="M{LEFT} {TOP}V{TOP + high}H{LEFT + wide}" stroke="#333" fill="none"/>')
    out.append(f'<text x="{LEFT + wide / 2:.0f}" y="{HEIGHT - 12}" text-anchor="middle">{escape(x.title)}</text>')
    out.append(
        f'<text transform="translate(16 {TOP + high / 2:.0f}) rotate(-90)" text-anchor="middle">'
        f"{escape(y.title)}</text>"
    )
    for number, (name, points) in enumerate(lines.items()):
        colour = COLOURS[number % len(COLOURS)]
        places = [f"{LEFT + x.at(a, wide):.1f} {TOP + high - y.at(b, high):.1f}" for a, b in points]
        if len(places) == 1:
            cx, cy = places[0].split()
            out.append(f'<circle cx="{cx}" cy="{cy}" r="4" fill="{colour}"/>')
        elif places:
            out.append(f'<path d="M{"L".join(places)}" stroke="{colour}" stroke-width="2" fill="none"/>')
        key = TOP + 10 + 20 * number
        out.append(f'<path d="M{LEFT + wide + 8} {key}h14" stroke="{colour}" stroke-width="3"/>')
        out.append(f'<text x="{LEFT + wide + 26}" y="{key + 4}">{escape(name)}</text>')
    return "\n".join([*out, "</svg>"]) + "\n"


def plots_of(figures: Mapping[str, Any]) -> dict[str, str]:
    """Returns file name → SVG for the figures of a benchmark."""
    faults = sum(one["faults"] for one in figures["systems"].values())
    found = Axis("faults found", 0, faults, tuple(range(0, faults + 1, 20)))
    million = Axis(
        "false alarms per million fault-free lines, folded", 5, 1000, (5, 10, 20, 50, 100, 200, 400, 1000), log=True
    )
    daily = Axis("false alarms per service and day, folded", 0.5, 200, (0.5, 1, 2, 5, 10, 20, 50, 100, 200), log=True)
    plots = {}
    for past, methods in figures["faultlab"].items():
        title = PAST_NAMES.get(past, past)
        for name, axis, key in (("", million, "per_million"), ("-per-day", daily, "per_service_day")):
            lines = {m: _steps(methods[m]["curve"], key) for m in DRAWN if m in methods}
            marks = (20.0, 50.0, 100.0, 200.0, 400.0) if not name else ()
            plots[f"found-{past}{name}.svg"] = chart(f"Faults found, {title}", axis, found, lines, marks)
    share = Axis("probability stated", 0, 1, (0, 0.2, 0.4, 0.6, 0.8, 1))
    seen = Axis("share that was evidence", 0, 1, (0, 0.2, 0.4, 0.6, 0.8, 1))
    bins = [(one["stated"], one["seen"]) for one in figures["calibration"]["bins"] if one["lines"]]
    plots["calibration.svg"] = chart(
        "Calibration on systems left out", share, seen, {"logwarden": bins, "perfect": [(0, 0), (1, 1)]}
    )
    gone = Axis("lines deleted of 32", 0, 32, (0, 4, 8, 16, 24, 32))
    left = Axis("mean probability", 0, 1, (0, 0.2, 0.4, 0.6, 0.8, 1))
    curves = {}
    for past, one in figures["explanations"].items():
        curves[f"heaviest first, {past}"] = list(enumerate(one["by_weight"]))
        curves[f"at random, {past}"] = list(enumerate(one["at_random"]))
    plots["deletion.svg"] = chart("First alerts as lines are deleted", gone, left, curves)
    return plots


def _steps(curve: Mapping[str, Sequence[float]], key: str) -> list[tuple[float, float]]:
    """The corners of a curve that rises only where false alarms are added."""
    best: dict[float, float] = {}
    for rate, found in zip(curve[key], curve["found"], strict=True):
        best[rate] = max(best.get(rate, 0), found)
    return sorted(best.items())
