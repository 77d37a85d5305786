"""Renders an alert for people: a header, the guilty lines with a few around them, the rest folded.

    ● ERROR  shop/api  0.850 ≥ 0.500  2023-11-14T22:13:20.001Z  logs/3@101  after 300 ms
            … 29 lines …
       99 ▕     ▏  GET /health 200
      100 ▕███▋ ▏! connection to db-1 refused
    ▶ 101 ▕█▎   ▏! panic: runtime error

Owns layout and colour, and that the terminal shows a log line and never obeys it. Control characters, escape sequences
and direction marks become visible text, and no part of a line is read as markup. Knows alerts
(`logwarden.daemon.incidents.alert`) and rich; refuses to know where an alert came from and where the output goes.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Sequence

from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.text import Text

from logwarden.daemon.incidents.alert import Alert, AlertLine

CONTEXT = 2
"""Lines shown around each guilty line."""
BAR_WIDTH = 5
COLOURS = {"critical": "bold white on red", "error": "bold red", "warning": "bold yellow", "info": "bold green"}
_EIGHTHS = " ▏▎▍▌▋▊▉█"
_BEGIN = re.compile(
    r"[\[(]?\d{2,4}[-/.]\d\d[-/.]\d{2,4}[T ,]+\d\d:\d\d(?::\d\d)?(?:[.,]\d+)?"
    r"(?: ?(?:Z|UTC|GMT|[A-Z]{3,4}|[+-]\d\d:?\d\d))?[\])]?:?\s+(?:\[\d+\]:?\s+)?(?=\S)"
)
_UNSEEN = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})
"""Unicode categories without a glyph: controls, format and direction marks, surrogates, line separators."""


def render(alert: Alert, *, context: int = CONTEXT, place: str | None = None, first_number: int = 0) -> RenderableType:
    """Returns an alert in a form that a rich console prints: a row per line, truncated at the console's edge.

    `context`: lines shown around each guilty line. `place`: the newest line's place in words; None:
    topic/partition@offset. `first_number`: the number of offset 0, which is 0 for Kafka and 1 for lines of a file.
    """
    lines = alert.logwarden.lines
    numbers = [_number(line, first_number) for line in lines]
    width = max(map(len, numbers))
    shown = [
        _fold(entry, width) if entry < 0 else _line(lines[entry], f"{numbers[entry]:>{width}}")
        for entry in _folded(lines, context)
    ]
    return Group(_header(alert, place), *shown)


def printable(text: str) -> str:
    """Returns the text with an escape for every character that a terminal would obey instead of show."""
    if text.isprintable():
        return text
    return "".join(_visible(character) for character in text)


def lean(text: str) -> str:
    """Returns a line without the time, zone and process at its begin, which a narrow terminal has no room for."""
    return text[found.end() :] if (found := _BEGIN.match(text)) else text


class Fitting:
    """The first form of a row that fits the console, of forms that get shorter. The last one is cut at the edge."""

    def __init__(self, *forms: Text) -> None:
        self._forms = forms

    def __rich_console__(self, _: Console, options: ConsoleOptions) -> RenderResult:
        yield next((form for form in self._forms if form.cell_len <= options.max_width), self._forms[-1])


def _visible(character: str) -> str:
    if character == "\n":
        return " ⏎ "  # one event may have many lines, such as a traceback
    if character == "\t":
        return "  "
    category = unicodedata.category(character)
    if category not in _UNSEEN:
        return " " if category == "Zs" else character  # a space of another width is a space
    code = ord(character)
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def _header(alert: Alert, place: str | None) -> Text:
    facts = alert.logwarden
    sign = "≥" if facts.prediction == "anomaly" else "<" if facts.score < facts.threshold else "· learning,"
    source = facts.source
    place = place or f"{source.topic}/{source.partition}@{source.last_offset}"
    header = Text(no_wrap=True, overflow="ellipsis")
    header.append(f"● {facts.severity.upper()}", COLOURS[facts.severity])
    header.append(f"  {printable(alert.service.name)}", "bold")
    header.append(f"  {facts.score:.3f} {sign} {facts.threshold:.3f}")
    if alert.timestamp:
        header.append(f"  {alert.timestamp}", "cyan")
    header.append(f"  {printable(place)}", "dim")
    if facts.rate is not None:
        rate, counted = facts.rate, "" if facts.rate.of == "line" else f" {facts.rate.of}"
        words = f"{rate.count:,}{counted} within {rate.seconds} s, at most {rate.most_before:,} before"
        header.append(f"  {words}", "yellow")
    if facts.planned is not None:
        header.append(f"  planned: {printable(facts.planned.reason or facts.planned.id)}", "green")
    if facts.detection_delay_ms is not None:
        header.append(f"  after {_duration(facts.detection_delay_ms)}", "dim")
    return header


def _folded(lines: Sequence[AlertLine], context: int) -> Iterator[int]:
    """Yields the places of the lines to show, in order, and between them the number of hidden lines, as a negative."""
    # 9 lines, line 5 is guilty, line 8 is the newest, context 1:
    #   marked 5, 8  →  kept 4, 5, 6, 7, 8  →  yields -4, 4, 5, 6, 7, 8   (4 lines hidden before line 4)
    marked = [i for i, line in enumerate(lines) if line.guilty or line.newest]
    kept = sorted({i for mark in marked for i in range(mark - context, mark + context + 1) if 0 <= i < len(lines)})
    before = -1
    for i in kept:
        if i > before + 1:
            yield before + 1 - i
        yield i
        before = i  # the newest line is the last one and kept, so nothing is hidden after it


def _fold(hidden: int, width: int) -> Text:
    return Text(f"  {'':{width}}   … {-hidden} {'line' if hidden == -1 else 'lines'} …", "dim")


def _line(line: AlertLine, number: str) -> RenderableType:
    return Fitting(*(_row(line, number, text) for text in (line.text, lean(line.text))))


def _row(line: AlertLine, number: str, text: str) -> Text:
    row = Text(no_wrap=True, overflow="ellipsis")
    row.append("▶ " if line.newest else "  ", "bold")
    row.append(f"{number} ", "dim")
    # A sign marks a guilty line as well as its colour, for terminals and people without colours.
    row.append(f"▕{_bar(line.weight)}▏{'!' if line.guilty else ' '} ", "red" if line.guilty else "dim")
    row.append(printable(text), _style(line))
    return row


def _style(line: AlertLine) -> str:
    if line.guilty:
        return "bold red"
    return "bold" if line.newest else ""


def _number(line: AlertLine, first: int) -> str:
    number = line.offset + first
    return f"{number}.{line.index}" if line.index else str(number)


def _bar(weight: float) -> str:
    eighths = round(min(max(weight, 0.0), 1.0) * BAR_WIDTH * 8)
    full, rest = divmod(eighths, 8)
    return ("█" * full + (_EIGHTHS[rest] if rest else "")).ljust(BAR_WIDTH)


def _duration(milliseconds: int) -> str:
    seconds = milliseconds / 1_000
    for unit, size in (("d", 86_400), ("h", 3_600), ("min", 60)):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{milliseconds} ms" if milliseconds < 1_000 else f"{seconds:.1f} s"
