"""The invariants of the simulation. Each is a function that yields a sentence for every breach.

Pure: facts in, sentences out. `tests/sim/test_ablations.py` shows for each of them which safeguard keeps it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from logwarden.daemon.pipeline.ledger import decode_marks
from logwarden.daemon.records import Committed, Partition
from logwarden.daemon.state.records import read_value
from tests.sim.broker import SimBroker
from tests.sim.contract import SILENT
from tests.sim.evidence import NOISY, POISON, Evidence, Place, Produced, SeenAlert
from tests.sim.topics import Era

CALM_WITHIN_S = 2.0
"""Bound on the delay of a calm service's line, also beside a service that is noisy."""


def done_below(evidence: Evidence, broker: SimBroker, era: Era, start: int, end: int) -> Iterator[str]:
    """no_early_commit: at a commit, every line below it is scored, and its alert or dead letter is published.

    Exempt are records that no member could read: deleted by retention or compaction, or skipped by the operator.
    """
    log = broker.eras[era]
    for record in evidence.produced.get(era, [])[start:end]:
        if record.offset < log.earliest or record.offset in log.hidden or record.offset in log.skipped:
            continue
        unscored = [place for place in record.lines if not evidence.times_scored(era, record, place)]
        if unscored:
            yield f"{_name(era, record)} is below the commit and was not scored: {unscored}"
        elif any(not _is_answered(evidence, (era, place)) for place in record.anomalous):
            yield f"{_name(era, record)} is below the commit and its alert is not published"
        elif record.kind == POISON and (era, record.offset) not in evidence.buried:
            yield f"{_name(era, record)} is below the commit and not in the dead-letter topic"


def _is_answered(evidence: Evidence, line: tuple[Era, Place]) -> bool:
    """Returns True for an anomalous line that has an alert, or that feedback may have silenced."""
    return line in evidence.alerted or SILENT in evidence.allowed.get(line, ())


def state_behind(broker: SimBroker, partition: Partition, position: Committed) -> Iterator[str]:
    """state_behind: a commit names no cut that contains lines above it, or that is not in the state topic."""
    marks = decode_marks(position.metadata)
    if not marks:
        return
    newest = marks[0]
    if newest.cut > position.offset:
        yield f"{partition} is committed at {position.offset}, and its state contains lines below {newest.cut}"
    values = [value for _, value in broker.state() if value is not None]
    if not any(value.run == newest.run and value.cut == newest.cut for value in map(read_value, values)):
        yield f"{partition} is committed at {position.offset} with the cut {newest}, which is not in the state topic"


def no_hole(evidence: Evidence, broker: SimBroker) -> Iterator[str]:
    """no_hole: every line below the final committed position was scored at least once, by any owner."""
    for partition, log in broker.logs.items():
        yield from done_below(evidence, broker, log.era, evidence.first.get(log.era, 0), broker.position(partition))


def same_alert_ids(evidence: Evidence) -> Iterator[str]:
    """same_alert_ids: all alerts of one line have the same id, and two lines never share an id.

    Lines of two incarnations of a topic are two lines, also at the same offset.
    """
    ids: dict[tuple[Era, str, Place], str] = {}
    lines: dict[str, tuple[Era, str, Place]] = {}
    for alert in evidence.alerts:
        line = (alert.era, alert.service, (alert.offset, alert.index))
        if ids.setdefault(line, alert.id) != alert.id:
            yield f"{line} was alerted as {ids[line]} and as {alert.id}"
        if lines.setdefault(alert.id, line) != line:
            yield f"{alert.id} names {lines[alert.id]} and {line}"


def windows_whole(
    evidence: Evidence, broker: SimBroker, alerts: Sequence[SeenAlert], size: int, max_context: int
) -> Iterator[str]:
    """windows_whole: an alert shows exactly the last `size` lines of its service in its partition.

    Exempt are lines that no member could read, and before the first shown line those beyond the bound on context. Lines
    that compaction removed after they were read count as shown: the next owner begins at the oldest of them. An alert
    that was too large for its topic shows fewer lines. Exempt are also lines that there was no time to learn.
    """
    for alert in alerts:
        log = broker.eras[alert.era]
        newest = (alert.offset, alert.index)
        records = [r for r in evidence.produced[alert.era][: alert.offset + 1] if r.service == alert.service]
        lines = {place: text.decode() for record in records for place, text in record.lines.items() if place <= newest}
        where = f"{alert.era} {alert.service} {newest} shows {alert.lines}"
        if alert.lines != tuple(sorted(set(alert.lines))) or len(alert.lines) > size:
            yield f"{where}: not in order, or too many"
        if not all(
            _shows(lines.get(place), _without_rest(text), alert)
            for place, text in zip(alert.lines, alert.texts, strict=True)
        ):
            yield f"{where}: not all are lines of the service"
        if alert.shortened:
            continue
        gone = log.hidden.keys() | log.skipped
        oldest = lowest = alert.lines[0]
        if len(alert.lines) < size:
            lowest = (alert.offset - max_context, 0)
        kept = max(lowest, (log.earliest, 0))
        if evidence.leaves_out:  # the time for learning is short: a window begins behind what was left out
            kept = max(kept, min(oldest, (evidence.first.get(alert.era, 0), 0)))
        joined = _joined(records, dict(zip(alert.lines, alert.texts, strict=True))) - set(alert.lines)
        shown = joined.union(alert.lines)
        unread = [place for place in lines if place[0] in gone]
        missing = [place for place in lines if place >= kept and place not in shown and place[0] not in gone]
        # Where reading paused for longer than the time-out, an event became several lines, and the context reaches back
        # for a window of these. Read again it is one line, and the window is shorter by those that were their own. No
        # line is lost: those that are missing were judged, and the ids of alerts stay.
        split = sum((alert.era, place) in evidence.entered for place in joined)
        if missing and (missing[-1] > oldest or len(alert.lines) + len(unread) + split < size):
            yield f"{where}, but not {missing}"


