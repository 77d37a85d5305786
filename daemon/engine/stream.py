"""Opens the log stream that fills an engine's line table. Imports no torch."""

from __future__ import annotations

from logwarden.daemon.ports import Engine
from logwarden.daemon.settings.groups import Settings
from logwarden.model.stream import LogStream

MAX_SHOWN_CHARS = 100_000
"""Characters of raw text that an alert may contain in all. JSON needs at most six bytes for each of them, so the alert
stays below the broker's limit of 1 MiB."""


def open_stream(engine: Engine, settings: Settings, *, max_slots: int, shown_chars: int | None = None) -> LogStream:
    """Returns an empty stream. `shown_chars`: characters of a line kept for people; None: as many as an alert shows."""
    if shown_chars is None:
        shown_chars = min(settings.alerts.max_line_chars, MAX_SHOWN_CHARS // settings.window.size)
    return LogStream(
        engine.table,
        size=settings.window.size,
        step=settings.window.step,
        max_slots=max_slots,
        max_lines_per_slot=settings.limits.max_history_lines_per_service,
        shown_chars=shown_chars,
    )
