"""Keeps the partitions that are assigned to this member, each for one period of ownership.

Owns the assignments and their ledgers, on the event loop. Knows the source only as the place to seek in; knows nothing
of records, windows, alerts and commits.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import structlog

from logwarden.daemon.decoding.decoder import Decoded, Decoder
from logwarden.daemon.pipeline.budget_book import BudgetBook
from logwarden.daemon.pipeline.ledger import (
    FirstStart,
    PartitionLedger,
    Start,
    decode_budgets,
    decode_marks,
    incident_of,
    may_restore,
    where_to_start,
)
from logwarden.daemon.ports import Source
from logwarden.daemon.records import Bounds, Committed, Partition, Record
from logwarden.daemon.state.journal import Journal
from logwarden.daemon.state.records import Mark, Through
from logwarden.daemon.telemetry import Telemetry

log = structlog.get_logger(__name__)

Ints = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)  # by identity: hashed at every batch
class TopicProfile:
    """The settings of one input topic. An assignment carries them, so that every step finds them at its partition."""

    decoder: Decoder
    alerts_topic: str
    dead_letter_topic: str
    max_alert_line_chars: int
    max_original_chars: int = 0
    """Characters of the original record that an alert quotes; 0: none."""
    threshold: float | None = None
    """Probability from which an alert is due. None: the threshold of the model that scores."""


ProfileOf = Callable[[str], TopicProfile]
"""Returns the profile of a topic."""


class Assignment:
    """A partition for one period of ownership. Whatever finishes after `ended` is discarded."""

    __slots__ = (
        "budgets",
        "ended",
        "fetched_to",
        "generation",
        "incarnation",
        "ingested_to",
        "journal",
        "ledger",
        "originals",
        "partition",
        "profile",
        "replay_until",
        "revoking",
        "system",
        "through",
    )

    def __init__(
        self,
        generation: int,
        partition: Partition,
        ledger: PartitionLedger,
        profile: TopicProfile,
        incarnation: str = "",
        journal: Journal | None = None,
    ) -> None:
        self.generation = generation
        """Unique and rising over all assignments of this member."""
        self.system = generation
        """Number of the services that know each other's lines: that of the period whose services this one continues."""
        self.partition = partition
        self.ledger = ledger
        self.profile = profile
        self.incarnation = incarnation
        """Identity of the topic, for the ids of alerts; empty if the broker reports none."""
        self.journal = journal
        """The cuts of what its services have learned. None: they are not kept."""
        self.budgets = BudgetBook()
        """What its services have used of their budgets of alerts."""
        self.replay_until = ledger.score_from
        """First offset whose line was never counted: lines below it are context, or in a restored snapshot. Belongs to
        the ingest thread."""
        self.through: dict[str, Through] = {}
        """Of each restored service the first line that its snapshot does not contain. Belongs to the ingest thread."""
        self.originals: dict[int, bytes] = {}
        """By offset the begin of each record in flight that an alert would quote. The ingest thread enters it, the
        score thread reads it, and the event loop removes it; each does so in one step."""
        self.fetched_to = self.ingested_to = ledger.read_from
        """First offset behind the newest record that arrived, and behind the newest one that the services contain. The
        latter belongs to the ingest thread."""
        self.revoking = False
        self.ended = False

    def is_known(self, service: str, offset: int, line_index: int) -> bool:
        """Returns True for a line that a restored snapshot contains."""
        through = self.through.get(service)
        return through is not None and (offset, line_index) < through

    def done(self, offsets: Ints) -> None:
        """Marks lines done, which raise no alert any more."""
        self.ledger.done(offsets)
        self.forget(offsets)

    def forget(self, offsets: Ints) -> None:
        """Drops what is kept for the alerts of these lines."""
        if self.originals:
            for offset in offsets.tolist():
                self.originals.pop(offset, None)


