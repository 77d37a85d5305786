"""The daemon's own log: one structured event per unit of work, on standard error.

Owns the form of events: JSON lines, or colours on a terminal. The standard library's loggers (aiokafka, aiohttp,
warnings) get the same form. No log line of a watched service is written at info or above: it may contain secrets, and
the daemon's own log has more readers. Refuses to know what is being logged.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import MutableMapping
from typing import Any, TextIO

import structlog

from logwarden.daemon.settings.groups import LogSettings

RAW_FIELDS = ("line", "lines", "text", "value")
"""Fields of an event that may contain a raw log line."""
RAW_CHARS = 256
"""Characters of a raw line shown at debug: enough to recognise it, short enough for a screen."""
_CHATTY = {"aiokafka": logging.WARNING, "asyncio": logging.INFO, "urllib3": logging.INFO}
"""Least level of libraries that log several events per fetch, unless the operator sets `debug`. The daemon's own events
report a rebalance in one line, so aiokafka's are not needed."""


def configure(settings: LogSettings, stream: TextIO | None = None) -> None:
    """Routes structlog and the standard library's logging to `stream` (None: standard error)."""
    stream = stream or sys.stderr
    console = settings.format == "console" or (settings.format == "auto" and stream.isatty())
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.ExtraAdder(),
        structlog.processors.TimeStamper(fmt="iso", utc=True),
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
    output = logging.StreamHandler(stream)
    output.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *_renderers(console, stream)],
        )
    )
    level = logging.getLevelNamesMapping()[settings.level.upper()]
    root = logging.getLogger()
    root.handlers = [output]
    root.setLevel(level)
    for name, least in _CHATTY.items():
        logging.getLogger(name).setLevel(logging.INFO if level < logging.INFO else max(level, least))
    logging.captureWarnings(True)


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