def _without_rest(text: str) -> str:
    """Returns the first line of an event."""
    found = re.search(r"(?<=.) p\d+\.\d+ \S+ rest ", text)
    return text[: found.start()] if found else text


def _joined(records: Sequence[Produced], shown: dict[Place, str]) -> set[Place]:
    """Returns the places of the lines that are shown as a part of an event."""
    return {
        (record.offset, 0)
        for record in records
        if record.first is not None
        and any(record.texts[0].decode() in shown.get((offset, 0), "") for offset in range(record.first, record.offset))
    }


def _shows(line: str | None, text: str, alert: SeenAlert) -> bool:
    return line == text or (alert.shortened and line is not None and line.startswith(text.removesuffix("…")))


def only_anomalies(evidence: Evidence) -> Iterator[str]:
    """only_anomalies: an alert covers an anomalous line, and names the service that logged it."""
    for alert in evidence.alerts:
        records = evidence.produced[alert.era]
        if alert.era.place != alert.partition:
            yield f"an alert about {alert.partition} shows lines of {alert.era}"
        if not any(place in records[place[0]].anomalous for place in alert.lines[-evidence.step :]):
            yield f"{alert.era} {alert.offset}: an alert without any anomalous line"
        if records[alert.offset].service != alert.service:
            yield f"{alert.era} {alert.offset} belongs to {records[alert.offset].service}, not {alert.service}"


def only_lines_scored(evidence: Evidence) -> Iterator[str]:
    """only_lines_scored: what was scored is a line of a record that was produced for good: no aborted record."""
    for era, place in evidence.scored:
        record = evidence.produced[era][place[0]]
        if place not in record.lines:
            yield f"{_name(era, record)} was scored and has no line {place[1]}"


def learned_not_judged(evidence: Evidence) -> Iterator[str]:
    """learned_not_judged: no line that the topic held before the group's first start is scored or raises an alert."""
    for era, place in evidence.scored:
        if place[0] < evidence.before.get(era, 0):
            yield f"{era} {place} was scored, and the group began at {evidence.before[era]}"
    for alert in evidence.alerts:
        if alert.offset < evidence.before.get(alert.era, 0):
            yield f"{alert.era} {alert.offset} has an alert, and the group began at {evidence.before[alert.era]}"


def scored_once(evidence: Evidence) -> Iterator[str]:
    """scored_once: without faults, every line is new in exactly one window, whatever the window step."""
    for era, records in evidence.produced.items():
        for record in records[evidence.first.get(era, 0) :]:
            for place in record.lines:
                times = evidence.times_scored(era, record, place)
                if times != 1:
                    yield f"{_name(era, record)}, line {place[1]}, was scored {times} times"


def calm_in_time(evidence: Evidence) -> Iterator[str]:
    """calm_in_time: without faults, 99 % of the lines of calm services are scored within two seconds."""
    delays = [
        evidence.scored_at.get((era, place), float("inf")) - record.at_s
        for era, records in evidence.produced.items()
        for record in records[evidence.first.get(era, 0) :]
        if record.service != NOISY and record.first is None  # else it is scored with the line before it
        for place in record.lines
    ]
    late = sum(delay > CALM_WITHIN_S for delay in delays)
    if late > len(delays) / 100:
        yield f"{late} of {len(delays)} lines of calm services were scored later than {CALM_WITHIN_S} s"


def no_lag_left(evidence: Evidence, broker: SimBroker) -> Iterator[str]:
    """no_lag_left: once the faults have ended, every record gets committed."""
    if broker.lag():
        positions = {p.partition: (broker.committed.get(p), log.bounds) for p, log in broker.logs.items()}
        yield f"{broker.lag()} records are left: {positions}"


def _name(era: Era, record: Produced) -> str:
    return f"{era.topic}/{era.partition} {record.offset} ({record.kind}, incarnation {era.incarnation})"
