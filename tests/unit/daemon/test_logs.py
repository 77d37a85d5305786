"""The daemon's own log: machine-readable, one line per event, and free of watched log lines."""

from __future__ import annotations

import io
import json
import logging
import time
import warnings
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any, Literal

import pytest
import structlog

from logwarden.daemon.logs import configure
from logwarden.daemon.settings.groups import LogSettings


class Terminal(io.StringIO):
    """A stream that reports to be a terminal."""

    def isatty(self) -> bool:
        return True


@pytest.fixture(autouse=True)
def _untouched_logging() -> Iterator[None]:
    """Restores logging, which is global to the interpreter."""
    root = logging.getLogger()
    before, level = root.handlers[:], root.level
    levels = {name: logging.getLogger(name).level for name in ("aiokafka", "asyncio", "urllib3")}
    yield
    root.handlers, root.level = before, level
    for name, known in levels.items():
        logging.getLogger(name).setLevel(known)
    logging.captureWarnings(False)
    structlog.reset_defaults()


def written(stream: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_events_are_json_lines_off_a_terminal() -> None:
    """A log collector gets one object per line with event, level and time."""
    stream = io.StringIO()
    configure(LogSettings(), stream)
    structlog.get_logger("daemon.x").info("batch_scored", windows=3)
    (event,) = written(stream)
    assert (event["event"], event["level"], event["windows"], event["logger"]) == (
        "batch_scored",
        "info",
        3,
        "daemon.x",
    )
    assert event["timestamp"].endswith("Z")


def test_events_are_for_people_on_a_terminal() -> None:
    """The form is coloured text on a terminal, and JSON if the setting is json."""
    stream, pinned = Terminal(), Terminal()
    configure(LogSettings(), stream)
    structlog.get_logger().info("started")
    configure(LogSettings(format="json"), pinned)
    structlog.get_logger().info("started")
    assert "\x1b[" in stream.getvalue()
    assert "started" in stream.getvalue()
    assert written(pinned)[0]["event"] == "started"


def test_libraries_speak_the_same_form() -> None:
    """aiokafka logs through the standard library; its events are JSON too, with its logger's name."""
    stream = io.StringIO()
    configure(LogSettings(level="debug"), stream)
    logging.getLogger("aiokafka.consumer").warning("Heartbeat failed for %s", "group-1")
    logging.getLogger("aiokafka.conn").debug("Request 17")
    (event,) = written(stream)
    assert (event["event"], event["logger"]) == ("Heartbeat failed for group-1", "aiokafka.consumer")


def test_warnings_become_events() -> None:
    """A library's warning does not break the stream of JSON lines."""
    stream = io.StringIO()
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        configure(LogSettings(), stream)
        warnings.warn("old thing", DeprecationWarning, stacklevel=1)
    assert written(stream)[0]["logger"] == "py.warnings"


def test_levels_below_the_chosen_one_are_silent() -> None:
    """At warning, no info event is logged."""
    stream = io.StringIO()
    configure(LogSettings(level="warning"), stream)
    structlog.get_logger().info("batch_scored")
    logging.getLogger("library").info("hello")
    assert stream.getvalue() == ""


@pytest.mark.parametrize("level", ["info", "warning", "error"])
@pytest.mark.parametrize("field", ["line", "lines", "text", "value"])
def test_no_raw_line_at_info_or_above(level: str, field: str) -> None:
    """A password in a watched log line does not reach the daemon's own log."""
    stream = io.StringIO()
    configure(LogSettings(level="debug"), stream)
    for secret in ("password=hunter2", b"password=hunter2", ["password=hunter2"], {"a": "password=hunter2"}):
        getattr(structlog.get_logger(), level)("seen", **{field: secret})
    logging.getLogger("library").log(logging.getLevelNamesMapping()[level.upper()], "x", extra={field: "hunter2"})
    assert "hunter2" not in stream.getvalue()
    assert written(stream)[0][field] == "withheld, length 16"


def test_counts_are_no_raw_lines() -> None:
    """`lines=32` is a fact, not a line."""
    stream = io.StringIO()
    configure(LogSettings(), stream)
    structlog.get_logger().info("seen", lines=32, value=None)
    assert written(stream)[0]["lines"] == 32


def test_a_raw_line_at_debug_is_cut_and_cannot_steer_the_terminal() -> None:
    """Debug shows the line, but an escape sequence in it stays text."""
    stream = Terminal()
    configure(LogSettings(level="debug", format="console"), stream)
    structlog.get_logger().debug("seen", line="\x1b[2J" + "x" * 9_999)
    assert "\x1b[2J" not in stream.getvalue()
    assert "\\x1b[2J" in stream.getvalue()
    assert len(stream.getvalue()) < 1_000


def test_an_exception_is_one_event() -> None:
    """A traceback becomes fields of its event, so that line-based collectors keep it whole."""
    stream = io.StringIO()
    configure(LogSettings(), stream)
    try:
        raise ValueError("boom")
    except ValueError:
        structlog.get_logger().exception("task_failed")
    (event,) = written(stream)
    assert event["exception"][0]["exc_value"] == "boom"


@pytest.mark.parametrize("form", ["json", "console"])
def test_a_traceback_shows_no_local_variables(form: Literal["json", "console"]) -> None:
    """The line in work at an error is a local variable, and stays out of the log."""
    stream = io.StringIO()
    configure(LogSettings(format=form), stream)
    line = "password=" + "hunter2"
    try:
        raise ValueError(len(line))
    except ValueError:
        structlog.get_logger().exception("task_failed")
    assert "ValueError" in stream.getvalue()
    assert "=hunter2" not in stream.getvalue()


# ---------------------------------------------------------------- folding


KINDS = ("fetch", "commit", "heartbeat", "metadata", "publish", "connect", "coordinator", "offset", "topic", "request")


class Ticks:
    """A clock of the test."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def ticks(monkeypatch: pytest.MonkeyPatch) -> Ticks:
    """Replaces the clock of the log's folding."""
    ticks = Ticks()
    monkeypatch.setattr("logwarden.daemon.logs.SystemClock", lambda: SimpleNamespace(monotonic=ticks))
    return ticks


def test_twenty_thousand_dead_letters_are_a_handful_of_lines(ticks: Ticks) -> None:
    """The first shows at once, the count follows after ten seconds with the newest example, the rest at the end."""
    stream = io.StringIO()
    configure(LogSettings(), stream)
    log = structlog.get_logger("logwarden.daemon.pipeline.dead_letters")
    for offset in range(20_000):
        ticks.now = offset / 1_000
        log.warning("record_dead_lettered", topic="logs", partition=0, offset=offset)
    logging.getLogger().handlers[0].close()
    first, second, last = written(stream)
    assert (first["offset"], "folded" in first) == (0, False)
    assert (second["offset"], second["folded"]) == (9_999, 9_998)
    assert (last["offset"], last["folded"]) == (19_999, 9_999)


def test_partitions_show_apart(ticks: Ticks) -> None:
    """The first event of another partition is news."""
    stream = io.StringIO()
    configure(LogSettings(), stream)
    for partition in (0, 1, 0, 1):
        structlog.get_logger().error("batch_unreadable", topic="logs", partition=partition)
    assert [event["partition"] for event in written(stream)] == [0, 1]


def test_libraries_are_folded_by_their_template(ticks: Ticks) -> None:
    """aiokafka retries ten times a second, each time with another number; the line keeps the time of its event."""
    stream = io.StringIO()
    configure(LogSettings(), stream)
    for number in range(100):
        logging.getLogger("aiokafka").error("Unable connect to node with id %s: %s", number, OSError(number))
        logging.getLogger("aiokafka").error(f"Topic t{number} not found")
        logging.getLogger("aiokafka").error("%s", f"one of many messages, {number}")
    at = max(record["timestamp"] for record in written(stream))
    logging.getLogger().handlers[0].close()
    lines = written(stream)
    assert [line.get("folded") for line in lines] == [None] * 3 + [98] * 3
    assert lines[3]["event"] == "Unable connect to node with id 99: 99"
    assert lines[3]["timestamp"] > at


def test_the_life_cycle_is_never_folded(ticks: Ticks) -> None:
    """Each rebalance shows, at info."""
    stream = io.StringIO()
    configure(LogSettings(), stream)
    for _ in range(5):
        structlog.get_logger().info("partitions_assigned", partitions=3)
    assert len(written(stream)) == 5


def test_debug_shows_everything(ticks: Ticks) -> None:
    """Who sets debug wants every event."""
    stream = io.StringIO()
    configure(LogSettings(level="debug"), stream)
    for _ in range(5):
        structlog.get_logger().warning("publish_failed")
    assert len(written(stream)) == 5


def test_each_place_of_an_error_shows_its_traceback_once(ticks: Ticks) -> None:
    """A folded error keeps its class and message; frames are not kept alive for minutes."""
    stream = io.StringIO()
    configure(LogSettings(), stream)

    def fail(divisor: int) -> None:
        try:
            _ = 1 / divisor
            raise ValueError("not a number")
        except (ValueError, ZeroDivisionError):
            structlog.get_logger().exception("task_failed")
            logging.getLogger("library").exception("it failed")

    for divisor in (0, 1, 0, 1):
        fail(divisor)
    handler = logging.getLogger().handlers[0]
    assert all(kind.newest.exc_info is None for kind in handler._folding._kinds.values() if kind.newest)  # type: ignore[attr-defined]
    handler.close()
    lines = written(stream)
    assert [line["exception"][0]["exc_type"] for line in lines[:4]] == ["ZeroDivisionError"] * 2 + ["ValueError"] * 2
    assert [line["error"] for line in lines[4:]] == ["ZeroDivisionError: division by zero"] * 2 + [
        "ValueError: not a number"
    ] * 2


def test_a_library_that_logs_wrongly_is_not_ended_by_it(capsys: pytest.CaptureFixture[str]) -> None:
    """Arguments that do not fit their template are a mistake of the library, shown as Python shows it."""
    configure(LogSettings(), io.StringIO())
    for _ in range(2):
        logging.getLogger("library").warning("%d lines", "many")
    assert "--- Logging error ---" in capsys.readouterr().err


def test_the_last_count_needs_no_other_event(monkeypatch: pytest.MonkeyPatch) -> None:
    """A kind that stops is brought out by a timer, whichever kind was counted before it."""
    stream = io.StringIO()
    configure(LogSettings(), stream)
    logging.getLogger("later").warning("continues")
    logging.getLogger("later").warning("continues")
    monkeypatch.setattr("logwarden.daemon.folding.FIRST_S", 0.05)
    logging.getLogger("a").warning("stopped")
    logging.getLogger("a").warning("stopped")
    deadline = time.monotonic() + 8  # the other kind's count is due after ten
    while len(written(stream)) < 3:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    assert written(stream)[-1]["logger"] == "a"
    logging.getLogger().handlers[0].close()


def test_an_hour_of_outage_is_few_lines(ticks: Ticks) -> None:
    """Ten kinds of complaints, each many times a second for an hour."""
    stream = io.StringIO()
    configure(LogSettings(), stream)
    for tenth in range(36_000):
        ticks.now = tenth / 10
        kind = KINDS[tenth % len(KINDS)]
        logging.getLogger("aiokafka").error(f"{kind} failed, try {tenth}")
    logging.getLogger().handlers[0].close()
    lines = written(stream)
    assert len(lines) <= 200
    assert sum(1 + line.get("folded", 0) for line in lines) == 36_000
