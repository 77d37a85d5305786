"""The daemon's own log: one structured event per unit of work, on standard error.

Owns the form of events: JSON lines, or colours on a terminal. The standard library's loggers (aiokafka, aiohttp,
warnings) get the same form. Events of libraries, and warnings and errors of the daemon, are folded by kind, so that an
outage of an hour is a few screens; level debug shows everything. No log line of a watched service is written at info or
above: it may contain secrets, and the daemon's own log has more readers. Refuses to know what is being logged.
"""

from __future__ import annotations

import copy
import logging
import math
import re
import sys
import threading
import traceback
from collections.abc import Callable, Hashable, MutableMapping
from contextlib import nullcontext
from datetime import UTC, datetime
from typing import Any, TextIO

import structlog

from logwarden.daemon.clock import SystemClock
from logwarden.daemon.folding import Entry, Folding, template_of
from logwarden.daemon.settings.groups import LogSettings

RAW_FIELDS = ("line", "lines", "text", "value")
"""Fields of an event that may contain a raw log line."""
RAW_CHARS = 256
"""Characters of a raw line shown at debug: enough to recognise it, short enough for a screen."""
_CHATTY = {"aiokafka": logging.WARNING, "asyncio": logging.INFO, "urllib3": logging.INFO}
"""Least level of libraries that log several events per fetch, unless the operator sets `debug`. The daemon's own events
report a rebalance in one line, so aiokafka's are not needed."""

_WORD = re.compile(r"(?<!%)[^\W\d_]{3}")
_NOW = structlog.processors.TimeStamper(fmt="iso", utc=True)


def configure(settings: LogSettings, stream: TextIO | None = None) -> None:
    """Routes structlog and the standard library's logging to `stream` (None: standard error)."""
    stream = stream or sys.stderr
    console = settings.format == "console" or (settings.format == "auto" and stream.isatty())
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.ExtraAdder(),
        _stamp_time,
        structlog.processors.StackInfoRenderer(),
        withhold_raw_lines,
    ]
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            structlog.stdlib.PositionalArgumentsFormatter(),
            *shared,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        wrapper_class=structlog.stdlib.BoundLogger,
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=False,  # a logger made before this call must still obey it
    )
    level = logging.getLevelNamesMapping()[settings.level.upper()]
    output: logging.Handler = logging.StreamHandler(stream)
    output.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *_renderers(console, stream)],
        )
    )
    root = logging.getLogger()
    root.handlers = [output if level < logging.INFO else Folded(output, SystemClock().monotonic)]
    root.setLevel(level)
    for name, least in _CHATTY.items():
        logging.getLogger(name).setLevel(logging.INFO if level < logging.INFO else max(level, least))
    logging.captureWarnings(True)


class Folded(logging.Handler):
    """Passes records on to `output`, the repeated ones of a kind as one record with the field `folded`."""

    def __init__(self, output: logging.Handler, now: Callable[[], float]) -> None:
        super().__init__()
        self._output = output
        self._now = now
        self._folding: Folding[logging.LogRecord] = Folding()
        self._timer: threading.Timer | None = None
        self._ticks_at = math.inf

    def emit(self, record: logging.LogRecord) -> None:
        """Passes a record on, or keeps it as the newest of its kind. The logging module has locked this handler."""
        try:
            kind = kind_of(record)
            kept = _without_references(record)
        except Exception:  # arguments that do not fit their template: a mistake of the caller must not end the caller
            self.handleError(record)
            return
        if kind is None:
            self._output.handle(record)
            return
        for line in self._folding.take(*kind, kept, self._now()):
            self._pass_on(Entry(record) if line.event is kept else line)
        if self._folding.wake < self._ticks_at:
            self._wait()

    def close(self) -> None:
        """Passes on what is counted and not logged yet, at the end of the process."""
        with self.lock or nullcontext():
            for line in self._folding.flush():
                self._pass_on(line)
            if self._timer is not None:
                self._timer.cancel()
        super().close()

    def _pass_on(self, line: Entry[logging.LogRecord]) -> None:
        record = line.event
        if line.folded and isinstance(record.msg, dict):
            record.msg = record.msg | {"folded": line.folded}
        elif line.folded:
            record.folded = line.folded
        self._output.handle(record)

    def _wait(self) -> None:
        """Sets the timer: a kind that stops has nothing else that would bring its last count out."""
        if self._timer is not None:
            self._timer.cancel()
        self._ticks_at = self._folding.wake
        if self._ticks_at < math.inf:
            self._timer = threading.Timer(max(0.0, self._ticks_at - self._now()), self._tick)
            self._timer.daemon = True
            self._timer.start()

    def _tick(self) -> None:
        with self.lock or nullcontext():
            for line in self._folding.due(self._now()):
                self._pass_on(line)
            self._wait()


