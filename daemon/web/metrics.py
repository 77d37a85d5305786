"""Counts the daemon's facts for Prometheus. Implements `daemon/telemetry.py`, which documents each fact.

Owns the metric names and a registry of its own (two daemons in one test do not add up). Refuses to label anything by
service or by log text: both are unbounded, and a metrics store fails under unbounded labels.
"""

from __future__ import annotations

from collections.abc import Mapping

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.gc_collector import GCCollector
from prometheus_client.process_collector import ProcessCollector

from logwarden.daemon.health import HealthState
from logwarden.daemon.web.health_metrics import HealthCollector
from logwarden.model.version import __version__

CONTENT_TYPE: str = CONTENT_TYPE_LATEST

SCORE_BUCKETS_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
"""From a warm batch on a GPU (a millisecond) to a batch of lines seen for the first time on one CPU core (seconds)."""
DELAY_BUCKETS_S = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 1800.0)
"""From steady state to a backlog of half an hour."""
LIVE_S = 3600.0
"""Age from which an alert's line is replayed or wrongly dated: a single line of 1970 would spoil the sum for good."""
CLOCKS_DIFFER_S = 60.0
"""Seconds by which the clock of a live line's host may be ahead of this one."""


class PrometheusTelemetry:
    """Counts every fact of the daemon; `render` returns the body of `/metrics`.

    `health`: facts that are read at each scrape, because they grow old by themselves.
    """

    def __init__(self, health: HealthState | None = None) -> None:
        self._registry = CollectorRegistry()
        if health is not None:
            self._registry.register(HealthCollector(health))
        ProcessCollector(registry=self._registry)
        GCCollector(registry=self._registry)
        build = self._gauge("build_info", "Always 1; the version is its label.", "version")
        build.labels(version=__version__).set(1)
        self._records = self._counter("records", "Records fetched from the input topics.")
        self._lines = self._counter("lines", "Log lines decoded and put into their service's window.")
        self._ingest = self._histogram(
            "ingest_seconds", "Seconds to decode one poll and build its windows.", SCORE_BUCKETS_S
        )
        self._scored_lines = self._counter("scored_lines", "Log lines that were new in a scored window.")
        self._windows = self._counter("windows", "Windows scored.")
        self._anomalies = self._counter("anomalies", "Windows that are anomalous.")
        self._withheld = self._counter(
            "withheld_alerts", "Windows without an alert only because their service had used up its budget."
        )
        self._new_lines = self._counter("new_lines", "Masked lines seen for the first time and embedded by BERT.")
        self._score = self._histogram("score_seconds", "Seconds to score one batch of windows.", SCORE_BUCKETS_S)
        self._alerts = self._counter("alerts", "Alerts acknowledged by the broker.")
        self._delay = self._histogram(
            "detection_delay_seconds", "Seconds from a line's own time to its alert, for live lines.", DELAY_BUCKETS_S
        )
        self._not_live = self._counter(
            "detection_delay_excluded",
            "Alerts on lines that are not live: their time lies too far in the past, or in the future.",
            "reason",
        )
        self._retries = self._counter("publish_retries", "Publications to the broker that were retried.")
        self._dead = self._counter(
            "dead_letters", "Records sent to the dead-letter topic, by the step that failed.", "stage"
        )
        self._lost = self._counter("lost_messages", "Messages that no output topic takes, by the topic.", "topic")
        self._waiting = self._gauge("waiting_bytes", "Bytes of alerts and dead letters that wait for the broker.")
        self._make_others()
        self._make_learning()
        self._make_state()

    def _make_others(self) -> None:
        """Makes the metrics of lines, partitions and states."""
        self._joined = self._counter("joined_lines", "Lines that belong to an event which an earlier line began.")
        self._cut_events = self._counter("cut_events", "Events of many lines that ended at a bound.")
        self._replaced = self._counter(
            "replaced_lines",
            "Values and lines that are not UTF-8, read in another charset or with replacement characters.",
        )
        self._schema_requests = self._counter(
            "schema_requests", "Questions to the schema registry: read, refused, unavailable.", "outcome"
        )
        self._odd = self._counter("odd_records", "Records that begin like JSON and are none, read as text.")
        self._cut = self._counter("cut_lines", "Lines that were truncated at the limit.")
        self._empty = self._counter("empty_lines", "Blank lines, which are skipped.")
        self._context = self._counter("context_records", "Records read again to rebuild windows after an assignment.")
        self._short = self._counter("short_contexts", "Assignments whose windows could not be rebuilt in full.")
        self._commits = self._counter("commits", "Offset commits.")
        self._committed = self._counter("committed_partitions", "Partitions whose offset was committed, summed.")
        self._assigned = self._counter("partitions_assigned", "Partitions assigned to this member, summed.")
        self._revoked = self._counter("partitions_revoked", "Partitions revoked from this member, summed.")
        self._partitions = self._gauge("partitions", "Partitions assigned to this member now.")
        self._lag = self._gauge(
            "lag_records", "Records of an assigned partition that are not done.", "topic", "partition"
        )
        self._folded = self._counter(
            "folded_alerts", "Alerts read to be folded into incidents: folded, duplicate, unreadable.", "outcome"
        )
        self._incident_records = self._counter(
            "incident_records", "Records of incidents acknowledged by the broker, by the change.", "change"
        )
        self._incidents_open = self._gauge("incidents_open", "Open incidents of this member.")
        self._incidents_failing = self._gauge("incidents_failing", "1 while this member cannot fold incidents.")
        self._suppressed = self._counter(
            "suppressed_alerts", "Windows without an alert because a person gave feedback: expected, mute.", "reason"
        )
        self._planned = self._counter("planned_alerts", "Alerts on lines that were logged in a maintenance.")
        self._feedback_records = self._counter(
            "feedback_records", "Records of feedback: read, removed, unreadable, refused.", "outcome"
        )
        self._feedback_entries = self._gauge("feedback_entries", "Entries of feedback in force, by kind.", "kind")
        self._feedback_failing = self._gauge("feedback_failing", "1 while feedback cannot be read.")
        self._commit_failures = self._counter("commit_failures", "Commits that the broker did not take.")
        self._range = self._counter(
            "offset_out_of_range", "Committed offsets that the broker no longer had.", "topic", "partition"
        )
        self._unreadable = self._counter(
            "unreadable_batches",
            "Failed attempts to read a batch; its partition is stopped.",
            "topic",
            "partition",
        )
        self._skipped = self._counter(
            "skipped_offsets", "Offsets of batches that cannot be read and were left out.", "topic", "partition"
        )
        self._in_flight = self._gauge("in_flight_lines", "Lines that are read and not done.")
        self._paused = self._gauge("paused", "1 while reading is paused because too many lines are in flight.")
        self._services = self._gauge(
            "services",
            "Services in memory: known, learning (too little is known for an alert), or noisy (new lines are common).",
            "state",
        )
        self._evicted = self._counter("services_evicted", "Services evicted because too many were in memory.")
        self._rows = self._gauge("line_table_rows", "Distinct masked lines in the line table.")
        self._overflow = self._counter("line_table_overflow", "Masked lines for which the line table had no free row.")

    def _make_learning(self) -> None:
        """Makes the metrics of a group's first start."""
        self._learned = self._counter("learned_records", "Records from before the first start that were read.")
        self._unlearned = self._counter(
            "unlearned_records", "Records from before the first start left out, because the time for them had passed."
        )

    def _make_state(self) -> None:
        """Makes the metrics of the state topic."""
        self._state_records = self._counter("state_records", "Records that the state topic acknowledged.")
        self._state_bytes = self._counter("state_bytes", "Bytes of these records, before compression.")
        self._state_services = self._counter("state_restored_services", "Services that came back from the state topic.")
        self._state_unreadable = self._counter(
            "state_unreadable_records",
            "State records that were passed over: damaged, of another format, or of other masks.",
            "outcome",
        )
        self._state_failures = self._counter(
            "state_failures", "Attempts to read or to write the state topic that failed.", "stage"
        )
        self._state_deferred = self._counter(
            "state_deferred_services",
            "Services whose records waited for a later cut, which keeps what is written a small share of the input.",
        )
        self._state_forgotten = self._counter(
            "state_forgotten_services", "Services evicted for good, because evicted ones took too much memory."
        )

    def _counter(self, name: str, meaning: str, *labels: str) -> Counter:
        return Counter(name, meaning, labels, namespace="logwarden", registry=self._registry)

    def _gauge(self, name: str, meaning: str, *labels: str) -> Gauge:
        return Gauge(name, meaning, labels, namespace="logwarden", registry=self._registry)

    def _histogram(self, name: str, meaning: str, buckets: tuple[float, ...]) -> Histogram:
        return Histogram(name, meaning, namespace="logwarden", registry=self._registry, buckets=buckets)

    def render(self) -> bytes:
        """Returns every metric in Prometheus' text form, of type `CONTENT_TYPE`."""
        text: bytes = generate_latest(self._registry)
        return text

    def fetched(self, records: int) -> None:
        self._records.inc(records)

    def ingested(self, lines: int, seconds: float) -> None:
        self._lines.inc(lines)
        self._ingest.observe(seconds)

    def embedded(self, lines: int) -> None:
        self._new_lines.inc(lines)

    def batch(self, *, lines: int, windows: int, alerts: int, seconds_score: float) -> None:
        self._scored_lines.inc(lines)
        self._windows.inc(windows)
        self._anomalies.inc(alerts)
        self._score.observe(seconds_score)

    def withheld(self, windows: int) -> None:
        self._withheld.inc(windows)

    def suppressed(self, reason: str, windows: int) -> None:
        self._suppressed.labels(reason=reason).inc(windows)

    def planned(self, alerts: int) -> None:
        self._planned.inc(alerts)

    def feedback_read(self, outcome: str, records: int) -> None:
        self._feedback_records.labels(outcome).inc(records)

    def feedback(self, entries: Mapping[str, int], failing: bool) -> None:
        for kind, count in entries.items():
            self._feedback_entries.labels(kind=kind).set(count)
        self._feedback_failing.set(failing)

    def alert_published(self, count: int) -> None:
        self._alerts.inc(count)

    def detected(self, delay_seconds: float) -> None:
        if delay_seconds > LIVE_S:
            self._not_live.labels(reason="past").inc()
        elif delay_seconds < -CLOCKS_DIFFER_S:
            self._not_live.labels(reason="future").inc()
        else:
            self._delay.observe(max(delay_seconds, 0.0))

    def publish_retried(self) -> None:
        self._retries.inc()

    def dead_lettered(self, stage: str) -> None:
        self._dead.labels(stage=stage).inc()

    def lost(self, topic: str) -> None:
        self._lost.labels(topic=topic).inc()

    def waiting_bytes(self, size: int) -> None:
        self._waiting.set(size)

    def decoded_with_replacement(self, lines: int) -> None:
        self._replaced.inc(lines)

    def schema_requested(self, outcome: str) -> None:
        self._schema_requests.labels(outcome).inc()

    def odd_records(self, records: int) -> None:
        self._odd.inc(records)

    def cut_lines(self, lines: int) -> None:
        self._cut.inc(lines)

    def empty_lines(self, lines: int) -> None:
        self._empty.inc(lines)

    def context_replayed(self, records: int, short: bool) -> None:
        self._context.inc(records)
        self._short.inc(int(short))

    def learned(self, records: int) -> None:
        self._learned.inc(records)

    def unlearned(self, records: int) -> None:
        self._unlearned.inc(records)

    def committed(self, partitions: int) -> None:
        self._commits.inc()
        self._committed.inc(partitions)

    def state_written(self, records: int, size: int) -> None:
        self._state_records.inc(records)
        self._state_bytes.inc(size)

    def state_failed(self, step: str) -> None:
        self._state_failures.labels(stage=step).inc()

    def state_restored(self, services: int) -> None:
        self._state_services.inc(services)

    def state_unreadable(self, reason: str, records: int) -> None:
        self._state_unreadable.labels(outcome=reason).inc(records)

    def state_deferred(self, services: int) -> None:
        self._state_deferred.inc(services)

    def state_forgotten(self, services: int) -> None:
        self._state_forgotten.inc(services)

    def alerts_folded(self, outcome: str, count: int) -> None:
        self._folded.labels(outcome=outcome).inc(count)

    def incident_published(self, change: str) -> None:
        self._incident_records.labels(change=change).inc()

    def incidents(self, opened: int, failing: bool) -> None:
        self._incidents_open.set(opened)
        self._incidents_failing.set(failing)

    def commit_failed(self) -> None:
        self._commit_failures.inc()

    def rebalanced(self, assigned: int, revoked: int) -> None:
        self._assigned.inc(assigned)
        self._revoked.inc(revoked)
        self._partitions.inc(assigned - revoked)
        if revoked:
            self._lag.clear()

    def lag(self, topic: str, partition: int, records: int) -> None:
        self._lag.labels(topic=topic, partition=str(partition)).set(records)

    def out_of_range(self, topic: str, partition: int) -> None:
        self._range.labels(topic=topic, partition=str(partition)).inc()

    def unreadable(self, topic: str, partition: int) -> None:
        self._unreadable.labels(topic=topic, partition=str(partition)).inc()

    def skipped(self, topic: str, partition: int, offsets: int) -> None:
        self._skipped.labels(topic=topic, partition=str(partition)).inc(offsets)

    def in_flight(self, lines: int) -> None:
        self._in_flight.set(lines)

    def paused(self, now: bool) -> None:
        self._paused.set(int(now))

    def services(self, *, learning: int, known: int, noisy: int) -> None:
        for state, count in (("learning", learning), ("known", known), ("noisy", noisy)):
            self._services.labels(state).set(count)

    def services_evicted(self, count: int) -> None:
        self._evicted.inc(count)

    def table_rows(self, count: int) -> None:
        self._rows.set(count)

    def joined_lines(self, lines: int) -> None:
        self._joined.inc(lines)

    def cut_events(self, events: int) -> None:
        self._cut_events.inc(events)

    def table_overflow(self, lines: int) -> None:
        self._overflow.inc(lines)
