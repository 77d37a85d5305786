"""The output forms of the commands. Imports nothing heavy, so that `--help` answers at once."""

from __future__ import annotations

from enum import StrEnum


class ConfigFormat(StrEnum):
    """Output form of the settings."""

    table = "table"
    json = "json"
    markdown = "markdown"


class FailOn(StrEnum):
    """What makes a scan fail."""

    never = "never"
    incident = "incident"


class ServiceStateWord(StrEnum):
    """How well a service is known."""

    learning = "learning"
    known = "known"
    noisy = "noisy"


class IncidentSeverity(StrEnum):
    """Severity of an incident."""

    critical = "critical"
    error = "error"
    warning = "warning"
    info = "info"


class AlertFormat(StrEnum):
    """Output form of the alerts."""

    pretty = "pretty"
    jsonl = "jsonl"


class MaintenanceAction(StrEnum):
    """What to do about a maintenance."""

    start = "start"
    stop = "stop"
    list = "list"
