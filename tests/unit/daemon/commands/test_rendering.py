"""An alert as a terminal shows it to people."""

from __future__ import annotations

import io
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace
from rich.console import Console

from logwarden.daemon.commands.rendering import printable, render
from logwarden.daemon.incidents.alert import Alert, build_alert
from logwarden.model.schema import AlertKind, LineRate, LogLine, LogWindow, Verdict

ANY = st.characters(exclude_categories=())
"""Every code point, lone surrogates included, which hypothesis excludes by default."""


def alert(*texts: str, guilty: tuple[int, ...] = (), weights: dict[int, float] | None = None, **changes: Any) -> Alert:
    lines = tuple(
        LogLine(
            text=text,
            offset=98 + i,
            timestamp_ms=1_700_000_000_000,
            guilty=i in guilty,
            weight=(weights or {}).get(i, 0.0),
        )
        for i, text in enumerate(texts)
    )
    fields: dict[str, Any] = {
        "window": LogWindow(service="shop/api", lines=lines, topic="logs", partition=3),
        "probabilities": (0.15, 0.85),
        "logits": (0.0, 1.0),
        "threshold": 0.5,
        "learning": False,
        "history_lines": 1_000,
        "model_revision": "r",
        "kind": AlertKind.NEW_LINE,
    }
    return build_alert(Verdict(**{**fields, **changes}), now_ms=1_700_000_000_300)


def shown(one: Alert, *, width: int = 100, colour: bool = False, **options: Any) -> str:
    stream = io.StringIO()
    console = Console(file=stream, width=width, force_terminal=colour, color_system="truecolor" if colour else None)
    console.print(render(one, **options))
    return stream.getvalue()


def test_an_alert_reads_top_down() -> None:
    """An alert shows severity, service, score, threshold, time, place and delay, then the lines with their weights."""
    one = alert("GET /health 200", "db refused", "panic", guilty=(1,), weights={1: 0.9, 2: 0.1})
    assert [line.rstrip() for line in shown(one).splitlines()] == [
        "● ERROR  shop/api  0.850 ≥ 0.500  2023-11-14T22:13:20.000Z  logs/3@100  after 300 ms",
        "   98 ▕     ▏  GET /health 200",
        "   99 ▕████▌▏! db refused",
        "▶ 100 ▕▌    ▏  panic",
    ]


def test_what_is_not_guilty_is_folded() -> None:
    """Of 32 lines those around the guilty ones and the newest are shown, and the rest is counted."""
    text = shown(alert(*[f"line-{i}" for i in range(32)], guilty=(10,)), context=1)
    rows = [line.strip() for line in text.splitlines()[1:]]
    assert rows[0] == "… 9 lines …"
    assert [row.split()[-1] for row in rows[1:4]] == ["line-9", "line-10", "line-11"]
    assert rows[4] == "… 18 lines …"
    assert [row.split()[-1] for row in rows[5:]] == ["line-30", "line-31"]


def test_one_hidden_line_is_counted_in_the_singular_and_all_can_be_shown() -> None:
    """`… 1 line …`; a context as large as the window folds nothing."""
    one = alert("a", "b", "c", "d", guilty=(3,))
    assert "… 1 line …" in shown(one)
    assert "…" not in shown(one, context=32)


def test_colour_and_no_colour_say_the_same() -> None:
    """Signs mark the guilty lines and the newest one, so a pipe or a colour-blind reader loses nothing."""
    one = alert("a", "b", "c", guilty=(1,))
    plain, coloured = shown(one), shown(one, colour=True)
    assert "\x1b[" not in plain
    assert "\x1b[1;31m" in coloured
    assert "! b" in plain
    assert "▶ 100" in plain


