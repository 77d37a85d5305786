"""Makes the daemon's metrics: their names, meanings and labels. `metrics.py` counts facts with them.

Names follow Prometheus' conventions: what is counted comes last, then the unit, then `_total` of a counter. No label
contains a service or text of a log, which are unbounded; services count by classes that the operator defines.
"""

from __future__ import annotations

from collections.abc import Collection
from itertools import product
from typing import NamedTuple

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, disable_created_metrics

from logwarden.model.incidents import SEVERITIES, Change
from logwarden.model.version import __version__

SCORE_BUCKETS_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
"""From a warm batch on a GPU (a millisecond) to a batch of lines seen for the first time on one CPU core (seconds)."""
DELAY_BUCKETS_S = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 1800.0)
"""From steady state to a backlog of half an hour."""

disable_created_metrics()  # a second series for each counter and histogram, which no rule reads


class MetricRow(NamedTuple):
    """A metric as `docs/metrics.md` lists it."""

    name: str
    kind: str
    labels: tuple[str, ...]
    meaning: str


class MetricFamilies:
    """Every metric that counts facts, one attribute each.

    `classes`: the classes of services, which are values of a label.
    """

    def __init__(self, registry: CollectorRegistry, classes: Collection[str]) -> None:
        self._registry = registry
        self.listed: list[MetricRow] = []
        """The metrics in the order of their creation."""
        build = self._gauge("build_info", "Always 1; the version is its label.", "version")
        build.labels(version=__version__).set(1)
        self.records = self._counter("records", "Records fetched from the input topics.")
        self.lines = self._counter("lines", "Log lines decoded and put into their service's window.")
        self.ingest = self._histogram(
            "ingest_duration_seconds", "Seconds to decode one poll and build its windows.", SCORE_BUCKETS_S
        )
        self.scored_lines = self._counter("scored_lines", "Log lines that were new in a scored window.")
        self.windows = self._counter("windows", "Windows scored.")
        self.anomalies = self._counter("anomalous_windows", "Windows that are anomalous.")
        self.withheld = self._counter(
            "withheld_alerts", "Windows without an alert only because their service had used up its budget."
        )
        self.new_lines = self._counter("new_lines", "Masked lines seen for the first time and embedded by BERT.")
        self.score = self._histogram(
            "score_duration_seconds", "Seconds to score one batch of windows.", SCORE_BUCKETS_S
        )
        self.alerts = self._counter("alerts", "Alerts acknowledged by the broker.")
        self.delay = self._histogram(
            "detection_delay_seconds", "Seconds from a line's own time to its alert, for live lines.", DELAY_BUCKETS_S
        )
        self.not_live = self._counter(
            "not_live_alerts",
            "Alerts on lines that are not live: their time lies too far in the past, or in the future.",
            "reason",
        )
        self.retries = self._counter("publish_retries", "Publications to the broker that were retried.")
        self.dead = self._counter(
            "dead_letters", "Records sent to the dead-letter topic, by the step that failed.", "stage"
        )
        self.lost = self._counter("lost_messages", "Messages that no output topic takes, by the topic.", "topic")
        self.waiting = self._gauge("waiting_bytes", "Bytes of alerts and dead letters that wait for the broker.")
        self._make_lines()
        self._make_partitions()
        self._make_incidents(classes)
        self._make_learning()
        self._make_state()

    def _make_lines(self) -> None:
        """Makes the metrics of what records contain."""
        self.joined = self._counter("joined_lines", "Lines that belong to an event which an earlier line began.")
        self.cut_events = self._counter("cut_events", "Events of many lines that ended at a bound.")
        self.replaced = self._counter(
            "replaced_lines",
            "Values and lines that are not UTF-8, read in another charset or with replacement characters.",
        )
        self.schema_requests = self._counter(
            "schema_requests", "Questions to the schema registry: read, refused, unavailable.", "outcome"
        )
        self.odd = self._counter("odd_records", "Records that begin like JSON and are none, read as text.")
        self.cut = self._counter("cut_lines", "Lines that were truncated at the limit.")
        self.empty = self._counter("empty_lines", "Blank lines, which are skipped.")

    def _make_partitions(self) -> None:
        """Makes the metrics of partitions, offsets and services in memory."""
        self.context = self._counter("context_records", "Records read again to rebuild windows after an assignment.")
        self.short = self._counter("short_contexts", "Assignments whose windows could not be rebuilt in full.")
        self.commits = self._counter("commits", "Offset commits.")
        self.committed = self._counter("committed_partitions", "Partitions whose offset was committed, summed.")
        self.assigned = self._counter("assigned_partitions", "Partitions assigned to this member, summed.")
        self.revoked = self._counter("revoked_partitions", "Partitions revoked from this member, summed.")
        self.partitions = self._gauge("partitions", "Partitions assigned to this member now.")
        self.lag = self._gauge(
            "lag_records", "Records of an assigned partition that are not done.", "topic", "partition"
        )
        self.commit_failures = self._counter("commit_failures", "Commits that the broker did not take.")
        self.range = self._counter(
            "out_of_range_offsets", "Committed offsets that the broker no longer had.", "topic", "partition"
        )
        self.unreadable = self._counter(
            "unreadable_batches",
            "Failed attempts to read a batch; its partition is stopped.",
            "topic",
            "partition",
        )
        self.skipped = self._counter(
            "skipped_offsets", "Offsets of batches that cannot be read and were left out.", "topic", "partition"
        )
        self.in_flight = self._gauge("in_flight_lines", "Lines that are read and not done.")
        self.paused = self._gauge("paused", "1 while reading is paused because too many lines are in flight.")
        self.services = self._gauge(
            "services",
            "Services in memory: known, learning (too little is known for an alert), or noisy (new lines are common).",
            "state",
        )
        self.evicted = self._counter("evicted_services", "Services evicted because too many were in memory.")
        self.rows = self._gauge("line_table_rows", "Distinct masked lines in the line table.")
        self.overflow = self._counter("overflowed_lines", "Masked lines for which the line table had no free row.")

    def _make_incidents(self, classes: Collection[str]) -> None:
        """Makes the metrics of incidents and feedback, with every series of a bounded label from the start."""
        self.folded = self._counter(
            "folded_alerts", "Alerts read to be folded into incidents: folded, duplicate, unreadable.", "outcome"
        )
        self.incident_records = self._counter(
            "incident_records",
            "Records of incidents acknowledged by the broker, by the change, and class of the first service.",
            *("change", "severity", "service_class"),
        )
        self.incidents_open = self._gauge(
            "incidents_open",
            "Open incidents that this member folds, as published, by the class of the first service.",
            *("severity", "service_class"),
        )
        for severity, service_class in product(SEVERITIES, classes):
            self.incidents_open.labels(severity, service_class)
            for change in Change:  # a rate misses the first count of a series that begins with it
                self.incident_records.labels(change.value, severity, service_class)
        self.incidents_failing = self._gauge("incidents_failing", "1 while this member cannot fold incidents.")
        self.suppressed = self._counter(
            "suppressed_alerts", "Windows without an alert because a person gave feedback: expected, mute.", "reason"
        )
        self.planned = self._counter("planned_alerts", "Alerts on lines that were logged in a maintenance.")
        self.feedback_records = self._counter(
            "feedback_records", "Records of feedback: read, removed, unreadable, refused.", "outcome"
        )
        self.feedback_entries = self._gauge("feedback_entries", "Entries of feedback in force, by kind.", "kind")
        self.feedback_failing = self._gauge("feedback_failing", "1 while feedback cannot be read.")

    def _make_learning(self) -> None:
        """Makes the metrics of a group's first start."""
        self.learned = self._counter("learned_records", "Records from before the first start that were read.")
        self.unlearned = self._counter(
            "unlearned_records", "Records from before the first start left out, because the time for them had passed."
        )

    def _make_state(self) -> None:
        """Makes the metrics of the state topic."""
        self.state_records = self._counter("state_records", "Records that the state topic acknowledged.")
        self.state_bytes = self._counter("state_bytes", "Bytes of these records, before compression.")
        self.state_services = self._counter("state_restored_services", "Services that came back from the state topic.")
        self.state_unreadable = self._counter(
            "state_unreadable_records",
            "State records that were passed over: damaged, of another format, or of other masks.",
            "outcome",
        )
        self.state_failures = self._counter(
            "state_failures", "Attempts to read or to write the state topic that failed.", "stage"
        )
        self.state_deferred = self._counter(
            "state_deferred_services",
            "Services whose records waited for a later cut, which keeps what is written a small share of the input.",
        )
        self.state_forgotten = self._counter(
            "state_forgotten_services", "Services evicted for good, because evicted ones took too much memory."
        )

    def _counter(self, name: str, meaning: str, *labels: str) -> Counter:
        self.listed.append(MetricRow(f"logwarden_{name}_total", "counter", labels, meaning))
        return Counter(name, meaning, labels, namespace="logwarden", registry=self._registry)

    def _gauge(self, name: str, meaning: str, *labels: str) -> Gauge:
        self.listed.append(MetricRow(f"logwarden_{name}", "gauge", labels, meaning))
        return Gauge(name, meaning, labels, namespace="logwarden", registry=self._registry)

    def _histogram(self, name: str, meaning: str, buckets: tuple[float, ...]) -> Histogram:
        self.listed.append(MetricRow(f"logwarden_{name}", "histogram", (), meaning))
        return Histogram(name, meaning, namespace="logwarden", registry=self._registry, buckets=buckets)
