"""Counts what happened, for Prometheus. One method per fact, so that the pipeline reads as facts and not as metrics.

Owns the metric names and a registry of its own (two daemons in one test do not add up). Refuses to label anything by
service or by log text: both are unbounded, and a metrics store dies of it. Safe to call from any thread; never waits.
"""

from __future__ import annotations

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.gc_collector import GCCollector
from prometheus_client.process_collector import ProcessCollector

from logwarden.model.version import __version__

CONTENT_TYPE: str = CONTENT_TYPE_LATEST

SCORE_BUCKETS_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
"""From a warm batch on a GPU (a millisecond) to a batch full of lines never seen before on one CPU core (seconds)."""
DELAY_BUCKETS_S = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 1800.0)
"""From steady state to working off the backlog of half an hour."""


class Telemetry:
    """Every fact the daemon counts; `render` is what `/metrics` answers."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        ProcessCollector(registry=self._registry)
        GCCollector(registry=self._registry)
        build = self._gauge("build_info", "Always 1; the version is its label.", "version")
        build.labels(version=__version__).set(1)
        self._records = self._counter("records", "Records fetched from the input topics.")
        self._lines = self._counter("lines", "Log lines decoded and put into their service's window.")
        self._ingest = self._histogram("ingest_seconds", "Time to decode and window one poll.", SCORE_BUCKETS_S)
        self._scored_lines = self._counter("scored_lines", "Log lines that a scored window covered as new.")
        self._windows = self._counter("windows", "Windows scored.")
        self._anomalies = self._counter("anomalies", "Windows judged anomalous.")
        self._new_lines = self._counter("new_lines", "Masked lines never seen before, each embedded once by BERT.")
        self._score = self._histogram("score_seconds", "Time to score one batch of windows.", SCORE_BUCKETS_S)
        self._alerts = self._counter("alerts", "Alerts acknowledged by the broker.")
        self._delay = self._histogram(
            "detection_delay_seconds", "From a line's own time to its alert.", DELAY_BUCKETS_S
        )
        self._retries = self._counter("publish_retries", "Publications to the broker that were tried again.")
        self._dead = self._counter("dead_letters", "Records sent to the dead-letter topic, by failing step.", "stage")
        self._replaced = self._counter(
            "replaced_lines", "Lines with bytes that are not UTF-8, decoded with replacement."
        )
        self._cut = self._counter("cut_lines", "Lines longer than the limit, of which the rest was cut.")
        self._empty = self._counter("empty_lines", "Lines with nothing in them, counted and skipped.")
        self._context = self._counter("context_records", "Records read again to rebuild windows after an assignment.")
        self._short = self._counter("short_contexts", "Assignments whose windows could not be rebuilt in full.")
        self._commits = self._counter("commits", "Offset commits.")
        self._committed = self._counter("committed_partitions", "Partitions whose offset was committed, summed.")
        self._assigned = self._counter("partitions_assigned", "Partitions given to this member, summed.")
        self._revoked = self._counter("partitions_revoked", "Partitions taken from this member, summed.")
        self._held = self._gauge("partitions", "Partitions held now.")
        self._lag = self._gauge("lag_records", "Records of a held partition not done yet.", "topic", "partition")
        self._range = self._counter(
            "offset_out_of_range", "Committed offsets the broker no longer had.", "topic", "partition"
        )
        self._in_flight = self._gauge("in_flight_lines", "Lines read and not done.")
        self._paused = self._gauge("paused", "1 while reading is paused because too many lines are in flight.")
        self._services = self._gauge("services", "Services remembered.")
        self._rows = self._gauge("line_table_rows", "Distinct masked lines held with their vectors.")
        self._overflow = self._counter("line_table_overflow", "Masked lines for which the line table had no free row.")

    def _counter(self, name: str, meaning: str, *labels: str) -> Counter:
        return Counter(name, meaning, labels, namespace="logwarden", registry=self._registry)

    def _gauge(self, name: str, meaning: str, *labels: str) -> Gauge:
        return Gauge(name, meaning, labels, namespace="logwarden", registry=self._registry)

    def _histogram(self, name: str, meaning: str, buckets: tuple[float, ...]) -> Histogram:
        return Histogram(name, meaning, namespace="logwarden", registry=self._registry, buckets=buckets)

    def render(self) -> bytes:
        """Everything in Prometheus' text form, of type `CONTENT_TYPE`."""
        text: bytes = generate_latest(self._registry)
        return text

    def fetched(self, records: int) -> None:
        """So many records came from the input topics."""
        self._records.inc(records)

    def ingested(self, lines: int, seconds: float) -> None:
        """One poll was decoded into so many lines and put into windows in so many seconds."""
        self._lines.inc(lines)
        self._ingest.observe(seconds)

    def embedded(self, n: int) -> None:
        """So many masked lines were met for the first time and embedded."""
        self._new_lines.inc(n)

    def batch(self, *, lines: int, windows: int, alerts: int, seconds_score: float) -> None:
        """One batch was scored: lines judged for the first time, windows, anomalous ones among them."""
        self._scored_lines.inc(lines)
        self._windows.inc(windows)
        self._anomalies.inc(alerts)
        self._score.observe(seconds_score)

    def alert_published(self, count: int = 1) -> None:
        """The broker acknowledged so many alerts."""
        self._alerts.inc(count)

    def detected(self, delay_seconds: float) -> None:
        """An alert was published so long after its newest line's own time; clocks that disagree count as no delay."""
        self._delay.observe(max(delay_seconds, 0.0))

    def publish_retried(self) -> None:
        """A publication failed in a way that may pass, and was tried again."""
        self._retries.inc()

    def dead_lettered(self, stage: str, n: int = 1) -> None:
        """So many records were given up at a step and sent to the dead-letter topic."""
        self._dead.labels(stage=stage).inc(n)

    def decoded_with_replacement(self, n: int) -> None:
        """So many lines held bytes that are not UTF-8."""
        self._replaced.inc(n)

    def cut_lines(self, n: int) -> None:
        """So many lines were longer than the limit."""
        self._cut.inc(n)

    def empty_lines(self, n: int) -> None:
        """So many lines held nothing."""
        self._empty.inc(n)

    def context_replayed(self, records: int, short: bool) -> None:
        """An assigned partition's windows were rebuilt from so many records; `short`: not all that were wanted."""
        self._context.inc(records)
        self._short.inc(int(short))

    def committed(self, partitions: int) -> None:
        """Offsets of so many partitions were committed at once."""
        self._commits.inc()
        self._committed.inc(partitions)

    def rebalanced(self, assigned: int, revoked: int) -> None:
        """The group gave us and took from us so many partitions; a revoke takes all, so every lag is forgotten."""
        self._assigned.inc(assigned)
        self._revoked.inc(revoked)
        self._held.inc(assigned - revoked)
        if revoked:
            self._lag.clear()

    def lag(self, topic: str, partition: int, records: int) -> None:
        """So many records of a held partition are not done."""
        self._lag.labels(topic=topic, partition=str(partition)).set(records)

    def out_of_range(self, topic: str, partition: int) -> None:
        """The broker no longer had the offset we wanted: lines may have been lost to retention."""
        self._range.labels(topic=topic, partition=str(partition)).inc()

    def in_flight(self, lines: int) -> None:
        """So many lines are read and not done."""
        self._in_flight.set(lines)

    def paused(self, now: bool) -> None:
        """Whether reading is paused."""
        self._paused.set(int(now))

    def services(self, n: int) -> None:
        """So many services are remembered."""
        self._services.set(n)

    def table_rows(self, n: int) -> None:
        """So many rows of the line table are in use."""
        self._rows.set(n)

    def table_overflow(self, n: int) -> None:
        """So many lines found the line table full."""
        self._overflow.inc(n)
