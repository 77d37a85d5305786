"""Writes `docs/metrics.md`: every metric with its type, labels and meaning, as the code defines them.

Run it as a program to print the page. `tests/test_readme.py` compares the two.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable

from logwarden.daemon.health import HealthState
from logwarden.daemon.web.bridge_metrics import BridgeCounts
from logwarden.daemon.web.health_metrics import HealthCollector
from logwarden.daemon.web.metric_families import MetricRow
from logwarden.daemon.web.metrics import PrometheusTelemetry

_HEAD = """# Metrics

`python -m logwarden.daemon.web.metrics_page` prints this page; do not edit it by hand.

The daemon serves these on `/metrics` in Prometheus' text format, beside `process_…` and `python_gc_…` of the client
library. No label contains a service or text of a log. `service_class` has the classes of
`LOGWARDEN_HTTP__SERVICE_CLASSES` and `other`; `topic` and `partition` are those of this member.

| metric | type | labels | meaning |
|---|---|---|---|
"""
_BRIDGE = """
## Bridge

[`logwarden bridge`](bridges.md) serves these on its own port, beside `process_…`. `destination` is one that is in use.

| metric | type | labels | meaning |
|---|---|---|---|
"""


def metrics_markdown() -> str:
    """Returns the page."""
    health = (
        MetricRow(family.name, family.type, tuple(family._labelnames), family.documentation)
        for family in HealthCollector(HealthState()).collect()
    )
    return _HEAD + _table([*PrometheusTelemetry().rows, *health]) + _BRIDGE + _table(BridgeCounts(()).rows)


def _table(rows: Iterable[MetricRow]) -> str:
    return "".join(
        f"| `{row.name}` | {row.kind} | {', '.join(f'`{label}`' for label in row.labels)} | {row.meaning} |\n"
        for row in sorted(rows)
    )


if __name__ == "__main__":
    sys.stdout.write(metrics_markdown())
