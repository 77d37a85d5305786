"""Reads Grafana's dashboard: its queries, and which of them are empty on a daemon that is well."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from tests.deploy.tools import ROOT

DASHBOARD = ROOT / "deploy" / "grafana" / "logwarden.json"
EMPTY = {
    "logwarden_lost_messages_total": "no topic refused a message",
    "logwarden_out_of_range_offsets_total": "no offset was lost",
    "logwarden_skipped_offsets_total": "no batch was skipped",
    "logwarden_suppressed_alerts_total": "nobody gave feedback",
    "logwarden_bridge_delivery_delay_seconds": "nothing was delivered",
    "process_start_time_seconds": "the daemon did not restart",
}
"""Metrics whose queries have no samples on a daemon that is well, and why."""


def dashboard() -> Any:
    """Returns the dashboard as Grafana reads it."""
    return json.loads(DASHBOARD.read_text(encoding="utf-8"))


def queries() -> Iterator[tuple[str, str]]:
    """Yields the title and expression of every query."""
    whole = dashboard()
    for panel in whole["panels"]:
        for target in panel.get("targets", ()):
            yield panel["title"], target["expr"]
    for annotation in whole["annotations"]["list"]:
        yield annotation["name"], annotation["expr"]
