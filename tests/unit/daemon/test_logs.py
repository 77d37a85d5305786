"""The daemon's own log: machine-readable, one line per event, and free of watched log lines."""

from __future__ import annotations

import io
import json
import logging
import warnings
from collections.abc import Iterator
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
