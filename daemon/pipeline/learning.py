"""Learns from the lines in front of a group's starting point, at the group's first start.

`FirstStarts` chooses the starting points. `Learning` bounds the time: the lines before a starting point are read like
any other context, so the lines behind it are judged only when it ends. Runs on the event loop. Invariants:

- a line before the starting point is counted and never judged;
- a starting point stays where it is once chosen, whichever member owns the partition;
- a partition that was added later begins at its oldest record.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

import structlog

from logwarden.daemon.pipeline.ingest import Ingestor
from logwarden.daemon.pipeline.ledger import FirstStart, decode_first
from logwarden.daemon.pipeline.partitions import Assignment, Partitions
from logwarden.daemon.pipeline.retries import Retries
from logwarden.daemon.ports import Ports
from logwarden.daemon.records import Bounds, Committed, Partition

log = structlog.get_logger(__name__)

TOGETHER_MS = 300_000
"""Milliseconds within which the members of a new group begin."""


class FirstStarts:
    """The starting points that this member has chosen. `at_end` False: it chooses none."""

    def __init__(self, ports: Ports, retries: Retries, *, at_end: bool) -> None:
        self._source = ports.source
        self._clock = ports.clock
        self._retries = retries
        self._at_end = at_end
        self._chosen: dict[Partition, tuple[str, FirstStart]] = {}
        self._is_first = True
        self._began_ms: int | None = None

    async def choose(
        self, partitions: Collection[Partition], bounds: Mapping[Partition, Bounds]
    ) -> dict[Partition, FirstStart] | None:
        """Returns the starting points of partitions of which neither a commit nor a state is known.

        Those that are not returned begin at their oldest record. Returns None if this member stops meanwhile.
        """
        is_first, self._is_first = self._is_first, False
        if not self._at_end or not partitions:
            return {}
        found = {p: first for p in partitions if (first := self._chosen_before(p, bounds[p])) is not None}
        rest = [partition for partition in partitions if partition not in self._chosen]
        if rest:
            group = await self._retries.answer(lambda: self._source.committed(None))
            if group is None:
                return None
            began_ms = began_at(group.values(), self._clock.now_ms(), self._began_ms, is_first=is_first)
            if began_ms is not None:
                self._began_ms = began_ms
                found |= {partition: FirstStart(bounds[partition].end, began_ms) for partition in rest}
        self._chosen |= {partition: (bounds[partition].incarnation, first) for partition, first in found.items()}
        for partition, first in found.items():
            log.info("first_start", **partition._asdict(), judge_from=first.offset, oldest=bounds[partition].earliest)
        return found

    def _chosen_before(self, partition: Partition, bounds: Bounds) -> FirstStart | None:
        """Returns what was chosen in an earlier assignment that ended before its first commit."""
        incarnation, first = self._chosen.get(partition, ("", None))
        if first is None or incarnation != bounds.incarnation or first.offset > bounds.end:
            return None
        return first._replace(offset=max(first.offset, bounds.earliest))


def began_at(commits: Collection[Committed], now_ms: int, own_ms: int | None, *, is_first: bool) -> int | None:
    """Returns when the group began, if this is its first start. `commits`: those of all of its partitions.

    `own_ms`: when this member began with the group, `is_first`: it has had no assignment before.
    Members of a new group begin at the same time, and one commits before another looks. Returns None where the group is
    older: partitions without a commit were added later.
    """
    if not commits and is_first:
        return now_ms
    times = [] if own_ms is None else [own_ms]
    times += [first.at_ms for committed in commits if (first := decode_first(committed.metadata)) is not None]
    return min(times) if times and abs(now_ms - min(times)) < TOGETHER_MS else None


@dataclass(slots=True)
class _Progress:
    begun: float
    left: int
    """Records that are still to be read."""
    is_halved: bool = False
    """Half of the time has passed."""
    has_ended: bool = False


class Learning:
    """Watches the assignments that learn, each for `seconds` at most."""

    def __init__(self, ports: Ports, partitions: Partitions, ingestor: Ingestor, *, seconds: float) -> None:
        self._source = ports.source
        self._worker = ports.ingest_worker
        self._clock = ports.clock
        self._telemetry = ports.telemetry
        self._health = ports.health
        self._partitions = partitions
        self._ingestor = ingestor
        self._seconds = seconds
        self._progress: dict[Assignment, _Progress] = {}

    async def look(self) -> None:
        """Ends what has read all of its lines, or whose time has passed. Called between two fetches."""
        now = self._clock.monotonic()
        learning = [a for a in self._partitions.assignments() if a.ledger.learn_to and not a.revoking]
        if not learning and not self._progress:
            return
        before = self._progress
        self._progress = {a: before.get(a) or _Progress(now, a.ledger.learn_to - a.ledger.read_from) for a in learning}
        for assignment, progress in self._progress.items():
            if not (progress.has_ended or assignment.revoking or assignment.ended):
                await self._advance(assignment, progress, now)
        under_way = [progress for progress in self._progress.values() if not progress.has_ended]
        self._health.learning_partitions = len(under_way)
        self._health.learning_records_left = sum(progress.left for progress in under_way)

    async def _advance(self, assignment: Assignment, progress: _Progress, now: float) -> None:
        ledger = assignment.ledger
        left = max(0, ledger.learn_to - ledger.reached)
        self._telemetry.learned(max(0, progress.left - left))
        progress.left = left
        seconds = now - progress.begun
        if not left and not self._ingestor.backlog.bytes_of(assignment):
            progress.has_ended = True
            log.info("learned", **assignment.partition._asdict(), seconds=round(seconds, 1))
        elif seconds >= self._seconds:
            progress.has_ended = True
            await self._skip_to(assignment, progress, ledger.learn_to)
            hint = "raise LOGWARDEN_KAFKA__LEARN_SECONDS if the lines behind them may wait for longer"
            log.warning("learning_cut_short", **assignment.partition._asdict(), records=left, hint=hint)
        elif seconds >= self._seconds / 2 and not progress.is_halved:
            # The newest records count most: what the other half of the time is too short for is left out here.
            progress.is_halved = True
            offset = ledger.learn_to - (ledger.reached - ledger.read_from)
            if offset > ledger.reached:
                await self._skip_to(assignment, progress, offset)

    async def _skip_to(self, assignment: Assignment, progress: _Progress, offset: int) -> None:
        skipped = offset - assignment.ledger.reached
        if skipped > 0:
            self._source.seek(assignment.partition, offset)
            assignment.ledger.passed(offset)
            progress.left -= skipped
            self._telemetry.unlearned(skipped)
        await self._worker.run(self._ingestor.skip, assignment, offset)
