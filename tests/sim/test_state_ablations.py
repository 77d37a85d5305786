"""Safeguards of the state that outlives a member, and of a first start, switched off: windows then differ.

The table of `tests/sim/test_ablations.py` continues here.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pytest

from logwarden.daemon.pipeline import ledger, partitions
from logwarden.daemon.pipeline.ingest import Ingestor
from logwarden.daemon.pipeline.learning import Learning
from logwarden.daemon.pipeline.ledger import FirstStart, Start, decode_first, encode_metadata, where_to_start
from logwarden.daemon.pipeline.memory import ServiceMemory
from logwarden.daemon.pipeline.partitions import Assignment
from logwarden.daemon.pipeline.rebalance import Rebalance
from logwarden.daemon.pipeline.work import Work
from logwarden.daemon.state import choice
from logwarden.daemon.state.journal import Journal
from logwarden.model.stream import LogStream
from tests.sim.state import SimStateReader
from tests.sim.test_ablations import without

Patch = pytest.MonkeyPatch


def nothing_is_read_again(patch: Patch) -> None:
    async def read(*_: object) -> None:
        pass

    patch.setattr(SimStateReader, "read", read)


def replayed_lines_are_counted_again(patch: Patch) -> None:
    patch.setattr(ServiceMemory, "unseen", lambda memory, lines: (lines, None))


def records_that_were_not_committed_count(patch: Patch) -> None:
    patch.setattr(choice, "_counts", lambda value, marks: True)


def a_cut_counts_at_once(patch: Patch) -> None:
    patch.setattr(Journal, "_cut_below", lambda journal, position: journal._cut)


def a_cut_counts_before_it_is_written(patch: Patch) -> None:
    at = Journal.at

    def at_once(journal: Journal, position: int) -> Any:
        written, journal._is_written = journal._is_written, True
        try:
            return at(journal, position)
        finally:
            journal._is_written = written

    patch.setattr(Journal, "at", at_once)


def services_continue_before_their_context_is_read(patch: Patch) -> None:
    finished = Rebalance._finished

    def at_the_commit(rebalance: Rebalance, revoked: Sequence[Assignment]) -> Any:
        for assignment in revoked:
            assignment.ledger.reached = assignment.ledger.position()
            assignment.replay_until = 0
        return finished(rebalance, revoked)

    patch.setattr(Rebalance, "_finished", at_the_commit)
    patch.setattr(Ingestor, "keep", lambda ingestor, assignments: assignments)


def newest_lines_stay_away(patch: Patch) -> None:
    patch.setattr(LogStream, "put_ring", lambda *_: None)


def known_lines_are_not_embedded(patch: Patch) -> None:
    patch.setattr(LogStream, "_wake", lambda *_: None)


def waiting_lines_are_taken_for_counted(patch: Patch) -> None:
    cut = ServiceMemory.cut
    patch.setattr(ServiceMemory, "cut", lambda memory, owner, end, waiting, now: cut(memory, owner, end, {}, now))


def learned_lines_are_judged(patch: Patch) -> None:
    patch.setattr(Work, "without_context", lambda work: work)


def judging_does_not_wait(patch: Patch) -> None:
    look = Learning.look

    async def at_once(learning: Learning) -> None:
        learning._seconds = 0.0
        await look(learning)

    patch.setattr(Learning, "look", at_once)


def every_owner_begins_at_the_end(patch: Patch) -> None:
    def at_the_end(committed: Any, bounds: Any, max_context: int) -> Start:
        if committed is not None and decode_first(committed.metadata) is not None:
            return Start(bounds.end, committed.offset, False)
        return where_to_start(committed, bounds, max_context)

    patch.setattr(partitions, "where_to_start", at_the_end)


def the_first_commit_drops_what_is_to_be_learned(patch: Patch) -> None:
    def without(context: int, topic: str, marks: Any, first: FirstStart | None, budgets: Any) -> str:
        return encode_metadata(context if first is None else max(context, first.offset), topic, marks, first, budgets)

    patch.setattr(ledger, "encode_metadata", without)


def windows_reach_across_a_gap(patch: Patch) -> None:
    patch.setattr(Ingestor, "skip", lambda *_: None)


ABLATIONS: list[tuple[Callable[[Patch], None], str, str]] = [
    (nothing_is_read_again, "state", "as_undisturbed"),
    (replayed_lines_are_counted_again, "state_events", "as_undisturbed"),
    (records_that_were_not_committed_count, "state", "as_undisturbed"),
    (a_cut_counts_at_once, "state", "state_behind"),
    (a_cut_counts_before_it_is_written, "state", "state_behind"),
    (services_continue_before_their_context_is_read, "state", "as_undisturbed"),
    (newest_lines_stay_away, "state", "windows_whole"),
    (known_lines_are_not_embedded, "state", "as_undisturbed"),
    (waiting_lines_are_taken_for_counted, "state_events", "as_undisturbed"),
    (learned_lines_are_judged, "first_start", "learned_not_judged"),
    (judging_does_not_wait, "first_start", "as_undisturbed"),
    (every_owner_begins_at_the_end, "first_start", "no_early_commit"),
    (the_first_commit_drops_what_is_to_be_learned, "first_start", "as_undisturbed"),
    (windows_reach_across_a_gap, "short_learning", "windows_whole"),
]


@pytest.mark.parametrize(
    ("ablate", "scenario", "invariant"), ABLATIONS, ids=lambda value: getattr(value, "__name__", value)
)
def test_without_its_safeguard_the_invariant_breaks(
    ablate: Callable[[Patch], None], scenario: str, invariant: str, monkeypatch: Patch
) -> None:
    """Each safeguard is needed: without it, its invariant breaks within twenty seeds."""
    ablate(monkeypatch)
    without(scenario, invariant, keeps_state=True)
