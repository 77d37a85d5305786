"""Counts the daemon's facts for Prometheus. Implements `daemon/telemetry.py`, which documents each fact.

Owns a registry of its own: two daemons in one test do not add up. The names are in `metric_families.py`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import product

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest
from prometheus_client.gc_collector import GCCollector
from prometheus_client.process_collector import ProcessCollector

from logwarden.daemon.health import HealthState
from logwarden.daemon.selecting import class_names, classifier
from logwarden.daemon.web.health_metrics import HealthCollector
from logwarden.daemon.web.metric_families import MetricFamilies, MetricRow
from logwarden.model.incidents import SEVERITIES

CONTENT_TYPE: str = CONTENT_TYPE_LATEST

LIVE_S = 3600.0
"""Age from which an alert's line is replayed or wrongly dated: a single line of 1970 would spoil the sum for good."""
CLOCKS_DIFFER_S = 60.0
"""Seconds by which the clock of a live line's host may be ahead of this one."""


class PrometheusTelemetry:
    """Counts every fact of the daemon; `render` returns the body of `/metrics`.

    `health`: facts that are read at each scrape, because they grow old by themselves. `service_classes`: classes of
    services, as `class=pattern`.
    """

    def __init__(self, health: HealthState | None = None, service_classes: Sequence[str] = ()) -> None:
        self._registry = CollectorRegistry()
        if health is not None:
            self._registry.register(HealthCollector(health))
        ProcessCollector(registry=self._registry)
        GCCollector(registry=self._registry)
        self._class_of = classifier(service_classes)
        self._classes = class_names(service_classes)
        self._of = MetricFamilies(self._registry, self._classes)

    @property
    def rows(self) -> list[MetricRow]:
        """Returns what is known of each metric, those of health excluded."""
        return self._of.listed

    def render(self) -> bytes:
        """Returns every metric in Prometheus' text form, of type `CONTENT_TYPE`."""
        text: bytes = generate_latest(self._registry)
        return text

    def fetched(self, records: int) -> None:
        self._of.records.inc(records)

    def ingested(self, lines: int, seconds: float) -> None:
        self._of.lines.inc(lines)
        self._of.ingest.observe(seconds)

    def embedded(self, lines: int) -> None:
        self._of.new_lines.inc(lines)

    def batch(self, *, lines: int, windows: int, alerts: int, seconds_score: float) -> None:
        self._of.scored_lines.inc(lines)
        self._of.windows.inc(windows)
        self._of.anomalies.inc(alerts)
        self._of.score.observe(seconds_score)

    def withheld(self, windows: int) -> None:
        self._of.withheld.inc(windows)

    def suppressed(self, reason: str, windows: int) -> None:
        self._of.suppressed.labels(reason=reason).inc(windows)

    def planned(self, alerts: int) -> None:
        self._of.planned.inc(alerts)

    def feedback_read(self, outcome: str, records: int) -> None:
        self._of.feedback_records.labels(outcome).inc(records)

    def feedback(self, entries: Mapping[str, int], failing: bool) -> None:
        for kind, count in entries.items():
            self._of.feedback_entries.labels(kind=kind).set(count)
        self._of.feedback_failing.set(failing)

    def alert_published(self, count: int) -> None:
        self._of.alerts.inc(count)

    def detected(self, delay_seconds: float) -> None:
        if delay_seconds > LIVE_S:
            self._of.not_live.labels(reason="past").inc()
        elif delay_seconds < -CLOCKS_DIFFER_S:
            self._of.not_live.labels(reason="future").inc()
        else:
            self._of.delay.observe(max(delay_seconds, 0.0))

    def publish_retried(self) -> None:
        self._of.retries.inc()

    def dead_lettered(self, stage: str) -> None:
        self._of.dead.labels(stage=stage).inc()

    def lost(self, topic: str) -> None:
        self._of.lost.labels(topic=topic).inc()

    def waiting_bytes(self, size: int) -> None:
        self._of.waiting.set(size)

    def decoded_with_replacement(self, lines: int) -> None:
        self._of.replaced.inc(lines)

    def schema_requested(self, outcome: str) -> None:
        self._of.schema_requests.labels(outcome).inc()

    def odd_records(self, records: int) -> None:
        self._of.odd.inc(records)

    def cut_lines(self, lines: int) -> None:
        self._of.cut.inc(lines)

    def empty_lines(self, lines: int) -> None:
        self._of.empty.inc(lines)

    def context_replayed(self, records: int, short: bool) -> None:
        self._of.context.inc(records)
        self._of.short.inc(int(short))

    def learned(self, records: int) -> None:
        self._of.learned.inc(records)

    def unlearned(self, records: int) -> None:
        self._of.unlearned.inc(records)

    def committed(self, partitions: int) -> None:
        self._of.commits.inc()
        self._of.committed.inc(partitions)

    def state_written(self, records: int, size: int) -> None:
        self._of.state_records.inc(records)
        self._of.state_bytes.inc(size)

    def state_failed(self, step: str) -> None:
        self._of.state_failures.labels(stage=step).inc()

    def state_restored(self, services: int) -> None:
        self._of.state_services.inc(services)

    def state_unreadable(self, reason: str, records: int) -> None:
        self._of.state_unreadable.labels(outcome=reason).inc(records)

    def state_deferred(self, services: int) -> None:
        self._of.state_deferred.inc(services)

    def state_forgotten(self, services: int) -> None:
        self._of.state_forgotten.inc(services)

    def alerts_folded(self, outcome: str, count: int) -> None:
        self._of.folded.labels(outcome=outcome).inc(count)

    def incident_published(self, change: str, severity: str, service: str) -> None:
        self._of.incident_records.labels(change, severity, self._class_of(service)).inc()

    def incidents(self, opened: Mapping[tuple[str, str], int], failing: bool) -> None:
        counts: Counter[tuple[str, str]] = Counter()
        for (severity, service), count in opened.items():
            counts[severity, self._class_of(service)] += count
        for severity, service_class in product(SEVERITIES, self._classes):
            self._of.incidents_open.labels(severity, service_class).set(counts[severity, service_class])
        self._of.incidents_failing.set(failing)

    def commit_failed(self) -> None:
        self._of.commit_failures.inc()

    def rebalanced(self, assigned: int, revoked: int) -> None:
        self._of.assigned.inc(assigned)
        self._of.revoked.inc(revoked)
        self._of.partitions.inc(assigned - revoked)
        if revoked:
            self._of.lag.clear()

    def lag(self, topic: str, partition: int, records: int) -> None:
        self._of.lag.labels(topic=topic, partition=str(partition)).set(records)

    def out_of_range(self, topic: str, partition: int) -> None:
        self._of.range.labels(topic=topic, partition=str(partition)).inc()

    def unreadable(self, topic: str, partition: int) -> None:
        self._of.unreadable.labels(topic=topic, partition=str(partition)).inc()

    def skipped(self, topic: str, partition: int, offsets: int) -> None:
        self._of.skipped.labels(topic=topic, partition=str(partition)).inc(offsets)

    def in_flight(self, lines: int) -> None:
        self._of.in_flight.set(lines)

    def paused(self, now: bool) -> None:
        self._of.paused.set(int(now))

    def services(self, *, learning: int, known: int, noisy: int) -> None:
        for state, count in (("learning", learning), ("known", known), ("noisy", noisy)):
            self._of.services.labels(state).set(count)

    def services_evicted(self, count: int) -> None:
        self._of.evicted.inc(count)

    def table_rows(self, count: int) -> None:
        self._of.rows.set(count)

    def joined_lines(self, lines: int) -> None:
        self._of.joined.inc(lines)

    def cut_events(self, events: int) -> None:
        self._of.cut_events.inc(events)

    def table_overflow(self, lines: int) -> None:
        self._of.overflow.inc(lines)
