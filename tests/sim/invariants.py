"""The invariants of the simulation. Each is a function that yields a sentence for every breach.

Pure: facts in, sentences out. `tests/sim/test_ablations.py` shows for each of them which safeguard keeps it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from logwarden.daemon.records import Partition
from tests.sim.broker import SimBroker
from tests.sim.evidence import POISON, Evidence, Place, Produced, SeenAlert


def done_below(evidence: Evidence, broker: SimBroker, partition: Partition, start: int, end: int) -> Iterator[str]:
    """no_early_commit: at a commit, every line below it is scored, and its alert or dead letter is published.

    Records that retention deleted before a member read them are exempt.
    """
    for record in evidence.produced.get(partition, [])[start:end]:
        if record.offset < broker.logs[partition].earliest:
            continue
        unscored = [place for place in record.lines if (partition, place) not in evidence.scored]
        if unscored:
            yield f"{_name(partition, record)} is below the commit and was not scored: {unscored}"
        elif any((partition, place) not in evidence.alerted for place in record.anomalous):
            yield f"{_name(partition, record)} is below the commit and its alert is not published"
        elif record.kind == POISON and (partition, record.offset) not in evidence.buried:
            yield f"{_name(partition, record)} is below the commit and not in the dead-letter topic"


def no_hole(evidence: Evidence, broker: SimBroker) -> Iterator[str]:
    """no_hole: every line below the final committed position was scored at least once, by any owner."""
    for partition in broker.logs:
        position = broker.committed[partition].offset if partition in broker.committed else 0
        yield from done_below(evidence, broker, partition, 0, position)


def same_alert_ids(evidence: Evidence) -> Iterator[str]:
    """same_alert_ids: all alerts of one line have the same id, and two lines never share an id."""
    ids: dict[tuple[Partition, str, Place], str] = {}
    lines: dict[str, tuple[Partition, str, Place]] = {}
    for alert in evidence.alerts:
        line = (alert.partition, alert.service, (alert.offset, alert.index))
        if ids.setdefault(line, alert.id) != alert.id:
            yield f"{line} was alerted as {ids[line]} and as {alert.id}"
        if lines.setdefault(alert.id, line) != line:
            yield f"{alert.id} names {lines[alert.id]} and {line}"


def windows_whole(
    evidence: Evidence, broker: SimBroker, alerts: Sequence[SeenAlert], size: int, max_context: int
) -> Iterator[str]:
    """windows_whole: an alert shows exactly the last `size` lines of its service in its partition.

    Exempt are lines that retention deleted, and before the first shown line those beyond the bound on context.
    """
    for alert in alerts:
        newest = (alert.offset, alert.index)
        lines = {
            place: text.decode()
            for record in evidence.produced[alert.partition][: alert.offset + 1]
            if record.service == alert.service
            for place, text in record.lines.items()
            if place <= newest
        }
        where = f"{alert.partition} {alert.service} {newest} shows {alert.lines}"
        if alert.lines != tuple(sorted(set(alert.lines))) or len(alert.lines) > size:
            yield f"{where}: not in order, or too many"
        if any(lines.get(place) != text for place, text in zip(alert.lines, alert.texts, strict=True)):
            yield f"{where}: not all are lines of the service"
        start = alert.lines[0]
        if len(alert.lines) < size:
            start = min(start, (alert.offset - max_context, 0))
        kept = max(start, (broker.logs[alert.partition].earliest, 0))
        missing = [place for place in lines if place >= kept and place not in alert.lines]
        if missing:
            yield f"{where}, but not {missing}"


def only_anomalies(evidence: Evidence) -> Iterator[str]:
    """only_anomalies: an alert covers an anomalous line, and names the service that logged it."""
    for alert in evidence.alerts:
        records = evidence.produced[alert.partition]
        if not any(place in records[place[0]].anomalous for place in alert.lines[-evidence.step :]):
            yield f"{alert.partition} {alert.offset}: an alert without any anomalous line"
        if records[alert.offset].service != alert.service:
            yield f"{alert.partition} {alert.offset} belongs to {records[alert.offset].service}, not {alert.service}"


def scored_once(evidence: Evidence) -> Iterator[str]:
    """scored_once: without faults, every line is new in exactly one window, whatever the window step."""
    for partition, records in evidence.produced.items():
        for record in records:
            for place in record.lines:
                times = len(evidence.scored.get((partition, place), []))
                if times != 1:
                    yield f"{_name(partition, record)}, line {place[1]}, was scored {times} times"
    for partition, place in evidence.scored:
        if place not in evidence.produced[partition][place[0]].lines:
            yield f"{partition} {place} was scored and is no line"


def no_lag_left(evidence: Evidence, broker: SimBroker) -> Iterator[str]:
    """no_lag_left: once the faults have ended, every record gets committed."""
    if broker.lag():
        positions = {p.partition: (broker.committed.get(p), broker.bounds(p)) for p in broker.logs}
        yield f"{broker.lag()} records are left: {positions}"


def _name(partition: Partition, record: Produced) -> str:
    return f"{partition.topic}/{partition.partition} {record.offset} ({record.kind})"