def kind_of(record: logging.LogRecord) -> tuple[Hashable, Hashable] | None:
    """Returns the kind of a record and the member of that kind. Returns None for a record that is never folded.

    A kind is an event's name, or a library's message without its numbers. The daemon's own kinds have a member for each
    topic and partition, and its info events pass one by one.
    """
    if isinstance(record.msg, dict):
        if record.levelno < logging.WARNING:
            return None
        text, where = record.msg.get("event"), (record.msg.get("topic"), record.msg.get("partition"))
    else:
        # A template such as `%s: %s` is that of any message.
        text = record.msg if _WORD.search(str(record.msg)) else record.getMessage()
        where = None
    return (record.name, record.levelno, template_of(str(text)), _raised_at(_error_of(record))), str(where)


def _error_of(record: logging.LogRecord) -> BaseException | None:
    found = record.msg.get("exc_info") if isinstance(record.msg, dict) else record.exc_info
    if found is True:
        found = sys.exc_info()
    return found[1] if isinstance(found, tuple) else found or None


def _raised_at(error: BaseException | None) -> str:
    """Returns the class of an error and its place: each place shows its traceback once."""
    if error is None:
        return ""
    *_, last = [None, *traceback.walk_tb(error.__traceback__)]
    place = "" if last is None else f" {last[0].f_code.co_filename}:{last[1]}"
    return type(error).__name__ + place


def _without_references(record: logging.LogRecord) -> logging.LogRecord:
    """Returns a copy that keeps no error, frame or argument alive while it waits."""
    kept = copy.copy(record)
    error = _error_of(record)
    named = {} if error is None else {"error": f"{type(error).__name__}: {error}"}
    kept.exc_info = kept.exc_text = None
    if isinstance(record.msg, dict):
        kept.msg = named | {name: value for name, value in record.msg.items() if name != "exc_info"}
    else:
        kept.msg, kept.args = record.getMessage(), None
        kept.__dict__ |= named
    return kept


def _stamp_time(logger: Any, method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Adds the time of the event, which is earlier than that of its line where the event was kept."""
    record = event.get("_record")
    if record is None:
        return _NOW(logger, method, event)
    event["timestamp"] = datetime.fromtimestamp(record.created, UTC).isoformat().replace("+00:00", "Z")
    return event


def _renderers(console: bool, stream: TextIO) -> list[structlog.typing.Processor]:
    # Both forms of a traceback show local variables by default, and raw lines are among them: both leave them out here.
    if console:
        plain = structlog.dev.plain_traceback
        return [structlog.dev.ConsoleRenderer(colors=stream.isatty(), exception_formatter=plain)]
    # An exception becomes fields and not a block of text, so that one event stays one line.
    fields = structlog.tracebacks.ExceptionDictTransformer(show_locals=False)
    return [structlog.processors.ExceptionRenderer(fields), structlog.processors.JSONRenderer()]


def withhold_raw_lines(_: object, method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Replaces a raw log line by its length at info and above, and by an escaped, truncated form at debug."""
    for field in RAW_FIELDS:
        if field in event and not isinstance(event[field], int | float | bool | None):
            value = event[field]
            if method == "debug":
                event[field] = repr(value)[:RAW_CHARS]
            else:
                event[field] = f"withheld, length {len(value)}" if hasattr(value, "__len__") else "withheld"
    return event