@pytest.mark.parametrize(
    ("text", "seen"),
    [
        ("\x1b[2J\x1b[31mred", "\\x1b[2J\\x1b[31mred"),
        ("a\x00b\x07\x7f", "a\\x00b\\x07\\x7f"),
        ("\x9b31m", "\\x9b31m"),
        ("user\u202egpj.exe", "user\\u202egpj.exe"),
        ("\ud800", "\\ud800"),
        ("\U000e0001", "\\U000e0001"),
        ("progress 10%\rprogress 99%", "progress 10%\\x0dprogress 99%"),
        ("Traceback:\n  File x\n", "Traceback: ⏎   File x ⏎ "),
        ("a\tb", "a  b"),
        ("a\u2028b", "a\\u2028b"),
        ("naïve 日本語 🙂", "naïve 日本語 🙂"),
    ],
)
def test_hostile_text_is_shown_and_not_obeyed(text: str, seen: str) -> None:
    """A log line cannot clear the screen, recolour it, overwrite its own row or turn its letters around."""
    assert printable(text) == seen


def test_markup_in_a_line_stays_text() -> None:
    """`[bold]` and `[/]` in a log line are the line's own letters."""
    text = shown(alert("[red]no[/red] [/]"))
    assert "[red]no[/red] [/]" in text


@given(st.lists(st.text(ANY, max_size=50), min_size=1, max_size=5), st.text(ANY, max_size=20))
def test_no_text_breaks_out_of_its_row(texts: list[str], service: str) -> None:
    """Each line of an alert has one row, without control characters, whatever its text."""
    one = alert(*texts, guilty=tuple(range(len(texts))))
    one = replace(one, service=replace(one.service, name=service))
    output = shown(one)
    assert len(output.split("\n")) == len(texts) + 2
    assert output.replace("\n", "").isprintable()


def test_a_long_line_is_cut_at_the_edge() -> None:
    """An alert keeps its shape in a narrow terminal."""
    assert all(len(row) <= 60 for row in shown(alert("x" * 500, "y"), width=60).splitlines())


def test_a_verdict_below_the_threshold_or_while_learning_says_so() -> None:
    """Verdicts below the threshold or while learning are not shown as alerts."""
    assert "● INFO  shop/api  0.200 < 0.500" in shown(alert("a", probabilities=(0.8, 0.2)))
    assert "● INFO  shop/api  0.850 · learning, 0.500" in shown(alert("a", learning=True))


@pytest.mark.parametrize(
    ("ms", "words"),
    [
        (0, "0 ms"),
        (999, "999 ms"),
        (1_000, "1.0 s"),
        (119_999, "120.0 s"),
        (120_000, "2 min"),
        (7_199_999, "120 min"),
        (7_200_000, "2 h"),
        (172_799_999, "48 h"),
        (172_800_000, "2 d"),
        (10**9, "12 d"),
    ],
)
def test_delays_are_in_a_readable_unit(ms: int, words: str) -> None:
    """Delays are shown from milliseconds, in steady state, to days, in a replay."""
    one = alert("a")
    one = replace(one, logwarden=replace(one.logwarden, detection_delay_ms=ms))
    assert f"after {words}" in shown(one)


def test_a_line_within_a_record_shows_its_index() -> None:
    """Formats with many lines per record need both numbers to find a line."""
    one = alert("a")
    lines = (replace(one.logwarden.lines[0], index=7),)
    one = replace(one, logwarden=replace(one.logwarden, lines=lines))
    assert "▶ 98.7 " in shown(one)


def test_a_line_of_a_file_is_called_as_editors_call_it() -> None:
    """Lines of a file are counted from 1 and have no partition; Kafka's offsets begin at 0."""
    text = shown(alert("a", "b"), place="app.log:100", first_number=1)
    assert "  app.log:100" in text
    assert "logs/3" not in text
    assert "▶ 100 " in text


def test_a_rate_is_shown_with_its_numbers() -> None:
    """The reader of an alert on a known line sees at once what is new about it."""
    rate = LineRate(counted=1_034, before=20, of="failures")
    text = shown(alert("GET /cart 502", kind=AlertKind.FAILURE_RATE_UP, rate=rate), width=200)
    assert "1,034 failures within 10 s, at most 20 before" in text
    of_line = LineRate(counted=34, before=20, of="line")
    assert "34 within 10 s, at most" in shown(alert("x", kind=AlertKind.RATE_UP, rate=of_line), width=200)
