"""The output forms that commands offer. Imports nothing, so that `--help` can name them at once."""

from __future__ import annotations

from enum import StrEnum


class ConfigFormat(StrEnum):
    """How settings are printed."""

    table = "table"
    json = "json"
    markdown = "markdown"


class AlertFormat(StrEnum):
    """How alerts are printed."""

    pretty = "pretty"
    jsonl = "jsonl"
