"""Takes the records of the incidents topic for one destination: which are sent, which are context, which are left out.

Owns the ledgers and the lanes. No waiting, no client: belongs to the event loop of its courier.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

import structlog

from logwarden.daemon.bridges.choice import IncidentChoice
from logwarden.daemon.bridges.lanes import IncidentLane, IncidentLanes
from logwarden.daemon.bridges.ledger import DeliveryLedger, ledger_of
from logwarden.daemon.incidents.incident import IncidentRecord, decode_incident
from logwarden.daemon.records import Bounds, Committed, Fetched, Partition, Record

log = structlog.get_logger(__name__)

CONTEXT_RECORDS = 20_000
"""Most records of a partition that are read again after an assignment."""


class Reception:
    """The records of the assigned partitions. `left_out` counts those of which nothing is sent, by the reason."""

    def __init__(
        self, lanes: IncidentLanes, choice: IncidentChoice, now: Callable[[], float], left_out: Callable[[str], None]
    ) -> None:
        self.lanes = lanes
        self.ledgers: dict[Partition, DeliveryLedger] = {}
        self._choice = choice
        self._now = now
        self._left_out = left_out
        self._contexts: dict[Partition, dict[str, tuple[int, IncidentRecord, int]]] = {}
        """Of each partition whose context is being read: the newest state of each open incident, with its offset."""

    @property
    def waiting(self) -> int:
        """Records that are not done."""
        return sum(ledger.waiting for ledger in self.ledgers.values())

    def open(self, partition: Partition, committed: Committed | None, bounds: Bounds) -> int:
        """Begins a period of ownership of a partition. Returns the offset from which it is read."""
        ledger = self.ledgers[partition] = ledger_of(committed, bounds)
        self._contexts[partition] = {}
        return max(bounds.earliest, ledger.context_end - CONTEXT_RECORDS)

    def begins(self) -> Mapping[Partition, Committed]:
        """Returns what to commit at once: where the group begins with partitions of which it has committed nothing."""
        return {partition: ledger.to_commit() for partition, ledger in self.ledgers.items() if ledger.is_first}

    def close(self) -> None:
        """Ends the period of ownership of all partitions."""
        self.ledgers.clear()
        self._contexts.clear()
        self.lanes.drop_all()

    def to_commit(self) -> Mapping[Partition, Committed]:
        """Returns what may be committed of each partition."""
        return {partition: ledger.to_commit() for partition, ledger in self.ledgers.items()}

    def take(self, fetched: Fetched) -> Iterator[IncidentLane]:
        """Takes what a fetch brought. Yields the lanes that have something to send."""
        for partition, records in fetched.records.items():
            ledger = self.ledgers.get(partition)
            for record in records if ledger is not None else ():
                assert ledger is not None, "checked in the line above"
                yield from self._take_record(partition, ledger, record)
        for partition, position in fetched.positions.items():
            ledger = self.ledgers.get(partition)
            if ledger is not None and position >= ledger.context_end:
                yield from self._end_context(partition, ledger)
                ledger.passed(position)

    def _take_record(self, partition: Partition, ledger: DeliveryLedger, record: Record) -> Iterator[IncidentLane]:
        if record.offset >= ledger.context_end:
            yield from self._end_context(partition, ledger)
        try:
            incident = decode_incident(record.value or b"")
        except ValueError as error:  # another producer's record, or one of another version
            incident = None
            log.debug("incident_unreadable", offset=record.offset, error=str(error))
        if ledger.is_done(record.offset):
            if incident is not None:
                self._take_context(partition, record, incident)
            return
        ledger.open(record.offset)
        if incident is None:
            self._leave_out(ledger, record.offset, "unreadable")
        else:
            yield from self._put(partition, ledger, record.offset, incident, record.timestamp)

    def _take_context(self, partition: Partition, record: Record, incident: IncidentRecord) -> None:
        context = self._contexts.get(partition)
        if context is None:  # a record behind the committed offset with which an earlier period was done
            self._remember(partition, incident)
        elif incident.logwarden.status == "open":
            context[incident.id] = (record.offset, incident, record.timestamp)
        else:
            context.pop(incident.id, None)
            self._remember(partition, incident)

    def _end_context(self, partition: Partition, ledger: DeliveryLedger) -> Iterator[IncidentLane]:
        """Takes what is open in the context for announced, or announces it if the group is new."""
        context = self._contexts.pop(partition, None)
        for offset, incident, published_ms in sorted((context or {}).values(), key=lambda each: each[0]):
            if ledger.is_first:
                ledger.open(offset)
                yield from self._put(partition, ledger, offset, incident, published_ms)
            else:
                self._remember(partition, incident)

    def _remember(self, partition: Partition, incident: IncidentRecord) -> None:
        if not self._choice.reason_against(incident):
            self.lanes.remember(partition, incident)

    def _put(
        self, partition: Partition, ledger: DeliveryLedger, offset: int, incident: IncidentRecord, published_ms: int
    ) -> Iterator[IncidentLane]:
        reason = self._choice.reason_against(incident)
        if reason and not self.lanes.is_announced(incident.id):
            self._leave_out(ledger, offset, reason)
            return
        lane = self.lanes.put(partition, incident, offset, published_ms=published_ms, now=self._now())
        if lane is None:
            self._leave_out(ledger, offset, "unchanged")
        else:
            yield lane

    def _leave_out(self, ledger: DeliveryLedger, offset: int, reason: str) -> None:
        ledger.done([offset])
        self._left_out(reason)
