"""The published JSON schema of incidents, for tests that validate records."""

from __future__ import annotations

import json
from importlib import resources
from typing import Any


def incident_schema() -> dict[str, Any]:
    """Returns the schema of the records of the incidents topic."""
    text = resources.files("logwarden.daemon.incidents").joinpath("incident.schema.json").read_text(encoding="utf-8")
    found: dict[str, Any] = json.loads(text)
    return found