class Partitions:
    """All assignments of this member, each from `assign` to `close`."""

    def __init__(
        self,
        source: Source,
        telemetry: Telemetry,
        profile_of: ProfileOf,
        *,
        max_context_records: int,
        learn_records: int = 0,
        keeps_state: bool = False,
    ) -> None:
        """`learn_records`: lines before the first start that are learned; more than the context there are never."""
        self._source = source
        self._telemetry = telemetry
        self._profile_of = profile_of
        self._max_context_records = max_context_records
        self._learn_records = min(learn_records, max_context_records)
        self._keeps_state = keeps_state
        self._assigned: dict[Partition, Assignment] = {}
        self.newest_generation = 0

    @property
    def lines_in_flight(self) -> int:
        """Lines read and not done."""
        return sum(assignment.ledger.outstanding for assignment in self._assigned.values())

    def assignments(self) -> list[Assignment]:
        """Returns every assignment that has not ended."""
        return list(self._assigned.values())

    @property
    def are_ending(self) -> bool:
        """True while an assignment is being revoked."""
        return any(assignment.revoking for assignment in self._assigned.values())

    def active(self, partition: Partition) -> Assignment | None:
        """Returns the assignment of a partition. Returns None if there is none, or it is being revoked."""
        assignment = self._assigned.get(partition)
        return None if assignment is None or assignment.revoking else assignment

    def assign(
        self,
        partition: Partition,
        committed: Committed | None,
        bounds: Bounds,
        *,
        makes_cuts: bool = True,
        first: FirstStart | None = None,
    ) -> Assignment:
        """Begins a period of ownership at the group's committed offset, and seeks to the begin of its context.

        `makes_cuts`: see `Journal`. `first`: where the group begins now that it has committed nothing.
        """
        assert partition not in self._assigned, "a partition is revoked before it is assigned again"
        if first is None:
            start = where_to_start(committed, bounds, self._max_context_records)
        else:
            start = Start(first.offset, max(bounds.earliest, first.offset - self._learn_records), False, first)
        if committed and (incident := incident_of(committed, bounds)):
            self._telemetry.out_of_range(*partition)
            log.error(
                incident,
                **partition._asdict(),
                committed=committed.offset,
                earliest=bounds.earliest,
                end=bounds.end,
                going_on_from=start.score_from,
            )
        ledger = PartitionLedger(start.score_from, start.read_from, bounds.incarnation, start.first)
        self._telemetry.context_replayed(start.score_from - max(start.read_from, ledger.learn_to), start.is_short)
        journal = None
        if self._keeps_state:
            marks = marks_of(committed, bounds)
            journal = Journal(uuid.uuid4().hex[:12], replay_from=start.read_from, marks=marks, makes_cuts=makes_cuts)
        assignment = self._begin(partition, ledger, journal)
        if committed is not None and not incident_of(committed, bounds):
            assignment.budgets = BudgetBook(decode_budgets(committed.metadata))
        return assignment

    def resume(self, before: Assignment) -> Assignment:
        """Begins a period of ownership that continues one of this member, which had nothing in flight at its end."""
        assert before.partition not in self._assigned, "a partition is revoked before it is assigned again"
        self._telemetry.context_replayed(0, False)
        assignment = self._begin(before.partition, before.ledger.continued(), before.journal)
        assignment.system, assignment.budgets = before.system, before.budgets
        return assignment

    def _begin(self, partition: Partition, ledger: PartitionLedger, journal: Journal | None) -> Assignment:
        self.newest_generation += 1
        profile = self._profile_of(partition.topic)
        assignment = Assignment(self.newest_generation, partition, ledger, profile, ledger.topic, journal)
        self._assigned[partition] = assignment
        self._source.seek(partition, ledger.read_from)
        return assignment

    def revoke(self, partitions: Sequence[Partition]) -> list[Assignment]:
        """Stops new work for these partitions; returns their assignments, which `close` will end."""
        revoked = [self._assigned[partition] for partition in partitions if partition in self._assigned]
        for assignment in revoked:
            assignment.revoking = True
        return revoked

    def close(self, assignments: Sequence[Assignment]) -> None:
        """Ends periods of ownership: whatever finishes later is discarded."""
        for assignment in assignments:
            assignment.ended = True
            if self._assigned.get(assignment.partition) is assignment:
                del self._assigned[assignment.partition]


def marks_of(committed: Committed | None, bounds: Bounds) -> tuple[Mark, ...] | None:
    """Returns the cuts that a commit names, see `Journal`; none where its offsets are those of other lines now."""
    return decode_marks(committed.metadata) if committed and may_restore(committed, bounds) else ()


def keep_originals(sources: Sequence[tuple[Assignment, Record]], decoded: Decoded) -> None:
    """Keeps what alerts would quote of the records of a batch, until their lines are done."""
    for place in decoded.rewritten:
        assignment, record = sources[place]
        most = 4 * assignment.profile.max_original_chars  # bytes of that many characters
        if most and record.offset >= assignment.ledger.score_from:  # a context line raises no alert
            assignment.originals[record.offset] = (record.value or b"")[:most]


def by_owner(places: Sequence[tuple[Assignment, int]]) -> list[tuple[Assignment, Ints]]:
    """Groups offsets by their assignment, in order."""
    offsets: dict[int, tuple[Assignment, list[int]]] = {}
    for assignment, offset in places:
        offsets.setdefault(assignment.generation, (assignment, []))[1].append(offset)
    return [(assignment, np.array(values, np.int64)) for assignment, values in offsets.values()]


def by_assignment(owners: npt.NDArray[np.object_], offsets: Ints) -> list[tuple[Assignment, Ints]]:
    """Groups offsets (n,) by their Assignment (n,)."""
    generations = np.fromiter((owner.generation for owner in owners), np.int64, len(owners))
    groups: list[tuple[Assignment, Ints]] = []
    for generation in np.unique(generations).tolist():
        places: npt.NDArray[Any] = np.flatnonzero(generations == generation)
        groups.append((owners[places[0]], offsets[places]))
    return groups
