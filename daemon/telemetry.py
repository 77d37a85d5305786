"""Names the facts that the daemon reports. A port: `daemon/web/metrics.py` counts them for Prometheus.

One method per fact, so that the pipeline reads as facts and not as metrics. Implementations may be called from any
thread and never wait.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol


class Telemetry(Protocol):
    """Receives facts. Counts are added up; states replace the value before them."""

    # ------------------------------------------------------------ records and lines

    def fetched(self, records: int) -> None:
        """Counts records that came from the input topics."""

    def ingested(self, lines: int, seconds: float) -> None:
        """Counts the lines of one poll and the seconds spent on decoding and windows."""

    def embedded(self, lines: int) -> None:
        """Counts masked lines that were met for the first time and embedded."""

    def decoded_with_replacement(self, lines: int) -> None:
        """Counts values and lines with bytes that are not UTF-8."""

    def odd_records(self, records: int) -> None:
        """Counts records that begin like JSON and are none, which are read as text."""

    def schema_requested(self, outcome: str) -> None:
        """Counts a question to the schema registry: `read`, `refused` or `unavailable`."""

    def cut_lines(self, lines: int) -> None:
        """Counts lines that were truncated at the limit."""

    def empty_lines(self, lines: int) -> None:
        """Counts records without text."""

    def joined_lines(self, lines: int) -> None:
        """Counts lines that belong to an event which an earlier line began."""

    def cut_events(self, events: int) -> None:
        """Counts events of many lines that ended at a bound; the rest of such an event is an event of its own."""

    def table_overflow(self, lines: int) -> None:
        """Counts masked lines for which the line table had no free row."""

    def batch(self, *, lines: int, windows: int, alerts: int, seconds_score: float) -> None:
        """Counts one scored batch."""

    def withheld(self, windows: int) -> None:
        """Counts windows that raised no alert only because their service had used up its budget."""

    def suppressed(self, reason: str, windows: int) -> None:
        """Counts windows that raised no alert because a person gave feedback: `expected` or `mute`."""

    # ------------------------------------------------------------ publications

    def alert_published(self, count: int) -> None:
        """Counts alerts that the broker acknowledged."""

    def detected(self, delay_seconds: float) -> None:
        """Measures the seconds from a line's own time to its alert; replayed and future-dated lines count apart."""

    def publish_retried(self) -> None:
        """Counts a publication that will be tried again."""

    def dead_lettered(self, stage: str) -> None:
        """Counts a record that the broker acknowledged as a dead letter; `stage` is the step that failed."""

    def lost(self, topic: str) -> None:
        """Counts a message that an output topic will never take, and that no other topic takes in its place."""

    def waiting_bytes(self, size: int) -> None:
        """Sets the bytes of alerts and dead letters that the broker has not acknowledged."""

    # ------------------------------------------------------------ partitions and offsets

    def context_replayed(self, records: int, short: bool) -> None:
        """Counts records read again to rebuild windows; `short`: the broker no longer had all of them."""

    def learned(self, records: int) -> None:
        """Counts records from before the first start that were read."""

    def unlearned(self, records: int) -> None:
        """Counts records from before the first start that were left out, because the time for them had passed."""

    def committed(self, partitions: int) -> None:
        """Counts the partitions of one commit."""

    def state_written(self, records: int, size: int) -> None:
        """Counts records that the state topic acknowledged, and their bytes."""

    def state_failed(self, step: str) -> None:
        """Counts an attempt to `read` or to `write` the state topic that failed."""

    def state_restored(self, services: int) -> None:
        """Counts services that came back from the state topic."""

    def state_unreadable(self, reason: str, records: int) -> None:
        """Counts records of the state topic that were passed over: `damaged`, `format` or `masks`."""

    def state_deferred(self, services: int) -> None:
        """Counts services that a cut left for a later one."""

    def state_forgotten(self, services: int) -> None:
        """Counts services that were evicted for good."""

    def commit_failed(self) -> None:
        """Counts a commit that the broker did not take."""

    def rebalanced(self, assigned: int, revoked: int) -> None:
        """Counts partitions assigned to and revoked from this member. A revoke takes all, so every lag is dropped."""

    def lag(self, topic: str, partition: int, records: int) -> None:
        """Sets the records of an assigned partition that are not done."""

    def out_of_range(self, topic: str, partition: int) -> None:
        """Counts a wanted offset that the broker no longer had: retention may have deleted lines."""

    def unreadable(self, topic: str, partition: int) -> None:
        """Counts an attempt to read a batch that failed; its partition stands still."""

    def skipped(self, topic: str, partition: int, offsets: int) -> None:
        """Counts the offsets of a batch that cannot be read and was left out."""

    # ------------------------------------------------------------ incidents

    def alerts_folded(self, outcome: str, count: int) -> None:
        """Counts alerts that were read to be folded: `folded`, `duplicate` or `unreadable`."""

    def incident_published(self, change: str, severity: str, service: str) -> None:
        """Counts a record of an incident that the broker acknowledged, by its reason; `service` failed first."""

    def incidents(self, opened: Mapping[tuple[str, str], int], failing: bool) -> None:
        """Sets the open incidents that this member folds, by severity and first service, and whether it cannot fold."""

    def planned(self, alerts: int) -> None:
        """Counts alerts that were marked, because their line was logged in an announced maintenance."""

    def feedback_read(self, outcome: str, records: int) -> None:
        """Counts records of feedback: `read`, `removed`, `unreadable`, or `refused` beyond a bound."""

    def feedback(self, entries: Mapping[str, int], failing: bool) -> None:
        """Sets the entries of feedback in force by kind, and whether some cannot be read now."""

    # ------------------------------------------------------------ states

    def in_flight(self, lines: int) -> None:
        """Sets the lines that are read and not done."""

    def paused(self, now: bool) -> None:
        """Sets whether reading is paused."""

    def services(self, *, learning: int, known: int, noisy: int) -> None:
        """Sets the services in memory by how well each is known."""

    def services_evicted(self, count: int) -> None:
        """Counts services that were evicted because too many were in memory; each learns again."""

    def table_rows(self, count: int) -> None:
        """Sets the rows of the line table in use."""
