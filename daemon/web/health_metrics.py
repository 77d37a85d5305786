"""Reads a member's health for Prometheus at each scrape: ages, blocked topics, readiness.

An age that is set when something happens stands still when nothing happens, which is when it matters. Owns the names of
these metrics; keeps no value.
"""

from __future__ import annotations

from collections.abc import Iterator

from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from logwarden.daemon.health import STAGES, HealthState
from logwarden.daemon.readiness import reasons

NOT_YET = float("nan")
"""Value of an age before the first time: 0 would be the best value there is."""


class HealthCollector(Collector):  # type: ignore[misc]  # the library ships few types
    """Yields a gauge per fact of a `HealthState`."""

    def __init__(self, health: HealthState) -> None:
        self._health = health

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """Yields every gauge with its value of this moment."""
        health = self._health
        yield _gauge("ready", "1 while /readyz answers 200.", not reasons(health))
        yield _gauge("input_topics_missing", "Input topics that do not exist.", len(health.missing_topics))
        yield _gauge("partitions_unreadable", "Partitions stopped at an unreadable batch.", len(health.unreadable))
        yield _gauge(
            "partitions_stalled", "Partitions of which nothing arrives although more is there.", len(health.stalled)
        )
        yield _gauge(
            "learning_partitions",
            "Partitions whose lines from before the first start are being learned.",
            health.learning_partitions,
        )
        yield _gauge(
            "learning_records",
            "Records from before the first start that are still to be read.",
            health.learning_records_left,
        )
        slope = health.lag_per_s
        yield _gauge(
            "lag_records_per_second",
            "Growth of the lag of all partitions over the last minute; NaN while it is not known.",
            NOT_YET if slope is None else slope,
        )
        progress = GaugeMetricFamily(
            "logwarden_progress_age_seconds",
            "Seconds since a stage last finished work, or the broker answered a fetch; NaN before that.",
            labels=("stage",),
        )
        waiting = GaugeMetricFamily(
            "logwarden_stage_waiting_seconds",
            "Seconds for which work has waited for a stage that finished none; 0 while nothing waits.",
            labels=("stage",),
        )
        for stage in STAGES:
            age = health.since_progress_s(stage)
            progress.add_metric((stage,), NOT_YET if age is None else age)
            waiting.add_metric((stage,), health.waited_s(stage))
        yield progress
        yield waiting
        blocked = GaugeMetricFamily(
            "logwarden_publish_blocked", "1 while an output topic takes no message.", labels=("topic",)
        )
        for topic in sorted(health.output_topics):
            blocked.add_metric((topic,), float(topic in health.blocked_topics))
        yield blocked
        memory = GaugeMetricFamily(
            "logwarden_state_blocked",
            "1 while the state topic cannot be read or written: a restart forgets what services have learned.",
            labels=("stage",),
        )
        for step in ("read", "write"):
            memory.add_metric((step,), float(step in health.without_memory))
        yield memory


def _gauge(name: str, meaning: str, value: float) -> GaugeMetricFamily:
    return GaugeMetricFamily(f"logwarden_{name}", meaning, value=float(value))
